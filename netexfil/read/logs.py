"""Log files to sessions and names: read the rows of every log that we know, join them, and say what was refused.

The rows are read by the core, or by `rows` (plain Python) where there is no core; everything after that is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from netexfil import tables
from netexfil.errors import Note
from netexfil.read import fields, merging, names, values

if TYPE_CHECKING:
    import duckdb

    from netexfil.policy import Policy
    from netexfil.read import Options, Progress
    from netexfil.read.find import Log

BATCH = 20_000


def read(con: duckdb.DuckDBPyConnection, files: Sequence[Log], options: Options, policy: Policy, progress: Progress | None = None) -> list[Note]:
    """Read log files into `session` and `name` (and `fact`, where the options ask for it)."""
    for log in fields.LOGS:
        _raw(con, log)
    notes = _portable(con, files, options, policy, progress)
    present = [log for log in fields.LOGS if con.execute(f"SELECT 1 FROM raw_{log} LIMIT 1").fetchone()]
    names.fill(con, present)
    _join(con, present, options)
    notes += offload(con)
    for log in fields.LOGS:
        con.execute(f"DROP TABLE raw_{log}")
    return notes


def _raw(con: duckdb.DuckDBPyConnection, log: str) -> None:
    described = ", ".join(f"{name} {kind}" for name, kind in columns(log).items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE raw_{log} ({described})")


def _join(con: duckdb.DuckDBPyConnection, present: Sequence[str], options: Options) -> None:
    tables.create(con, ["fact"])
    columns = ", ".join(f"{name} {kind}" for name, kind in tables.FACT.items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE fact_new ({columns})")
    merging.facts(con, present, "fact_new")
    merging.gather(con, "fact_new", "gathered")
    merging.sessions(con, "raw_conn", "gathered")
    merging.announce(con, "fact_new")
    if options.keep_facts:
        con.execute("INSERT INTO fact SELECT * FROM fact_new")
    merging.merge(con)
    con.execute("DROP TABLE fact_new")
    con.execute("DROP TABLE gathered")


def _portable(con: duckdb.DuckDBPyConnection, files: Sequence[Log], options: Options, policy: Policy, progress: Progress | None) -> list[Note]:
    """Every file through the plain Python reader."""
    import os

    from netexfil.read import rows

    total = sum(os.path.getsize(file.path) for file in files)
    done, notes = 0, []
    for file in files:
        if file.head.dialect == "tsv" and fields.log_of(file.head.path) not in fields.LOGS:
            continue
        tally = rows.Tally(file.path)
        found = rows.read(file, list(fields.LOGS), None, options.ranges.get(file.path), tally)
        for log, batch in _batches(found, file.path):
            tables.insert(con, f"raw_{log}", batch, kinds=columns(log))
        notes += list(tally.notes.values())
        done += os.path.getsize(file.path)
        if progress:
            progress("logs", done, total)
    return notes


def _batches(found: Iterable[Any], path: str) -> Iterator[tuple[str, list[Sequence[Any]]]]:
    """Rows grouped by their log, a batch at a time."""
    waiting: dict[str, list[Sequence[Any]]] = {}
    for log, name, cells in found:
        batch = waiting.setdefault(log, [])
        batch.append([*cells, name, path])
        if len(batch) >= BATCH:
            yield log, waiting.pop(log)
    yield from waiting.items()


def columns(log: str) -> dict[str, str]:
    """The columns of a table of raw rows: the log's fields, the name it was written under, the file."""
    return {one.name: values.TYPES[one.kind] for one in fields.LOGS[log]} | {"logname": "VARCHAR", "file": "VARCHAR"}


# A sensor is said to drop one side where this share of its TCP sessions, and at least so many, have an answer and no question;
# where its weird.log speaks of checksums, a smaller share and one session are enough.
OFFLOAD_SHARE, OFFLOAD_LEAST, OFFLOAD_TOLD_SHARE = 0.1, 3, 0.02


def offload(con: duckdb.DuckDBPyConnection) -> list[Note]:
    """Recognise sensors that dropped one side for bad checksums: mark their one-sided sessions, and say the cure once per sensor."""
    folder = "regexp_replace(source, '[^/]*$', '')"
    side = "proto = 'tcp' AND contains(',' || coalesce(hints, '') || ',', ',onesided,') AND orig_quality = 'unknown'"
    found = con.execute(f"""SELECT {folder} AS sensor, count(*) FILTER ({side}) AS lost, count(*) FILTER (proto = 'tcp') AS tcp,
        coalesce(any_value(w.n), 0) AS weird FROM session LEFT JOIN
        (SELECT regexp_replace(file, '[^/]*$', '') AS folder, count(*) AS n FROM raw_weird WHERE contains(lower(name), 'checksum') GROUP BY 1) w
        ON w.folder = {folder} GROUP BY 1
        HAVING lost > 0 AND lost >= CASE WHEN weird > 0 THEN {OFFLOAD_TOLD_SHARE} * tcp ELSE greatest({OFFLOAD_LEAST}, {OFFLOAD_SHARE} * tcp) END ORDER BY 1""").fetchall()
    for sensor, *_ in found:
        con.execute(f"UPDATE session SET hints = {merging.words('hints', chr(39) + 'offload' + chr(39))} WHERE {folder} = ? AND {side}", [sensor])
    reason = (
        "the sensor dropped packets with bad checksums, so one side's bytes are unknown in {0} of {1} TCP sessions;"
        " run zeek -C, or redef ignore_checksums = T"
    )
    return [Note(sensor or ".", "offload", reason.format(lost, tcp), count=lost, loss=False) for sensor, lost, tcp, _ in found]
