"""Tables to candidates: the channels that any question could speak of, with what is known of them up to their window's end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netexfil import tables
from netexfil.detect.collect import PORTS
from netexfil.detect.question import Candidates
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb


def candidates(con: duckdb.DuckDBPyConnection, policy: Policy) -> Candidates:
    """The columns of the channels that `select` chose (temporary tables `cand`, `ledger`)."""
    if not tables.some(con, "cand"):
        return Candidates({}, 0)
    _describe(con)
    c = _columns(con)
    hours = policy.threshold("collect_hours")
    more = {"collected": collected(con, c, policy), "collect_hours": np.full(c.size, hours)}
    return Candidates({**c.columns, **more}, c.size)


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
            count(*) FILTER (coalesce(hints, '') LIKE '%midstream%') AS midstream, arg_max(ts, (bytes_out_low, -ts)) AS main_ts,
            CAST(sum(bytes_out_low) FILTER (bytes_in IS NOT NULL) AS DOUBLE) AS answered_low,
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
    # the known row of '' for the day gives the active hosts; a pull on a day on which nothing went out has none
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
