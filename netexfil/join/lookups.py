"""Clocks that sessions joined in the middle only bound: decided by the look-up that the process made before it connected.

A program that starts, asks for a name and connects at once does all three within an instant of its own clock, and the look-up stands in the
capture: its query came after the start, its answer before the connection. Where that instant is short, so is the range that is left for the offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netexfil.join import clocks

if TYPE_CHECKING:
    import duckdb

SHORT = 0.1  # seconds: a range of offsets as wide as this is known to half of it
LOOKED_AT = 20  # sessions of a clock
SOON = 2.0  # seconds from a look-up's answer in which the session's first seen packet follows, where nobody knows what was asked …
NAMED = 60.0  # … and where the answer is known to be the session's address


def decide(con: duckdb.DuckDBPyConnection) -> None:
    """Decide those clocks of `join_offset` that are only bounded (`least`) and that a look-up explains: `how` is `lookup` then.

    For one session there must be one look-up alone of its host before it, and nothing else that began between the two: that would be what was
    looked up. Where names are known, the look-up must have given the session's address. A process that was started with the address itself asks
    nobody. All sessions of a clock must leave one range.
    """
    if not con.execute("SELECT 1 FROM join_offset WHERE how = 'least' LIMIT 1").fetchall():
        return
    con.execute(
        f"""
        CREATE TEMP TABLE join_looked AS
        WITH every AS (SELECT p.eid, p.clock, p.ts AS told, s.ts AS seen, s.a, s.b, e.hk, e.pk, e.pid, e.base
            FROM join_pair p JOIN join_offset o USING (clock) JOIN join_session s USING (sid) JOIN join_event e USING (eid)
            WHERE o.how = 'least' AND e.l = s.a AND p.midstream QUALIFY count(*) OVER (PARTITION BY p.eid) = 1),
        bound AS (SELECT * FROM every QUALIFY row_number() OVER (PARTITION BY clock ORDER BY seen, eid) <= {LOOKED_AT}),
        began AS (SELECT b.eid, max(x.ts) AS start, arg_max(x.eid, x.ts) AS begun
            FROM bound b JOIN join_event x ON x.hk = b.hk AND x.kind = 'process_start' AND x.ts <= b.told
            AND (x.pk = b.pk OR (b.pk IS NULL AND x.pid = b.pid AND x.base = b.base)) GROUP BY b.eid),
        asked AS (SELECT DISTINCT a, ts AS query, ts + dur AS answer FROM join_session WHERE proto = 17 AND bp = 53 AND dur > 0),
        known AS (SELECT r.id, n.first_ts, n.last_ts FROM name n JOIN join_addr r ON r.form = n.address WHERE n.kind = 'dns' AND n.source = 'dns'),
        near AS (SELECT b.*, q.query, q.answer FROM bound b JOIN asked q ON q.a = b.a AND q.answer <= b.seen
                AND q.answer > b.seen - if(EXISTS (FROM known), {NAMED}, {SOON})
            WHERE NOT EXISTS (FROM known) OR EXISTS (SELECT 1 FROM known k WHERE k.id = b.b AND (k.first_ts BETWEEN q.query - 0.001 AND q.answer
                OR k.last_ts BETWEEN q.query - 0.001 AND q.answer))),
        alone AS (SELECT * FROM near QUALIFY count(*) OVER (PARTITION BY eid) = 1)
        SELECT clock, count(*) AS support, greatest(max(start - query), max(told - seen)) AS low, min(told - answer) AS high
            FROM alone n JOIN began USING (eid) JOIN event c USING (eid) JOIN event p ON p.eid = begun
            WHERE NOT coalesce(contains(p.command_line, c.remote_ip), false)
                AND NOT EXISTS (SELECT 1 FROM join_session z WHERE z.a = n.a AND NOT z.midstream AND z.ts BETWEEN n.answer AND n.seen AND z.bp <> 53)
            GROUP BY clock HAVING high >= low AND high - max(start - query) <= {SHORT}
        """
    )
    rows = con.execute("SELECT clock, (low + high) / 2 AS middle, support FROM join_looked").fetchnumpy()
    real = clocks.plausible(rows["middle"])
    con.register("incoming", {name: column[real] for name, column in rows.items()})
    con.execute("UPDATE join_offset SET \"offset\" = middle, support = i.support, how = 'lookup' FROM incoming i WHERE i.clock = join_offset.clock")
    con.unregister("incoming")
    con.execute("DROP TABLE join_looked")
