"""The steps in their order: the table of contents. No step knows another; this module (and spark.py) names them all.

A step is imported when it is reached, so that a command pays only for the steps that it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from netexfil import outbound, read, tables
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
    memory: str = tables.MEMORY


@dataclass(frozen=True, slots=True)
class Result:
    """Findings, score descending, and what was lost or is worth knowing."""

    findings: tuple[Finding, ...]
    notes: tuple[Note, ...]

    def records(self) -> list[dict[str, Any]]:
        """The findings as the JSON objects of the contract."""
        return [finding.record() for finding in self.findings]

    def to_arrow(self) -> Any:
        """A pyarrow.Table, one row a finding (needs pyarrow)."""
        import pyarrow

        return pyarrow.Table.from_pylist(self.records())

    def to_pandas(self) -> Any:
        """A pandas.DataFrame, one row a finding (needs pandas)."""
        import pandas

        return pandas.DataFrame(self.records())

    def to_polars(self) -> Any:
        """A polars.DataFrame, one row a finding (needs polars)."""
        import polars

        return polars.DataFrame(self.records())


def load(con: duckdb.DuckDBPyConnection, job: Job, progress: Progress | None = None, use: read.Use | None = None) -> list[Note]:
    """STEP 1 and 2: files to sessions, turned towards outside. Fills `session` and `name`, or hands the sessions to `use` (see `read.sessions`)."""
    used: list[bool] = []

    def once(files: read.Files) -> None:
        if use:
            use(files)
            used.append(True)

    turned = partial(outbound.turned, policy=job.policy)
    notes = read.sessions(con, job.sources, job.options, job.policy, progress, turned, once if use else None)
    return notes if used else notes + outbound.turn(con, job.policy)


def events(con: duckdb.DuckDBPyConnection, job: Job, progress: Progress | None = None) -> list[Note]:
    """Telemetry to events. Fills `event`."""
    from netexfil import endpoint

    return endpoint.events(con, job.join, progress)


def alerts(con: duckdb.DuckDBPyConnection, job: Job) -> list[Note]:
    """Events to endpoint alerts. Fills `alert`."""
    from netexfil import endpoint

    return endpoint.alerts(con, job.policy, job.sigma)


def load_events(con: duckdb.DuckDBPyConnection, job: Job, progress: Progress | None = None) -> list[Note]:
    """Telemetry to events and endpoint alerts."""
    return events(con, job, progress) + alerts(con, job)


def link(con: duckdb.DuckDBPyConnection, job: Job) -> list[Note]:
    """STEP 4: sessions + events to links. Fills `link`."""
    from netexfil import join

    return join.link(con, job.policy, job.window, job.hosts)


def score(con: duckdb.DuckDBPyConnection, job: Job, days: Sequence[int] | None = None) -> tuple[Sequence[Finding], list[Note]]:
    """STEP 3 and 5: sessions to channels to findings, with whatever links there are. `days`: judge only these windows."""
    from netexfil import channels

    channels.build(con, job.policy)
    return judge(con, job, days)


def judge(con: duckdb.DuckDBPyConnection, job: Job, days: Sequence[int] | None = None) -> tuple[Sequence[Finding], list[Note]]:
    """STEP 5: channels to findings."""
    from netexfil import detect

    if job.budget is None:
        return detect.score(con, job.policy, days), []
    policy, note = detect.budget(con, job.policy, job.budget)
    return detect.score(con, policy, days), [note]


def sifting(job: Job) -> read.Worth | None:
    """What the judgement, and the join, ask of sessions, for a reader that leaves the others out; None where a budget may ask of any."""
    from netexfil import detect

    if job.budget is not None:
        return None
    worth = job.options.sift or read.Worth(*detect.worth(job.policy), silent=int(job.policy.threshold("outbound_volume")))
    if not job.join:
        return worth
    from netexfil import join

    return replace(worth, reach=partial(join.reach, file=job.hosts))


T = TypeVar("T")


def _patient(con: duckdb.DuckDBPyConnection, step: Callable[[], T]) -> T:
    """A step that can be done twice: where a reader has saved memory and it is too little, again with more."""
    import duckdb

    while True:
        try:
            return step()
        except duckdb.OutOfMemoryException:
            if not tables.unspare(con):
                raise


def analyze(con: duckdb.DuckDBPyConnection, job: Job, progress: Progress | None = None) -> Result:
    """The whole flow over everything that is named."""
    job = replace(job, options=replace(job.options, sift=sifting(job)))
    unasked = tables.LISTED if job.join else tables.LISTED | tables.JOINED
    tables.create(con, without=unasked if read.engine(job.options) == "core" else ())
    told = load_events(con, job, progress) if job.join else []  # what it speaks of is to be known when sessions are chosen
    notes = load(con, job, progress) + told
    if job.join:
        notes += link(con, job)
    findings, more = _patient(con, lambda: score(con, job))
    return Result(tuple(findings), tuple(notes + more))
