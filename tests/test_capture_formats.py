"""Capture files to frames to packets: headers, sections, compression, link types, tunnels."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import packets as p
import pytest
from captured import ether, one, sessions

pytest.importorskip("netexfil._core", reason="the core is not built")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34], ids=["micro", "nano", "kuznetzov"])
def test_pcap_headers(tmp_path: Path, order: str, magic: int) -> None:
    row = one(tmp_path, p.pcap(ether(p.talk()), magic=magic, order=order))
    assert (row["ts"], row["orig_bytes"], row["conn_state"]) == (p.START, 100, "SF")


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_sections_interfaces_and_clocks(tmp_path: Path, order: str) -> None:
    frames = p.talk()
    parts = [p.section(order), p.interface(1, p.option(9, b"\x09", order), order), p.interface(101, p.option(9, b"\x83", order), order)]
    offset = p.option(14, struct.pack(order + "q", int(p.START)), order)
    parts += [p.interface(101, offset, order)]
    parts += [p.enhanced(round((p.START + t) * 1e9), p.ethernet(d), 0, order) for t, d in frames[:3]]
    parts += [p.enhanced(round((p.START + t + 1) * 8), d, 1, order) for t, d in frames[3:4]]  # units of 1/8 s
    other = ">" if order == "<" else "<"
    parts += [p.section(other), p.interface(101, p.option(14, struct.pack(other + "q", int(p.START)), other), other)]
    parts += [p.enhanced(round((t + 2) * 1e6), d, 0, other) for t, d in frames[4:]]
    row = one(tmp_path, b"".join(parts))
    assert (row["ts"], row["orig_bytes"], row["resp_bytes"], row["conn_state"]) == (p.START, 100, 50, "SF")
    assert row["duration"] == pytest.approx(2.06, abs=1e-6)


def test_simple_and_old_packet_blocks(tmp_path: Path) -> None:
    first, second = (data for _, data in p.talk()[:2])
    units = int(p.START * 1e6)
    old = p.block(2, struct.pack("<HHIIII", 0, 0, units >> 32, units & 0xFFFFFFFF, len(first), len(first)) + first)
    simple = p.block(3, struct.pack("<I", len(second)) + second)
    row = one(tmp_path, p.section() + p.interface(101) + old + simple)
    assert (row["history"], row["ts"]) == ("Sh", p.START)


@pytest.mark.parametrize("squeeze", ["gzip", "zstd"])
def test_compressed(tmp_path: Path, squeeze: str) -> None:
    data = p.pcap(ether(p.talk()))
    if squeeze == "zstd":
        data = pytest.importorskip("zstandard").ZstdCompressor().compress(data)
    else:  # two members, as `cat a.gz b.gz` makes them
        data = gzip.compress(data[:100]) + gzip.compress(data[100:])
    assert one(tmp_path, data)["conn_state"] == "SF"


def radiotap(data: bytes) -> bytes:
    wifi = b"\x88\x01" + bytes(22) + b"\0\0" + b"\xaa\xaa\x03\0\0\0\x08\0"  # QoS data, to the access point
    return b"\0\0\x08\0\0\0\0\0" + wifi + data


def nflog(data: bytes) -> bytes:
    return b"\x02\0\0\0" + struct.pack("<HH", 5, 10) + b"x\0\0\0" + struct.pack("<HH", 4 + len(data), 9) + data


LINKS = {
    "null": (0, lambda d: b"\x02\0\0\0" + d), "loop": (108, lambda d: b"\0\0\0\x02" + d), "raw": (101, lambda d: d), "ipv4": (228, lambda d: d),
    "ppp": (9, lambda d: b"\xff\x03\0\x21" + d), "hdlc": (104, lambda d: b"\x0f\0\x08\0" + d), "sll": (113, lambda d: bytes(14) + b"\x08\0" + d),
    "sll2": (276, lambda d: b"\x08\0" + bytes(18) + d), "radiotap": (127, radiotap), "nflog": (239, nflog),
    "pflog": (117, lambda d: b"\x3d" + bytes(63) + d), "802.11": (105, lambda d: radiotap(d)[8:]),
}
ETHERS = {
    "vlan": lambda d: p.ethernet(b"\0\x05\x08\0" + d, 0x8100), "qinq": lambda d: p.ethernet(b"\0\x05\x81\0\0\x06\x08\0" + d, 0x88A8),
    "pppoe": lambda d: p.ethernet(b"\x11\0\0\x01" + struct.pack("!H", len(d) + 2) + b"\0\x21" + d, 0x8864),
    "mpls": lambda d: p.ethernet(b"\0\x01\0\x40\0\x02\x01\x40" + d, 0x8847),
    "snap": lambda d: p.ethernet(b"\xaa\xaa\x03\0\0\0\x08\0" + d, len(d) + 8),
    "padded": lambda d: p.ethernet(d) + bytes(20),
}


@pytest.mark.parametrize("name", [*LINKS, *ETHERS])
def test_link_types(tmp_path: Path, name: str) -> None:
    link, wrap = LINKS[name] if name in LINKS else (1, ETHERS[name])
    row = one(tmp_path, p.pcap([(time, wrap(data)) for time, data in p.talk()], link=link))
    assert (row["orig_bytes"], row["resp_bytes"], row["orig_ip_bytes"], row["conn_state"], row["tunnel"]) == (100, 50, 300, "SF", None)


def over(proto: int, head: bytes = b"") -> Any:
    return lambda d: p.ip4("198.51.100.1", "198.51.100.2", proto, head + d)


def over_udp(port: int, head: bytes) -> Any:
    return lambda d: p.ip4("198.51.100.1", "198.51.100.2", 17, p.udp(50000, port, head + d))


TUNNELS = {
    "ipip": over(4), "gre": over(47, b"\0\0\x08\0"), "gre-keyed": over(47, b"\x30\0\x08\0" + bytes(8)),
    "gre,erspan": lambda d: p.ip4("198.51.100.1", "198.51.100.2", 47, b"\x10\0\x88\xbe\0\0\0\1" + bytes(8) + p.ethernet(d)),
    "vxlan": lambda d: over_udp(4789, b"\x08\0\0\0\0\0\x07\0")(p.ethernet(d)),
    "geneve": lambda d: over_udp(6081, b"\0\0\x65\x58\0\0\x07\0")(p.ethernet(d)), "gtp": over_udp(2152, b"\x30\xff\0\0\0\0\0\1"),
}


@pytest.mark.parametrize("name", TUNNELS)
def test_tunnels(tmp_path: Path, name: str) -> None:
    (tmp_path / "t.pcap").write_bytes(p.pcap([(time, TUNNELS[name](data)) for time, data in p.talk()], link=101))
    rows, notes = sessions(tmp_path / "t.pcap")
    assert not notes
    inner = [row for row in rows if row["proto"] == "tcp"]
    outer = [row for row in rows if row["proto"] == "udp"]
    shown = [(row["orig_h"], row["orig_bytes"], row["conn_state"], row["tunnel"]) for row in inner]
    assert shown == [("10.0.0.5", 100, "SF", name.removesuffix("-keyed"))]
    assert all("carrier" in row["hints"] for row in outer)


@pytest.mark.parametrize("name", ["6in4", "teredo"])
def test_ipv6_tunnels(tmp_path: Path, name: str) -> None:
    wrap = over(41) if name == "6in4" else over_udp(3544, b"\0\1\0\0" + bytes(9))
    (tmp_path / "t.pcap").write_bytes(p.pcap([(time, wrap(data)) for time, data in p.talk(v6=True)], link=101))
    rows = [row for row in sessions(tmp_path / "t.pcap")[0] if row["proto"] == "tcp"]
    assert [(row["resp_h"], row["orig_bytes"], row["tunnel"]) for row in rows] == [("2001:db8:1::9", 100, name)]
