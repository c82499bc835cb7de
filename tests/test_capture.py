"""Captures to sessions: the meaning of the columns, and which packets are one session."""

from __future__ import annotations

import itertools
import struct
import time
from pathlib import Path

import duckdb
import packets as p
import pytest
from captured import ether, one, sessions

from netexfil import read, tables
from netexfil.policy import Policy

pytest.importorskip("netexfil._core", reason="the core is not built")


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


def test_a_beginning_in_any_order_behind_an_acknowledgement_is_counted_whole(tmp_path: Path) -> None:
    talk = p.talk(sent=[b"SSH-2.0-mine/v1\r\n", b"x" * 100], server=22)
    times, heard = [time for time, _ in talk], p.ip4("192.0.2.9", "10.0.0.5", 6, p.tcp(22, 40000, 9001, 1018, p.ACK))
    opening, rest = [data for _, data in talk[:4]], [(time + 0.02, data) for time, data in talk[4:]]
    for order in itertools.permutations(opening):
        row = one(tmp_path, p.pcap([*zip(times, [heard, *order], strict=False), *rest], link=101))
        assert [row[f"orig_{name}"] for name in ("h", "low", "high", "quality")] == ["10.0.0.5", 117, 117, "exact"], row["history"]
        assert [row[f"resp_{name}"] for name in ("low", "high", "quality")] == [50, 50, "exact"]
        assert row["ssh_client"] == "SSH-2.0-mine/v1"


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


def datagrams(count: int, port: int, ident: int, first: int = 0xC0) -> list[bytes]:
    """Different ones; `ident` of the first of them, 0: none has one."""
    content = [bytes([first, number]) * 500 for number in range(count)]
    return [p.ip4("10.0.0.5", "192.0.2.9", 17, p.udp(40000, port, data), ident and ident + number) for number, data in enumerate(content)]


@pytest.mark.parametrize(
    ("port", "ident", "seconds", "low", "high"),
    [
        (4433, 5, 0.004, 40, 40),  # the same identification: captured twice
        (4433, 5, -0.004, 40, 40),  # and written in another order
        (4433, 5, 0.2, 80, 80),
        (443, 0, 0.02, 40, 40),  # QUIC never seals two packets alike
        (4433, 0, 0.02, 40, 80),  # captured twice, or sent twice
        (4433, 0, 0.2, 80, 80),
    ],
)
def test_copies_that_come_some_dozens_of_datagrams_later(tmp_path: Path, port: int, ident: int, seconds: float, low: int, high: int) -> None:
    sent = datagrams(40, port, ident)
    burst = [*((i * 1e-5, data) for i, data in enumerate(sent)), *((seconds + i * 1e-5, data) for i, data in enumerate(sent))]
    row = one(tmp_path, p.pcap([(time + 1, data) for time, data in burst], link=101))
    assert (row["orig_pkts"], row["orig_low"], row["orig_high"]) == (80, low * 1000, high * 1000)
    assert row["orig_quality"] == ("exact" if low == high else "bounded")


def test_what_was_sent_twice_is_no_copy(tmp_path: Path) -> None:
    sent = [*datagrams(40, 443, 5), *datagrams(40, 443, 105)]
    row = one(tmp_path, p.pcap([(i * 1e-5, data) for i, data in enumerate(sent)], link=101))
    assert (row["orig_low"], row["orig_high"], row["hints"]) == (80_000, 80_000, "open")


def test_a_copy_with_a_tag_of_which_less_was_stored(tmp_path: Path) -> None:
    frames = [bytes(12) + tag + b"\x08\x00" + data for data in datagrams(9, 4433, 5) for tag in (b"", b"\x81\x00\x00\x05")]
    row = one(tmp_path, p.pcap([(i * 1e-5, frame[:128], len(frame)) for i, frame in enumerate(frames)]))
    assert (row["orig_bytes"], row["orig_low"], row["orig_high"]) == (18_000, 9_000, 9_000)


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
    cut = [(after, frame[:60], len(frame)) for after, frame in server]  # payload that a snapshot length took away does not keep it from closing
    row = one(tmp_path, p.pcap(cut, link=101))
    assert (row["orig_low"], row["orig_high"], row["orig_quality"]) == (300, 301, "bounded")
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


@pytest.mark.parametrize("engine", ["core", "portable"])
def test_no_more_was_sent_than_the_packet_holds(tmp_path: Path, engine: str) -> None:
    """A length of UDP beyond its IP packet is not believed."""
    told = struct.pack("!HHHH", 40000, 9999, 60_000, 0) + bytes(50)
    frames = [(0.1 * n, p.ethernet(p.ip4("10.0.0.5", "192.0.2.9", 17, told[:20] + bytes([n]) + told[21:], n + 1))) for n in range(3)]
    (tmp_path / "long.pcap").write_bytes(p.pcap(frames))
    row = _by(engine, tmp_path / "long.pcap")
    assert row == [("10.0.0.5", 40000, 3, 234, 150, 150, 150)]


@pytest.mark.parametrize("engine", ["core", "portable"])
def test_extension_headers_inside_fragments(tmp_path: Path, engine: str) -> None:
    """Only the first fragment tells what stands behind the fragment header; the others belong to it all the same."""
    whole = b"\x11\0" + bytes(6) + p.udp(40000, 9999, bytes(range(200)) * 10)
    cuts = [(0, 800), (800, 1600), (1600, len(whole))]
    parts = [struct.pack("!BBHI", 60, 0, start | (end < len(whole)), 7) + whole[start:end] for start, end in cuts]
    frames = [(0.001 * n, p.ip6("2001:db8::5", "2001:db8:1::9", 44, part)) for n, part in enumerate(parts)]
    (tmp_path / "parts.pcap").write_bytes(p.pcap(frames, link=229))
    assert _by(engine, tmp_path / "parts.pcap") == [("2001:db8::5", 40000, 1, 2056, None, 2000, 2000)]
    cut = [(time, data[:80], len(data)) for time, data in frames]
    (tmp_path / "cut.pcap").write_bytes(p.pcap(cut, link=229))
    assert [row[:3] for row in _by(engine, tmp_path / "cut.pcap")] == [("2001:db8::5", 40000, 1)]


def _by(engine: str, path: Path) -> list[tuple[object, ...]]:
    con = tables.connect()
    tables.create(con)
    read.sessions(con, [str(path)], read.Options(engine=engine), Policy())
    return con.execute("SELECT orig_h, orig_p, orig_pkts, orig_ip_bytes, orig_bytes, orig_low, orig_high FROM session").fetchall()


def test_data_channels_announced_without_end_cost_no_more_each(tmp_path: Path) -> None:
    """The memory of announced channels is full after 65,536; it is not searched through for each one more."""
    lines = [f"PORT 9,{n >> 16},{n >> 8 & 255},{n & 255},9,7\r\n".encode() for n in range(120_000)]
    sent = [b"USER x\r\n", *(b"".join(lines[n : n + 70]) for n in range(0, len(lines), 70))]
    frames = [(n * 1e-4, data) for n, (_, data) in enumerate(p.talk(sent, answer=b"", server=21))]
    before = time.process_time()
    row = one(tmp_path, p.pcap(frames, link=101))
    assert (row["service"], row["orig_pkts"]) == ("ftp", len(sent) + 4)
    assert time.process_time() - before < 5
