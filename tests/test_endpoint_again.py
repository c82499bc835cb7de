"""What `netexfil events` writes, read as telemetry: the same events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_endpoint_dialects import CASES

from netexfil import endpoint, tables

RECORDS = [case["record"] for case in CASES if isinstance(case["record"], dict)]
ELSEWHERE = ("file", "line")  # where a record was read


def written(path: Path, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events of these records."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    with duckdb.connect() as con:
        endpoint.events(con, [str(path)])
        names = [name for name in tables.EVENT if name not in ELSEWHERE]
        columns = ", ".join(f'"{name}"' for name in names)
        return [dict(zip(names, row, strict=True)) for row in con.execute(f"SELECT {columns} FROM event ORDER BY eid").fetchall()]


def passed(path: Path, records: list[dict[str, Any]]) -> None:
    once = written(path, records)
    again = written(path, [{**row, "file": str(path), "line": number} for number, row in enumerate(once, 1)])
    assert once
    assert again == once


@pytest.mark.parametrize("copies", [1, 70])  # many of a kind are read by columns
def test_events_of_every_dialect_read_again_are_the_same(tmp_path: Path, copies: int) -> None:
    passed(tmp_path / "events.jsonl", [record for record in RECORDS for _ in range(copies)])


@settings(max_examples=6, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(which=st.lists(st.tuples(st.integers(0, len(RECORDS) - 1), st.text(st.characters(codec="utf-8"), max_size=12), st.integers(0, 99)), max_size=12))
def test_events_of_odd_texts_read_again_are_the_same(tmp_path_factory: pytest.TempPathFactory, which: list[tuple[int, str, int]]) -> None:
    """A record's texts, one of them replaced by anything."""
    records = []
    for number, text, place in which:
        names = [name for name, value in RECORDS[number].items() if isinstance(value, str)]
        records.append(RECORDS[number] | ({names[place % len(names)]: text} if names else {}))
    passed(tmp_path_factory.mktemp("again") / "events.jsonl", [RECORDS[0], *records])
