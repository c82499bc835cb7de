"""Sessions turned towards outside: direction, watched ports, names, bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made import INSIDE, MONDAY, SSH, add, fill, session

from netexfil import outbound, pipeline, policy, read, tables

HOST, OUT = "10.0.0.1", "198.51.100.7"


def turned(row: dict[str, Any], site: policy.Policy = INSIDE) -> dict[str, Any]:
    con = fill([row])
    outbound.turn(con, site)
    cursor = con.execute("SELECT * FROM session")
    return dict(zip([column[0] for column in cursor.description], cursor.fetchone() or (), strict=True))


NAMED: list[tuple[dict[str, Any], tuple[str | None, str]]] = [
    (session(MONDAY, HOST, OUT, 9_000, 1_000), ("true", "HTTPS")),
    (session(MONDAY, HOST, OUT, 9_000, 1_000, 8443), ("true", "HTTPS")),
    (session(MONDAY, HOST, OUT, 9_000, 1_000, 80, service="http"), (None, "HTTP")),
    (session(MONDAY, HOST, OUT, 9_000, 1_000, 465, service="smtp,ssl"), ("true", "SMTPS")),
    (session(MONDAY, HOST, OUT, 9_000, 1_000, 587, service=None), ("true", "SMTPS")),
    (session(MONDAY, HOST, OUT, 9_000, 1_000, 993), ("true", "IMAPS")),
    (session(MONDAY, HOST, OUT, 9_000, 1_000, 990), ("true", "FTPS")),
    (session(MONDAY, HOST, OUT, 9_000, 1_000, 21, service="ftp,ssl"), ("true", "FTPS")),
    (session(MONDAY, HOST, OUT, 9_000, 1_000, 21, service="ftp"), ("true", "FTP")),
    (session(MONDAY, HOST, OUT, 900_000, 1_000, **SSH), ("true", "SFTP/SCP")),
    (session(MONDAY, HOST, OUT, 9_000, 12_000, **SSH), ("true", "SSH")),
    (session(MONDAY, HOST, OUT, 900_000, 1_000, **(SSH | {"port": 443})), ("true", "SFTP/SCP")),
    (session(MONDAY, HOST, OUT, 9_000, 1_000, proto="udp", service=None), ("true", "QUIC")),
    (session(MONDAY, HOST, OUT, 9_000, 1_000, 22, proto="udp", service=None), (None, "Unknown")),
    (session(MONDAY, HOST, OUT, 9_000, 1_000, 50_000), ("true", "HTTPS")),
    (session(MONDAY, HOST, OUT, 9_000, 1_000, 50_000, service=None), (None, "Unknown")),
    (session(MONDAY, HOST, OUT, 20_000_000, 1_000, 50_000, service=None), ("true", "Unknown")),
    (session(MONDAY, HOST, OUT, 20_000_000, 9_000_000, 50_000, service=None), (None, "Unknown")),
    (session(MONDAY, HOST, "10.9.9.9", 9_000, 1_000), (None, "HTTPS")),
    (session(MONDAY, OUT, HOST, 9_000, 90_000), ("pull", "HTTPS")),
    (session(MONDAY, OUT, HOST, 90_000, 9_000), (None, "HTTPS")),
    (session(MONDAY, "192.168.1.1", OUT, 9_000, 1_000), (None, "HTTPS")),
    (session(MONDAY, HOST, OUT, 9_000, 1_000, 50_001, service=None, hints="ftp_data"), ("true", "FTPS")),
    (session(MONDAY, HOST, OUT, 9_000, 1_000, server_name="dav.example.org"), ("true", "WebDAV/HTTPS")),
]


def test_direction_and_name() -> None:
    con = fill(row | {"uid": str(place)} for place, (row, _) in enumerate(NAMED))
    outbound.turn(con, INSIDE)
    got = {uid: rest for uid, *rest in con.execute("SELECT uid, outbound, protocol FROM session").fetchall()}
    for place, (row, want) in enumerate(NAMED):
        assert tuple(got[str(place)]) == want, row


def test_a_pull_counts_the_responders_bytes_as_sent() -> None:
    got = turned(session(MONDAY, OUT, HOST, 9_000, 900_000, **SSH))
    assert (got["inside_h"], got["remote_h"], got["remote_p"], got["bytes_out_low"], got["bytes_in"]) == (HOST, OUT, 22, 900_000, 9_000)
    assert got["pcr"] == pytest.approx(0.9802, abs=1e-4)


def test_an_unseen_side_is_unknown_and_never_zero() -> None:
    got = turned(session(MONDAY, HOST, OUT, 900_000, 0, resp_low=None, resp_high=None, resp_quality="unknown"))
    assert got["bytes_in"] is None
    assert got["pcr"] is None
    got = turned(session(MONDAY, HOST, OUT, 0, 5_000, orig_low=0, orig_high=None, orig_quality="unknown"))
    assert (got["bytes_out_high"], got["byte_quality"], got["pcr"]) == (None, "unknown", None)


def test_turning_twice_changes_nothing_and_late_rows_get_new_numbers() -> None:
    con = fill([session(MONDAY, HOST, OUT, 1, 1), session(MONDAY + 1, HOST, OUT, 1, 1)])
    outbound.turn(con, INSIDE)
    before = con.execute("SELECT * FROM session ORDER BY ALL").fetchall()
    outbound.turn(con, INSIDE)
    assert con.execute("SELECT * FROM session ORDER BY ALL").fetchall() == before
    for late in (2, 3):
        add(con, [session(MONDAY + late, HOST, OUT, 1, 1)])
        outbound.turn(con, INSIDE)
    numbers = [sid for (sid,) in con.execute("SELECT sid FROM session ORDER BY ts").fetchall()]
    assert numbers == sorted(set(numbers))
    assert numbers[:2] == [0, 1]


def test_public_to_public_is_kept_and_the_note_gives_the_line() -> None:
    con = fill([session(MONDAY, "131.202.240.87", OUT, 5_000, 10)])
    notes = outbound.turn(con, INSIDE)
    assert con.execute("SELECT outbound, inside_h FROM session").fetchone() == ("true", "131.202.240.87")
    assert len(notes) == 1
    assert 'inside = ["131.202.0.0/16"]' in notes[0].reason
    assert not notes[0].loss


def test_no_note_where_home_is_known() -> None:
    assert outbound.turn(fill([session(MONDAY, HOST, OUT, 5_000, 10)]), INSIDE) == []


CORE = pytest.mark.skipif(not read.core_available(), reason="no core")
WORDS = "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes conn_state history orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes"
ROWS = (
    "0.5 C1 10.1.2.3 40000 198.51.100.7 443 tcp ssl 1.5 90000 800 SF ShADadFf 90 94000 40 3000",
    "1.5 C2 203.0.113.5 40001 10.1.2.3 22 tcp ssh 2 800 90000 SF ShADadFf 40 3000 90 94000",
    "2.5 C3 2001:db8::1 40002 ::ffff:10.1.2.3 443 tcp - 2 800 90000 SF ShADadFf 40 3000 90 94000",
    "3.5 C4 131.202.240.87 40003 198.51.100.7 8443 tcp - 2 800 900 SF ShADadFf 40 3000 90 4000",
    "4.5 C5 10.1.2.3 40004 10.9.9.9 445 tcp - 2 800 9000000 SF ShADadFf 40 3000 9000 9400000",
    "5.5 C1 10.1.2.3 40000 198.51.100.7 443 tcp ssl 2.5 190000 800 SF ShADadFf 190 194000 40 3000",
)


def both_ways(path: Path) -> tuple[list[object], list[object]]:
    """The sessions of a source, turned while they are read, and turned afterwards."""
    found = []
    for at_once in (True, False):
        con = tables.connect()
        tables.create(con)
        if at_once:
            pipeline.load(con, pipeline.Job([str(path)], policy=INSIDE))
        else:
            read.sessions(con, [str(path)], read.Options(), INSIDE)
            outbound.turn(con, INSIDE)
        assert con.execute("SELECT count(*), count(DISTINCT sid) FROM session WHERE sid IS NULL").fetchone() == (0, 0)
        found.append(con.execute("SELECT * EXCLUDE (sid, source) FROM session ORDER BY ALL").fetchall())
    return found[0], found[1]


@CORE
def test_sessions_are_turned_alike_while_they_are_read_and_afterwards(tmp_path: Path) -> None:
    header = "\n".join(("#separator \\x09", "#path\tconn", "#fields\t" + WORDS.replace(" ", "\t")))
    (tmp_path / "conn.log").write_text(header + "\n" + "\n".join(row.replace(" ", "\t") for row in ROWS) + "\n")
    first, second = both_ways(tmp_path / "conn.log")
    assert first == second
    assert len(first) == 5  # C1 was told twice


@CORE
def test_captures_are_turned_alike() -> None:
    first, second = both_ways(Path(__file__).parent.parent / "pcaps")
    assert first == second
    assert len(first) > 10
