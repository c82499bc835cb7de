"""Channels at a glance: the core's sums are those of the table of sessions, whatever the rows; sessions are never counted twice."""

from __future__ import annotations

import gzip
import io
import json
import pathlib
import tempfile
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from netexfil import read, summary
from netexfil.policy import Policy
from netexfil.report import channels
from netexfil.report.sink import Sink
from tests.read_cases import conn, jsonl, tsv, write

core = pytest.mark.skipif(not read.core_available(), reason="the core is not built")
quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.reuse, Phase.generate))
OPTIONS = read.Options(only_outbound=True)

INSIDE, PUBLIC, OTHER = ("10.0.0.5", "172.16.9.9", "fd00::5"), ("203.0.113.9", "8.8.8.8", "2001:db8::9"), ("169.254.1.1", "ff02::1")
SERVICES = (None, "ssl", "ssh", "quic", "http", "dns", "ftp", "ftp,ssl", "ftp-data", "-ssl", "-ssl,http", "SSL", "SSH,ssl", "-ftp-data", "gssapi,smb")
counts = st.integers(0, 3000) | st.integers(0, 2**31) | st.none()
rows = st.builds(
    lambda number, **more: conn(number, **more),
    st.integers(1, 20_000), ts=st.tuples(st.sampled_from((0, 1_700_000_000)), st.integers(0, 2**26)).map(lambda both: both[0] + both[1] / 64), orig_h=st.sampled_from((*INSIDE, *PUBLIC, *OTHER)),
    resp_h=st.sampled_from((*PUBLIC, *INSIDE, *OTHER)), orig_p=st.integers(1024, 65535), proto=st.sampled_from(["tcp", "tcp", "udp", "icmp"]),
    resp_p=st.sampled_from([22, 25, 80, 443, 990, 993, 5000]), service=st.sampled_from(SERVICES),
    duration=st.none() | st.integers(0, 2**20).map(lambda n: n / 64), orig_bytes=counts | st.integers(10_000_000, 30_000_000), resp_bytes=counts,
    missed_bytes=st.integers(0, 9) | st.none(), history=st.sampled_from([None, "S", "ShADadFf", "^hadf", "Dd", "DA", "ShACad", "Cc", "hd"]),
    orig_pkts=st.integers(0, 2**20) | st.none() | st.just(0), orig_ip_bytes=counts, resp_pkts=st.integers(0, 2**20) | st.none() | st.just(0),
    resp_ip_bytes=counts,
)  # fmt: skip
tables_of_rows = st.lists(rows, min_size=1, max_size=40, unique_by=lambda row: row["uid"])


def core_rows(path: pathlib.Path, top: int | None = None, daily: bool = False) -> tuple[Any, ...] | None:
    from netexfil.read import find

    with find.sources([str(path)]) as found:
        made = summary._summed(found.logs, OPTIONS, Policy(), top, daily, None)
    return None if made is None else (made.channels, made.sessions, made.bytes_out, made.bytes_in, list(made.rows))


def table_rows(path: pathlib.Path, top: int | None = None, daily: bool = False) -> tuple[Any, ...]:
    made = summary._queried([str(path)], OPTIONS, Policy(), top, daily, "1GB", None)
    return made.channels, made.sessions, made.bytes_out, made.bytes_in, list(made.rows)


@core
@quick
@given(tables_of_rows, st.booleans(), st.none() | st.integers(0, 5))
def test_the_core_sums_what_the_table_of_sessions_holds(found: list[dict[str, Any]], daily: bool, top: int | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        for text, file in ((tsv(found), "conn.log"), (jsonl(found), "conn.json")):
            path = write(pathlib.Path(name), file, text)
            assert core_rows(path, top, daily) == table_rows(path, top, daily)


@core
@quick
@given(tables_of_rows, st.booleans(), st.none() | st.integers(0, 5), st.integers(1, 3000), st.integers(0, 999_999))
def test_the_lines_of_the_core_say_what_its_rows_say(
    found: list[dict[str, Any]], daily: bool, top: int | None, nearly: int, micros: int
) -> None:
    """Byte for byte, small ratios and odd fractions of seconds among them."""
    large = conn(20_001, orig_bytes=nearly * 9_999 + 1, resp_bytes=nearly * 9_999, orig_ip_bytes=2**30, resp_ip_bytes=2**30, history="ShADadFf")
    with tempfile.TemporaryDirectory() as name:
        path = write(pathlib.Path(name), "conn.log", tsv([*found, large | {"ts": 1_700_000_000 + micros / 1e6}]))
        made = [summary.channels([str(path)], OPTIONS, Policy(), top, daily) for _ in range(2)]
        texts = []
        for one in made:
            out = io.BytesIO()
            channels.jsonl(one, Sink(out))
            texts.append(out.getvalue())
            made[1].lines = None
        assert texts[0] == texts[1]


@core
@quick
@given(st.lists(rows, min_size=1, max_size=12), st.lists(rows, min_size=1, max_size=12))
def test_sessions_that_stand_twice_are_noticed(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    """Two files may hold one session; where the core does not say so, its sums are those of the merged sessions."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write(folder, "a/conn.log", tsv(one))
        write(folder, "b/conn.log", tsv([*other, one[0] | {"uid": "Cother"}]))
        made = core_rows(folder)
        assert made is None or made == table_rows(folder)


def session(**more: Any) -> dict[str, Any]:
    given = {"orig_h": "10.0.0.5", "resp_h": "203.0.113.9", "resp_p": 443, "proto": "tcp", "service": "ssl", "history": "ShADadFf"}
    return conn(1, **(given | {"orig_bytes": 5000, "resp_bytes": 700, "orig_pkts": 9, "orig_ip_bytes": 5360, "resp_pkts": 9, "resp_ip_bytes": 1060} | more))


@core
def test_two_sensors_and_open_sessions_count_once(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "a/conn.log", tsv([session()]))
    write(tmp_path, "b/conn.log", tsv([session(uid="Cother")]))
    write(tmp_path, "a/conn_long.log", tsv([session(orig_bytes=100)]))
    for sources in ([tmp_path / "a"], [tmp_path / "a/conn.log", tmp_path / "b"], [tmp_path]):
        made = summary.channels([str(path) for path in sources], OPTIONS, Policy())
        assert [row[7:9] for row in made.rows] == [(1, 5000)]


@core
def test_gzip_and_hours_are_the_whole(tmp_path: pathlib.Path) -> None:
    found = [session(uid=f"C{number}", ts=1000.0 + 40 * number, resp_p=443 if number % 3 else 22, orig_p=2000 + number) for number in range(200)]
    whole = core_rows(write(tmp_path, "whole/conn.log", tsv(found)))
    for hour in range(4):
        target = tmp_path / f"parts/conn.{hour}.log.gz"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(gzip.compress(tsv(found[hour * 50 : hour * 50 + 50]).encode()))
    assert core_rows(tmp_path / "parts") == whole
    assert (whole or ())[:2] == (2, 200)


@core
def test_refused_rows_and_other_logs_are_told(tmp_path: pathlib.Path) -> None:
    text = tsv([session(), session(uid="C2", orig_bytes="x")])
    made = summary.channels([str(write(tmp_path, "conn.log", text))], OPTIONS, Policy())
    assert [(note.kind, note.reason) for note in made.notes] == [("refused", "orig_bytes: not a count")]
    assert made.sessions == 1
    with pytest.raises(read.Unreadable):
        summary.channels([str(write(tmp_path, "x/conn.log", "#fields\tts\tuid\n"))], OPTIONS, Policy())
    mixed = write(tmp_path, "conn.json", jsonl([session()]) + json.dumps({"_path": "conn_long"} | json.loads(jsonl([session()]))) + "\n")
    assert summary.channels([str(mixed)], OPTIONS, Policy()).sessions == 1


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_the_table_keeps_to_the_terminal(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    from netexfil.commands.channels import command

    long = "2a02:1111:2222:3333:4444:5555:6666:7777"
    found = [session(orig_h="192.168.100.100", resp_h="203.0.113.250"), session(uid="C2", orig_h="fd00::1", resp_h=long, orig_p=9, service="ssl")]
    monkeypatch.setenv("COLUMNS", str(width))
    lines = CliRunner().invoke(command, [str(write(tmp_path, "conn.log", tsv(found))), "--daily"], standalone_mode=False).output.splitlines()
    assert max(map(len, lines)) <= width
    assert [title in lines[0].split() for title in ("from", "to", "over", "out", "last")] == [True, True, True, True, False]
    assert "203.0.113.250" in lines[1]
    assert (long in lines[2]) == (width >= 80)
    one = CliRunner().invoke(command, [str(write(tmp_path, "one/conn.log", tsv(found[:1])))], standalone_mode=False).output.splitlines()
    assert one[1].split()[:3] == ["192.168.100.100", "203.0.113.250", "443/tcp"]
    assert one[-1].startswith("1 channel: 1 session, ")


@pytest.mark.parametrize("form", ["table", "jsonl", "csv", "parquet"])
def test_formats(tmp_path: pathlib.Path, form: str) -> None:
    from netexfil.commands.channels import command

    source = write(tmp_path, "conn.log", tsv([session(), session(uid="C2", resp_p=22, service="ssh", orig_bytes=90, orig_p=7)]))
    out = tmp_path / "out"
    done = CliRunner().invoke(command, [str(source), "--format", form, "--daily", "-o", str(out)], standalone_mode=False)
    assert (done.exception, done.return_value) == (None, 0)
    if form == "parquet":
        import duckdb

        got = duckdb.connect().sql(f"SELECT inside_h, remote_p, bytes_out, CAST(day AS VARCHAR) FROM read_parquet('{out}')").fetchall()
    elif form == "jsonl":
        got = [(r["inside_h"], r["remote_p"], r["bytes_out"], r["day"]) for r in map(json.loads, out.read_text().splitlines())]
    elif form == "csv":
        got = [(r[1], int(r[3]), int(r[8]), r[0]) for r in (line.split(",") for line in out.read_text().splitlines()[1:])]
    else:
        assert out.read_text().splitlines()[-1] == "2 channels: 2 sessions, 5.09 kB out, 1.40 kB in"
        return
    assert [row[:3] for row in got] == [("10.0.0.5", 443, 5000), ("10.0.0.5", 22, 90)]
    assert all(len(row[3]) == 10 for row in got)
