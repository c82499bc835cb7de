"""Which channels must be judged again, because they or something that their evidence speaks of has changed. docs/cron.md has the table.

Tables in: `gone`, `made` (parts), `pair_was`, `pair_now`, `moved`, `reborn` (pairs), `session`. Out: `judged` (cid), `wanted` (inside_h, entity,
day, pair, direction: everything that a host has to one entity in one window is judged together).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netexfil import channels, detect, tables
from netexfil.policy import Policy
from netexfil.state import keys, pairs
from netexfil.state import store as files
from netexfil.state.parts import any_row

if TYPE_CHECKING:
    import duckdb


COLUMNS = "inside_h, entity, CAST(day AS INTEGER) AS day, pair, direction"  # of `wanted`


def find(con: duckdb.DuckDBPyConnection, policy: Policy, kept: int) -> None:
    """Fill `wanted`, and `spoke_now` on the way.

    Args:
        kept: the bits of `state.pair` that hold, as `pairs.prepare` said.
    """
    days = [int(day) for (day,) in con.execute("SELECT day FROM kept_day").fetchall()]
    con.execute("""CREATE OR REPLACE TEMP VIEW touched AS SELECT *, TRUE AS now FROM made UNION ALL SELECT *, FALSE FROM gone""")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE standing AS
        SELECT inside_h, entity, {keys.owner()} AS owner, day, pair, direction, remote_p, protocol FROM state.channel WHERE cand
        AND day IN (FROM kept_day) AND cid NOT IN (SELECT cid FROM gone)""")
    pairs.update(con, policy, kept)
    pairs.moved(con, days)
    _spoke(con)
    hot(con, policy, "pair_now")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE wanted AS
        SELECT DISTINCT {COLUMNS} FROM touched c WHERE cand OR (now AND ({detect.alone(policy)} OR pair IN (FROM hot)))""")
    con.execute("""CREATE OR REPLACE TEMP TABLE earlier AS SELECT pair, min(day) AS since FROM touched WHERE direction = 'out' GROUP BY pair
        HAVING min(day) < (SELECT max(day) FROM kept_day)""")
    if any_row(con, "earlier"):
        con.execute(f"""INSERT INTO wanted SELECT {COLUMNS} FROM state.channel c JOIN earlier t USING (pair)
            WHERE c.day > t.since AND day IN (FROM kept_day) AND (c.cand OR pair IN (FROM hot)) AND cid NOT IN (SELECT cid FROM gone)""")
    for reason in _because(con):
        con.execute(f"INSERT INTO wanted SELECT {COLUMNS} FROM standing WHERE {reason}")
    con.execute(f"INSERT INTO wanted SELECT {COLUMNS} FROM standing WHERE (inside_h, day) IN (SELECT (inside_h, day) FROM wanted)")
    con.execute("CREATE OR REPLACE TEMP TABLE wanted AS SELECT DISTINCT * FROM wanted")


def hot(con: duckdb.DuckDBPyConnection, policy: Policy, known: str) -> None:
    """`hot`: touched pairs that a ledger's line can name in a touched window or a later one: by all that is known of the two where that reaches the
    month's line, else by their days of the week before.

    Args:
        known: the table of pairs with what went between them on all kept days.
    """
    day, month = (int(policy.threshold(name)) for name in ("outbound_volume", "ledger_30d"))
    week = min(day, *(int(policy.threshold(name)) for name in ("ledger_7d", "ledger_steady")))
    con.execute(f"CREATE OR REPLACE TEMP TABLE hot AS SELECT pair FROM {known} WHERE total >= {month}")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE warm AS SELECT pair, min(day) AS since FROM touched WHERE direction = 'out'
        AND pair IN (SELECT pair FROM {known} WHERE total >= {week} AND total < {month}) GROUP BY pair""")
    if any_row(con, "warm"):
        first = files.one(con, "SELECT min(since) FROM warm") - 6
        sent = "SELECT pair, day, bytes_low FROM {0} WHERE direction = 'out' AND pair IN (SELECT pair FROM warm) AND {1}"
        con.execute(f"""INSERT INTO hot
            WITH daily AS (SELECT pair, day, sum(bytes_low) AS low FROM ({sent.format("made", "TRUE")} UNION ALL
                {sent.format("state.channel", f"day >= {first} AND cid NOT IN (SELECT cid FROM gone)")}) GROUP BY ALL),
            weekly AS (SELECT pair, day, sum(low) OVER (PARTITION BY pair ORDER BY day RANGE BETWEEN 6 PRECEDING AND CURRENT ROW) AS d7 FROM daily)
            SELECT DISTINCT pair FROM weekly JOIN warm USING (pair) WHERE day >= since AND d7 >= {week}""")


def _because(con: duckdb.DuckDBPyConnection) -> Sequence[str]:
    """Conditions on `standing`, one a way in which other rows decide what is said of a channel."""
    con.execute("""CREATE OR REPLACE TEMP TABLE served_other AS SELECT inside_h, remote_p, min(day) AS since FROM touched
        WHERE direction = 'pull' GROUP BY inside_h, remote_p, cid HAVING count(*) = 1""")
    everybody = any_row(con, f"reborn WHERE owner = {keys.HOST}")
    return (
        "TRUE" if everybody else "FALSE",
        "(owner, day) IN (SELECT (owner, day) FROM moved)",
        "(pair, day) IN (SELECT (pair, day) FROM touched)",
        f"day IN (SELECT day FROM moved WHERE owner = {keys.HOST})",
        "owner IN (FROM reborn)",
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
    there = f"FROM state.channel WHERE {_STAYS} AND"
    con.execute(f"INSERT INTO channel SELECT {_COLUMNS} FROM made WHERE {pairs_of}")
    con.execute(f"INSERT INTO channel SELECT {_COLUMNS} {there} {days_of} AND {pairs_of}")
    # who the two are is known: texts of few rows among millions are what such a look-up costs; of days before the week no more than bytes are asked
    since = files.one(con, "SELECT min(day) FROM wanted")
    week, month = f"c.day >= {since - 6}", f"c.day BETWEEN {since - channels.MEMORY} AND {since - 7}"
    late = any_row(con, f"gone WHERE day < {since - 6}")  # what was touched there is not counted twice
    for columns, window, stays in ((_LEDGER, week, _STAYS), ("cid, day, bytes_low" if late else "day, bytes_low", month, _STAYS if late else "TRUE")):
        con.execute(f"""INSERT INTO channel (inside_h, entity, direction, {columns})
            WITH held AS MATERIALIZED (SELECT w.inside_h, w.entity, c.direction, {columns} FROM state.channel c
                JOIN (SELECT DISTINCT pair, inside_h, entity FROM wanted) w USING (pair) WHERE {window})
            SELECT * FROM held WHERE direction = 'out' AND NOT {days_of} AND {stays}""")
    if any_row(con, "wanted WHERE direction = 'pull'"):
        serving = f"direction = 'pull' AND inside_h IN (SELECT inside_h FROM wanted WHERE direction = 'pull') AND NOT ({pairs_of}"
        con.execute(f"""INSERT INTO channel SELECT {_COLUMNS} FROM made WHERE {serving})
            UNION ALL SELECT {_COLUMNS} {there} {serving} AND {days_of})""")
    con.execute("""CREATE OR REPLACE TEMP TABLE judged AS SELECT cid FROM channel
        WHERE (inside_h, entity, day) IN (SELECT (inside_h, entity, day) FROM wanted)""")
    pairs.fleet(con, "wanted")
    con.execute("DELETE FROM spoke")
    con.execute("""INSERT INTO spoke SELECT inside_h, protocol, day FROM spoke_now WHERE inside_h IN (SELECT inside_h FROM wanted)
        UNION ALL SELECT inside_h, protocol, day FROM state.spoke WHERE inside_h IN (SELECT inside_h FROM wanted)
            AND (inside_h, protocol) NOT IN (SELECT (inside_h, protocol) FROM spoke_more)""")


_COLUMNS = ", ".join(tables.CHANNEL)
_STAYS = "cid NOT IN (SELECT cid FROM gone)"
_LEDGER = "cid, day, bytes_low, bytes_in, sessions, push_low"
