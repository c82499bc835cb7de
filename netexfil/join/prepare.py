"""Working tables of the join: addresses and hosts as numbers, sessions and events under canonical keys.

Everything is set-based: ten million rows a side are joined as whole numbers, never as text. All tables are temporary.

| table | a row is | columns |
|---|---|---|
| `join_addr` | an address | id, address |
| `join_host` | a monitored host | hk, name |
| `join_clock` | a clock: one time field of one kind of event of one host | clock, hk, dialect, event_id, kind, ts_field |
| `join_session` | a session | sid, h (hash of uid), key (unordered five-tuple), community_id, ts, dur, a, b (addresses), ap, bp, proto, midstream |
| `join_event` | an event | eid, kind, clock, hk, ts, ts_rec, key, community_id, l, lp, r, rp, proto, initiated, pid, guid, base |
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

PROTO = "CASE lower({0}) WHEN 'tcp' THEN 6 WHEN 'udp' THEN 17 ELSE NULL END"

# IPv6 text that may not be in its canonical form: capitals, zones, mapped IPv4, leading or uncompressed zeros.
ODD = r"[A-Z%]|ffff|:0:0|(^|:)0[0-9a-f]|(^|:)0::|::0(:|$)|[^0-9a-f:.]"

# A process identity that names nothing.
NO_GUID = r"^[0{}-]*$"


def clear(con: duckdb.DuckDBPyConnection, keep: tuple[str, ...] = ()) -> None:
    """Drop the working tables of an earlier run, but those named."""
    rows = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE temporary AND (starts_with(table_name, 'join_') OR table_name = 'host_address')"
    )
    for (name,) in rows.fetchall():
        if name not in keep:
            con.execute(f"DROP TABLE temp.{name}")


def build(con: duckdb.DuckDBPyConnection) -> None:
    """Fill the working tables from `session` and `event`."""
    clear(con)
    _addresses(con)
    _hosts(con)
    _sessions(con)
    _events(con)


def canonical(text: str) -> str:
    """An address as everybody writes it: IPv6 compressed, IPv4-mapped unwrapped, no zone; anything else as it is."""
    try:
        ip = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return text
    mapped = getattr(ip, "ipv4_mapped", None)
    return str(mapped or ip)


def _addresses(con: duckdb.DuckDBPyConnection) -> None:
    """One number for each address in whatever spelling: `join_addr` maps each spelling to the id of its canonical form."""
    con.execute(
        """
        CREATE TEMP TABLE join_left AS SELECT DISTINCT address FROM (SELECT orig_h AS address FROM session
        UNION ALL SELECT resp_h FROM session
        UNION ALL SELECT local_ip FROM event
        UNION ALL SELECT remote_ip FROM event) WHERE address IS NOT NULL
        """
    )
    odd = con.execute("SELECT address FROM join_left WHERE regexp_matches(address, ?)", [ODD]).fetchall()
    con.execute("CREATE TEMP TABLE join_odd (address VARCHAR, form VARCHAR)")
    if odd:
        import numpy as np

        spelled = [row[0] for row in odd]
        con.register("incoming", {"address": np.array(spelled, dtype=object), "form": np.array([canonical(text) for text in spelled], dtype=object)})
        con.execute("INSERT INTO join_odd SELECT address, form FROM incoming WHERE address <> form")
        con.unregister("incoming")
    con.execute(
        """
        CREATE TEMP TABLE join_addr AS SELECT address, form, (dense_rank() OVER (ORDER BY form))::INTEGER AS id FROM (
            SELECT address, coalesce(form, address) AS form FROM join_left LEFT JOIN join_odd USING (address))
        """
    )
    con.execute("DROP TABLE join_left")


def _hosts(con: duckdb.DuckDBPyConnection) -> None:
    """Hosts by name; an agent's id stands for the name that some event gives with it."""
    con.execute(
        """
        CREATE TEMP TABLE join_host AS
        WITH said AS (SELECT DISTINCT host, host_id FROM event),
        named AS (SELECT host_id, min(host) AS host FROM said WHERE host IS NOT NULL AND host_id IS NOT NULL GROUP BY host_id),
        whole AS (
            SELECT said.host, said.host_id, coalesce(said.host, named.host, said.host_id, '') AS name
            FROM said LEFT JOIN named USING (host_id))
        SELECT host, host_id, name, (dense_rank() OVER (ORDER BY name))::INTEGER AS hk FROM whole
        """
    )


def _key(a: str, ap: str, b: str, bp: str, proto: str) -> str:
    """SQL of the unordered five-tuple as one HUGEINT: low end, high end (address id, port), protocol; NULL where a part is missing."""
    low = f"({a}, {ap}) <= ({b}, {bp})"
    ends = f"CASE WHEN {low} THEN {a} ELSE {b} END::HUGEINT * 4294967296 + CASE WHEN {low} THEN {b} ELSE {a} END"
    ports = f"CASE WHEN {low} THEN {ap} ELSE {bp} END::HUGEINT * 65536 + CASE WHEN {low} THEN {bp} ELSE {ap} END"
    return f"(({ends}) * 4294967296 + ({ports})) * 256 + {proto}"


def _sessions(con: duckdb.DuckDBPyConnection) -> None:
    proto = PROTO.format("s.proto")
    con.execute(
        f"""
        CREATE TEMP TABLE join_session AS
        SELECT s.sid, hash(s.uid) AS h, {_key('a.id', 's.orig_p', 'b.id', 's.resp_p', proto)} AS key, s.community_id, s.ts,
            coalesce(s.duration, 0) AS dur, a.id AS a, b.id AS b, s.orig_p AS ap, s.resp_p AS bp, {proto} AS proto,
            contains(coalesce(s.hints, ''), 'midstream')
                OR ({proto} = 6 AND length(coalesce(s.history, '')) > 0 AND NOT regexp_matches(s.history, '[SsHh]')) AS midstream
        FROM session s LEFT JOIN join_addr a ON a.address = s.orig_h LEFT JOIN join_addr b ON b.address = s.resp_h
        WHERE s.ts IS NOT NULL
        """
    )


def _events(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        """
        CREATE TEMP TABLE join_clock AS
        SELECT row_number() OVER () - 1 AS clock, * FROM (
            SELECT DISTINCT h.hk, h.name, coalesce(e.dialect, '') AS dialect, coalesce(e.event_id, '') AS event_id,
                coalesce(e.kind, '') AS kind, coalesce(e.ts_field, '') AS ts_field
            FROM event e JOIN join_host h ON e.host IS NOT DISTINCT FROM h.host AND e.host_id IS NOT DISTINCT FROM h.host_id
            ORDER BY ALL)
        """
    )
    proto = PROTO.format("e.proto")
    con.execute(
        rf"""
        CREATE TEMP TABLE join_event AS
        SELECT e.eid, coalesce(e.kind, '') AS kind, c.clock::INTEGER AS clock, h.hk, e.ts, e.ts_rec,
            {_key('l.id', 'nullif(e.local_p, 0)', 'r.id', 'e.remote_p', proto)} AS key,
            CASE WHEN key IS NULL THEN e.community_id END AS community_id,
            l.id AS l, nullif(e.local_p, 0) AS lp, r.id AS r, e.remote_p AS rp, {proto} AS proto, e.initiated, e.pid,
            CASE WHEN NOT regexp_matches(coalesce(e.guid, ''), '{NO_GUID}')
                THEN regexp_replace(lower(e.guid), '[{{}}]', '', 'g') END AS guid,
            lower(regexp_extract(e.image, '[^\\/]*$')) AS base
        FROM event e JOIN join_host h ON e.host IS NOT DISTINCT FROM h.host AND e.host_id IS NOT DISTINCT FROM h.host_id
        JOIN join_clock c ON c.hk = h.hk AND c.dialect = coalesce(e.dialect, '') AND c.event_id = coalesce(e.event_id, '')
            AND c.kind = coalesce(e.kind, '') AND c.ts_field = coalesce(e.ts_field, '')
        LEFT JOIN join_addr l ON l.address = e.local_ip LEFT JOIN join_addr r ON r.address = e.remote_ip
        """
    )


def count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    """Rows of a table (one of ours)."""
    row = con.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0


__all__ = ["build", "canonical", "clear", "count"]
