"""Packets of findings or sessions out of captures, in one pass: the core counts the sessions along and keeps the frames of the wanted ones.

A finding names its sessions by uid, siblings included. Where the captures know those uids, exactly these are cut. Where Zeek logs among the
sources do, they say by tuple and time which packets are meant. Where neither does (the finding came from another sensor's logs), the sessions
of its channel are cut: same host, destination, port and transport, overlapping its time, with the FTP data channels that they announced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from netexfil import tables
from netexfil.errors import NetexfilError, Note, Unreadable
from netexfil.finding import Finding
from netexfil.read import Options, core_available, find
from netexfil.report import words

if TYPE_CHECKING:
    import duckdb

NUMBERS = {"tcp": 6, "udp": 17, "icmp": 1, "icmp6": 58}
SLACK = 1.0  # seconds around a finding's time in which a session of another sensor may begin or end
COMMENT = 2_000  # characters
Progress = Callable[[str, int, int], None]


class Session(NamedTuple):
    """What is needed to find a session's packets. Times are seconds since 1970; `since` and `until` are as far as its packets can reach."""

    uid: str
    proto: str
    orig_h: str
    orig_p: int
    resp_h: str
    resp_p: int
    since: float = 0.0
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Cut:
    """What was written: frames, their bytes, and frames by session."""

    frames: int
    bytes: int
    sessions: Sequence[tuple[Session, int]]
    notes: Sequence[Note]


@dataclass(frozen=True, slots=True)
class Job:
    """What is wanted, out of which captures, into which file."""

    captures: Sequence[str]
    out: str
    findings: Sequence[Finding]
    uids: Sequence[str]
    progress: Progress | None

    def wanted(self) -> list[str]:
        """Uids, each once; the findings' first."""
        return list(dict.fromkeys([*(uid for finding in self.findings for uid in finding.session_uids), *self.uids]))

    def about(self, uid: str) -> str:
        """The beginning of a session's comment."""
        owner = next((finding for finding in self.findings if uid in finding.session_uids), self.findings[0] if len(self.findings) == 1 else None)
        return f"{f'netexfil finding {owner.id}: ' if owner else 'netexfil '}session {uid}"

    def tell(self) -> Callable[[int], None] | None:
        progress, total = self.progress, sum(_size(path) for path in self.captures)
        return progress and (lambda done: progress("captures", done, total))


def carve(
    sources: Sequence[str], out: str, findings: Sequence[Finding] = (), uids: Sequence[str] = (), progress: Progress | None = None
) -> Cut:
    """Cut the packets of findings and sessions out of the captures among `sources` into the pcapng file `out` (`-`: standard output).

    Raises:
        Unreadable: no capture, or none of the wanted packets in them.
        NetexfilError: the core is not installed, or `out` is one of the sources.
    """
    if not core_available():
        raise NetexfilError("carve needs the core, which is not installed here")
    streamed = "-" in sources and not _seekable()  # a pipe is not kept, it goes by once
    with find.sources([name for name in sources if not (streamed and name == "-")]) as found:
        captures = [*found.captures, "-"] if streamed else found.captures
        if not captures:
            raise Unreadable("; ".join(f"{note.file}: {note.reason}" for note in found.notes) or "no capture in the sources")
        _not_over_a_source(out, captures)
        job = Job(captures, out, findings, uids, progress)
        cut = _cut(job, [log.path for log in found.logs], streamed)
    lost = [Note("", "carve", f"session {session.uid}: none of its packets is in the captures") for session, count in cut.sessions if not count]
    return Cut(cut.frames, cut.bytes, cut.sessions, [*found.notes, *cut.notes, *lost])


def _seekable() -> bool:
    try:
        os.pread(0, 1, 0)
    except OSError:
        return False
    return True


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _not_over_a_source(out: str, captures: Iterable[str]) -> None:
    for path in captures:
        if out != "-" and Path(out).exists() and Path(path).exists() and Path(out).samefile(path):
            raise NetexfilError(f"{out}: is one of the sources; give another name to write to")


def _cut(job: Job, logs: Sequence[str], streamed: bool) -> Cut:
    """By the logs where they know every uid, else by uid, else by the findings' channels."""
    con = tables.connect()
    notes: list[Note] = []
    if logs:
        sessions, notes = _from_logs(con, logs, set(job.wanted()))
        if {session.uid for session in sessions} >= set(job.wanted()):
            return _by_tuple(job, sessions, notes)
    cut = _by_uid(job, notes)
    if cut.frames:
        return cut
    if job.findings and not streamed:
        sessions = _from_captures(con, job.captures, job.findings)
        if sessions:
            return _by_tuple(job, sessions, notes)
    hint = "; a finding of another sensor is not found in a stream: name its logs too, or the capture as a file" if job.findings and streamed else ""
    raise Unreadable(f"none of the wanted sessions is in these captures{hint}")


def _by_uid(job: Job, notes: Sequence[Note]) -> Cut:
    from netexfil import _core

    wanted = job.wanted()
    # A finding's host has a part in all of its sessions, whoever the FTP server sends it to; a session named by itself may be anyone's.
    bound = not job.uids and all(finding.host.get("ip") for finding in job.findings)
    hosts = sorted({str(finding.host["ip"]) for finding in job.findings}) if bound else []
    over = not job.uids and not any(finding.in_progress for finding in job.findings)
    until = max((finding.last_ts + IDLE for finding in job.findings), default=0.0) if over else None
    rows = [(uid, words.visible(job.about(uid))) for uid in wanted]
    done = _run(job.out, lambda: _core.carve_uids(job.captures, rows, _file_comment(job.findings, job.uids), job.out, hosts, until, job.tell()))
    sessions = []
    for uid, ends in zip(wanted, done["ends"], strict=True):
        proto, (orig_h, orig_p), (resp_h, resp_p) = ends or ("", ("", 0), ("", 0))
        sessions.append(Session(uid, proto, orig_h, orig_p, resp_h, resp_p))
    return _told(sessions, done, notes)


def _by_tuple(job: Job, sessions: Sequence[Session], notes: Sequence[Note]) -> Cut:
    from netexfil import _core

    rows = [_row(session, job.about(session.uid)) for session in sessions]
    done = _run(job.out, lambda: _core.carve_tuples(job.captures, rows, _file_comment(job.findings, job.uids), job.out, job.tell()))
    if not done["frames"]:
        raise Unreadable("the wanted sessions are known from logs, but none of their packets is in these captures")
    return _told(sessions, done, notes)


def _run(out: str, cut: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    from netexfil import _core

    try:
        return cut()
    except OSError as error:
        raise NetexfilError(f"{error.filename or out}: {error.strerror or error}") from error
    except _core.CaptureError as error:
        raise Unreadable(str(error)) from error


def _told(sessions: Sequence[Session], done: dict[str, Any], notes: Sequence[Note]) -> Cut:
    return Cut(done["frames"], done["bytes"], list(zip(sessions, done["found"], strict=True)), [*notes, *(_note(row) for row in done["notes"])])


def _note(row: dict[str, Any]) -> Note:
    # A packet whose lengths contradict each other reached nobody: nothing is lost with it.
    return Note(row["file"], row["kind"], row["reason"], row["place"], row["count"], loss=row["kind"] != "malformed")


# Packets of a tuple belong to the session that began last, also those that come after its end by Zeek's count (the last
# acknowledgement): until the next one begins, or for the longest time that an idle one is kept. Stamps may also run backwards: before the first one.
IDLE = 300.0
_SPANS = f"""SELECT uid, proto, orig_h, orig_p, resp_h, resp_p, if(first, ts - {IDLE}, ts),
    least(coalesce(following - 2e-6, 'infinity'::DOUBLE), ts + coalesce(duration, 0) + {IDLE})
    FROM (SELECT *, lead(ts) OVER by_tuple AS following, lag(ts) OVER by_tuple IS NULL AS first FROM (SELECT *, concat_ws(' ', proto,
        least(concat(orig_h, ' ', orig_p), concat(resp_h, ' ', resp_p)), greatest(concat(orig_h, ' ', orig_p), concat(resp_h, ' ', resp_p))
    ) AS tuple FROM known) WINDOW by_tuple AS (PARTITION BY tuple ORDER BY ts, uid)) WHERE uid IN (SELECT uid FROM wanted) ORDER BY ts, uid"""


def _from_logs(con: duckdb.DuckDBPyConnection, paths: Sequence[str], wanted: set[str]) -> tuple[list[Session], list[Note]]:
    from netexfil import read
    from netexfil.policy import Policy

    tables.create(con)
    try:
        notes = read.sessions(con, paths, Options(), Policy())
    except Unreadable as error:
        return [], [Note("", "unreadable", str(error))]
    con.execute("CREATE TEMP TABLE known AS SELECT * FROM session")
    return _spans(con, wanted), notes


def _spans(con: duckdb.DuckDBPyConnection, wanted: Iterable[str]) -> list[Session]:
    con.execute("CREATE OR REPLACE TEMP TABLE wanted AS SELECT unnest(CAST(? AS VARCHAR[])) AS uid", [sorted(wanted)])
    return [Session(*row) for row in con.execute(_SPANS).fetchall()]


def _from_captures(con: duckdb.DuckDBPyConnection, captures: Sequence[str], findings: Sequence[Finding]) -> list[Session]:
    """The sessions of the findings' channels as these captures know them, in a pass of its own; what is unreadable is told by the other."""
    from netexfil import _core

    stream = _core.capture(list(captures), hello_bytes=4096)
    con.register("captured", stream)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE known AS SELECT uid, proto, orig_h, orig_p, resp_h, resp_p, ts, duration, "
        "regexp_extract(hints, 'control=([^,]+)', 1) AS control FROM captured"
    )
    con.unregister("captured")
    return _spans(con, _of_channels(con, findings))


def _of_channels(con: duckdb.DuckDBPyConnection, findings: Sequence[Finding]) -> set[str]:
    """Uids of the sessions of the findings' channels as this sensor saw them, and of the data sessions that they announced.

    A pull came from outside to the same port; an FTP server that opens data sessions itself comes to any.
    """
    con.execute("CREATE TEMP TABLE channel (host VARCHAR, remote VARCHAR, port INTEGER, proto VARCHAR, first DOUBLE, last DOUBLE, pull BOOLEAN)")
    for finding in findings:
        for row in _channels(finding):
            con.execute("INSERT INTO channel VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    rows = con.execute(
        """WITH own AS (SELECT uid FROM known c WHERE EXISTS (SELECT 1 FROM channel w WHERE c.proto = w.proto
            AND CASE WHEN c.orig_h = w.host AND c.resp_h = w.remote THEN c.resp_p = w.port AND NOT w.pull
                WHEN c.resp_h = w.host AND c.orig_h = w.remote THEN CASE WHEN w.pull THEN c.resp_p = w.port ELSE w.port IN (21, 990) END END
            AND c.ts <= w.last AND c.ts + coalesce(c.duration, 0) >= w.first))
        SELECT uid FROM own UNION SELECT uid FROM known WHERE control IN (SELECT uid FROM own)"""
    ).fetchall()
    return {uid for (uid,) in rows}


def _channels(finding: Finding) -> list[tuple[object, ...]]:
    place = finding.destination or {}
    times = (finding.first_ts - SLACK, finding.last_ts + SLACK)
    return [(finding.host.get("ip"), ip, place.get("port"), place.get("proto"), *times, finding.pulled) for ip in place.get("ips") or ()]


Row = tuple[int, tuple[str, int], tuple[str, int], tuple[float, float], str]


def _row(session: Session, about: str) -> Row:
    text = words.visible(f"{about}, {session.orig_h}:{session.orig_p} to {session.resp_h}:{session.resp_p}/{session.proto}")
    ends = (session.orig_h, session.orig_p), (session.resp_h, session.resp_p)
    return NUMBERS.get(session.proto, 0), *ends, (session.since, session.until), text


def _file_comment(findings: Sequence[Finding], uids: Sequence[str]) -> str:
    lines = []
    for finding in findings:
        because = "; ".join(e.text for e in words.reasons(finding))
        lines.append(f"netexfil finding {finding.id}, score {finding.score:.0f} ({finding.severity}): {words.sentence(finding)}. Because: {because}")
    lines += [f"netexfil session {uid}" for uid in uids]
    return "\n".join(words.visible(line) for line in lines)[:COMMENT]
