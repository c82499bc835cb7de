"""Captures to sessions: formats, link types, tunnels, damage, and the meaning of the columns."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path
from typing import Any

import duckdb
import packets as p
import pytest

from netexfil import read, tables
from netexfil.errors import Note
from netexfil.policy import Policy

pytest.importorskip("netexfil._core", reason="the core is not built")


def sessions(path: Path | list[Path], **options: Any) -> tuple[list[dict[str, Any]], list[Note]]:
    from netexfil.read import capture

    con = duckdb.connect()
    tables.create(con)
    paths = [str(one) for one in (path if isinstance(path, list) else [path])]
    notes = capture.read(con, paths, read.Options(**options), Policy())
    cursor = con.execute(f"SELECT {', '.join(tables.READ)} FROM session ORDER BY ts, uid")
    return [dict(zip(tables.READ, row, strict=True)) for row in cursor.fetchall()], notes


def one(tmp_path: Path, data: bytes, **options: Any) -> dict[str, Any]:
    (tmp_path / "one.pcap").write_bytes(data)
    rows, notes = sessions(tmp_path / "one.pcap", **options)
    assert not notes
    assert len(rows) == 1, rows
    return rows[0]


def ether(frames: list[tuple[float, bytes]], kind: int = 0x0800) -> list[tuple[float, bytes]]:
    return [(time, p.ethernet(data, kind)) for time, data in frames]


def test_one_conversation(tmp_path: Path) -> None:
    row = one(tmp_path, p.pcap(ether(p.talk())))
    wanted = {
        "ts": p.START, "orig_h": "10.0.0.5", "orig_p": 40000, "resp_h": "192.0.2.9", "resp_p": 443, "proto": "tcp", "duration": 0.06,
        "orig_bytes": 100, "resp_bytes": 50, "conn_state": "SF", "history": "ShADdFf", "orig_pkts": 5, "orig_ip_bytes": 300, "resp_pkts": 3,
        "resp_ip_bytes": 170, "missed_bytes": 0, "orig_low": 100, "orig_high": 100, "orig_quality": "exact", "tunnel": None,
    }
    assert {key: row[key] for key in wanted} == wanted | {"duration": pytest.approx(0.06, abs=1e-6)}
    assert row["uid"].startswith("C")
    assert len(row["uid"]) == 18
    assert row["source"].endswith("one.pcap")


@pytest.mark.parametrize("engine", ["core", "portable"])
@pytest.mark.parametrize(
    ("first", "port", "quality", "hints"),
    [(b"\xc0", 443, "exact", "open"), (b"\x45", 443, "bounded", "midstream,open"), (b"\x45", 5004, "exact", "open"), (b"\x16", 443, "exact", "open")],
    ids=["opens", "from its middle", "no port of QUIC", "DTLS"],
)
def test_a_quic_conversation_joined_in_its_middle_has_no_upper_bound(
    tmp_path: Path, engine: str, first: bytes, port: int, quality: str, hints: str | None
) -> None:
    frames = [(p.START + n, p.ethernet(p.ip4("10.0.0.5", "192.0.2.9", 17, p.udp(40000, port, first + bytes(99)), n + 1))) for n in range(3)]
    (tmp_path / "quic.pcap").write_bytes(p.pcap(frames))
    con = tables.connect()
    tables.create(con)
    read.sessions(con, [str(tmp_path / "quic.pcap")], read.Options(engine=engine), Policy())
    wanted = (300, 300 if quality == "exact" else None, quality, hints)
    assert con.execute("SELECT orig_low, orig_high, orig_quality, hints FROM session").fetchall() == [wanted]


def test_a_second_run_gives_the_same_uids(tmp_path: Path) -> None:
    data = p.pcap(ether(p.talk()))
    assert one(tmp_path, data)["uid"] == one(tmp_path, data)["uid"]


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


def test_fragments_are_one_packet(tmp_path: Path) -> None:
    whole = p.udp(40000, 9999, bytes(range(200)) * 10)
    cuts = [(0, 800, True), (1600, 2008, False), (800, 1600, True)]  # out of order
    parts = [p.ip4("10.0.0.5", "192.0.2.9", 17, whole[a:b], 7, (a // 8) | (0x2000 if more else 0)) for a, b, more in cuts]
    frames = [(0.001 * index, part) for index, part in enumerate(parts)]
    row = one(tmp_path, p.pcap(frames, link=101))
    assert (row["orig_pkts"], row["orig_ip_bytes"], row["orig_low"]) == (1, 2028, 2000)


def test_extension_headers(tmp_path: Path) -> None:
    def extended(data: bytes) -> bytes:
        head, rest = data[:40], data[40:]
        return head[:4] + struct.pack("!H", len(rest) + 24) + b"\0" + head[7:] + b"\x3c\0" + bytes(6) + b"\x06\x01" + bytes(14) + rest

    row = one(tmp_path, p.pcap([(time, extended(data)) for time, data in p.talk(v6=True)], link=229))
    assert (row["orig_h"], row["orig_bytes"], row["resp_bytes"], row["conn_state"]) == ("2001:db8::5", 100, 50, "SF")


def test_snapshot_length_counts_by_the_headers(tmp_path: Path) -> None:
    frames = [(time, data[:48], len(data)) for time, data in p.talk(sent=[b"x" * 1400] * 5)]
    row = one(tmp_path, p.pcap(frames, link=101))
    assert (row["orig_bytes"], row["orig_ip_bytes"], row["orig_low"], row["orig_high"]) == (7000, 7360, 7000, 7000)
    assert "cut" in row["hints"]


def test_super_packet_without_length(tmp_path: Path) -> None:
    frames = p.talk(sent=[b"x" * 3000])
    frames[3] = (frames[3][0], frames[3][1][:2] + b"\0\0" + frames[3][1][4:])  # segmentation offload left the length to the card
    row = one(tmp_path, p.pcap(frames, link=101))
    assert (row["orig_bytes"], row["orig_low"], row["orig_ip_bytes"]) == (3000, 3000, 3200)


def test_packets_captured_twice_count_their_bytes_once(tmp_path: Path) -> None:
    frames = [frame for time, data in p.talk() for frame in ((time, data), (time + 1e-5, data))]
    row = one(tmp_path, p.pcap(frames, link=101))
    assert (row["orig_pkts"], row["orig_bytes"], row["orig_low"], row["orig_high"]) == (10, 100, 100, 100)
    datagrams = [(0.001 * i, p.ip4("10.0.0.5", "192.0.2.9", 17, p.udp(40000, 443, bytes([i // 2]) * 1000), 5 + i // 2)) for i in range(8)]
    row = one(tmp_path, p.pcap(datagrams, link=101))
    assert (row["orig_bytes"], row["orig_low"], row["orig_high"]) == (8000, 4000, 4000)
    assert "duplicate" in row["hints"]


def test_retransmissions_and_gaps(tmp_path: Path) -> None:
    frames = p.talk(sent=[b"a" * 100, b"b" * 100, b"c" * 100], answer=b"y" * 50)
    again = [*frames[:5], (0.045, frames[4][1]), *frames[5:]]
    row = one(tmp_path, p.pcap(again, link=101))
    assert (row["orig_bytes"], row["orig_low"], row["history"]) == (300, 300, "ShADTdFf")
    lost = [*frames[:4], *frames[5:]]  # the second of three pieces was not captured; the answer acknowledges it
    row = one(tmp_path, p.pcap(lost, link=101))
    assert (row["orig_bytes"], row["missed_bytes"], row["history"]) == (300, 100, "ShADdGFf")
    assert (row["orig_low"], row["orig_high"], row["orig_quality"]) == (300, 300, "bounded")  # acknowledged, so it was sent


def test_begun_before_the_capture(tmp_path: Path) -> None:
    frames = p.talk(sent=[b"x" * 100] * 3)
    frames = [frames[6], frames[5], *frames[7:]]  # begins with an answer of the server
    row = one(tmp_path, p.pcap(frames, link=101))
    assert (row["orig_h"], row["resp_p"], row["history"][:2]) == ("10.0.0.5", 443, "^d")
    assert (row["orig_low"], row["orig_high"], row["orig_quality"]) == (100, None, "bounded")
    assert "midstream" in row["hints"]


def test_one_side_only(tmp_path: Path) -> None:
    talk = p.talk(sent=[b"x" * 100] * 3)
    client, server = ([frame for frame in talk if frame[1][12:16] == address] for address in (bytes([10, 0, 0, 5]), bytes([192, 0, 2, 9])))
    row = one(tmp_path, p.pcap(client, link=101))
    assert (row["orig_low"], row["orig_high"]) == (300, 300)
    # As far as it was acknowledged; the FIN may be counted in that. Without the SYN more may have come before, without the FIN more behind.
    assert (row["resp_low"], row["resp_high"], row["resp_quality"]) == (50, 51, "bounded")
    assert "onesided" in row["hints"]
    row = one(tmp_path, p.pcap(server, link=101))
    assert (row["orig_low"], row["orig_high"], row["orig_quality"], row["resp_high"]) == (300, 301, "bounded", 50)
    swapped = [(server[at][0], frame) for at, (_, frame) in enumerate([server[1], server[0], *server[2:]])]
    assert one(tmp_path, p.pcap(swapped, link=101))["orig_high"] == 301  # the beginning comes late
    for part in (server[1:], server[:-1]):
        row = one(tmp_path, p.pcap(part, link=101))
        assert (row["orig_high"], row["orig_quality"]) == (None, "unknown")


def test_silence_ends_a_session(tmp_path: Path) -> None:
    def datagram(time: float, port: int = 9999) -> tuple[float, bytes]:
        return time, p.ip4("10.0.0.5", "192.0.2.9", 17, p.udp(40000, port, b"hello"), int(time) + 1)

    (tmp_path / "u.pcap").write_bytes(p.pcap([datagram(0), datagram(59), datagram(120)], link=101))
    assert [row["orig_pkts"] for row in sessions(tmp_path / "u.pcap")[0]] == [2, 1]
    (tmp_path / "d.pcap").write_bytes(p.pcap([datagram(0, 53), datagram(12, 53)], link=101))
    assert [row["orig_pkts"] for row in sessions(tmp_path / "d.pcap")[0]] == [1, 1]
    syns = [(float(t), p.ip4("10.0.0.5", "192.0.2.9", 6, p.tcp(40000, 443, 7, 0, p.SYN))) for t in (0, 3, 9)]
    (tmp_path / "s.pcap").write_bytes(p.pcap(syns, link=101))
    assert [(row["orig_pkts"], row["conn_state"]) for row in sessions(tmp_path / "s.pcap")[0]] == [(2, "S0"), (1, "S0")]


def test_ports_used_again_are_another_session(tmp_path: Path) -> None:
    second = [(time + 1, data) for time, data in p.talk()]
    (tmp_path / "r.pcap").write_bytes(p.pcap(p.talk() + second, link=101))
    assert [row["conn_state"] for row in sessions(tmp_path / "r.pcap")[0]] == ["SF", "SF"]


@pytest.mark.parametrize("place", range(8))
@pytest.mark.parametrize("port", [443, 8089])
def test_a_syn_behind_packets_of_its_own_conversation_opens_it(tmp_path: Path, place: int, port: int) -> None:
    talk = p.talk(server=port)
    times, (syn, *others) = [time for time, _ in talk], [data for _, data in talk]
    late = zip(times, [*others[:place], syn, *others[place:]], strict=True)
    row = one(tmp_path, p.pcap(list(late), link=101))
    assert (row["orig_h"], row["orig_pkts"], row["resp_pkts"], row["conn_state"]) == ("10.0.0.5", 5, 3, "SF")
    assert [row[f"orig_{name}"] for name in ("low", "high", "quality")] == [100, 100, "exact"]
    assert [row[f"resp_{name}"] for name in ("low", "high", "quality")] == [50, 50, "exact"]


@pytest.mark.parametrize("engine", ["core", "portable"])
@pytest.mark.parametrize(
    ("snap", "state", "sent", "low", "high", "quality"),
    [(64, "OTH", None, 0, None, "bounded"), (71, "OTH", None, 0, None, "bounded"), (72, "SF", 100, 100, 100, "exact"), (76, "SF", 100, 100, 100, "exact")],
)
def test_a_cut_tcp_header_still_tells_the_session(
    tmp_path: Path, engine: str, snap: int, state: str, sent: int | None, low: int, high: int | None, quality: str
) -> None:
    frames = [(time, p.ethernet(b"\0\5\x86\xdd" + data, 0x8100)) for time, data in p.talk(v6=True)]
    (tmp_path / "cut.pcap").write_bytes(p.pcap([(time, data[:snap], len(data)) for time, data in frames]))
    con = tables.connect()
    tables.create(con)
    assert not [note for note in read.sessions(con, [str(tmp_path / "cut.pcap")], read.Options(engine=engine), Policy()) if note.loss]
    columns = "orig_h, orig_p, resp_p, orig_pkts, resp_pkts, orig_ip_bytes, conn_state, orig_bytes, orig_low, orig_high, orig_quality"
    rows = con.execute(f"SELECT {columns} FROM session WHERE hints LIKE '%cut%'").fetchall()
    assert rows == [("2001:db8::5", 40000, 443, 5, 3, 400, state, sent, low, high, quality)]
    datagram = p.ethernet(p.ip4("10.0.0.5", "192.0.2.9", 17, p.udp(40000, 9999, bytes(500))))
    (tmp_path / "udp.pcap").write_bytes(p.pcap([(0, datagram[:38], len(datagram))]))
    read.sessions(con, [str(tmp_path / "udp.pcap")], read.Options(engine=engine), Policy())
    assert con.execute("SELECT orig_low, orig_quality, hints FROM session WHERE proto = 'udp'").fetchall() == [(500, "exact", "cut,open")]


def test_echo_is_one_session(tmp_path: Path) -> None:
    ask, reply = (p.ip4(a, b, 1, bytes([kind, 0]) + bytes(62)) for a, b, kind in (("10.0.0.5", "192.0.2.9", 8), ("192.0.2.9", "10.0.0.5", 0)))
    row = one(tmp_path, p.pcap([(0, ask), (0.01, reply)], link=101))
    shown = [row[key] for key in ("proto", "orig_p", "resp_p", "orig_bytes", "resp_bytes", "conn_state", "history")]
    assert shown == ["icmp", 8, 0, 56, 56, "OTH", ""]


# From the specification's own table (github.com/corelight/community-id-spec).
@pytest.mark.parametrize(
    ("proto", "source", "target", "wanted"),
    [
        (6, ("128.232.110.120", 34855), ("66.35.250.204", 80), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        (17, ("192.168.1.52", 54585), ("8.8.8.8", 53), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
    ],
)
def test_community_id(tmp_path: Path, proto: int, source: tuple[str, int], target: tuple[str, int], wanted: str) -> None:
    payload = p.tcp(source[1], target[1], 1, 0, p.SYN) if proto == 6 else p.udp(source[1], target[1], b"x")
    assert one(tmp_path, p.pcap([(0, p.ip4(source[0], target[0], proto, payload))], link=101))["community_id"] == wanted


def test_few_open_sessions_are_handed_out_early_never_lost(tmp_path: Path) -> None:
    frames = [(0.001 * i, p.ip4("10.0.0.5", "192.0.2.9", 17, p.udp(1024 + i, 9999, b"x"), i)) for i in range(500)]
    (tmp_path / "m.pcap").write_bytes(p.pcap(frames, link=101))
    rows, _ = sessions(tmp_path / "m.pcap", max_sessions=10)
    assert len(rows) == 500
    assert sum("early" in row["hints"] for row in rows) == 490


def test_files_of_a_ring_buffer_follow_on(tmp_path: Path) -> None:
    frames = p.talk()
    for name, part in (("b", frames[:4]), ("a", frames[4:])):
        (tmp_path / f"{name}.pcap").write_bytes(p.pcap(part, link=101))
    rows, _ = sessions([tmp_path / "a.pcap", tmp_path / "b.pcap"])
    assert [(row["conn_state"], row["source"].endswith("b.pcap")) for row in rows] == [("SF", True)]


def test_damage_is_told_and_the_rest_counts(tmp_path: Path) -> None:
    data = p.pcap(p.talk(), link=101)
    (tmp_path / "cut.pcap").write_bytes(data[:-10])
    rows, notes = sessions(tmp_path / "cut.pcap")
    assert rows[0]["history"] == "ShADdFf"
    assert [(note.kind, note.reason, note.place) for note in notes] == [("truncated", "ends inside a packet", len(data) - 56)]
    damaged = data[:24] + struct.pack("<IIII", 1, 1, 0xFFFFFF00, 0xFFFFFF00) + data[40:]
    (tmp_path / "bad.pcap").write_bytes(damaged)
    rows, notes = sessions(tmp_path / "bad.pcap")
    assert (rows[0]["history"], notes[0].kind, notes[0].place) == ("^hADdFf", "damaged", 24)
    (tmp_path / "half.pcap.gz").write_bytes(gzip.compress(data)[:-20])
    assert sessions(tmp_path / "half.pcap.gz")[1][0].kind in {"damaged", "truncated"}


def control(lines: list[tuple[bool, bytes]], step: int = 10_000) -> list[tuple[float, bytes]]:
    """An FTP control session as IP packets: (from the client?, text), cut into segments of `step` bytes."""
    client, server = "10.0.0.5", "192.0.2.9"
    out, seqs, at = [], [1000, 9000], 0.0
    for outward, flags in ((True, p.SYN), (False, p.SYN | p.ACK), (True, p.ACK)):
        ends, ports, mine = ((client, server), (40000, 21), 0) if outward else ((server, client), (21, 40000), 1)
        out.append((at, p.ip4(*ends, 6, p.tcp(*ports, seqs[mine], seqs[1 - mine] if flags & p.ACK else 0, flags))))
        seqs[mine] += bool(flags & p.SYN)
        at += 0.001
    for outward, text in lines:
        ends, ports, mine = ((client, server), (40000, 21), 0) if outward else ((server, client), (21, 40000), 1)
        for begin in range(0, len(text), step):
            part = text[begin : begin + step]
            out.append((at, p.ip4(*ends, 6, p.tcp(*ports, seqs[mine], seqs[1 - mine], p.PSH | p.ACK, part))))
            seqs[mine] += len(part)
            at += 0.001
    return out


CHATTER = [(False, b"220 FTP ready\r\n"), (True, b"USER a\r\n"), (False, b"331 ok\r\n"), (True, b"PASS a\r\n"), (False, b"230 ok\r\n")]


@pytest.mark.parametrize("step", [10_000, 7], ids=["lines", "pieces"])
@pytest.mark.parametrize("wordy", [0, 150, 5000], ids=["at once", "many lines", "long lines"])
def test_ftp_announcements_are_heard_as_long_as_the_session_is_clear(tmp_path: Path, wordy: int, step: int) -> None:
    chatter = CHATTER + [line for n in range(wordy and 120) for line in ((True, b"CWD d%d\r\n" % n), (False, b"250 " + b"x" * wordy + b"\r\n"))]
    said = [*chatter, (True, b"PASV\r\n"), (False, b"227 Entering Passive Mode (192,0,2,9,156,64).\r\n")]
    frames = control(said, step)
    end = frames[-1][0] + 0.01
    frames += [(end + at, data) for at, data in p.talk(port=41000, server=40000)]
    (tmp_path / "ftp.pcap").write_bytes(p.pcap(frames, link=101))
    rows, notes = sessions(tmp_path / "ftp.pcap")
    assert not notes
    uid = next(row["uid"] for row in rows if row["resp_p"] == 21)
    data = next(row for row in rows if row["resp_p"] == 40000)
    assert f"control={uid}" in data["hints"]


def test_ftp_announcements_end_with_the_clear_text(tmp_path: Path) -> None:
    chatter = CHATTER + [line for n in range(120) for line in ((True, b"CWD d%d\r\n" % n), (False, b"250 " + b"x" * 300 + b"\r\n"))]
    said = [*chatter, (True, b"AUTH TLS\r\n"), (False, b"234 go\r\n227 Entering Passive Mode (192,0,2,9,156,64).\r\n")]
    frames = control(said)
    end = frames[-1][0] + 0.01
    frames += [(end + at, data) for at, data in p.talk(port=41000, server=40000)]
    (tmp_path / "ftp.pcap").write_bytes(p.pcap(frames, link=101))
    rows, _ = sessions(tmp_path / "ftp.pcap")
    assert "control=" not in (next(row for row in rows if row["resp_p"] == 40000)["hints"] or "")


def bursts(count: int = 60) -> list[tuple[float, bytes]]:
    """Datagrams of one session, of several sizes; each is a packet of its own in the counts."""
    return [(0.01 * n, p.ip4("10.0.0.1", "192.0.2.1", 17, p.udp(5000, 6000, bytes([n]) * (40 + n)), ident=n)) for n in range(count)]


HOLES = {
    "a length beyond reason": lambda record: record[:4] + b"\xff\xff\xff\xf0" * 2 + record[12:],
    "zeros": lambda record: bytes(len(record)),
    "noise": lambda record: bytes((7 * n * n + 131) % 251 + 4 for n in range(len(record))),
    "lost bytes": lambda record: record[:5] + record[30:],
    "more bytes": lambda record: b"\xfe" * 5001 + record,
}


@pytest.mark.parametrize("hole", HOLES)
@pytest.mark.parametrize("form", ["pcap", "big endian", "pcapng"])
def test_reading_goes_on_behind_a_damaged_record(tmp_path: Path, form: str, hole: str) -> None:
    """The frame in the hole is lost and told, the others count; nothing is counted that was not there."""
    frames, order = bursts(), ">" if form == "big endian" else "<"
    if form == "pcapng":
        interface = p.block(1, struct.pack("<HHI", 101, 0, 0))
        records = [
            p.block(6, struct.pack("<IIIII", 0, *divmod(int((p.START + at) * 1e6), 2**32), len(data), len(data)) + data) for at, data in frames
        ]
        head = p.section() + interface
    else:
        parts = [p.pcap([frame], link=101, order=order) for frame in frames]
        head, records = parts[0][:24], [part[24:] for part in parts]
    spoilt = HOLES[hole](records[30])
    (tmp_path / "hole").write_bytes(head + b"".join([*records[:30], spoilt, *records[31:]]))
    rows, notes = sessions(tmp_path / "hole")
    place = len(head) + sum(map(len, records[:30]))
    assert [(note.kind, note.place, note.loss) for note in notes] == [("damaged", place, True)]
    skipped = len(spoilt) - len(records[30]) if hole == "more bytes" else len(spoilt)
    assert f"{skipped} bytes were skipped" in notes[0].reason
    kept = [data for n, (_, data) in enumerate(frames) if n != 30 or hole == "more bytes"]
    assert [(row["orig_pkts"], row["orig_ip_bytes"]) for row in rows] == [(len(kept), sum(map(len, kept)))]


def test_a_hole_without_an_end_ends_the_file(tmp_path: Path) -> None:
    frames = bursts(20)
    (tmp_path / "hole").write_bytes(p.pcap(frames, link=101) + bytes(100_000))
    rows, notes = sessions(tmp_path / "hole")
    assert rows[0]["orig_pkts"] == 20
    assert [note.reason for note in notes] == ["a record header of zeros; the rest of the file is not read"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "is empty"), (b"no capture at all", "is no pcap"), (p.pcap([], link=220), "link type 220 (USB_LINUX_MMAPPED) is not read")],
    ids=["empty", "text", "usb"],
)
def test_what_is_no_capture_is_refused_by_name(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "x").write_bytes(data)
    rows, notes = sessions(tmp_path / "x")
    assert not rows
    assert [(note.kind, note.file) for note in notes] == [("unreadable", str(tmp_path / "x"))]
    assert reason in notes[0].reason


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "good.pcap").write_bytes(p.pcap(p.talk(), link=101))
    (tmp_path / "bad.pcap").write_bytes(b"nothing")
    rows, notes = sessions([tmp_path / "bad.pcap", tmp_path / "good.pcap", tmp_path / "missing.pcap"])
    assert [row["conn_state"] for row in rows] == ["SF"]
    assert sorted((note.kind, Path(note.file).name) for note in notes) == [("unreadable", "bad.pcap"), ("unreadable", "missing.pcap")]


def test_standard_input(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import duckdb; from netexfil import _core; c = duckdb.connect(); c.register('s', _core.capture(['-']))\n"
        "print(c.execute('select conn_state from s').fetchall())"
    )
    data = gzip.compress(p.pcap(p.talk(), link=101))
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert done.stdout.strip() == b"[('SF',)]"


def test_schema_is_the_tables(tmp_path: Path) -> None:
    from netexfil import _core

    (tmp_path / "one.pcap").write_bytes(p.pcap(p.talk(), link=101))
    con = duckdb.connect()
    con.register("s", _core.capture([str(tmp_path / "one.pcap")]))
    assert {row[0]: row[1] for row in con.execute("DESCRIBE s").fetchall()} == dict(tables.READ | tables.SIDES)


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    from netexfil.read import capture

    con = duckdb.connect()
    tables.create(con)
    (tmp_path / "one.pcap").write_bytes(p.pcap(p.talk(), link=101))
    told: list[tuple[str, int, int]] = []
    capture.read(con, [str(tmp_path / "one.pcap")], read.Options(), Policy(), lambda *step: told.append(step))
    assert told[-1][1] == told[-1][2] == (tmp_path / "one.pcap").stat().st_size
