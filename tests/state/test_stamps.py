"""Stamps far ahead of the clock, and what a state tells of lines that it refused."""

from __future__ import annotations

from pathlib import Path

import duckdb
from click.testing import CliRunner
from world import START, World, header, records, table

from netexfil.commands.state import command
from netexfil.policy import Policy
from netexfil.state import views

DAY = 86_400.0
KEPT = Policy(keep_sessions_days=4, keep_days=5)


def days(file: Path) -> list[int]:
    con = duckdb.connect(str(file), read_only=True)
    found = con.execute(f"SELECT DISTINCT CAST((ts - {START}) // {DAY} AS INTEGER) FROM session ORDER BY 1").fetchall()
    con.close()
    return [day for (day,) in found]


def dated(uid: str, ts: float) -> str:
    return f"{ts:.6f}\t{uid}\t10.0.0.1\t40000\t203.0.113.9\t443\ttcp\tssl\t30.0\t30000000\t900\tSF\t0\tShADadFf\t21434\t31114568\t9\t1500\n"


def test_a_stamp_far_ahead_costs_the_state_nothing(tmp_path: Path) -> None:
    made = World(tmp_path, records(13, 20), policy=KEPT)
    made.append(len(made.coming))
    made.run(now=START + 3 * DAY)
    before, held = table(made.file), days(made.file)
    with (made.logs / "conn.log").open("a") as log:
        log.write(dated("Cahead", START + 60 * DAY))
    told = [note for note in made.run(now=START + 3 * DAY).notes if note.kind == "ahead"]
    assert [note.count for note in told] == [1]
    assert "--after 2026-11-27" in told[0].reason
    assert days(made.file) == [*held, 60]
    done = CliRunner().invoke(command, ["forget", str(made.file), "--after", "2026-11-27"], standalone_mode=False)
    assert done.exception is None
    assert "1 session rows" in done.output
    with (made.logs / "conn.log").open("a") as log:
        log.write("#close\n")
    made.run(now=START + 3 * DAY)
    assert days(made.file) == held
    assert {row["id"] for row in table(made.file)} == {row["id"] for row in before}
    made.append(0)
    with (made.logs / "conn.log").open("a") as log:
        log.write(dated("Clater", START + 6.5 * DAY))
    made.run(now=START + 7 * DAY)
    assert min(days(made.file)) >= 2  # a day that is not ahead of the clock moves it


def test_refused_lines_are_counted_for_good(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    made = World(tmp_path, [])
    (logs / "conn.log").write_text(header("conn") + dated("C1", START) + "no line\n")
    made.run()
    (logs / "b.log").write_text(header("conn") + dated("C2", START + 60) + "no line\nnor this\n")
    made.run()
    con = duckdb.connect(str(made.file))
    con.execute("DELETE FROM run WHERE id = 1")
    con.close()
    views.metrics(made.file, tmp_path / "m.prom", START)
    text = (tmp_path / "m.prom").read_text()
    assert "# TYPE netexfil_refused_lines_total counter\nnetexfil_refused_lines_total 3\n" in text
