"""Every other dialect: at least three records each, written here in the form the product exports, with the fields worked out by hand."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import endpoint_made
import pytest
from test_endpoint_windows import rows

from netexfil.endpoint import dialect

CASES = [json.loads(line) for line in (Path(__file__).parent / "endpoint_cases.jsonl").read_text("utf-8").splitlines()]


def first(dialect: str, kind: str) -> dict[str, Any]:
    """The first case of a dialect that is of this kind."""
    record: dict[str, Any] = next(case["record"] for case in CASES if case["dialect"] == dialect and case["fields"].get("kind") == kind)
    return record


@pytest.mark.parametrize("case", CASES, ids=[f"{case['dialect']}-{n}" for n, case in enumerate(CASES)])
def test_dialect(tmp_path: Path, case: dict[str, Any]) -> None:
    record, wanted = case["record"], case["fields"]
    path = tmp_path / "events"
    path.write_text((record if isinstance(record, str) else json.dumps(record)) + "\n", "utf-8")
    got = rows(path)[0]
    assert got["dialect"] == case["dialect"]
    for name, value in wanted.items():
        assert got[name] == (pytest.approx(value, abs=1e-5) if name in ("ts", "ts_rec") and value is not None else value), name


def test_every_dialect_has_three_cases() -> None:
    cases = Counter(case["dialect"] for case in CASES)
    assert {shape.name for shape in dialect.shapes()} == cases.keys() | {*endpoint_made.CARRIERS, "windows-message", "netexfil"}  # endpoint_made.MESSAGES; test_endpoint_again
    assert {name for name, count in cases.items() if count < 3} == set()


def test_the_page_says_what_each_dialect_was_checked_against() -> None:
    folder = resources.files("netexfil.endpoint") / "dialects"
    page = (Path(__file__).parents[1] / "docs/events.md").read_text("utf-8")
    for shape in dialect.shapes():
        document = tomllib.loads((folder / f"{shape.name}.toml").read_text("utf-8"))
        against = "real samples" if document.get("tested") else document["checked"]
        assert f"| `{shape.name}` | {document['about']} | {against} |" in page, shape.name


def test_connections_of_a_detection_are_events_of_their_own(tmp_path: Path) -> None:
    tuples = [("10.1.2.3", 50123, "192.0.2.1", 22), ("10.1.2.3", 50124, "192.0.2.2", 443)]
    accesses = [{"AccessTimestamp": 1772600768, "Protocol": "TCP", "LocalAddress": local, "LocalPort": local_p, "RemoteAddress": remote,
                 "RemotePort": remote_p, "ConnectionDirection": 0} for local, local_p, remote, remote_p in tuples]
    detection = first("falcon-streams", "alert")
    text = json.dumps(detection | {"event": detection["event"] | {"NetworkAccesses": accesses}}, indent=2)
    path = tmp_path / "e.json"
    path.write_text(text + "\n" + text)
    got = rows(path)
    assert [(row["local_ip"], row["local_p"], row["remote_ip"], row["remote_p"]) for row in got] == tuples * 2
    assert [row["kind"] for row in got] == ["alert", "net_conn"] * 2
    assert got[0]["image"] == r"\Device\HarddiskVolume2\Tools\rclone.exe"
    assert got[0]["guid"] == "494725159582865908"  # above 2^53
    second = text.count("\n") + 2
    assert [row["line"] for row in got] == [1, 1, second, second]


def test_falcon_connections_take_image_host_and_user_from_their_process(tmp_path: Path) -> None:
    connect, start = first("falcon", "net_conn"), first("falcon", "process_start")
    records = [connect, start, {"aid": "a" * 32, "ComputerName": "WS1", "AgentTimeOffset": "0", "Time": "1772600000"},
               {"UserSid": "S-1-5-21-9", "UserName": "ada", "_time": "1772600000"}, connect | {"aid": "f" * 32}]
    path = tmp_path / "e.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    got = rows(path)
    assert (got[0]["image"], got[0]["pid"], got[0]["host"], got[0]["user"]) == (start["ImageFileName"], 4711, "ws1", "ada")
    assert got[0]["command_line"] is None
    assert got[4]["image"] is None  # the same key on another host is another process
