"""pcapng: sections of either byte order, interfaces with their own link type, clock resolution and offset."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from netexfil.read.portable.frame import Frame
from netexfil.read.portable.input import LONGEST, Damage, Input

SECTION = b"\x0a\x0d\x0d\x0a"
INTERFACE, OLD_PACKET, SIMPLE, ENHANCED = 1, 2, 3, 6
ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
CHECKED = 1024 * 1024  # blocks up to here are checked before they are believed: both their lengths must agree
CHAIN = 3  # behind damage, this many blocks must stand one behind the other
KNOWN = 10  # the highest code of an ordinary block
OPTIONS = 64 * 1024  # room for the options of a packet that a cut file ends in
INTERFACES = 65_536  # more in one section are damage
NO_CLOCK = (2**63 - 1) // 4


@dataclass(slots=True)
class Interface:
    """What an interface says of its packets. `units` time stamp units make a second."""

    link: int
    snaplen: int
    units: int = 10**6
    offset: int = 0
    trailer: int = 0

    def time(self, stamp: int) -> int:
        total = stamp * 10**9 // self.units + self.offset * 10**9
        return total if -(2**63) <= total < 2**63 else NO_CLOCK


@dataclass(slots=True)
class Section:
    """The current section: its byte order, its interfaces, the last time stamp."""

    source: Input
    order: str = "<"
    interfaces: list[Interface] = field(default_factory=list)
    last: int = 0

    def word(self, at: int) -> int:
        return int.from_bytes(self.source.view(at, 4), "big" if self.order == ">" else "little")

    def follow(self, at: int) -> bool:
        """Do blocks that packets come in stand at this place, one behind the other, or one that ends with the file?"""
        for number in range(CHAIN):
            if not self.source.ensure(at + 12):
                return number > 0 and self.source.available() == at
            length = self.block(at)
            if not length:
                return False
            at += length
        return True

    def block(self, at: int) -> int:
        """Length of the block at this place, where its kind is known and both its lengths are the same; else 0."""
        section = self.source.view(at, 4) == SECTION
        code = self.word(at)
        if not section and not 1 <= code <= KNOWN:
            return 0
        order = self.order if not section else ">" if self.source.view(at + 8, 4) == b"\x1a\x2b\x3c\x4d" else "<"
        (length,) = struct.unpack(order + "I", self.source.view(at + 4, 4))
        if not 12 <= length <= CHECKED or length % 4 or not self.source.ensure(at + length):
            return 0
        if code == ENHANCED and self.word(at + 8) >= len(self.interfaces):
            return 0
        return length if struct.unpack(order + "I", self.source.view(at + length - 4, 4))[0] == length else 0


def pcapng(source: Input) -> Iterator[Frame | Damage]:
    """Every frame, and what was stepped over.

    Raises:
        Unreadable: where the file cannot be read on.
    """
    section = Section(source)
    while source.ensure(12):
        place, is_section = source.place, source.view(0, 4) == SECTION
        wrong = _begin(section) if is_section else _wrong(section, section.word(4))
        if wrong:
            yield source.damaged(wrong, section.follow)
            continue
        length, code = section.word(4), section.word(0)
        if not is_section and code == INTERFACE:
            if not source.ensure(length):
                raise source.cut("an interface description")
            section.interfaces.append(_interface(section.order, source.view(8, length - 12)))
        elif not is_section and code in (OLD_PACKET, SIMPLE, ENHANCED):
            found = _packet(section, code, length)
            if isinstance(found, str):
                yield source.damaged(found, section.follow)
                continue
            yield found
        elif length > CHECKED:
            yield from _pass(section, length)
            continue
        if not source.skip(length):
            raise source.cut("a block", place)
    if source.available() or source.trouble:
        raise source.cut("a block header")


def _begin(section: Section) -> str:
    """A section header; what is wrong with it."""
    order = ORDERS.get(section.source.view(8, 4))
    if order is None:
        section.order = "<"
        return "a section header of no known byte order"
    section.order, section.interfaces = order, []
    length = section.word(4)
    return f"a section header claims {length} bytes" if length < 28 or length % 4 else ""


def _wrong(section: Section, length: int) -> str:
    """What is wrong with the block that stands here."""
    code = section.word(0)
    if length < 12 or length % 4:
        return f"a block claims {length} bytes"
    if length <= CHECKED and section.source.ensure(length) and section.word(length - 4) != length:
        return f"a block of {length} bytes whose end says otherwise"
    if code == INTERFACE and (not 20 <= length <= LONGEST or len(section.interfaces) >= INTERFACES):
        return "an interface description that cannot be"
    if code in (OLD_PACKET, SIMPLE, ENHANCED) and not (12 if code == SIMPLE else 28) + 4 <= length <= LONGEST:
        return f"a packet block claims {length} bytes"
    return ""


def _pass(section: Section, length: int) -> Iterator[Damage]:
    """Step over a large block that is none of ours; its end is looked at once it is there."""
    place = section.source.place
    if not section.source.skip(length - 4):
        raise section.source.cut("a block", place)
    if section.source.ensure(4) and section.word(0) != length:
        yield section.source.damaged(f"a block of {length} bytes whose end says otherwise", section.follow, place)
    elif not section.source.skip(4):
        raise section.source.cut("a block", place)


def _interface(order: str, body: bytes) -> Interface:
    link, _, snaplen = struct.unpack_from(order + "HHI", body)
    interface, at = Interface(link, snaplen), 8
    while at + 4 <= len(body):
        code, size = struct.unpack_from(order + "HH", body, at)
        value = body[at + 4 : at + 4 + size]
        if code == 0 or len(value) < size:
            break
        if code == 9 and size == 1:
            interface.units = 2 ** (value[0] & 127) if value[0] & 128 else 10 ** value[0]
        elif code == 13 and size == 1:
            interface.trailer = value[0]
        elif code == 14 and size == 8:
            (interface.offset,) = struct.unpack(order + "q", value)
        at += 4 + size + -size % 4
    return interface


def _packet(section: Section, code: int, length: int) -> Frame | Damage | str:
    """One packet block; damage where its interface is not known, and in words what is wrong with the block."""
    source, fixed = section.source, 12 if code == SIMPLE else 28
    claims = f"a packet block claims {length} bytes"
    if not source.ensure(length):
        # The last packet of a cut file has a head like any other; a spoilt length may reach beyond the end as well.
        whole = section.word(20) + fixed + 4
        if code == SIMPLE or source.available() < fixed or whole <= length < whole + OPTIONS:
            raise source.cut("a packet")
        return claims
    body = source.view(8, length - 12)
    index = 0 if code == SIMPLE else struct.unpack_from(section.order + ("I" if code == ENHANCED else "H"), body)[0]
    if index >= len(section.interfaces):
        return Damage("damaged", source.place, "a packet of an interface that was not described")
    interface, room = section.interfaces[index], length - fixed - 4
    if code == SIMPLE:
        wire = section.word(8)
        stored = min(wire, interface.snaplen or wire, room)
    else:
        high, low, stored, wire = struct.unpack_from(section.order + "IIII", body, 4)
        if stored > room:
            return f"a packet of {stored} bytes in a block of {length}"
        section.last = interface.time(high << 32 | low)
    return Frame(section.last, interface.link, max(wire, stored), source.view(fixed, stored), interface.trailer)
