"""From logs, captures and telemetry into the state, in batches: the rows and the place reached are committed together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from netexfil import pipeline, read, tables
from netexfil.errors import Note
from netexfil.finding import iso
from netexfil.read import fields, find, merging
from netexfil.state import keys, naming, places, store, summing
from netexfil.state.straight import Met, Straight

if TYPE_CHECKING:
    import duckdb

    from netexfil.policy import Policy

BATCH_BYTES = 256 << 20  # of decompressed text: what a killed first import loses at most
DAY = 86400.0


@dataclass(slots=True)
class Tally:
    """What a run took in. `summed`: sums of what is read are made at once, for a run that will ask for them."""

    sessions: int = 0
    files: int | None = None
    last_ts: float | None = None
    summed: bool = False
    notes: list[Note] = field(default_factory=list)


def room(con: duckdb.DuckDBPyConnection, job: pipeline.Job) -> None:
    """Tables for what is read. Sessions are turned only while sums are made of them: here they keep which side their ends are on.

    What may come with sessions that go straight into the state is temporary: other tables are not written in a transaction on the state.
    """
    core = read.engine(job.options) == "core"
    turned = tables.SESSION.keys() - tables.READ.keys() - {"sid", "cid"}
    tables.create(con, ("fact", "name"), temporary=True)
    tables.create(con, ("session",), turned | tables.LISTED if core else turned)
    for side in tables.SIDES:
        con.execute(f"ALTER TABLE session ADD COLUMN IF NOT EXISTS {side} TINYINT")


def unturned(rows: str) -> str:
    """What `read.sessions` is given as `turn`: the sides, and no more."""
    return f"SELECT *, CAST(NULL AS BIGINT) AS sid FROM ({rows})"


def horizon(now: float) -> float:
    """What is dated later than this is ahead of the clock by more than any time zone explains."""
    return now + DAY


def rekey(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Keys of uids as this DuckDB makes them, where another version made those that are stored."""
    with store.attached(con, path, read_only=True):
        same = not tables.some(con, f"(SELECT uid, uid_key FROM state.session LIMIT 1) WHERE uid_key IS DISTINCT FROM {keys.UID}")
    if not same:
        with store.attached(con, path), store.transaction(con):
            con.execute(f"UPDATE state.session SET uid_key = {keys.UID}")


def logs(con: duckdb.DuckDBPyConnection, path: Path, job: pipeline.Job, found: find.Found, now: float, tally: Tally) -> None:
    """Everything of the logs that no run has read yet, batch by batch."""
    with store.attached(con, path, read_only=True):
        known = places.remembered(con)
    for batch in _batches(_parts(found, known, tally)):
        try:
            _take(con, path, job, batch, now, tally, _single(job, batch))
        except Met:
            _take(con, path, job, batch, now, tally, False)


def _single(job: pipeline.Job, batch: Sequence[places.Part]) -> bool:
    """Whether all sessions of a batch come from one conn log, so that none of them is another sensor's, and which is read in seconds: meanwhile
    the database is locked.
    """
    conn = [part.kind for part in batch if fields.log_of(part.kind) == "conn"]
    small = sum(part.size for part in batch) <= 2 * BATCH_BYTES
    return conn == ["conn"] and small and job.options.since is None and job.options.until is None and read.engine(job.options) == "core"


def _take(
    con: duckdb.DuckDBPyConnection, path: Path, job: pipeline.Job, batch: Sequence[places.Part], now: float, tally: Tally, straight: bool,
) -> None:
    """One batch. `straight`: into the state, where its sessions meet nothing that is stored.

    Raises:
        Met: they do; nothing has happened.
    """
    sums = summing.asked(con, job.policy) if tally.summed else None
    options = replace(job.options, ranges={part.path: (part.start, part.end) for part in batch}, keep_facts=True, sums=sums)
    room(con, job)
    into = None
    if straight:
        with store.attached(con, path):
            into = Straight(store.one(con, f"SELECT {NEXT_BATCH}"))
            with store.transaction(con):
                notes = read.sessions(con, list(options.ranges), replace(options, into=into), job.policy, None, unturned)
                if into.stored:
                    _settle(con, into, batch, now)
            if into.stored:
                _count(con, now, tally, f"state.session WHERE {into.which}")
                sum_up(con, job.policy, tally, f"state.told WHERE {into.which}", into.number, sums)
    else:
        notes = read.sessions(con, list(options.ranges), options, job.policy, None, unturned)
    if into is None or not into.stored:
        commit(con, path, batch, now, tally, job.policy, sums)
    tally.notes += notes
    for table in ("session", "fact", "name"):
        con.execute(f"DELETE FROM {table}")


def _settle(con: duckdb.DuckDBPyConnection, into: Straight, batch: Sequence[places.Part], now: float) -> None:
    """What goes with sessions that are in the state already. Inside the transaction that has stored them."""
    into.check(con)
    into.settle(con)
    naming.prepare(con)
    naming.push(con)
    for part in batch:
        _remember(con, part, now)


def _count(con: duckdb.DuckDBPyConnection, now: float, tally: Tally, rows: str) -> None:
    _tell_ahead(con, now, tally, rows)
    row = con.execute(f"SELECT count(*), max(ts + coalesce(duration, 0)) FROM {rows}").fetchone()
    if row and row[0]:
        tally.sessions += row[0]
        tally.last_ts = max(row[1], tally.last_ts or row[1])


def sum_up(con: duckdb.DuckDBPyConnection, policy: Policy, tally: Tally, rows: str, number: int, sums: read.Sums | None) -> None:
    """Sums of a batch, while it is at hand: the core's, of the conn rows that were read, where those are the sessions."""
    if tally.summed:
        found = sums.found if sums else None
        same = found is not None and found[0] == store.one(con, f"SELECT count(*) FROM {rows}")
        summing.add(con, policy, rows, number, found[1:] if found and same else None)


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


def commit(
    con: duckdb.DuckDBPyConnection, path: Path, batch: Sequence[places.Part], now: float, tally: Tally, policy: Policy, sums: read.Sums | None,
) -> None:
    """Merge what was read with what is stored, and store it with the places reached, in one transaction."""
    with store.attached(con, path):
        prepare(con, tally)
        _tell_ahead(con, now, tally, "session")
        with store.transaction(con):
            number = push(con)
            for part in batch:
                _remember(con, part, now)
    again = tables.some(con, "taken")
    sum_up(con, policy, tally, f"session {_OTHERS if again else ''}", number, None if again else sums)


def prepare(con: duckdb.DuckDBPyConnection, tally: Tally) -> None:
    """Take stored rows that the new ones belong to (sessions of the same uid, facts of new sessions, logins of new certificates), and merge.

    Leaves `taken`, the stored rows as they were, and `changed`, the uids that are new or not what they were. Writes to memory only: DuckDB lets
    one transaction write to one database. What two sensors saw stays two rows: which of them counts is decided when they are read.
    """
    kept, facts = ", ".join(keys.SESSION), ", ".join(tables.FACT)
    con.execute("CREATE OR REPLACE TEMP TABLE fresh AS SELECT uid FROM session UNION ALL SELECT uid FROM fact WHERE uid IS NOT NULL")
    con.execute("INSERT INTO fresh SELECT uid FROM state.fact WHERE uid IS NOT NULL AND fuid IN (SELECT fuid FROM fact WHERE uid IS NULL)")
    _announced(con)
    con.execute("""CREATE OR REPLACE TEMP TABLE certificate AS SELECT fuid FROM fact WHERE fuid IS NOT NULL
        UNION SELECT fuid FROM state.fact WHERE fuid IS NOT NULL AND uid IN (FROM fresh)""")
    con.execute(f"CREATE OR REPLACE TEMP TABLE alike AS SELECT DISTINCT uid_key FROM state.session WHERE uid_key IN (SELECT {keys.UID} FROM fresh)")
    same = "uid_key IN (FROM alike) AND uid IN (FROM fresh)" if tables.some(con, "alike") else "FALSE"
    con.execute(f"CREATE OR REPLACE TEMP TABLE taken AS SELECT {kept} FROM state.told WHERE {same}")
    con.execute(f"INSERT INTO session ({kept}) SELECT {kept} FROM taken")
    words = tables.some(con, "state.fact")
    found = con.execute(f"INSERT INTO fact ({facts}) SELECT {facts} FROM state.fact WHERE {_TAKEN}").fetchone() if words else None
    again = tables.some(con, "taken")
    if again or (found and found[0]):  # else the reader has merged everything that there is
        merging.merge_facts(con)
        merging.once(con)
    _refuse_late(con, tally)
    naming.prepare(con)
    if again:
        con.execute(f"""CREATE OR REPLACE TEMP TABLE changed AS SELECT uid FROM session WHERE uid NOT IN (SELECT uid FROM taken)
            UNION SELECT uid FROM (SELECT {kept} FROM session WHERE uid IN (SELECT uid FROM taken) EXCEPT FROM taken)""")
    row = con.execute(f"SELECT count(*), max(ts + coalesce(duration, 0)) FROM session {_CHANGED if again else ''}").fetchone()
    if row and row[0]:
        tally.sessions += row[0]
        tally.last_ts = max(row[1], tally.last_ts or row[1])


_OTHERS = "WHERE uid NOT IN (SELECT uid FROM taken)"
_CHANGED = "WHERE uid IN (FROM changed)"
_TAKEN = "uid IN (FROM fresh) OR (uid IS NULL AND fuid IN (FROM certificate)) OR (kind = 'ftp' AND fuid IN (FROM endpoint))"


def _announced(con: duckdb.DuckDBPyConnection) -> None:
    """Data channels that FTP announced: stored sessions to newly announced endpoints into `fresh`, endpoints of new sessions into `endpoint`."""
    con.execute("CREATE OR REPLACE TEMP TABLE endpoint (fuid VARCHAR)")
    if con.execute("SELECT 1 FROM state.fact WHERE kind = 'ftp' LIMIT 1").fetchone():
        con.execute("INSERT INTO endpoint SELECT DISTINCT resp_h || ' ' || resp_p FROM session")
    if con.execute("SELECT 1 FROM fact WHERE kind = 'ftp' LIMIT 1").fetchone():
        con.execute("""INSERT INTO fresh SELECT s.uid FROM state.session s JOIN (SELECT DISTINCT fuid FROM fact WHERE kind = 'ftp') f
            ON s.resp_h || ' ' || s.resp_p = f.fuid WHERE s.uid NOT IN (FROM fresh)""")
        con.execute("INSERT INTO endpoint SELECT DISTINCT fuid FROM fact WHERE kind = 'ftp'")


def push(con: duckdb.DuckDBPyConnection) -> int:
    """What `prepare` made takes the place of what it took. Inside a transaction on the state.

    Returns:
        The number of this batch.
    """
    number = store.one(con, f"SELECT {NEXT_BATCH}")
    kept, facts = ", ".join(keys.SESSION), ", ".join(tables.FACT)
    again = tables.some(con, "taken")
    if again:
        con.execute(f"""INSERT INTO state.stale (talk) SELECT DISTINCT {keys.talk()} FROM (SELECT * FROM taken UNION ALL SELECT {kept} FROM session
            WHERE uid IN (SELECT uid FROM taken)) {_CHANGED}""")
        con.execute(f"DELETE FROM state.session WHERE uid IN (SELECT uid FROM taken {_CHANGED})")
    if tables.some(con, "state.fact"):
        con.execute(f"DELETE FROM state.fact WHERE {_TAKEN}")
    packed = keys.packed() | {"batch": str(number)}
    con.execute(f"INSERT INTO state.session ({', '.join(packed)}) SELECT {', '.join(packed.values())} FROM session {_CHANGED if again else ''}")
    if tables.some(con, "fact"):
        con.execute(f"INSERT INTO state.fact ({facts}) SELECT DISTINCT {facts} FROM fact WHERE {_STILL_NEEDED}")
    naming.push(con)
    return number


# Greater than every batch that was stored or scored, whatever was dropped since.
NEXT_BATCH = "(SELECT 1 + greatest(coalesce((SELECT max(batch) FROM state.session), 0), coalesce((SELECT max(batch) FROM state.run), 0)))"


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


def _tell_ahead(con: duckdb.DuckDBPyConnection, now: float, tally: Tally, rows: str) -> None:
    """A stamp far ahead of the clock is kept, and said."""
    row = con.execute(f"SELECT count(*), min(ts) FROM (FROM {rows}) WHERE ts >= ?", [horizon(now)]).fetchone()
    if row and row[0]:
        day = f"{iso(row[1])[:10]}"
        reason = (f"{row[0]} sessions are dated more than a day ahead of the clock; what is kept is not counted from them"
                  f" (`netexfil state forget FILE --after {day}` drops them)")  # fmt: skip
        tally.notes.append(Note("", "ahead", reason, count=int(row[0]), loss=False))


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
        con.execute("INSERT INTO state.stale SELECT NULL, NULL WHERE EXISTS (SELECT key FROM record EXCEPT SELECT key FROM state.event)")
        con.execute("INSERT INTO state.event BY NAME SELECT * FROM record WHERE key NOT IN (SELECT key FROM state.event)")
    con.execute("DELETE FROM event")
