"""What left, how much, over what: outbound sessions summed by channel, largest first, without keeping a session.

Conn logs are summed by the core while it reads them (`rust/src/zeek/channel`); everything else goes through the table `session` and one
query. Both apply the rules of `outbound.py` (a test holds them together). Conn rows stand for themselves: what other logs say of their
sessions is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from netexfil.errors import Note, Unreadable
from netexfil.policy import Policy
from netexfil.read import fields, find, log_files
from netexfil.report.channels import COLUMNS, Summary

if TYPE_CHECKING:
    from netexfil.read import Options, Progress

BATCH, AT_ONCE = 50_000, 2_000  # rows and lines asked for at once


def channels(
    sources: Sequence[str], options: Options, policy: Policy, top: int | None = None, daily: bool = False, memory: str = "1GB",
    progress: Progress | None = None,
) -> Summary:
    """Channels of the sources, those that sent most first.

    Args:
        top: only so many rows.
        daily: a channel for each UTC day.

    Raises:
        Unreadable: not one file of the sources could be read.
    """
    from netexfil.read import engine

    options = replace(options, only_outbound=True)
    with find.sources(sources) as found:
        conn = [log for log in found.logs if log_files.plain_conn(log)]
        rest = [log for log in found.logs if log_files.holds_sessions(log) and log not in conn]
        if conn and not rest and not found.captures and engine(options) == "core":
            summary = _summed(conn, options, policy, top, daily, progress)
            if summary is not None:
                notes = [replace(note, file=found.shown.get(note.file, note.file)) for note in (*found.notes, *summary.notes)]
                _refuse(notes, [log.path for log in conn], found.shown)
                summary.notes = notes
                return summary
        paths = [*found.captures, *(log.path for log in (*conn, *rest))]
        if not paths:
            told = "; ".join(f"{note.file}: {note.reason}" for note in found.notes if note.kind == "unreadable")
            raise Unreadable(told or "no capture and no log of sessions in the sources")
        summary = _queried(paths, options, policy, top, daily, memory, progress)
        summary.notes = [*found.notes, *(replace(note, file=found.shown.get(note.file, note.file)) for note in summary.notes)]
        return summary


def _refuse(notes: Sequence[Note], paths: Sequence[str], shown: dict[str, str]) -> None:
    refused = {note.file: note.reason for note in notes if note.kind == "unreadable"}
    if all(shown.get(path, path) in refused for path in paths):
        raise Unreadable("; ".join(f"{file}: {reason}" for file, reason in list(refused.items())[:5]))


def _summed(
    logs: Sequence[find.Log], options: Options, policy: Policy, top: int | None, daily: bool, progress: Progress | None
) -> Summary | None:
    """By the core; None where its sums would not be those of the sessions: two sensors, reports of open sessions, other logs between."""
    from netexfil.read import core_logs

    reader = core_logs.channels(logs, fields.SUMMED, int(policy.threshold("outbound_volume")), daily, options, policy)
    with core_logs.telling(reader, logs, progress):
        count, sessions, out, back = reader.run(top)
    told = core_logs.tallies(reader)
    if reader.doubtful() or any(log_files.session_logs(tally.passed) for tally in told):
        return None
    rows = ((*named, *summed) for named, summed in _drained(reader.next, top))
    lines = iter(partial(reader.lines, AT_ONCE), b"")
    return Summary(count, sessions, out, back, rows, [note for tally in told for note in tally.notes], lines)


def _drained(take: Callable[[int], list[Any]], top: int | None) -> Iterator[Any]:
    left = top
    while batch := take(BATCH if left is None else min(left, BATCH)):
        yield from batch[:left]
        if left is not None:
            left -= len(batch)
            if left <= 0:
                return


_WHERE = "outbound IN ('true', 'pull')"
_MOST = (1 << 63) - 1  # where the core's sums stop too
_BLIND = "count(*) FILTER (bytes_in IS NULL)"
_KEY = "{day} AS day, inside_h, remote_h, remote_p, proto, CASE outbound WHEN 'pull' THEN 'pull' ELSE 'out' END AS direction"
_SUMS = f"""string_agg(DISTINCT protocol, ',' ORDER BY protocol) AS protocol, count(*) AS sessions,
    CAST(least(coalesce(sum(bytes_out_low), 0), {_MOST}) AS BIGINT) AS bytes_out,
    CAST(least(coalesce(sum(bytes_in), 0), {_MOST}) AS BIGINT) AS bytes_in, {_BLIND} AS in_unknown,
    ['exact', 'bounded', 'unknown'][max(CASE byte_quality WHEN 'exact' THEN 1 WHEN 'bounded' THEN 2 ELSE 3 END)] AS quality,
    min(ts) AS first_ts, max(ts + coalesce(duration, 0)) AS last_ts"""


def _queried(
    paths: Sequence[str], options: Options, policy: Policy, top: int | None, daily: bool, memory: str, progress: Progress | None
) -> Summary:
    """Through the table of sessions: captures, mixed logs, logs that hold a session twice."""
    from netexfil import pipeline, tables

    con = tables.connect(memory=memory)
    tables.create(con)
    notes = pipeline.load(con, pipeline.Job(sources=paths, policy=policy, options=options), progress)
    key = _KEY.format(day="CAST(floor(ts / 86400) AS INTEGER)" if daily else "CAST(NULL AS INTEGER)")
    con.execute(f"CREATE TEMP TABLE summed AS SELECT {key}, {_SUMS} FROM session WHERE {_WHERE} GROUP BY ALL")
    total = "SELECT count(*), coalesce(sum(sessions), 0), coalesce(sum(bytes_out), 0), coalesce(sum(bytes_in), 0) FROM summed"
    count, sessions, out, back = (int(value) for value in con.execute(total).fetchone() or (0, 0, 0, 0))
    order = "bytes_out DESC, first_ts, inside_h, remote_h, remote_p, proto, direction, day"
    limit = "" if top is None else f"LIMIT {int(top)}"
    found = con.execute(f"SELECT {', '.join(COLUMNS)} FROM summed ORDER BY {order} {limit}")
    return Summary(count, sessions, out, back, _drained(found.fetchmany, top), notes)
