"""Channels at a glance: a table for people, JSON lines, CSV, Parquet. Plain text, so that nothing heavy is imported for it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from netexfil.report import fitting, words

if TYPE_CHECKING:
    from netexfil.errors import Note
    from netexfil.report.sink import Sink

Row = tuple[Any, ...]
# A row's columns and their DuckDB types. `day` counts from 1970 (null where days are not told apart), `direction` is `out` or `pull`,
# `protocol` names all that its sessions spoke, `bytes_out` is the least that was sent, `in_unknown` counts sessions whose answers no sensor
# saw, `quality` is that of the least sure session.
COLUMNS = {
    "day": "INTEGER", "inside_h": "VARCHAR", "remote_h": "VARCHAR", "remote_p": "INTEGER", "proto": "VARCHAR", "direction": "VARCHAR",
    "protocol": "VARCHAR", "sessions": "BIGINT", "bytes_out": "BIGINT", "bytes_in": "BIGINT", "in_unknown": "BIGINT", "quality": "VARCHAR",
    "first_ts": "DOUBLE", "last_ts": "DOUBLE",
}  # fmt: skip
BATCH = 20_000
WIDEST = 1_000  # what is no terminal, and says no width, gets all of it


@dataclass(slots=True)
class Summary:
    """`rows` may be read once; the sums are those of all channels, shown or not. `lines`, if there, may be read instead: JSON lines."""

    channels: int = 0
    sessions: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    rows: Iterator[Row] = field(default_factory=lambda: iter(()))
    notes: list[Note] = field(default_factory=list)
    lines: Iterator[bytes] | None = None


def _records(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Rows as objects under the names of sessions: with the producer-consumer ratio, days as dates."""
    for day, inside, remote, port, proto, direction, protocol, sessions, out, back, blind, quality, first, last in rows:
        known = not blind and quality != "unknown" and out + back > 0
        yield {
            "day": None if day is None else time.strftime("%Y-%m-%d", time.gmtime(day * 86_400)), "inside_h": inside, "remote_h": remote,
            "remote_p": port, "proto": proto, "direction": direction, "protocol": protocol, "sessions": sessions, "bytes_out": out,
            "bytes_in": back, "in_unknown": blind, "pcr": (out - back) / (out + back) if known else None, "byte_quality": quality,
            "first_ts": first, "last_ts": last,
        }  # fmt: skip


def _batches(rows: Iterable[Row]) -> Iterator[list[dict[str, Any]]]:
    records = _records(rows)
    while batch := list(islice(records, BATCH)):
        yield batch


def jsonl(summary: Summary, out: Sink) -> None:
    """One object a line."""
    import orjson

    if summary.lines is not None:
        for block in summary.lines:
            out.write(block)
        return
    for batch in _batches(summary.rows):
        out.write(b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in batch))


def csv(summary: Summary, out: Sink) -> None:
    """RFC 4180 with a header; a text cell that a spreadsheet would run gets an apostrophe."""
    import csv as writer
    import io

    named = False
    for batch in _batches(summary.rows):
        text = io.StringIO()
        lines = writer.DictWriter(text, list(batch[0]))
        if not named:
            lines.writeheader()
            named = True
        lines.writerows({name: words.defused(cell) if isinstance(cell, str) else cell for name, cell in record.items()} for record in batch)
        out.write(text.getvalue().encode())


def parquet(summary: Summary, out: Sink) -> None:
    """Zstandard-compressed Parquet."""
    from netexfil import tables
    from netexfil.report.sessions import copy_parquet

    con = tables.connect()
    con.execute(f"CREATE TEMP TABLE shown ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})")
    while batch := list(islice(summary.rows, BATCH)):
        tables.insert(con, "shown", batch, kinds=COLUMNS)
    known = "in_unknown = 0 AND quality <> 'unknown' AND bytes_out + bytes_in > 0"
    columns = f"""* EXCLUDE (quality) REPLACE (CAST('epoch' AS DATE) + day AS day), quality AS byte_quality,
        CASE WHEN {known} THEN (bytes_out - bytes_in) / CAST(bytes_out + bytes_in AS DOUBLE) END AS pcr"""
    copy_parquet(con, f"SELECT {columns} FROM shown", out)


_LEFT = frozenset({"day", "from", "to", "over", "dir", "first (UTC)", "last (UTC)"})
# Columns that a narrow terminal does without, the least needed first; and those whose cells are cut rather than left out.
_SPARE = ("last (UTC)", "PCR", "dir", "first (UTC)", "in", "sessions", "day")
_SHORTER = {"over": (13, 8), "from": (15, 15), "to": (39, 15)}  # an IPv4 address has 15 characters at most, an IPv6 address 39


def table(summary: Summary, out: Sink) -> None:
    """Aligned columns, as many as the terminal has room for, and below them the sums of all channels."""
    rows = [_shown(record) for record in _records(summary.rows)]
    if not summary.channels:
        return
    if rows and not rows[0]["day"]:
        rows = [{name: cell for name, cell in row.items() if name != "day"} for row in rows]
    if rows:
        wide = fitting.fitted(rows, out.columns if out.terminal or "COLUMNS" in os.environ else WIDEST, _SPARE, _SHORTER)
        for row in ({name: name for name in wide}, *rows):
            out.text(_line(row, wide))
    most = "the largest" if len(rows) == 1 else f"the {len(rows):,} largest"
    more = f"{most} of " if len(rows) < summary.channels else ""
    sums = f"{_count(summary.sessions, 'session')}, {words.units(summary.bytes_out)} out, {words.units(summary.bytes_in)} in"
    out.text(f"{more}{_count(summary.channels, 'channel')}: {sums}\n")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _shown(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        "day": record["day"] or "", "from": record["inside_h"], "to": record["remote_h"],
        "over": words.visible(f"{record['remote_p']}/{record['proto']} {record['protocol']}"), "dir": record["direction"],
        "sessions": f"{record['sessions']:,}", "out": ("≥ " if record["byte_quality"] != "exact" else "") + words.units(record["bytes_out"]),
        "in": ("≥ " if record["in_unknown"] else "") + words.units(record["bytes_in"]), "PCR": words.signed(record["pcr"]),
        "first (UTC)": _moment(record["first_ts"]), "last (UTC)": _moment(record["last_ts"]),
    }  # fmt: skip


def _moment(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
    except (OverflowError, OSError, ValueError):  # a year that no calendar has
        return f"{seconds:.0f}"


def _line(row: Mapping[str, str], wide: Mapping[str, int]) -> str:
    cells = (f"{fitting.cut(row[name], width):{'<' if name in _LEFT else '>'}{width}}" for name, width in wide.items())
    return "  ".join(cells).rstrip() + "\n"
