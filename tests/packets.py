"""Small captures by code: headers from the inside out, and the file formats around them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from ipaddress import ip_address

START = 1_700_000_000.0
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def tcp(sport: int, dport: int, seq: int, ack: int, flags: int, data: bytes = b"", window: int = 8192) -> bytes:
    return struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, window, 0, 0) + data


def udp(sport: int, dport: int, data: bytes = b"") -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data


def ip4(source: str, target: str, proto: int, payload: bytes, ident: int = 1, fragment: int = 0, total: int | None = None) -> bytes:
    size = 20 + len(payload) if total is None else total
    head = struct.pack("!BBHHHBBH", 0x45, 0, size, ident, fragment, 64, proto, 0)
    return head + ip_address(source).packed + ip_address(target).packed + payload


def ip6(source: str, target: str, proto: int, payload: bytes) -> bytes:
    return struct.pack("!IHBB", 0x60000000, len(payload), proto, 64) + ip_address(source).packed + ip_address(target).packed + payload


def ethernet(payload: bytes, kind: int = 0x0800) -> bytes:
    return b"\x02\0\0\0\0\1\x02\0\0\0\0\2" + struct.pack("!H", kind) + payload


Frame = tuple[float, bytes] | tuple[float, bytes, int]


def pcap(frames: Iterable[Frame], link: int = 1, magic: int = 0xA1B2C3D4, order: str = "<") -> bytes:
    """Frames are (seconds after START, bytes) or (…, bytes, length on the wire)."""
    unit = 1e9 if magic == 0xA1B23C4D else 1e6
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)]
    for after, data, *wire in frames:
        whole = int(START + after)
        out.append(struct.pack(order + "IIII", whole, round((START + after - whole) * unit), len(data), wire[0] if wire else len(data)))
        if magic == 0xA1B2CD34:
            out.append(bytes(8))
        out.append(data)
    return b"".join(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, options: bytes = b"", order: str = "<", snaplen: int = 0) -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, snaplen) + options, order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def enhanced(units: int, data: bytes, index: int = 0, order: str = "<") -> bytes:
    return block(6, struct.pack(order + "IIIII", index, units >> 32, units & 0xFFFFFFFF, len(data), len(data)) + data, order)


def talk(
    sent: Sequence[bytes] = (b"x" * 100,), answer: bytes = b"y" * 50, port: int = 40000, server: int = 443, v6: bool = False
) -> list[tuple[float, bytes]]:
    """One whole TCP conversation as IP packets: 10.0.0.5 (2001:db8::5) sends `sent`, 192.0.2.9 (2001:db8:1::9) answers once."""
    client, remote = ("2001:db8::5", "2001:db8:1::9") if v6 else ("10.0.0.5", "192.0.2.9")
    wrap = ip6 if v6 else ip4
    time, mine, yours, out = 0.0, 1000, 9000, []

    def say(outward: bool, flags: int, data: bytes = b"") -> None:
        nonlocal time, mine, yours
        ends = (client, remote) if outward else (remote, client)
        ports = (port, server) if outward else (server, port)
        seq, ack = (mine, yours) if outward else (yours, mine)
        out.append((round(time, 6), wrap(*ends, 6, tcp(*ports, seq, ack if flags & ACK else 0, flags, data))))
        step = len(data) + bool(flags & (SYN | FIN))
        mine, yours = (mine + step, yours) if outward else (mine, yours + step)
        time += 0.01

    say(True, SYN)
    say(False, SYN | ACK)
    say(True, ACK)
    for data in sent:
        say(True, PSH | ACK, data)
    if answer:
        say(False, PSH | ACK, answer)
    say(True, FIN | ACK)
    say(False, FIN | ACK)
    say(True, ACK)
    return out
