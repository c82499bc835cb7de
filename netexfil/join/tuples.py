"""Sure ties of the first kind: an event and a session with the same five-tuple (or community id) at the same corrected time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netexfil.join import clocks, lookups
from netexfil.join.nearest import nearest

if TYPE_CHECKING:
    import duckdb

REUSED = 16  # sessions on one tuple above which pairs are not all looked at, only the neighbours in time
SAMPLE = 20_000  # pairs per clock that its offset is estimated from
FINER = 10.0  # seconds within which another event's clock of the same field is believed before the record's
# A clock that tells of connections when they begin: of so many, one or at most this share are later. What it tells of later is another use of
# the port.
HABIT, LATE = 60, 0.02
WORSE = 0.5  # seconds by which the time of a second process on one session may fit worse than the first's
SAME = 0.05  # seconds within which two hosts' words of one image are one machine's under two names
APART = 240.0  # seconds: events of one session nearer than this are one witness
# How a tie is named, what it is looked up by (a hash), and what must be the same then. Ports are in the hash and nowhere else: with the same two
# addresses they would have to meet in 63 bits.
KEYS = (
    ("five_tuple", "key", "pair"),
    ("community_id", "CASE WHEN community_id IS NOT NULL THEN hash(community_id) END", "community_id"),
)
EVERYBODY = r"^(22[4-9]|23[0-9])\.|^ff|\.255$"  # multicast and broadcast: processes share the port
# Clocks that are decided. One known only to be no further behind than a session that was joined in the middle shows is taken at its word.
DECIDED = "SELECT clock FROM join_offset WHERE how <> 'least' OR \"offset\" > 0"
# Clocks of events that tell when a connection ended.
ENDS = "SELECT clock FROM join_clock WHERE (dialect, event_id) IN (('elastic', 'disconnect_received'), ('ocsf', '2'))"
# Clocks of events that tell which connections are open whenever somebody looks: the first moment after a connection's start is all they show.
POLLS = "SELECT clock FROM join_clock WHERE dialect = 'osquery-sockets' AND event_id = ''"
# Kinds of record whose own time a product writes down with one delay: of so many events (few: only a usual delay, or a zone's whole hours) so near
# each other. What was only looked up or concluded later (processes older than the sensor, alerts) says nothing of the record's clock.
CONSTANT, DELAY = 3, 120.0
WAIT = 300.0  # seconds an event may come before a session whose start was not seen
WATCHED = 30.0  # seconds: more than this before it, and with other sessions seen to begin this near on both sides, the start would have been seen


def match(con: duckdb.DuckDBPyConnection) -> None:
    """Estimate the clocks (`join_offset`, `join_seg`), then fill `join_tuple` (eid, sid, via, resid, offset, accepted, support)."""
    _pairs(con)
    _estimate(con)
    lookups.decide(con)
    _polled(con)
    _assign(con)


def _pairs(con: duckdb.DuckDBPyConnection) -> None:
    """`join_pair`: every event with every session of its tuple; tuples in constant use are left out (`join_crowd`: via, key)."""
    con.execute(
        "CREATE TEMP TABLE join_pair (eid BIGINT, sid BIGINT, via VARCHAR, clock INTEGER, ts DOUBLE, delta DOUBLE, dur DOUBLE, "
        "tcp BOOLEAN, midstream BOOLEAN)"
    )
    con.execute("CREATE TEMP TABLE join_crowd (via VARCHAR, key UBIGINT)")
    for via, key, same in KEYS:
        if not con.execute(f"SELECT 1 FROM join_event WHERE {key} IS NOT NULL LIMIT 1").fetchall():
            continue
        con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE join_asked AS SELECT eid, {key} AS key, {same} AS same, clock, ts FROM join_event
                WHERE {key} IS NOT NULL AND ts IS NOT NULL
            """
        )
        con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE join_there AS SELECT sid, {key} AS key, {same} AS same, ts, dur, proto = 6 AS tcp, midstream
                FROM join_session WHERE {key} IN (SELECT key FROM join_asked)
            """
        )
        con.execute(f"INSERT INTO join_crowd SELECT '{via}', key FROM join_there GROUP BY key HAVING count(*) > {REUSED}")
        con.execute(
            f"""
            INSERT INTO join_pair SELECT eid, sid, '{via}', clock, a.ts, a.ts - t.ts - CASE WHEN ends THEN dur ELSE 0 END,
                CASE WHEN ends THEN 0 ELSE dur END, tcp, midstream AND NOT ends
                FROM (SELECT *, clock IN ({ENDS}) AS ends FROM join_asked) a JOIN join_there t ON a.key = t.key AND a.same = t.same
                WHERE a.key NOT IN (SELECT key FROM join_crowd WHERE via = '{via}') AND abs(a.ts - t.ts) < {clocks.REACH}
            """
        )


def _estimate(con: duckdb.DuckDBPyConnection) -> None:
    """Offsets from the pairs: `join_offset` and, where a clock drifts, `join_seg`."""
    rows = con.execute(
        # A session counts once per clock and neighbourhood (its first event there), however often it is told of.
        f"""
        WITH spread AS (SELECT eid FROM join_pair GROUP BY eid HAVING max(delta) - min(delta) > 5),
        one AS MATERIALIZED (
            SELECT clock, sid, arg_min(ts, delta) AS ts, min(delta) AS delta, any_value(tcp) AS tcp, any_value(midstream) AS midstream,
                bool_and(eid NOT IN (SELECT eid FROM spread)) AS single FROM join_pair GROUP BY clock, sid, floor(delta / {APART})),
        many AS (SELECT clock FROM one GROUP BY clock HAVING count(*) > {SAMPLE}),
        kept AS (SELECT * FROM one WHERE clock NOT IN (SELECT clock FROM many)
            UNION ALL SELECT * FROM one WHERE clock IN (SELECT clock FROM many)
            QUALIFY row_number() OVER (PARTITION BY clock ORDER BY hash(ts, delta)) <= {SAMPLE})
        SELECT clock::BIGINT AS clock, ts, delta, tcp, NOT midstream AS clean, single FROM kept
        """
    ).fetchnumpy()
    found, segments = clocks.estimate(*columns(rows))
    store(con, found, segments, "CREATE TEMP TABLE {} AS")


def columns(rows: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any, Any]:
    """What `clocks.estimate` asks for, in its order."""
    import numpy as np

    clock, time, delta, tcp, clean, single = (np.asarray(rows[name]) for name in ("clock", "ts", "delta", "tcp", "clean", "single"))
    return clock, time, delta, tcp, clean, single


def store(con: duckdb.DuckDBPyConnection, found: clocks.Offsets, segments: clocks.Segments, into: str) -> None:
    how = found.how.astype(object) if len(found.how) else found.offset  # an empty column of texts has no type
    con.register("incoming", {
        "clock": found.clock, "offset": found.offset, "support": found.support, "width": found.width, "how": how,
        "extra": found.extra, "tcp_lo": found.lo[0], "udp_lo": found.lo[1], "tcp_hi": found.hi[0], "udp_hi": found.hi[1],
    })
    columns = "* REPLACE (how::VARCHAR AS how, CASE WHEN isnan(extra) THEN NULL ELSE extra END AS extra)"
    con.execute(f"{into.format('join_offset')} SELECT {columns} FROM incoming")
    con.unregister("incoming")
    con.register("incoming", {name: getattr(segments, name) for name in ("clock", "start", "origin", "base", "slope")})
    con.execute(f"{into.format('join_seg')} SELECT * FROM incoming")
    con.unregister("incoming")


def _polled(con: duckdb.DuckDBPyConnection) -> None:
    """Clocks of polls: the shortest delay that agrees with the others is the nearest to none."""
    con.execute(
        f"""
        UPDATE join_offset SET "offset" = low, how = 'polled', tcp_hi = tcp_hi + "offset" - low, udp_hi = udp_hi + "offset" - low
            FROM (SELECT clock AS polled, min(delta) AS low FROM join_pair JOIN join_offset o USING (clock)
                WHERE clock IN ({POLLS}) AND abs(delta - o.offset) <= {clocks.JITTER} GROUP BY clock) WHERE clock = polled
        """
    )


# Where the event falls in the session: at its start, inside it, or beside it (a clock that jitters).
_PLACE = "CASE WHEN abs(resid) <= 1 THEN 0 WHEN resid BETWEEN 0 AND dur THEN 1 ELSE 2 END"


def _drift(con: duckdb.DuckDBPyConnection) -> None:
    """Add to `join_drift` (eid, clock, drift) what a drifting clock adds to its offset at each of its events; once for each clock."""
    con.execute("CREATE TEMP TABLE IF NOT EXISTS join_drift (eid BIGINT, clock INTEGER, drift DOUBLE)")
    con.execute(
        """
        INSERT INTO join_drift WITH fresh AS (SELECT clock FROM join_seg WHERE clock NOT IN (SELECT clock FROM join_drift))
        SELECT e.eid, e.clock, s.base + s.slope * (e.ts - s.origin) AS drift
        FROM (SELECT eid, clock, ts FROM join_event WHERE clock IN (SELECT clock FROM fresh)) e
        ASOF JOIN join_seg s ON e.clock = s.clock AND e.ts >= s.start
        """
    )


def _assign(con: duckdb.DuckDBPyConnection) -> None:
    """`join_tuple`: for each event its one session, where the corrected times fit; then sessions refuse the worse of two processes."""
    _drift(con)
    con.execute(
        f"""
        CREATE TEMP TABLE join_fit AS
        WITH rest AS (
            SELECT p.eid, p.sid, p.via, p.clock, p.dur, p.tcp, p.midstream, o.support, o.offset + coalesce(d.drift, 0) AS base,
            p.delta - base AS plain, CASE WHEN abs(plain - o.extra) < abs(plain) THEN o.extra ELSE 0 END AS jump, o.tcp_lo,
            o.tcp_hi, o.udp_lo, o.udp_hi FROM join_pair p JOIN join_offset o USING (clock) LEFT JOIN join_drift d USING (eid)),
        fit AS (SELECT *, CASE WHEN clock IN ({DECIDED}) THEN base + jump END AS shift, plain - jump AS resid,
            tcp AND NOT midstream AS begun FROM rest
            WHERE resid >= -CASE WHEN midstream THEN {WAIT} WHEN tcp THEN tcp_lo ELSE udp_lo END
            AND resid <= dur + CASE WHEN tcp THEN tcp_hi ELSE udp_hi END),
        habit AS (SELECT clock, count(*) FILTER (resid > tcp_hi) AS late, count(*) AS seen FROM fit WHERE begun GROUP BY clock),
        held AS MATERIALIZED (SELECT eid, sid, via, dur, support, midstream, shift AS offset, resid
            FROM fit LEFT JOIN habit USING (clock) WHERE NOT begun OR resid <= tcp_hi OR seen < {HABIT} OR late > greatest(1, {LATE} * seen)),
        several AS (SELECT eid FROM held GROUP BY eid HAVING count(*) > 1)
        SELECT *, 1 AS candidates FROM held WHERE eid NOT IN (SELECT eid FROM several)
        UNION ALL SELECT *, count(*) OVER (PARTITION BY eid) FROM held WHERE eid IN (SELECT eid FROM several)
            QUALIFY row_number() OVER (PARTITION BY eid ORDER BY {_PLACE}, abs(resid), sid) = 1
        """
    )
    _crowded(con)
    _watched(con)
    # Two processes of one host cannot own one session: the one whose time fits worse saw an earlier use of the port.
    con.execute(
        f"""
        CREATE TEMP TABLE join_tuple AS
        WITH often AS (SELECT sid FROM join_fit GROUP BY sid HAVING count(*) > 1),
        told AS (SELECT f.*, e.hk, CASE WHEN e.pid < 4194304 THEN e.pid END AS pid
            FROM (SELECT * FROM join_fit WHERE sid IN (SELECT sid FROM often)) f JOIN join_event e USING (eid)),
        best AS (
            SELECT sid, hk, min(abs(resid)) AS least, arg_min(pid, abs(resid)) AS pid, count(DISTINCT pid) AS owners
            FROM told GROUP BY sid, hk),
        shared AS (
            SELECT sid FROM join_session WHERE b IN (SELECT id FROM join_addr WHERE regexp_matches(form, '{EVERYBODY}')))
        SELECT eid, sid, via, resid, "offset", support, midstream, candidates::INTEGER AS candidates FROM join_fit
        WHERE sid NOT IN (SELECT sid FROM often)
        UNION ALL SELECT t.eid, t.sid, t.via, t.resid, t.offset, t.support, t.midstream, t.candidates
        FROM told t JOIN best b USING (sid, hk)
        WHERE b.owners < 2 OR t.pid IS NOT DISTINCT FROM b.pid OR abs(t.resid) <= b.least + {WORSE} OR t.sid IN (SELECT sid FROM shared)
        """
    )
    _contested(con)
    # What ended is as far from its session's start as that lasted.
    con.execute(
        f"""
        UPDATE join_tuple SET resid = resid + s.dur FROM join_event e, join_session s
            WHERE e.eid = join_tuple.eid AND s.sid = join_tuple.sid AND e.clock IN ({ENDS})
        """
    )
    # Where nothing decides the clock, the event is as far from its session as it says.
    con.execute(
        """
        UPDATE join_tuple SET resid = resid + o.offset FROM join_event e JOIN join_offset o USING (clock)
            WHERE join_tuple.offset IS NULL AND e.eid = join_tuple.eid
        """
    )
    for table in ("join_pair", "join_fit", "join_asked", "join_there", "join_crowd"):
        con.execute(f"DROP TABLE IF EXISTS {table}")


def _watched(con: duckdb.DuckDBPyConnection) -> None:
    """Take from `join_fit` events long before a session whose start was not seen, of moments when the sensor saw others begin: it would have seen
    this one begin too. What was told of is an earlier use of the port, whose own session was lost."""
    con.execute(
        f"""
        DELETE FROM join_fit WHERE (eid, sid) IN (
        WITH early AS (SELECT f.eid, f.sid, s.ts + f.resid AS told FROM join_fit f JOIN join_session s USING (sid)
            WHERE f.midstream AND f.resid < -{WATCHED}),
        begun AS (SELECT ts FROM join_session WHERE NOT midstream AND ts >= (SELECT min(told) FROM early) - {WATCHED})
        SELECT eid, sid FROM early ASOF JOIN begun b ON told >= b.ts ASOF JOIN begun a ON told < a.ts
            WHERE told - b.ts <= {WATCHED} AND a.ts - told <= {WATCHED})
        """
    )


def _contested(con: duckdb.DuckDBPyConnection) -> None:
    """Take from `join_tuple` what two hosts claim: the same end of one session (two networks that use the same private addresses).

    A host whose clock three matches decide wins over one that chance may have brought here; otherwise neither is proved. One machine under two
    names gives the same pid, or (a container) the same image at the same moment. Of UDP it is not always told which end is the host's.
    """
    con.execute(
        f"""
        DELETE FROM join_tuple WHERE (eid, sid) IN (
        WITH often AS (SELECT sid FROM join_tuple GROUP BY sid HAVING count(*) > 1),
        told AS (SELECT t.eid, t.sid, t.resid, t.support >= {clocks.AGREEING} AS strong, e.l, e.hk, e.pid, e.base
            FROM (SELECT * FROM join_tuple WHERE sid IN (SELECT sid FROM often)) t JOIN join_event e USING (eid)
            WHERE e.pid IS NOT NULL AND e.proto = 6),
        claims AS (SELECT sid, l, hk, pid, base, min(resid) AS resid, bool_or(strong) AS strong FROM told GROUP BY ALL),
        lost AS (SELECT DISTINCT a.sid, a.l, a.hk, a.pid FROM claims a JOIN claims b ON a.sid = b.sid AND a.l = b.l AND a.hk <> b.hk
            AND a.pid <> b.pid WHERE NOT (a.base IS NOT DISTINCT FROM b.base AND abs(a.resid - b.resid) <= {SAME}) AND (b.strong OR NOT a.strong))
        SELECT eid, sid FROM told JOIN lost USING (sid, l, hk, pid))
        """
    )


def _crowded(con: duckdb.DuckDBPyConnection) -> None:
    """Add to `join_fit` the events on tuples in constant use (NTP, IKE …): the neighbours in corrected time, nothing else."""
    for via, key, _ in KEYS:
        crowd = f"{key} IN (SELECT key FROM join_crowd WHERE via = '{via}')"
        told = f"{crowd} AND clock NOT IN ({ENDS})"
        if not con.execute(f"SELECT 1 FROM join_crowd WHERE via = '{via}' LIMIT 1").fetchall():
            continue
        events = f"""
            SELECT e.eid AS id, {key} AS g, e.ts - o.offset - coalesce(d.drift, 0) AS t FROM join_event e
                JOIN join_offset o USING (clock) LEFT JOIN join_drift d USING (eid) WHERE {told}
        """
        sessions = f"SELECT sid AS id, {key} AS g, ts AS t FROM join_session WHERE {crowd}"
        nearest(con, events, sessions, "join_near", 1, clocks.HALF_DAY, 600.0)
        con.execute(
            f"""
            INSERT INTO join_fit
                SELECT e.eid, n.other, '{via}', s.dur, o.support, s.midstream,
                CASE WHEN clock IN ({DECIDED}) THEN o.offset + coalesce(d.drift, 0) END AS offset,
                n.dt AS resid, 1 AS candidates FROM join_near n JOIN join_event e ON e.eid = n.id JOIN join_offset o USING (clock)
                LEFT JOIN join_drift d USING (eid) JOIN join_session s ON s.sid = n.other
                WHERE resid >= -CASE WHEN s.midstream THEN o.udp_lo WHEN s.proto = 6 THEN o.tcp_lo ELSE o.udp_lo END
                AND resid <= s.dur + CASE WHEN s.proto = 6 THEN o.tcp_hi ELSE o.udp_hi END
                QUALIFY row_number() OVER (PARTITION BY e.eid ORDER BY {_PLACE}, abs(resid)) = 1
            """
        )
        con.execute("DROP TABLE join_near")


def correct(con: duckdb.DuckDBPyConnection) -> None:
    """`offset` and `t` of `join_event`: every event in capture time. A clock without matches of its own borrows, in this order:

    the record's clock (its offset from matched events of the host and source, plus how far this clock stands from the record's),
    unless the same field of another kind of event agrees with that within 10 s (then that one, which is finer); the same field
    alone; nothing (the clock is taken at its word, offset unknown).
    """
    _drift(con)
    con.execute(
        f"""
        CREATE TEMP TABLE join_lent AS
        WITH record AS (
            SELECT c.hk, c.dialect, median(e.ts_rec - (e.ts - t.offset - t.resid)) AS r
            FROM join_tuple t JOIN join_event e USING (eid) JOIN join_clock c USING (clock)
            WHERE e.ts_rec IS NOT NULL AND clock NOT IN ({ENDS}) GROUP BY ALL),
        gap AS (
            SELECT clock, median(ts - ts_rec) AS g FROM join_event WHERE ts_rec IS NOT NULL AND clock NOT IN ({DECIDED}) GROUP BY clock
            HAVING CASE WHEN count(*) < {CONSTANT} THEN abs(g - round(g / {clocks.HOUR}) * {clocks.HOUR}) <= {DELAY}
                ELSE quantile_cont(ts - ts_rec, 0.75) - quantile_cont(ts - ts_rec, 0.25) <= {DELAY} END),
        own AS (
            SELECT c.hk, c.dialect, c.ts_field, median(o.offset) AS f
            FROM join_offset o JOIN join_clock c USING (clock) WHERE clock IN ({DECIDED}) GROUP BY ALL),
        host AS (SELECT hk, ts_field, median(f) AS f FROM own GROUP BY ALL)
        SELECT c.clock, gap.g + record.r AS chain, coalesce(own.f, host.f) AS field,
            CASE WHEN chain IS NOT NULL AND (field IS NULL OR abs(field - chain) > {FINER}) THEN chain ELSE field END AS offset
        FROM join_clock c LEFT JOIN record USING (hk, dialect) LEFT JOIN gap USING (clock)
        LEFT JOIN own USING (hk, dialect, ts_field) LEFT JOIN host ON host.hk = c.hk AND host.ts_field = c.ts_field
        WHERE c.clock NOT IN ({DECIDED})
        """
    )
    con.execute(
        f"""
        CREATE TEMP TABLE join_timed AS
        SELECT * EXCLUDE (ts, shift), shift AS "offset", ts - coalesce(shift, 0) AS t FROM (
            SELECT e.eid, kind, clock, hk, l, lp, r, rp, proto, side, far, pid, base, pk, key, e.ts,
                coalesce(o.offset + coalesce(d.drift, 0), n.offset) AS shift
            FROM join_event e LEFT JOIN (FROM join_offset WHERE clock IN ({DECIDED})) o USING (clock)
            LEFT JOIN join_drift d USING (eid) LEFT JOIN join_lent n USING (clock))
        """
    )
    con.execute("DROP TABLE join_event")
    con.execute("ALTER TABLE join_timed RENAME TO join_event")
    con.execute("DROP TABLE join_drift")
