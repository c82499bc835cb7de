"""Ties that are likely, not certain: same host, same remote end, near in (corrected) time; or same host and near in time only.

Each carries how many others fit as well, and the share of such links that are right (`CALIBRATION`, measured on generated truth by
`benchmarks/join.py --calibrate`). They are offered only for sessions that have no sure owner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netexfil.join.nearest import nearest

if TYPE_CHECKING:
    import duckdb

LOOKUP = 300.0  # seconds in which a looked-up address is used
KEEP = 3  # host_time links of one session

# class -> rows of (candidates up to, seconds apart up to, confidence); the first that fits holds.
INF = 1e12
CALIBRATION: dict[str, list[tuple[float, float, float]]] = {
    "remote": [(1, 5, 0.95), (1, INF, 0.8), (2, 5, 0.8), (2, INF, 0.5), (5, INF, 0.3), (INF, INF, 0.1)],
    "sibling": [(1, 5, 0.8), (1, INF, 0.6), (3, INF, 0.5), (INF, INF, 0.3)],
    "nat": [(1, 5, 0.95), (1, INF, 0.7), (2, 5, 0.6), (3, INF, 0.3), (INF, INF, 0.1)],
    "dns": [(1, 5, 0.7), (1, INF, 0.5), (3, INF, 0.3), (INF, INF, 0.1)],
    "host": [(1, 5, 0.5), (1, INF, 0.3), (3, INF, 0.15), (10, INF, 0.05), (INF, INF, 0.01)],
}


def confidence(kind: str, candidates: str = "candidates", apart: str = "abs(dt)") -> str:
    """SQL of the calibrated confidence of a class of links."""
    whens = " ".join(f"WHEN {candidates} <= {most} AND {apart} <= {far} THEN {share}" for most, far, share in CALIBRATION[kind])
    return f"CASE {whens} END"


def weak(con: duckdb.DuckDBPyConnection, window: tuple[float, float]) -> None:
    """`join_weak` (eid, sid, match, class, candidates, dt, confidence). Needs the ledger (`host_address`)."""
    before, after = -window[0], window[1]
    con.execute(
        "CREATE TEMP TABLE join_weak (eid BIGINT, sid BIGINT, match VARCHAR, class VARCHAR, candidates INTEGER, dt DOUBLE, confidence DOUBLE)"
    )
    _free(con)
    remote = (
        "SELECT e.eid AS id, hash(e.hk, e.r, e.rp) AS g, t.t FROM join_event e JOIN join_time t USING (eid) "
        "WHERE e.r IS NOT NULL AND e.rp IS NOT NULL AND {0}"
    )
    ours = "SELECT ref AS id, hash(hk, remote, rp) AS g, ts AS t FROM join_loose WHERE hk IS NOT NULL"
    _link(con, "remote", remote.format("e.lp IS NULL AND e.eid NOT IN (SELECT eid FROM join_tuple)"), ours, (after, before))
    _link(con, "sibling", remote.format("e.lp IS NOT NULL"), ours, (after, before))
    _translated(con, (after, before))
    _looked_up(con, after)
    _same_time(con, before, after)


def _free(con: duckdb.DuckDBPyConnection) -> None:
    """`join_loose` (ref, sid, side, hk, remote, rp, proto, ts): sessions without a sure owner, once for each end, and whose address that end was."""
    con.execute(
        """
        CREATE TEMP TABLE join_loose AS
        WITH free AS (SELECT sid, a, b, ap, bp, proto, ts FROM join_session WHERE sid NOT IN (SELECT sid FROM join_tuple)),
        ends AS (SELECT sid, 0 AS side, a AS mine, b AS remote, bp AS rp, proto, ts FROM free
        UNION ALL SELECT sid, 1, b, a, ap, proto, ts FROM free)
        SELECT sid * 2 + side AS ref, sid, side, hk, remote, rp, proto, ts FROM ends LEFT
            JOIN host_address h ON h.id = ends.mine AND ts >= h.since AND ts < h.until
            QUALIFY row_number() OVER (PARTITION BY sid, side ORDER BY h.since DESC) = 1
        """
    )


def _link(con: duckdb.DuckDBPyConnection, kind: str, events: str, sessions: str, reach: tuple[float, float], match: str = "remote_time") -> None:
    """Each event to its nearest session (an event names one connection), each session to its nearest event; rivals on either side count."""
    nearest(con, events, sessions, "join_near", 1, *reach)
    con.execute(
        f"""
        INSERT INTO join_weak WITH found AS (SELECT n.id AS eid, l.sid, n.dt, n.candidates FROM join_near n
            JOIN join_loose l ON l.ref = n.other QUALIFY row_number() OVER (PARTITION BY n.id ORDER BY abs(n.dt), n.other) = 1),
        ranked AS (
            SELECT *, row_number() OVER (PARTITION BY sid ORDER BY abs(dt), eid) AS place,
            count(*) OVER (PARTITION BY sid) AS rivals FROM found)
        SELECT eid, sid, '{match}', '{kind}', greatest(candidates, rivals)::INTEGER AS n, dt, {confidence(kind, 'n')} / place
            FROM ranked WHERE place <= {KEEP}
        """
    )


def _translated(con: duckdb.DuckDBPyConnection, reach: tuple[float, float]) -> None:
    """NAT: the host's own address is nowhere on this sensor, the sensor's inside address is no host's. The remote end and the time are left."""
    events = (
        """
        SELECT e.eid AS id, hash(e.r, e.rp, e.proto) AS g, t.t FROM join_event e JOIN join_time t USING (eid)
            WHERE e.key IS NOT NULL AND e.eid NOT IN (SELECT eid FROM join_tuple) AND e.l NOT IN (SELECT a FROM join_session
            WHERE a IS NOT NULL
        UNION ALL SELECT b FROM join_session WHERE b IS NOT NULL)
        """
    )
    sessions = "SELECT ref AS id, hash(remote, rp, proto) AS g, ts AS t FROM join_loose WHERE hk IS NULL AND side = 0"
    _link(con, "nat", events, sessions, reach)


def _looked_up(con: duckdb.DuckDBPyConnection, after: float) -> None:
    """A name was asked for, its answer is the remote address: the look-up's process meant to go there."""
    answers = (
        """
        SELECT e.eid, e.hk, t.t, a.id FROM (SELECT eid, unnest(regexp_extract_all(answers, '[0-9a-fA-F.:]*[0-9a-fA-F]')) AS address
            FROM event WHERE kind = 'dns' AND answers IS NOT NULL) x JOIN join_addr a ON a.address = x.address
            JOIN join_event e USING (eid) JOIN join_time t USING (eid) WHERE e.eid NOT IN (SELECT eid FROM join_carried)
        """
    )
    events = f"SELECT eid * 64 + row_number() OVER (PARTITION BY eid ORDER BY id) AS id, hash(hk, id) AS g, t FROM ({answers})"
    sessions = "SELECT ref AS id, hash(hk, remote) AS g, ts AS t FROM join_loose WHERE hk IS NOT NULL"
    nearest(con, events, sessions, "join_near", 1, 2.0, LOOKUP)
    con.execute(
        f"""
        INSERT INTO join_weak WITH found AS (SELECT n.id // 64 AS eid, l.sid, n.dt, n.candidates FROM join_near n
            JOIN join_loose l ON l.ref = n.other),
        ranked AS (
            SELECT *, row_number() OVER (PARTITION BY sid ORDER BY abs(dt), eid) AS place,
            count(*) OVER (PARTITION BY sid) AS rivals FROM found)
        SELECT eid, sid, 'remote_time', 'dns', greatest(candidates, rivals)::INTEGER AS n, dt, {confidence('dns', 'n')} / place
            FROM ranked WHERE place <= {KEEP}
        """
    )


def _same_time(con: duckdb.DuckDBPyConnection, before: float, after: float) -> None:
    """The card's join: what started, or alerted, on the host in the window round a session that nothing better is known of."""
    sessions = (
        "SELECT ref AS id, hk AS g, ts AS t FROM join_loose WHERE hk IS NOT NULL "
        "AND sid NOT IN (SELECT sid FROM join_weak WHERE confidence >= 0.5)"
    )
    events = "SELECT e.eid AS id, e.hk AS g, t.t FROM join_event e JOIN join_time t USING (eid) WHERE e.kind IN ('process_start', 'alert')"
    nearest(con, sessions, events, "join_near", KEEP, before, after)
    con.execute(
        f"""
        INSERT INTO join_weak WITH found AS (SELECT n.other AS eid, l.sid, -n.dt AS dt, n.candidates FROM join_near n
            JOIN join_loose l ON l.ref = n.id),
        ranked AS (
            SELECT *, row_number() OVER (PARTITION BY sid ORDER BY CASE WHEN dt <= 1 THEN abs(dt) ELSE 10 * dt END, eid) AS place
            FROM found)
        SELECT eid, sid, 'host_time', 'host', candidates, dt, {confidence('host')} / place FROM ranked WHERE place <= {KEEP}
        """
    )
