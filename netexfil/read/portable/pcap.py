"""Classic pcap: both byte orders, micro- and nanoseconds, and the modified header of Alexey Kuznetzov's patch."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from netexfil.read.portable.frame import LINKS, Frame, named
from netexfil.read.portable.input import LONGEST, Damage, Input, Unreadable

# Magic (as read little-endian or big-endian): fraction of a second in nanoseconds, bytes of a record header.
MAGICS = {0xA1B2C3D4: (1000, 16), 0xA1B23C4D: (1, 16), 0xA1B2CD34: (1000, 24), 0xA1B234CD: (1000, 24), 0xA12B3C4D: (1000, 16)}
SNAPLEN = 262_144  # the largest that libpcap accepts
CHAIN = 3  # behind damage, this many records must stand one behind the other before they are believed
DAY = 86_400  # and be no further apart, in seconds


class Record(NamedTuple):
    """A record header."""

    seconds: int
    fraction: int
    stored: int
    length: int


@dataclass(slots=True)
class Pcap:
    """What the file header says, and the second of the last packet. `swapped`: the lengths stand the other way round (None: where they tell)."""

    source: Input
    order: str
    unit: int
    header: int
    snaplen: int
    swapped: bool | None
    last: int | None = None

    def record(self, at: int) -> Record:
        seconds, fraction, stored, length = struct.unpack(self.order + "IIII", self.source.view(at, 16))
        swap = stored > length if self.swapped is None else self.swapped
        return Record(seconds, fraction, *((length, stored) if swap else (stored, length)))

    def sane(self, record: Record, before: int | None) -> bool:
        """Could a writer have written that behind a packet of this second?"""
        return (
            1 <= record.stored <= self.snaplen
            and record.stored <= record.length <= SNAPLEN
            and record.fraction * self.unit < 10**9
            and (before is None or abs(before - record.seconds) <= DAY)
        )

    def follow(self, at: int) -> bool:
        """Do records stand at this place, one behind the other, or one that ends with the file?"""
        before = self.last
        for number in range(CHAIN):
            if not self.source.ensure(at + self.header):
                return number > 0 and self.source.available() == at
            record = self.record(at)
            if not self.sane(record, before):
                return False
            before = record.seconds
            at += self.header + record.stored
        return True


def pcap(source: Input) -> Iterator[Frame | Damage]:
    """Every frame, and what was stepped over.

    Raises:
        Unreadable: where the file cannot be read on.
    """
    magic = source.view(0, 4)
    order = next((order for order in "<>" if struct.unpack(order + "I", magic)[0] in MAGICS), None)
    if order is None:
        raise Unreadable(Damage("unreadable", 0, "is no pcap or pcapng capture"))
    if not source.ensure(24):
        raise Unreadable(Damage("unreadable", 0, source.trouble or "ends inside the file header"))
    number, _, minor, _, _, snaplen, link = struct.unpack(order + "IHHIIII", source.view(0, 24))
    if link & 0xFFFF not in LINKS:
        raise Unreadable(Damage("unreadable", 0, f"{named(link & 0xFFFF)} needs the core engine"))
    source.consume(24)
    trailer = (link >> 28) * 2 if link & 0x0400_0000 else 0
    longest = min(max(snaplen, SNAPLEN), LONGEST - 64)
    file = Pcap(source, order, *MAGICS[number], min(snaplen or SNAPLEN, SNAPLEN), None if minor == 3 else minor < 3)
    while source.ensure(file.header):
        record = file.record(0)
        whole = file.header + record.stored
        if record.stored > longest or not any(record):
            yield _damaged(file, record)
        elif source.ensure(whole):
            file.last = record.seconds
            yield Frame(
                record.seconds * 10**9 + record.fraction * file.unit, link & 0xFFFF, max(record.length, record.stored),
                source.view(file.header, record.stored), trailer,
            )  # fmt: skip
            source.consume(whole)
        elif file.sane(record, file.last):
            # The last packet of a cut file has a header like any other; a spoilt length may reach beyond the end as well.
            raise source.cut("a packet")
        else:
            yield _damaged(file, record)
    if source.available() or source.trouble:
        raise source.cut("a record header")


def _damaged(file: Pcap, record: Record) -> Damage:
    return file.source.damaged(f"a record claims {record.stored} bytes" if record.stored else "a record header of zeros", file.follow)
