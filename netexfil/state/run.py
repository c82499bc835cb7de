"""One run over a state: take in what is new, score the days that it touched, and put what is worth telling into the outbox.

Findings are a function of the stored rows alone, so any split of the same input into runs ends in the same table. Emission is
another matter: a finding is handed out when it is new and again when it has grown materially.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from netexfil import __version__, outbound, pipeline, read, tables
from netexfil.errors import Note
from netexfil.finding import Finding, rank
from netexfil.policy import Policy
from netexfil.read import find
from netexfil.state import captures, ingest, places, store

if TYPE_CHECKING:
    import duckdb

# A finding is handed out again when its score rose by so many points or its bytes by this factor, or when its severity or
# suppression changed.
GROWN_POINTS, GROWN_BYTES = 10.0, 1.5
KEPT_RUNS = 10_000  # a month of runs every five minutes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did. `findings` are those to hand out now, score descending; call `delivered` when they are written."""

    findings: tuple[Finding, ...]
    notes: tuple[Note, ...]
    run: int
    sessions: int
    nothing_readable: bool = False


def run(path: Path, job: pipeline.Job, now: float, wait: bool = False) -> Outcome:
    """Analyze what is new in the sources.

    Args:
        path: the state file; made where it is not there, for its owner alone.
        now: the clock, seconds since 1970 UTC: for the record of the run, never for a finding.
        wait: wait for a run that is at work instead of giving up.

    Raises:
        Busy: another run holds the state. StateError: the file is not a state of ours, or newer than this program.
    """
    with store.locked(path, wait):
        con = tables.connect(memory=job.memory)
        store.migrate(con, path, now)
        tally = ingest.Tally()
        listing, settings = places.listing((*job.sources, *job.join)), _settings(job)
        with store.attached(con, path, read_only=True):
            last = con.execute("SELECT listing, settings FROM state.run ORDER BY id DESC LIMIT 1").fetchone() or (None, None)
        if listing != last[0]:
            _take_in(con, path, job, now, tally)
        con.close()
        con = tables.connect(memory=job.memory)  # the steps find an empty memory, as at once
        number = _score(con, path, job, _Run(now, listing, settings, settings != last[1]), tally)
        return Outcome(_waiting(con, path), tuple(tally.notes), number, tally.sessions, tally.files == 0)


@dataclass(frozen=True, slots=True)
class _Run:
    """What is recorded of a run; `anew` where policy or options changed, so that every finding must be made anew."""

    now: float
    listing: str
    settings: str
    anew: bool


def _settings(job: pipeline.Job) -> str:
    """A hash of what findings depend on besides the stored rows."""
    told = repr((job.policy, job.window, job.hosts, job.sigma, job.budget, __version__))
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def _any(con: duckdb.DuckDBPyConnection, rows: str) -> bool:
    return con.execute(f"SELECT 1 FROM {rows} LIMIT 1").fetchone() is not None


def _take_in(con: duckdb.DuckDBPyConnection, path: Path, job: pipeline.Job, now: float, tally: ingest.Tally) -> None:
    with find.sources(job.sources) as found:
        tally.notes += found.notes
        tally.files = len(found.logs) + len(found.captures)
        ingest.logs(con, path, job, found, now, tally)
        captures.take_in(con, path, job, found, now, tally)
    if job.join:
        ingest.events(con, path, job, tally)


def _score(con: duckdb.DuckDBPyConnection, path: Path, job: pipeline.Job, this: _Run, tally: ingest.Tally) -> int:
    """Make the findings anew where rows or settings changed, and store them with the record of the run."""
    tables.create(con)
    with store.attached(con, path, read_only=True):
        first = _first_day(con, this.anew)
        if first is not None:
            _load(con, first)
    findings: Sequence[Finding] = ()
    if first is not None:
        tally.notes += outbound.turn(con, job.policy)
        if _any(con, "event"):
            tally.notes += pipeline.alerts(con, job)
            tally.notes += pipeline.link(con, job)
        held = "SELECT ts FROM session UNION ALL SELECT ts FROM event WHERE ts IS NOT NULL"
        days = [int(day) for (day,) in con.execute(f"SELECT DISTINCT floor(ts / {ingest.DAY}) FROM ({held})").fetchall()]
        findings, more = pipeline.score(con, job, days)
        tally.notes += more
    with store.attached(con, path), store.transaction(con):
        number = _record(con, this, tally, len(findings))
        if first is not None:
            _replace(con, findings, first, number)
            con.execute("DELETE FROM state.dirty")
            retain(con, job.policy)
        return number


def _first_day(con: duckdb.DuckDBPyConnection, anew: bool) -> int | None:
    """The earliest day whose findings may change: what came later looks back on it. None where nothing changed.

    Clocks are estimated from all sessions that are there, so with telemetry all of them are looked at.
    """
    everything = anew or _any(con, "state.event")
    if not anew and not _any(con, "state.dirty"):
        return None
    held = "(SELECT day FROM state.session UNION ALL SELECT day FROM state.event)"
    row = con.execute(f"SELECT min(day) FROM {held if everything else 'state.dirty'}").fetchone()
    return int(row[0]) if row and row[0] is not None else None


def _load(con: duckdb.DuckDBPyConnection, first: int) -> None:
    """Sessions from a day on, the channels of the days before it, and everything that names or ties them."""
    kept, names, facts = ", ".join(tables.READ), ", ".join(tables.NAME), ", ".join(tables.FACT)
    con.execute(f"INSERT INTO session ({kept}) SELECT {kept} FROM state.session WHERE day >= ? ORDER BY ts, uid", [first])
    con.execute("INSERT INTO channel BY NAME SELECT * FROM state.channel WHERE day < ?", [first])
    con.execute(f"INSERT INTO name ({names}) SELECT {names} FROM state.name")
    con.execute(f"INSERT INTO fact ({facts}) SELECT {facts} FROM state.fact")
    read.merge(con)
    columns = ", ".join(f'"{name}"' for name in tables.EVENT if name != "eid")
    con.execute(f"""INSERT INTO event ({columns}, eid) SELECT {columns}, row_number() OVER (ORDER BY ts, file, line, key) - 1
                    FROM state.event ORDER BY ts, file, line, key""")


def retain(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Drop from the attached state what the policy no longer keeps, counted from the newest day of event time, never from the clock."""
    row = con.execute("SELECT max(day) FROM state.session").fetchone()
    if not row or row[0] is None:
        return
    sessions, everything = row[0] - policy.keep_sessions_days, row[0] - policy.keep_days
    for table, column, last in _RETAINED:
        limit = sessions if last == "sessions" else everything
        if _any(con, f"state.{table} WHERE {column} < {limit}"):
            con.execute(f"DELETE FROM state.{table} WHERE {column} < {limit}")


_RETAINED = (
    ("session", "day", "sessions"), ("event", "day", "sessions"), ("fact", "ts / 86400", "sessions"),
    ("channel", "day", "all"), ("finding", "day", "all"), ("name", "last_ts / 86400", "all"),
)


def _record(con: duckdb.DuckDBPyConnection, this: _Run, tally: ingest.Tally, findings: int) -> int:
    row = con.execute("SELECT coalesce(max(id), 0) + 1 FROM state.run").fetchone()
    number = int(row[0]) if row else 1
    refused = sum(note.count for note in tally.notes if note.loss)
    lag = this.now - tally.last_ts if tally.last_ts is not None else None
    values = [number, this.now, tally.sessions, refused, findings, lag, __version__, this.listing, this.settings]
    con.execute("INSERT INTO state.run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    con.execute("DELETE FROM state.run WHERE id <= ?", [number - KEPT_RUNS])
    return number


def _replace(con: duckdb.DuckDBPyConnection, findings: Sequence[Finding], first: int, number: int) -> None:
    """The findings table as scored; what was handed out of each stays known, and what is worth telling goes to the outbox."""
    con.execute("DELETE FROM state.channel WHERE day >= ?", [first])
    con.execute("INSERT INTO state.channel BY NAME SELECT * FROM channel WHERE day >= ?", [first])
    con.execute("CREATE OR REPLACE TEMP TABLE before AS FROM state.finding")
    con.execute("DELETE FROM state.finding WHERE day >= ?", [first])
    for finding in findings:
        con.execute(
            """INSERT INTO state.finding
               SELECT s.*, coalesce(b.first_run, $run), CASE WHEN b.record = s.record THEN b.last_run ELSE $run END,
                      b.emitted_score, b.emitted_severity, b.emitted_bytes, b.emitted_suppressed
               FROM (SELECT $id AS id, $day, $record AS record, $score, $severity, $low, $suppressed) s LEFT JOIN before b USING (id)""",
            _values(finding) | {"run": number},
        )
    con.execute(f"CREATE OR REPLACE TEMP TABLE told AS SELECT id, record FROM state.finding WHERE {_WORTH_TELLING}")
    con.execute("DELETE FROM state.outbox WHERE id IN (SELECT id FROM told)")
    con.execute("INSERT INTO state.outbox SELECT $run, id, record FROM told", {"run": number})
    con.execute("""UPDATE state.finding SET emitted_score = score, emitted_severity = severity, emitted_bytes = bytes_low,
                   emitted_suppressed = suppressed WHERE id IN (SELECT id FROM told)""")


_WORTH_TELLING = f"""emitted_score IS NULL OR score >= emitted_score + {GROWN_POINTS} OR severity <> emitted_severity
    OR bytes_low > emitted_bytes * {GROWN_BYTES} OR suppressed <> emitted_suppressed"""


def _values(finding: Finding) -> dict[str, object]:
    return {
        "id": finding.id, "day": int(finding.first_ts // ingest.DAY), "record": orjson.dumps(finding.record()).decode(),
        "score": finding.score, "severity": finding.severity, "low": int(finding.bytes_out.get("low") or 0),
        "suppressed": finding.suppressed is not None,
    }


def _waiting(con: duckdb.DuckDBPyConnection, path: Path) -> tuple[Finding, ...]:
    """What is in the outbox: of this run, and of earlier ones whose output could not be written."""
    with store.attached(con, path, read_only=True):
        rows = con.execute("SELECT record FROM state.outbox").fetchall()
    found = [Finding.from_record(orjson.loads(record)) for (record,) in rows]
    return tuple(sorted(found, key=rank))


def delivered(path: Path, findings: Sequence[Finding]) -> None:
    """These findings have been written out; a run that dies before this call leaves them for the next one."""
    if not findings:
        return
    con = tables.connect()
    with store.attached(con, path), store.transaction(con):
        con.execute("DELETE FROM state.outbox WHERE id IN (SELECT unnest(?))", [[finding.id for finding in findings]])
