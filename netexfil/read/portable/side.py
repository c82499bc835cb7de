"""What one side of a session sent: packets, bytes, and which numbers of its stream were seen or acknowledged."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from netexfil.read.portable.end import WORD, delta

# A copy of a packet follows within this long, in units of 100 µs: as one of the next two where it has an IP identification; where it has none, or
# further behind (a sensor that writes from several queues was seen to be 20 ms late).
KNOWN, NEAR = 10_000, 500
EARLIER = 64  # datagrams before the last two that are remembered, where they came that near

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
    earlier: deque[tuple[object, int]] = field(default_factory=lambda: deque(maxlen=EARLIER))
    doubtful: int = 0  # payload of datagrams that were captured twice, or sent twice

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

    def repeated(self, shape: object, known: bool, now: int, far: bool = False) -> bool:
        """Was this packet just seen? `known`: the IP header has an identification of its own; `far`: look further back than two packets."""
        now //= 100_000
        recent = self.pkts > 1 and any(old == shape and abs(now - at) <= (KNOWN if known else NEAR) for old, at in self.recent)
        if recent or (far and any(old == shape and abs(now - at) <= NEAR for old, at in self.earlier)):
            return True
        if len(self.recent) > 1:
            oldest = self.recent.pop(0)
            if abs(now - oldest[1]) <= NEAR:
                self.earlier.append(oldest)
        self.recent.append((shape, now))
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

    def begins(self, at: int, syn: bool, data: bool) -> int:
        """A segment begins here, behind its SYN. By how much lower the stream begins with it than with what came before the SYN."""
        lower = 0 if self.begin is None else self.begin - at
        near = 0 < lower <= FLIGHT and not self.syn and (syn or (data and not self.seen))
        if near or self.begin is None or (syn and not self.syn and not self.seen):
            self.begin = at
        self.syn |= syn
        return lower if near else 0

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
