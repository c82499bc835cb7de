"""What a channel that is no candidate itself says of its neighbours: they are judged again when it changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from world import START, Town, World, table, whole

from netexfil.policy import Policy
from netexfil.state import afresh

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
