"""Which process owned each session: the join by itself, for every session and not only for findings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from netexfil.commands import common

if TYPE_CHECKING:
    import duckdb

BATCH = 10_000
SESSION = ("ts", "uid", "proto", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "orig_bytes", "resp_bytes")
LINK = ("match", "confidence", "candidates", "seconds_apart", "clock_offset")
EVENT = ("kind", "host", "user", "image", "pid", "guid", "command_line", "file", "line")

# Sessions in their order, the surest link of each first.
QUERY = """
    SELECT s.ts, s.uid, s.proto, s.orig_h, s.orig_p, s.resp_h, s.resp_p, s.orig_bytes, s.resp_bytes,
        l.match, l.confidence, l.candidates, l.seconds_apart, l.clock_offset,
        e.kind, e.host, e."user", e.image, e.pid, e.guid, e.command_line, e.file, e.line
    FROM link l JOIN session s USING (sid) JOIN event e USING (eid)
    ORDER BY s.ts, s.uid, s.sid, list_position(['five_tuple', 'community_id', 'process', 'remote_time', 'host_time'], l.match),
        l.confidence DESC, e.eid
"""


@click.command(name="links")
@common.sources_argument
@common.reading_options
@common.join_options
@click.option("--format", "form", type=click.Choice(["table", "jsonl"]), default="table", show_default=True)
@common.output_option
def command(sources: tuple[str, ...], join: tuple[str, ...], form: str, output: Path | None, policy_file: Path | None, **more: Any) -> int:
    """Which process owned each session, and how sure that is.

    \b
    Examples:
      netexfil links capture.pcapng --join sysmon.jsonl
      netexfil links zeek-logs/ --join falcon.jsonl --hosts inventory.csv --format jsonl
    """
    from netexfil import pipeline, read, tables

    if not join:
        raise click.UsageError("--join FILE is needed: endpoint telemetry that tells of processes")
    options = read.Options(engine=more["engine"], max_sessions=more["max_sessions"], only_outbound=False)
    job = pipeline.Job(
        sources=sources, join=join, policy=common.load_policy(policy_file), options=options,
        window=more["window"], hosts=more["hosts"], sigma=more["sigma"],
    )
    con = tables.connect(memory=more["memory"])
    tables.create(con)
    with common.Progress() as progress:
        notes = pipeline.load(con, job, progress) + pipeline.load_events(con, job, progress)
    notes += pipeline.link(con, job)
    lines = _jsonl(con) if form == "jsonl" else _table(con)
    if output is None:
        _write(sys.stdout, lines)
    else:
        with output.open("w", encoding="utf-8") as stream:
            _write(stream, lines)
    common.say(notes)
    return common.exit_code(notes)


def _write(stream: IO[str], lines: Iterator[str]) -> None:
    for line in lines:
        stream.write(line)


def _rows(con: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    cursor = con.execute(QUERY)
    while rows := cursor.fetchmany(BATCH):
        yield from rows


def _jsonl(con: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """The contract's objects, one a line."""
    import orjson

    cut = len(SESSION) + len(LINK)
    for row in _rows(con):
        told: dict[str, Any] = dict(zip(SESSION + LINK, row[:cut], strict=True))
        told["event"] = dict(zip(EVENT, row[cut:], strict=True))
        yield orjson.dumps(told).decode() + "\n"


def _table(con: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """One line a link, for reading: time, session, tie, process."""
    for row in _rows(con):
        ts, _, proto, orig_h, orig_p, resp_h, resp_p = row[:7]
        match, sure, candidates = row[9:12]
        kind, host, user, image, pid = row[14:19]
        session = f"{ts:.3f}  {proto} {orig_h}:{orig_p} > {resp_h}:{resp_p}"
        process = f"{host or '-'} {user or '-'} {image or '-'} [{'-' if pid is None else pid}] {kind}"
        yield common.visible(f"{session}  {match} {sure:.3f} of {candidates}  {process}") + "\n"
