"""Log files to sessions and names: read the rows of every log that we know, join them, and say what was refused.

The rows are read by the core, or by `rows` (plain Python) where there is no core; everything after that is the same.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netexfil import tables
from netexfil.errors import Note
from netexfil.read import fields, merging, names, values

if TYPE_CHECKING:
    import duckdb

    from netexfil.policy import Policy
    from netexfil.read import Options, Progress
    from netexfil.read.find import Log


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of a file's rows: taken, dropped as no part of a finding, of other logs, refused; `end` as in `rows.Tally`.

    passed: logs that were met and not asked for.
    """

    file: str
    rows: int
    dropped: int = 0
    other: int = 0
    refused: int = 0
    end: int = 0
    notes: Sequence[Note] = ()
    passed: frozenset[str] = field(default_factory=frozenset)


def read(con: duckdb.DuckDBPyConnection, files: Sequence[Log], options: Options, policy: Policy, progress: Progress | None = None) -> list[Note]:
    """Read log files into `session` and `name` (and `fact`, where the options ask for it).

    The logs that speak of sessions come first, the conn logs last and as a stream: their rows are stored once, complete.
    """
    from netexfil.read import engine

    for log in fields.LOGS:
        _raw(con, log)
    known = [file for file in files if file.head.dialect != "tsv" or fields.log_of(file.head.path) in fields.LOGS]
    reader = importlib.import_module("netexfil.read.core_logs" if engine(options) == "core" else "netexfil.read.portable_logs")
    first = [file for file in known if not reader.STREAMS or not _conn_only(file)]
    told = reader.rows_of(con, first, list(fields.LOGS), options, policy, progress)
    _said(con, options)
    merging.sessions(con, "raw_conn", "gathered")
    last = [file for file in known if file not in first]
    if last:
        told += reader.stream(con, last, options, policy, progress)
    con.execute("DROP TABLE gathered")
    merging.announce(con, "fact_new")
    if last:
        told += _met(con, last, told, reader, options, policy)
    con.execute("DROP TABLE fact_new")
    merging.merge(con)
    notes = [note for tally in told for note in tally.notes]
    notes += offload(con)
    for log in fields.LOGS:
        con.execute(f"DROP TABLE raw_{log}")
    return notes


def _conn_only(file: Log) -> bool:
    return file.head.dialect != "eve" and fields.log_of(file.head.path) == "conn"


def _raw(con: duckdb.DuckDBPyConnection, log: str) -> None:
    described = ", ".join(f"{name} {kind}" for name, kind in columns(log).items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE raw_{log} ({described})")


def _said(con: duckdb.DuckDBPyConnection, options: Options) -> None:
    """Rows of other logs to facts and names: tables `fact_new` and `gathered`."""
    present = [log for log in fields.LOGS if con.execute(f"SELECT 1 FROM raw_{log} LIMIT 1").fetchone()]
    names.fill(con, present)
    described = ", ".join(f"{name} {kind}" for name, kind in tables.FACT.items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE fact_new ({described})")
    merging.facts(con, present, "fact_new")
    if options.keep_facts:
        con.execute("INSERT INTO fact SELECT * FROM fact_new")
    merging.gather(con, "fact_new", "gathered")


def _met(
    con: duckdb.DuckDBPyConnection, files: Sequence[Log], told: Sequence[Tally], reader: Any, options: Options, policy: Policy
) -> list[Tally]:
    """Rows of other logs that were met in files taken for conn logs: read those files once more, for them."""
    held = {tally.file for tally in told if any(fields.log_of(name) in fields.LOGS for name in tally.passed)}
    mixed = [file for file in files if file.path in held]
    if not mixed:
        return []
    for log in fields.LOGS:
        con.execute(f"DELETE FROM raw_{log}")
    again: list[Tally] = reader.rows_of(con, mixed, [log for log in fields.LOGS if log != "conn"], options, policy, None)
    _said(con, options)
    con.execute("DROP TABLE gathered")
    merging.merge_facts(con, "fact_new")
    return [Tally(tally.file, tally.rows) for tally in again]  # the first pass has told of everything else


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
