"""Log files to raw rows by the portable engine (`rows`, plain Python): the core's second opinion, and its stand-in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from netexfil import tables
from netexfil.read import exported, fields, rows, suricata
from netexfil.read.logs import Tally, columns

if TYPE_CHECKING:
    import duckdb

    from netexfil.policy import Policy
    from netexfil.read import Options, Progress
    from netexfil.read.find import Log

BATCH = 20_000
STREAMS = False  # conn rows go through the table raw_conn like all others
INTERNAL = 1_000_000
READ = {"eve": suricata.read, "csv": exported.read}
ENCRYPTED = frozenset({"ssl", "ssh", "quic", "tls", "ftp", "ftp-data"})


def rows_of(
    con: duckdb.DuckDBPyConnection, files: Sequence[Log], logs: Sequence[str], options: Options, policy: Policy, progress: Progress | None
) -> list[Tally]:
    """Rows of `logs` in the files to the tables raw_<log>."""
    total, done, told = sum(os.path.getsize(file.path) for file in files), 0, []
    keep = keeper(policy) if options.only_outbound else None
    for file in files:
        tally = rows.Tally(file.path)
        read = READ.get(file.head.dialect, rows.read)
        for log, batch in _batches(read(file, logs, keep, options.ranges.get(file.path), tally), file.path):
            tables.insert(con, f"raw_{log}", batch, kinds=columns(log))
        notes = tuple(tally.notes.values())
        told.append(Tally(file.path, tally.rows, tally.dropped, tally.other, tally.refused, tally.end, notes))
        done += os.path.getsize(file.path)
        if progress:
            progress("logs", done, total)
    return told


def keeper(policy: Policy) -> rows.Keep:
    """Which conn rows can be part of a finding; the same rules as `rust/src/zeek/keep.rs`."""
    at = {one.name: index for index, one in enumerate(fields.LOGS["conn"])}
    sides: dict[str, str] = {}

    def side(address: str) -> str:
        if address not in sides:
            if len(sides) > 100_000:
                sides.clear()
            sides[address] = policy.side(address)
        return sides[address]

    def keep(row: Sequence[Any]) -> bool:
        orig, resp, watched = side(row[at["orig_h"]]), side(row[at["resp_h"]]), row[at["resp_p"]] in policy.watched
        sent, got = row[at["orig_bytes"]] or 0, row[at["resp_bytes"]] or 0
        content = not ENCRYPTED.isdisjoint((row[at["service"]] or "").split(","))
        match orig, resp:
            case "inside", "public":
                return True
            case "public", "inside":
                return watched or got > sent or content
            case "public", "public":
                return watched or content
            case ("public", _) | (_, "public"):
                return False
        return bool(sent >= INTERNAL or got >= INTERNAL)

    return keep


def _batches(found: Iterable[rows.Row], path: str) -> Iterator[tuple[str, list[Sequence[Any]]]]:
    """Rows grouped by their log, a batch at a time."""
    waiting: dict[str, list[Sequence[Any]]] = {}
    for log, name, cells in found:
        batch = waiting.setdefault(log, [])
        batch.append([*cells, name, path])
        if len(batch) >= BATCH:
            yield log, waiting.pop(log)
    yield from waiting.items()
