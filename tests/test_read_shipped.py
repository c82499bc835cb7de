"""Zeek logs as other programs pass them on: Elastic's Common Schema, exported tables. The same sessions as of the plain logs."""

from __future__ import annotations

import csv
import io
import json
import pathlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.read_cases import CONN, ENGINES, SSL, Read, cell, conn, jsonl, tsv, write

pytestmark = pytest.mark.parametrize("engine", ENGINES)

SSH = dict(list(CONN.items())[:6]) | {"version": "count", "client": "string", "server": "string", "hassh": "string", "hasshServer": "string"}
ENDS = {"id.orig_h": "source.ip", "id.orig_p": "source.port", "id.resp_h": "destination.ip", "id.resp_p": "destination.port", "uid": "zeek.session_id"}
MOVED = {
    "connection": {
        "conn_state": "zeek.connection.state", "orig_pkts": "source.packets", "resp_pkts": "destination.packets", "orig_ip_bytes": "source.bytes",
        "resp_ip_bytes": "destination.bytes", "proto": "network.transport", "service": "network.protocol",
    },
    "ssl": {"server_name": "zeek.ssl.server.name", "cert_chain_fuids": "zeek.ssl.server.cert_chain_fuids"},
    "ssh": {},
}  # fmt: skip
LOST = {"orig_bytes", "resp_bytes", "tunnel_parents"}  # what the module drops


def ecs(dataset: str, row: Mapping[str, Any], nested: bool, original: bool) -> dict[str, Any]:
    """A record as Filebeat's module makes it, its keys in objects or dotted."""
    kept = {name: value for name, value in row.items() if value is not None and name not in LOST}
    flat: dict[str, Any] = {
        "@timestamp": datetime.fromtimestamp(kept.pop("ts"), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "agent.type": "filebeat", "event.dataset": f"zeek.{dataset}", "event.kind": "event", "log.file.path": "/opt/zeek/current/other.log",
        "tags": ["zeek"], "network.bytes": 1,
    }  # fmt: skip
    if original:
        flat["event.original"] = json.dumps({name: value for name, value in row.items() if value is not None})
    if "duration" in kept:
        flat["event.duration"] = round(kept.pop("duration") * 1e9)
    for name, value in kept.items():
        flat[(ENDS | MOVED[dataset]).get(name, f"zeek.{dataset}.{name}")] = value
    if not nested:
        return flat
    deep: dict[str, Any] = {}
    for name, value in flat.items():
        *outer, last = name.split(".")
        inside = deep
        for part in outer:
            inside = inside.setdefault(part, {})
        inside[last] = value
    return deep


def ssl(number: int) -> dict[str, Any]:
    return {name: conn(number)[name] for name in list(CONN)[:6]} | {
        "version": "TLSv12", "server_name": "drive.example", "next_protocol": "h2", "established": True, "cert_chain_fuids": ["F1", "F2"],
    }  # fmt: skip


def ssh(number: int) -> dict[str, Any]:
    return {name: conn(number)[name] for name in list(CONN)[:6]} | {
        "version": 2, "client": "SSH-2.0-OpenSSH_9.6", "server": "SSH-2.0-x", "hassh": "a" * 32, "hasshServer": "b" * 32,
    }  # fmt: skip


SESSIONS = [conn(1), conn(2, service="ssh", resp_p=22), conn(3, proto="udp", service="dns", resp_p=53, duration=None, history="Dd"), conn(4, resp_h="2001:db8::9", orig_h="fd00::1")]


def plain(folder: pathlib.Path, engine: str, sessions: Iterable[Mapping[str, Any]]) -> Read:
    write(folder / "plain", "conn.log", tsv(sessions))
    write(folder / "plain", "ssl.log", tsv([ssl(1)], "ssl", SSL))
    write(folder / "plain", "ssh.log", tsv([ssh(2)], "ssh", SSH))
    return Read(folder / "plain", engine=engine)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("original", [True, False])
@pytest.mark.parametrize("around", [lambda record: record, lambda record: {"_index": "zeek", "_source": record}], ids=["bare", "exported"])
def test_common_schema(tmp_path: pathlib.Path, engine: str, nested: bool, original: bool, around: Any) -> None:
    """Several logs in one file; where the original line is kept it counts, else what the module drops is unknown."""
    made = [("connection", row) for row in SESSIONS] + [("ssl", ssl(1)), ("ssh", ssh(2))]
    shipped = Read(write(tmp_path, "zeek-2023.ndjson", jsonl([around(ecs(kind, row, nested, original)) for kind, row in made])), engine=engine)
    same = plain(tmp_path, engine, SESSIONS if original else [row | dict.fromkeys(LOST) for row in SESSIONS])
    assert len(same.sessions) == len(SESSIONS)
    assert same.without("source") == shipped.without("source")
    assert any(row["server_name"] == "drive.example" for row in shipped.sessions)
    assert any(row["hassh"] for row in shipped.sessions)
    assert not shipped.notes


def test_common_schema_is_counted(tmp_path: pathlib.Path, engine: str) -> None:
    """A row whose address is none is refused with its line; datasets that nobody reads are passed over."""
    bad = ecs("connection", conn(2, orig_h="workstation"), True, False)
    rows = [ecs("connection", conn(1), True, False), bad, {"@timestamp": 1, "event": {"dataset": "zeek.ntp"}, "zeek": {"session_id": "C1"}}]
    found = Read(write(tmp_path, "zeek.json", jsonl(rows)), engine=engine)
    assert len(found.sessions) == 1
    assert [(note.kind, note.place, note.count) for note in found.notes] == [("refused", 2, 1)]


def table(rows: Iterable[Mapping[str, Any]], names: Iterable[str], delimiter: str = ",", **cells: Any) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n", quoting=cells.get("quoting", csv.QUOTE_MINIMAL))
    writer.writerow(names)
    for row in rows:
        writer.writerow([cells.get("write", cell)(row.get(name)) for name in names])
    return out.getvalue()


def pandas_cell(value: Any) -> str:
    return "" if value is None else str(value)


EXPORTS = {
    "zeek-cut": {},
    "semicolons": {"delimiter": ";"},
    "tabs": {"delimiter": "\t"},
    "pandas": {"write": pandas_cell},
    "all-quoted": {"quoting": csv.QUOTE_ALL, "write": lambda value: "" if value is None else cell(value)},
}


@pytest.mark.parametrize("how", EXPORTS)
def test_exported_tables(tmp_path: pathlib.Path, engine: str, how: str) -> None:
    sessions = [*SESSIONS, conn(5, service="ssl,http", tunnel_parents=["CA", "CB"])]
    same = plain(tmp_path, engine, sessions)
    for name, rows, names in (("conn", sessions, CONN), ("ssl", [ssl(1)], SSL), ("ssh", [ssh(2)], SSH)):
        write(tmp_path / "exported", f"{name}.csv", "\ufeff" + table(rows, names, **EXPORTS[how]).replace("\n", "\r\n"))
    exported = Read(tmp_path / "exported", engine=engine)
    assert len(same.sessions) == 5
    assert same.without("source") == exported.without("source")
    assert not exported.notes


def test_exported_table_of_several_logs(tmp_path: pathlib.Path, engine: str) -> None:
    """A column that names the log of each row, as Brim writes it, and a gzip file."""
    names = ["_path", *dict.fromkeys((*CONN, *SSL, *SSH))]
    rows = [*({"_path": "conn", **row} for row in SESSIONS), {"_path": "ssl", **ssl(1)}, {"_path": "ssh", **ssh(2)}]
    exported = Read(write(tmp_path, "all.csv.gz", table(rows, names)), engine=engine)
    assert exported.without("source") == plain(tmp_path, engine, SESSIONS).without("source")


def test_exported_rows_are_counted(tmp_path: pathlib.Path, engine: str) -> None:
    """Rows read, left out and refused are all rows; each refusal has its line and reason."""
    lines = table([conn(1), conn(2), conn(3, orig_h="10.0.0.8", resp_h="10.0.0.9")], CONN).splitlines()
    lines[2:2] = ["1,2,3", lines[1].replace("10.0.0.7", "nowhere"), lines[1].replace("tcp", '"tcp')]
    found = Read(write(tmp_path, "conn.csv", "\n".join([*lines, "17000000"])), engine=engine, only_outbound=True)
    assert len(found.sessions) == 2
    assert [(note.kind, note.place) for note in found.notes] == [("refused", 3), ("refused", 4), ("refused", 5), ("unfinished", 8)]


@pytest.mark.parametrize("text", ["name,size\na,1\n", "ts,uid\n1,2\n", "ts,uid,bytes\n1,C1,5\n", 'ts,uid,"id.orig_h\n1,2,3\n'])
def test_other_tables_are_no_logs(tmp_path: pathlib.Path, engine: str, text: str) -> None:
    write(tmp_path, "conn.log", tsv([conn(1)]))
    write(tmp_path, "list.csv", text)
    found = Read(tmp_path, engine=engine)
    assert len(found.sessions) == 1
    assert found.kinds() == ["skipped"]
