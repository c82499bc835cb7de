"""Logs written against their reader: one line costs one line, whichever engine reads it."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from tests.read_cases import ENGINES, Read, conn, jsonl, write


def deep(levels: int) -> Any:
    """Lists in each other."""
    cell: Any = "x"
    for _ in range(levels):
        cell = [cell]
    return cell


ODD = {
    "a value deep inside others": ({"service": deep(600)}, "not a JSON object"),
    "records deep inside others": ({"more": json.loads('{"a":' * 600 + "1" + "}" * 600)}, "not a JSON object"),
    "a number of 400 digits": ({"duration": 10**400}, "duration: not a number"),
    "a time of 400 digits": ({"ts": 10**400}, "ts: not a time"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_line_is_refused_and_the_others_count(tmp_path: pathlib.Path, engine: str, odd: str) -> None:
    more, reason = ODD[odd]
    found = Read(write(tmp_path, "conn.log", jsonl([conn(1), conn(2) | more, conn(3)], _path="conn")), engine=engine)
    assert [row["uid"][-1] for row in found.sessions] == ["1", "3"]
    assert [(note.place, note.reason) for note in found.notes] == [(2, reason)]


def eve(flow: int, kind: str, body: object) -> str:
    ends = {"src_ip": "10.0.0.5", "src_port": 4000 + flow, "dest_ip": "203.0.113.9", "dest_port": 443, "proto": "TCP"}
    return json.dumps({"timestamp": "2024-03-04T05:06:07.000000+0000", "flow_id": flow, "event_type": kind, kind: body} | ends) + "\n"


FLOW = {"pkts_toserver": 10, "pkts_toclient": 5, "bytes_toserver": 5000, "bytes_toclient": 700, "start": "2024-03-04T05:06:01.000000+0000"}


@pytest.mark.parametrize(
    ("kind", "body", "refused"),
    [
        ("dns", {"rrname": "a", "answers": 5}, 0), ("dns", {"rrname": "a", "grouped": {"A": 5}}, 0), ("dns", {"queries": 5, "answers": {"a": 1}}, 0),
        ("tls", {"sni": deep(600)}, 1), ("flow", FLOW | {"start": 10**400}, 1), ("flow", FLOW | {"pkts_toserver": [1]}, 1),
        ("ssh", {"client": {"software_version": [1], "hassh": 5}}, 0), ("ftp", {"dynamic_port": {"a": 1}, "command": 5}, 1),
    ],
)  # fmt: skip
def test_an_odd_record_of_suricata_costs_that_record(tmp_path: pathlib.Path, kind: str, body: object, refused: int) -> None:
    found = Read(write(tmp_path, "eve.json", eve(1, "flow", FLOW) + eve(2, kind, body) + eve(3, "flow", FLOW)))
    assert [row["orig_p"] for row in found.sessions] == [4001, 4003]
    assert [note.kind for note in found.notes] == ["refused"] * refused
