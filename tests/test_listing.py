"""`netexfil sessions` on captures: by time straight from the core where all fits into memory, through a table elsewhere; the rows are the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import packets as p
import pytest
from click.testing import CliRunner

from netexfil import tables
from netexfil.cli import group

pytest.importorskip("netexfil._core", reason="the core is not built")

PCAPS = Path(__file__).parent.parent / "pcaps"
MANY = 15_000  # more than a few batches, so that threads could mix them


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scans that end after talks that began later; every ten share a start."""
    path = tmp_path_factory.mktemp("listing") / "many.pcap"
    frames = [(number // 10 * 0.01, p.ethernet(p.ip4("10.0.0.5", "192.0.2.9", 6, p.tcp(1024 + number, 443, 7, 0, p.SYN)))) for number in range(MANY)]
    frames += [(5 + time, p.ethernet(data)) for time, data in p.talk()]
    path.write_bytes(p.pcap(sorted(frames, key=lambda frame: frame[0])))
    return path


def listed(out: Path, *arguments: object) -> list[Any]:
    done = CliRunner().invoke(group, ["sessions", *map(str, arguments), "--format", out.suffix[1:], "-o", str(out)], standalone_mode=False)
    assert done.exception is None, done.output
    if out.suffix == ".parquet":
        with duckdb.connect() as con:
            con.execute("SET threads = 1")
            return con.execute("FROM read_parquet(?)", [str(out)]).fetchall()
    return out.read_text().splitlines()


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv", "zeek"])
def test_the_same_rows_whether_they_fit_or_not(capture: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = listed(tmp_path / f"held.{form}", capture)
    monkeypatch.setattr(tables, "size", lambda _: 0)
    table = listed(tmp_path / f"table.{form}", capture)
    assert held == table
    assert len(held) == MANY + 1 + {"csv": 1, "zeek": 7}.get(form, 0)


@pytest.mark.skipif(not PCAPS.is_dir(), reason="no pcaps/ beside the tests")
@pytest.mark.parametrize("outbound_only", [(), ("--outbound",)])
@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv", "zeek"])
def test_the_core_turns_and_writes_as_sql_does(tmp_path: Path, form: str, outbound_only: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    captures = sorted(PCAPS.glob("*.pcap"))
    held = listed(tmp_path / f"held.{form}", *captures, *outbound_only)
    monkeypatch.setattr(tables, "size", lambda _: 0)
    assert held == listed(tmp_path / f"table.{form}", *captures, *outbound_only)
    assert len(held) > 4


def test_columns_of_the_cores_parquet(capture: Path, tmp_path: Path) -> None:
    listed(tmp_path / "rows.parquet", capture)
    with duckdb.connect() as con:
        columns = con.execute("DESCRIBE FROM read_parquet(?)", [str(tmp_path / "rows.parquet")]).fetchall()
        maker, total = con.execute("SELECT created_by, num_rows FROM parquet_file_metadata(?)", [str(tmp_path / "rows.parquet")]).fetchone() or ("", 0)
    assert [(name, kind) for name, kind, *_ in columns] == [(tables.SHOWN.get(name, name), tables.SESSION[name]) for name in tables.SESSION_OUTPUT]
    assert (maker.split()[0], total) == ("netexfil", MANY + 1)


def test_by_time_and_uid_whatever_the_threads_do(capture: Path, tmp_path: Path) -> None:
    rows = [(row[0], row[1]) for row in listed(tmp_path / "rows.parquet", capture)]
    assert rows == sorted(rows)
    assert len({uid for _, uid in rows}) == MANY + 1


def test_outbound_only(capture: Path, tmp_path: Path) -> None:
    words = {json.loads(line)["outbound"] for line in listed(tmp_path / "out.jsonl", capture, "--outbound")}
    assert words == {True}


def test_a_pipe_is_not_named_by_where_it_was_kept(capture: Path) -> None:
    words = [sys.executable, "-m", "netexfil", "sessions", "-", "--format", "jsonl"]
    out = subprocess.run(words, input=capture.read_bytes(), capture_output=True, check=True).stdout
    assert {json.loads(line)["source"] for line in out.splitlines()} == {"-"}


def test_lists_are_written_without_a_database(capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "connect", lambda *_, **__: pytest.fail("DuckDB is asked for"))
    assert len(listed(tmp_path / "rows.jsonl", capture)) == MANY + 1


def test_home_is_still_looked_for(tmp_path: Path) -> None:
    frames = [(time, p.ethernet(data.replace(bytes([10, 0, 0, 5]), bytes([198, 51, 100, 7])))) for time, data in p.talk()]
    (tmp_path / "public.pcap").write_bytes(p.pcap(frames))
    done = CliRunner().invoke(group, ["sessions", str(tmp_path / "public.pcap"), "--format", "csv"], standalone_mode=False)
    assert 'inside = ["198.51.0.0/16"]' in done.output


def test_nothing_is_written_where_nothing_could_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.pcap").write_bytes(p.pcap([])[:20] + b"\xff\xff\0\0")
    done = CliRunner().invoke(group, ["sessions", str(tmp_path / "bad.pcap"), "--format", "csv", "-o", str(tmp_path / "no.csv")], standalone_mode=False)
    assert done.exception is not None
    assert not (tmp_path / "no.csv").exists()


@pytest.mark.parametrize(("text", "amount"), [("1GB", 10**9), ("500 kb", 500_000), ("1.5MiB", 3 << 19), ("2TB", 2 * 10**12)])
def test_sizes(text: str, amount: int) -> None:
    assert tables.size(text) == amount
