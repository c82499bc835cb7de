"""Single faults, each with its word: two runs, damaged and foreign files, a newer schema, a full disk, a cut capture, a clock that steps back."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from world import START, World, cut, header, records, run, table, whole

from netexfil import state
from netexfil.errors import Busy, StateError
from netexfil.state import store, views

ROOT = Path(__file__).resolve().parent.parent.parent
PCAPS = ROOT / "pcaps"


def program(*words: object, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "netexfil", *map(str, words)], capture_output=True, text=True, cwd=ROOT, check=False, **more)


def test_the_second_run_says_so_and_waits_when_asked(world):
    with store.locked(world.file, wait=False):
        with pytest.raises(Busy, match="another run"):
            world.run()
        done = program(world.logs, "--state", world.file)
    assert done.returncode == 5
    assert world.run().sessions > 0


def test_show_answers_while_a_run_holds_the_lock(world):
    world.run()
    with store.locked(world.file, wait=False):
        assert views.show(world.file, START)["held"]["session"] > 0


def test_the_file_is_the_owners_alone(world):
    world.run()
    assert stat.S_IMODE(world.file.stat().st_mode) == 0o600


def test_a_damaged_state_is_named_and_left_alone(world):
    world.file.write_bytes(b"not a database" * 1000)
    before = world.file.read_bytes()
    with pytest.raises(StateError, match=str(world.file)):
        world.run()
    assert world.file.read_bytes() == before


def test_a_database_of_something_else_is_left_alone(world):
    duckdb.connect(str(world.file)).execute("CREATE TABLE recipes (name VARCHAR)").close()
    with pytest.raises(StateError, match="not a state of netexfil"):
        world.run()


def test_a_newer_schema_is_refused_with_what_to_do(world):
    world.run()
    con = duckdb.connect(str(world.file))
    con.execute("INSERT INTO migration VALUES (999, 0)")
    con.close()
    with pytest.raises(StateError, match="upgrade"):
        world.run()
    with pytest.raises(StateError, match="newer"):
        views.show(world.file, START)


def test_nothing_new_changes_nothing(world):
    world.run()
    before = table(world.file)
    again = world.run()
    assert (again.sessions, table(world.file)) == (0, before)


def test_told_once_and_again_only_when_grown(world):
    first = world.run()
    state.delivered(world.file, first.findings)
    assert first.findings
    assert world.run().findings == ()


def test_an_output_that_failed_is_told_by_the_next_run(world, tmp_path):
    done = program(world.logs, "--state", world.file, "--format", "jsonl", "-o", "/dev/full")
    assert done.returncode != 0
    assert "No space left" in done.stderr
    out = tmp_path / "findings.jsonl"
    assert program(world.logs, "--state", world.file, "--format", "jsonl", "-o", out).returncode == 0
    told = [json.loads(line)["id"] for line in out.read_text().splitlines()]
    assert sorted(told) == sorted(finding.id for finding in state.findings(world.file) if finding.severity != "info")
    assert program(world.logs, "--state", world.file, "--format", "jsonl", "-o", out).returncode == 0
    assert len(out.read_text().splitlines()) == len(told)


def test_a_clock_that_steps_back_changes_no_finding(world, tmp_path):
    world.run(now=START + 1e6)
    world.append(10)
    world.run(now=START - 1e6)
    assert table(world.file) == whole(tmp_path, world.written)


def test_a_directory_that_vanishes_is_no_harm(world):
    world.run()
    before = table(world.file)
    world.logs.rename(world.root / "away")
    done = program(world.logs, "--state", world.file)
    assert done.returncode == 4
    assert table(world.file) == before
    (world.root / "away").rename(world.logs)
    assert world.run().sessions == 0


def test_late_words_of_other_logs_reach_their_session(tmp_path):
    lines = sorted(records(11, 30), key=lambda row: row[0], reverse=True)  # ssl and ssh first, conn last; then the other way round
    for name, ordered in (("early", lines), ("late", lines[::-1])):
        made = World(tmp_path / name, list(ordered))
        while made.coming:
            made.append(7)
            made.run()
        (tmp_path / f"{name}-ref").mkdir()
        assert table(made.file) == whole(tmp_path / f"{name}-ref", made.written)


def test_logs_whose_sessions_have_not_come_are_kept_without_a_word(tmp_path):
    lines = records(12, 12)
    made = World(tmp_path, sorted(lines, key=lambda row: row[0] == "conn"))
    made.append(sum(log != "conn" for log, _ in lines))
    done = made.run()
    assert (done.findings, done.notes, done.sessions, done.nothing_readable) == ((), (), 0, False)
    made.append(len(made.coming))
    made.run()
    assert table(made.file) == whole(tmp_path, made.written)


def test_a_session_in_progress_is_the_same_finding_when_it_ends(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    head = f"{START:.6f}\tCopen1\t10.0.0.1\t40000\t203.0.113.9\t22\ttcp\tssh"
    rest = "SF\t0\tShADadFf\t300000\t420000000\t9000\t500000"
    (logs / "open_conn.log").write_text(header("conn").replace("#path\tconn", "#path\topen_conn") + f"{head}\t60.0\t90000000\t9000\t{rest}\n")
    first = run(tmp_path / "s.duckdb", [str(logs)])
    assert [finding.in_progress for finding in first.findings] == [True]
    (logs / "conn.log").write_text(header("conn") + f"{head}\t600.0\t400000000\t90000\t{rest}\n")
    run(tmp_path / "s.duckdb", [str(logs)])
    after = state.findings(tmp_path / "s.duckdb")
    assert [(finding.id, finding.in_progress) for finding in after] == [(first.findings[0].id, False)]
    assert after[0].bytes_out["low"] == 400_000_000


def test_a_session_cut_between_two_captures_continues(tmp_path):
    packets = cut(PCAPS / "test2-pscp.pcap", 3)
    ring = tmp_path / "ring"
    ring.mkdir()
    for number, part in enumerate(packets):
        (ring / f"{number}.pcap").write_bytes(part)
        run(tmp_path / "s.duckdb", [str(ring)])
    shutil.copyfile(PCAPS / "test2-pscp.pcap", tmp_path / "whole.pcap")
    run(tmp_path / "w.duckdb", [str(tmp_path / "whole.pcap")])
    mine, want = table(tmp_path / "s.duckdb"), table(tmp_path / "w.duckdb")
    assert [(f["id"], f["bytes_out"], f["sessions"], f["score"]) for f in mine] == [(f["id"], f["bytes_out"], f["sessions"], f["score"]) for f in want]


def test_forget_vacuum_export_metrics_diff(world, tmp_path):
    outcome = world.run()
    health = views.show(world.file, START + 1e6)
    assert health["held"]["finding"] == len(state.findings(world.file))
    views.metrics(world.file, tmp_path / "m.prom", START)
    assert "netexfil_sessions " in (tmp_path / "m.prom").read_text()
    names = {path.name for path in views.export(world.file, tmp_path / "out")}
    assert {"session.parquet", "finding.parquet"} <= names
    assert {f.id for f in views.diff(world.file, since=0.0)} == {f.id for f in outcome.findings}
    shutil.copyfile(world.file, tmp_path / "old.duckdb")
    assert views.diff(world.file, other=tmp_path / "old.duckdb") == []
    before = table(world.file)
    views.vacuum(world.file, START)
    assert table(world.file) == before
    gone = views.forget(world.file, START + 86400, START)
    assert gone["session"] > 0


@pytest.mark.parametrize("round_", range(3))
def test_killed_at_any_moment_loses_and_doubles_nothing(tmp_path, round_):
    """`NETEXFIL_KILLS=500 pytest -k killed` kills as often."""
    made = World(tmp_path, records(100 + round_, 40))
    kills = max(1, int(os.environ.get("NETEXFIL_KILLS", "6")) // 3)
    words = [sys.executable, "-m", "netexfil", str(made.logs), "--state", str(made.file), "--format", "jsonl", "-o", str(tmp_path / "out.jsonl")]
    for number in range(kills):
        if made.coming:
            made.append(max(1, 80 // kills))
            made.rotate("conn", ("rename", "gzip", "copytruncate")[number % 3])
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.15 + (number * 37 % 60) / 100)
        process.kill()
        process.wait()
    made.append(len(made.coming))
    assert subprocess.run(words, cwd=ROOT, check=False).returncode == 0
    assert table(made.file) == whole(tmp_path, made.written)


def test_telemetry_alone_is_scored_too(tmp_path):
    """Alerts whose session the sensor has not seen are findings of their own, with state as without."""
    from netexfil import pipeline, read, tables

    events = str(PCAPS / "endpoint" / "test1-rclone-sftp.jsonl")
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "conn.log").write_text(header("conn") + next(line for log, line in records(3, 20) if log == "conn") + "\n")
    job = pipeline.Job(sources=[str(logs)], join=[events], options=read.Options(only_outbound=True))
    at_once = pipeline.analyze(tables.connect(), job).findings
    state.run(tmp_path / "s.duckdb", job, START)
    assert [f.id for f in state.findings(tmp_path / "s.duckdb")] == [f.id for f in at_once]
    assert any(finding.kind == "endpoint" for finding in at_once)


def test_a_half_line_waits_however_long(tmp_path):
    """A sensor that buffers its writes leaves a line half written for minutes; it is neither taken for a line nor lost."""
    made = World(tmp_path, records(5, 12))
    made.append(6)
    for _ in range(4):
        made.half_line()
        made.run()
        made.run()
    made.append(len(made.coming))
    made.run()
    assert table(made.file) == whole(tmp_path, records(5, 12))


def test_a_whole_json_object_needs_no_newline(tmp_path):
    from netexfil.state import places

    log = tmp_path / "conn.json"
    log.write_bytes(b'{"ts": 1.0, "uid": "C1"}\n{"ts": 2.0, "uid": "C2"}')
    part = places.unread(str(log), "conn", "plain", {})
    assert part is not None
    assert part.end == log.stat().st_size
    log.write_bytes(b'{"ts": 1.0, "uid": "C1"}\n{"ts": 2.0, "uid"')
    part = places.unread(str(log), "conn", "plain", {})
    assert part is not None
    assert part.end == 25
