"""Tables to candidates: the channels that any question could speak of, with what is known of them up to their window's end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from netexfil import tables
from netexfil.detect.collect import PORTS
from netexfil.detect.question import Candidates
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb

# An SSH banner that is not OpenSSH's is worth a look at any size.
_BANNER = "(c.ssh_client IS NOT NULL AND NOT regexp_matches(c.ssh_client, '^SSH-2.0-OpenSSH'))"


def candidates(con: duckdb.DuckDBPyConnection, policy: Policy, days: Sequence[int] | None = None, only: str | None = None) -> Candidates:
    """Select channels and fetch their columns. Leaves temporary tables `cand`, `ledger` for the evidence stage.

    Args:
        days: judge only these windows (days since 1970); earlier ones still count as history.
        only: a table of channels (`cid`) to judge; all that a host has to one entity in one window are named together.
    """
    select(con, policy, days, only)
    if not tables.some(con, "cand"):
        return Candidates({}, 0)
    _describe(con)
    c = _columns(con)
    hours = policy.threshold("collect_hours")
    more = {"collected": collected(con, c, policy), "collect_hours": np.full(c.size, hours)}
    return Candidates({**c.columns, **more}, c.size)


def select(con: duckdb.DuckDBPyConnection, policy: Policy, days: Sequence[int] | None = None, only: str | None = None) -> None:
    """Temporary table `cand`: channels that any question could speak of. Needs `channel` alone, and `session` for what is linked."""
    wanted = "TRUE" if days is None else f"c.day IN ({', '.join(str(int(day)) for day in days) or 'NULL'})"
    if only is not None:
        wanted += f" AND c.cid IN (SELECT cid FROM {only})"
    _near(con, policy, wanted)
    _ledger(con)
    _select(con, policy, wanted)


def alone(policy: Policy, linked: str = "FALSE") -> str:
    """SQL: whether a channel `c` is a candidate by itself. `linked`: whether it has a link."""
    line, small, least = (int(policy.threshold(name)) for name in ("outbound_volume", "small_volume", "asymmetry_small"))
    return f"""(c.bytes_low >= {small} OR (c.quality > 0 AND coalesce(c.bytes_high, {line}) >= {line})
        OR (c.bytes_low >= {least} AND (c.odd_sessions > 0 OR c.clear_leg OR {_BANNER} OR {linked})))"""


_LINKED = "k.cid IS NOT NULL"  # `k`: the channel's row in `tied`


def _near(con: duckdb.DuckDBPyConnection, policy: Policy, wanted: str) -> None:
    """Temporary tables `tied` (channels with a link) and `near`: what goes out of those hosts to those entities that may hold a candidate.

    Most hosts never send an entity a noticeable amount, so that only few channels need ledgers. Hosts and entities are told apart by a
    hash here; two that share one only make a few rows more.
    """
    lowest = min(int(policy.threshold(name)) for name in ("outbound_volume", "ledger_7d", "ledger_30d", "ledger_steady"))
    con.execute("CREATE OR REPLACE TEMP TABLE tied (cid BIGINT)")
    if tables.some(con, "link"):
        con.execute("INSERT INTO tied SELECT DISTINCT s.cid FROM link l JOIN session s USING (sid) WHERE s.cid IS NOT NULL")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE near AS
        WITH pair AS (
            SELECT hash(inside_h, entity) AS pair FROM channel WHERE direction = 'out' GROUP BY pair HAVING sum(bytes_low) >= {lowest}
            UNION
            SELECT hash(c.inside_h, c.entity) FROM channel c LEFT JOIN tied k ON k.cid = c.cid WHERE {alone(policy, _LINKED)} AND {wanted})
        SELECT inside_h, entity, day, bytes_low, bytes_in, sessions, push_low, {_RANK} AS rank
        FROM channel WHERE direction = 'out' AND hash(inside_h, entity) IN (FROM pair)""")


# The channel that leads its host's day with an entity has the highest: it sent most; among equals the lower number.
_RANK = "(CAST(bytes_low AS HUGEINT) << 63) - cid"


def _ledger(con: duckdb.DuckDBPyConnection) -> None:
    """Running sums for each inside host and entity: this day, 7 and 30 days back, and the channel that leads the day."""
    con.execute("""
        CREATE OR REPLACE TEMP TABLE ledger AS
        WITH daily AS (
            SELECT inside_h, entity, day, sum(bytes_low) AS d1, sum(bytes_in) AS in1, sum(sessions) AS n1, sum(push_low) AS push1,
                   count(*) AS channels, max(rank) AS leader
            FROM near GROUP BY inside_h, entity, day)
        SELECT *, sum(d1) OVER week AS d7, sum(in1) OVER week AS in7, sum(n1) OVER week AS n7, count(*) OVER week AS days7,
            avg(d1) OVER week AS mean7, stddev_pop(d1) OVER week AS dev7, max(d1) OVER week AS max7,
            sum(d1) OVER month AS d30, max(d1) OVER month AS max30, min(day) OVER month AS first_day,
            max(d1) OVER before AS max_before, count(*) OVER before AS days_before
        FROM daily
        WINDOW week AS (PARTITION BY inside_h, entity ORDER BY day RANGE BETWEEN 6 PRECEDING AND CURRENT ROW),
               month AS (PARTITION BY inside_h, entity ORDER BY day RANGE BETWEEN 29 PRECEDING AND CURRENT ROW),
               before AS (PARTITION BY inside_h, entity ORDER BY day RANGE BETWEEN 30 PRECEDING AND 1 PRECEDING)""")


def _select(con: duckdb.DuckDBPyConnection, policy: Policy, wanted: str) -> None:
    line, week, month, steady = (int(policy.threshold(name)) for name in ("outbound_volume", "ledger_7d", "ledger_30d", "ledger_steady"))
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE cand AS
        WITH hot AS (SELECT leader FROM ledger WHERE d1 >= {line} OR d7 >= least({week}, {steady}) OR d30 >= {month}),
        chosen AS (
            SELECT c.*, k.cid IS NOT NULL AS linked, {_RANK.replace("cid", "c.cid")} AS rank FROM channel c LEFT JOIN tied k ON k.cid = c.cid
            WHERE {wanted} AND ({alone(policy, _LINKED)} OR (c.direction = 'out' AND {_RANK.replace("cid", "c.cid")} IN (FROM hot))))
        SELECT c.* EXCLUDE (rank), l.d1, l.in1, l.n1, l.push1, l.channels, l.d7, l.in7, l.n7, l.days7, l.mean7, l.dev7, l.max7, l.d30, l.max30,
            l.first_day, l.max_before, l.days_before, coalesce(c.direction = 'out' AND c.rank = l.leader, false) AS leads
        FROM chosen c LEFT JOIN ledger l ON c.direction = 'out' AND l.inside_h = c.inside_h AND l.entity = c.entity AND l.day = c.day""")


def _describe(con: duckdb.DuckDBPyConnection) -> None:
    """Temporary table `seen`: fleet, history and session details for each candidate."""
    con.execute("""
        CREATE OR REPLACE TEMP TABLE known AS
        SELECT entity, day, sum(users) OVER w AS users, sum(senders) OVER w AS senders, min(day) OVER w AS born FROM fleet
        WHERE entity IN (SELECT entity FROM cand UNION SELECT '')
        WINDOW w AS (PARTITION BY entity ORDER BY day ROWS UNBOUNDED PRECEDING)""")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE spoken AS
        SELECT inside_h, protocol, min(day) AS since
        FROM (SELECT inside_h, protocol, day FROM channel WHERE direction = 'out' UNION ALL SELECT inside_h, protocol, day FROM spoke)
        GROUP BY ALL""")
    con.execute("CREATE OR REPLACE TEMP TABLE alike (cid BIGINT, like_days BIGINT)")
    if tables.some(con, "ledger WHERE day < (SELECT max(day) FROM cand)"):
        con.execute("""
            INSERT INTO alike SELECT c.cid, count(*) FROM cand c JOIN ledger l ON l.inside_h = c.inside_h AND l.entity = c.entity
                AND l.day BETWEEN c.day - 30 AND c.day - 1 AND l.d1 >= 0.1 * c.d1 GROUP BY c.cid""")
    con.execute("CREATE OR REPLACE TEMP TABLE served (cid BIGINT, clients BIGINT)")
    if tables.some(con, "cand WHERE direction = 'pull'"):
        con.execute("""
            INSERT INTO served SELECT c.cid, count(DISTINCT o.remote_h) FROM cand c JOIN channel o ON c.direction = 'pull' AND o.direction = 'pull'
                AND o.inside_h = c.inside_h AND o.remote_p = c.remote_p AND o.day BETWEEN c.day - 29 AND c.day GROUP BY c.cid""")
    pick = "arg_max({0}, (CAST(bytes_out_low AS HUGEINT) << 62) + CAST(hash({0}) >> 3 AS HUGEINT)) AS {0}"
    details = ("hassh", "ja4", "cert_subject", "cert_issuer")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE detail AS
        SELECT cid, {", ".join(pick.format(name) for name in details)}, bool_or(coalesce(cert_self_signed, FALSE)) AS self_signed,
            string_agg(DISTINCT hints, ',') AS hints,
            count(*) FILTER (coalesce(hints, '') LIKE '%midstream%') AS midstream,
            count(*) FILTER (bytes_out_low >= 4096) AS chunks,
            mad(bytes_out_low) FILTER (bytes_out_low >= 4096) / nullif(median(bytes_out_low) FILTER (bytes_out_low >= 4096), 0) AS chunk_spread
        FROM session WHERE cid IN (SELECT cid FROM cand) GROUP BY cid""")


def collected(con: duckdb.DuckDBPyConnection, c: Candidates, policy: Policy) -> Any:
    """Bytes that each candidate's host pulled from inside servers before the channel began, that day; 0 where none or not seen."""
    hours = policy.threshold("collect_hours")
    if not ((c.columns["direction"] == "out") & (c.num("bytes_low") >= policy.threshold("outbound_volume"))).any():
        return np.zeros(c.size)
    rows = con.execute(f"""
        SELECT c.cid, s.resp_h, sum(s.resp_low) FROM cand c JOIN session s ON s.orig_h = c.inside_h AND s.remote_h IS NULL
            AND s.resp_p IN ({', '.join(map(str, PORTS))}) AND s.ts BETWEEN c.first_ts - {hours * 3600} AND c.first_ts
            AND floor(s.ts / 86400) = c.day
        WHERE c.direction = 'out' AND c.bytes_low >= {policy.threshold("outbound_volume")} AND s.resp_low > coalesce(s.orig_low, 0)
        GROUP BY ALL""").fetchall()
    sums: dict[int, float] = {}
    for cid, server, amount in rows:
        if policy.side(server) == "inside":
            sums[cid] = sums.get(cid, 0.0) + float(amount)
    return np.array([sums.get(cid, 0.0) for cid in c.columns["cid"].tolist()], float)


_TEXT = ("inside_h", "remote_h", "proto", "direction", "entity", "server_name", "protocol", "ssh_client", "hassh", "ja4", "cert_subject",
         "cert_issuer", "hints")


def _columns(con: duckdb.DuckDBPyConnection) -> Candidates:
    # the known row of '' for the day gives the active hosts; a day without one has the last before it (ASOF)
    relation = con.execute("""
        SELECT c.*, d.* EXCLUDE (cid), k.users, k.senders, k.born, a.users AS hosts, a.born AS history_start, p.since AS protocol_since,
               coalesce(i.like_days, 0) AS like_days, coalesce(v.clients, 0) AS clients
        FROM cand c LEFT JOIN detail d USING (cid) LEFT JOIN known k ON k.entity = c.entity AND k.day = c.day
        LEFT JOIN known a ON a.entity = '' AND a.day = c.day LEFT JOIN spoken p ON p.inside_h = c.inside_h AND p.protocol = c.protocol
        LEFT JOIN alike i ON i.cid = c.cid LEFT JOIN served v ON v.cid = c.cid
        ORDER BY c.day, c.inside_h, c.remote_h, c.remote_p, c.proto, c.direction""")
    raw = relation.fetchnumpy()
    columns = {name: _plain(name, array) for name, array in raw.items()}
    return Candidates(columns, len(columns["cid"]))


def _plain(name: str, array: Any) -> Any:
    """Text as objects with None, `cid` as whole numbers, everything else as floats with NaN."""
    if name in _TEXT:
        data, mask = np.ma.getdata(array), np.ma.getmaskarray(array)
        return np.array([None if gone or value is None else str(value) for value, gone in zip(data, mask, strict=True)], object)
    if name == "cid":
        return np.asarray(array, np.int64)
    return np.ma.filled(np.ma.asarray(array).astype(float), np.nan)
