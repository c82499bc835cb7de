"""explain, policy, evaluate, power: what a user sees of the judgement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from made import INSIDE, MONDAY, browsing, channels_of, findings, session

from netexfil import evaluate, policy, power
from netexfil.commands import evaluate as evaluate_command
from netexfil.commands import explain
from netexfil.commands import policy as policy_command
from netexfil.detect import CODES

PCAPS = Path(__file__).parent.parent / "pcaps"


def run(command: object, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, list(words))  # type: ignore[arg-type]
    return result.exit_code, result.output


def test_explain_lists_every_code() -> None:
    code, text = run(explain.command)
    assert code == 0
    assert all(name in text for name in CODES if name != "cap")


@pytest.mark.parametrize("name", sorted(CODES))
def test_explain_a_code_gives_its_example(name: str) -> None:
    code, text = run(explain.command, name)
    assert code == 0
    assert "example: " in text


def test_explain_tells_a_share_from_an_amount() -> None:
    assert "threshold host_day: 10 x outbound_volume" in run(explain.command, "host_day")[1]
    assert "threshold rate: 1.04858e+06 bytes/s" in run(explain.command, "rate")[1]


def test_explain_a_finding_shows_the_sum(tmp_path: Path) -> None:
    found = findings([session(MONDAY, "10.0.0.1", "198.51.100.7", 50_000_000, 9_000, server_name="w.mega.nz")])[0]
    file = tmp_path / "findings.jsonl"
    file.write_text("no json\n" + json.dumps(found.record()) + "\n")
    code, text = run(explain.command, found.id, str(file))
    assert code == 0
    assert f"{found.score:5d}  the sum" in text
    assert run(explain.command, "ffff", str(file))[0] == 1


def test_explain_says_what_is_near() -> None:
    code, text = run(explain.command, "ledger")
    assert code == 2
    assert "ledger_7d" in text


def test_policy_init_and_check(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    assert run(policy_command.command, "init", "-o", str(path))[0] == 0
    assert run(policy_command.command, "init", "-o", str(path))[0] == 1  # never overwrites
    code, text = run(policy_command.command, "check", str(path))
    assert code == 0
    assert "outbound_volume" in text
    assert policy.load(path).threshold("outbound_volume") == 10_485_760


def test_power_finds_the_line_and_leaves_the_tables_as_they_were() -> None:
    con = channels_of(browsing(12, 2))
    before = [con.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall() for name in ("session", "channel", "fleet")]
    rows = list(power.power(con, INSIDE, [power.SHAPES[0]], [1_000_000, 10_485_760, 100_000_000]))
    assert [(row.host_class, row.half, row.every) for row in rows] == [("quiet sender", 10_485_760, 10_485_760)]
    assert [con.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall() for name in ("session", "channel", "fleet")] == before
    assert "10.4858 MB" in power.table(rows)


def test_evaluate_finds_the_uploads_and_cries_over_nothing(tmp_path: Path) -> None:
    if not (PCAPS / "test2-pscp.truth.json").exists():
        pytest.skip("no pcaps/ beside the tests")
    for name in ("test2-pscp", "benign-git"):
        truth = json.loads((PCAPS / f"{name}.truth.json").read_text())
        for file in (f"{name}.truth.json", truth["capture"]["file"]):
            (tmp_path / file).write_bytes((PCAPS / file).read_bytes())
    score = evaluate.evaluate(tmp_path, 262_144)
    assert score.recall == (1, 1)
    assert score.stray == []
    page = tmp_path / "page.md"
    page.write_text(f"head\n{evaluate_command.BEGIN}\nold\n{evaluate_command.END}\ntail\n")
    code, _ = run(evaluate_command.command, str(tmp_path), "--write", str(page), "--min-recall", "1")
    assert code == 0
    text = page.read_text()
    assert "old" not in text
    assert "1 of 1 = 100.0%" in text
    assert text.endswith("tail\n")
