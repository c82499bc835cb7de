"""STEP 3: sessions to channels: all that one inside host sent to one address, port and transport in one UTC day, siblings included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netexfil import tables
from netexfil.entity import entity
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb

DAY = 86_400
MEMORY = 30  # days that count for prevalence


def build(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Fill `session.cid`, table `channel` (the days that have sessions are built anew, others stay) and table `fleet`.

    Reads `session`, `name`, `link`, `alert`. A function of these tables alone; row order does not matter. Set-based and linear.
    """
    tables.create(con)
    assign(con)
    con.execute("DELETE FROM channel WHERE day IN (SELECT DISTINCT CAST(floor(ts / 86400) AS INTEGER) FROM session)")
    con.execute(f"CREATE OR REPLACE TEMP TABLE grouped AS {GROUPED}")
    name(con)
    fleet(con, policy)


def assign(con: duckdb.DuckDBPyConnection) -> None:
    """Set `cid` of the sessions that belong to a channel. Leaves what `GROUPED` and `name` read."""
    _resolve(con)
    _assign(con)


def _resolve(con: duckdb.DuckDBPyConnection) -> None:
    """Temporary table resolved(address, name, first_ts, entity): the first name that DNS gave an address; it never changes later."""
    con.execute("""
        CREATE OR REPLACE TEMP TABLE resolved AS
        SELECT address, arg_min(name, (first_ts, name)) AS name, min(first_ts) AS first_ts FROM name
        WHERE kind = 'dns' AND name IS NOT NULL GROUP BY address""")
    _entities(con, "SELECT DISTINCT server_name AS name FROM session WHERE server_name IS NOT NULL UNION SELECT name FROM resolved")


def fleet(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Table `fleet` from table `channel`: a partition's rows add up with those of the others."""
    con.execute("DELETE FROM fleet")
    used = "SELECT entity, inside_h, day, sum(bytes_low) AS low FROM channel WHERE direction = 'out' GROUP BY ALL"
    seen = "SELECT '' AS entity, inside_h, day, sum(bytes_low) AS low FROM channel WHERE direction = 'out' GROUP BY ALL"
    for column, where in (("users", ""), ("senders", f"WHERE low >= {policy.threshold('sender')}")):
        con.execute(f"""
            INSERT INTO fleet (entity, day, {column})
            WITH held AS (SELECT * FROM ({used} UNION ALL {seen}) {where}),
            spans AS (SELECT entity, day, least(coalesce(lead(day) OVER (PARTITION BY entity, inside_h ORDER BY day), day + {MEMORY}),
                                                day + {MEMORY}) AS until FROM held),
            steps AS (SELECT entity, day, 1 AS step FROM spans UNION ALL SELECT entity, until, -1 FROM spans)
            SELECT entity, day, sum(step) FROM steps GROUP BY entity, day""")
    con.execute("""CREATE OR REPLACE TEMP TABLE summed AS SELECT entity, day, CAST(sum(coalesce(users, 0)) AS BIGINT) AS users,
                   CAST(sum(coalesce(senders, 0)) AS BIGINT) AS senders FROM fleet GROUP BY entity, day""")
    con.execute("DELETE FROM fleet")
    con.execute("INSERT INTO fleet SELECT entity, day, users, senders FROM summed ORDER BY entity, day")
    con.execute("DROP TABLE summed")


_KEY = "concat_ws('|', inside_h, remote_h, remote_p, proto, CAST(floor(ts / 86400) AS INTEGER), outbound)"
# 63 bits of the key's MD5: the same in every run, version and partition.
_CID = f"CAST(md5_number_lower({_KEY}) >> 1 AS BIGINT)"


def _assign(con: duckdb.DuckDBPyConnection) -> None:
    """Set `cid` of every session that belongs to a channel; add those that its port did not give away."""
    _add_linked(con)
    _add_clear_legs(con)
    con.execute(f"UPDATE session SET cid = {_CID} WHERE outbound IS NOT NULL AND cid IS NULL")
    _add_siblings(con)


def _add_linked(con: duckdb.DuckDBPyConnection) -> None:
    """A session to outside that an endpoint alert points to belongs to a channel, whatever its port."""
    con.execute("""
        UPDATE session SET outbound = 'true' WHERE outbound IS NULL AND inside_h = orig_h AND service IS DISTINCT FROM 'dns'
            AND sid IN (SELECT l.sid FROM link l JOIN alert a USING (eid) WHERE l.match IN ('five_tuple', 'community_id', 'process'))""")


def _add_clear_legs(con: duckdb.DuckDBPyConnection) -> None:
    """A one-sided upload in clear, or of an unknown kind, beside a watched session of the same host to the same address or name.

    Some services take the order over TLS and the data over plain HTTP (MEGA's API); the data would be missed by its port.
    """
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE leg AS
        WITH watched AS (
            SELECT DISTINCT s.inside_h, s.remote_h, coalesce(e.entity, n.entity, s.remote_h) AS entity, CAST(floor(s.ts / {DAY}) AS INTEGER) AS day
            FROM session s LEFT JOIN entity_of e ON e.name = s.server_name
                 LEFT JOIN resolved d ON d.address = s.remote_h AND d.first_ts < (floor(s.ts / {DAY}) + 1) * {DAY}
                 LEFT JOIN entity_of n ON n.name = d.name
            WHERE s.outbound = 'true'),
        clear AS (
            SELECT s.sid, s.inside_h, s.remote_h, coalesce(n.entity, s.remote_h) AS entity, CAST(floor(s.ts / {DAY}) AS INTEGER) AS day
            FROM session s LEFT JOIN resolved d ON d.address = s.remote_h AND d.first_ts < (floor(s.ts / {DAY}) + 1) * {DAY}
                LEFT JOIN entity_of n ON n.name = d.name
            WHERE s.outbound IS NULL AND s.inside_h = s.orig_h AND s.remote_h IS NOT NULL AND s.proto = 'tcp'
                  AND (s.service IS NULL OR s.service LIKE '%http%' OR s.service LIKE '%ftp%')
                  AND s.bytes_out_low >= 65536 AND coalesce(s.bytes_in, 0) * 3 <= s.bytes_out_low)
        SELECT DISTINCT c.sid FROM clear c JOIN watched w ON w.inside_h = c.inside_h AND w.day = c.day
            AND (w.remote_h = c.remote_h OR w.entity = c.entity)""")
    con.execute("UPDATE session SET outbound = 'true' WHERE sid IN (SELECT sid FROM leg)")


def _add_siblings(con: duckdb.DuckDBPyConnection) -> None:
    """FTP data sessions join the channel of their control session: announced, or between the same pair within the control's life.

    Under TLS the announced port is hidden, so any session of the pair on a high port that begins while the control session is open counts,
    in either direction (active mode comes from the server). Within one window only: a window's channels follow from its own sessions, so that
    windows can be built one by one; data that begins after midnight is a channel of its own.
    """
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE sibling AS
        WITH control AS (
            SELECT uid, cid, inside_h, remote_h, remote_p, ts, ts + coalesce(duration, 0) + 60 AS until
            FROM session WHERE outbound IS NOT NULL AND cid IS NOT NULL AND remote_p IN (21, 990) AND proto = 'tcp'),
        data AS (
            SELECT sid, ts, inside_h, remote_h, regexp_extract(coalesce(hints, ''), 'control=([^,]+)', 1) AS control_uid
            FROM session WHERE proto = 'tcp' AND inside_h IS NOT NULL AND inside_h IN (SELECT inside_h FROM control)
                 AND (resp_p >= 1024 OR orig_p = 20 OR hints LIKE '%ftp_data%') AND resp_p NOT IN (8443, 3389)
                 AND coalesce(service, '') NOT LIKE '%ssh%' AND coalesce(service, '') NOT LIKE '%http%')
        SELECT d.sid, arg_max(c.cid, CASE WHEN c.uid = d.control_uid THEN 1e12 ELSE c.ts END) AS cid
        FROM data d JOIN control c ON c.inside_h = d.inside_h AND c.remote_h = d.remote_h AND floor(c.ts / {DAY}) = floor(d.ts / {DAY})
            AND (c.uid = d.control_uid OR d.ts BETWEEN c.ts AND c.until)
        GROUP BY d.sid""")
    con.execute("""UPDATE session SET cid = sibling.cid, protocol = 'FTPS', outbound = coalesce(outbound, 'true')
                   FROM sibling WHERE session.sid = sibling.sid""")


def _entities(con: duckdb.DuckDBPyConnection, names: str) -> None:
    """Temporary table entity_of(name, entity) for the names that a query gives."""
    found = [row[0] for row in con.execute(names).fetchall() if row[0]]
    owners = [entity(name) for name in found]
    pairs = [(name, owner) for name, owner in zip(found, owners, strict=True) if owner]
    con.execute("CREATE OR REPLACE TEMP TABLE entity_of (name VARCHAR, entity VARCHAR)")
    if pairs:
        con.register("incoming_entity", {"n": np.array([p[0] for p in pairs], object), "e": np.array([p[1] for p in pairs], object)})
        con.execute("INSERT INTO entity_of SELECT n, e FROM incoming_entity")
        con.unregister("incoming_entity")


_PUSH = "(bytes_in IS NOT NULL AND bytes_out_low >= 3 * bytes_in AND bytes_out_low >= 16384)"
_SSH = "(coalesce(service, '') LIKE '%ssh%' OR ssh_client IS NOT NULL OR ssh_server IS NOT NULL)"
_TLS = "(coalesce(service, '') LIKE '%ssl%' OR tls_version IS NOT NULL OR coalesce(service, '') LIKE '%quic%')"
# Content that does not belong on its port, said by the bytes themselves.
_ODD = f"""(({_SSH} AND remote_p <> 22) OR ({_TLS} AND remote_p IN (22, 80, 53, 21)
            AND NOT (remote_p = 21 AND coalesce(service, '') LIKE '%ftp%')) OR coalesce(hints, '') LIKE '%no_tls%'
            OR coalesce(hints, '') LIKE '%clear%')"""


def _key(column: str) -> str:
    """What decides whose value a channel takes: the session that sent most; among equals the larger hash, so that order does not matter."""
    return f"(CAST(bytes_out_low AS HUGEINT) << 62) + CAST(hash({column}) >> 3 AS HUGEINT)"


def _tie(column: str) -> str:
    return f"arg_max({column}, {_key(column)}) AS {column}, max({_key(column)}) FILTER ({column} IS NOT NULL) AS {column}_key"


TIED = ("server_name", "protocol", "ssh_client")
# Seconds of all sessions, summed as whole microseconds: exact, in whatever order and in whatever parts.
BUSY = "CAST(sum(CAST(round({0} * 1e6) AS BIGINT)) AS DOUBLE) / 1e6"

# The channels of all sessions that have a `cid`, not named yet; `<column>_key` tell how far a channel's word is surpassed by another part of it.
GROUPED = f"""
    WITH member AS (SELECT s.*, b.sid IS NULL AS own FROM session s LEFT JOIN sibling b ON b.sid = s.sid WHERE s.cid IS NOT NULL)
    SELECT cid, CAST(floor(min(ts) FILTER (own) / {DAY}) AS INTEGER) AS day, min(inside_h) FILTER (own) AS inside_h,
        min(remote_h) FILTER (own) AS remote_h, min(remote_p) FILTER (own) AS remote_p, min(proto) FILTER (own) AS proto,
        CASE min(outbound) FILTER (own) WHEN 'pull' THEN 'pull' ELSE 'out' END AS direction,
        {", ".join(_tie(column) for column in TIED)},
        min(ts) AS first_ts, max(ts + coalesce(duration, 0)) AS last_ts, count(*) AS sessions, count(*) FILTER (NOT own) AS siblings,
        count(*) FILTER (coalesce(hints, '') LIKE '%open%' OR coalesce(hints, '') LIKE '%partial%') AS unfinished,
        sum(bytes_out_low) AS bytes_low, CASE WHEN count(bytes_out_high) = count(*) THEN sum(bytes_out_high) END AS bytes_high,
        sum(bytes_in) AS bytes_in, count(*) FILTER (bytes_in IS NULL) AS in_unknown,
        max(CASE byte_quality WHEN 'exact' THEN 0 WHEN 'bounded' THEN 1 ELSE 2 END) AS quality,
        coalesce(sum(bytes_out_low) FILTER ({_PUSH}), 0) AS push_low, coalesce(sum(bytes_in) FILTER ({_PUSH}), 0) AS push_in,
        count(*) FILTER ({_PUSH}) AS push_sessions, max(bytes_out_low) AS max_low, {BUSY.format("coalesce(duration, 0)")} AS busy,
        count(*) FILTER ({_SSH}) AS ssh_sessions, count(*) FILTER ({_TLS}) AS tls_sessions,
        count(*) FILTER ({_ODD} AND own) AS odd_sessions,
        bool_and(own AND NOT {_TLS} AND NOT {_SSH} AND protocol IN ('HTTP', 'Unknown', 'FTP')) AS clear_leg
    FROM member GROUP BY cid HAVING count(*) FILTER (own) > 0"""


def name(con: duckdb.DuckDBPyConnection) -> None:
    """Append to `channel` those in `grouped`, with their entity: by the name asked for, else the first that DNS gave the address by the window's end."""
    columns = ", ".join(
        {"entity": "coalesce(e.entity, r.entity, g.remote_h)", "server_name": "coalesce(g.server_name, d.name)"}.get(column, f"g.{column}")
        for column in tables.CHANNEL
    )
    con.execute(f"""
        INSERT INTO channel SELECT {columns} FROM grouped g
        LEFT JOIN entity_of e ON e.name = g.server_name
        LEFT JOIN resolved d ON d.address = g.remote_h AND g.direction = 'out' AND coalesce(d.first_ts, 0) < (g.day + 1) * {DAY}
        LEFT JOIN entity_of r ON r.name = d.name""")
    for table in ("resolved", "entity_of", "leg", "sibling"):
        con.execute(f"DROP TABLE IF EXISTS {table}")
