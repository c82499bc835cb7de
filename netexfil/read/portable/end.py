"""One end of a TCP conversation: its state, and its sequence numbers as Zeek counts them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from netexfil.read.portable.packets import Packet

FIN, SYN, RST, ACK = 1, 2, 4, 16
TOO_LARGE = 1_048_576  # a jump of a SYN's or RST's numbers beyond this is not believed
PIECES = 4096
WORD = 2**32


class State(IntEnum):
    """Of one end, in Zeek's order."""

    INACTIVE, SYN_SENT, SYN_ACK_SENT, PARTIAL, ESTABLISHED, CLOSED, RESET = range(7)


YOUNG = {State.INACTIVE, State.SYN_SENT, State.SYN_ACK_SENT}


def delta(a: int, b: int) -> int:
    """Signed distance of two sequence numbers."""
    return (a - b + WORD // 2) % WORD - WORD // 2


def is_power(count: int) -> bool:
    """The first, tenth, hundredth … of its kind is written to the history."""
    return count > 0 and str(count).rstrip("0") == "1"


@dataclass(slots=True)
class End:
    """What one side did. Relative numbers count from the SYN (0); the first data byte is 1."""

    state: State = State.INACTIVE
    before: State = State.INACTIVE
    did_close: bool = False
    did_eof: bool = False
    skip: bool = False
    fins: bool = False
    start: int = 0
    last: int = 0
    acked: int = 0
    wraps: int = 0
    ack_wraps: int = 0
    fin_at: int = 0
    delivered: int = 1
    trimmed: int = 1
    above: list[tuple[int, int]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)

    def nothing_acked(self) -> bool:
        return self.ack_wraps * WORD + self.acked in (self.start, self.start + 1)

    def size(self, peer: End) -> int:
        """Payload bytes by sequence numbers."""
        if self.before == State.SYN_SENT and self.state == State.RESET and peer.state == State.INACTIVE and not self.nothing_acked():
            return 0  # a half-open connection was found and aborted; its numbers mean nothing
        top = max(self.wraps * WORD + self.last, self.ack_wraps * WORD + self.acked)
        size = max(top - self.start, 0)
        return max(size - 1 - (self.fins and size > 1), 0)

    def move_last(self, number: int) -> None:
        self.wraps += number < self.last
        self.last = number

    def clean(self) -> bool:
        return self.state == State.ESTABLISHED or (self.state == State.CLOSED and self.before == State.ESTABLISHED)

    def tenfold(self, what: str) -> bool:
        self.counts[what] = self.counts.get(what, 0) + 1
        return is_power(self.counts[what])

    def relative(self, number: int, last: int, wraps: int) -> tuple[int, bool]:
        """A number relative to the start, and whether it lies before it."""
        ahead = delta(number, last)
        if ahead < 0 and wraps > 0 and number > last:
            wraps -= 1
        elif ahead > 0 and number < last:
            wraps += 1
        if wraps == 0:
            relative = delta(number, self.start)
            return relative % 2**64, relative < 0
        return (wraps * WORD + number - self.start) % 2**64, False

    def begin(self, packet: Packet, past: int) -> None:
        """Where the numbers start, as far as this packet shows it."""
        seq, syn = packet.seq, packet.flags & SYN
        if self.state == State.INACTIVE and not syn:
            self.start = self.acked = (seq - 1) % WORD
            self.last = seq
        elif syn and (
            self.state in (State.INACTIVE, State.ESTABLISHED, State.PARTIAL)
            or (self.state in (State.SYN_SENT, State.SYN_ACK_SENT) and seq != self.start)
            or (self.state == State.RESET and self.before == State.INACTIVE)
        ):
            self.start = self.acked = seq
            self.last = past

    def count_from(self, seq: int) -> None:
        """Count from a lower number."""
        lower, wrapped = (self.start - seq) % WORD, self.start < seq
        self.wraps, self.ack_wraps, self.start = self.wraps + wrapped, self.ack_wraps + wrapped, seq
        if self.state == State.INACTIVE or lower == 0:
            return  # nothing of it was seen: what is acknowledged may still come
        self.delivered, self.trimmed, self.fin_at = self.delivered + lower, self.trimmed + lower, self.fin_at + lower
        self.above = [(low + lower, high + lower) for low, high in self.above]
        self.places.update({kind: (self.places.get(kind, 0) + lower) % WORD for kind in "FR"})

    def advance(self, packet: Packet, past: int) -> bool:
        """Move the highest number seen; True where the packet repeats payload."""
        ahead = delta(past, self.last)
        if packet.flags & (SYN | RST) and abs(ahead) > TOO_LARGE:
            return False
        if packet.flags & FIN and self.last == (self.start + 1) % WORD:
            self.move_last(past)
        elif self.state == State.RESET:
            return False
        elif ahead > 0:
            self.move_last(past)
        else:
            return packet.length > 0
        return False

    def insert(self, low: int, upper: int) -> None:
        """Remember data above a hole."""
        low = max(low, self.delivered)
        if upper <= low:
            return
        touching = [piece for piece in self.above if piece[1] >= low and piece[0] <= upper]
        others = [piece for piece in self.above if piece not in touching]
        joined = (min([low, *(piece[0] for piece in touching)]), max([upper, *(piece[1] for piece in touching)]))
        self.above = sorted([*others, joined])
        if len(self.above) > PIECES:
            self.above, self.skip = [], True

    def deliver(self) -> None:
        """What follows on without a hole."""
        while self.above and self.above[0][0] <= self.delivered:
            self.delivered = max(self.delivered, self.above.pop(0)[1])
