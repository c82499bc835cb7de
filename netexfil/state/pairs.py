"""Who used what on which day, one row an inside host and entity, days as bits: novelty and prevalence without the channels of a month.

Entities are known by a hash here (`owner`); that of '' stands for the host itself.

`pair` rows of the state stay as they are until a run's findings are stored; `pair_now` holds those that the run changes, as they will be.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from netexfil import channels
from netexfil.policy import Policy
from netexfil.state import keys
from netexfil.tables import some as any_row

if TYPE_CHECKING:
    import duckdb

CYCLE = 120  # days that a row can tell apart
MOST = (1 << 63) - 1  # bytes that a pair can have sent, as far as they are counted
SHARES = 8  # in which all pairs are counted: a month has millions
EVERYTHING = "''"  # SQL of the entity that stands for the host itself
LONGEST = CYCLE - channels.MEMORY  # days of sessions with which the look back of a window still fits


def bit(day: int) -> int:
    return 1 << (day % CYCLE)


def reach(days: Iterable[int]) -> int:
    return sum(bit(day) for day in days)


def window(day: int) -> int:
    """The days that count for prevalence in the window of `day`."""
    return reach(range(day - channels.MEMORY + 1, day + 1))


def prepare(con: duckdb.DuckDBPyConnection) -> int:
    """Temporary table `bit_of` (day, bit) for the days that can be told apart.

    Returns:
        The bits of stored rows that still hold: those of days that have come since the last scoring stand for days of a cycle before.
    """
    row = con.execute("SELECT (SELECT max(day) FROM state.channel), (SELECT max(day) FROM state.session)").fetchone() or (None, None)
    newest = max((int(day) for day in row if day is not None), default=0)
    con.execute("CREATE OR REPLACE TEMP TABLE bit_of (day INTEGER, bit HUGEINT)")
    con.execute("INSERT INTO bit_of VALUES " + ", ".join(f"({day}, {bit(day)})" for day in range(newest - CYCLE + 1, newest + 1)))
    before = int(row[0]) if row[0] is not None else newest
    return reach(range(CYCLE)) & ~reach(range(max(before + 1, newest - CYCLE + 1), newest + 1))


def summed(rows: str, sender: float) -> str:
    """SQL: rows of `pair` from rows of `with_hosts`."""
    return f"""SELECT pair, any_value(owner) AS owner, CAST(min(day) AS INTEGER) AS first_day,
        coalesce(bit_or(bit), 0::HUGEINT) AS used, coalesce(bit_or(bit) FILTER (low >= {sender}), 0::HUGEINT) AS sent,
        CAST(CASE WHEN sum(low) > {MOST} THEN {MOST} ELSE sum(low) END AS BIGINT) AS total
        FROM (SELECT pair, any_value(owner) AS owner, day, sum(bytes_low) AS low FROM ({rows}) GROUP BY pair, day)
        LEFT JOIN bit_of USING (day) GROUP BY pair"""


def with_hosts(rows: str) -> str:
    """SQL: (pair, owner, day, bytes_low) of channels that go out, and each once more for the host itself."""
    return f"""SELECT pair, {keys.owner()} AS owner, day, bytes_low FROM {rows} WHERE direction = 'out' UNION ALL
        SELECT {keys.pair(EVERYTHING)}, {keys.HOST}, day, bytes_low FROM {rows} WHERE direction = 'out'"""


def update(con: duckdb.DuckDBPyConnection, policy: Policy, kept: int) -> None:
    """Fill `pair_was` and `pair_now` for all pairs of `gone` and `made`. `kept` is what `prepare` said."""
    con.execute(f"""CREATE OR REPLACE TEMP TABLE pair_day AS
        SELECT pair, any_value(owner) AS owner, day, sum(now) AS now, sum(was) AS was, bool_or(there) AS there FROM (
            SELECT pair, owner, day, bytes_low AS now, 0 AS was, TRUE AS there FROM ({with_hosts("made")})
            UNION ALL SELECT pair, owner, day, 0, bytes_low, FALSE FROM ({with_hosts("gone")})) GROUP BY pair, day""")
    beside = "FROM state.channel WHERE direction = 'out' AND day IN (SELECT day FROM pair_day) AND cid NOT IN (SELECT cid FROM gone)"
    con.execute(f"""CREATE OR REPLACE TEMP TABLE pair_beside AS
        SELECT pair, day, sum(bytes_low) AS low {beside} AND pair IN (SELECT pair FROM pair_day) GROUP BY ALL""")
    left = f"SELECT pair FROM pair_day WHERE owner = {keys.HOST} AND NOT there"
    if any_row(con, f"({left})"):
        con.execute(f"INSERT INTO pair_beside SELECT {keys.pair(EVERYTHING)} AS host, day, 0 {beside} AND host IN ({left}) GROUP BY ALL")
    sums = """SELECT d.*, d.there OR b.pair IS NOT NULL AS present, d.now + coalesce(b.low, 0) AS low, t.bit
        FROM pair_day d LEFT JOIN pair_beside b USING (pair, day) LEFT JOIN bit_of t ON t.day = d.day"""
    con.execute(f"""CREATE OR REPLACE TEMP TABLE pair_sum AS SELECT pair, any_value(owner) AS owner, min(day) AS first_day,
        coalesce(bit_or(bit), 0::HUGEINT) AS all_days, coalesce(bit_or(bit) FILTER (low >= {policy.threshold("sender")}), 0::HUGEINT) AS sent,
        sum(now) - sum(was) AS more, bool_and(present) AS all_there FROM ({sums}) GROUP BY pair""")
    # of millions of rows, most of them of pairs that met once, only the keys are looked through; the others are fetched by their place
    con.execute("CREATE OR REPLACE TEMP TABLE pair_place AS SELECT rowid AS place FROM state.pair WHERE pair IN (SELECT pair FROM pair_sum)")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE pair_was AS SELECT * REPLACE (used & {kept} AS used, sent & {kept} AS sent)
        FROM state.pair WHERE rowid IN (SELECT place FROM pair_place)""")
    con.execute("""CREATE OR REPLACE TEMP TABLE pair_now AS SELECT s.pair, s.owner,
            CAST(least(s.first_day, w.first_day) AS INTEGER) AS first_day,
            coalesce(w.used, 0::HUGEINT) | s.all_days AS used, (coalesce(w.sent, 0::HUGEINT) & ~s.all_days) | s.sent AS sent,
            CAST(coalesce(w.total, 0) + s.more AS BIGINT) AS total
        FROM pair_sum s LEFT JOIN pair_was w USING (pair) WHERE all_there""")
    _shrunk(con, policy)


def _shrunk(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Pairs that lost a day (a channel has another entity now, or is gone) are counted from all their channels."""
    lost = "SELECT pair FROM pair_sum WHERE NOT all_there"
    if not any_row(con, f"({lost})"):
        return
    hosts = f"inside_h IN (SELECT inside_h FROM gone WHERE pair IN ({lost}) OR {keys.pair(EVERYTHING)} IN ({lost}))"
    columns = "pair, inside_h, entity, day, direction, bytes_low"
    held = f"""(SELECT {columns} FROM state.channel WHERE {hosts} AND cid NOT IN (SELECT cid FROM gone)
        UNION ALL SELECT {columns} FROM made WHERE {hosts})"""
    con.execute(f"INSERT INTO pair_now SELECT * FROM ({summed(with_hosts(held), policy.threshold('sender'))}) WHERE pair IN ({lost})")


def look(con: duckdb.DuckDBPyConnection, days: Iterable[int]) -> None:
    """Temp table `look` (day, mask): what counts for prevalence in these windows."""
    con.execute("CREATE OR REPLACE TEMP TABLE look (day INTEGER, mask HUGEINT)")
    con.execute("INSERT INTO look VALUES " + ", ".join(f"({day}, {window(day)})" for day in days))


def moved(con: duckdb.DuckDBPyConnection, days: Iterable[int]) -> None:
    """Temp table `moved` (owner, day): where the number of users or senders is another one now; `reborn` (owner): whose first day is."""
    look(con, days)
    con.execute(f"""CREATE OR REPLACE TEMP TABLE moved AS
        WITH turned AS (SELECT coalesce(n.owner, w.owner) AS owner, coalesce(w.used, 0::HUGEINT) AS u0, coalesce(n.used, 0::HUGEINT) AS u1,
            coalesce(w.sent, 0::HUGEINT) AS s0, coalesce(n.sent, 0::HUGEINT) AS s1 FROM pair_now n FULL JOIN pair_was w USING (pair))
        SELECT DISTINCT owner, day FROM turned, look WHERE (u0 <> u1 OR s0 <> s1)
            AND (((u0 & mask) <> 0) <> ((u1 & mask) <> 0) OR (owner <> {keys.HOST} AND ((s0 & mask) <> 0) <> ((s1 & mask) <> 0)))""")
    # a pair that is new, and not older than all that are known, makes no entity older
    con.execute("""CREATE OR REPLACE TEMP TABLE young AS SELECT DISTINCT coalesce(n.owner, w.owner) AS owner
        FROM pair_now n FULL JOIN pair_was w USING (pair) WHERE n.first_day IS DISTINCT FROM w.first_day
            AND (w.pair IS NOT NULL OR n.first_day < (SELECT max(first_day) FROM state.pair))""")
    con.execute("CREATE OR REPLACE TEMP TABLE reborn (owner BIGINT)")
    if any_row(con, "young"):
        con.execute("""INSERT INTO reborn SELECT owner FROM (
                SELECT owner, min(first_day) AS was, min(first_day) AS now FROM state.pair
                    WHERE owner IN (FROM young) AND pair NOT IN (SELECT pair FROM pair_sum) GROUP BY owner
                UNION ALL SELECT owner, first_day, NULL FROM pair_was WHERE owner IN (FROM young)
                UNION ALL SELECT owner, NULL, first_day FROM pair_now WHERE owner IN (FROM young))
            GROUP BY owner HAVING count(was) > 0 AND min(was) IS DISTINCT FROM min(now)""")


def fleet(con: duckdb.DuckDBPyConnection, wanted: str) -> None:
    """Table `fleet` for the entities and days of a table, and for all hosts on those days: as `channels.fleet` fills it from a month of channels."""
    con.execute(f"""CREATE OR REPLACE TEMP TABLE asked AS SELECT DISTINCT entity, {keys.owner()} AS owner, day FROM {wanted}
        UNION SELECT DISTINCT {EVERYTHING}, {keys.HOST}, day FROM {wanted}""")
    con.execute("""CREATE OR REPLACE TEMP TABLE held AS SELECT pair, owner, first_day, used, sent FROM state.pair
        WHERE owner IN (SELECT owner FROM asked)""")
    con.execute("DELETE FROM fleet")
    con.execute("""INSERT INTO fleet
        WITH holding AS (SELECT owner, first_day, used, sent FROM held WHERE pair NOT IN (SELECT pair FROM pair_sum)
            UNION ALL SELECT owner, first_day, used, sent FROM pair_now WHERE owner IN (SELECT owner FROM asked)),
        told AS (SELECT a.entity, a.day, count(*) FILTER ((used & mask) <> 0) AS users, count(*) FILTER ((sent & mask) <> 0) AS senders
            FROM asked a JOIN look USING (day) JOIN holding h ON h.owner = a.owner GROUP BY ALL),
        born AS (SELECT entity, min(first_day) AS day FROM holding JOIN (SELECT DISTINCT entity, owner FROM asked) USING (owner) GROUP BY entity)
        SELECT entity, day, users - lag(users, 1, 0) OVER w, senders - lag(senders, 1, 0) OVER w FROM told
        WINDOW w AS (PARTITION BY entity ORDER BY day)
        UNION ALL SELECT entity, day, 0, 0 FROM born WHERE (entity, day) NOT IN (SELECT (entity, CAST(day AS INTEGER)) FROM asked)""")


def store(con: duckdb.DuckDBPyConnection, kept: int) -> None:
    """Put `pair_now` in the place of what was there. Inside a transaction on the state."""
    con.execute("DELETE FROM state.pair WHERE pair IN (SELECT pair FROM pair_sum)")
    if kept != reach(range(CYCLE)):
        con.execute(f"UPDATE state.pair SET used = used & {kept}, sent = sent & {kept} WHERE used & {kept} <> used")
    con.execute("INSERT INTO state.pair BY NAME SELECT * FROM pair_now")


def store_all(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Count all pairs from the channels of the state, a share of them at a time. Inside a transaction on it."""
    con.execute("DELETE FROM state.pair")
    for share in range(SHARES):
        rows = f"SELECT * FROM ({with_hosts('state.channel')}) WHERE pair % {SHARES} = {share}"
        con.execute(f"INSERT INTO state.pair BY NAME {summed(rows, policy.threshold('sender'))}")


def forget(con: duckdb.DuckDBPyConnection, before: int) -> None:
    """Take out what goes with the channels before a day, while they are still there. Inside a transaction on the state."""
    gone = f"SELECT pair, sum(bytes_low) AS low FROM ({with_hosts('state.channel')}) WHERE day < {before} GROUP BY pair"
    con.execute(f"UPDATE state.pair p SET total = p.total - d.low FROM ({gone}) d WHERE d.pair = p.pair")
    row = con.execute("SELECT max(day) FROM bit_of").fetchone()
    newest = int(row[0]) if row and row[0] is not None else before
    if newest - before >= CYCLE:
        return
    kept = reach(range(before, newest + 1))
    con.execute(f"UPDATE state.pair SET used = used & {kept}, sent = sent & {kept} WHERE used & {kept} <> used")
    con.execute("DELETE FROM state.pair WHERE used = 0")
    con.execute(f"""UPDATE state.pair p SET first_day = f.day FROM (SELECT p.pair, min(b.day) AS day FROM state.pair p JOIN bit_of b
        ON (p.used & b.bit) <> 0 WHERE p.first_day < {before} GROUP BY p.pair) f WHERE f.pair = p.pair""")
