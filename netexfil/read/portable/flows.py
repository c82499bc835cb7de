"""Packets to sessions: the table of open ones, Zeek's timeouts, and what a finished one says."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from netexfil.read.portable.conversation import Conversation
from netexfil.read.portable.end import ACK, RST, SYN, WORD, State, delta
from netexfil.read.portable.hello import Opening
from netexfil.read.portable.packets import TCP, Packet

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
STEP = 10 * 365 * 86_400 * SECOND  # a packet so much older: a stamp before it was wrong
SESSIONS = 500_000  # open at once, where the options do not say

# Zeek 8's likely_server_ports, and 465 and 8443, by protocol number; the core's table (a test holds them equal).
SERVER_PORTS = {
    6: {21, 22, 25, 53, 80, 81, 88, 135, 139, 143, 389, 443, 445, 465, 502, 563, 585, 587, 614, 631, 636, 989, 990, 992, 993, 995, 1080, 1434, 1883,
        2811, 3128, 3268, 3306, 3389, 5222, 5223, 5269, 5432, 5900, 6379, 6666, 6667, 6668, 6669, 8000, 8080, 8443, 8888, 20000},
    17: {53, 67, 88, 123, 137, 161, 162, 389, 443, 514, 1812, 2123, 2152, 3268, 3544, 4789, 5060, 5072, 5353, 5355, 6081, 20000},
}  # fmt: skip

# Within this long a second packet of the same content is a copy, in units of 100 µs: without and with an IP identification.
COPIED = (20, 10_000)

FLIGHT = 65_535  # a SYN may stand this many bytes below what was seen of its conversation before it

Ends = tuple[bytes, int]


def turned(packet: Packet) -> bool:
    """Does the first packet of a session come from the responder? By the ports that Zeek calls likely servers."""
    ports = SERVER_PORTS[packet.proto]
    source, target = packet.source_port in ports, packet.target_port in ports
    if packet.proto != TCP:
        return source and not target and packet.target != b"\xff\xff\xff\xff"
    if not source or packet.flags & (SYN | ACK) == SYN:
        return False
    return not packet.flags & SYN and packet.source_port < packet.target_port if target else True


@dataclass(slots=True)
class Side:
    """What one side sent. `seen` are disjoint ranges of its unwrapped numbers."""

    pkts: int = 0
    ip_bytes: int = 0
    octets: int = 0
    seen: list[tuple[int, int]] = field(default_factory=list)
    begin: int | None = None
    at: int | None = None
    proven: int | None = None
    syn: bool = False
    recent: list[tuple[object, int]] = field(default_factory=list)

    def unwrap(self, seq: int) -> int:
        at = seq if self.at is None else self.at + delta(seq, self.at % WORD)
        self.at = at if self.at is None else max(self.at, at)
        return at

    def add(self, low: int, high: int) -> None:
        if self.seen and self.seen[-1][0] <= low <= self.seen[-1][1]:
            self.seen[-1] = (self.seen[-1][0], max(high, self.seen[-1][1]))
        elif high > low:
            touching = [piece for piece in self.seen if piece[1] >= low and piece[0] <= high]
            joined = (min([low, *(piece[0] for piece in touching)]), max([high, *(piece[1] for piece in touching)]))
            self.seen = sorted([*(piece for piece in self.seen if piece not in touching), joined])

    def unique(self) -> int:
        return sum(high - low for low, high in self.seen)

    def repeated(self, shape: object, known: bool, now: int) -> bool:
        """Was this packet just seen? A copy follows within COPIED[known]; `known`: the IP header has an identification of its own."""
        now //= 100_000
        if self.pkts > 1 and any(old == shape and 0 <= now - at <= COPIED[known] for old, at in self.recent):
            return True
        self.recent = [*self.recent[-1:], (shape, now)]
        return False

    def sent(self) -> int:
        """From where the stream begins to the last byte seen."""
        return max(self.seen[-1][1] - self.begin, 0) if self.seen and self.begin is not None else 0

    def lowered(self, seq: int) -> int | None:
        """By how much a SYN behind other packets of its side moves the beginning down; None where it is not theirs."""
        if self.syn or self.begin is None:
            return None
        first = seq + 1 if self.at is None else self.at + delta((seq + 1) % WORD, self.at % WORD)
        below = min([self.begin, *(low for low, _ in self.seen)]) - first
        return self.begin - first if 0 <= below <= FLIGHT else None

    def acknowledge(self, ack: int) -> None:
        """The other side has everything below a number."""
        proven = ack if self.at is None else self.at + delta(ack, self.at % WORD)
        if self.begin is None or self.pkts == 0:
            self.begin = proven if self.begin is None else min(self.begin, proven)
        if self.at is None or self.pkts == 0:
            self.at = proven if self.at is None else max(self.at, proven)
        self.proven = proven if self.proven is None else max(self.proven, proven)

    def acknowledged(self) -> int:
        if self.begin is None or self.proven is None:
            return 0
        acked = max(self.proven - self.begin, 0)
        return acked if self.pkts == 0 else min(acked, self.sent())


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
        seq = side.unwrap(packet.seq)
        if packet.flags & SYN:
            seq += 1
            if not side.syn and not side.seen:
                side.begin = seq
            side.syn = True
        if side.begin is None:
            side.begin = seq
        if not packet.flags & RST:
            if packet.length > 0:
                side.add(seq, seq + packet.length)
            if packet.flags & ACK and (peer.begin is not None or peer.pkts == 0):
                peer.acknowledge(packet.ack)
        return seq - side.begin

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
        if side.repeated((packet.ident, packet.length, packet.payload[:128]), bool(packet.ident), now):
            self.marks.add("duplicate")
            return
        have = side.unique()
        side.add(have, have + packet.length)
        if len(packet.payload) < packet.length:
            self.marks.add("cut")


QUIC_PORTS = {443, 8443}


def _in_the_middle(packet: Packet) -> bool:
    """Is a session's first datagram one of QUIC's short headers (RFC 9000, 17.3.1)? A conversation opens with long ones."""
    return not QUIC_PORTS.isdisjoint((packet.source_port, packet.target_port)) and packet.payload[:1] != b"" and packet.payload[0] & 0xC0 == 0x40


class Flows:
    """Open sessions. Finished ones are in `done`, in the order in which they ended."""

    def __init__(self, most: int | None = None) -> None:
        self.open: dict[tuple[int, Ends, Ends], Session] = {}
        self.timers: list[tuple[int, int, Session]] = []
        self.done: list[Session] = []
        self.now = -NEVER
        self.most = most or SESSIONS
        self.serial = 0

    def tick(self, time: int) -> None:
        """A new frame: what has timed out until then is done."""
        self.now = time if self.now - time > STEP else max(self.now, time)
        while self.timers and self.timers[0][0] <= self.now:
            due, _, session = heapq.heappop(self.timers)
            if session.live and session.armed == due:
                session.armed = NEVER
                if session.over(self.now):
                    self._finish(session)
                else:
                    self._arm(session)

    def add(self, packet: Packet, time: int, source: str) -> None:
        """Count a packet at its session, which begins where there is none."""
        from_, to = (packet.source, packet.source_port), (packet.target, packet.target_port)
        key = (packet.proto, min(from_, to), max(from_, to))
        session = self.open.get(key)
        if session is not None and packet.proto == TCP and session.tcp.is_reuse(packet) and session.late(session.orig == from_, packet) is None:
            self._finish(session)
            session = None
        new = session is None
        if session is None:
            session = self._create(packet, time, source)
            self.open[key] = session
        orig = session.orig == from_
        if packet.proto == TCP:
            session.take_segment(orig, packet, time)
        else:
            session.take_datagram(orig, packet, time)
        if new or packet.proto == TCP:
            self._arm(session)

    def _create(self, packet: Packet, time: int, source: str) -> Session:
        if len(self.open) >= self.most:
            self._evict()
        ends = (packet.source, packet.source_port), (packet.target, packet.target_port)
        session = Session(*ends, packet.proto, time, source, last=time)
        if turned(packet):
            session.orig, session.resp = session.resp, session.orig
            session.tcp.write("^", True)
        if packet.proto == TCP:
            session.expire = self.now + ATTEMPT
        elif session.resp[1] in DNS_PORTS:
            session.expire = self.now + DNS_LOOK
        return session

    def _arm(self, session: Session) -> None:
        due = session.due()
        if due < session.armed:
            session.armed, self.serial = due, self.serial + 1
            heapq.heappush(self.timers, (due, self.serial, session))

    def _evict(self) -> None:
        """Hand out the session that would time out first."""
        while self.timers:
            due, _, session = heapq.heappop(self.timers)
            if session.live and session.armed == due:
                session.armed = NEVER
                if session.due() > due:
                    self._arm(session)
                    continue
                session.marks |= {"early", "open"}
                self._finish(session)
                return

    def _finish(self, session: Session) -> None:
        session.live = False
        del self.open[session.proto, min(session.orig, session.resp), max(session.orig, session.resp)]
        self.done.append(session)

    def close(self) -> None:
        """The end of the input: everything still open is done."""
        for session in list(self.open.values()):
            session.marks.add("open")
            self._finish(session)
