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

from netexfil import __version__, pipeline, tables
from netexfil.errors import Note
from netexfil.finding import Finding, rank
from netexfil.read import find
from netexfil.state import afresh, captures, ingest, outbox, places, scoring, store, summing

if TYPE_CHECKING:
    import duckdb

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
            anew = settings != last[1]
            tally.summed = not job.join and not anew and job.budget is None and scoring.apart(con)
        if not anew:  # the machine's other cores are for others
            con.execute("SET threads = 1")
        summing.begin(con)
        if listing != last[0]:
            _take_in(con, path, job, now, tally)
        _empty(con)
        number = _score(con, path, job, _Run(now, listing, settings, anew), tally)
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
    import duckdb

    told = repr((job.policy, job.window, job.hosts, job.sigma, job.budget, __version__, duckdb.__version__))
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def _empty(con: duckdb.DuckDBPyConnection) -> None:
    """Leave the sums; the steps find a memory that is empty besides, as at once."""
    kept = ", ".join(f"'{name}'" for name in summing.MADE)
    there = con.execute(f"SELECT table_name FROM duckdb_tables() WHERE table_name NOT IN ({kept})").fetchall()
    for (name,) in there:
        con.execute(f"DROP TABLE {name}")


def _take_in(con: duckdb.DuckDBPyConnection, path: Path, job: pipeline.Job, now: float, tally: ingest.Tally) -> None:
    with find.sources(job.sources) as found:
        tally.notes += found.notes
        tally.files = len(found.logs) + len(found.captures)
        ingest.rekey(con, path)
        ingest.logs(con, path, job, found, now, tally)
        captures.take_in(con, path, job, found, now, tally)
    if job.join:
        ingest.events(con, path, job, tally)


def _score(con: duckdb.DuckDBPyConnection, path: Path, job: pipeline.Job, this: _Run, tally: ingest.Tally) -> int:
    """Make the findings anew that rows or settings changed, and store them with the record of the run."""
    tables.create(con)
    with store.attached(con, path, read_only=True):
        how = scoring.plan(con, job, this.anew)
    if how == "afresh":
        afresh.build(con, path, job.policy)
    with store.attached(con, path, read_only=True):
        made = scoring.MAKE[how](con, job)
    tally.notes += made.notes
    with store.attached(con, path), store.transaction(con):
        number = _record(con, this, tally, len(made.findings))
        scoring.store(con, job.policy, made)
        outbox.replace(con, made.findings, made.judged, number)
        scoring.retain(con, job.policy, ingest.horizon(this.now))
        return number


def _record(con: duckdb.DuckDBPyConnection, this: _Run, tally: ingest.Tally, findings: int) -> int:
    row = con.execute("SELECT coalesce(max(id), 0) + 1 FROM state.run").fetchone()
    number = int(row[0]) if row else 1
    refused = sum(note.count for note in tally.notes if note.loss)
    lag = this.now - tally.last_ts if tally.last_ts is not None else None
    total = refused + store.one(con, "SELECT coalesce(arg_max(refused_total, id), sum(refused)) FROM state.run")
    values = [number, this.now, tally.sessions, refused, findings, lag, __version__, this.listing, this.settings, total]
    con.execute(f"INSERT INTO state.run SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, {ingest.NEXT_BATCH} - 1, ?", values)
    con.execute("DELETE FROM state.run WHERE id <= ?", [number - KEPT_RUNS])
    return number


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
