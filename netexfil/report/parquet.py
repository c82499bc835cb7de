"""Findings as Parquet, nested as in the record, written by DuckDB from the JSON lines."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netexfil.report import jsonl
from netexfil.report.sessions import copy_parquet, quoted
from netexfil.report.sink import opened

if TYPE_CHECKING:
    from netexfil.errors import Note
    from netexfil.finding import Finding
    from netexfil.report import Options
    from netexfil.report.sink import Sink

# Column -> DuckDB type. An evidence value may be a number or a word, so it stays JSON.
COLUMNS = {
    "schema": "INTEGER",
    "kind": "VARCHAR",
    "id": "VARCHAR",
    "score": "DOUBLE",
    "severity": "VARCHAR",
    "confidence": "VARCHAR",
    "first_ts": "DOUBLE",
    "last_ts": "DOUBLE",
    "first_time": "TIMESTAMP",
    "last_time": "TIMESTAMP",
    "host": "STRUCT(ip VARCHAR, name VARCHAR)",
    "destination": "STRUCT(ips VARCHAR[], port INTEGER, proto VARCHAR, name VARCHAR)",
    "protocol": "VARCHAR",
    "tool": "STRUCT(name VARCHAR, source VARCHAR, verdict VARCHAR)",
    "bytes_out": "STRUCT(low BIGINT, high BIGINT, quality VARCHAR)",
    "bytes_in": "BIGINT",
    "pcr": "DOUBLE",
    "sessions": "BIGINT",
    "session_uids": "VARCHAR[]",
    "duration": "DOUBLE",
    "rate": "DOUBLE",
    "in_progress": "BOOLEAN",
    "evidence": "STRUCT(code VARCHAR, value JSON, unit VARCHAR, threshold JSON, points DOUBLE, text VARCHAR, source VARCHAR)[]",
    "links": "STRUCT(match VARCHAR, confidence DOUBLE, candidates INTEGER, seconds_apart DOUBLE, clock_offset DOUBLE, event JSON, uid VARCHAR)[]",
    "attack": "STRUCT(technique VARCHAR, strategy VARCHAR)[]",
    "suppressed": 'STRUCT("by" VARCHAR, reason VARCHAR, expires VARCHAR)',
    "window": "VARCHAR",
    "next_steps": "STRUCT(title VARCHAR, language VARCHAR, text VARCHAR)[]",
    "direction": "VARCHAR",
    "ledger": 'STRUCT("1h" BIGINT, "1d" BIGINT, "7d" BIGINT, "30d" BIGINT)',
    "siblings": "BIGINT",
}


def write(findings: Sequence[Finding], notes: Sequence[Note], out: Sink, options: Options) -> None:
    from netexfil.tables import connect

    with tempfile.TemporaryDirectory(prefix="netexfil-") as folder:
        lines = Path(folder) / "findings.jsonl"
        with opened(lines) as sink:
            jsonl.write(findings, notes, sink, options)
        columns = ", ".join(f"'{name}': '{kind.replace(chr(39), chr(39) * 2)}'" for name, kind in COLUMNS.items())
        with connect() as con:
            copy_parquet(
                con,
                f"SELECT * FROM read_json({quoted(lines)}, format='newline_delimited', columns={{{columns}}}, maximum_object_size=16777216)",
                out,
            )
