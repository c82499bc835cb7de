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
    """What is needed to find a session's packets. Times are seconds since 1970; `since` and `until` are as far as its packets can reach."""

    uid: str
    proto: str
    orig_h: str
    orig_p: int
    resp_h: str
    resp_p: int
    since: float
    until: float


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


def _from_captures(con: duckdb.DuckDBPyConnection, captures: Sequence[str], findings: Sequence[Finding], wanted: set[str]) -> list[Session]:
    """One pass over the captures; what is unreadable in them is told by the second."""
    from netexfil import _core

    try:
        stream = _core.capture(list(captures), hello_bytes=4096)
    except (OSError, _core.CaptureError) as error:
        raise Unreadable(str(error)) from error
    con.register("captured", stream)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE known AS SELECT uid, proto, orig_h, orig_p, resp_h, resp_p, ts, duration, "
        "regexp_extract(hints, 'control=([^,]+)', 1) AS control FROM captured"
    )
    con.unregister("captured")
    return _spans(con, wanted) or _spans(con, _of_channels(con, findings))


def _of_channels(con: duckdb.DuckDBPyConnection, findings: Sequence[Finding]) -> set[str]:
    """Uids of the sessions of the findings' channels as this sensor saw them, and of the data sessions that they announced."""
    con.execute("CREATE TEMP TABLE channel (host VARCHAR, remote VARCHAR, port INTEGER, proto VARCHAR, first DOUBLE, last DOUBLE)")
    for finding in findings:
        for row in _channels(finding):
            con.execute("INSERT INTO channel VALUES (?, ?, ?, ?, ?, ?)", row)
    rows = con.execute(
        """WITH own AS (SELECT uid FROM known c WHERE EXISTS (SELECT 1 FROM channel w WHERE c.proto = w.proto
            AND ((c.orig_h = w.host AND c.resp_h = w.remote AND c.resp_p = w.port) OR (c.resp_h = w.host AND c.orig_h = w.remote))
            AND c.ts <= w.last AND c.ts + coalesce(c.duration, 0) >= w.first))
        SELECT uid FROM own UNION SELECT uid FROM known WHERE control IN (SELECT uid FROM own)"""
    ).fetchall()
    return {uid for (uid,) in rows}


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
    return NUMBERS.get(session.proto, 0), *ends, (session.since, session.until), text


def _file_comment(findings: Sequence[Finding], uids: Sequence[str]) -> str:
    lines = []
    for finding in findings:
        because = "; ".join(e.text for e in words.reasons(finding))
        lines.append(f"netexfil finding {finding.id}, score {finding.score:.0f} ({finding.severity}): {words.sentence(finding)}. Because: {because}")
    lines += [f"netexfil session {uid}" for uid in uids]
    return "\n".join(words.visible(line) for line in lines)[:COMMENT]
