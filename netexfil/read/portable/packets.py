"""Frames to TCP segments and UDP datagrams: Ethernet, VLAN, Linux cooked and raw IP; fragments put together; no tunnels."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import dpkt

from netexfil.read.portable.frame import COOKED, COOKED2, ETHERNET, RAW, Frame, named

TCP, UDP = 6, 17
TAGS = {0x8100, 0x88A8, 0x9100, 0x9200}
IP = {0x0800, 0x86DD}
# What is not looked into, by EtherType, by IP protocol and by UDP port: the core does.
OTHER_TYPES = {0x8864: "PPPoE", 0x8847: "MPLS", 0x8848: "MPLS", 0x8926: "VN-Tag", 0x6558: "transparent bridging", 0x880B: "PPP", 0x88E7: "PBB"}
TUNNELS = {4: "IP-in-IP", 41: "6in4", 47: "GRE", 97: "EtherIP", 137: "MPLS"}
UDP_TUNNELS = {4789: "VXLAN", 8472: "VXLAN", 6081: "GENEVE", 4754: "GRE", 3544: "Teredo", 2152: "GTP", 5072: "AYIYA", 37008: "TZSP"}
BOTH_WAYS = {4789, 6081, 3544, 2152, 5072}
EXTENSIONS = {0, 43, 44, 51, 60, 135, 139, 140}
FRAGMENT_AGE = 60 * 10**9
FRAGMENTED_AT_ONCE, MOST_PIECES, LONGEST = 512, 256, 65_535


class Refused(Exception):
    """Something that this engine does not read. `told`: a word to count by, and a sentence that names it."""

    def __init__(self, kind: str, what: str) -> None:
        reason = f"{what} that does not fit its packet" if kind == "malformed" else f"{what} needs the core engine"
        super().__init__(reason)
        self.told = (kind, reason)


@dataclass(slots=True)
class Packet:
    """One segment or datagram. Addresses as 4 or 16 bytes; `length` is the payload on the wire, `payload` what was stored of it."""

    source: bytes
    target: bytes
    proto: int
    source_port: int
    target_port: int
    ip_bytes: int
    length: int
    payload: bytes
    seq: int = 0
    ack: int = 0
    flags: int = 0
    window: int = 0
    ident: int | None = None
    tunnel: str | None = None
    headless: bool = False  # cut by the snapshot length before TCP's flags: ports are known, and nothing else


@dataclass(slots=True)
class Header:
    """An IP header: `total` is header and payload by its own word, `size` the header, `part` (identification, offset, more) of a fragment."""

    source: bytes
    target: bytes
    proto: int
    total: int
    size: int
    ident: int | None = None
    extra: int = 0  # bytes of fragment headers (IPv6), which the whole packet does not have
    part: tuple[int, int, bool] | None = None


@dataclass(slots=True)
class Pieces:
    """The fragments of one packet."""

    since: int
    known: list[tuple[int, bytes]] = field(default_factory=list)
    held: int = 0
    length: int | None = None

    def add(self, offset: int, more: bool, data: bytes) -> bytes | None:
        """The whole payload, once nothing is missing. What came first stays."""
        if not more:
            self.length = offset + len(data)
        known = data and any(at <= offset and offset + len(data) <= at + len(old) for at, old in self.known)
        if not known and len(self.known) < MOST_PIECES and self.held + len(data) <= 2 * LONGEST:
            self.held += len(data)
            self.known.append((offset, data))
            self.known.sort(key=lambda piece: piece[0])
        return None if self.length is None else self._joined(self.length)

    def _joined(self, length: int) -> bytes | None:
        whole = bytearray()
        for at, piece in self.known:
            if at > len(whole):
                return None
            whole += piece[len(whole) - at :]
        return bytes(whole[:length]) if len(whole) >= length else None


class Decoder:
    """Keeps fragments until they are whole."""

    def __init__(self) -> None:
        self.waiting: dict[tuple[bytes, bytes, int, int], Pieces] = {}

    def packet(self, frame: Frame) -> Packet | None:
        """The segment or datagram in a frame, if it holds one.

        Raises:
            Refused: the frame holds what this engine does not read.
        """
        length = max(frame.length - frame.trailer, 0)
        at = _network(frame.link, frame.data[:length])
        if at is None:
            return None
        header = _header(frame.data[at:length], length - at)
        if header is None:
            raise Refused("malformed", "an IP header")
        data = frame.data[at : at + header.total][header.size :]
        if header.part is None:
            return _transport(header, data)
        if len(data) < header.total - header.size:
            # Cut by the snapshot length: it can never be put together, but the first one still tells the session.
            return _unfolded(header, data) if header.part[1] == 0 else None
        whole = self._join(header, data, frame.time)
        if whole is None:
            return None
        header.total, header.part = header.size + len(whole), None
        return _unfolded(header, whole)

    def _join(self, header: Header, data: bytes, now: int) -> bytes | None:
        ident, offset, more = header.part or (0, 0, False)
        if offset + len(data) > LONGEST:
            return None
        key = (header.source, header.target, ident, header.proto)
        if key not in self.waiting and len(self.waiting) >= FRAGMENTED_AT_ONCE:
            del self.waiting[min(self.waiting, key=lambda old: self.waiting[old].since)]
        pieces = self.waiting.setdefault(key, Pieces(now))
        if now - pieces.since > FRAGMENT_AGE:
            pieces = self.waiting[key] = Pieces(now)
        whole = pieces.add(offset, more, data)
        if whole is not None:
            del self.waiting[key]
        return whole


def _network(link: int, data: bytes) -> int | None:
    """Where the IP header begins; None where there is none."""
    if link in RAW:
        return 0
    if link in ETHERNET:
        place, at = 12, 14
    elif link in COOKED:
        place, at = 14, 16
    elif link in COOKED2:
        place, at = 0, 20
    else:
        raise Refused("link_type", named(link))
    for _ in range(16):
        if len(data) < max(place + 2, at):
            return None
        (kind,) = struct.unpack_from(">H", data, place)
        if kind in IP:
            return at
        if kind in OTHER_TYPES:
            raise Refused("tunnel", OTHER_TYPES[kind])
        if kind < 0x600:
            return _llc(data, at)
        if kind not in TAGS:
            return None
        place, at = at + 2, at + 4
    return None


def _llc(data: bytes, at: int) -> int | None:
    """IP behind an 802.2 header."""
    snap = data[at : at + 8]
    if snap[:6] in (b"\xaa\xaa\x03\x00\x00\x00", b"\xaa\xaa\x03\x00\x00\xf8") and snap[6:] in (b"\x08\x00", b"\x86\xdd"):
        return at + 8
    return at + 3 if snap[:3] == b"\x06\x06\x03" else None


def _header(data: bytes, length: int) -> Header | None:
    """The IP header of either version; None where it does not fit its packet (`length` bytes on the wire)."""
    if not data:
        return None
    read = {4: _four, 6: _six}.get(data[0] >> 4)
    header = read(data, length) if read else None
    return header if header and header.size <= header.total <= length and header.size <= len(data) else None


def _four(data: bytes, length: int) -> Header | None:
    if len(data) < 20:
        return None
    total, ident, part = struct.unpack_from(">HHH", data, 2)
    size = (data[0] & 15) * 4
    fragment = (ident, (part & 0x1FFF) * 8, bool(part & 0x2000)) if part & 0x3FFF else None
    return Header(data[12:16], data[16:20], data[9], total or length, size, ident, part=fragment) if size >= 20 else None


def _six(data: bytes, length: int) -> Header | None:
    if len(data) < 40:
        return None
    (payload,) = struct.unpack_from(">H", data, 4)
    return _steps(Header(data[8:24], data[24:40], data[6], payload + 40 if payload else length, 40), data)


def _steps(header: Header, data: bytes) -> Header | None:
    """Over the extension headers, up to that of a fragment: what follows it is part of the whole, and read with it."""
    for _ in range(16):
        if header.proto not in EXTENSIONS or header.part:
            break
        if len(data) < header.size + 8:
            return None
        _step(header, data)
    return header


def _unfolded(header: Header, body: bytes) -> Packet | None:
    """What was in fragments: behind the extension headers (IPv6) that it begins with.

    Raises:
        Refused: they do not fit.
    """
    if header.ident is not None:
        return _transport(header, body)
    before, part = header.size, header.part
    header.size, header.part = 0, None
    if not _steps(header, body) or header.size > len(body) or header.part:
        raise Refused("malformed", "an IP header")
    inside, header.size, header.part = header.size, before + header.size, part
    return _transport(header, body[inside:])


def _step(header: Header, data: bytes) -> None:
    """Over one extension header."""
    at = header.size
    size = {44: 8, 51: data[at + 1] * 4 + 8}.get(header.proto, data[at + 1] * 8 + 8)
    if header.proto == 44:
        header.extra = 8
        (part, ident) = struct.unpack_from(">HI", data, at + 2)
        if part & 0xFFF9:
            header.part = (ident, part & 0xFFF8, bool(part & 1))
    if header.proto == 43 and data[at + 2] == 0 and data[at + 3] > 0 and size >= 24 and len(data) >= at + size:
        header.target = data[at + size - 16 : at + size]  # the last hop of a routing header is the packet's target
    if header.proto == 60:
        _home(header, data[at : at + size])
    header.proto, header.size = data[at], header.size + size


def _home(header: Header, options: bytes) -> None:
    """Mobile IPv6: the address at home is the source."""
    at = 2
    while at < len(options):
        size = 1 if options[at] == 0 else 2 + (options[at + 1] if at + 1 < len(options) else 0)
        if options[at] == 201 and size == 18 and at + 18 <= len(options):
            header.source = options[at + 2 : at + 18]
        at += size


def _transport(header: Header, data: bytes) -> Packet | None:
    if header.proto in TUNNELS:
        raise Refused("tunnel", TUNNELS[header.proto])
    room = header.total - header.size
    least = {TCP: 20, UDP: 8}.get(header.proto, room + 1)
    if room < least or len(data) < min(least, 4):
        return None
    return (_tcp if header.proto == TCP else _udp)(header, data, room)


def _tcp(header: Header, data: bytes, room: int) -> Packet:
    if len(data) < 14:
        source_port, target_port = struct.unpack_from(">HH", data)
        return Packet(header.source, header.target, TCP, source_port, target_port, header.total - header.extra, 0, b"", headless=True)
    try:
        seg = dpkt.tcp.TCP(data[:20] + bytes(60 - len(data[:20])))
    except dpkt.UnpackError as error:
        raise Refused("malformed", "a TCP header") from error
    size = (data[12] >> 4) * 4
    if size > room:
        raise Refused("malformed", "a TCP header")
    ends = header.source, header.target, TCP, seg.sport, seg.dport
    window = seg.win if len(data) >= 16 else 1
    return Packet(*ends, header.total - header.extra, room - size, data[size:room], seg.seq, seg.ack, data[13], window, header.ident)


def _udp(header: Header, data: bytes, room: int) -> Packet:
    datagram = dpkt.udp.UDP(data[:8] + bytes(max(8 - len(data), 0)))
    # Zero where offload left it to the network card; not believed where it was cut.
    said = datagram.ulen - 8 if datagram.ulen >= 8 and len(data) >= 6 else room - 8
    if not header.part:
        said = min(said, room - 8)  # more than its packet holds was not sent; the first fragment, cut, speaks for all
    tunnel = UDP_TUNNELS.get(datagram.dport) or (UDP_TUNNELS.get(datagram.sport) if datagram.sport in BOTH_WAYS else None)
    ends = header.source, header.target, UDP, datagram.sport, datagram.dport
    return Packet(*ends, header.total - header.extra, said, data[8 : 8 + said], ident=header.ident, tunnel=tunnel)
