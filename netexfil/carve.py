"""Packets of findings or sessions out of captures: which sessions are meant, then one pass of the core that cuts them out.

A finding names its sessions by uid, siblings included. Where the captures (or Zeek logs among the sources) know those uids,
exactly these are cut. Where they do not (the finding came from another sensor's logs), the sessions of its channel
are: same host, destination, port and transport, overlapping its time, with the FTP data channels that they announced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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


class Session(NamedTuple):
    """What is needed to find a session's packets. Times are seconds since 1970."""

    uid: str
    proto: str
    orig_h: str
    orig_p: int
    resp_h: str
    resp_p: int
    ts: float
    duration: float | None


@dataclass(frozen=True, slots=True)
class Cut:
    """What was written: frames, their bytes, and frames by session."""

    frames: int
    bytes: int
    sessions: Sequence[tuple[Session, int]]
    notes: Sequence[Note]


def carve(sources: Sequence[str], out: str, findings: Sequence[Finding] = (), uids: Sequence[str] = ()) -> Cut:
    """Cut the packets of findings and sessions out of the captures among `sources` into the pcapng file `out` (`-`: standard output).

    Raises:
        Unreadable: no capture, or none of the wanted packets in them.
        NetexfilError: the core is not installed, or `out` is one of the sources.
    """
    if not core_available():
        raise NetexfilError("carve needs the core, which is not installed here")
    from netexfil import _core

    with find.sources(sources) as found:
        if not found.captures:
            raise Unreadable("; ".join(f"{note.file}: {note.reason}" for note in found.notes) or "no capture in the sources")
        _not_over_a_source(out, found.captures)
        sessions, notes = _resolve(found, findings, uids)
        if not sessions:
            raise Unreadable("none of the wanted sessions is in these captures")
        rows = [_row(session, findings) for session in sessions]
        try:
            done = _core.carve(found.captures, rows, _file_comment(findings, uids), out)
        except OSError as error:
            raise NetexfilError(f"{error.filename or out}: {error.strerror or error}") from error
    if not done["frames"]:
        raise Unreadable("the wanted sessions are known from logs, but none of their packets is in these captures")
    counts = list(zip(sessions, done["found"], strict=True))
    lost = [Note("", "carve", f"session {session.uid}: none of its packets is in the captures") for session, count in counts if not count]
    return Cut(done["frames"], done["bytes"], counts, [*found.notes, *notes, *lost])


def _not_over_a_source(out: str, captures: Iterable[str]) -> None:
    for path in captures:
        if out != "-" and Path(out).exists() and Path(path).exists() and Path(out).samefile(path):
            raise NetexfilError(f"{out}: is one of the sources; give another name to write to")


def _resolve(found: find.Found, findings: Sequence[Finding], uids: Sequence[str]) -> tuple[list[Session], list[Note]]:
    """The wanted sessions: from the logs where they know every uid, else from the captures."""
    wanted = set(uids).union(*(finding.session_uids for finding in findings))
    con = tables.connect()
    notes: list[Note] = []
    if found.logs:
        sessions, notes = _from_logs(con, [log.path for log in found.logs], wanted)
        if wanted <= {session.uid for session in sessions}:
            return sessions, notes
    return _from_captures(con, found.captures, findings, wanted), notes


_COLUMNS = "uid, proto, orig_h, orig_p, resp_h, resp_p, ts, duration"


def _from_logs(con: duckdb.DuckDBPyConnection, paths: Sequence[str], wanted: set[str]) -> tuple[list[Session], list[Note]]:
    from netexfil import read
    from netexfil.policy import Policy

    tables.create(con)
    try:
        notes = read.sessions(con, paths, Options(), Policy())
    except Unreadable as error:
        return [], [Note("", "unreadable", str(error))]
    rows = con.execute(f"SELECT {_COLUMNS} FROM session WHERE uid IN (SELECT unnest(?)) ORDER BY ts, uid", [sorted(wanted)]).fetchall()
    return [Session(*row) for row in rows], notes


def _from_captures(con: duckdb.DuckDBPyConnection, captures: Sequence[str], findings: Sequence[Finding], wanted: set[str]) -> list[Session]:
    """One pass over the captures; what is unreadable in them is told by the second."""
    from netexfil import _core

    try:
        stream = _core.capture(list(captures), hello_bytes=4096)
    except (OSError, _core.CaptureError) as error:
        raise Unreadable(str(error)) from error
    con.execute("CREATE TEMP TABLE wanted (uid VARCHAR)")
    con.executemany("INSERT INTO wanted VALUES (?)", [[uid] for uid in sorted(wanted)] or [[""]])
    con.execute("CREATE TEMP TABLE channel (host VARCHAR, remote VARCHAR, port INTEGER, proto VARCHAR, first DOUBLE, last DOUBLE)")
    for finding in findings:
        for row in _channels(finding):
            con.execute("INSERT INTO channel VALUES (?, ?, ?, ?, ?, ?)", row)
    con.register("captured", stream)
    con.execute(
        f"""CREATE TEMP TABLE near AS SELECT {_COLUMNS}, hints, uid IN (SELECT uid FROM wanted) AS named FROM captured c
        WHERE named OR contains(hints, 'control=') OR EXISTS (SELECT 1 FROM channel w WHERE c.proto = w.proto
            AND ((c.orig_h = w.host AND c.resp_h = w.remote AND c.resp_p = w.port) OR (c.resp_h = w.host AND c.orig_h = w.remote))
            AND c.ts <= w.last AND c.ts + coalesce(c.duration, 0) >= w.first)"""
    )
    con.unregister("captured")
    rows = con.execute(f"SELECT {_COLUMNS} FROM near WHERE named ORDER BY ts, uid").fetchall()
    if not rows:  # uids of another sensor
        rows = con.execute(
            f"""WITH own AS (SELECT * FROM near WHERE NOT contains(coalesce(hints, ''), 'control='))
            SELECT {_COLUMNS} FROM near WHERE uid IN (SELECT uid FROM own)
                OR regexp_extract(hints, 'control=([^,]+)', 1) IN (SELECT uid FROM own) ORDER BY ts, uid"""
        ).fetchall()
    return [Session(*row) for row in rows]


def _channels(finding: Finding) -> list[tuple[object, ...]]:
    place = finding.destination or {}
    times = (finding.first_ts - SLACK, finding.last_ts + SLACK)
    return [(finding.host.get("ip"), ip, place.get("port"), place.get("proto"), *times) for ip in place.get("ips") or ()]


Row = tuple[int, tuple[str, int], tuple[str, int], tuple[float, float], str]


def _row(session: Session, findings: Sequence[Finding]) -> Row:
    owner = next((finding for finding in findings if session.uid in finding.session_uids), findings[0] if len(findings) == 1 else None)
    about = f"netexfil finding {owner.id}: " if owner else "netexfil "
    text = words.visible(f"{about}session {session.uid}, {session.orig_h}:{session.orig_p} to {session.resp_h}:{session.resp_p}/{session.proto}")
    ends = (session.orig_h, session.orig_p), (session.resp_h, session.resp_p)
    return NUMBERS.get(session.proto, 0), *ends, (session.ts, session.ts + (session.duration or 0.0)), text


def _file_comment(findings: Sequence[Finding], uids: Sequence[str]) -> str:
    lines = []
    for finding in findings:
        because = "; ".join(e.text for e in words.reasons(finding))
        lines.append(f"netexfil finding {finding.id}, score {finding.score:.0f} ({finding.severity}): {words.sentence(finding)}. Because: {because}")
    lines += [f"netexfil session {uid}" for uid in uids]
    return "\n".join(words.visible(line) for line in lines)[:COMMENT]
