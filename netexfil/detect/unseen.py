"""Endpoint alerts whose upload no channel shows: a finding of kind `endpoint` for each process, with the reason why.

Three cases: no session was linked at all (table `unmatched` says why) or only by time; the linked session does not leave the network (a
loopback test, a proxy inside), which is then told with its bytes; or it leaves, but carried too little to be judged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netexfil import tables
from netexfil.detect import bands, words
from netexfil.detect.allowed import suppressed
from netexfil.detect.choose import alone
from netexfil.detect.links import EVENT_COLUMNS, SEVERITY_POINTS, Tie, process_tool, told
from netexfil.detect.pivots import next_steps
from netexfil.detect.record import capped
from netexfil.finding import UNDATED, Evidence, Finding, Link, iso
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb

SURE = "('five_tuple', 'community_id', 'process')"
NEAR = "no session is surely its own, and those near it in time stayed inside or carried too little to be judged"
INSIDE, LARGE = 16, 25  # points for a one-sided upload on a session that does not leave, and for one above the line


def unseen(con: duckdb.DuckDBPyConnection, policy: Policy, days: Sequence[int] | None = None) -> list[Finding]:
    """One finding a day for each process (or event, where no process is known) with alerts but no channel."""
    if not tables.some(con, "alert"):
        return []
    columns = ", ".join(f"e.{name} AS event_{name}" for name in EVENT_COLUMNS)
    wanted = "TRUE" if days is None else f"CAST(floor(e.ts / 86400) AS INTEGER) IN ({', '.join(str(int(d)) for d in days) or 'NULL'})"
    cursor = con.execute(f"""
        WITH tied AS (
            SELECT l.eid, arg_max(l.sid, (l.confidence, s.bytes_out_low, s.uid)) AS sid,
                   arg_max(l.match, (l.confidence, s.bytes_out_low, s.uid)) AS match, max(l.confidence) AS confidence,
                   any_value(l.clock_offset) AS clock_offset, min(l.seconds_apart) AS seconds_apart
            FROM link l JOIN session s USING (sid) WHERE l.match IN {SURE} AND l.eid IN (SELECT eid FROM alert) GROUP BY l.eid),
        reasons AS (SELECT eid, min(reason) AS why FROM unmatched GROUP BY eid),
        near AS (SELECT DISTINCT eid FROM link WHERE eid IN (SELECT eid FROM alert)),
        shown AS (SELECT DISTINCT l.eid FROM link l JOIN session s USING (sid) JOIN channel c ON c.cid = s.cid
                  WHERE l.eid IN (FROM near) AND {alone(policy, "TRUE")})
        SELECT a.*, {columns}, e.host_ips AS ips, coalesce(u.why, if(t.eid IS NULL, '{NEAR}', NULL)) AS why, s.cid IS NOT NULL AS left,
            a.eid IN (FROM shown) AS shown, t.match, t.confidence AS sureness, t.clock_offset, t.seconds_apart, s.uid, s.source AS log,
            s.resp_h, s.resp_p, s.orig_h, s.proto, s.ts AS session_ts, s.duration,
            s.bytes_out_low AS low, s.bytes_out_high AS high, s.bytes_in AS back,
            s.protocol, s.byte_quality
        FROM alert a JOIN event e USING (eid) LEFT JOIN reasons u ON u.eid = a.eid LEFT JOIN tied t ON t.eid = a.eid
        LEFT JOIN session s ON s.sid = t.sid
        WHERE (a.eid IN (FROM near) OR u.eid IS NOT NULL) AND {wanted}
        ORDER BY e.ts, a.eid, a.rule""")
    names = [column[0] for column in cursor.description]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for values in cursor.fetchall():
        row = dict(zip(names, values, strict=True))
        process = row["event_guid"] or row["event_pid"]
        day = None if row["event_ts"] is None else row["event_ts"] // 86_400
        moment = row["eid"] if row["event_ts"] is None else row["event_ts"]  # as the id has it
        groups.setdefault((row["event_host"], day, process if process is not None else (moment,)), []).append(row)
    return [_finding(rows, policy) for rows in groups.values() if not any(row["shown"] for row in rows)]


def _finding(rows: Sequence[dict[str, Any]], policy: Policy) -> Finding:
    best = max(rows, key=lambda row: SEVERITY_POINTS.get(str(row["severity"]).lower(), 12))
    event = _event(best)
    session = next((row for row in rows if row["uid"]), None)
    evidence, score = capped(_evidence(rows, best, session, policy.threshold("outbound_volume")))
    known = [row["event_ts"] for row in rows if row["event_ts"] is not None]
    times = known or [UNDATED]
    address = session["orig_h"] if session else next(iter(str(best["ips"] or "").split(",")), None) or None
    # never the file or line: the same telemetry may come again under another name
    process = best["event_guid"] or best["event_pid"]
    key = "|".join(map(str, (best["event_host"], process if process is not None else best["event_ts"], best["rule"], iso(min(times))[:10])))
    identity = hashlib.sha256(key.encode()).hexdigest()[:16]
    tool = best["tool"] or getattr(process_tool(event)[0], "name", None)
    facts = {
        "id": identity, "host": address or "", "host_name": event.get("host"), "remote": session["resp_h"] if session else None,
        "port": session["resp_p"] if session else None, "proto": session["proto"] if session else "tcp", "names": [], "tool": tool,
        "bytes": int(session["low"] or 0) if session else 0, "images": [event.get("image")], "users": [event.get("user")],
        "first_ts": min(known, default=None), "last_ts": max(known, default=None),
        "uids": [session["uid"]] if session else [], "source": session["log"] if session else "",
        "image": event.get("image"), "pid": event.get("pid"), "hashes": event.get("hashes"),
    }
    return Finding(
        id=identity, kind="endpoint", score=score, severity=bands.severity(score), confidence="medium" if session else "low",
        first_ts=min(times), last_ts=max(times), host={"ip": address, "name": event.get("host")}, destination=_destination(session),
        protocol=str(session["protocol"] or "Unknown") if session else "Unknown",
        tool={"name": tool, "source": "endpoint", "verdict": "endpoint" if tool else "none"},
        bytes_out={"low": int(session["low"] or 0) if session else 0, "high": session["high"] if session else None,
                   "quality": (session["byte_quality"] or "unknown") if session else "unknown"},
        bytes_in=session["back"] if session else None, pcr=None, sessions=1 if session else 0, session_uids=(session["uid"],) if session else (),
        duration=session["duration"] if session else None, rate=None, in_progress=False, evidence=tuple(evidence), links=_links(rows),
        attack=_attack(rows), suppressed=suppressed(facts, policy), window=iso(min(known))[:10] if known else "",
        next_steps=next_steps(facts) if known else (),
    )


def _evidence(rows: Sequence[Mapping[str, Any]], best: Mapping[str, Any], session: Mapping[str, Any] | None, line: float) -> list[Evidence]:
    told: list[Evidence] = []
    for row in sorted(rows, key=lambda row: row is not best):
        points = SEVERITY_POINTS.get(str(row["severity"]).lower(), 12) if row is best else 0
        name = f"{row['title'] or row['rule']} ({row['rule']})"
        place = f"{row['event_file'] or 'endpoint'} {row['event_line'] or ''}".strip()
        said = f"endpoint alert: {name}" + (f"; {row['reason']}" if row["reason"] else "")
        told.append(Evidence("endpoint_alert", name, "rule", None, points, said, place))
    if session is None:
        why = best["why"] or "its session is not in the records"
        told.append(Evidence("endpoint_unseen", why, "reason", None, 0, f"the upload was not seen: {why}", "records"))
    elif session["left"]:
        amount = words.size(session["low"] or 0)
        said = f"the linked session to {session['resp_h']} port {session['resp_p']} carried {amount}: too little to be judged"
        told.append(Evidence("endpoint_unseen", said, "reason", None, 0, said, f"{session['log']} {session['uid']}"))
    elif (session["low"] or 0) >= 65_536 and (session["low"] or 0) >= 9 * (session["back"] or 0):
        amount = words.size(session["low"])
        said = f"the linked session to {session['resp_h']} port {session['resp_p']} does not leave the network, and carried {amount} one-sidedly"
        points = LARGE if session["low"] >= line else INSIDE
        told.append(Evidence("endpoint_session", session["low"], "bytes", 65_536, points, said, f"{session['log']} {session['uid']}"))
    else:
        said = f"the linked session to {session['resp_h']} port {session['resp_p']} does not leave the network"
        told.append(Evidence("endpoint_unseen", said, "reason", None, 0, said, f"{session['log']} {session['uid']}"))
    return told


_EVENT = tuple((name, f"event_{name}") for name in EVENT_COLUMNS)


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, column in _EVENT if (value := row[column]) is not None}


def _destination(session: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if session is None:
        return None
    return {"ips": [session["resp_h"]], "port": session["resp_p"], "proto": session["proto"], "name": None}


def _links(rows: Sequence[Mapping[str, Any]]) -> tuple[Link, ...]:
    """Every alert's event once, with the rules that selected it; without a session the match is the event itself, over its process."""
    ties = []
    for row in rows:
        event = _event(row)
        link = Link(row["match"] or "process", float(row["sureness"] or 1.0), 1, row["seconds_apart"], row["clock_offset"], event, row["uid"])
        ties.append(Tie(link, row["eid"], {"title": row["title"], "rule": row["rule"]}))
    return told(ties)[:20]


def _attack(rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], ...]:
    named = {"T1048.002": "DET0512"}
    for row in rows:
        for part in str(row["technique"] or "").split(","):
            if part.strip():
                named.setdefault(part.strip().upper(), "endpoint rule")
    return tuple({"technique": technique, "strategy": strategy} for technique, strategy in named.items())
