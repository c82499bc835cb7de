"""STEP 3: sessions to channels: all that one inside host sent to one address, port and transport in one UTC day, siblings included."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from netexfil import tables
from netexfil.entity import entity
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb

DAY = 86_400
SPELL = 600  # seconds; divides a day
MEMORY = 30  # days that count for prevalence
AT_ONCE = 1_000  # names that are handed over as they are: NumPy takes longer to come than they do
FEW = 20_000  # sessions that are grouped without looking for channels of one session first


def build(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Fill `session.cid`, table `channel` (the days that have sessions are built anew, others stay) and table `fleet`.

    Reads `session`, `name`, `link`, `alert`. A function of these tables alone; row order does not matter. Set-based and linear.
    """
    tables.create(con, ("name", "link", "alert", "channel", "fleet", "spoke", "active"))
    assign(con, "address IN (SELECT remote_h FROM session)")
    con.execute("DELETE FROM channel WHERE day IN (SELECT DISTINCT CAST(floor(ts / 86400) AS INTEGER) FROM session)")
    _name(con, _channels(con))
    fleet(con, policy)


def assign(con: duckdb.DuckDBPyConnection, which: str = "true") -> None:
    """Set `cid` of the sessions that belong to a channel. Leaves what `GROUPED` and `name` read, of the addresses that `which` (SQL) chooses."""
    _resolve(con, which)
    _assign(con)


def _resolve(con: duckdb.DuckDBPyConnection, which: str) -> None:
    """Temporary table resolved(address, name, first_ts, entity): the first name that DNS gave an address; it never changes later."""
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE resolved AS
        SELECT address, arg_min(name, (first_ts, name)) AS name, min(first_ts) AS first_ts FROM name
        WHERE kind = 'dns' AND name IS NOT NULL AND {which} GROUP BY address""")
    entities(con, "SELECT DISTINCT server_name AS name FROM session WHERE server_name IS NOT NULL UNION SELECT name FROM resolved")


def fleet(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Table `fleet` from the tables `channel` and `active`: a partition's rows add up with those of the others."""
    tables.create(con, ("active",))
    con.execute("DELETE FROM fleet")
    con.execute("""CREATE OR REPLACE TEMP TABLE used AS SELECT entity, inside_h, day, CAST(sum(bytes_low) AS HUGEINT) AS low FROM channel
                   WHERE direction = 'out' GROUP BY entity, inside_h, day""")
    con.execute("""INSERT INTO used SELECT '', inside_h, day, sum(low) FROM
                   (SELECT inside_h, day, low FROM used UNION ALL SELECT inside_h, day, 0 FROM active) GROUP BY inside_h, day""")
    days = con.execute("SELECT count(DISTINCT day) FROM used").fetchone()
    until = f"day + {MEMORY}"
    big = f"low >= {policy.threshold('sender')}"
    ends = {"until": until, "until_big": until}
    if days and days[0] > 1:
        windows = {"until": "entity, inside_h", "until_big": f"entity, inside_h, {big}"}
        ends = {name: f"least(coalesce(lead(day) OVER (PARTITION BY {by} ORDER BY day), {until}), {until})" for name, by in windows.items()}
    con.execute(f"""
        INSERT INTO fleet
        WITH spans AS (SELECT entity, day, {big} AS big, {", ".join(f"{how} AS {name}" for name, how in ends.items())} FROM used),
        steps AS (
            SELECT entity, day, count(*) AS users, count(*) FILTER (big) AS senders FROM spans GROUP BY entity, day
            UNION ALL SELECT entity, until, -count(*), 0 FROM spans GROUP BY entity, until
            UNION ALL SELECT entity, until_big, 0, -count(*) FROM spans WHERE big GROUP BY entity, until_big)
        SELECT entity, day, CAST(sum(users) AS BIGINT), CAST(sum(senders) AS BIGINT) FROM steps GROUP BY entity, day""")
    con.execute("DROP TABLE used")


def cid(host: str, remote: str, port: str, proto: str, day: str, way: str) -> str:
    """SQL of a channel's number: 63 bits of its key's MD5, the same in every run, version and partition. `way`: true, pull."""
    return f"CAST(md5_number_lower(concat_ws('|', {host}, {remote}, {port}, {proto}, CAST({day} AS INTEGER), {way})) >> 1 AS BIGINT)"


CID = cid("inside_h", "remote_h", "remote_p", "proto", "floor(ts / 86400)", "outbound")


def _assign(con: duckdb.DuckDBPyConnection) -> None:
    """Set `cid` of every session that belongs to a channel; add those that its port did not give away."""
    _add_linked(con)
    _add_clear_legs(con)
    con.execute(f"UPDATE session SET cid = {CID} WHERE outbound IS NOT NULL AND cid IS NULL")
    _add_siblings(con)


def _add_linked(con: duckdb.DuckDBPyConnection) -> None:
    """A session to outside that an endpoint alert points to belongs to a channel, whatever its port."""
    if not tables.some(con, "alert"):
        return
    con.execute("""
        UPDATE session SET outbound = 'true' WHERE outbound IS NULL AND inside_h = orig_h AND service IS DISTINCT FROM 'dns'
            AND sid IN (SELECT l.sid FROM link l JOIN alert a USING (eid) WHERE l.match IN ('five_tuple', 'community_id', 'process'))""")


def _add_clear_legs(con: duckdb.DuckDBPyConnection) -> None:
    """A one-sided upload in clear, or of an unknown kind, beside a watched session of the same host to the same address or name.

    Some services take the order over TLS and the data over plain HTTP (MEGA's API); the data would be missed by its port.
    """
    names = f"""LEFT JOIN resolved d ON d.address = s.remote_h AND d.first_ts < (floor(s.ts / {DAY}) + 1) * {DAY}
        LEFT JOIN entity_of n ON n.name = d.name"""
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE leg AS
        SELECT s.sid, s.inside_h, s.remote_h, coalesce(n.entity, s.remote_h) AS entity, CAST(floor(s.ts / {DAY}) AS INTEGER) AS day
        FROM (SELECT sid, inside_h, remote_h, ts FROM session WHERE outbound IS NULL AND inside_h = orig_h AND remote_h IS NOT NULL
              AND proto = 'tcp' AND (service IS NULL OR service LIKE '%http%' OR service LIKE '%ftp%')
              AND bytes_out_low >= 65536 AND coalesce(bytes_in, 0) * 3 <= bytes_out_low) s {names}""")
    if not tables.some(con, "leg"):
        return
    con.execute(f"""
        UPDATE session SET outbound = 'true' WHERE sid IN (
            WITH watched AS (
                SELECT DISTINCT s.inside_h, s.remote_h, coalesce(e.entity, n.entity, s.remote_h) AS entity,
                    CAST(floor(s.ts / {DAY}) AS INTEGER) AS day
                FROM (SELECT * FROM session WHERE outbound = 'true' AND inside_h IN (SELECT inside_h FROM leg)) s
                LEFT JOIN entity_of e ON e.name = s.server_name {names})
            SELECT c.sid FROM leg c JOIN watched w ON w.inside_h = c.inside_h AND w.day = c.day
                AND (w.remote_h = c.remote_h OR w.entity = c.entity))""")


def _add_siblings(con: duckdb.DuckDBPyConnection) -> None:
    """FTP data sessions join the channel of their control session: announced, or between the same pair within the control's life.

    Under TLS the announced port is hidden, so any session of the pair on a high port that begins while the control session is open counts,
    in either direction (active mode comes from the server). Within one window only: a window's channels follow from its own sessions, so that
    windows can be built one by one; data that begins after midnight is a channel of its own.
    """
    con.execute("CREATE OR REPLACE TEMP TABLE sibling (sid BIGINT, cid BIGINT)")
    control = "outbound IS NOT NULL AND cid IS NOT NULL AND remote_p IN (21, 990) AND proto = 'tcp'"
    if not tables.some(con, f"session WHERE {control}"):
        return
    con.execute(f"""
        INSERT INTO sibling
        WITH control AS (
            SELECT uid, cid, inside_h, remote_h, ts, ts + coalesce(duration, 0) + 60 AS until, CAST(floor(ts / {DAY}) AS BIGINT) AS day
            FROM session WHERE {control}),
        data AS (
            SELECT sid, ts, inside_h, remote_h, nullif(regexp_extract(coalesce(hints, ''), 'control=([^,]+)', 1), '') AS control_uid,
                CAST(floor(ts / {DAY}) AS BIGINT) AS day
            FROM session WHERE proto = 'tcp' AND inside_h IS NOT NULL AND inside_h IN (SELECT inside_h FROM control)
                 AND (resp_p >= 1024 OR orig_p = 20 OR hints LIKE '%ftp_data%') AND resp_p NOT IN (8443, 3389)
                 AND coalesce(service, '') NOT LIKE '%ssh%' AND coalesce(service, '') NOT LIKE '%http%'
                 AND NOT coalesce({control}, false)),  -- which would be its own sibling, and its channel lost
        -- the spells of a day in which a control session was open: pairs of sessions are compared within a spell only
        open AS (
            SELECT cid, inside_h, remote_h, ts, until,
                unnest(range(CAST(floor(ts / {SPELL}) AS BIGINT), CAST(floor(least(until, (day + 1) * {DAY} - 1) / {SPELL}) AS BIGINT) + 1)) AS spell
            FROM control),
        tied AS (
            SELECT d.sid, c.cid, 1e12 AS rank FROM data d JOIN control c USING (inside_h, remote_h, day) WHERE c.uid = d.control_uid
            UNION ALL
            SELECT d.sid, o.cid, o.ts FROM data d JOIN open o ON o.inside_h = d.inside_h AND o.remote_h = d.remote_h
                AND o.spell = CAST(floor(d.ts / {SPELL}) AS BIGINT) AND d.ts BETWEEN o.ts AND o.until)
        SELECT sid, arg_max(cid, rank) FROM tied GROUP BY sid""")
    con.execute("""UPDATE session SET cid = sibling.cid, protocol = 'FTPS', outbound = coalesce(outbound, 'true')
                   FROM sibling WHERE session.sid = sibling.sid""")


def entities(con: duckdb.DuckDBPyConnection, names: str) -> None:
    """Temporary table entity_of(name, entity) for the names that a query gives."""
    found = [row[0] for row in con.execute(names).fetchall() if row[0]]
    owners = [entity(name) for name in found]
    pairs = [(name, owner) for name, owner in zip(found, owners, strict=True) if owner]
    con.execute("CREATE OR REPLACE TEMP TABLE entity_of (name VARCHAR, entity VARCHAR)")
    if 0 < len(pairs) <= AT_ONCE:
        con.execute("INSERT INTO entity_of SELECT unnest(?), unnest(?)", list(zip(*pairs, strict=True)))
    elif pairs:
        import numpy as np

        con.register("incoming_entity", {"n": np.array([p[0] for p in pairs], object), "e": np.array([p[1] for p in pairs], object)})
        con.execute("INSERT INTO entity_of SELECT n, e FROM incoming_entity")
        con.unregister("incoming_entity")


def _has(column: str, word: str) -> str:
    """Whether a comma separated list holds a word; no word that is asked for is part of another."""
    return f"coalesce(contains({column}, '{word}'), false)"


# What is asked of a session more than once.
_FLAGS: Mapping[str, str] = {
    "push": "bytes_in IS NOT NULL AND bytes_out_low >= 3 * bytes_in AND bytes_out_low >= 16384",
    "ssh": f"{_has('service', 'ssh')} OR ssh_client IS NOT NULL OR ssh_server IS NOT NULL",
    "tls": f"{_has('service', 'ssl')} OR tls_version IS NOT NULL OR {_has('service', 'quic')}",
}
# Content that does not belong on its port, said by the bytes themselves.
_ODD = f"""(is_ssh AND remote_p <> 22 OR is_tls AND remote_p IN (22, 80, 53, 21) AND NOT (remote_p = 21 AND {_has('service', 'ftp')})
    OR {_has('hints', 'no_tls')} OR {_has('hints', 'clear')})"""


def tied(column: str, sent: str = "bytes_out_low") -> str:
    """What decides whose value a channel takes: the session that sent most; among equals the larger hash, so that order does not matter."""
    return f"CASE WHEN {column} IS NOT NULL THEN (CAST({sent} AS HUGEINT) << 62) + CAST({rank(column)} AS HUGEINT) END"


def rank(column: str) -> str:
    return f"hash({column}) >> 3"


def _flag(condition: str) -> str:
    return f"CASE WHEN {condition} THEN 1 ELSE 0 END"


TIED = ("server_name", "protocol", "ssh_client")
# Seconds of all sessions, summed as whole microseconds: exact, in whatever order and in whatever parts.
BUSY = "CAST(sum(CAST(round({0} * 1e6) AS BIGINT)) AS DOUBLE) / 1e6"

# What one session gives to its channel, and how the sessions of a channel are put together. `own`: not a sibling.
_MEASURES: Mapping[str, tuple[str, str]] = {
    "day": (f"CAST(floor(ts / {DAY}) AS INTEGER)", "own"), "inside_h": ("inside_h", "own"), "remote_h": ("remote_h", "own"),
    "remote_p": ("remote_p", "own"), "proto": ("proto", "own"),
    "direction": ("CASE outbound WHEN 'pull' THEN 'pull' ELSE 'out' END", "own"), **{name: (name, "tied") for name in TIED},
    "first_ts": ("ts", "min"), "last_ts": ("ts + coalesce(duration, 0)", "max"), "sessions": ("1", "sum"), "siblings": (_flag("NOT own"), "sum"),
    "unfinished": (_flag("contains(hints, 'open') OR contains(hints, 'partial')"), "sum"), "bytes_low": ("bytes_out_low", "sum"),
    "bytes_high": ("bytes_out_high", "all"), "bytes_in": ("bytes_in", "sum"), "in_unknown": (_flag("bytes_in IS NULL"), "sum"),
    "quality": ("CASE byte_quality WHEN 'exact' THEN 0 WHEN 'bounded' THEN 1 ELSE 2 END", "max"),
    "push_low": ("CASE WHEN is_push THEN bytes_out_low ELSE 0 END", "sum"), "push_in": ("CASE WHEN is_push THEN bytes_in ELSE 0 END", "sum"),
    "push_sessions": (_flag("is_push"), "sum"), "max_low": ("bytes_out_low", "max"),
    "busy": ("CAST(round(coalesce(duration, 0) * 1e6) AS BIGINT)", "busy"),
    "ssh_sessions": (_flag("is_ssh"), "sum"), "tls_sessions": (_flag("is_tls"), "sum"), "odd_sessions": (_flag(f"{_ODD} AND own"), "sum"),
    "clear_leg": ("own AND proto = 'tcp' AND NOT is_tls AND NOT is_ssh AND protocol IN ('HTTP', 'Unknown', 'FTP')", "bool_and"),
}
# A log may claim any counts: they are not to stop the rest, and several parts still add up. Not `least`, for which unknown is the larger.
_SUM = "CASE WHEN sum({0}) > 1000000000000000000 THEN 1000000000000000000 ELSE sum({0}) END"
_TOGETHER: Mapping[str, str] = {
    "own": "any_value({0}) FILTER (own)", "tied": "arg_max({0}, {0}_key)", "all": f"CASE WHEN count({{0}}) = count(*) THEN {_SUM} END",
    "sum": _SUM, "busy": "CAST(sum({0}) AS DOUBLE) / 1e6",
}


def _members(where: str, siblings: bool, keys: bool = True, sessions: str = "session") -> str:
    """What each session gives, a row a session; with `keys` what decides the words."""
    given = [f"{how} AS {name}" for name, (how, _) in _MEASURES.items()] + [f"{tied(name)} AS {name}_key" for name in TIED if keys]
    flags = ", ".join(f"{how} AS is_{name}" for name, how in _FLAGS.items())
    rows = f"b.sid IS NULL AS own FROM {sessions} s LEFT JOIN sibling b ON b.sid = s.sid" if siblings else f"true AS own FROM {sessions} s"
    return f"SELECT cid, own, {', '.join(given)} FROM (SELECT s.*, {flags}, {rows} WHERE s.cid IS NOT NULL{where})"


def _grouped(where: str = "", siblings: bool = True, keys: bool = True, sessions: str = "session", unsaid: Collection[str] = ()) -> str:
    together = _TOGETHER if siblings else {**_TOGETHER, "own": "any_value({0})"}
    how = {name: together.get(kind, f"{kind}({{0}})").format(name) for name, (_, kind) in _MEASURES.items()}
    if not siblings:
        how["siblings"] = "0"
    if keys:
        how |= {f"{name}_key": f"max({name}_key)" for name in TIED}
    for name in TIED:
        if name in unsaid:
            how |= {name: "CAST(NULL AS VARCHAR)", f"{name}_key": "CAST(NULL AS HUGEINT)"}
    query = f"""SELECT cid, {", ".join(f"{sql} AS {name}" for name, sql in how.items())}
        FROM ({_members(where, siblings, True, sessions)}) GROUP BY cid"""
    return f"{query} HAVING count(*) FILTER (own) > 0" if siblings else query


def grouped(sessions: str, unsaid: Collection[str] = ()) -> str:
    """SQL: as `GROUPED`, of the sessions that a query gives, none of which is a sibling; columns that are null in all of them are `unsaid`."""
    return _grouped("", False, True, f"({sessions})", unsaid)


# The channels of all sessions that have a `cid`, not named yet; `<column>_key` tell how far a channel's word is surpassed by another part of it.
GROUPED = _grouped()


def _channels(con: duckdb.DuckDBPyConnection) -> str:
    """The query for all channels, without keys. A channel of one session, as most are, is its session: nothing is to be grouped."""
    siblings = tables.some(con, "sibling")
    row = con.execute("SELECT count(cid) FROM session").fetchone()
    if row and row[0] < FEW:
        return _grouped("", siblings, keys=False)
    con.execute("CREATE OR REPLACE TEMP TABLE several AS SELECT cid FROM session WHERE cid IS NOT NULL GROUP BY cid HAVING count(*) > 1")
    one = ", ".join(f"{name} / 1e6 AS {name}" if kind == "busy" else name for name, (_, kind) in _MEASURES.items())
    alone = _members(" AND s.cid NOT IN (FROM several)", siblings, keys=False)
    return f"SELECT cid, {one} FROM ({alone}) WHERE own UNION ALL {_grouped(' AND s.cid IN (FROM several)', siblings, keys=False)}"


def name(con: duckdb.DuckDBPyConnection) -> None:
    """Append to `channel` those in `grouped`, with their entity."""
    _name(con, "FROM grouped")


def _name(con: duckdb.DuckDBPyConnection, found: str) -> None:
    with tables.as_written(con):
        con.execute(f"INSERT INTO channel {named(found)}")
    forget(con)


def named(found: str, more: str = "") -> str:
    """SQL: channels with their entity: by the name asked for, else the first that DNS gave the address by the window's end.

    Args:
        found: a query of channels, `g`.
        more: other columns, as SQL over `g`.
    """
    columns = ", ".join(
        {"entity": "coalesce(e.entity, r.entity, g.remote_h) AS entity", "server_name": "coalesce(g.server_name, d.name) AS server_name"}.get(
            column, f"g.{column}") for column in tables.CHANNEL
    )
    return f"""SELECT {columns}{more} FROM ({found}) g
        LEFT JOIN entity_of e ON e.name = g.server_name
        LEFT JOIN resolved d ON d.address = CASE WHEN e.entity IS NULL AND g.direction = 'out' THEN g.remote_h END
            AND coalesce(d.first_ts, 0) < (g.day + 1.0) * {DAY}
        LEFT JOIN entity_of r ON r.name = d.name"""


def forget(con: duckdb.DuckDBPyConnection) -> None:
    """Drop what `assign` left for `name`."""
    for table in ("resolved", "entity_of", "leg", "sibling", "several"):
        con.execute(f"DROP TABLE IF EXISTS {table}")
