"""Which channels any question could speak of, by SQL alone: where there is none, as on most small captures, nothing else is to be imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netexfil import tables
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb

# An SSH banner that is not OpenSSH's is worth a look at any size.
_BANNER = "(c.ssh_client IS NOT NULL AND NOT regexp_matches(c.ssh_client, '^SSH-2.0-OpenSSH'))"


def select(con: duckdb.DuckDBPyConnection, policy: Policy, days: Sequence[int] | None = None, only: str | None = None) -> None:
    """Temporary table `cand`: channels that any question could speak of. Needs `channel` alone, and `session` for what is linked.

    Args:
        days: judge only these windows (days since 1970); earlier ones still count as history.
        only: a table of channels (`cid`) to judge; all that a host has to one entity in one window are named together.
    """
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


def worth(policy: Policy) -> tuple[int, int, int]:
    """Bytes below which `select` takes no channel: of one, of one that spoke something odd or in clear, of a host to an entity on all days."""
    line, small, least = (int(policy.threshold(name)) for name in ("outbound_volume", "small_volume", "asymmetry_small"))
    return min(small, line), least, _lowest(policy)


def _lowest(policy: Policy) -> int:
    return min(int(policy.threshold(name)) for name in ("outbound_volume", "ledger_7d", "ledger_30d", "ledger_steady"))


_LINKED = "k.cid IS NOT NULL"  # `k`: the channel's row in `tied`


def _near(con: duckdb.DuckDBPyConnection, policy: Policy, wanted: str) -> None:
    """Temporary tables `tied` (channels with a link) and `near`: what goes out of those hosts to those entities that may hold a candidate.

    Most hosts never send an entity a noticeable amount, so that only few channels need ledgers. Hosts and entities are told apart by a
    hash here; two that share one only make a few rows more.
    """
    con.execute("CREATE OR REPLACE TEMP TABLE tied (cid BIGINT)")
    if tables.some(con, "link"):
        con.execute("INSERT INTO tied SELECT DISTINCT s.cid FROM link l JOIN session s USING (sid) WHERE s.cid IS NOT NULL")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE near AS
        WITH pair AS (
            SELECT hash(inside_h, entity) AS pair FROM channel WHERE direction = 'out' GROUP BY pair HAVING sum(bytes_low) >= {_lowest(policy)}
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
