"""Zeek logs for tests: rows as dictionaries, written as TSV or JSON, read by either engine."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from netexfil import read, tables
from netexfil.policy import Policy

CORPUS = pathlib.Path(os.environ.get("NETEXFIL_CORPUS", pathlib.Path(__file__).parents[2] / "shared" / "corpus"))
ENGINES = ["portable", pytest.param("core", marks=pytest.mark.skipif(not read.core_available(), reason="the core is not built"))]

CONN = {
    "ts": "time", "uid": "string", "id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr", "id.resp_p": "port", "proto": "enum",
    "service": "string", "duration": "interval", "orig_bytes": "count", "resp_bytes": "count", "conn_state": "string", "local_orig": "bool",
    "local_resp": "bool", "missed_bytes": "count", "history": "string", "orig_pkts": "count", "orig_ip_bytes": "count", "resp_pkts": "count",
    "resp_ip_bytes": "count", "tunnel_parents": "set[string]",
}  # fmt: skip
SSL = dict(list(CONN.items())[:6]) | {
    "version": "string", "server_name": "string", "next_protocol": "string", "established": "bool", "cert_chain_fuids": "vector[string]",
}  # fmt: skip

Row = Mapping[str, Any]


def conn(number: int = 1, **more: Any) -> dict[str, Any]:
    """A whole row of conn.log: an upload of 5000 bytes; `more` changes it (ends without `id.`)."""
    row: dict[str, Any] = {
        "ts": 1700000000.5 + number, "uid": f"C{number:017d}", "id.orig_h": "10.0.0.7", "id.orig_p": 40000 + number, "id.resp_h": "203.0.113.9",
        "id.resp_p": 443, "proto": "tcp", "service": "ssl", "duration": 1.25, "orig_bytes": 5000, "resp_bytes": 700, "conn_state": "SF",
        "local_orig": True, "local_resp": False, "missed_bytes": 0, "history": "ShADadFf", "orig_pkts": 10, "orig_ip_bytes": 5520,
        "resp_pkts": 8, "resp_ip_bytes": 1116, "tunnel_parents": None,
    }  # fmt: skip
    names = {name.removeprefix("id."): name for name in row}
    return row | {names.get(name, name): value for name, value in more.items()}


def cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, list):
        return ",".join(part.replace(",", "\\x2c") for part in value) or "(empty)"
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def header(path: str, fields: Mapping[str, str]) -> str:
    lines = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", f"#path\t{path}", "#open\t2023-11-14-22-13-20"]
    return "\n".join([*lines, "#fields\t" + "\t".join(fields), "#types\t" + "\t".join(fields.values())]) + "\n"


def tsv(rows: Iterable[Row], path: str = "conn", fields: Mapping[str, str] = CONN) -> str:
    return header(path, fields) + "".join("\t".join(cell(row.get(name)) for name in fields) + "\n" for row in rows)


def jsonl(rows: Iterable[Row], **more: Any) -> str:
    return "".join(json.dumps({**more, **{name: value for name, value in row.items() if value is not None}}) + "\n" for row in rows)


def write(folder: pathlib.Path, name: str, text: str | bytes) -> pathlib.Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data, 1) if name.endswith(".gz") else data)
    return path


class Read:
    """What a source gave: sessions as dictionaries, names, facts, notes."""

    def __init__(self, *sources: str | pathlib.Path, engine: str | None = None, policy: Policy | None = None, **options: Any) -> None:
        con = tables.connect()
        tables.create(con)
        self.notes = read.sessions(con, [str(source) for source in sources], read.Options(engine=engine, **options), policy or Policy())
        columns = list(tables.READ)
        found = con.execute(f"SELECT {', '.join(columns)} FROM session ORDER BY ts, uid, source").fetchall()
        self.sessions = [dict(zip(columns, row, strict=True)) for row in found]
        self.names = con.execute("SELECT * FROM name ORDER BY ALL").fetchall()
        self.facts = con.execute("SELECT * FROM fact ORDER BY ALL").fetchall()
        self.con = con

    @property
    def one(self) -> dict[str, Any]:
        assert len(self.sessions) == 1, self.sessions
        return self.sessions[0]

    def kinds(self) -> Sequence[str]:
        return sorted(note.kind for note in self.notes)

    def without(self, *columns: str) -> list[dict[str, Any]]:
        """Sessions in an order that does not depend on the columns left out."""
        kept = [{name: value for name, value in row.items() if name not in columns} for row in self.sessions]
        return sorted(kept, key=lambda row: json.dumps(row, sort_keys=True))
