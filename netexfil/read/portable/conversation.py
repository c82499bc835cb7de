"""One TCP conversation by Zeek's rules: states of both ends, history, gaps.

The rules are those of Zeek's TCP session adapter and reassembler, which the core follows too; its files in `flow/tcp/` argue each of them.
"""

from __future__ import annotations

from netexfil.read.portable import gaps
from netexfil.read.portable.end import ACK, FIN, RST, SYN, TOO_LARGE, WORD, YOUNG, End, State, delta
from netexfil.read.portable.packets import Packet

LONGEST_HISTORY = 1022


class Conversation:
    """Both ends. After `segment`, `effects` names what the caller has to do: `flipped` (originator and responder changed places),
    `turned` (the same, this segment's counts included), `past_handshake`, `established` (the handshake was seen), `attempt` (a SYN opened
    it), `complete` (closed), `half` (closed by one side)."""

    def __init__(self) -> None:
        self.ends = [End(), End()]
        self.history = ""
        self.missed = 0
        self.inactive = False
        self.effects: set[str] = set()
        self.seen: set[bool] = set()
        self.partial = False
        self.turned = False
        self.deferred = False
        self.known: set[str] = set()

    def pair(self, orig: bool) -> tuple[End, End]:
        first, second = self.ends
        return (first, second) if orig else (second, first)

    def write(self, letter: str, orig: bool) -> None:
        if len(self.history) < LONGEST_HISTORY:
            self.history += letter if orig else letter.lower()

    def is_reuse(self, packet: Packet) -> bool:
        """Is this SYN the start of another conversation between the same two ports?"""
        orig, resp = self.ends
        if not packet.flags & SYN or (packet.flags & ACK and orig.state != State.INACTIVE):
            return False
        end = resp if packet.flags & ACK else orig
        if orig.did_close or resp.did_close:
            return True
        crossed = not packet.flags & ACK and end.state == State.SYN_ACK_SENT and resp.state == State.INACTIVE and packet.seq == resp.start
        return packet.seq != end.start and not crossed

    def segment(self, orig: bool, packet: Packet, late: bool) -> None:
        """Take one segment. `late`: a SYN behind packets of its own side, whose numbers then count from it."""
        self.effects = set()
        flags = packet.flags
        self._note_partial(orig, flags)
        end, peer = self.pair(orig)
        space = (0 if flags & RST else packet.length) + bool(flags & SYN) + bool(flags & FIN)
        past = (packet.seq + space) % WORD
        if late:
            end.count_from(packet.seq)
        else:
            end.begin(packet, past)
        rel, underflow = end.relative(packet.seq, end.last, end.wraps)
        zero = packet.window == 0 and not flags & RST and peer.state != State.CLOSED and end.state != State.RESET and end.tenfold("W")
        self._letters(orig, packet, rel)
        if zero:
            self.write("W", orig)
        if flags & FIN:
            end.fins, end.fin_at = True, (rel + space) % 2**64
        rel_ack = self._acknowledge(peer, packet) if flags & ACK else 0
        if end.advance(packet, past) and end.tenfold("T"):
            self.write("T", orig)
        close, orig = self._step(orig, packet)
        if late:
            self._shake_late()
        if flags & ACK:
            self._ack_received(not orig, rel_ack)
        self.seen.add(orig)
        if packet.length > 0 and not flags & RST and not underflow and len(packet.payload) >= packet.length:
            gaps.data_sent(*self.pair(orig), rel + bool(flags & SYN), packet.length)
        self._check_eof(orig)
        if close:
            self._closed(orig)
        first = self.ends[0]
        if not orig and first.state == State.SYN_ACK_SENT and not self.turned and not flags & (SYN | RST):
            self._turn_back()

    def _turn_back(self) -> None:
        """It began with a SYN-ACK, and the other side spoke: that one had sent the SYN. As though it had been written so from the start."""
        self.turned = True
        self.ends.reverse()
        self.known = {letter.swapcase() for letter in self.known}
        self.seen = {not side for side in self.seen}
        self.effects.add("turned")
        self.history = "^" + self.history.swapcase()

    def turn_late(self) -> bool:
        """The responder turns out to have sent the SYN; False where the state machine turns the sides itself (a SYN right behind its answer)."""
        first, second = self.ends
        crossed = first.state == State.SYN_ACK_SENT and second.state == State.INACTIVE
        if not crossed:
            self._turn_back()
        return not crossed

    def _shake_late(self) -> None:
        """A SYN that comes late, of a side that the other has answered: the handshake was seen after all."""
        if any(end.state == State.INACTIVE for end in self.ends):
            return
        self.partial = False
        for orig in (True, False):
            if self.pair(orig)[0].state in (State.SYN_SENT, State.SYN_ACK_SENT, State.PARTIAL):
                self._set(orig, State.ESTABLISHED)
                self.effects.add("established")

    def _note_partial(self, orig: bool, flags: int) -> None:
        if orig and True not in self.seen:
            self.partial = not flags & SYN or bool(flags & ACK)
        elif not orig and False not in self.seen and not self.partial:
            self.partial = not flags & SYN

    def _first(self, letter: str, orig: bool) -> bool:
        """Write the first letter of its kind of this side; False where it was written before."""
        shown = letter if orig else letter.lower()
        kind = {"H": "S", "h": "s"}.get(shown, shown)
        if kind in self.known:
            return False
        self.known.add(kind)
        self.write(letter, orig)
        return True

    def _letters(self, orig: bool, packet: Packet, rel: int) -> None:
        control = packet.flags & (SYN | FIN | RST)
        if not control:
            if packet.length > 0:
                self._first("D", orig)
            elif packet.flags & ACK:
                self._first("A", orig)
            return
        single = {SYN: "H" if packet.flags & ACK else "S", FIN: "F", RST: "R"}.get(control)
        if single is None:
            self._first("I" if control & FIN and control & RST else "Q", orig)
            return
        place = (rel + (packet.length if single == "F" else 0)) % WORD
        kind, end = "S" if single == "H" else single, self.pair(orig)[0]
        if not self._first(single, orig) and place != end.places.get(kind, 0):
            self.write(single, orig)
        end.places[kind] = place

    def _acknowledge(self, peer: End, packet: Packet) -> int:
        ack = packet.ack
        if peer.state == State.INACTIVE:
            peer.start = peer.acked = peer.last = (ack - 1) % WORD  # as though there had been a SYN
            return 1
        rel, underflow = peer.relative(ack, peer.acked, peer.ack_wraps)
        if underflow:
            return 0
        ahead = delta(ack, peer.acked)
        if not packet.flags & RST and ahead > 0 and not (ack == 0 and ahead > TOO_LARGE):
            peer.ack_wraps += ack < peer.acked
            peer.acked = ack
        return rel

    def _set(self, orig: bool, new: State) -> None:
        end, peer = self.pair(orig)
        if end.state == new:
            return
        if new not in YOUNG and end.state in YOUNG and peer.state in YOUNG:
            self.effects.add("past_handshake")
        end.before, end.state = end.state, new

    def _step(self, orig: bool, packet: Packet) -> tuple[bool, bool]:
        """The state machine: whether the segment closes its side, and which side that is (it may have been turned)."""
        flags, (end, peer) = packet.flags, self.pair(orig)
        close = bool(flags & (FIN | RST))
        match end.state:
            case State.INACTIVE:
                orig = self._first_of_side(orig, packet)
            case State.SYN_SENT | State.SYN_ACK_SENT:
                if flags & FIN:
                    self._set(orig, State.CLOSED)
                if flags & RST:
                    self._set(orig, State.RESET)
                    self.inactive = True
            case State.ESTABLISHED | State.PARTIAL:
                self._established(orig, flags)
            case State.CLOSED:
                close = bool(flags & RST) and peer.state != State.CLOSED and not end.did_close
                if flags & RST and peer.state != State.CLOSED:
                    self._set(orig, State.RESET)
            case State.RESET:
                close = False
        return close, orig

    def _first_of_side(self, orig: bool, packet: Packet) -> bool:
        flags = packet.flags
        if flags & SYN and orig:
            self._set(True, State.SYN_ACK_SENT if flags & ACK else State.SYN_SENT)
            self.effects.add("attempt")
        elif flags & SYN:
            first, second = self.ends
            if not flags & ACK and first.state == State.SYN_ACK_SENT and packet.seq == second.start:
                self.flip()  # SYN and SYN-ACK were captured the wrong way round
                orig = True
                self._set(False, State.ESTABLISHED)
                self.seen.add(True)
            if self.pair(orig)[1].state == State.SYN_SENT:
                self._set(not orig, State.ESTABLISHED)
            self._set(orig, State.ESTABLISHED)
            if self.pair(orig)[1].state != State.PARTIAL:
                self.effects.add("established")
        if flags & FIN:
            self._set(orig, State.CLOSED)
        if flags & RST:
            self._set(orig, State.RESET)
        end, peer = self.pair(orig)
        if end.state != State.INACTIVE or (not orig and packet.length == 0 and self.ends[0].state == State.SYN_SENT):
            return orig
        if flags & ACK and peer.state == State.ESTABLISHED:
            self._set(orig, State.ESTABLISHED)  # the SYN was missed, the rest of the handshake was not
            self.partial = False
            self.seen.add(orig)
        else:
            self._set(orig, State.PARTIAL)
        return orig

    def _established(self, orig: bool, flags: int) -> None:
        end, peer = self.pair(orig)
        if flags & SYN and end.state == State.PARTIAL and peer.state == State.INACTIVE and not flags & ACK:
            self._set(orig, State.SYN_SENT)
        if flags & FIN and not flags & RST:
            self._set(orig, State.CLOSED)
            if peer.state == State.RESET and peer.before == State.CLOSED:
                self._set(not orig, State.CLOSED)  # FIN, then RST: a normal end after all
        if flags & RST:
            self._set(orig, State.RESET)
            if peer.state != State.RESET or peer.before != State.ESTABLISHED:
                self.inactive = True

    def flip(self) -> None:
        """Turn originator and responder."""
        self.ends.reverse()
        self.seen = {not side for side in self.seen}
        self.partial = False
        self.effects.add("flipped")
        self.write("^", True)

    def _ack_received(self, orig: bool, up_to: int) -> None:
        end, peer = self.pair(orig)
        if end.fins and up_to >= end.fin_at:
            up_to = max(end.fin_at - 1, 0)
        if up_to <= end.trimmed:
            return
        if up_to > end.delivered and not (up_to <= 2 and self.partial):
            for gap in gaps.undelivered(end, peer, up_to):
                self.missed += gap
                if end.tenfold("G"):
                    self.write("G", orig)
        end.trimmed = up_to
        end.deliver()
        self._check_eof(orig)

    def _check_eof(self, orig: bool) -> None:
        end, peer = self.pair(orig)
        if end.did_eof or not (end.fins or end.state >= State.CLOSED) or gaps.pending(end, peer):
            return
        end.did_eof = True
        if self.deferred:
            self._closed(orig)
            self.deferred = False

    def _closed(self, orig: bool) -> None:
        end, peer = self.pair(orig)
        self.deferred = gaps.pending(end, peer)
        if self.deferred or end.did_close:
            return
        end.did_close = True
        if end.state == State.RESET or peer.did_close or peer.state == State.INACTIVE:
            self.effects.add("complete")
        elif end.before != State.INACTIVE:
            self.effects.add("half")
