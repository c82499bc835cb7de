"""Which channels must be judged again, because they or something that their evidence speaks of has changed. docs/cron.md has the table.

Tables in: `gone`, `made` (parts), `pair_was`, `pair_now`, `moved`, `reborn` (pairs), `session`. Out: `judged` (cid), `wanted` (inside_h, entity,
day, pair, direction: everything that a host has to one entity in one window is judged together).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netexfil import detect, tables
from netexfil.policy import Policy
from netexfil.state import pairs
from netexfil.state.parts import any_row

if TYPE_CHECKING:
    import duckdb


def find(con: duckdb.DuckDBPyConnection, policy: Policy, kept: int) -> None:
    """Fill `wanted`, and `spoke_now` on the way.

    Args:
        kept: the bits of `state.pair` that hold, as `pairs.prepare` said.
    """
    days = [int(day) for (day,) in con.execute("SELECT day FROM kept_day").fetchall()]
    con.execute("""CREATE OR REPLACE TEMP VIEW touched AS SELECT *, TRUE AS now FROM made UNION ALL SELECT *, FALSE FROM gone""")
    con.execute("""CREATE OR REPLACE TEMP TABLE standing AS SELECT inside_h, entity, day, pair, direction, remote_p, protocol FROM state.channel
        WHERE cand AND day IN (FROM kept_day) AND cid NOT IN (SELECT cid FROM gone)""")
    pairs.update(con, policy, kept)
    pairs.moved(con, days)
    _spoke(con)
    line = int(min(policy.threshold(name) for name in ("outbound_volume", "ledger_7d", "ledger_steady", "ledger_30d")))
    columns = "inside_h, entity, CAST(day AS INTEGER) AS day, pair, direction"
    con.execute(f"""CREATE OR REPLACE TEMP TABLE wanted AS
        SELECT DISTINCT {columns} FROM touched c WHERE cand OR (now AND ({detect.alone(policy)}
            OR pair IN (SELECT pair FROM pair_now WHERE total >= {line})))""")
    con.execute("""CREATE OR REPLACE TEMP TABLE earlier AS SELECT pair, min(day) AS since FROM touched WHERE direction = 'out' GROUP BY pair
        HAVING min(day) < (SELECT max(day) FROM kept_day)""")
    if any_row(con, "earlier"):
        con.execute(f"""INSERT INTO wanted SELECT {columns} FROM state.channel c
            JOIN earlier t USING (pair) LEFT JOIN (SELECT pair, total FROM pair_now) n USING (pair)
            WHERE c.day > t.since AND day IN (FROM kept_day) AND (c.cand OR n.total >= {line}) AND cid NOT IN (SELECT cid FROM gone)""")
    for reason in _because(con):
        con.execute(f"INSERT INTO wanted SELECT {columns} FROM standing WHERE {reason}")
    con.execute(f"INSERT INTO wanted SELECT {columns} FROM standing WHERE (inside_h, day) IN (SELECT (inside_h, day) FROM wanted)")
    con.execute("CREATE OR REPLACE TEMP TABLE wanted AS SELECT DISTINCT * FROM wanted")


def _because(con: duckdb.DuckDBPyConnection) -> Sequence[str]:
    """Conditions on `standing`, one a way in which other rows decide what is said of a channel."""
    con.execute("""CREATE OR REPLACE TEMP TABLE served_other AS SELECT inside_h, remote_p, min(day) AS since FROM touched
        WHERE direction = 'pull' GROUP BY inside_h, remote_p, cid HAVING count(*) = 1""")
    everybody = any_row(con, "reborn WHERE entity = ''")
    return (
        "TRUE" if everybody else "FALSE",
        "(entity, day) IN (SELECT (entity, day) FROM moved)",
        "(pair, day) IN (SELECT (pair, day) FROM touched)",
        "day IN (SELECT day FROM moved WHERE entity = '')",
        "entity IN (FROM reborn)",
        "(inside_h, protocol) IN (SELECT (inside_h, protocol) FROM spoke_moved)",
        "direction = 'pull' AND (inside_h, remote_p) IN (SELECT (inside_h, remote_p) FROM served_other)",
        "(inside_h, CAST(day AS BIGINT)) IN (SELECT (inside_h, day) FROM reads)",
        "inside_h IN (SELECT address FROM state.stale WHERE address IS NOT NULL)",
    )


def _spoke(con: duckdb.DuckDBPyConnection) -> None:
    """`spoke_now`: changed rows of state.spoke as they will be; `spoke_moved`: hosts and protocols whose first day is another one now."""
    con.execute("""CREATE OR REPLACE TEMP TABLE spoke_more AS
        SELECT inside_h, protocol, CAST(day AS INTEGER) AS day, sum(CASE WHEN now THEN 1 ELSE -1 END) AS channels FROM touched
        WHERE direction = 'out' AND protocol IS NOT NULL GROUP BY ALL HAVING sum(CASE WHEN now THEN 1 ELSE -1 END) <> 0""")
    con.execute("""CREATE OR REPLACE TEMP TABLE spoke_near AS SELECT s.* FROM state.spoke s
        WHERE (inside_h, protocol) IN (SELECT (inside_h, protocol) FROM spoke_more)""")
    con.execute("""CREATE OR REPLACE TEMP TABLE spoke_now AS SELECT inside_h, protocol, day, CAST(sum(channels) AS BIGINT) AS channels
        FROM (SELECT * FROM spoke_near UNION ALL SELECT * FROM spoke_more) GROUP BY ALL HAVING sum(channels) > 0""")
    con.execute("""CREATE OR REPLACE TEMP TABLE spoke_moved AS SELECT n.inside_h, n.protocol
        FROM (SELECT inside_h, protocol, min(day) AS day FROM spoke_now GROUP BY ALL) n
        FULL JOIN (SELECT inside_h, protocol, min(day) AS day FROM spoke_near GROUP BY ALL) w USING (inside_h, protocol)
        WHERE n.day IS DISTINCT FROM w.day""")


def store(con: duckdb.DuckDBPyConnection) -> None:
    """Put `spoke_now` in the place of what was there. Inside a transaction on the state."""
    con.execute("DELETE FROM state.spoke WHERE (inside_h, protocol) IN (SELECT (inside_h, protocol) FROM spoke_more)")
    con.execute("INSERT INTO state.spoke BY NAME SELECT * FROM spoke_now")


def store_all(con: duckdb.DuckDBPyConnection) -> None:
    """Count all protocols from the channels of the state. Inside a transaction on it."""
    con.execute("DELETE FROM state.spoke")
    con.execute("""INSERT INTO state.spoke SELECT inside_h, protocol, day, count(*) FROM state.channel
        WHERE direction = 'out' AND protocol IS NOT NULL GROUP BY inside_h, protocol, day""")


def load(con: duckdb.DuckDBPyConnection) -> None:
    """Fill `channel` with what is judged and what its evidence looks back on, `judged`, `fleet` and `spoke`.

    Of windows that are not judged only what sums are made of is read: there may be a month of them.
    """
    con.execute("DELETE FROM channel")
    pairs_of, days_of = "pair IN (SELECT pair FROM wanted)", "day IN (SELECT day FROM wanted)"
    stays = "FROM state.channel WHERE cid NOT IN (SELECT cid FROM gone) AND"
    con.execute(f"INSERT INTO channel SELECT {_COLUMNS} FROM made WHERE {pairs_of}")
    con.execute(f"INSERT INTO channel SELECT {_COLUMNS} {stays} {days_of} AND {pairs_of}")
    con.execute(f"INSERT INTO channel ({_LEDGER}) SELECT {_LEDGER} {stays} NOT {days_of} AND direction = 'out' AND {pairs_of}")
    if any_row(con, "wanted WHERE direction = 'pull'"):
        serving = f"direction = 'pull' AND inside_h IN (SELECT inside_h FROM wanted WHERE direction = 'pull') AND NOT ({pairs_of}"
        con.execute(f"""INSERT INTO channel SELECT {_COLUMNS} FROM made WHERE {serving})
            UNION ALL SELECT {_COLUMNS} {stays} {serving} AND {days_of})""")
    con.execute("""CREATE OR REPLACE TEMP TABLE judged AS SELECT cid FROM channel
        WHERE (inside_h, entity, day) IN (SELECT (inside_h, entity, day) FROM wanted)""")
    pairs.fleet(con, "wanted")
    con.execute("DELETE FROM spoke")
    con.execute("""INSERT INTO spoke SELECT inside_h, protocol, day FROM spoke_now WHERE inside_h IN (SELECT inside_h FROM wanted)
        UNION ALL SELECT inside_h, protocol, day FROM state.spoke WHERE inside_h IN (SELECT inside_h FROM wanted)
            AND (inside_h, protocol) NOT IN (SELECT (inside_h, protocol) FROM spoke_more)""")


_COLUMNS = ", ".join(tables.CHANNEL)
_LEDGER = "cid, day, inside_h, entity, direction, bytes_low, bytes_in, sessions, push_low"
