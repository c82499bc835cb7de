"""Channels from what is new: sums that new sessions are added to, and channels that are built anew because something in them changed.

| table | what |
|---|---|
| `whole` | talks that are read again with all their sessions: changed rows, two sensors' rows, hosts whose channels depend on each other |
| `gone` | channels of the state that were touched, as they were |
| `made` | the same channels, and new ones, as they are now |

All are temporary; the state is only read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netexfil import channels, outbound, read, tables
from netexfil.detect import collect
from netexfil.policy import Policy
from netexfil.state import keys, summing
from netexfil.state.summing import INSIDE, KEYS, KINDS, NUMBER

if TYPE_CHECKING:
    import duckdb

READ = ", ".join(keys.SESSION)
STORED = (*tables.CHANNEL, "asked", *KEYS, "talk", "pair", "cand")
CHANNEL_TALK = keys.talk("inside_h", "remote_h", "day")


def any_row(con: duckdb.DuckDBPyConnection, rows: str) -> bool:
    return con.execute(f"SELECT 1 FROM {rows} LIMIT 1").fetchone() is not None


def build(con: duckdb.DuckDBPyConnection, policy: Policy, mark: int) -> None:
    """Fill `gone` and `made`, and `session` with what they were made from.

    Args:
        mark: the last batch that was scored.
    """
    con.execute("CREATE OR REPLACE TEMP TABLE mixed AS SELECT DISTINCT address, day FROM state.mixed")
    con.execute("CREATE OR REPLACE TEMP TABLE whole AS SELECT DISTINCT talk FROM state.stale WHERE talk IS NOT NULL")
    _twins(con, mark)
    _sums(con, policy, f"batch > {mark}")
    _renamed(con)
    _channels(con)


def build_days(con: duckdb.DuckDBPyConnection, policy: Policy, first: int, last: int) -> None:
    """Fill `made` with all channels of some days, from nothing but their sessions."""
    summing.begin(con)
    con.execute("CREATE OR REPLACE TEMP TABLE mixed (address VARCHAR, day BIGINT)")
    con.execute("CREATE OR REPLACE TEMP TABLE whole (talk BIGINT)")
    _twins_of(con, first, last)
    _sums(con, policy, f"day BETWEEN {first} AND {last}")
    con.execute("CREATE OR REPLACE TEMP TABLE gone AS FROM state.channel LIMIT 0")
    _channels(con)
    con.execute(f"DELETE FROM made WHERE day NOT BETWEEN {first} AND {last}")  # a talk may have been whole for the sake of the day beside


def _sums(con: duckdb.DuckDBPyConnection, policy: Policy, new: str) -> None:
    """Sums of new sessions (a condition) and of talks that are whole; those of mixed hosts are."""
    flag(con, policy, f"{new} OR talk IN (FROM whole)" if any_row(con, "whole") else new, "flagged")
    con.execute("INSERT INTO mixed SELECT address, day FROM flagged EXCEPT SELECT address, day FROM mixed")
    _together(con, new)
    summing.add(con, policy, f"state.told WHERE {new} AND batch NOT IN (FROM summed) AND talk NOT IN (FROM whole)")
    con.execute(f"DELETE FROM sums WHERE {CHANNEL_TALK} IN (FROM whole)")
    _sessions(con, policy, "talk IN (FROM whole)", "UNION SELECT remote_h FROM sums")
    con.execute(f"INSERT INTO reads SELECT DISTINCT orig_h, {keys.DAY_OF} FROM session WHERE {INSIDE}")
    named = ", ".join(KINDS)
    con.execute(f"INSERT INTO sums ({named}) SELECT {named} FROM (SELECT * REPLACE ({NUMBER} AS cid) FROM ({channels.GROUPED}))")


def _twins(con: duckdb.DuckDBPyConnection, mark: int) -> None:
    """Sessions that another batch told too, under another uid: two sensors. Which of them counts is seen in the whole talk."""
    near = "ts BETWEEN {0!r}::DOUBLE - 1 AND {1!r}::DOUBLE + 1"
    ends = " AND ".join(f"n.{name} IS NOT DISTINCT FROM o.{name}" for name in ("orig_p", "resp_p", "orig_h", "resp_h", "proto"))
    for batch, first, last in con.execute(f"SELECT batch, min(ts), max(ts) FROM state.session WHERE batch > {mark} GROUP BY batch").fetchall():
        others = f"state.session WHERE batch < {batch} AND {near.format(first, last)}"
        row = con.execute(f"SELECT min(ts), max(ts) FROM {others}").fetchone()
        if row and row[0] is not None:
            ours = f"state.session WHERE batch = {batch} AND {near.format(*row)}"
            con.execute(f"""INSERT INTO whole SELECT unnest([n.talk, o.talk]) FROM (FROM {ours}) n JOIN (FROM {others}) o
                ON {ends} WHERE n.uid <> o.uid AND abs(n.ts - o.ts) <= 1""")


def _twins_of(con: duckdb.DuckDBPyConnection, first: int, last: int) -> None:
    """As `_twins`, among all sessions of some days and a second beside them."""
    rows = f"state.session WHERE ts BETWEEN {first * keys.DAY - 1} AND {(last + 1) * keys.DAY + 1}"
    ends = keys.hashed("orig_h", "orig_p", "resp_h", "resp_p", "proto")
    con.execute(f"CREATE OR REPLACE TEMP TABLE met AS SELECT {ends} AS ends FROM {rows} GROUP BY ends HAVING min(batch) < max(batch)")
    if any_row(con, "met"):
        held = f"SELECT {ends} AS ends, floor(ts) AS second, ts, uid, talk, batch FROM {rows} AND ends IN (FROM met)"
        con.execute(f"""INSERT INTO whole SELECT unnest([n.talk, o.talk])
            FROM (SELECT * REPLACE (unnest([second - 1, second, second + 1]) AS second) FROM ({held})) n JOIN ({held}) o USING (ends, second)
            WHERE n.batch < o.batch AND n.uid <> o.uid AND abs(n.ts - o.ts) <= 1""")


def flag(con: duckdb.DuckDBPyConnection, policy: Policy, rows: str, into: str) -> None:
    """Hosts and days with FTP, or with uploads in clear: a session of theirs may belong to the channel of another one (`channels.assign`)."""
    ports = ", ".join(str(int(port)) for port in policy.watched) or "NULL"
    found = con.execute(f"""SELECT DISTINCT orig_h, resp_h, day FROM state.told WHERE ({rows}) AND proto = 'tcp' AND (resp_p IN (21, 990)
        OR (coalesce(resp_p NOT IN ({ports}), TRUE) AND (service IS NULL OR service LIKE '%http%' OR service LIKE '%ftp%')
            AND coalesce(orig_low, orig_bytes, 0) >= 65536
            AND (resp_quality = 'unknown' OR coalesce(resp_low, resp_bytes, 0) * 3 <= coalesce(orig_low, orig_bytes, 0))))""").fetchall()
    sides = {address: policy.side(address) for row in found for address in row[:2]}
    inside = {(orig if sides[resp] == "public" and sides[orig] != "other" else resp, day)
              for orig, resp, day in found if "public" in (sides[orig], sides[resp]) and "other" not in (sides[orig], sides[resp])}
    con.execute(f"CREATE OR REPLACE TEMP TABLE {into} (address VARCHAR, day BIGINT)")
    tables.insert(con, into, sorted(inside), kinds={"address": "VARCHAR", "day": "BIGINT"})


def of_hosts(hosts: str) -> str:
    """SQL condition: sessions of the addresses and days of a table."""
    return f"((orig_h, day) IN (SELECT (address, day) FROM {hosts}) OR (resp_h, day) IN (SELECT (address, day) FROM {hosts}))"


def _together(con: duckdb.DuckDBPyConnection, new: str) -> None:
    """Of mixed hosts that something touched all talks are whole; those may touch others."""
    if not any_row(con, "mixed"):
        return
    con.execute("CREATE OR REPLACE TEMP TABLE together (address VARCHAR, day BIGINT)")
    stale = "state.stale WHERE address IS NOT NULL"
    named = f"OR resp_h IN (SELECT address FROM {stale})" if any_row(con, stale) else ""
    while True:
        added = con.execute(f"""INSERT INTO together
            SELECT DISTINCT m.address, m.day FROM mixed m JOIN (SELECT DISTINCT unnest([orig_h, resp_h]) AS address, day FROM state.session
                WHERE {new} OR talk IN (FROM whole) {named}) s ON s.address = m.address AND s.day = m.day
            EXCEPT SELECT address, day FROM together""").fetchone()
        con.execute(f"INSERT INTO whole SELECT DISTINCT talk FROM state.session WHERE {of_hosts('together')} AND talk NOT IN (FROM whole)")
        if not added or not added[0]:
            return


def _sessions(con: duckdb.DuckDBPyConnection, policy: Policy, whole: str, named: str = "") -> None:
    """`session` anew: those of whole talks, merged, turned, and given their channels; `name` for their addresses and those that are `named`."""
    con.execute("DELETE FROM session")
    con.execute("DELETE FROM name")
    con.execute("DELETE FROM fact")
    con.execute(f"INSERT INTO session ({READ}) SELECT {READ} FROM state.told WHERE {whole}")
    if any_row(con, "session"):
        facts = ", ".join(tables.FACT)
        con.execute(f"INSERT INTO fact ({facts}) SELECT {facts} FROM state.fact WHERE kind = 'ftp'")
        read.merge(con)
    outbound.turn(con, policy)
    names = ", ".join(tables.NAME)
    con.execute(f"""INSERT INTO name ({names}) SELECT {names} FROM state.name WHERE kind = 'dns' AND address IN (
        SELECT orig_h FROM session UNION SELECT resp_h FROM session {named}
        UNION SELECT address FROM state.stale WHERE address IS NOT NULL)""")
    channels.assign(con)


def again(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """`session` anew: everything that the judgement of the channels in `cand` reads."""
    line = policy.threshold("outbound_volume")
    ports = ", ".join(map(str, collect.PORTS))
    con.execute(f"CREATE OR REPLACE TEMP TABLE needed AS SELECT DISTINCT {CHANNEL_TALK} AS talk FROM cand")
    con.execute("""CREATE OR REPLACE TEMP TABLE beside AS SELECT DISTINCT inside_h AS address, CAST(day AS BIGINT) AS day FROM cand
        WHERE (inside_h, CAST(day AS BIGINT)) IN (SELECT (address, day) FROM mixed)""")
    if any_row(con, "beside"):
        con.execute(f"INSERT INTO needed SELECT DISTINCT talk FROM state.session WHERE day IN (SELECT day FROM beside) AND {of_hosts('beside')}")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE beside AS SELECT DISTINCT inside_h AS address, CAST(day AS BIGINT) AS day FROM cand
        WHERE direction = 'out' AND bytes_low >= {line}""")
    if any_row(con, "beside"):
        con.execute(f"""INSERT INTO needed SELECT DISTINCT talk FROM state.told WHERE day IN (SELECT day FROM beside) AND resp_p IN ({ports})
            AND resp_low > coalesce(orig_low, 0) AND (orig_h, day) IN (SELECT (address, day) FROM beside)""")
    _sessions(con, policy, "talk IN (FROM needed) AND day IN (SELECT DISTINCT day FROM cand)")
    names = ", ".join(tables.NAME)
    con.execute(f"INSERT INTO name ({names}) SELECT {names} FROM state.name WHERE kind = 'host' AND address IN (SELECT inside_h FROM cand)")


def _renamed(con: duckdb.DuckDBPyConnection) -> None:
    """Channels of the state that are touched: more came, a talk is whole, or their address has another name now. Only where sessions are kept."""
    con.execute("CREATE OR REPLACE TEMP TABLE kept_day AS SELECT DISTINCT CAST(day AS INTEGER) AS day FROM state.session")
    con.execute("""CREATE OR REPLACE TEMP TABLE gone AS SELECT * FROM state.channel
        WHERE day IN (SELECT DISTINCT day FROM sums) AND cid IN (SELECT cid FROM sums)""")
    stale = "SELECT address FROM state.stale WHERE address IS NOT NULL"
    if any_row(con, "whole") or any_row(con, f"({stale})"):
        con.execute(f"""INSERT INTO gone SELECT * FROM state.channel WHERE day IN (FROM kept_day) AND (talk IN (FROM whole) OR remote_h IN ({stale}))
            AND cid NOT IN (SELECT cid FROM gone)""")


_SUM = ("sessions", "siblings", "unfinished", "bytes_low", "bytes_in", "in_unknown", "push_low", "push_in", "push_sessions", "ssh_sessions",
        "tls_sessions", "odd_sessions")
_MOST = ("last_ts", "quality", "max_low", *KEYS)
# What is added to most; names, and what follows from them, seldom change, and nothing else does.
COUNTED = (*_SUM, *_MOST, "first_ts", "bytes_high", "busy", "clear_leg")
# A column of several parts of one channel as that of the whole; what has no word of its own is the same in all parts, or the least.
_COMBINE = {
    **dict.fromkeys(_SUM, "sum({0})"), **dict.fromkeys(_MOST, "max({0})"), **{name: f"arg_max({name}, {name}_key)" for name in channels.TIED},
    "bytes_high": "CASE WHEN count(bytes_high) = count(*) THEN sum(bytes_high) END",
    "busy": channels.BUSY.format("busy"), "clear_leg": "bool_and(clear_leg)",
}
# The same of two parts: `s`, and what was known before, `g`; a row is put together by a join where grouping takes five times as long.
_ADD = {
    **dict.fromkeys(_SUM, "coalesce(s.{0} + g.{1}, s.{0}, g.{1})"), **dict.fromkeys(_MOST, "greatest(s.{0}, g.{1})"),
    **{name: f"CASE WHEN coalesce(g.{name}_key > s.{name}_key, s.{name}_key IS NULL) THEN g.{{1}} ELSE s.{{0}} END" for name in channels.TIED},
    "bytes_high": "s.{0} + g.{1}", "busy": "(round(s.{0} * 1e6) + round(g.{1} * 1e6)) / 1e6", "clear_leg": "coalesce(s.{0} AND g.{1}, s.{0}, g.{1})",
}


def _added_up(con: duckdb.DuckDBPyConnection) -> None:
    """`sums` with one row a channel: there are several where more than one batch told of it."""
    if not any_row(con, "(SELECT cid FROM sums GROUP BY cid HAVING count(*) > 1)"):
        return
    columns = [name for name in KINDS if name != "cid"]
    summed = ", ".join(f"CAST({_COMBINE.get(name, 'min({0})').format(name)} AS {KINDS[name]}) AS {name}" for name in columns)
    con.execute(f"CREATE OR REPLACE TEMP TABLE sums AS SELECT cid, {summed} FROM sums GROUP BY cid")


def _channels(con: duckdb.DuckDBPyConnection) -> None:
    """`made`: new sums added to those that were there, but where all of a talk was read again."""
    _added_up(con)
    old = {"server_name": "asked"}
    both = ", ".join(
        f"CASE WHEN g.cid IS NULL THEN s.{name} ELSE CAST({_ADD.get(name, 'least(s.{0}, g.{1})').format(name, old.get(name, name))} AS {kind}) END"
        f" AS {name}" for name, kind in KINDS.items() if name != "cid"
    )
    held = ", ".join(f"{old.get(name, name)} AS {name}" for name in KINDS)
    grouped = f"""SELECT s.cid, {both} FROM sums s LEFT JOIN (SELECT * FROM gone WHERE talk NOT IN (FROM whole)) g ON g.cid = s.cid
        UNION ALL SELECT {held} FROM gone WHERE talk NOT IN (FROM whole) AND cid NOT IN (SELECT cid FROM sums)"""
    con.execute("DELETE FROM channel")
    channels.entities(con, "SELECT server_name AS name FROM sums UNION SELECT asked FROM gone UNION SELECT name FROM resolved")
    beside = "".join(f", g.{name}" for name in ("server_name AS asked", *KEYS))
    with tables.as_written(con):
        con.execute(f"""CREATE OR REPLACE TEMP TABLE made AS SELECT *, {CHANNEL_TALK} AS talk, {keys.pair()} AS pair, FALSE AS cand
            FROM ({channels.named(grouped, beside)})""")
    channels.forget(con)


def stored(where: str, cand: str) -> str:
    """SQL: rows of `channel`, with what `grouped` knows beside them, as state.channel keeps them."""
    beside = ", ".join(f"g.{name}" for name in KEYS)
    held = ", ".join(f"c.{name}" for name in tables.CHANNEL)
    own = keys.talk("c.inside_h", "c.remote_h", "c.day")
    return f"""SELECT {held}, g.server_name AS asked, {beside}, {own} AS talk, {keys.hashed("c.inside_h", "c.entity")} AS pair, {cand} AS cand
        FROM channel c JOIN grouped g USING (cid) WHERE {where}"""
