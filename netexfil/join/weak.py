"""Ties that are likely, not certain: same host, same remote end, near in (corrected) time; or same host and near in time only.

They are offered for sessions that have no sure owner. Each carries how many events fit as well, and a confidence: the share of such
links that are right. That share is measured on the input itself (`shares`): cases whose owner is known are joined once more as if it were not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netexfil.join import shares
from netexfil.join.nearest import nearest
from netexfil.join.prepare import ID
from netexfil.join.shares import APART, CANDIDATES, KEEP, LEAST
from netexfil.join.tuples import DECIDED

if TYPE_CHECKING:
    import duckdb

RIGHT = 2.0  # seconds: a clock that is off by less can be taken at its word; where only one event is near, by less than the window
TRUST, WEIGHT = 0.9, 10.0  # usual share of clocks that are right, and how many clocks it weighs as much as
GOOD = 0.5  # a session with such a link is not searched by time alone
LOOKUP = 300.0  # seconds in which a looked-up address is used


@dataclass(frozen=True, slots=True)
class Class:
    """One way to tie: rows of events (id, g, t) against ends of sessions with the same g.

    `cases` says what is learned from (`join_case.kind`), and `parts` what the sessions of one population (`pop`: a host, an address) are a mixture
    of: cases with their own event (0), without it (1), without all events of their process and image (2), and what is there for a stranger (3).
    """

    name: str
    match: str
    group: str
    which: str
    events: str
    cases: str
    parts: tuple[int, ...]
    before: float
    after: float
    pop: str = "0"
    order: str = "abs(dt)"


_EVENTS = "SELECT e.eid AS id, {g} AS g, e.t FROM join_event e WHERE {where}"
_REMOTE = "e.r IS NOT NULL AND e.rp IS NOT NULL"
# Behind a translator, or nobody knows where: telemetry that tells only where to (audit's connect), of a host whose addresses nothing tells.
_FAR = "(e.far OR (e.l IS NULL AND e.hk NOT IN (SELECT hk FROM host_address)))"
_FREE = "e.eid NOT IN (SELECT eid FROM join_tuple)"

# What a look-up answered, as addresses of sessions. A 64th part of an id each: more than 63 answers of one look-up are not used.
_ANSWERS = f"""
    SELECT e.eid * 64 + x.i AS id, hash(e.hk, {ID.format("coalesce(o.form, x.address)")}) AS g, e.t FROM (
        SELECT eid, unnest(found) AS address, unnest(range(1, len(found) + 1)) AS i FROM (
            SELECT eid, list_distinct(regexp_extract_all(replace(answers, '::ffff:', ''), '[0-9a-fA-F.:]*[0-9a-fA-F]'))[:63] AS found FROM event
            WHERE kind = 'dns' AND answers IS NOT NULL)) x
    LEFT JOIN join_odd o ON o.address = x.address JOIN join_event e USING (eid)
"""


def _classes(before: float, after: float) -> tuple[Class, ...]:
    same_end, far = "hash(e.hk, e.r, e.rp)", "hash(e.r, e.rp, unnest(CASE WHEN e.proto IS NULL THEN [6, 17] ELSE [e.proto] END))"
    return (
        Class("remote", "remote_time", "hash(hk, remote, rp)", "hk IS NOT NULL",
              _EVENTS.format(g=same_end, where=f"{_REMOTE} AND e.lp IS NULL AND {_FREE}"), "kind = 'remote'", (0, 1, 2), before, after, "hk"),
        Class("sibling", "remote_time", "hash(hk, remote, rp)", "hk IS NOT NULL",
              _EVENTS.format(g=same_end, where=f"{_REMOTE} AND e.lp IS NOT NULL"), "kind = 'known'", (0, 1, 2), before, after, "hk"),
        Class("nat", "remote_time", "hash(remote, rp, proto)", "hk IS NULL AND side = 0",
              _EVENTS.format(g=far, where=f"{_REMOTE} AND {_FREE} AND {_FAR} AND e.side = 0"), "kind = 'nat'", (0, 1, 2, 3), before, after, "mine"),
        # A port that is forwarded to a host: the one who connects, and from which port, is the same on both sides.
        Class("served", "remote_time", "hash(remote, rp, proto)", "hk IS NULL AND side = 1",
              _EVENTS.format(g=far, where=f"{_REMOTE} AND {_FREE} AND {_FAR} AND e.side = 1"), "kind = 'served'", (0, 1, 2, 3), before, after,
              "mine"),
        Class("dns", "remote_time", "hash(hk, remote)", "hk IS NOT NULL", _ANSWERS, "kind = 'known'", (0,), LOOKUP, 2.0),
        Class("host", "host_time", "hk", f"hk IS NOT NULL AND sid NOT IN (SELECT sid FROM join_weak WHERE confidence >= {GOOD})",
              _EVENTS.format(g="e.hk", where="e.kind IN ('process_start', 'alert')"), "kind IN ('known', 'remote')", (0,), before, after, "hk",
              order="CASE WHEN dt <= 1 THEN abs(dt) ELSE 10 * dt END"),
    )


def weak(con: duckdb.DuckDBPyConnection, window: tuple[float, float]) -> None:
    """`join_weak` (eid, sid, match, class, place, candidates, dt, confidence). Needs the ledger (`host_address`)."""
    con.execute(
        """
        CREATE TEMP TABLE join_weak (eid BIGINT, sid BIGINT, match VARCHAR, class VARCHAR, place BIGINT, candidates INTEGER, dt DOUBLE,
            confidence DOUBLE)
        """
    )
    _loose(con)
    shares.known(con)
    trusted, alone = _trusted(con, RIGHT), _trusted(con, min(-window[0], window[1]))
    for kind in _classes(-window[0], window[1]):
        if not _any(con, kind.events) and kind.name != "sibling":
            continue
        _tie(con, kind)
        _learn(con, kind)
        con.execute(
            f"""
            INSERT INTO join_weak
            SELECT f.eid, f.sid, '{kind.match}', '{kind.name}', f.place, f.candidates, f.dt,
                s.share * CASE WHEN t.offset IS NOT NULL THEN 1 WHEN f.candidates = 1 THEN {alone} ELSE {trusted} END AS confidence
            FROM join_tied f JOIN join_level USING (pop) JOIN join_share s USING (level, place, n, far)
                JOIN (SELECT eid, "offset" FROM join_event) t USING (eid)
            WHERE confidence >= {LEAST}
            """
        )
    for table in ("join_case", "join_found", "join_tied", "join_share", "join_level", "join_told", "join_size"):
        con.execute(f"DROP TABLE IF EXISTS {table}")


def _any(con: duckdb.DuckDBPyConnection, query: str) -> bool:
    return bool(con.execute(f"SELECT 1 FROM ({query}) LIMIT 1").fetchall())


def _loose(con: duckdb.DuckDBPyConnection) -> None:
    """`join_loose` (ref, sid, side, hk, mine, remote, rp, proto, ts, midstream): sessions without a sure owner, once for each end,
    and whose address that was."""
    before = "max(until) OVER (PARTITION BY id ORDER BY since, until ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    overlap = f"SELECT 1 FROM host_address QUALIFY since < {before}"
    latest = "QUALIFY row_number() OVER (PARTITION BY sid, side ORDER BY h.since DESC) = 1" if _any(con, overlap) else ""
    con.execute(
        f"""
        CREATE TEMP TABLE join_loose AS
        WITH free AS (SELECT sid, a, b, ap, bp, proto, ts, midstream FROM join_session WHERE sid NOT IN (SELECT sid FROM join_tuple)),
        ends AS (SELECT sid, 0 AS side, a AS mine, b AS remote, bp AS rp, proto, ts, midstream FROM free
            UNION ALL SELECT sid, 1, b, a, ap, proto, ts, midstream FROM free)
        SELECT sid * 2 + side AS ref, sid, side, hk, mine, remote, rp, proto, ts, midstream
        FROM ends LEFT JOIN host_address h ON h.id = ends.mine AND ts >= h.since AND ts < h.until
        WHERE hk IS NOT NULL OR side = 0 OR remote IN (SELECT r FROM join_event WHERE far AND side = 1) {latest}
        """
    )


def _tie(con: duckdb.DuckDBPyConnection, kind: Class) -> None:
    """`join_tied` (eid, sid, pop, place, n, far, candidates, dt): the nearest events of each session end, in the cells of the table."""
    nearest(con, f"SELECT ref AS id, {kind.group} AS g, ts AS t FROM join_loose WHERE {kind.which}", kind.events, "join_near", KEEP, kind.before,
            kind.after)
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE join_tied AS
        WITH found AS (SELECT {_eid(kind)} AS eid, n.id // 2 AS sid, {kind.pop} AS pop, -n.dt AS dt, n.candidates
            FROM join_near n JOIN join_loose l ON l.ref = n.id),
        one AS (SELECT * FROM found QUALIFY row_number() OVER (PARTITION BY eid, sid ORDER BY abs(dt)) = 1)
        SELECT *, row_number() OVER (PARTITION BY sid ORDER BY {kind.order}, eid) AS place, {shares.step('candidates', CANDIDATES)} AS n,
            {shares.step('abs(dt)', APART)} AS far
        FROM one QUALIFY place <= {KEEP}
        """
    )


def _eid(kind: Class) -> str:
    return "n.other // 64" if kind.name == "dns" else "n.other"


def _learn(con: duckdb.DuckDBPyConnection, kind: Class) -> None:
    """`join_share` (level, place, n, far, share): how often a cell names the owner; `join_level` (pop, level).

    What is tied by time alone is what nothing better is known of: there the cases that something else explains do not count. But sessions of
    programs that telemetry leaves out (`_spoken`) have nothing better for another reason: those are like all cases.
    """
    import numpy as np

    if kind.cases == f"kind = '{kind.name}'":
        shares.guess(con, kind.name, kind.events)
    cases = f"SELECT ref AS id, {kind.group} AS g, ts AS t FROM join_case WHERE {kind.cases}"
    nearest(con, cases, kind.events, "join_near", KEEP + 1, kind.before, kind.after)
    shares.tried(con, _eid(kind), kind.order)
    if 3 in kind.parts:
        shares.strangers(con, cases, kind.events, kind.before, kind.after)
    tried, good = shares.cells(con)
    parts, prior = list(kind.parts), shares.usual(kind.name)
    if kind.name == "host":
        rest = shares.cells(con, "ref NOT IN (SELECT ref FROM join_told)")
        prior = shares.mixed(tried[:1], good[:1], prior, np.ones((1, 1)))[0]
        spoken = _spoken(con)
        tried, good = ((1 - spoken) * whole + spoken * part for whole, part in zip((tried, good), rest, strict=True))
    asked = f"SELECT {kind.pop} AS pop, count(*) AS n FROM join_loose WHERE {kind.which} GROUP BY 1"
    count = con.execute(f"SELECT count(*) FROM join_case WHERE {kind.cases}").fetchall()[0][0]
    shares.store(con, tried[parts], good[parts], prior, asked, count)
    if kind.name in ("remote", "sibling"):
        con.execute(f"INSERT INTO join_told SELECT DISTINCT ref FROM join_found JOIN join_level ON pop = hk JOIN join_share "
                    f"USING (level, place, n, far) WHERE hide = 1 AND share >= {GOOD}")


def _spoken(con: duckdb.DuckDBPyConnection) -> float:
    """Share of the sessions without an owner whose program tells of connections: so many are explained by others of their process, of so many
    as would be (hosts of each size by themselves) if all programs told."""
    rows = con.execute(
        f"""
        WITH cases AS (SELECT size, count(*) FILTER (ref IN (SELECT ref FROM join_told)) / count(*) AS told FROM join_case JOIN join_size USING (hk)
            WHERE kind = 'known' GROUP BY size),
        open AS (SELECT size, count(*) AS n,
            count(*) FILTER (sid IN (SELECT sid FROM join_weak WHERE class IN ('remote', 'sibling') AND confidence >= {GOOD})) AS told
            FROM join_loose JOIN join_size USING (hk) GROUP BY size)
        SELECT sum(open.told), sum(n * cases.told) FROM open JOIN cases USING (size)
        """
    ).fetchall()
    found, expected = rows[0]
    return min(1.0, float(found) / float(expected)) if expected else 1.0


def _trusted(con: duckdb.DuckDBPyConnection, room: float) -> float:
    """How far an event whose clock nothing decides can be taken at its word: the share of clocks that are right within `room` seconds, of those
    that are decided."""
    rows = con.execute(f"SELECT count(*) FILTER (abs(\"offset\") <= {room}), count(*) FROM join_offset WHERE clock IN ({DECIDED})").fetchall()
    right, decided = rows[0]
    return float((right + TRUST * WEIGHT) / (decided + WEIGHT))


