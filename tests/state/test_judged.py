"""What is judged again: the neighbours of a channel that is no candidate itself, and everything under another policy or with a budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from world import START, Town, World, job, shown, table, whole

from netexfil import pipeline, state, tables
from netexfil.detect import budgeting
from netexfil.policy import Policy
from netexfil.state import afresh, pairs

HABIT = Policy(thresholds={"established_days": 1, "finding_floor": 1})
DAY = 86_400.0


def session(number: int, ts: float, dest: str, up: int) -> list[tuple[str, str]]:
    """A conn line and what ssl.log says of it, of one host to one entity."""
    head = f"{ts:.6f}\tCn{number}\t10.0.0.1\t{40000 + number}\t{dest}\t443"
    packets = up // 1400 + 6
    conn = f"{head}\ttcp\tssl\t30.0\t{up}\t900\tSF\t0\tShADadFf\t{packets}\t{up + 52 * packets}\t9\t1500"
    return [("conn", conn), ("ssl", f"{head}\tTLSv13\tdrop.example\t-")]


def test_a_small_channel_judges_its_neighbour_again(tmp_path: Path) -> None:
    """A habit is at most five times the largest day before; a few bytes to another address of the entity make it more,
    and what the habit explained is a finding.
    """
    lines = [*session(1, START, "203.0.113.1", 400_000), *session(2, START + DAY, "203.0.113.1", 2_000_000)]
    made = World(tmp_path, [*lines, *session(3, START + DAY + 60, "203.0.113.2", 1_000)], policy=HABIT)
    made.append(len(lines))
    made.run()
    assert table(made.file) == []
    made.append(2)
    made.run()
    assert len(table(made.file)) == 1
    assert table(made.file) == whole(tmp_path, made.written, HABIT)


@pytest.mark.parametrize("part", [1, 40])
def test_another_policy_makes_everything_anew_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    monkeypatch.setattr(afresh, "PART", part)
    made = World(tmp_path, Town(77).records(60), policy=HABIT)
    made.append(len(made.coming) // 2)
    made.run()
    made.append(len(made.coming))
    made.run()
    made.policy = Town.POLICY
    made.run()
    assert table(made.file) == whole(tmp_path, made.written, Town.POLICY)


def test_a_budget_is_of_all_that_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(afresh, "PART", 15)
    monkeypatch.setattr(budgeting, "STEPS", 4)
    made = World(tmp_path, Town(78).records(30))
    jobs = [replace(job([str(made.logs)], Town.POLICY), budget=budget) for budget in (0.5, 2.0)]
    for chosen in jobs:
        made.append(len(made.coming) // 2)
        state.run(made.file, chosen, START)
    at_once = pipeline.analyze(tables.connect(), jobs[-1])
    assert table(made.file) == shown(at_once.findings)


def test_a_network_that_looks_like_home_is_said_with_a_state_too(tmp_path: Path) -> None:
    lines = [(log, line.replace("10.0.0.1", "198.51.100.7")) for number in range(3) for log, line in session(number, START, "203.0.113.1", 9_000)]
    made = World(tmp_path, lines)
    made.append(len(lines))
    at_once = pipeline.analyze(tables.connect(), job([str(made.logs)], None))
    told, want = ([note.reason for note in found.notes if note.kind == "networks"] for found in (made.run(), at_once))
    assert told == want
    assert len(want) == 1


def test_a_pair_of_hosts_sends_at_most_what_can_be_counted() -> None:
    with duckdb.connect() as con:
        con.execute("CREATE TABLE bit_of AS SELECT 1 AS day, 1::HUGEINT AS bit")
        con.execute("CREATE TABLE sent AS SELECT 1 AS pair, 'a' AS owner, 1 AS day, 1000000000000000000::BIGINT AS bytes_low FROM range(20)")
        con.execute("INSERT INTO sent VALUES (2, 'b', 1, 7), (3, 'c', 1, NULL)")
        rows = con.execute(f"SELECT pair, total FROM ({pairs.summed('FROM sent', 1.0)}) ORDER BY pair").fetchall()
    assert rows == [(1, pairs.MOST), (2, 7), (3, None)]
