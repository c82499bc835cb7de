"""What the join cannot say, said: sessions without an owner, alerts without a session, clocks that lie, addresses that do not meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netexfil.errors import Note
from netexfil.join import clocks

if TYPE_CHECKING:
    import duckdb

LISTED = 20  # clocks that are told one by one
NAMED = 5  # hosts named in a note
WRONG = 1.0  # seconds from which an offset is worth a note; each link carries its own in any case
WORTH = 0.5  # a link below this confidence does not count as having found the session

UNMATCHED = {
    "loopback": "its connection stayed on the host itself (loopback)",
    "undated": "it carries no time",
    "not_yet": "it is later than the last session seen: its connection may not be logged yet",
    "before": "it is earlier than the first session seen",
    "elsewhere": "its connection was not seen by this sensor",
    "no_address": "no address of this host is seen by this sensor",
    "none": "no connection of its process was told of, and no session of the host fits",
}
UNKNOWN = {
    "midstream": "owner unknown: the session began before the capture",
    "blind": "owner unknown: no telemetry from this host",
    "not_then": "owner unknown: no telemetry from this host at that time",
    "untold": "owner unknown: the host's telemetry tells of no such connection",
}
EARLY = 300.0  # seconds before the first session in which an alert may still belong to it
LOOPBACK = r"^127\.|^::1$"


def measure(con: duckdb.DuckDBPyConnection) -> None:
    """Fill the table `unmatched`, and `join_unknown` (sid, code): sessions of hosts with telemetry; of all others nothing is known."""
    con.execute(
        """
        CREATE TEMP TABLE join_covered AS
        SELECT hk, min(t) AS t0, max(t) AS t1 FROM join_event WHERE t IS NOT NULL GROUP BY hk
        """
    )
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE join_unknown AS
        SELECT sid, CASE WHEN bool_or(midstream) THEN 'midstream' WHEN bool_or(ts BETWEEN t0 AND t1) THEN 'untold' ELSE 'not_then' END AS code
            FROM join_loose l LEFT JOIN join_covered c USING (hk) WHERE hk IS NOT NULL GROUP BY sid
        UNION ALL SELECT sid, 'known' FROM join_tuple
        """
    )
    con.execute("DELETE FROM unmatched")
    con.execute(
        f"""
        INSERT INTO unmatched (eid, reason)
        WITH fired AS (SELECT eid FROM alert UNION SELECT eid FROM event WHERE kind = 'alert'),
        open AS (
            SELECT e.eid, e.hk, e.r, e.t, p.pk FROM fired JOIN join_event e USING (eid) LEFT JOIN join_proc p USING (eid)
            WHERE eid NOT IN (SELECT eid FROM link WHERE match <> 'host_time' OR confidence >= {WORTH})),
        home AS (SELECT DISTINCT id FROM join_addr WHERE regexp_matches(form, '{LOOPBACK}')),
        talk AS (
            SELECT p.pk, bool_and(e.r IN (SELECT id FROM home)) AS inward FROM join_event e JOIN join_proc p USING (eid)
            WHERE e.r IS NOT NULL AND p.pk IN (SELECT pk FROM open) GROUP BY p.pk),
        ends AS (SELECT t0, ended AS t1 FROM join_span),
        seen AS (SELECT DISTINCT hk FROM host_address WHERE id IN (SELECT a FROM join_session UNION ALL SELECT b FROM join_session)),
        why AS (
            SELECT o.eid, CASE
                WHEN o.r IN (SELECT id FROM home) OR coalesce(k.inward, false) THEN 'loopback'
                WHEN o.t IS NULL THEN 'undated'
                WHEN o.t > ends.t1 THEN 'not_yet'
                WHEN o.t < ends.t0 - {EARLY} THEN 'before'
                WHEN o.r IS NOT NULL OR k.pk IS NOT NULL THEN 'elsewhere'
                WHEN o.hk NOT IN (SELECT hk FROM seen) THEN 'no_address'
                ELSE 'none' END AS code
            FROM open o LEFT JOIN talk k USING (pk), ends)
        SELECT eid, {_said(UNMATCHED)} FROM why
        """
    )


def _said(names: dict[str, str]) -> str:
    """SQL: the sentence of each code."""
    return "CASE code " + " ".join(f"WHEN '{code}' THEN '{text.replace(chr(39), chr(39) * 2)}'" for code, text in names.items()) + " END"


def unmatched_alerts(con: duckdb.DuckDBPyConnection) -> list[tuple[int, str]]:
    """(eid, reason) of each endpoint alert that no session answers to: table `unmatched`. The reason is the second half of a sentence."""
    return [(int(eid), str(reason)) for eid, reason in con.execute("SELECT eid, reason FROM unmatched ORDER BY eid").fetchall()]


def owner_unknown(con: duckdb.DuckDBPyConnection) -> list[tuple[int, str]]:
    """(sid, reason) of each outbound or pulled session that has no sure owner. Empty before `link` ran in this connection."""
    if not con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'join_unknown'").fetchall():
        return []
    rows = con.execute(
        f"""
        SELECT sid, {_said(UNKNOWN)} FROM (SELECT sid, coalesce(code, 'blind') AS code
            FROM session LEFT JOIN join_unknown USING (sid) WHERE outbound IN ('true', 'pull') AND ts IS NOT NULL)
        WHERE code <> 'known' ORDER BY sid
        """
    ).fetchall()
    return [(int(sid), str(reason)) for sid, reason in rows]


def notes(con: duckdb.DuckDBPyConnection) -> list[Note]:
    """Clocks, refused tuples, translated addresses, blind spots, in that order."""
    return [*_clocks(con), *_refused(con), *_translated(con), *_blind(con)]


def _clocks(con: duckdb.DuckDBPyConnection) -> list[Note]:
    rows = con.execute(
        """
        SELECT c.name, c.dialect, c.event_id, c.ts_field, o.offset, o.support, o.how, o.extra, c.clock IN (SELECT clock
            FROM join_seg) FROM join_offset o JOIN join_clock c USING (clock) ORDER BY abs(o.offset) DESC, c.name, c.clock
        """
    ).fetchall()
    return [_clock(row) for row in rows[:LISTED] if abs(row[4]) >= WRONG or row[7] is not None or row[8]]


# What `join_offset.how` says where its offset is no more than a bound: it moves events, and no link tells it.
BOUNDS = ("least", "far_least", "polled")
_SUPPORT = {
    "agreeing": " agree)", "few": ", too few to be certain)", "least": ", of a session whose start was not seen)",
    "remote": " of remote ends, no five-tuple)",
    "far_least": " of remote ends, of sessions whose start was not seen)",
    "polled": ", each told when somebody looked)",
    "lookup": ", with the look-up between its process's start and it)",
}


def _clock(row: tuple[str, str, str, str, float, int, str, float | None, bool]) -> Note:
    name, dialect, event_id, field, offset, support, how, extra, drifts = row
    where, many = "ahead of" if offset > 0 else "behind", "match" if support == 1 else "matches"
    low, high = ("at most ", "at least ") if how == "polled" else ("at least ", "at most ")  # when somebody looked is never too early
    bound = "" if how not in BOUNDS else low if offset > 0 else high
    said = f"{name}: {dialect} {event_id} {field} is {bound}{abs(offset):.3f} s {where} the capture ({support} {many}"
    said += _SUPPORT[how]
    return Note("clocks", "clock_offset", said + _cause(offset, extra) + ("; it drifts, and is followed" if drifts else ""), loss=False)


def _cause(offset: float, extra: float | None) -> str:
    """A word on why: a 12-hour clock, a time zone written as UTC, a clock that is simply wrong."""
    if extra is not None:
        return "; some records are twelve hours off: the exporter prints a 12-hour clock"
    hours = round(offset / clocks.HOUR)
    if abs(offset - hours * clocks.HOUR) <= clocks.HOUR_SLACK and hours:
        if abs(hours) <= 14:
            return f"; that is {hours:+d} h: local time written as UTC" + (", or a 12-hour clock" if abs(hours) == 12 else "")
        return f"; that is {hours:+d} h: local time printed with a 12-hour clock"
    return "; the clock itself is wrong" if abs(offset) > clocks.SMALL else ""


def _refused(con: duckdb.DuckDBPyConnection) -> list[Note]:
    row = con.execute(
        """
        WITH open AS MATERIALIZED (SELECT eid, key FROM join_event WHERE key IS NOT NULL AND eid NOT IN (SELECT eid FROM join_tuple))
        SELECT count(DISTINCT eid) FROM open WHERE key IN (SELECT key FROM join_session WHERE key IS NOT NULL)
        """
    ).fetchone()
    refused = int(row[0]) if row else 0
    text = f"{refused} connection events have a session's five-tuple at another time (a port used again, or another recording): not linked"
    return [Note("links", "port_reuse", text, loss=False)] if refused else []


def _translated(con: duckdb.DuckDBPyConnection) -> list[Note]:
    row = con.execute("SELECT count(DISTINCT sid) FROM join_weak WHERE class IN ('nat', 'served')").fetchone()
    found = int(row[0]) if row else 0
    text = f"{found} sessions carry an address that no host is known by (NAT, a proxy): linked by remote address, port and time only"
    return [Note("links", "translated", text, loss=False)] if found else []


def _blind(con: duckdb.DuckDBPyConnection) -> list[Note]:
    """Addresses that sent and that no host with telemetry has; not a translator's where what a host told of leads to its session."""
    rows = con.execute(
        f"""
        SELECT host, sum(n)::BIGINT AS n, coalesce(sum(sent), 0)::BIGINT AS sent, count(*) OVER () FROM (
            SELECT coalesce(s.inside_h, s.orig_h) AS host, 1 AS n, s.bytes_out_low AS sent
            FROM session s WHERE s.outbound IN ('true', 'pull') AND s.ts IS NOT NULL AND s.sid NOT IN (SELECT sid FROM join_unknown)
                AND s.sid NOT IN (SELECT sid FROM join_weak WHERE class IN ('nat', 'served') AND confidence >= {WORTH})
            UNION ALL SELECT inside_h, 0, 0 FROM away)
        GROUP BY host ORDER BY sent DESC, host LIMIT {NAMED}
        """
    ).fetchall()
    found = []
    if rows:
        most, hosts = ", ".join(f"{host} ({n} sessions, {sent} bytes out)" for host, n, sent, _ in rows), rows[0][3]
        more = f" and {hosts - NAMED} more" if hosts > NAMED else ""
        found.append(Note("links", "blind_spot", f"no telemetry from {hosts} hosts that sent outbound: {most}{more}", loss=False))
    old = con.execute(
        "SELECT count(*) FROM session WHERE sid IN (SELECT sid FROM join_unknown WHERE code = 'midstream') AND outbound IN ('true', 'pull')"
    ).fetchall()[0][0]
    if old:
        found.append(Note("links", "owner_unknown", f"{old} outbound sessions began before the capture: owner unknown", loss=False))
    return found


def apart(con: duckdb.DuckDBPyConnection) -> list[Note]:
    """The note that telemetry and sessions have no time in common; nothing where they have."""
    row = con.execute(
        """
        SELECT a.t0, a.t1, b.t0, b.ended FROM (SELECT min(t) AS t0, max(t) AS t1 FROM join_event) a, join_span b
        """
    ).fetchone()
    if row is None or None in row or (row[0] <= row[3] + clocks.HOUR and row[1] >= row[2] - clocks.HOUR):
        return []
    gap = max(row[2] - row[1], row[0] - row[3])
    text = f"telemetry and sessions have no time in common ({gap:.0f} s apart), and no connection matches: other recordings?"
    return [Note("links", "no_common_time", text, loss=False)]
