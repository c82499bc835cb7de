"""The list of sessions in every format: exact where a machine reads, harmless where a person does."""

import csv
import io
import json
import re

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from report_cases import HOSTILE, NAUGHTY, session

from netexfil import report, tables
from netexfil.report import words


def stored(*rows):
    con = tables.connect()
    tables.create(con)
    fill(con, *rows)
    return con


def fill(con, *rows):
    tables.insert(con, "session", [[row.get(name) for name in tables.SESSION] for row in rows])


ANY = stored()


def sessions(con, form, **more):
    out = io.BytesIO()
    report.write_sessions(con, form, out, **more)
    return out.getvalue().decode()


def test_sessions_jsonl_has_the_contract():
    rows = [
        json.loads(line)
        for line in sessions(
            stored(
                session(),
                session(uid="C2", ts=1.5, outbound="pull", pcr=float("nan")),
                session(uid="C3", ts=2.0, outbound="false", server_name='a"outbound":"true"'),
            ),
            "jsonl",
        ).splitlines()
    ]
    assert [tables.SHOWN.get(name, name) for name in tables.SESSION_OUTPUT] == list(rows[0])
    assert [row["outbound"] for row in rows] == ["pull", False, True]
    assert rows[0]["pcr"] is None
    assert rows[1]["server_name"] == 'a"outbound":"true"'
    assert rows[2]["id.orig_h"] == "10.0.0.14"


def test_sessions_outbound_only():
    con = stored(session(), session(uid="C2", outbound="false"), session(uid="C3", outbound="pull"), session(uid="C4", outbound=None))
    assert len(sessions(con, "jsonl", outbound_only=True).splitlines()) == 2


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
@example(" =1+1").via("a blank before a formula")
@example("\x1c\u2003\ufeff@x").via("blanks that only Python knows")
@settings(max_examples=40, deadline=None)
def test_sessions_csv_and_zeek_carry_any_text(text):
    con = ANY
    con.execute("DELETE FROM session")
    fill(con, session(server_name=text))
    row = next(csv.DictReader(io.StringIO(sessions(con, "csv"), newline="")))
    assert row["server_name"] == words.defused(text)
    lines = sessions(con, "zeek").split("\n")
    fields, cells = lines[5].split("\t")[1:], lines[7].split("\t")
    assert len(fields) == len(cells)
    assert len(lines) == 9
    cell = cells[fields.index("server_name")]
    assert unescaped(cell) == text


def unescaped(cell):
    if cell == "(empty)":
        return ""
    data = re.sub(rb"\\x([0-9a-f]{2})|\\\\", lambda m: bytes([int(m[1], 16)]) if m[1] else b"\\", cell.encode())
    return data.decode()


def test_sessions_zeek_header_and_types():
    lines = sessions(stored(session()), "zeek").splitlines()
    fields, kinds, cells = lines[5].split("\t")[1:], lines[6].split("\t")[1:], lines[7].split("\t")
    shown = dict(zip(fields, zip(kinds, cells, strict=True), strict=True))
    assert lines[:5] == ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", "#path\tconn"]
    assert shown["ts"] == ("time", "1713500000.250000")
    assert shown["id.resp_p"] == ("port", "22")
    assert shown["duration"] == ("interval", "12.500000")
    assert shown["local_orig"] == ("bool", "-")
    assert shown["orig_bytes"] == ("count", "1301419")


def test_sessions_parquet(tmp_path):
    path = tmp_path / "s.parquet"
    report.write_sessions(stored(session()), "parquet", path)
    assert duckdb.connect().execute(f"""SELECT "id.orig_h", orig_bytes, ts FROM '{path}'""").fetchone() == ("10.0.0.14", 1301419, 1713500000.25)


def test_sessions_table_is_turned_and_harmless():
    shown = sessions(
        stored(
            session(server_name=HOSTILE),
            session(
                uid="C2", orig_h="198.51.100.7", resp_h="10.0.0.5", outbound="pull", inside_h="10.0.0.5", remote_h="198.51.100.7", remote_p=40000
            ),
        ),
        "table",
        options=report.Options(width=200),
    )
    assert not NAUGHTY.search(shown)
    assert re.search(r"10\.0\.0\.5 +198\.51\.100\.7:40000/tcp .*pull", shown)
    assert sessions(stored(), "table") == ""


@pytest.mark.parametrize("width", [60, 80, 120])
def test_sessions_table_keeps_what_matters_at_any_width(width):
    rows = [
        session(uid="C1", orig_h="192.168.100.100", inside_h="192.168.100.100", resp_h="203.0.113.250", remote_h="203.0.113.250", resp_p=8443, remote_p=8443),
        session(uid="C2", server_name="a-very-long-name-of-a-server.in-some-place.example.org"),
        session(uid="C3", remote_h="2001:db8:1111:2222:3333:4444:5555:6666", resp_h="2001:db8:1111:2222:3333:4444:5555:6666"),
    ]
    shown = sessions(stored(*rows), "table", options=report.Options(width=width))
    assert max(map(len, shown.splitlines())) <= width
    assert [title in shown for title in ("from", " to", "out", "dir")] == [True, True, True, width > 80]
    first, second, third = [line for line in shown.splitlines() if line.strip()][-3:]
    assert re.search(r"192\.168\.100\.100 +203\.0\.113\.250:8443/tcp .*1\.30 MB", first)
    assert re.search(r"10\.0\.0\.14 +a-very-.*…:22/tcp .*1\.30 MB", second)
    assert re.search(r"10\.0\.0\.14 +\[2001:db8:1111:.*:22/tcp .*1\.30 MB", third)


def test_zeek_form_reads_back_as_a_conn_log(tmp_path):
    from netexfil import read_sessions

    pytest.importorskip("netexfil._core", reason="the core is not built")
    rows = [session(), session(uid="C2", ts=1713500001.5, orig_p=50001, server_name="-", local_orig=True, service=None, duration=None)]
    log = tmp_path / "conn.log"
    report.write_sessions(stored(*rows), "zeek", log)
    back = {row["uid"]: row for row in read_sessions([log])}
    assert back.keys() == {"CaaaaaaaaaaaaaaaA1", "C2"}
    for row in rows:
        for name in ("ts", "orig_p", "resp_h", "orig_bytes", "resp_bytes", "conn_state", "history", "orig_ip_bytes", "duration", "service"):
            assert back[row["uid"]][tables.SHOWN.get(name, name)] == row[name], name
