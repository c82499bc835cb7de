"""Ties that are likely, not certain: same host, same remote end, near in (corrected) time; or same host and near in time only.

They are offered for sessions that have no sure owner. Each carries how many events fit as well, and a confidence: the share of such
links that are right. That share is measured on the input itself: the sessions whose owner is certain are joined once more as if it were
not known (their own event hidden where the real case has none), and each (class, place, candidates, seconds apart) gets the share that
came out right, blended with `USUAL` while there are few of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netexfil.join.nearest import nearest

if TYPE_CHECKING:
    import duckdb

KEEP = 3  # links of one class that a session gets
LEARN = 200_000  # sessions with a known owner that are learned from
PRIOR = 10.0  # measured cases that weigh as much as the usual share
LEAST = 0.02  # below this a link says nothing and is dropped
GOOD = 0.5  # a session with such a link is not searched by time alone
LOOKUP = 300.0  # seconds in which a looked-up address is used

# Steps of candidates and of seconds apart (up to); a cell of the table is one of each.
CANDIDATES = (1, 2, 3, 5, 10, 30)
APART = (0.02, 0.1, 0.5, 2.0, 10.0, 60.0)

# class -> share right at (one candidate and within 10 s, else one candidate, up to three, more); measured on generated networks.
USUAL = {
    "remote": (0.97, 0.9, 0.85, 0.8),
    "sibling": (0.95, 0.8, 0.8, 0.75),
    "nat": (0.95, 0.4, 0.6, 0.5),
    "dns": (0.8, 0.5, 0.4, 0.3),
    "host": (0.75, 0.35, 0.25, 0.08),
}


@dataclass(frozen=True, slots=True)
class Class:
    """One way to tie: rows of events (id, g, t) against ends of sessions with the same g.

    `trial` are the events that stand for `events` when learning; `hidden` leaves the session's own event out there.
    """

    name: str
    match: str
    group: str
    which: str
    events: str
    trial: str
    hidden: bool
    before: float
    after: float
    place: str = "abs(dt)"


_EVENTS = "SELECT e.eid AS id, {g} AS g, t.t FROM join_event e JOIN join_time t USING (eid) WHERE {where}"
_REMOTE = "e.r IS NOT NULL AND e.rp IS NOT NULL AND e.lp IS {}"
_FREE = "e.eid NOT IN (SELECT eid FROM join_tuple)"
_FAR = "e.l NOT IN (SELECT a FROM join_session WHERE a IS NOT NULL UNION SELECT b FROM join_session WHERE b IS NOT NULL)"

# What a look-up answered, as addresses of sessions. A 64th part of an id each: more than 63 answers of one look-up are not used.
_ANSWERS = """
    SELECT e.eid * 64 + x.i AS id, hash(e.hk, a.id) AS g, t.t FROM (
        SELECT eid, unnest(found) AS address, unnest(range(1, len(found) + 1)) AS i FROM (
            SELECT eid, list_distinct(regexp_extract_all(answers, '[0-9a-fA-F.:]*[0-9a-fA-F]'))[:63] AS found FROM event
            WHERE kind = 'dns' AND answers IS NOT NULL)) x
    JOIN join_addr a ON a.address = x.address JOIN join_event e USING (eid) JOIN join_time t USING (eid)
"""


def _classes(before: float, after: float) -> tuple[Class, ...]:
    same_end, host = "hash(e.hk, e.r, e.rp)", "e.kind IN ('process_start', 'alert')"
    told = _EVENTS.format(g=same_end, where=_REMOTE.format("NOT NULL"))
    return (
        Class("remote", "remote_time", "hash(hk, remote, rp)", "hk IS NOT NULL", _EVENTS.format(g=same_end, where=f"{_REMOTE.format('NULL')} AND {_FREE}"),
              told, False, before, after),
        Class("sibling", "remote_time", "hash(hk, remote, rp)", "hk IS NOT NULL", told, told, True, before, after),
        Class("nat", "remote_time", "hash(remote, rp, proto)", "hk IS NULL AND side = 0",
              _EVENTS.format(g="hash(e.r, e.rp, e.proto)", where=f"e.key IS NOT NULL AND {_FREE} AND {_FAR}"),
              _EVENTS.format(g="hash(e.r, e.rp, e.proto)", where="e.key IS NOT NULL"), False, before, after),
        Class("dns", "remote_time", "hash(hk, remote)", "hk IS NOT NULL", _ANSWERS, _ANSWERS, False, LOOKUP, 2.0),
        Class("host", "host_time", "hk", f"hk IS NOT NULL AND sid NOT IN (SELECT sid FROM {{good}} WHERE confidence >= {GOOD})",
              _EVENTS.format(g="e.hk", where=host), _EVENTS.format(g="e.hk", where=host), False, before, after,
              "CASE WHEN dt <= 1 THEN abs(dt) ELSE 10 * dt END"),
    )


def weak(con: duckdb.DuckDBPyConnection, window: tuple[float, float]) -> None:
    """`join_weak` (eid, sid, match, class, place, candidates, dt, confidence). Needs the ledger (`host_address`)."""
    con.execute(
        """
        CREATE TEMP TABLE join_weak (eid BIGINT, sid BIGINT, match VARCHAR, class VARCHAR, place BIGINT, candidates INTEGER, dt DOUBLE,
            confidence DOUBLE)
        """
    )
    con.execute("CREATE TEMP TABLE join_trial AS FROM join_weak")
    _loose(con)
    _known(con)
    for kind in _classes(-window[0], window[1]):
        if not _any(con, kind.events):
            continue
        _try(con, kind, kind.trial, "join_known", "join_trial", kind.hidden)
        _learn(con, kind)
        con.execute(f"INSERT INTO join_trial {_rated(kind)}")
        _try(con, kind, kind.events, "join_loose", "join_weak", False)
        con.execute(f"INSERT INTO join_weak {_rated(kind)} AND confidence >= {LEAST}")
    for table in ("join_known", "join_trial", "join_found", "join_share"):
        con.execute(f"DROP TABLE IF EXISTS {table}")


def _any(con: duckdb.DuckDBPyConnection, query: str) -> bool:
    return bool(con.execute(f"SELECT 1 FROM ({query}) LIMIT 1").fetchall())


def _loose(con: duckdb.DuckDBPyConnection) -> None:
    """`join_loose` (ref, sid, side, hk, remote, rp, proto, ts): sessions without a sure owner, once for each end, and whose address that was."""
    con.execute(
        """
        CREATE TEMP TABLE join_loose AS
        WITH free AS (SELECT sid, a, b, ap, bp, proto, ts FROM join_session WHERE sid NOT IN (SELECT sid FROM join_tuple)),
        ends AS (SELECT sid, 0 AS side, a AS mine, b AS remote, bp AS rp, proto, ts FROM free
            UNION ALL SELECT sid, 1, b, a, ap, proto, ts FROM free)
        SELECT sid * 2 + side AS ref, sid, side, hk, remote, rp, proto, ts
        FROM ends LEFT JOIN host_address h ON h.id = ends.mine AND ts >= h.since AND ts < h.until
        QUALIFY row_number() OVER (PARTITION BY sid, side ORDER BY h.since DESC) = 1
        """
    )


def _known(con: duckdb.DuckDBPyConnection) -> None:
    """`join_known`: the same of sessions with a certain owner, some hosts entirely, so that their traffic is as dense as it is."""
    con.execute(
        f"""
        CREATE TEMP TABLE join_known AS
        WITH owned AS (SELECT e.hk, count(*) AS n FROM join_tuple t JOIN join_event e USING (eid) JOIN join_proc p USING (eid) GROUP BY e.hk),
        chosen AS (SELECT hk FROM owned QUALIFY sum(n) OVER (ORDER BY hash(hk) ROWS UNBOUNDED PRECEDING) - n < {LEARN})
        SELECT s.sid * 2 + (s.a <> e.l)::INTEGER AS ref, s.sid, 0 AS side, e.hk, e.r AS remote, e.rp, s.proto, s.ts
        FROM join_tuple t JOIN join_event e USING (eid) JOIN join_session s USING (sid)
        WHERE e.hk IN (SELECT hk FROM chosen) AND e.l IS NOT NULL AND s.sid IN (SELECT sid FROM join_owner)
        QUALIFY row_number() OVER (PARTITION BY s.sid, e.hk ORDER BY e.eid) = 1
        """
    )
    con.execute("DELETE FROM join_known WHERE ref IN (SELECT ref FROM join_known GROUP BY ref HAVING count(*) > 1)")


def _try(con: duckdb.DuckDBPyConnection, kind: Class, events: str, ends: str, good: str, hidden: bool) -> None:
    """`join_found` (eid, sid, place, n, far, candidates, dt): the nearest events of each session end, in the cells of the table."""
    # Where nothing is hidden, learning joins all hosts' sessions as if they were loose; those who own nothing have no truth.
    which = kind.which.format(good=good).replace("hk IS NULL AND side = 0", "hk IS NULL AND side = 0" if ends == "join_loose" else "true")
    nearest(con, f"SELECT ref AS id, {kind.group} AS g, ts AS t FROM {ends} WHERE {which}", events, "join_near", KEEP + hidden, kind.before, kind.after)
    eid = "n.other // 64" if kind.name == "dns" else "n.other"
    own = "AND NOT EXISTS (SELECT 1 FROM join_tuple x WHERE x.eid = n.other AND x.sid = n.id // 2)" if hidden else ""
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE join_found AS
        WITH found AS (SELECT {eid} AS eid, n.id // 2 AS sid, -n.dt AS dt, n.candidates - {int(hidden)} AS candidates FROM join_near n WHERE true {own}),
        one AS (FROM found QUALIFY row_number() OVER (PARTITION BY eid, sid ORDER BY abs(dt)) = 1)
        SELECT *, row_number() OVER (PARTITION BY sid ORDER BY {kind.place}, eid) AS place, {_step('candidates', CANDIDATES)} AS n,
            {_step('abs(dt)', APART)} AS far
        FROM one QUALIFY place <= {KEEP}
        """
    )


def _step(value: str, steps: tuple[float, ...]) -> str:
    return "CASE " + " ".join(f"WHEN {value} <= {step} THEN {i}" for i, step in enumerate(steps)) + f" ELSE {len(steps)} END"


def _learn(con: duckdb.DuckDBPyConnection, kind: Class) -> None:
    """`join_share` (place, n, far, tried, good): how often a cell named the owner."""
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE join_share AS
        SELECT f.place, f.n, f.far, count(*) AS tried, count(*) FILTER (f.sid IN (SELECT o.sid FROM join_owner o WHERE o.pk = p.pk)) AS good
        FROM join_found f JOIN join_proc p USING (eid) GROUP BY ALL
        """
    )


def _rated(kind: Class) -> str:
    """SQL: `join_found` as rows of `join_weak`, each with its confidence; a filter may follow."""
    close, alone, three, more = USUAL[kind.name]
    usual = f"CASE WHEN f.n = 0 AND f.far <= 4 THEN {close} WHEN f.n = 0 THEN {alone} WHEN f.n <= 2 THEN {three} ELSE {more} END / f.place"
    return f"""
        SELECT f.eid, f.sid, '{kind.match}', '{kind.name}', f.place, f.candidates, f.dt,
            (coalesce(s.good, 0) + {PRIOR} * {usual}) / (coalesce(s.tried, 0) + {PRIOR}) AS confidence
        FROM join_found f LEFT JOIN join_share s USING (place, n, far) WHERE true"""
