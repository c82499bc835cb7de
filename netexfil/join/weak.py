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
from netexfil.join.remote import FAR

if TYPE_CHECKING:
    import duckdb

KEEP = 3  # links of one class that a session gets
LEARN = 120_000  # sessions with a known owner that are learned from
COARSE = 20  # times as many are drawn first, and of these the sample
PRIOR = 10.0  # measured cases that weigh as much as the usual share
RIGHT = 2.0  # seconds: a clock that is off by less can be taken at its word
TRUST = 0.9  # usual share of clocks that are right
LEAST = 0.02  # below this a link says nothing and is dropped
GOOD = 0.5  # a session with such a link is not searched by time alone
LOOKUP = 300.0  # seconds in which a looked-up address is used

# Steps of candidates and of seconds apart (up to); a cell of the table is one of each.
CANDIDATES = (1, 2, 3, 5, 10, 30, 100, 300, 1000, 3000)
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

    `trial` are the events that stand for `events` when learning. There a session's own event is hidden always (`hidden` 1), never (0), or as
    often as sessions of the input go untold (None).
    """

    name: str
    match: str
    group: str
    which: str
    events: str
    trial: str
    hidden: float | None
    before: float
    after: float
    place: str = "abs(dt)"


_EVENTS = "SELECT e.eid AS id, {g} AS g, t.t FROM join_event e JOIN join_time t USING (eid) WHERE {where}"
_REMOTE = "e.r IS NOT NULL AND e.rp IS NOT NULL AND e.lp IS {}"
_FREE = "e.eid NOT IN (SELECT eid FROM join_tuple)"

# What a look-up answered, as addresses of sessions. A 64th part of an id each: more than 63 answers of one look-up are not used.
_ANSWERS = """
    SELECT e.eid * 64 + x.i AS id, hash(e.hk, a.id) AS g, t.t FROM (
        SELECT eid, unnest(found) AS address, unnest(range(1, len(found) + 1)) AS i FROM (
            SELECT eid, list_distinct(regexp_extract_all(replace(answers, '::ffff:', ''), '[0-9a-fA-F.:]*[0-9a-fA-F]'))[:63] AS found FROM event
            WHERE kind = 'dns' AND answers IS NOT NULL)) x
    JOIN join_addr a ON a.address = x.address JOIN join_event e USING (eid) JOIN join_time t USING (eid)
"""


def _classes(before: float, after: float) -> tuple[Class, ...]:
    same_end, host = "hash(e.hk, e.r, e.rp)", "e.kind IN ('process_start', 'alert')"
    told = _EVENTS.format(g=same_end, where=_REMOTE.format("NOT NULL"))
    return (
        Class("remote", "remote_time", "hash(hk, remote, rp)", "hk IS NOT NULL",
              _EVENTS.format(g=same_end, where=f"{_REMOTE.format('NULL')} AND {_FREE}"), told, None, before, after),
        Class("sibling", "remote_time", "hash(hk, remote, rp)", "hk IS NOT NULL", told, told, 1.0, before, after),
        Class("nat", "remote_time", "hash(remote, rp, proto)", "hk IS NULL AND side = 0",
              _EVENTS.format(g="hash(e.r, e.rp, e.proto)", where=f"e.key IS NOT NULL AND {_FREE} AND {FAR}"),
              _EVENTS.format(g="hash(e.r, e.rp, e.proto)", where="e.key IS NOT NULL AND e.hk IN (SELECT hk FROM join_peers)"), None, before, after),
        Class("dns", "remote_time", "hash(hk, remote)", "hk IS NOT NULL", _ANSWERS, _ANSWERS, 0.0, LOOKUP, 2.0),
        Class("host", "host_time", "hk", f"hk IS NOT NULL AND sid NOT IN (SELECT sid FROM join_weak WHERE confidence >= {GOOD})",
              _EVENTS.format(g="e.hk", where=host), _EVENTS.format(g="e.hk", where=host), 0.0, before, after,
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
    _loose(con)
    _known(con)
    untold, trusted = _untold(con), _trusted(con)
    _peers(con)
    for kind in _classes(-window[0], window[1]):
        if not _any(con, kind.events) and kind.name != "sibling":
            continue
        _try(con, kind, kind.events, "join_loose", kind.which, 0.0, "join_tied")
        _learn(con, kind, untold if kind.hidden is None else kind.hidden)
        con.execute(
            f"""
            INSERT INTO join_weak
            SELECT f.eid, f.sid, '{kind.match}', '{kind.name}', f.place, f.candidates, f.dt,
                s.share * CASE WHEN t.offset IS NULL THEN {trusted} ELSE 1 END AS confidence
            FROM join_tied f JOIN join_share s USING (place, n, far) JOIN join_time t USING (eid) WHERE confidence >= {LEAST}
            """
        )
    for table in ("join_known", "join_found", "join_tied", "join_share", "join_told", "join_peers", "join_size"):
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
    """`join_known`: the same columns (and pid, base of the owner) of sessions with a certain owner, a sample of about `LEARN`.

    Busy hosts teach other things than quiet ones, so hosts are sorted into classes of size (`join_size`: hk, size, the power of two of the
    connections told of), each with its fair share of the sample; how much it counts is for the class of links to say.
    """
    con.execute(
        """
        CREATE TEMP TABLE join_size AS
        SELECT hk, floor(log2(count(*)))::INTEGER AS size FROM join_event WHERE r IS NOT NULL AND hk IS NOT NULL GROUP BY hk
        """
    )
    con.execute(
        f"""
        CREATE TEMP TABLE join_known AS
        WITH coarse AS (SELECT greatest(1, count(*) // {LEARN * COARSE}) AS n FROM join_tuple),
        owned AS (SELECT t.eid, t.sid, s.h, s.a, s.proto, s.ts FROM coarse, join_tuple t
            JOIN (SELECT sid, h, a, proto, ts FROM join_session) s USING (sid) WHERE s.h % coarse.n = 0),
        sized AS (SELECT o.*, z.size, e.hk, e.l, e.r, e.rp, e.pid, e.base FROM owned o JOIN join_event e USING (eid) JOIN join_size z USING (hk)
            WHERE e.l IS NOT NULL AND e.pid IS NOT NULL),
        fair AS (SELECT size, greatest(1, count(*) * count(*) OVER () / {LEARN}) AS every FROM sized GROUP BY size)
        SELECT sid * 2 + (a <> l)::INTEGER AS ref, sid, 0 AS side, hk, r AS remote, rp, proto, ts, pid, base, size
        FROM sized JOIN fair USING (size) WHERE (h % 1000003) * every < 1000003
        QUALIFY row_number() OVER (PARTITION BY sid, hk ORDER BY eid) = 1
        """
    )
    con.execute("DELETE FROM join_known WHERE ref IN (SELECT ref FROM join_known GROUP BY ref HAVING count(*) > 1)")


def _peers(con: duckdb.DuckDBPyConnection) -> None:
    """`join_peers` (hk): for each host behind a translator one of its size whose sessions are known: together they are about as busy."""
    con.execute(
        f"""
        CREATE TEMP TABLE join_peers AS
        WITH hidden AS (SELECT size, count(*) AS n FROM join_size WHERE hk IN (SELECT e.hk FROM join_event e
            WHERE e.key IS NOT NULL AND {_FREE} AND {FAR}) GROUP BY size)
        SELECT hk FROM (SELECT DISTINCT hk, size FROM join_known) JOIN (SELECT hk, min(name) AS name FROM join_host GROUP BY hk) USING (hk)
        LEFT JOIN hidden USING (size) QUALIFY row_number() OVER (PARTITION BY size ORDER BY hash(name)) <= coalesce(n, 0)
        """
    )


def _untold(con: duckdb.DuckDBPyConnection) -> float:
    """The share of sessions that go untold on hosts whose telemetry tells of connections."""
    rows = con.execute(
        """
        WITH told AS (SELECT DISTINCT hk FROM join_known)
        SELECT (SELECT count(*) FROM join_loose WHERE hk IN (SELECT hk FROM told)), (SELECT count(DISTINCT sid) FROM join_tuple)
        """
    ).fetchall()
    loose, known = rows[0]
    return float(loose / (loose + known)) if known else 0.0


def _trusted(con: duckdb.DuckDBPyConnection) -> float:
    """How far an event whose clock nothing decides can be taken at its word: the share of clocks that are right, of those that are decided."""
    rows = con.execute(f"SELECT count(*) FILTER (abs(\"offset\") <= {RIGHT}), count(*) FROM join_offset").fetchall()
    right, decided = rows[0]
    return float((right + TRUST * PRIOR) / (decided + PRIOR))


def _try(con: duckdb.DuckDBPyConnection, kind: Class, events: str, ends: str, which: str, hidden: float, out: str = "join_found") -> None:
    """Table `out` (eid, sid, place, n, far, candidates, dt): the nearest events of each session end, in the cells of the table."""
    sessions = f"SELECT ref AS id, {kind.group} AS g, ts AS t FROM {ends} WHERE {which}"
    nearest(con, sessions, events, "join_near", KEEP + (hidden > 0), kind.before, kind.after)
    eid = "n.other // 64" if kind.name == "dns" else "n.other"
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {out} AS
        WITH found AS (SELECT {eid} AS eid, n.id // 2 AS sid, -n.dt AS dt, n.candidates, s.h % 1000 < {1000 * hidden} AS hide
            FROM join_near n JOIN (SELECT sid, h FROM join_session) s ON s.sid = n.id // 2),
        one AS (SELECT * REPLACE (candidates - hide::INTEGER AS candidates) FROM found
            WHERE NOT hide OR NOT EXISTS (SELECT 1 FROM join_tuple x WHERE x.eid = found.eid AND x.sid = found.sid)
            QUALIFY row_number() OVER (PARTITION BY eid, sid ORDER BY abs(dt)) = 1)
        SELECT *, row_number() OVER (PARTITION BY sid ORDER BY {kind.place}, eid) AS place, {_step('candidates', CANDIDATES)} AS n,
            {_step('abs(dt)', APART)} AS far
        FROM one QUALIFY place <= {KEEP}
        """
    )


def _step(value: str, steps: tuple[float, ...]) -> str:
    return "CASE " + " ".join(f"WHEN {value} <= {step} THEN {i}" for i, step in enumerate(steps)) + f" ELSE {len(steps)} END"


def _learn(con: duckdb.DuckDBPyConnection, kind: Class, hidden: float) -> None:
    """`join_share` (place, n, far, share): how often a cell names the owner, from all sessions whose owner is known.

    What is tied by time alone is what nothing better is known of: there those that a sibling explains count less.
    """
    close, alone, three, more = USUAL[kind.name]
    usual = f"CASE WHEN n = 0 AND far <= 4 THEN {close} WHEN n = 0 THEN {alone} WHEN n <= 2 THEN {three} ELSE {more} END / place"
    cells = f"SELECT * FROM range(1, {KEEP + 1}) p(place), range(0, {len(CANDIDATES) + 1}) c(n), range(0, {len(APART) + 1}) a(far)"
    con.execute(f"CREATE OR REPLACE TEMP TABLE join_share AS SELECT place, n, far, {usual} AS share FROM ({cells})")
    everyone = "hk IN (SELECT hk FROM join_peers)" if kind.name == "nat" else "true"
    for which in (everyone, "sid NOT IN (SELECT sid FROM join_told)")[: 2 if kind.name == "host" else 1]:
        _try(con, kind, kind.trial, "join_known", which, hidden)
        con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE join_share AS SELECT * EXCLUDE (usual) FROM (
            -- Hosts of each size count as often as they do among the ties that are to be judged.
            WITH sized AS (SELECT eid, size FROM join_event JOIN join_size USING (hk)),
            wanted AS (SELECT size, count(*) AS n FROM join_tied JOIN sized USING (eid) WHERE place = 1 GROUP BY size),
            had AS (SELECT size, count(*) AS n FROM join_found JOIN sized USING (eid) WHERE place = 1 GROUP BY size),
            ratio AS (SELECT size, w.n / h.n * sum(h.n) OVER () / sum(w.n) OVER () AS counts FROM wanted w JOIN had h USING (size)),
            tried AS (
                -- Within a window of minutes one host's pid and image name one process.
                SELECT f.place, f.n, f.far, sum(counts) AS tried, sum(counts) FILTER (k.hk = e.hk AND k.pid = e.pid AND k.base = e.base) AS good
                FROM join_found f JOIN join_known k USING (sid) JOIN ratio USING (size) JOIN join_event e USING (eid)
                WHERE e.pid IS NOT NULL GROUP BY ALL)
            -- First all distances of a number of candidates together, then each by itself.
            SELECT s.place, s.n, s.far, (coalesce(u.good, 0) + {PRIOR} * s.share) / (coalesce(u.tried, 0) + {PRIOR}) AS usual,
                (coalesce(t.good, 0) + {PRIOR} * usual) / (coalesce(t.tried, 0) + {PRIOR}) AS share
            FROM join_share s LEFT JOIN tried t USING (place, n, far)
            LEFT JOIN (SELECT place, n, sum(good) AS good, sum(tried) AS tried FROM tried GROUP BY ALL) u USING (place, n))
            """
        )
    if kind.name == "sibling":
        con.execute(
            f"CREATE TEMP TABLE join_told AS SELECT DISTINCT sid FROM join_found JOIN join_share USING (place, n, far) WHERE share >= {GOOD}"
        )
