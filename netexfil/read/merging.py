"""Rows of logs to sessions: what other logs say joined by uid, reports of one session made one, two sensors counted once.

Everything is SQL over tables, so that the one-shot run and the state use the same words. `raw_<log>` are the rows as they were read.
A session that changes loses its `sid`: it is to be turned again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from netexfil import tables
from netexfil.read import truth
from netexfil.tables import FACT, READ, SIDES

if TYPE_CHECKING:
    import duckdb

    from netexfil.read import Into, Turn

# Columns of a session that facts can fill.
FILLED = tuple(name for name in FACT if name in READ and name not in ("uid", "ts", "service", "hints", "source"))

_FIRST = "nullif(string_split(coalesce(fuids, ''), '\x1f')[1], '')"
_HEX = f"CASE WHEN length({_FIRST}) IN (40, 64) THEN {_FIRST} END"

# What is gathered while logs are read: facts, and the address that a name in one belongs to.
NEW: Mapping[str, str] = dict(FACT) | {"address": "VARCHAR"}
OF_CERT = ("cert_subject", "cert_issuer", "cert_fingerprint", "cert_self_signed")

# log -> what one of its rows says of a session. `uid` ties it; certificates are tied by `fuid`.
FACTS: Mapping[str, str] = {
    "ssl": f"""SELECT uid, resp_h AS address, {_FIRST} AS fuid, 'ssl' AS kind, ts, server_name, version AS tls_version,
        next_protocol AS alpn, ja3, ja4,
        subject AS cert_subject, issuer AS cert_issuer, coalesce({_HEX}, cert_hash) AS cert_fingerprint,
        CASE WHEN subject IS NOT NULL AND issuer IS NOT NULL THEN subject = issuer END AS cert_self_signed FROM {{rows}}""",
    "quic": """SELECT uid, 'quic' AS kind, ts, server_name, CASE WHEN version IS NOT NULL THEN 'TLSv13' END AS tls_version,
        client_protocol AS alpn, ja4 FROM {rows}""",
    "ssh": "SELECT uid, 'ssh' AS kind, ts, client AS ssh_client, server AS ssh_server, hassh, hassh_server FROM {rows}",
    "x509": """SELECT fuid, 'x509' AS kind, ts, subject AS cert_subject, issuer AS cert_issuer, subject = issuer AS cert_self_signed,
        coalesce(fingerprint, CASE WHEN length(fuid) IN (40, 64) THEN fuid END) AS cert_fingerprint FROM {rows}""",
    "files": "SELECT fuid, 'files' AS kind, ts, sha256 AS cert_fingerprint FROM {rows} WHERE sha256 IS NOT NULL AND source = 'SSL'",
    "smtp": "SELECT uid, 'smtp' AS kind, ts, 'starttls' AS hints FROM {rows} WHERE tls",
    "http": """SELECT uid, 'http' AS kind, ts, 'connect=' || replace(coalesce(uri, host), ',', '') AS hints FROM {rows}
        WHERE upper(method) = 'CONNECT' AND coalesce(uri, host) IS NOT NULL""",
    "socks": """SELECT uid, 'socks' AS kind, ts, 'connect=' || replace(coalesce(request_name, request_host), ',', '') || ':' || request_p AS hints
        FROM {rows} WHERE coalesce(request_name, request_host) IS NOT NULL AND request_p IS NOT NULL""",
    "tunnel": "SELECT uid, 'tunnel' AS kind, ts, lower(regexp_replace(tunnel_type, '^.*::', '')) AS tunnel FROM {rows}",
    "ftp": """SELECT uid, data_resp_h || ' ' || data_resp_p AS fuid, 'ftp' AS kind, ts, 'control=' || uid || ',ftp_data' AS hints FROM {rows}
        WHERE data_resp_h IS NOT NULL AND data_resp_p IS NOT NULL""",
    "netexfil": """SELECT uid, resp_h AS address, 'netexfil' AS kind, ts, server_name, tls_version, alpn, ja3, ja4, cert_subject, cert_issuer,
        cert_fingerprint, cert_subject = cert_issuer AS cert_self_signed, ssh_client, ssh_server, hassh, hassh_server FROM {rows}
        WHERE what IN ('session', 'progress')""",
}

# The sensor's own log (zeek_scripts/): rows of kind `session` and `progress` as rows of conn and open_conn.
CONN_OF_NETEXFIL = """SELECT * EXCLUDE (what, logname), CASE what WHEN 'progress' THEN 'open_conn' ELSE 'conn' END AS logname FROM
    (SELECT ts, uid, orig_h, orig_p, resp_h, resp_p, proto, service, duration, orig_bytes, resp_bytes, conn_state, local_orig, local_resp,
     missed_bytes, history, orig_pkts, orig_ip_bytes, resp_pkts, resp_ip_bytes, tunnel_parents, community_id, what, logname, file FROM {rows})
    WHERE what IN ('session', 'progress') AND orig_h IS NOT NULL AND resp_h IS NOT NULL AND proto IS NOT NULL"""


def facts(con: duckdb.DuckDBPyConnection, log: str, rows: str, into: str) -> None:
    """Add what the rows of a log (a table or a stream) say to a table of NEW's columns."""
    con.execute(f"INSERT INTO {into} BY NAME " + FACTS[log].replace("{rows}", rows))


def _first(names: Iterable[str]) -> str:
    """Of several rows the earliest word of each column; rows of one time in the order of their words."""
    return ", ".join(f"first({name} ORDER BY ts, {name}) FILTER ({name} IS NOT NULL) AS {name}" for name in names)


def gather(con: duckdb.DuckDBPyConnection, table: str, into: str) -> None:
    """View `into`: one row a uid with everything that a table of facts says of it. Certificates are looked up by fuid.

    Most uids have one fact, which is taken as it is; only the others are put together.
    """
    said = "uid IS NOT NULL AND kind NOT IN ('ftp', 'x509', 'files')"
    con.execute(f"CREATE OR REPLACE TEMP TABLE {into}_often AS SELECT uid FROM {table} WHERE {said} GROUP BY uid HAVING count(*) > 1")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE {into}_put AS SELECT uid, {_first(FILLED)}, {_first(["fuid"])}, string_agg(hints, ',') AS hints
        FROM {table} WHERE {said} AND uid IN (FROM {into}_often) GROUP BY uid""")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE {into}_cert AS SELECT fuid, {_first(OF_CERT)} FROM {table}
        WHERE kind IN ('x509', 'files') AND fuid IS NOT NULL GROUP BY fuid""")
    columns = ", ".join(("uid", *FILLED, "fuid", "hints"))
    rows = f"SELECT {columns} FROM {into}_put UNION ALL SELECT {columns} FROM {table} WHERE {said} AND uid NOT IN (FROM {into}_often)"
    if not _any(con, f"{into}_often"):
        rows = f"SELECT {columns} FROM {table} WHERE {said}"
    if _any(con, f"{into}_cert"):
        with_cert = ", ".join(f"coalesce(s.{name}, c.{name}) AS {name}" if name in OF_CERT else f"s.{name}" for name in FILLED)
        rows = f"SELECT s.uid, {with_cert}, s.fuid, s.hints FROM ({rows}) s LEFT JOIN {into}_cert c ON c.fuid = s.fuid"
    con.execute(f"CREATE OR REPLACE TEMP VIEW {into} AS {rows}")


def forget(con: duckdb.DuckDBPyConnection, view: str) -> None:
    """Drop a view that `gather` made, and what it stands on."""
    con.execute(f"DROP VIEW {view}")
    for part in ("often", "put", "cert"):
        con.execute(f"DROP TABLE {view}_{part}")


def _any(con: duckdb.DuckDBPyConnection, rows: str) -> bool:
    return con.execute(f"SELECT 1 FROM {rows} LIMIT 1").fetchone() is not None


def words(*parts: str) -> str:
    """SQL: comma separated words of several expressions as one sorted list without repeats; NULL where there are none."""
    joined, none = ", ".join(parts), " AND ".join(f"{part} IS NULL" for part in parts)
    split = f"list_filter(string_split(concat_ws(',', {joined}), ','), lambda w: w <> '')"
    return f"CASE WHEN {none} THEN NULL ELSE nullif(array_to_string(list_sort(list_distinct({split})), ','), '') END"


def sessions(con: duckdb.DuckDBPyConnection, rows: str, gathered: str, turn: Turn | None = None, into: Into | None = None) -> None:
    """Rows of conn logs (a table or stream with the fields of `conn`, `logname` and `file`) to the table `session`, or `into` what takes them.

    With `turn` the rows have `orig_side` and `resp_side` too, and are stored turned.
    """
    out, back = truth.side("orig", "resp"), truth.side("resp", "orig")
    given = ("ts", "orig_h", "orig_p", "resp_h", "resp_p", "proto", "duration", "orig_bytes", "resp_bytes", "conn_state", "local_orig",
             "local_resp", "missed_bytes", "history", "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "community_id")  # fmt: skip
    hints = {
        "is_open": "CASE WHEN logname <> 'conn' THEN 'open' END",
        "is_lost": f"CASE WHEN {out['lost']} OR {back['lost']} THEN 'onesided' END",
        "is_mid": "CASE WHEN NOT started THEN 'midstream' END",
        "is_ftp": """CASE WHEN contains(service, 'ftp-data') THEN 'ftp_data'
            WHEN contains(service, 'ftp') AND contains(service, 'ssl') THEN 'auth_tls' END""",
    }
    made = "coalesce(r.uid, 'N' || substr(md5(concat_ws(' ', ts, orig_h, orig_p, resp_h, resp_p, proto)), 1, 17))"
    tunnels = _any(con, f"{gathered} WHERE tunnel IS NOT NULL")
    outer = "CASE WHEN r.tunnel_parents <> '' THEN 'tunnel' END"
    filled = {name: f"f.{name}" for name in FILLED} | {"tunnel": f"coalesce(t.tunnel, {outer})" if tunnels else outer}
    columns = {
        "uid": made, "service": _services("r.service"), "hints": words(*hints, "f.hints"), "source": "r.file",
        "orig_low": out["low"], "orig_high": out["high"], "orig_quality": out["quality"],
        "resp_low": back["low"], "resp_high": back["high"], "resp_quality": back["quality"],
    } | {name: f"r.{name}" for name in given} | filled  # fmt: skip
    tunnel = f"""LEFT JOIN (SELECT uid, tunnel FROM {gathered} WHERE tunnel IS NOT NULL) t
        ON t.uid = string_split(coalesce(r.tunnel_parents, ''), '\x1f')[1]"""
    columns |= {name: f"r.{name}" for name in SIDES} if turn else {}
    query = f"""SELECT {", ".join(f"{how} AS {name}" for name, how in columns.items())}
        FROM (SELECT *, {", ".join(f"{how} AS {name}" for name, how in hints.items())} FROM ({truth.prepared(rows)})) r
        LEFT JOIN {gathered} f ON f.uid = r.uid {tunnel if tunnels else ""}"""
    query = turn(query) if turn else query
    with tables.as_written(con):
        if into:
            into.put(con, query)
        else:
            put(con, query, tables.TURNED if turn else columns)


def put(con: duckdb.DuckDBPyConnection, query: str, columns: Collection[str]) -> None:
    """Store a query's rows in `session`, as far as it has room for their columns."""
    con.execute(f"INSERT INTO session BY NAME SELECT {', '.join(name for name in tables.stored(con) if name in columns)} FROM ({query})")


def _services(column: str) -> str:
    """Zeek's service names sorted; a name that Zeek took back (`-ssl`) is left out."""
    kept = f"list_filter(string_split(lower({column}), ','), lambda w: w <> '' AND NOT starts_with(w, '-'))"
    sorted_ = f"nullif(array_to_string(list_sort(list_distinct({kept})), ','), '')"
    return f"CASE WHEN contains({column}, ',') OR starts_with({column}, '-') THEN {sorted_} ELSE {column} END"


def merge_facts(con: duckdb.DuckDBPyConnection, facts_table: str = "fact", sessions_table: str = "session") -> None:
    """Give sessions what facts say of them; what a session has already stays. May be called again after each batch."""
    gather(con, facts_table, "gathered_late")
    kept = [name for name in tables.stored(con, sessions_table) if name in FILLED]
    filled = ", ".join(f"{name} = coalesce(s.{name}, f.{name})" for name in kept)
    changed = " OR ".join(f"(s.{name} IS NULL AND f.{name} IS NOT NULL)" for name in kept)
    con.execute(f"""UPDATE {sessions_table} AS s SET {filled}, hints = {words("s.hints", "f.hints")}, sid = NULL
        FROM gathered_late f WHERE f.uid = s.uid AND ({changed} OR {words("s.hints", "f.hints")} IS DISTINCT FROM s.hints)""")
    forget(con, "gathered_late")
    announce(con, facts_table, sessions_table)


def announce(con: duckdb.DuckDBPyConnection, facts_table: str = "fact", sessions_table: str = "session") -> None:
    """Mark the sessions that an FTP control session announced: those to the announced endpoint that begin within a minute of the word."""
    if not tables.some(con, f"{facts_table} WHERE kind = 'ftp'"):
        return
    con.execute(f"""UPDATE {sessions_table} AS s SET hints = {words("s.hints", "f.hints")}, sid = NULL FROM
        (SELECT fuid, min(ts) AS begun, max(ts) AS ended, min(hints) AS hints FROM {facts_table} WHERE kind = 'ftp' GROUP BY fuid, uid) f
        WHERE s.resp_h || ' ' || s.resp_p = f.fuid AND s.ts BETWEEN f.begun - 60 AND f.ended + 60""")


KEY = ("uid", "orig_h", "orig_p", "resp_h", "resp_p", "proto")


def once(con: duckdb.DuckDBPyConnection, table: str = "session") -> int:
    """Several reports of one session (open_conn, conn_long, the final row, a copy of it) become one; returns how many rows went.

    The final row wins over one of a session in progress, then the longest, then the one with most bytes; columns that it lacks
    are taken from the others.
    """
    key = ", ".join(KEY)
    if not _repeated(con, table):
        return 0
    con.execute(f"""CREATE OR REPLACE TEMP TABLE several AS SELECT * FROM {table}
        WHERE uid IN (SELECT uid FROM {table} GROUP BY {key} HAVING count(*) > 1)""")
    con.execute(f"DELETE FROM {table} WHERE uid IN (SELECT uid FROM several)")
    best = """contains(',' || coalesce(hints, '') || ',', ',open,'), duration DESC NULLS LAST,
        coalesce(orig_bytes, 0) + coalesce(resp_bytes, 0) DESC, ts, source"""
    late = ("local_orig", "local_resp", "community_id", "history", "service", *FILLED)
    over = f"OVER (PARTITION BY {key} ORDER BY {best} ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"
    replaced = ", ".join(["NULL AS sid", *(f"coalesce({name}, first_value({name} IGNORE NULLS) {over}) AS {name}" for name in late)])
    before = con.execute("SELECT count(*) FROM several").fetchone()
    con.execute(f"""INSERT INTO {table} BY NAME SELECT {", ".join(tables.stored(con, table))} FROM (SELECT * REPLACE ({replaced}) FROM several
        QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {best}) = 1)""")
    kept = con.execute(f"SELECT count(*) FROM {table} WHERE uid IN (SELECT uid FROM several)").fetchone()
    con.execute("DROP TABLE several")
    return (before[0] if before else 0) - (kept[0] if kept else 0)


# Rows whose uids are compared at once: some 100 MB. DuckDB cannot give up the table of a grouping half-way.
AT_ONCE = 2_000_000


def _repeated(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Does any uid stand in two rows? Asked for a share of the uids at a time, so that memory has a bound."""
    rows = con.execute(f"SELECT count(*) FROM {table}").fetchone()
    parts = 1 + (rows[0] if rows else 0) // AT_ONCE
    asked = (f"WHERE hash(uid) % {parts} = {part}" if parts > 1 else "" for part in range(parts))
    return any(_any(con, f"(SELECT uid FROM {table} {where} GROUP BY uid HAVING count(*) > 1)") for where in asked)


def sensors(con: duckdb.DuckDBPyConnection, table: str = "session") -> int:
    """A session that two sensors saw becomes one; returns how many rows went.

    One sensor never has two sessions of the same tuple at the same time. So rows of one tuple with different uids that begin within
    a second of each other and overlap were seen twice. The row whose bytes are surer, then the one with more packets, stays and names
    the other: hint `sensor2=UID`; what only the other knew is added.
    """
    if not tables.some(con, f"{table} WHERE source <> (SELECT min(source) FROM {table})"):
        return 0
    tuple_ = " AND ".join(f"a.{name} = b.{name}" for name in KEY[1:])
    size = """(coalesce({0}.orig_quality = 'exact', false), coalesce({0}.orig_pkts, 0) + coalesce({0}.resp_pkts, 0),
        coalesce({0}.orig_bytes, 0) + coalesce({0}.resp_bytes, 0), {0}.uid)"""
    con.execute(f"""CREATE OR REPLACE TEMP TABLE seen_twice AS
        WITH often AS (SELECT * FROM (SELECT {", ".join(KEY)}, ts, duration, orig_pkts, resp_pkts, orig_bytes, resp_bytes, orig_quality, source,
            count(*) OVER (PARTITION BY {", ".join(KEY[1:])}) AS times FROM {table} WHERE proto IN ('tcp', 'udp')) WHERE times > 1)
        SELECT b.uid AS gone, max_by(a.uid, {size.format("a")}) AS stays FROM often a JOIN often b
        ON {tuple_} AND a.uid <> b.uid AND a.source <> b.source AND abs(a.ts - b.ts) <= 1
        AND (abs(a.ts - b.ts) <= 0.05 OR (a.ts <= b.ts + coalesce(b.duration, 0) AND b.ts <= a.ts + coalesce(a.duration, 0)))
        AND {size.format("a")} > {size.format("b")} GROUP BY b.uid""")
    gone = con.execute("SELECT count(*) FROM seen_twice").fetchone()
    if gone and gone[0]:
        con.execute(f"""UPDATE {table} AS s SET hints = {words("s.hints", "w.said")} FROM
            (SELECT stays, string_agg('sensor2=' || gone, ',') AS said FROM seen_twice GROUP BY stays) w WHERE s.uid = w.stays""")
        kept = tables.stored(con, table)
        known = ", ".join(f"{name} = coalesce(s.{name}, o.{name})" for name in ("service", *FILLED) if name in kept)
        con.execute(f"""UPDATE {table} AS s SET {known}, sid = NULL FROM (SELECT stays, {", ".join(f"min({n}) AS {n}" for n in ("service", *FILLED))}
            FROM {table} JOIN seen_twice ON uid = gone GROUP BY stays) o WHERE s.uid = o.stays""")
        con.execute(f"DELETE FROM {table} WHERE uid IN (SELECT gone FROM seen_twice)")
    con.execute("DROP TABLE seen_twice")
    return gone[0] if gone else 0


def merge(con: duckdb.DuckDBPyConnection, table: str = "session") -> None:
    """Every session once. Idempotent: uid (with its tuple) is unique afterwards."""
    once(con, table)
    sensors(con, table)
