"""Log files to sessions and names: read the rows of every log that we know, join them, and say what was refused.

The rows are read by the core, or by `rows` (plain Python) where there is no core; everything after that is the same.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from netexfil import tables
from netexfil.errors import Note
from netexfil.read import fields, log_files, merging, names, suricata, values

if TYPE_CHECKING:
    import duckdb

    from netexfil.policy import Policy
    from netexfil.read import Options, Progress, Turn
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


def read(
    con: duckdb.DuckDBPyConnection, files: Sequence[Log], options: Options, policy: Policy, progress: Progress | None = None,
    turn: Turn | None = None,
) -> list[Note]:
    """Read log files into `session` and `name` (and `fact`, where the options ask for it).

    The logs that speak of sessions come first, the conn logs last and as a stream: their rows are stored once, complete.
    """
    from netexfil.read import engine

    reader = importlib.import_module("netexfil.read.core_logs" if engine(options) == "core" else "netexfil.read.portable_logs")
    by_log: dict[str, list[Log]] = {}
    for file in files:
        by_log.setdefault(_group(file, reader.STREAMS), []).append(file)
    _empty(con, merging.NEW, "fact_new")
    _empty(con, {"file": "VARCHAR"}, "checksum_weird")
    told = _sifted(con, by_log, reader, options, policy, progress, turn)
    sifted, apart = told is not None, by_log.pop(_APART, [])
    if told is None:
        conn = by_log.pop("conn", [])
        told = _apart(con, apart, options, policy, progress)
        told += _others(con, by_log, reader, options, policy, progress)
        told += _sessions(con, conn, reader, options, policy, progress, turn)
        told += _met(con, told, files, reader, options, policy)
    con.execute("DROP TABLE fact_new")
    if eve := [file.path for file in apart if file.head.dialect == "eve"]:
        suricata.bounds(con, eve)
    if not sifted:
        merging.merge(con)
    notes = [note for tally in told for note in tally.notes]
    stored = (options.into and options.into.stored) or ("session", "TRUE", "orig_quality = 'unknown'")
    notes += [] if sifted else [*_sessionless(con, files, told, options), *offload(con, *stored)]
    for table in ("checksum_weird", "raw_conn_apart", *(f"raw_{log}" for log in fields.LOGS)):
        con.execute(f"DROP TABLE IF EXISTS {table}")
    return notes


_MIXED, _APART = "*", "apart"


def _sifted(
    con: duckdb.DuckDBPyConnection, by_log: Mapping[str, Sequence[Log]], reader: Any, options: Options, policy: Policy, progress: Progress | None,
    turn: Turn | None,
) -> list[Tally] | None:
    """Large conn logs without the sessions that no finding will ask for; None where everything is to be read."""
    if options.sift is None or not reader.STREAMS:
        return None
    from duckdb import OutOfMemoryException

    from netexfil.read import sift

    if not sift.fits(by_log, options):
        return None
    job = sift.Job(con, by_log, options, policy, progress)
    if options.sift.reach is None:  # what the telemetry says is held already
        tables.spare(con)
    while True:
        try:
            return sift.read(job, lambda small: _others(con, small, reader, options, policy, progress), turn)
        except sift.Unfit:
            tables.unspare(con, most=True)
            con.execute("RESET threads")
            return None
        except OutOfMemoryException:
            if not tables.unspare(con):
                raise


def _expected(file: Log) -> str:
    """The log that a file is taken for by its header or name; `*` for JSON that may hold any; empty for a TSV log that we do not read."""
    log = fields.log_of(file.head.path)
    if file.head.dialect in log_files.OURS:
        return _APART
    return log if log in fields.LOGS else "" if file.head.dialect == "tsv" else _MIXED


def _group(file: Log, streams: bool) -> str:
    expected = _expected(file)
    return expected if streams or expected in ("", _APART) else _MIXED


def _created(described: Mapping[str, str], table: str, unless: str = "") -> str:
    return f"CREATE TEMP TABLE {unless} {table} ({', '.join(f'{name} {kind}' for name, kind in described.items())})"


def _empty(con: duckdb.DuckDBPyConnection, described: Mapping[str, str], table: str) -> None:
    con.execute(f"DROP TABLE IF EXISTS {table}")
    con.execute(_created(described, table))


def _others(
    con: duckdb.DuckDBPyConnection, by_log: Mapping[str, Sequence[Log]], reader: Any, options: Options, policy: Policy,
    progress: Progress | None,
) -> list[Tally]:
    """Everything but conn logs: facts to `fact_new`, names to `name`, conn rows of mixed files to `raw_conn`."""
    told: list[Tally] = []
    for log, files in by_log.items():
        if log == _MIXED:
            told += _mixed(con, files, list(fields.LOGS), reader, options, policy, progress)
        elif log and _uses(log) == 1:
            told += reader.stream(con, files, log, options, policy, progress, lambda rows, log=log: _use(con, log, rows))
        elif log:
            _empty(con, columns(log), f"raw_{log}")
            told += reader.stream(con, files, log, options, policy, progress, lambda rows, log=log: _store(con, log, rows))
            _use(con, log, f"raw_{log}")
    return told


def _apart(con: duckdb.DuckDBPyConnection, files: Sequence[Log], options: Options, policy: Policy, progress: Progress | None) -> list[Tally]:
    """What only the portable engine reads: Suricata's logs, exported tables."""
    from netexfil.read import portable_logs

    if not files:
        return []
    told = _mixed(con, files, [*(log for log in fields.LOGS if log != "conn"), "conn"], portable_logs, options, policy, progress)
    con.execute("ALTER TABLE raw_conn RENAME TO raw_conn_apart")
    return told


def _mixed(
    con: duckdb.DuckDBPyConnection, files: Sequence[Log], logs: Sequence[str], reader: Any, options: Options, policy: Policy,
    progress: Progress | None,
) -> list[Tally]:
    """Files that hold rows of several logs: through the tables raw_<log>."""
    for log in logs:
        _empty(con, columns(log), f"raw_{log}")
    told: list[Tally] = reader.rows_of(con, files, logs, options, policy, progress)
    for log in logs:
        if con.execute(f"SELECT 1 FROM raw_{log} LIMIT 1").fetchone():
            _use(con, log, f"raw_{log}")
    return told


def _uses(log: str) -> int:
    """How many queries want a log's rows."""
    return len(names.NAMES.get(log, ())) + (log in merging.FACTS) + (log == "weird")


def _use(con: duckdb.DuckDBPyConnection, log: str, rows: str) -> None:
    names.fill(con, log, rows)
    if log in merging.FACTS:
        merging.facts(con, log, rows, "fact_new")
    if log == "netexfil":
        con.execute(_created(columns("conn"), "raw_conn", "IF NOT EXISTS"))
        con.execute("INSERT INTO raw_conn BY NAME " + merging.CONN_OF_NETEXFIL.replace("{rows}", rows))
    if log == "weird":
        con.execute(f"INSERT INTO checksum_weird SELECT file FROM {rows} WHERE contains(lower(name), 'checksum')")


def _store(con: duckdb.DuckDBPyConnection, log: str, rows: str) -> None:
    con.execute(f"INSERT INTO raw_{log} SELECT {', '.join(columns(log))} FROM {rows}")


def _sessions(
    con: duckdb.DuckDBPyConnection, files: Sequence[Log], reader: Any, options: Options, policy: Policy, progress: Progress | None,
    turn: Turn | None,
) -> list[Tally]:
    """Conn rows, with what the facts say of them, to `session`. Rows of the core's stream know their sides, so they are stored turned."""
    names.from_facts(con, "fact_new")
    _keep(con, options)
    raw = con.execute("SELECT table_name FROM duckdb_tables() WHERE table_name IN ('raw_conn', 'raw_conn_apart')").fetchall()
    if raw:
        options = replace(options, sums=None)
    into = options.into if len(files) == 1 and files[0].head.path == "conn" and not raw else None
    into = into if into and into.ready(con) else None
    merging.gather(con, "fact_new", "gathered")
    for (table,) in raw:
        merging.sessions(con, table, "gathered")
    told: list[Tally] = []
    if files:
        told = reader.stream(con, files, "conn", options, policy, progress, lambda rows: merging.sessions(con, rows, "gathered", turn, into))
    merging.forget(con, "gathered")
    merging.announce(con, "fact_new")
    return told


def _keep(con: duckdb.DuckDBPyConnection, options: Options) -> None:
    if options.keep_facts:
        kept = ", ".join(tables.FACT)
        con.execute(f"INSERT INTO fact ({kept}) SELECT {kept} FROM fact_new WHERE uid IS NOT NULL OR fuid IS NOT NULL")


def _met(con: duckdb.DuckDBPyConnection, told: Sequence[Tally], files: Sequence[Log], reader: Any, options: Options, policy: Policy) -> list[Tally]:
    """Rows of other logs that were met in files taken for one log: read those files once more, for them."""
    met = {tally.file: {fields.log_of(name) for name in tally.passed} & fields.LOGS.keys() for tally in told}
    mixed = [file for file in files if met.get(file.path)]
    if not mixed:
        return []
    if options.sums:
        options.sums.found = None
    if options.into and options.into.stored:
        options.into.spoiled = True
        return []
    _empty(con, merging.NEW, "fact_new")
    logs = sorted(set().union(*(met[file.path] for file in mixed)))
    again = []
    for file in mixed:
        again += _mixed(con, [file], sorted(met[file.path]), reader, options, policy, None)
        if "conn" in met[file.path]:
            merging.gather(con, "fact_new", "gathered")
            merging.sessions(con, "raw_conn", "gathered")
            merging.forget(con, "gathered")
    names.from_facts(con, "fact_new")
    _keep(con, options)
    if logs != ["conn"]:
        merging.merge_facts(con, "fact_new")
    return [Tally(tally.file, tally.rows) for tally in again]  # the first pass has told of everything else


def _sessionless(con: duckdb.DuckDBPyConnection, files: Sequence[Log], told: Sequence[Tally], options: Options) -> list[Note]:
    """Say where the logs speak of sessions and none of them holds sessions: silence would look like a clean result.

    A conn log without rows is a quiet hour. Where facts are kept (`options.keep_facts`) the sessions may come with a later run.
    """
    stated = any(log_files.holds_sessions(file) and _expected(file) not in (_MIXED, _APART) for file in files)
    dropped = any(tally.dropped for tally in told)
    if stated or dropped or options.keep_facts or not any(tally.rows for tally in told) or con.execute("SELECT 1 FROM session LIMIT 1").fetchone():
        return []
    logs = ", ".join(sorted({fields.log_of(file.head.path) or "logs" for file in files})[:5])
    among = f" among {len(files)} logs ({logs})" if len(files) > 1 else ""
    reason = f"no log of sessions (conn.log){among}: what these logs tell belongs to sessions that are not here, so nothing was analysed"
    return [Note(files[0].path if len(files) == 1 else "", "sessionless", reason)]


def columns(log: str) -> dict[str, str]:
    """The columns of a table of raw rows: the log's fields, the name it was written under, the file."""
    return {one.name: values.TYPES[one.kind] for one in fields.LOGS[log]} | {"logname": "VARCHAR", "file": "VARCHAR"}


# A sensor is said to drop one side where this share of its TCP sessions, and at least so many, have an answer and no question;
# where its weird.log speaks of checksums, a smaller share and one session are enough.
OFFLOAD_SHARE, OFFLOAD_LEAST, OFFLOAD_TOLD_SHARE = 0.1, 3, 0.02


def offload(con: duckdb.DuckDBPyConnection, table: str, which: str, unknown: str) -> list[Note]:
    """Recognise sensors that dropped one side for bad checksums: mark their one-sided sessions, and say the cure once per sensor.

    Args:
        which: a condition on the sessions of the table. unknown: that the originator's bytes are.
    """
    folder = "regexp_replace(source, '[^/]*$', '')"
    side = f"proto = 'tcp' AND contains(',' || coalesce(hints, '') || ',', ',onesided,') AND {unknown}"
    if not tables.some(con, f"{table} WHERE {which} AND {unknown}"):
        return []
    found = con.execute(f"""SELECT {folder} AS sensor, count(*) FILTER ({side}) AS lost, count(*) FILTER (proto = 'tcp') AS tcp,
        coalesce(any_value(w.n), 0) AS weird FROM (SELECT * FROM {table} WHERE {which}) LEFT JOIN
        (SELECT regexp_replace(file, '[^/]*$', '') AS folder, count(*) AS n FROM checksum_weird GROUP BY 1) w
        ON w.folder = {folder} GROUP BY 1
        HAVING lost > 0 AND lost >= CASE WHEN weird > 0 THEN {OFFLOAD_TOLD_SHARE} * tcp ELSE greatest({OFFLOAD_LEAST}, {OFFLOAD_SHARE} * tcp) END
        ORDER BY 1""").fetchall()
    for sensor, *_ in found:
        said = merging.words("hints", "'offload'")
        con.execute(f"UPDATE {table} SET hints = {said} WHERE {which} AND {folder} = ? AND {side}", [sensor])
    reason = (
        "the sensor dropped packets with bad checksums, so one side's bytes are unknown in {0} of {1} TCP sessions;"
        " run zeek -C, or redef ignore_checksums = T"
    )
    return [Note(sensor or ".", "offload", reason.format(lost, tcp), count=lost, loss=False) for sensor, lost, tcp, _ in found]
