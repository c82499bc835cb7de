"""The steps in their order: the table of contents. No step knows another; this module (and spark.py) names them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netexfil import channels, detect, endpoint, join, outbound, read, tables
from netexfil.errors import Note
from netexfil.finding import Finding
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb

Progress = Callable[[str, int, int], None]  # what, done, all (bytes); called often, prints nothing itself


@dataclass(frozen=True, slots=True)
class Job:
    """What a run is asked to do. `window` is the card's join window: seconds before and after a session."""

    sources: Sequence[str]
    join: Sequence[str] = ()
    policy: Policy = field(default_factory=Policy)
    options: read.Options = field(default_factory=read.Options)
    window: tuple[float, float] = (-300.0, 60.0)
    hosts: str | None = None
    sigma: str | None = None
    budget: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """Findings, score descending, and what was lost or is worth knowing."""

    findings: tuple[Finding, ...]
    notes: tuple[Note, ...]


def load(con: duckdb.DuckDBPyConnection, job: Job, progress: Progress | None = None) -> list[Note]:
    """STEP 1 and 2: files to sessions, turned towards outside. Fills `session` and `name`."""
    notes = read.sessions(con, job.sources, job.options, job.policy, progress)
    return notes + outbound.turn(con, job.policy)


def load_events(con: duckdb.DuckDBPyConnection, job: Job, progress: Progress | None = None) -> list[Note]:
    """Telemetry to events and endpoint alerts. Fills `event`, `alert` and the host part of `name`."""
    notes = endpoint.events(con, job.join, progress)
    return notes + endpoint.alerts(con, job.policy, job.sigma)


def link(con: duckdb.DuckDBPyConnection, job: Job) -> list[Note]:
    """STEP 4: sessions + events to links. Fills `link`."""
    return join.link(con, job.policy, job.window, job.hosts)


def score(con: duckdb.DuckDBPyConnection, job: Job) -> tuple[Sequence[Finding], list[Note]]:
    """STEP 3 and 5: sessions to channels to findings, with whatever links there are."""
    channels.build(con, job.policy)
    if job.budget is None:
        return detect.score(con, job.policy), []
    policy, note = detect.budget(con, job.policy, job.budget)
    return detect.score(con, policy), [note]


def analyze(con: duckdb.DuckDBPyConnection, job: Job, progress: Progress | None = None) -> Result:
    """The whole flow over everything that is named."""
    tables.create(con)
    notes = load(con, job, progress)
    if job.join:
        notes += load_events(con, job, progress)
        notes += link(con, job)
    findings, more = score(con, job)
    return Result(tuple(findings), tuple(notes + more))
