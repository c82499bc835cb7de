"""From logs, captures and telemetry into the state, in batches: the rows and the place reached are committed together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from netexfil import pipeline, read, tables
from netexfil.errors import Note
from netexfil.read import find
from netexfil.state import places, store

if TYPE_CHECKING:
    import duckdb

BATCH_BYTES = 256 << 20  # of decompressed text: what a killed first import loses at most
DAY = 86400.0


@dataclass(slots=True)
class Tally:
    """What a run took in."""

    sessions: int = 0
    files: int | None = None
    last_ts: float | None = None
    notes: list[Note] = field(default_factory=list)


def logs(con: duckdb.DuckDBPyConnection, path: Path, job: pipeline.Job, found: find.Found, now: float, tally: Tally) -> None:
    """Everything of the logs that no run has read yet, batch by batch."""
    with store.attached(con, path, read_only=True):
        known = places.remembered(con)
    for batch in _batches(_parts(found, known, tally)):
        ranges = {part.path: (part.start, part.end) for part in batch}
        options = replace(job.options, ranges=ranges, keep_facts=True)
        tables.create(con)
        tally.notes += read.sessions(con, list(ranges), options, job.policy)
        commit(con, path, batch, now, tally)


def _parts(found: find.Found, known: dict[str, places.Place], tally: Tally) -> Iterator[places.Part]:
    for log in found.logs:
        try:
            part = places.unread(log.path, log.head.path, log.head.wrap, known)
        except OSError as error:
            tally.notes.append(Note(log.path, "unreadable", error.strerror or str(error)))
            continue
        if part is None:
            continue
        pieces = places.pieces(part, BATCH_BYTES) if log.head.wrap == "plain" else [part]
        yield from pieces


def _batches(parts: Iterator[places.Part]) -> Iterator[list[places.Part]]:
    """Parts together up to the batch size; two pieces of one log never in one batch, so that a path has one range."""
    batch: list[places.Part] = []
    for part in parts:
        full = sum(other.size for other in batch) + part.size > BATCH_BYTES
        if batch and (full or any(other.path == part.path or other.identity == part.identity for other in batch)):
            yield batch
            batch = []
        batch.append(part)
    if batch:
        yield batch


def commit(con: duckdb.DuckDBPyConnection, path: Path, batch: Sequence[places.Part], now: float, tally: Tally) -> None:
    """Merge what was read with what is stored, and store it with the places reached, in one transaction."""
    with store.attached(con, path):
        prepare(con, tally)
        with store.transaction(con):
            push(con)
            for part in batch:
                _remember(con, part, now)
    for table in ("session", "fact", "name"):
        con.execute(f"DELETE FROM {table}")


def prepare(con: duckdb.DuckDBPyConnection, tally: Tally) -> None:
    """Take stored rows that the new ones belong to (sessions of the same uid, facts of new sessions, logins of new certificates), and merge.

    Writes to memory only: DuckDB lets one transaction write to one database.
    """
    kept, facts = ", ".join(tables.READ), ", ".join(tables.FACT)
    con.execute("CREATE OR REPLACE TEMP TABLE fresh AS SELECT uid FROM session UNION SELECT uid FROM fact WHERE uid IS NOT NULL")
    con.execute("INSERT INTO fresh SELECT uid FROM state.fact WHERE uid IS NOT NULL AND fuid IN (SELECT fuid FROM fact WHERE uid IS NULL)")
    con.execute("CREATE OR REPLACE TEMP TABLE certificate AS SELECT DISTINCT fuid FROM fact WHERE fuid IS NOT NULL")
    con.execute(f"INSERT INTO session ({kept}) SELECT {kept} FROM state.session WHERE uid IN (FROM fresh)")
    con.execute(f"INSERT INTO fact ({facts}) SELECT {facts} FROM state.fact WHERE {_TAKEN}")
    read.merge(con)
    _refuse_late(con, tally)
    _prepare_names(con)
    row = con.execute("SELECT count(*), max(ts + coalesce(duration, 0)) FROM session").fetchone()
    if row and row[0]:
        tally.sessions += row[0]
        tally.last_ts = max(row[1], tally.last_ts or row[1])


_TAKEN = "uid IN (FROM fresh) OR (uid IS NULL AND fuid IN (FROM certificate))"


def push(con: duckdb.DuckDBPyConnection) -> None:
    """What `prepare` made takes the place of what it took. Inside a transaction on the state."""
    kept, facts = ", ".join(tables.READ), ", ".join(tables.FACT)
    con.execute("DELETE FROM state.session WHERE uid IN (FROM fresh)")
    con.execute(f"DELETE FROM state.fact WHERE {_TAKEN}")
    con.execute(f"INSERT INTO state.session ({kept}, day) SELECT {kept}, CAST(floor(ts / {DAY}) AS BIGINT) FROM session ORDER BY ts, uid")
    con.execute(f"INSERT INTO state.fact ({facts}) SELECT DISTINCT {facts} FROM fact WHERE {_STILL_NEEDED}")
    con.execute(f"INSERT INTO state.dirty SELECT DISTINCT CAST(floor(ts / {DAY}) AS BIGINT) FROM session")
    _push_names(con)


def _refuse_late(con: duckdb.DuckDBPyConnection, tally: Tally) -> None:
    """Sessions of days whose sessions are no longer kept cannot be scored; they are counted and said, not mixed in."""
    row = con.execute("SELECT max(day) FROM state.channel WHERE day < (SELECT min(day) FROM state.session)").fetchone()
    if not row or row[0] is None:
        return
    late = f"floor(ts / {DAY}) <= {row[0]}"
    count = con.execute(f"SELECT count(*), min(ts) FROM session WHERE {late}").fetchone()
    if count and count[0]:
        con.execute(f"DELETE FROM session WHERE {late}")
        reason = f"{count[0]} sessions came later than [state] keep_sessions_days allows and are left out"
        tally.notes.append(Note("", "late", reason, count=int(count[0])))


def _prepare_names(con: duckdb.DuckDBPyConnection) -> None:
    """Temp table `named`: names of addresses, a DNS name once with its whole time; `renamed`: days that a name older than what was known changes."""
    names = ", ".join(tables.NAME)
    con.execute(f"""CREATE OR REPLACE TEMP TABLE named AS SELECT {names} FROM name WHERE kind <> 'dns' UNION
        SELECT address, name, kind, min(first_ts), max(last_ts), min(source) FROM name WHERE kind = 'dns' GROUP BY address, name, kind""")
    con.execute("""CREATE OR REPLACE TEMP TABLE renamed AS SELECT DISTINCT s.day FROM state.session s JOIN named n ON s.resp_h = n.address
        WHERE n.kind = 'dns' AND s.day >= floor(n.first_ts / 86400) AND NOT EXISTS (
            SELECT 1 FROM state.name o WHERE o.kind = 'dns' AND o.address = n.address AND o.first_ts <= n.first_ts)""")
    con.execute(f"INSERT INTO named SELECT {names} FROM state.name o WHERE {_SAME_NAME}")


_SAME_NAME = "kind = 'dns' AND (o.address, o.name) IN (SELECT (address, name) FROM named WHERE kind = 'dns')"


def _push_names(con: duckdb.DuckDBPyConnection) -> None:
    names = ", ".join(tables.NAME)
    con.execute("INSERT INTO state.dirty SELECT day FROM renamed")
    con.execute(f"DELETE FROM state.name o WHERE {_SAME_NAME}")
    con.execute(f"""INSERT INTO state.name ({names}) SELECT address, name, kind, min(first_ts), max(last_ts), min(source) FROM named
        WHERE kind = 'dns' GROUP BY address, name, kind""")
    con.execute(f"INSERT INTO state.name ({names}) SELECT {names} FROM named WHERE kind <> 'dns' EXCEPT SELECT {names} FROM state.name")


# What a session has taken over is not kept; certificates, their logins and announced data channels may serve sessions that come later.
_STILL_NEEDED = "uid IS NULL OR fuid IS NOT NULL OR uid NOT IN (SELECT uid FROM session)"


def _remember(con: duckdb.DuckDBPyConnection, part: places.Part, now: float) -> None:
    size = os.path.getsize(part.path) if os.path.exists(part.path) else None
    remember(con, (part.identity, part.kind, part.wrap, part.path, size, part.end, part.tail, None, now))


def remember(con: duckdb.DuckDBPyConnection, row: Sequence[object]) -> None:
    """One row of `state.log`, in place of what was known of the same identity."""
    con.execute("DELETE FROM state.log WHERE identity = ?", [row[0]])
    con.execute(f"INSERT INTO state.log VALUES ({', '.join('?' * len(row))})", list(row))


def events(con: duckdb.DuckDBPyConnection, path: Path, job: pipeline.Job, tally: Tally) -> None:
    """Telemetry, one row a record: a file that has grown or was copied adds only what is new."""
    tables.create(con)
    tally.notes += pipeline.events(con, job)
    columns = [name for name in tables.EVENT if name != "eid"]
    told = ", ".join(f'"{name}"' for name in columns)
    content = ", ".join(f'"{name}"' for name in columns if name not in ("file", "line"))
    con.execute(f"""CREATE OR REPLACE TEMP TABLE record AS SELECT {told}, md5(CAST(row({content}) AS VARCHAR)) AS key,
        CAST(floor(ts / {DAY}) AS BIGINT) AS day FROM event QUALIFY row_number() OVER (PARTITION BY key ORDER BY file, line) = 1""")
    with store.attached(con, path), store.transaction(con):
        con.execute("""INSERT INTO state.dirty SELECT DISTINCT day FROM (SELECT day FROM state.session UNION ALL SELECT day FROM record)
            WHERE day IS NOT NULL AND EXISTS (SELECT key FROM record EXCEPT SELECT key FROM state.event)""")
        con.execute("INSERT INTO state.event BY NAME SELECT * FROM record WHERE key NOT IN (SELECT key FROM state.event)")
    con.execute("DELETE FROM event")
