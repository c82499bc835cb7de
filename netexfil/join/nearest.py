"""The neighbours in time of each row, in near-linear time: ranks instead of a cross product.

Both sides are cut into groups (a five-tuple, a process, a host …). The right side gets a rank by time within its group, an
ASOF join finds where each left row falls between them, and neighbours and counts follow from rank arithmetic: `k` rows each side cost
`2 k` lookups, and the number of rows inside a window costs two ASOF joins, however many they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def nearest(con: duckdb.DuckDBPyConnection, left: str, right: str, out: str, k: int, before: float, after: float) -> None:
    """Fill temporary table `out` (id, other, dt, candidates) with the neighbours of each left row.

    Args:
        left: a query of (id, g, t): the rows that look for neighbours.
        right: a query of (id, g, t): the neighbours.
        k: at most this many neighbours on each side in time.
        before, after: a neighbour counts where t - before <= its t <= t + after (seconds).

    `dt` is left t - right t, `candidates` the number of neighbours inside the window.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE join_left AS SELECT id, g, t FROM ({left}) WHERE g IS NOT NULL AND t IS NOT NULL")
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE join_right AS
        SELECT id, g, t, row_number() OVER (PARTITION BY g ORDER BY t, id) AS i FROM ({right}) WHERE g IN (SELECT g FROM join_left)
        """
    )
    rank = "SELECT l.id, l.g, l.t, coalesce(r.i, 0) AS i FROM join_left l ASOF LEFT JOIN join_right r ON l.g = r.g AND {} r.t"
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {out} AS
        WITH here AS ({rank.format('l.t >=')}),
        low AS ({rank.format(f'l.t - {before} >')}),
        high AS ({rank.format(f'l.t + {after} >=')}),
        wanted AS (
            SELECT here.id, here.g, here.t, high.i - low.i AS candidates,
                unnest(range(greatest(low.i + 1, here.i - {k - 1}), least(high.i, here.i + {k}) + 1)) AS i
            FROM here JOIN low USING (id) JOIN high USING (id) WHERE high.i > low.i)
        SELECT w.id, r.id AS other, w.t - r.t AS dt, w.candidates::INTEGER AS candidates
        FROM wanted w JOIN join_right r ON r.g = w.g AND r.i = w.i
        """
    )
    con.execute("DROP TABLE join_right")
    con.execute("DROP TABLE join_left")
