"""One session: its packets counted, its conversation followed, and when Zeek would take it away."""

from __future__ import annotations

from dataclasses import dataclass, field

from netexfil.read.portable.conversation import Conversation
from netexfil.read.portable.end import ACK, RST, SYN, State
from netexfil.read.portable.hello import Opening
from netexfil.read.portable.packets import TCP, Packet
from netexfil.read.portable.side import Side

SECOND = 10**9
NEVER = 2**63
# Zeek's defaults (scripts/base/init-bare.zeek).
ATTEMPT = LINGER = CLOSE = 5 * SECOND
LOOK_AGAIN = 6 * SECOND
IDLE, TCP_IDLE, LOGIN_IDLE = 60 * SECOND, 300 * SECOND, 3600 * SECOND
LOGIN_PORTS = {21, 22, 23, 513}
# Zeek's DNS analyzer ends its sessions itself: every 10 s it looks whether there were 9 of silence.
DNS_PORTS = {53, 137, 5353, 5355}
DNS_LOOK, DNS_IDLE = 10 * SECOND, 9 * SECOND

Ends = tuple[bytes, int]


@dataclass(slots=True)
class Session:
    """An open session; `orig` and `resp` are address and port. Times in nanoseconds."""

    orig: Ends
    resp: Ends
    proto: int
    start: int
    source: str
    tcp: Conversation = field(default_factory=Conversation)
    sides: list[Side] = field(default_factory=lambda: [Side(), Side()])
    opening: Opening = field(default_factory=Opening)
    marks: set[str] = field(default_factory=set)
    last: int = 0
    attempt: int = NEVER
    expire: int = NEVER
    expire_half: int = NEVER
    remove: int = NEVER
    idle: int = IDLE
    armed: int = NEVER
    live: bool = True

    def due(self) -> int:
        return min(self.attempt, self.expire, self.expire_half, self.remove, self.last + self.idle)

    def flip(self) -> None:
        self.orig, self.resp = self.resp, self.orig
        self.sides.reverse()
        self.opening.flip()

    def over(self, now: int) -> bool:
        """Would Zeek take it away now? Timers that are due and did nothing are set anew."""
        if self.proto != TCP:
            if self.expire <= now:
                if now - self.last >= DNS_IDLE:
                    return True
                self.expire = now + DNS_LOOK
            return self.last + self.idle <= now
        orig, resp = self.tcp.ends
        if self.attempt <= now:
            self.attempt = NEVER
            if not self.tcp.inactive and orig.state in (State.SYN_SENT, State.SYN_ACK_SENT) and resp.state == State.INACTIVE:
                return True
        if min(self.expire, self.expire_half) <= now:
            self.expire = self.expire_half = NEVER
            if not self.tcp.inactive:
                if self.last + LINGER < now and self._ended():
                    return True
                self.expire = now + LOOK_AGAIN
        return self.remove <= now or self.last + self.idle <= now

    def _ended(self) -> bool:
        orig, resp = self.tcp.ends
        gone = (State.RESET, State.INACTIVE)
        return (orig.did_close and resp.did_close) or ((orig.did_close or resp.did_close) and (orig.state in gone or resp.state in gone))

    def late(self, orig: bool, packet: Packet) -> int | None:
        """How far a SYN by which Zeek would begin another conversation moves the beginning of this one down, if it opens this one."""
        return self.sides[not orig].lowered(packet.seq) if self.tcp.is_reuse(packet) else None

    def take_segment(self, orig: bool, packet: Packet, now: int) -> None:
        if not all(end.did_close for end in self.tcp.ends):
            self.last = now
        if packet.headless:
            return self._count_headless(orig, packet, now)
        lower = self.late(orig, packet)
        if lower is not None:
            orig = self._open_late(orig, packet, lower)
        self.tcp.segment(orig, packet, lower is not None)
        effects = self.tcp.effects
        if "flipped" in effects:
            self.flip()
            orig = not orig
        self._set_timers(effects, now)
        at = self._count(orig, packet)
        side = self.sides[not orig]
        side.pkts += 1
        side.ip_bytes += packet.ip_bytes
        shape = (packet.ident, packet.length, packet.seq, packet.ack, packet.flags)
        if packet.length > 0 and packet.ident and side.repeated(shape, True, now):
            self.marks.add("duplicate")
        if "turned" in effects:
            self.flip()
            orig = not orig
        if at >= 0:
            self.opening.add(orig, at, packet.payload)
            if self.opening.is_ssh():
                self.idle = LOGIN_IDLE

    def _count_headless(self, orig: bool, packet: Packet, now: int) -> None:
        self.last, self.idle = now, max(self.idle, TCP_IDLE)
        self.marks |= {"cut", "headless"}
        side = self.sides[not orig]
        side.pkts += 1
        side.ip_bytes += packet.ip_bytes

    def _set_timers(self, effects: set[str], now: int) -> None:
        if "attempt" in effects:
            self.attempt = now + ATTEMPT
        if "past_handshake" in effects:
            self.idle = TCP_IDLE
        if "established" in effects and self.resp[1] in LOGIN_PORTS:
            self.idle = LOGIN_IDLE
        if "half" in effects:
            self.expire_half = self.last + LOOK_AGAIN
        if "complete" in effects:
            self.attempt = self.expire = self.expire_half = NEVER
            self.remove = self.last + CLOSE

    def _open_late(self, orig: bool, packet: Packet, lower: int) -> bool:
        """A SYN behind other packets of its side; is its sender the originator now?"""
        if not orig and not packet.flags & ACK and self.tcp.turn_late():
            self.flip()
            orig = True
        side = self.sides[not orig]
        side.begin = (side.begin or 0) - lower
        self.opening.shift(orig, lower)
        return orig

    def _count(self, orig: bool, packet: Packet) -> int:
        """Count the payload bytes seen, each once; where the segment lies in its stream (0: first byte)."""
        side, peer = self.sides[not orig], self.sides[orig]
        if len(packet.payload) < packet.length:
            self.marks.add("cut")
        syn = bool(packet.flags & SYN)
        seq = side.unwrap(packet.seq) + syn
        self.opening.shift(orig, side.begins(seq, syn, packet.length > 0))
        if not packet.flags & RST:
            if packet.length > 0:
                side.add(seq, seq + packet.length)
            if packet.flags & ACK and (peer.begin is not None or peer.pkts == 0):
                peer.acknowledge(packet.ack)
        return seq - (side.begin or 0)

    def take_datagram(self, orig: bool, packet: Packet, now: int) -> None:
        self.last = now
        letter = "D" if orig else "d"
        if letter not in self.tcp.history:
            self.tcp.history += letter
        if not any(side.pkts for side in self.sides) and _in_the_middle(packet):
            self.marks.add("midstream")
        side = self.sides[not orig]
        side.pkts += 1
        side.ip_bytes += packet.ip_bytes
        side.octets += packet.length
        # Of a copy that was cut and has a VLAN tag, less was stored.
        cut = len(packet.payload) < packet.length
        shape = (packet.ident, packet.length, packet.payload[: 32 if cut else 128])
        if side.repeated(shape, bool(packet.ident), now, far=True):
            # Without an identification, a copy is not told from what was sent twice; only QUIC never seals two packets alike (RFC 9001, 5.3).
            side.doubtful += 0 if packet.ident or _quic(packet, 0x40) else packet.length
            self.marks.add("duplicate")
            return
        have = side.unique()
        side.add(have, have + packet.length)
        if cut:
            self.marks.add("cut")


QUIC_PORTS = {443, 8443}


def _in_the_middle(packet: Packet) -> bool:
    """Is a session's first datagram one of QUIC's short headers (RFC 9000, 17.3.1)? A conversation opens with long ones."""
    return _quic(packet, 0xC0)


def _quic(packet: Packet, mask: int) -> bool:
    """Is it a datagram on QUIC's ports, of whose first bits only the fixed one (RFC 9000, 17.2) is set?"""
    return not QUIC_PORTS.isdisjoint((packet.source_port, packet.target_port)) and packet.payload[:1] != b"" and packet.payload[0] & mask == 0x40
