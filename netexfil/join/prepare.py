"""Working tables of the join: hosts as numbers, addresses and five-tuples as hashes of their canonical form, sessions and events under them.

Everything is set-based: ten million rows a side are joined as whole numbers, never as text. Only sessions that some event could be tied to take
part: one end is an address that a host is known by, or (hosts whose own address this sensor does not see) the far end is one that they told
of. All tables are temporary.

| table | a row is | columns |
|---|---|---|
| `join_addr` | an address of telemetry, names or the user's map | address, form, id (its hash), own (a host's), told (by an event), here, far |
| `join_odd` | an address not written in its canonical form | address, form |
| `join_host` | a monitored host, by each name and identity that events give it | host, ident, name, hk, alone (nobody else has its name) |
| `join_clock` | a clock: one time field of one kind of event of one host | clock, hk, dialect, event_id, kind, ts_field |
| `join_session` | a session that may be tied | sid, h (hash of uid), key, pair, community_id, ts, dur, a, b, ap, bp, proto, midstream |
| `join_event` | an event | eid, kind, clock, hk, ts, ts_rec, key, pair, community_id, l, lp, r, rp, proto, side, here, far, pid, base, pk |
| `join_span` | all sessions | t0, t1 (first and last start), ended |

`key` is a hash of the unordered five-tuple; `pair` (of the two addresses) is compared where keys meet. `here`: the event's own address is on
this sensor; `far`: it is not, and no loopback: behind a translator.
`side`: 1 where the event says that its host was connected to, else 0. `pk`: the process, where it has a GUID. `tuples.correct` turns `ts` into `t`
and `offset`, and drops what is not asked for any more.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from netexfil.join import machines

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

PROTO = "CASE lower({0}) WHEN 'tcp' THEN 6 WHEN 'udp' THEN 17 ELSE NULL END"

# IPv6 text that may not be in its canonical form: capitals, zones, mapped IPv4, leading or uncompressed zeros.
ODD = r"[A-Z%]|ffff|:0:0|(^|:)0[0-9a-f]|(^|:)0::|::0(:|$)|[^0-9a-f:.]"

TOLD = "SELECT 1 FROM event WHERE community_id IS NOT NULL LIMIT 1"

ID = "(hash({0}) >> 1)::BIGINT"  # of an address in its canonical form

NEAR = r"^(127|169\.254|0)\.|:"  # what a host says to itself or to its neighbours; IPv6 is not translated

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


def build(con: duckdb.DuckDBPyConnection, given: Sequence[str] = ()) -> None:
    """Fill the working tables from `session` and `event`. `given`: addresses of hosts that the user names."""
    addresses(con, given)
    _sessions(con)
    _events(con)
    _translated(con)


def addresses(con: duckdb.DuckDBPyConnection, given: Sequence[str] = ()) -> None:
    """Fill `join_host`, `join_addr` and `join_odd`; no other working table stays."""
    clear(con)
    machines.build(con)
    _addresses(con, given)


def canonical(text: str) -> str:
    """An address as everybody writes it: IPv6 compressed, IPv4-mapped unwrapped, no zone; anything else as it is."""
    try:
        ip = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return text
    mapped = getattr(ip, "ipv4_mapped", None)
    return str(mapped or ip)


def _addresses(con: duckdb.DuckDBPyConnection, given: Sequence[str]) -> None:
    """`join_addr` and `join_odd`."""
    con.execute("CREATE TEMP TABLE join_given (address VARCHAR)")
    if given:
        con.executemany("INSERT INTO join_given VALUES (?)", [[address] for address in given])
    con.execute(
        """
        CREATE TEMP TABLE join_left AS SELECT address, bool_or(own) AS own, bool_or(told) AS told FROM (
        SELECT DISTINCT local_ip AS address, true AS own, true AS told FROM event
        UNION ALL SELECT DISTINCT remote_ip, false, true FROM event
        UNION ALL SELECT trim(unnest(string_split_regex(host_ips, '[,; ]+'))), true, false
            FROM (SELECT DISTINCT host_ips FROM event WHERE host_ips IS NOT NULL)
        UNION ALL SELECT n.address, true, false FROM name n JOIN join_host h ON h.name = lower(split_part(n.name, '.', 1)) WHERE n.kind = 'host'
        UNION ALL SELECT address, true, false FROM join_given) WHERE address IS NOT NULL GROUP BY address
        """
    )
    odd = con.execute(
        """
        SELECT address FROM (SELECT address FROM join_left UNION SELECT orig_h FROM session WHERE contains(orig_h, ':')
        UNION SELECT resp_h FROM session WHERE contains(resp_h, ':')) WHERE regexp_matches(address, ?)
        """, [ODD]).fetchall()
    con.execute("CREATE TEMP TABLE join_odd (address VARCHAR, form VARCHAR)")
    if odd:
        import numpy as np

        spelled = [row[0] for row in odd]
        con.register("incoming", {"address": np.array(spelled, dtype=object), "form": np.array([canonical(text) for text in spelled], dtype=object)})
        con.execute("INSERT INTO join_odd SELECT address, form FROM incoming WHERE address <> form")
        con.unregister("incoming")
    con.execute(
        f"""
        CREATE TEMP TABLE join_addr AS SELECT address, coalesce(o.form, address) AS form, {ID.format("coalesce(o.form, address)")} AS id, own, told
            FROM join_left LEFT JOIN join_odd o USING (address)
        """
    )
    con.execute("DROP TABLE join_left")
    con.execute("DROP TABLE join_given")


def _key(a: str, ap: str, b: str, bp: str, proto: str) -> str:
    """SQL of the unordered five-tuple as one number; NULL where a part is missing."""
    ends = " + ".join(f"(hash({ip}, {port}, {proto}) >> 1)" for ip, port in ((a, ap), (b, bp)))
    return f"CASE WHEN {a} IS NOT NULL AND {b} IS NOT NULL AND {ap} IS NOT NULL AND {bp} IS NOT NULL AND {proto} IS NOT NULL THEN {ends} END"


# Sessions with one end that a host is known by; spelled in any way.
_MINE = """
    SELECT form FROM join_addr WHERE {0} UNION SELECT address FROM join_odd WHERE form IN (SELECT form FROM join_addr WHERE {0})
"""


def _sessions(con: duckdb.DuckDBPyConnection) -> None:
    """`join_session`, `join_span`, and `far` of `join_addr`."""
    con.execute(f"CREATE TEMP TABLE join_mine AS {_MINE.format('own')}")
    wanted = "(s.orig_h IN (FROM join_mine) OR s.resp_h IN (FROM join_mine))"
    if con.execute(TOLD).fetchall():
        wanted = f"({wanted} OR s.community_id IN (SELECT community_id FROM event WHERE community_id IS NOT NULL))"
    con.execute(f"CREATE TEMP TABLE join_session AS {_rows(con, wanted)}")
    con.execute(
        """
        CREATE TEMP TABLE join_span AS SELECT min(ts) AS t0, max(ts) AS t1, max(ts + coalesce(duration, 0)) AS ended FROM session
        """
    )
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE join_addr AS SELECT *, own AND NOT here AND NOT regexp_matches(form, '{NEAR}') AS far
            FROM (SELECT *, id IN (SELECT a FROM join_session UNION ALL SELECT b FROM join_session) AS here FROM join_addr)
        """
    )


def _rows(con: duckdb.DuckDBPyConnection, wanted: str) -> str:
    """A query of `join_session`'s columns, of the sessions `wanted` (SQL)."""
    name = "s.community_id" if con.execute(TOLD).fetchall() else "NULL::VARCHAR"
    proto, a, b, odd = PROTO.format("s.proto"), ID.format("s.orig_h"), ID.format("s.resp_h"), ""
    if count(con, "join_odd"):
        a, b = ID.format("coalesce(oa.form, s.orig_h)"), ID.format("coalesce(ob.form, s.resp_h)")
        odd = "LEFT JOIN join_odd oa ON oa.address = s.orig_h LEFT JOIN join_odd ob ON ob.address = s.resp_h"
    return f"""
        SELECT sid, h, {_key('a', 'ap', 'b', 'bp', 'proto')} AS key, xor(a, b) AS pair, community_id, ts, dur, a, b, ap, bp, proto, midstream
        FROM (
        SELECT s.sid, hash(s.uid) AS h, {name} AS community_id, s.ts, coalesce(s.duration, 0) AS dur,
            CASE WHEN s.orig_h IS NOT NULL THEN {a} END AS a, CASE WHEN s.resp_h IS NOT NULL THEN {b} END AS b,
            s.orig_p AS ap, s.resp_p AS bp, {proto} AS proto,
            contains(coalesce(s.hints, ''), 'midstream')
                OR ({proto} = 6 AND length(coalesce(s.history, '')) > 0 AND NOT regexp_matches(s.history, '[SsHh]')) AS midstream
        FROM session s {odd} WHERE s.ts IS NOT NULL AND {wanted})
    """


def _translated(con: duckdb.DuckDBPyConnection) -> None:
    """Add to `join_session` those whose far end is one that hosts told of whose own address is not here (or that tell no address of theirs):
    the responder of what they began, the originator of what was begun with them (a port that is forwarded to them)."""
    con.execute(
        """
        CREATE TEMP TABLE join_theirs AS SELECT DISTINCT side, r AS id FROM join_event WHERE r IS NOT NULL AND rp IS NOT NULL
            AND (far OR (lp IS NULL AND NOT coalesce(here, false)))
        """
    )
    for side, end in enumerate(("resp_h", "orig_h")):
        theirs = f"id IN (SELECT id FROM join_theirs WHERE side = {side})"
        if con.execute(f"SELECT 1 FROM join_addr WHERE {theirs} LIMIT 1").fetchall():
            wanted = f"s.{end} IN ({_MINE.format(theirs)})"
            con.execute(f"INSERT INTO join_session {_rows(con, wanted)} WHERE sid NOT IN (SELECT sid FROM join_session)")
    con.execute("DROP TABLE join_theirs")
    con.execute("DROP TABLE join_mine")


def _events(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        f"""
        CREATE TEMP TABLE join_clock AS
        SELECT row_number() OVER () - 1 AS clock, * FROM (
            SELECT DISTINCT h.hk, h.name, coalesce(e.dialect, '') AS dialect, coalesce(e.event_id, '') AS event_id,
                coalesce(e.kind, '') AS kind, coalesce(e.ts_field, '') AS ts_field
            FROM (SELECT DISTINCT host, {machines.IDENT.format("")} AS ident, dialect, event_id, kind, ts_field FROM event) e
            JOIN join_host h ON e.host IS NOT DISTINCT FROM h.host AND e.ident IS NOT DISTINCT FROM h.ident
            ORDER BY ALL)
        """
    )
    proto = PROTO.format("e.proto")
    con.execute(
        rf"""
        CREATE TEMP TABLE join_event AS
        SELECT * EXCLUDE (guid, community_id), CASE WHEN NOT regexp_matches(coalesce(guid, ''), '{NO_GUID}')
                THEN hash(hk, regexp_replace(lower(guid), '[{{}}]', '', 'g')) END AS pk, {_key('l', 'lp', 'r', 'rp', 'proto')} AS key,
            xor(l, r) AS pair, CASE WHEN key IS NULL THEN community_id END AS community_id FROM (
        SELECT e.eid, coalesce(e.kind, '') AS kind, c.clock::INTEGER AS clock, h.hk, e.ts, e.ts_rec, e.community_id, e.guid,
            l.id AS l, nullif(e.local_p, 0) AS lp, r.id AS r, e.remote_p AS rp, {proto} AS proto, (e.initiated IS FALSE)::UTINYINT AS side, l.here,
            coalesce(l.far AND l.id <> r.id, false) AS far, e.pid, lower(regexp_extract(e.image, '[^\\/]*$')) AS base
        FROM event e JOIN join_host h ON e.host IS NOT DISTINCT FROM h.host AND {machines.IDENT.format("e.")} IS NOT DISTINCT FROM h.ident
        JOIN join_clock c ON c.hk = h.hk AND c.dialect = coalesce(e.dialect, '') AND c.event_id = coalesce(e.event_id, '')
            AND c.kind = coalesce(e.kind, '') AND c.ts_field = coalesce(e.ts_field, '')
        LEFT JOIN join_addr l ON l.address = e.local_ip LEFT JOIN join_addr r ON r.address = e.remote_ip)
        """
    )


def count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    """Rows of a table (one of ours)."""
    row = con.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0


__all__ = ["addresses", "build", "canonical", "clear", "count"]
