"""Conversations to frames: TCP and UDP with sequence numbers, acknowledgements, retransmissions and checksums, as a capture holds them."""

from __future__ import annotations

import ipaddress
import random
import struct
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
PROTO = {"tcp": 6, "udp": 17}
End = tuple[str, int]


@dataclass(slots=True)
class Segment:
    """One packet: when, from the originator or not, TCP flags and numbers, payload. `again` is a retransmission."""

    time: float
    out: bool
    flags: int
    seq: int
    ack: int
    payload: bytes
    again: bool = False


@dataclass(slots=True)
class Path_:
    """How the way between the two ends is: round trip in seconds, bytes per second, share of lost data segments."""

    rtt: float = 0.02
    rate: float = 2_500_000.0
    loss: float = 0.0


@dataclass
class Conversation:
    """One session as it happens, seen at the originator's side. `now` moves on with every act."""

    rng: random.Random
    proto: str
    orig: End
    resp: End
    now: float
    path: Path_
    segments: list[Segment] = field(default_factory=list)
    start: float = 0.0
    facts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start = self.now
        self._next = {True: self.rng.randrange(1 << 32), False: self.rng.randrange(1 << 32)}

    @property
    def mss(self) -> int:
        return 1440 if ":" in self.orig[0] else 1460

    def connect(self) -> None:
        self._put(True, SYN)
        self.now += self.path.rtt
        self._put(False, SYN | ACK)
        self.now += 0.0001
        self._put(True, ACK)

    def send(self, out: bool, data: bytes) -> None:
        """Bytes from one side; every second segment is acknowledged a round trip later, a lost one is sent again."""
        view = memoryview(data)
        for count, at in enumerate(range(0, len(data), self.mss)):
            part = bytes(view[at : at + self.mss])
            self.now += len(part) / self.path.rate
            first = self._next[out]
            self._put(out, ACK | (PSH if at + self.mss >= len(data) else 0), part)
            if self.rng.random() < self.path.loss:
                again = Segment(self.now + 3 * self.path.rtt, out, ACK, first, self._next[not out], part, again=True)
                self.segments.append(again)
            if count % 2:
                self._acknowledge(out)
        self._acknowledge(out)
        self.now += self.path.rtt

    def close(self) -> None:
        self.now += 4 * self.path.rtt
        self._put(True, FIN | ACK)
        self.now += self.path.rtt
        self._put(False, FIN | ACK)
        self.now += 0.0001
        self._put(True, ACK)

    def datagram(self, out: bool, data: bytes) -> None:
        self.now += len(data) / self.path.rate
        self.segments.append(Segment(self.now, out, 0, 0, 0, data))

    def _put(self, out: bool, flags: int, payload: bytes = b"") -> None:
        ack = 0 if flags & SYN and not flags & ACK else self._next[not out]
        self.segments.append(Segment(self.now, out, flags, self._next[out], ack, payload))
        self._next[out] = (self._next[out] + len(payload) + bool(flags & (SYN | FIN))) % (1 << 32)

    def _acknowledge(self, out: bool) -> None:
        self.segments.append(Segment(self.now + self.path.rtt, not out, ACK, self._next[not out], self._next[out], b""))

    def ordered(self) -> list[Segment]:
        return sorted(self.segments, key=lambda s: s.time)


def tally(segments: Iterable[Segment], proto: str, six: bool) -> dict[str, int]:
    """What one side sent: packets, IP bytes, payload, and payload without retransmissions."""
    held = list(segments)
    head = (40 if six else 20) + (20 if proto == "tcp" else 8)
    payload = sum(len(s.payload) for s in held)
    again = sum(len(s.payload) for s in held if s.again)
    return {
        "pkts": len(held),
        "ip_bytes": payload + head * len(held),
        "payload": payload,
        "maxseg": max((len(s.payload) for s in held), default=0),
        "unique_payload": payload - again,
        "retransmitted": again,
    }


def _checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071) of big-endian words."""
    words = array("H", data + b"\0" * (len(data) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.unpack("<H", struct.pack(">H", ~total & 0xFFFF))[0] if struct.pack("=H", 1) == b"\1\0" else ~total & 0xFFFF


def frame(proto: str, source: End, target: End, segment: Segment, number: int) -> bytes:
    """An Ethernet frame with valid checksums."""
    one, other = ipaddress.ip_address(source[0]), ipaddress.ip_address(target[0])
    if proto == "tcp":
        body = struct.pack(">HHIIBBHHH", source[1], target[1], segment.seq, segment.ack, 5 << 4, segment.flags, 64240, 0, 0) + segment.payload
        place = 16
    else:
        body = struct.pack(">HHHH", source[1], target[1], 8 + len(segment.payload), 0) + segment.payload
        place = 6
    number_ = PROTO[proto]
    if one.version == 6:
        pseudo = one.packed + other.packed + struct.pack(">IHBB", len(body), 0, 0, number_)
        head = struct.pack(">IHBB", 6 << 28, len(body), number_, 64) + one.packed + other.packed
    else:
        pseudo = one.packed + other.packed + struct.pack(">BBH", 0, number_, len(body))
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), number & 0xFFFF, 0x4000, 64, number_, 0) + one.packed + other.packed
        head = head[:10] + struct.pack(">H", _checksum(head)) + head[12:]
    value = _checksum(pseudo + body)
    body = body[:place] + struct.pack(">H", value or 0xFFFF) + body[place + 2 :]
    macs = bytes(12) if one.is_loopback else b"\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01"
    return macs + (b"\x86\xdd" if one.version == 6 else b"\x08\x00") + head + body


def write_pcap(path: Path, frames: Iterable[tuple[float, bytes]]) -> None:
    """A classic pcap, microseconds, Ethernet."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for time, data in frames:
            micros = round(time * 1e6)
            file.write(struct.pack("<IIII", micros // 1_000_000, micros % 1_000_000, len(data), len(data)) + data)


def merged(
    conversations: Sequence[Conversation], seen: Sequence[tuple[End, End]], hidden: str | None = None
) -> list[tuple[float, bytes]]:
    """Frames of all conversations by time, with the ends that the sensor sees.

    `hidden` is the direction (`in`: to the originator, `out`) that it does not see.
    """
    rows = []
    for conversation, (orig, resp) in zip(conversations, seen, strict=True):
        for segment in conversation.ordered():
            if hidden is None or segment.out == (hidden == "in"):
                rows.append((segment.time, conversation.proto, (orig, resp) if segment.out else (resp, orig), segment))
    rows.sort(key=lambda row: row[0])
    return [(time, frame(proto, *ends, segment, number)) for number, (time, proto, ends, segment) in enumerate(rows)]
