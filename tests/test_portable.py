"""The portable engine is the core's second opinion: the same sessions of the same packets, or a refusal by name."""

from __future__ import annotations

import gzip
import json
import os
import re
import struct
from functools import cache
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netexfil import read, tables
from netexfil.policy import Policy
from netexfil.read import portable
from netexfil.read.portable import flows, session

ROOT = Path(__file__).parent.parent
CORPUS = Path(os.environ.get("NETEXFIL_CORPUS", ROOT.parent / "shared" / "corpus"))
PARTS = 4

pytestmark = pytest.mark.skipif(not read.core_available(), reason="the core is not built")

SAME = (
    "proto", "orig_h", "orig_p", "resp_h", "resp_p", "ts", "duration", "orig_bytes", "resp_bytes", "conn_state", "missed_bytes", "history",
    "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "community_id", "orig_low", "orig_high", "orig_quality", "resp_low", "resp_high",
    "resp_quality", "source",
)  # fmt: skip


@cache
def emptied():
    """One connection for all: making the tables takes longer than reading a small capture."""
    con = duckdb.connect()
    tables.create(con)
    return con


def sessions(module, *paths, options=None):
    """TCP and UDP rows and notes of one engine."""
    con = emptied()
    con.execute("TRUNCATE session")
    more = () if module is portable else (Policy(),)
    notes = module.read(con, [str(path) for path in paths], options or read.Options(), *more)
    columns = ", ".join(SAME)
    rows = con.execute(f"SELECT {columns} FROM session WHERE proto IN ('tcp', 'udp') ORDER BY ALL").fetchall()
    return rows, notes, con


def assert_same(*paths):
    """Both engines tell the same; False where the portable one refuses something by name."""
    from netexfil.read import capture

    ours, notes, _ = sessions(portable, *paths)
    if any(note.kind in ("link_type", "tunnel", "unreadable") for note in notes):
        return False
    core, core_notes, _ = sessions(capture, *paths)
    for mine, theirs in zip(ours, core, strict=True):
        for name, one, two in zip(SAME, mine, theirs, strict=True):
            assert one == (pytest.approx(two, abs=2e-6) if isinstance(two, float) else two), (name, mine, theirs)
    one, two = (sorted((note.kind, note.place or 0, note.count) for note in told if note.loss) for told in (notes, core_notes))
    assert one == two
    return True


def captures():
    manifest = CORPUS / "network" / "MANIFEST.json"
    if not manifest.exists():
        return []
    listed = [CORPUS / "network" / capture["path"] for capture in json.loads(manifest.read_text())["captures"]]
    listed += [path for path in sorted((CORPUS / "lab").iterdir()) if re.search(r"\.pcap(ng)?(\.gz)?$", path.name)]
    return listed


@pytest.mark.skipif(not captures(), reason=f"no corpus at {CORPUS}")
@pytest.mark.parametrize("part", range(PARTS))
def test_equals_the_core_on_the_corpus(part):
    compared = [assert_same(path) for path in captures()[part::PARTS]]
    assert sum(compared) > len(compared) / 2


HOSTS = (b"\x0a\x00\x00\x01", b"\xc0\x00\x02\x09")
step = st.tuples(
    st.sampled_from([0, 1, 50_000, 150_000_000, 4_000_000_000, 7_000_000_000, 301_000_000_000]),  # nanoseconds since the one before
    st.booleans(),  # direction
    st.sampled_from([2, 18, 16, 16, 24, 24, 17, 25, 4, 20, 3, 0]),  # flags
    st.sampled_from([0, 0, 0, 1, 100, 1460, 20_000, -1, -100]),  # where it lies, from where its side stands
    st.sampled_from([0, 0, 1, -1, 100, 20_000]),  # what it acknowledges, from where the other side stands
    st.sampled_from([0, 0, 1, 100, 1460]),  # payload
    st.sampled_from([0, 500, 500]),  # window
)


def packet(flags, seq, ack, size, window, sides, udp=False):
    """Ethernet, VLAN, IPv4 and TCP or UDP."""
    (source, source_port), (target, target_port) = sides
    if udp:
        transport = struct.pack(">HHHH", source_port, target_port, 8 + size, 0)
    else:
        transport = struct.pack(">HHIIBBHHH", source_port, target_port, seq % 2**32, ack % 2**32, 0x50, flags, window, 0, 0)
    transport += bytes(size)
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(transport), 7, 0, 64, 17 if udp else 6, 0) + source + target
    return bytes(12) + b"\x81\x00\x00\x05\x08\x00" + ip + transport


def pcap(packets, link=1):
    """(nanoseconds, frame) to a nanosecond pcap."""
    out = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65_535, link)
    for time, frame in packets:
        out += struct.pack("<IIII", time // 10**9, time % 10**9, len(frame), len(frame)) + frame
    return out


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, min_size=1, max_size=25), start=st.sampled_from([1000, 2**32 - 500]), port=st.sampled_from([443, 22, 40_000]))
def test_equals_the_core_on_any_conversation(tmp_path, steps, start, port):
    ends, stands, time, packets = ((HOSTS[0], 50_000), (HOSTS[1], port)), [start, 77_000], 10**18, []
    for gap, forward, flags, seq, ack, size, window in steps:
        time += gap
        mine = int(not forward)
        at = stands[mine] + seq
        packets.append((time, packet(flags, at, stands[1 - mine] + ack, size, window, ends if forward else ends[::-1])))
        stands[mine] = max(stands[mine], at + size + bool(flags & 3))
    (tmp_path / "any.pcap").write_bytes(pcap(packets))
    assert assert_same(tmp_path / "any.pcap")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.integers(0, 70), st.booleans(), st.integers(0, 50)), min_size=1, max_size=12), port=st.sampled_from([53, 443, 4433])
)
def test_equals_the_core_on_any_datagrams(tmp_path, steps, port):
    ends, time, packets = ((HOSTS[0], 50_000), (HOSTS[1], port)), 10**18, []
    for gap, forward, size in steps:
        time += gap * 10**9
        packets.append((time, packet(0, 0, 0, size, 0, ends if forward else ends[::-1], udp=True)))
    (tmp_path / "any.pcap").write_bytes(pcap(packets))
    assert assert_same(tmp_path / "any.pcap")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.lists(st.integers(0, 60), min_size=1, max_size=200),
    gaps=st.lists(st.sampled_from([0, 10_000, 100_000, 900_000, -2_000_000, 60_000_000]), min_size=1, max_size=9),  # nanoseconds
    identified=st.booleans(), port=st.sampled_from([53, 443, 4433]), stored=st.sampled_from([50, 70, 80, 400]),
)  # fmt: skip
def test_equals_the_core_on_repeated_datagrams(tmp_path, numbers, gaps, identified, port, stored):
    time, packets = 10**18, []
    for place, number in enumerate(numbers):
        time += gaps[place % len(gaps)]
        payload = (b"\x40" * 3 + bytes([number])) * 40
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 188, number + 1 if identified else 0, 0, 64, 17, 0) + HOSTS[0] + HOSTS[1]
        packets.append((time, (bytes(12) + b"\x08\x00" + ip + struct.pack(">HHHH", 50_000, port, 168, 0) + payload)[:stored]))
    data = bytearray(pcap(packets))
    at = 24
    for _, frame in packets:
        struct.pack_into("<I", data, at + 12, 202)
        at += 16 + len(frame)
    (tmp_path / "any.pcap").write_bytes(data)
    assert assert_same(tmp_path / "any.pcap")


HELLO = packet(24, 1, 1, 10, 500, ((HOSTS[0], 50_000), (HOSTS[1], 22)))


def test_files_of_one_ring_buffer_are_one_input(tmp_path):
    frames = [(10**18 + number * 10**9, HELLO) for number in range(4)]
    (tmp_path / "1.pcap").write_bytes(pcap(frames[:2]))
    (tmp_path / "2.pcap.gz").write_bytes(gzip.compress(pcap(frames[2:])))
    assert assert_same(tmp_path / "1.pcap", tmp_path / "2.pcap.gz")
    assert len(sessions(portable, tmp_path / "2.pcap.gz", tmp_path / "1.pcap")[0]) == 1


def pcapng(packets):
    """(nanoseconds, frame) to a pcapng with an interface of nanoseconds."""

    def block(kind, body):
        size = len(body) + -len(body) % 4 + 12
        return struct.pack("<II", kind, size) + body + bytes(-len(body) % 4) + struct.pack("<I", size)

    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHIHHB3x", 1, 0, 0, 9, 1, 9))
    for time, frame in packets:
        out += block(6, struct.pack("<IIIII", 0, time >> 32, time & 0xFFFF_FFFF, len(frame), len(frame)) + frame)
    return out


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.sampled_from([pcap, pcapng]),
    packed=st.booleans(),
    spoilt=st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0, 1, 8, 127, 255]), st.integers(1, 40)), max_size=3),
    cut=st.none() | st.floats(0, 1),
)
def test_equals_the_core_on_damage(tmp_path, form, packed, spoilt, cut):
    frames = [
        (10**18 + number * 10**8, packet(24, 1 + 100 * number, 1, 100, 500, ((HOSTS[0], 50_000 + number % 3), (HOSTS[1], 22))))
        for number in range(30)
    ]
    data = bytearray(form(frames))
    for place, value, size in spoilt:
        at = 24 + int(place * (len(data) - 24))
        data[at : at + size] = bytes([value] * len(data[at : at + size]))
    if packed:
        data = bytearray(gzip.compress(data))
    if cut is not None:
        del data[30 + int(cut * len(data)) :]
    (tmp_path / "any").write_bytes(data)
    assert_same(tmp_path / "any")


@pytest.mark.parametrize("cut", [0, 3, 20, 30, 60, 110])
def test_a_cut_file_is_noted_and_its_good_part_counts(tmp_path, cut):
    (tmp_path / "cut.pcap").write_bytes(pcap([(10**18, HELLO), (10**18 + 1, HELLO)])[:cut])
    rows, notes, _ = sessions(portable, tmp_path / "cut.pcap")
    assert [note.kind for note in notes if note.loss] == (["unreadable"] if cut < 24 else ["truncated"])
    assert len(rows) == (cut > 24 + 16 + len(HELLO))


@pytest.mark.parametrize(
    ("frame", "named"),
    [(HELLO[:16] + b"\x88\x64" + HELLO[18:], "PPPoE"), (HELLO[:27] + b"\x2f" + HELLO[28:], "GRE"), (HELLO[:27] + b"\x04" + HELLO[28:], "IP-in-IP")],
)
def test_tunnels_are_refused_by_name(tmp_path, frame, named):
    (tmp_path / "odd.pcap").write_bytes(pcap([(10**18, frame)] * 3 + [(10**18, HELLO)]))
    rows, notes, _ = sessions(portable, tmp_path / "odd.pcap")
    assert len(rows) == 1
    assert [(note.kind, note.count, note.reason) for note in notes if note.loss] == [("tunnel", 3, f"{named} needs the core engine")]


def test_other_link_types_are_refused_by_name(tmp_path):
    (tmp_path / "odd.pcap").write_bytes(pcap([(10**18, HELLO)], 127))
    rows, notes, _ = sessions(portable, tmp_path / "odd.pcap")
    assert rows == []
    assert [(note.kind, note.reason) for note in notes if note.loss] == [("unreadable", "link type 127 (IEEE802_11_RADIOTAP) needs the core engine")]


def test_zstd_is_refused_by_name(tmp_path):
    (tmp_path / "a.pcap.zst").write_bytes(b"\x28\xb5\x2f\xfd\x00")
    assert [(note.kind, note.reason) for note in sessions(portable, tmp_path / "a.pcap.zst")[1] if note.loss] == [
        ("unreadable", "zstd needs the core engine")
    ]


def conversation(first, second, port=443):
    """A client's and a server's first bytes as frames."""
    ends = ((HOSTS[0], 50_000), (HOSTS[1], port))
    for place, data, sides in ((1, first, ends), (1, second, ends[::-1])):
        frame = packet(24, place, 1, len(data), 500, sides)
        yield frame[: len(frame) - len(data)] + data


def test_it_knows_banners_and_the_server_name_and_says_what_it_leaves_empty(tmp_path):
    seed = (ROOT / "rust/fuzz/seeds/tls/two-records").read_bytes()
    size = int.from_bytes(seed[1:3])
    both = (conversation(b"SSH-2.0-OpenSSH_9.2p1\r\n", b"SSH-2.0-x\n", 22), conversation(seed[3 : 3 + size], seed[3 + size :][:1400]))
    (tmp_path / "a.pcap").write_bytes(pcap([(10**18 + at, frame) for at, frame in enumerate(frame for frames in both for frame in frames)]))
    _, notes, con = sessions(portable, tmp_path / "a.pcap")
    told = con.execute("SELECT service, ssh_client, ssh_server, server_name FROM session ORDER BY service").fetchall()
    assert told == [("ssh", "SSH-2.0-OpenSSH_9.2p1", "SSH-2.0-x", None), ("ssl", None, None, "legacy.cloudshare.example")]
    remark = notes[0]
    assert not remark.loss
    assert "slow" in remark.reason
    for column in portable.EMPTY:
        assert column in remark.reason
        assert con.execute(f"SELECT count({column}) FROM session").fetchone() == (0,)


def test_ports_and_timeouts_are_the_core_s():
    ports = (ROOT / "rust/src/flow/ports.rs").read_text()
    tcp, udp = (set(map(int, re.findall(r"\d+", table))) for table in re.findall(r"const (?:TCP|UDP): &\[u16\] = &\[([^\]]*)\]", ports))
    assert {6: tcp, 17: udp} == flows.SERVER_PORTS
    table = (ROOT / "rust/src/flow/mod.rs").read_text()
    for name in ("ATTEMPT", "LINGER", "CLOSE", "LOOK_AGAIN", "TCP_IDLE", "LOGIN_IDLE", "DNS_LOOK", "DNS_IDLE"):
        assert int(re.search(rf"const {name}: i64 = (?:(\d+) \* )?SECOND;", table)[1]) * 10**9 == getattr(session, name), name


def test_a_limit_on_open_sessions_hands_out_the_longest_idle(tmp_path):
    frames = [(10**18 + number * 10**6, packet(2, 5, 0, 0, 500, ((HOSTS[0], 20_000 + number), (HOSTS[1], 443)))) for number in range(30)]
    (tmp_path / "flood.pcap").write_bytes(pcap(frames))
    rows, _, con = sessions(portable, tmp_path / "flood.pcap", options=read.Options(max_sessions=10))
    assert len(rows) == 30
    assert con.execute("SELECT count(*) FROM session WHERE hints LIKE '%early%'").fetchone() == (20,)
