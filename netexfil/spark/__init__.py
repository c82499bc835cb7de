"""The same steps on Apache Spark. It moves rows and decides nothing: every number comes from the functions that `pipeline` calls.

    pieces ─ read ─┬─ sessions, facts ── by uid ─ whole ─ place ── by host ─┬─ score (first pass) ─ fleet, one sum
                   └─ names, certificates: to every partition               └─ score (second pass) ─ findings

`payload` is what travels, `pieces` the files, `homes` which addresses have telemetry, `tasks` what runs on the workers.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from netexfil import pipeline, tables
from netexfil.errors import NetexfilError, Note, Unreadable
from netexfil.spark import homes, payload, pieces, tasks

if TYPE_CHECKING:
    import duckdb

__all__ = ["analyze", "session"]

# A cell holds megabytes, so a batch holds few; tasks are few and long, and one that is lost is read again.
SETTINGS = {
    "spark.sql.execution.arrow.maxRecordsPerBatch": "16",
    "spark.sql.adaptive.coalescePartitions.enabled": "false",
    "spark.sql.shuffle.partitions": "16",
    "spark.ui.showConsoleProgress": "false",
    "spark.ui.enabled": "false",
}


def session(master: str, settings: dict[str, str] | None = None) -> Any:
    """A Spark session with settings that suit; the caller's win.

    Raises:
        NetexfilError: pyspark is not installed.
    """
    import os
    import sys

    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise NetexfilError("Spark is not installed here: pip install 'netexfil[spark]'") from None
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(master).appName("netexfil")
    for name, value in (SETTINGS | (settings or {})).items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def analyze(spark: Any, job: pipeline.Job, parts: int | None = None, size: int = pieces.SIZE) -> pipeline.Result:
    """Findings of a job, the same as `pipeline.analyze` gives.

    Args:
        spark: a Spark session; the package must be importable on its workers, and local paths must be readable there.
        parts: partitions of hosts; default: three for each core.
        size: bytes that one task reads.

    Raises:
        Unreadable: not one source could be read.
    """
    work, notes = pieces.pieces(job.sources, size)
    if not work:
        raise Unreadable("no capture and no log in the sources")
    parts = parts or max(2, 3 * spark.sparkContext.defaultParallelism)
    shared = tasks.Shared(job, parts, logs=any(not piece.captures for piece in work))
    raw = _map(_frame(spark, [(index, "piece", pickle.dumps(piece)) for index, piece in enumerate(work)], len(work)), partial(tasks.read, shared))
    raw = _keep(raw)
    captures = tuple(file for piece in work if piece.captures for file in piece.files)
    told = tasks.Told(_table(raw, "tied"), captures, max(_things(raw, "end"), default=None))
    parted = raw.filter("tag IN ('session', 'fact')").repartition(parts, "part")
    whole = _keep(_map(parted, partial(tasks.whole, shared, told)))
    names, events = _driver(raw, job)
    known, ends = _homes(whole, events, job)
    hosts = _map(whole.filter("tag = 'session'"), partial(tasks.place, shared, known))
    hosts = _keep(hosts.union(_frame(spark, list(_events(events)), 1)).repartition(parts, "part"))
    everywhere = tasks.Everywhere(names, ends)
    first = _keep(_map(hosts, partial(tasks.score, shared, everywhere)))
    fleet = _fleet(first)
    everywhere = replace(everywhere, fleet=fleet)
    shared, remarks = _budget(hosts, shared, everywhere, set(_things(first, "day")))
    last = _map(hosts, partial(tasks.score, shared, everywhere))
    findings = [finding for row in last.filter("tag = 'finding'").collect() for finding in pickle.loads(row.data)]
    notes += [*events.notes, *_things(raw, "note"), *_things(first, "note"), *remarks]
    _refuse(notes, whole)
    for frame in (raw, whole, hosts, first):
        frame.unpersist()
    findings.sort(key=lambda finding: (-finding.score, finding.first_ts, finding.id))
    return pipeline.Result(tuple(findings), tuple(dict.fromkeys(notes)))


AHEAD = 4  # halvings of a budget's search that are counted in one pass


def _budget(hosts: Any, shared: tasks.Shared, everywhere: tasks.Everywhere, days: set[Any]) -> tuple[tasks.Shared, list[Note]]:
    """The thresholds that keep the budget, found as on one machine: each part counts its alerts, the counts are added up."""
    job = shared.job
    if job.budget is None:
        return shared, []
    from netexfil import detect

    def counts(volumes: Sequence[float]) -> list[int]:
        part = _map(hosts, partial(tasks.score, shared, replace(everywhere, volumes=tuple(volumes))))
        told = [pickle.loads(row.data) for row in part.filter("tag = 'count'").collect()]
        return [sum(column) for column in zip(*told, strict=True)] or [0] * len(volumes)

    policy, note = detect.search(job.policy, job.budget, len(days), counts, AHEAD)
    return replace(shared, job=replace(job, policy=policy)), [note]


def _refuse(notes: Sequence[Note], whole: Any) -> None:
    """Nothing read at all is an error, as it is on one machine."""
    refused = [f"{note.file}: {note.reason}" for note in notes if note.kind == "unreadable"]
    if refused and whole.filter("tag = 'session'").isEmpty():
        raise Unreadable("; ".join(refused[:5]))


def _frame(spark: Any, rows: Sequence[payload.Row], slices: int) -> Any:
    return spark.createDataFrame(spark.sparkContext.parallelize(rows, max(1, slices)), payload.SCHEMA)


def _map(frame: Any, task: tasks.Task) -> Any:
    return frame.mapInArrow(tasks.on_arrow(task), payload.SCHEMA)


def _keep(frame: Any) -> Any:
    """On the workers' disks: it is used twice, and memory is for the tasks."""
    from pyspark import StorageLevel

    return frame.persist(StorageLevel.DISK_ONLY)


def _things(frame: Any, tag: str) -> list[Any]:
    return [thing for row in frame.filter(f"tag = '{tag}'").collect() for thing in pickle.loads(row.data)]


def _table(frame: Any, tag: str) -> bytes | None:
    """The payloads of a tag as one, without repeats; None where there are none."""
    import pyarrow

    found = [pyarrow.ipc.open_stream(row.data).read_all() for row in frame.filter(f"tag = '{tag}'").collect()]
    if not found:
        return None
    con = tables.connect()
    con.register("found", pyarrow.concat_tables(found))
    return payload.encode(con.sql("SELECT DISTINCT * FROM found ORDER BY ALL").to_arrow_table().combine_chunks().to_batches()[0])


class _Events:
    """Telemetry on the driver: small beside the logs, and its numbering must be the one of a local run."""

    def __init__(self, con: duckdb.DuckDBPyConnection, notes: Sequence[Note]) -> None:
        self.con, self.notes = con, notes


def _driver(raw: Any, job: pipeline.Job) -> tuple[bytes | None, _Events]:
    names = _table(raw, "name")
    con = tables.connect()
    tables.create(con)
    if names is not None:
        payload.fill(con, "name", names)
    return names, _Events(con, pipeline.load_events(con, job) if job.join else [])


def _homes(whole: Any, events: _Events, job: pipeline.Job) -> tuple[set[str], tuple[float, float] | None]:
    """The addresses of hosts with telemetry; and when the records of all hosts begin and end."""
    if not job.join:
        return set(), None
    con = events.con
    con.execute("CREATE OR REPLACE TEMP TABLE address (address VARCHAR, t0 DOUBLE, t1 DOUBLE)")
    seen = _table(whole, "address")
    if seen is not None:
        payload.fill(con, "address", seen)
    known = homes.addresses(con, job.hosts)
    ends = homes.hidden(con, {row[0] for row in con.execute("SELECT address FROM address").fetchall()})
    if ends:
        known |= set(_things(_map(whole.filter("tag = 'session'"), partial(tasks.meet, ends)), "met"))
    span = con.execute("SELECT min(t0), max(t1) FROM address").fetchone()
    return known, None if span is None or span[0] is None else (span[0], span[1])


def _events(events: _Events) -> Iterable[payload.Row]:
    """Events and alerts to the part of the hosts that have them."""
    for table in ("event", "alert"):
        yield from payload.split(events.con, table, f"SELECT 0, * FROM {table}")


def _fleet(first: Any) -> bytes:
    """The sum of what all partitions count."""
    import pyarrow

    con = tables.connect()
    tables.create(con, ["fleet"])
    for row in first.filter("tag = 'fleet'").collect():
        payload.fill(con, "fleet", row.data)
    summed = "SELECT entity, day, CAST(sum(users) AS BIGINT) AS users, CAST(sum(senders) AS BIGINT) AS senders FROM fleet GROUP BY ALL ORDER BY ALL"
    table = con.sql(summed).to_arrow_table().combine_chunks()
    found = table.to_batches()
    return payload.encode(found[0] if found else pyarrow.RecordBatch.from_pylist([], schema=table.schema))
