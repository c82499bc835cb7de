"""What one side of a session sent: packets, bytes, and which numbers of its stream were seen or acknowledged."""

from __future__ import annotations

from dataclasses import dataclass, field

from netexfil.read.portable.end import WORD, delta

# Within this long a second packet of the same content is a copy, in units of 100 µs: without and with an IP identification.
COPIED = (20, 10_000)

FLIGHT = 65_535  # a SYN may stand this many bytes below what was seen of its conversation before it


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
