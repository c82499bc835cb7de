"""Sure ties of the second kind: through the process. What a process did elsewhere (its start, files, scripts, look-ups, alerts)
reaches the session that a connection event of the same process owns.

A process is named by its GUID, or by (host, pid) within a lifetime whose start was seen and whose image fits. A pid
alone is no identity: it is used again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netexfil.join.nearest import nearest

if TYPE_CHECKING:
    import duckdb

SAME_START = 10.0  # seconds within which two sources' start events with one pid and image mean one process
SLACK = 1.0  # seconds a pid-only event may precede the start of its process (clocks of two channels)
SOONEST = 0.5  # of the shortest time in which the host was seen to use a pid again: how long a pid is trusted after its start
FOREVER = 1e12
CARRIED = {"alert": 20}  # events of a kind that one session gets on each side in time; others 8
USUAL = 8
NOT_CARRIED = ("net_conn", "net_listen", "host_info", "process_end", "process_start")


def processes(con: duckdb.DuckDBPyConnection) -> None:
    """`join_proc` (eid, pk, how): which process each event belongs to, where that is certain."""
    con.execute(
        """
        CREATE TEMP TABLE join_start AS SELECT eid, hk, pid, base, t, pk FROM join_event
            WHERE kind = 'process_start' AND pid IS NOT NULL AND pid > 0 AND t IS NOT NULL
        """
    )
    # A start without GUID (Security 4688) beside one with (Sysmon 1): the same process.
    nearest(
        con,
        "SELECT eid AS id, hash(hk, pid) AS g, t FROM join_start WHERE pk IS NULL",
        "SELECT eid AS id, hash(hk, pid) AS g, t FROM join_start WHERE pk IS NOT NULL",
        "join_near", 1, SAME_START, SAME_START,
    )
    con.execute(
        """
        CREATE TEMP TABLE join_born AS
        WITH twin AS (SELECT n.id AS eid, arg_min(b.pk, (abs(n.dt), n.other)) AS pk
            FROM join_near n JOIN join_start a ON a.eid = n.id JOIN join_start b ON b.eid = n.other WHERE a.base = b.base GROUP BY 1)
        SELECT s.hk, s.pid, s.base, s.t, coalesce(s.pk, w.pk, hash(s.hk, s.pid, s.base, s.t)) AS pk
        FROM join_start s LEFT JOIN twin w USING (eid)
        """
    )
    con.execute(
        f"""
        CREATE TEMP TABLE join_life AS
        WITH gone AS (SELECT hk, pid, t FROM join_event WHERE kind = 'process_end' AND pid IS NOT NULL AND t IS NOT NULL),
        turns AS (SELECT hk, pid, base, t, pk FROM join_born UNION ALL SELECT hk, pid, NULL, t, NULL FROM gone),
        spans AS (SELECT *, coalesce(lead(t) OVER w, {FOREVER}) AS until FROM turns WINDOW w AS (PARTITION BY hk, pid ORDER BY t)),
        -- How soon the host used a pid again, as far as it was told. A start that was lost may hide a use, but not one sooner than these.
        gaps AS (SELECT hk, t - lag(t) OVER w AS gap, pk <> lag(pk) OVER w AS other FROM join_born WINDOW w AS (PARTITION BY hk, pid ORDER BY t)),
        soonest AS (SELECT hk, {SOONEST} * min(gap) FILTER (other) AS gap FROM gaps GROUP BY hk)
        SELECT hk, pid, base, t, pk, least(until, t + coalesce(gap, {FOREVER})) AS until FROM spans LEFT JOIN soonest USING (hk) WHERE pk IS NOT NULL
        """
    )
    con.execute(
        f"""
        CREATE TEMP TABLE join_proc AS
        SELECT eid, pk, 1.0 AS certain FROM join_event WHERE pk IS NOT NULL
        UNION ALL SELECT e.eid, l.pk, 0.98
        FROM (SELECT eid, hk, pid, base, t FROM join_event WHERE pk IS NULL AND pid > 0 AND t IS NOT NULL) e
        ASOF JOIN join_life l ON e.hk = l.hk AND e.pid = l.pid AND e.t + {SLACK} >= l.t
        WHERE e.t <= l.until + {SLACK} AND (e.base IS NULL OR e.base = '' OR l.base IS NULL OR e.base = l.base)
        """
    )
    for table in ("join_near", "join_start", "join_born", "join_life"):
        con.execute(f"DROP TABLE {table}")


def carry(con: duckdb.DuckDBPyConnection, window: tuple[float, float]) -> None:
    """`join_carried` (eid, sid, dt, certain): events of the processes that own a session (`join_owner`: sid, pk), the nearest in time."""
    before, after = -window[0], window[1]
    con.execute(
        """
        CREATE TEMP TABLE join_owner AS SELECT row_number() OVER () AS oid, * FROM (SELECT t.sid, p.pk, max(p.certain) AS certain
            FROM join_tuple t JOIN join_proc p USING (eid) GROUP BY t.sid, p.pk)
        """
    )
    con.execute(
        """
        CREATE TEMP TABLE join_carried AS SELECT e.eid, o.sid, e.t - s.ts AS dt, least(o.certain, p.certain) AS certain
            FROM join_event e JOIN join_proc p USING (eid) JOIN join_owner o ON o.pk = p.pk
            JOIN join_session s USING (sid) WHERE e.kind = 'process_start' AND e.t IS NOT NULL
        """
    )
    known = ", ".join(f"'{kind}'" for kind in NOT_CARRIED)
    kinds = con.execute(f"SELECT DISTINCT kind FROM join_event WHERE kind NOT IN ({known})").fetchall()
    for (kind,) in kinds:
        near = (FOREVER, FOREVER) if kind == "alert" else (before, after)
        name = str(kind).replace("'", "''")
        mine = f"""
            SELECT e.eid AS id, p.pk AS g, e.t FROM join_event e JOIN join_proc p USING (eid) WHERE e.kind = '{name}'
        """
        sessions = f""" SELECT o.oid AS id, o.pk AS g, s.ts AS t FROM join_owner o JOIN join_session s USING (sid) WHERE o.pk IN (
            SELECT g FROM ({mine}))
        """
        nearest(con, sessions, mine, "join_near", CARRIED.get(str(kind), USUAL), *near)
        con.execute("INSERT INTO join_carried SELECT n.other, o.sid, -n.dt, least(o.certain, p.certain) FROM join_near n "
                    "JOIN join_owner o ON o.oid = n.id JOIN join_proc p ON p.eid = n.other")
    con.execute("DROP TABLE IF EXISTS join_near")
