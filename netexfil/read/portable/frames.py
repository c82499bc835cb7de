"""Capture files to frames: pcap and pcapng, plain or gzip. dpkt's own readers drop the length on the wire and all interfaces but the first."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, cast

# Magic (as read little-endian or big-endian): fraction of a second in nanoseconds, bytes of a record header.
MAGICS = {0xA1B2C3D4: (1000, 16), 0xA1B23C4D: (1, 16), 0xA1B2CD34: (1000, 24), 0xA1B234CD: (1000, 24), 0xA12B3C4D: (1000, 16)}
SECTION = b"\x0a\x0d\x0d\x0a"
SNAPLEN = 262_144  # the largest that libpcap accepts
LONGEST = 16 * 1024 * 1024  # no writer makes a longer block

# LINKTYPE numbers that are read, and the names of those that the core reads besides (tcpdump.org/linktypes.html).
ETHERNET, RAW, COOKED, COOKED2 = {1}, {12, 14, 101, 228, 229}, {113}, {276}
LINKS = ETHERNET | RAW | COOKED | COOKED2
NAMES = {
    0: "NULL", 6: "IEEE802_5", 9: "PPP", 10: "FDDI", 50: "PPP_HDLC", 51: "PPP_ETHER", 104: "C_HDLC", 105: "IEEE802_11", 107: "FRELAY", 108: "LOOP",
    109: "ENC", 117: "PFLOG", 119: "IEEE802_11_PRISM", 127: "IEEE802_11_RADIOTAP", 163: "IEEE802_11_AVS", 192: "PPI", 219: "MPLS", 239: "NFLOG",
    274: "ETHERNET_MPACKET",
}  # fmt: skip


def named(link: int) -> str:
    """A link type in words."""
    return f"link type {link} ({NAMES[link]})" if link in NAMES else f"link type {link}"


class Frame(NamedTuple):
    """Nanoseconds since 1970 UTC, LINKTYPE number, bytes on the wire, bytes stored, bytes of check sequence at the end."""

    time: int
    link: int
    length: int
    data: bytes
    trailer: int = 0


class Damage(Exception):
    """The file cannot be read on. `kind` is `truncated`, `damaged` or `unreadable`; `place` is an offset in the decompressed file."""

    def __init__(self, kind: str, place: int, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.place, self.reason = kind, place, reason


@dataclass(slots=True)
class Source:
    """A file and the offset reached in it."""

    file: BinaryIO
    place: int = 0

    def take(self, size: int, what: str) -> bytes:
        """Exactly `size` bytes; nothing at all only where nothing is left and `what` is empty."""
        try:
            data = self.file.read(size)
        except (OSError, EOFError) as error:
            raise Damage("damaged", self.place, f"cannot be read on: {error}") from error
        if len(data) < size and (data or what):
            raise Damage("truncated", self.place, f"ends inside {what or 'a record header'}")
        self.place += len(data)
        return data


def frames(path: str) -> Iterator[Frame]:
    """Every frame of one file.

    Raises:
        Damage: where the file cannot be read on; the frames before it have been handed out.
    """
    try:
        raw: BinaryIO = open(path, "rb")  # noqa: SIM115 (closed below, whichever reader is put over it)
    except OSError as error:
        raise Damage("unreadable", 0, error.strerror or str(error)) from error
    with raw:
        magic = raw.read(4)
        raw.seek(0)
        if magic == b"\x28\xb5\x2f\xfd":
            raise Damage("unreadable", 0, "zstd needs the core engine")
        source = Source(cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if magic[:2] == b"\x1f\x8b" else raw)
        try:
            magic = source.take(4, "the file header")
        except Damage as damage:
            raise Damage("unreadable", 0, "is too short to be a capture") from damage
        yield from _pcapng(source) if magic == SECTION else _pcap(source, magic)


def _pcap(source: Source, magic: bytes) -> Iterator[Frame]:
    order = next((order for order in "<>" if struct.unpack(order + "I", magic)[0] in MAGICS), None)
    if order is None:
        raise Damage("unreadable", 0, "is no pcap or pcapng capture")
    unit, header = MAGICS[struct.unpack(order + "I", magic)[0]]
    try:
        _, minor, _, _, snaplen, link = struct.unpack(order + "HHIIII", source.take(20, "the file header"))
    except Damage as damage:
        raise Damage("unreadable", 0, damage.reason) from damage
    if link & 0xFFFF not in LINKS:
        raise Damage("unreadable", 0, f"{named(link & 0xFFFF)} needs the core engine")
    trailer = (link >> 28) * 2 if link & 0x0400_0000 else 0
    longest = min(max(snaplen, SNAPLEN), LONGEST - 64)
    while head := source.take(header, ""):
        place = source.place - header
        seconds, fraction, stored, length = struct.unpack(order + "IIII", head[:16])
        if minor < 3 or (minor == 3 and stored > length):
            stored, length = length, stored
        if stored > longest:
            raise Damage("damaged", place, f"a record claims {stored} bytes; the rest of the file is not read")
        data = source.take(stored, "a packet")
        yield Frame(seconds * 10**9 + fraction * unit, link & 0xFFFF, max(length, stored), data, trailer)


@dataclass(slots=True)
class Interface:
    """What a pcapng interface says of its packets. `units` time stamp units make a second."""

    link: int
    snaplen: int
    units: int = 10**6
    offset: int = 0
    trailer: int = 0

    def time(self, stamp: int) -> int:
        total = stamp * 10**9 // self.units + self.offset * 10**9
        return total if -(2**63) <= total < 2**63 else (2**63 - 1) // 4  # no clock shows this


@dataclass(slots=True)
class Section:
    """The current section: its byte order, its interfaces, the last time stamp."""

    order: str = "<"
    interfaces: list[Interface] = field(default_factory=list)
    last: int = 0


def _pcapng(source: Source) -> Iterator[Frame]:
    section = Section()
    head = SECTION + source.take(4, "a block header")
    while head:
        place = source.place - 8
        tail = source.take(4, "a block header")
        if head[:4] == SECTION:
            section.order = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}.get(tail, "")
            section.interfaces = []
            if not section.order:
                raise Damage("damaged", place, "a section header of no known byte order; the rest of the file is not read")
        kind, length = struct.unpack(section.order + "II", head)
        if length < 12 or length % 4 or length > LONGEST:
            raise Damage("damaged", place, f"a block claims {length} bytes; the rest of the file is not read")
        body = (tail + source.take(length - 12, "a block"))[: length - 12]
        if kind == 1:
            section.interfaces.append(_interface(section.order, body, place))
        elif kind in (2, 3, 6):
            yield from _packet(section, kind, body, place)
        head = source.take(8, "")


def _interface(order: str, body: bytes, place: int) -> Interface:
    if len(body) < 8:
        raise Damage("damaged", place, "an interface description that cannot be; the rest of the file is not read")
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


def _packet(section: Section, kind: int, body: bytes, place: int) -> Iterator[Frame]:
    """One packet block: enhanced (6), simple (3) or the old one (2)."""
    fixed = 4 if kind == 3 else 20
    if len(body) < fixed:
        raise Damage("damaged", place, f"a packet block claims {len(body) + 12} bytes; the rest of the file is not read")
    if kind == 3:
        (length,), index = struct.unpack_from(section.order + "I", body), 0
    else:
        high, low, stored, length = struct.unpack_from(section.order + "IIII", body, 4)
        (index,) = struct.unpack_from(section.order + ("I" if kind == 6 else "H"), body)
    if index >= len(section.interfaces):
        return
    interface = section.interfaces[index]
    room = len(body) - fixed
    if kind == 3:
        stored = min(length, interface.snaplen or length, room)
    elif stored > room:
        raise Damage("damaged", place, f"a packet of {stored} bytes in a block of {len(body) + 12}; the rest of the file is not read")
    else:
        section.last = interface.time(high << 32 | low)
    yield Frame(section.last, interface.link, max(length, stored), body[fixed : fixed + stored], interface.trailer)
