"""Captures through the core, as rows of `session`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import packets as p

from netexfil import read, tables
from netexfil.errors import Note
from netexfil.policy import Policy


def sessions(path: Path | list[Path], **options: Any) -> tuple[list[dict[str, Any]], list[Note]]:
    from netexfil.read import capture

    con = duckdb.connect()
    tables.create(con)
    paths = [str(one) for one in (path if isinstance(path, list) else [path])]
    notes = capture.read(con, paths, read.Options(**options), Policy())
    cursor = con.execute(f"SELECT {', '.join(tables.READ)} FROM session ORDER BY ts, uid")
    return [dict(zip(tables.READ, row, strict=True)) for row in cursor.fetchall()], notes


def one(tmp_path: Path, data: bytes, **options: Any) -> dict[str, Any]:
    (tmp_path / "one.pcap").write_bytes(data)
    rows, notes = sessions(tmp_path / "one.pcap", **options)
    assert not notes
    assert len(rows) == 1, rows
    return rows[0]


def ether(frames: list[tuple[float, bytes]], kind: int = 0x0800) -> list[tuple[float, bytes]]:
    return [(time, p.ethernet(data, kind)) for time, data in frames]
