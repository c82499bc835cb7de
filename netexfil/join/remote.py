"""Clocks that no five-tuple decides (NAT, telemetry without local ports): from events and sessions with the same remote end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netexfil.join import clocks
from netexfil.join.tuples import columns, store

if TYPE_CHECKING:
    import duckdb

PAIRS, LEAST_PAIRS, MOST_PAIRS = 4_000_000, 4_000, 200_000  # pairs of one remote end looked at in all; for one clock at least and at most
CLOSE = 10.0  # seconds round a clock found so far in which such pairs are no chance


def estimate(con: duckdb.DuckDBPyConnection) -> None:
    """Add to `join_offset` and `join_seg` the clocks that no five-tuple decides.

    Only those that nobody else explains take part; where the event's own address is on this sensor, it must be the session's too. Such pairs
    meet by chance far oftener, and in rhythms, so agreement must be beyond chance, the offset one that clocks really have, and a single pair
    counts only where it is the only one. A busy host has thousands of such pairs an event: the remote ends that fewest sessions share are
    asked first, and round the offset that they give many more pairs are looked at, which tell how it drifts, and then the nearest of those.
    """
    import numpy as np

    _asked(con)
    clocks_ = con.execute("SELECT greatest(count(DISTINCT clock), 1) FROM join_asked").fetchall()[0][0]
    budget = min(max(PAIRS // int(clocks_), LEAST_PAIRS), MOST_PAIRS)
    coarse, _ = _remote(_remote_pairs(con, "m", budget, f"""
        SELECT eid, sid, clock, c.ts, c.ts - t.ts AS delta, tcp, midstream FROM chosen c JOIN join_there t USING (g)
        WHERE abs(delta) <= {clocks.HALF_DAY + 2 * clocks.HOUR}"""))
    con.register("incoming", {"clock": coarse.clock, "found": coarse.offset})
    con.execute("CREATE OR REPLACE TEMP TABLE join_coarse AS SELECT * FROM incoming")
    con.unregister("incoming")
    # Time in steps twice as long as the range: a session stands in one step, what is near an event in one or two.
    reach, step = clocks.NEAR, 2 * clocks.NEAR
    pairs = _remote_pairs(con, f"m * {step} / (SELECT greatest(t1 - t0, 1) FROM join_span)", budget, f"""
        SELECT eid, sid, clock, c.ts, c.ts - t.ts AS delta, tcp, midstream
        FROM (SELECT *, unnest(list_distinct([floor((ts - found - {reach}) / {step}), floor((ts - found + {reach}) / {step})])) AS step
            FROM chosen JOIN join_coarse USING (clock)) c
        JOIN (SELECT *, floor(ts / {step}) AS step FROM join_there) t USING (g, step) WHERE abs(delta - found) <= {reach}""")
    found, segments = _remote(pairs)
    rest = pairs[2] - clocks.lookup(found.clock, found.offset, pairs[0]) - clocks.evaluate(segments, pairs[0], pairs[1])
    found, segments = _remote(tuple(column[np.abs(rest) <= CLOSE] for column in pairs))
    store(con, found, segments, "INSERT INTO {}")
    for table in ("join_asked", "join_there", "join_coarse"):
        con.execute(f"DROP TABLE {table}")


def _asked(con: duckdb.DuckDBPyConnection) -> None:
    """`join_there` (sessions that nobody explains, g their group) and `join_asked` (events of undecided clocks, m sessions of their group)."""
    con.execute(
        """
        CREATE TEMP TABLE join_asked AS
        SELECT eid, clock, ts, CASE WHEN here THEN hash(side, l, r, rp) ELSE hash(side, r, rp) END AS g FROM join_event
            WHERE r IS NOT NULL AND rp IS NOT NULL AND ts IS NOT NULL AND clock NOT IN (SELECT clock FROM join_offset)
            AND eid NOT IN (SELECT eid FROM join_tuple) AND (lp IS NULL OR far)
        """
    )
    con.execute(
        """
        CREATE TEMP TABLE join_there AS
        WITH theirs AS (SELECT DISTINCT side, r FROM join_event WHERE clock IN (SELECT clock FROM join_asked)),
        free AS (SELECT sid, a, b, ap, bp, ts, proto = 6 AS tcp, midstream FROM join_session WHERE sid NOT IN (SELECT sid FROM join_tuple)),
        far AS (SELECT *, 0::UTINYINT AS side, a AS mine, b AS r, bp AS rp FROM free WHERE b IN (SELECT r FROM theirs WHERE side = 0)
            UNION ALL SELECT *, 1, b, a, ap FROM free WHERE a IN (SELECT r FROM theirs WHERE side = 1)),
        ends AS (SELECT *, hash(side, mine, r, rp) AS g FROM far UNION ALL SELECT *, hash(side, r, rp) FROM far)
        SELECT sid, g, ts, tcp, midstream, count(*) OVER (PARTITION BY g) AS m FROM ends WHERE g IN (SELECT g FROM join_asked)
        """
    )


def _remote_pairs(con: duckdb.DuckDBPyConnection, cost: str, budget: int, pairs: str) -> tuple[Any, ...]:
    """Columns for `clocks.estimate`: what the query `pairs` makes of `chosen`: per clock the events of the smallest groups (of `m`
    sessions each), until their `cost` is `budget`."""
    rows = con.execute(
        f"""
        WITH size AS (SELECT g, any_value(m) AS m FROM join_there GROUP BY g),
        chosen AS (SELECT eid, clock, ts, g FROM join_asked JOIN size USING (g)
            QUALIFY sum({cost} + 1) OVER (PARTITION BY clock ORDER BY m, hash(ts, g) ROWS UNBOUNDED PRECEDING) <= {budget}),
        pair AS ({pairs})
        SELECT clock::BIGINT AS clock, ts, delta, tcp, NOT midstream AS clean,
            count(*) OVER (PARTITION BY eid) = 1 AND count(*) OVER (PARTITION BY sid) = 1 AND count(*) OVER (PARTITION BY clock) <= 4 AS single
        FROM pair
        """
    ).fetchnumpy()
    return columns(rows)


def _remote(pairs: tuple[Any, ...]) -> tuple[clocks.Offsets, clocks.Segments]:
    """Offsets that such pairs give, where they are such as clocks really have."""
    import numpy as np

    clock, time, delta, tcp, clean, single = pairs
    found, segments = clocks.estimate(clock, time, delta, tcp, clean, single, loose=False)
    real = clocks.plausible(found.offset)
    found = replace(
        found, clock=found.clock[real], offset=found.offset[real], support=found.support[real], width=found.width[real],
        how=np.where(found.how[real] == "least", "far_least", "remote"), extra=found.extra[real], lo=(found.lo[0][real], found.lo[1][real]),
        hi=(found.hi[0][real], found.hi[1][real]),
    )
    kept = np.isin(segments.clock, found.clock)
    return found, clocks.Segments(segments.clock[kept], segments.start[kept], segments.origin[kept], segments.base[kept], segments.slope[kept])
