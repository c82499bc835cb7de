"""STEP 4: sessions + events -> links: which process sent it, how sure that is, and what the clocks are worth.

| file | what it does |
|---|---|
| `prepare` | addresses, hosts, clocks and five-tuples as numbers |
| `clocks` | offsets and drift of every clock from the matches themselves (NumPy) |
| `lookups` | offsets that only a look-up before the session decides |
| `remote` | offsets of clocks that no tuple decides, from remote ends in common |
| `tuples` | same five-tuple or community id, at the same corrected time |
| `carry` | through the process to its start, files, scripts, look-ups, alerts |
| `hosts` | who had which address when |
| `weak` | same host and remote end, or host alone, near in time |
| `reach` | which sessions it could be, before they are read |
| `gaps` | what cannot be said: unknown owners, alerts without a session, wrong clocks |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netexfil import tables
from netexfil.errors import Note
from netexfil.join.gaps import BOUNDS, owner_unknown, unmatched_alerts
from netexfil.join.reach import reach
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb

__all__ = ["link", "owner_unknown", "reach", "unmatched_alerts"]

WINDOW = (-300.0, 60.0)
SURE = ("five_tuple", "community_id", "process")
KEPT = ("join_offset", "join_clock", "join_unknown")  # what stays for those who ask how the clocks stood


def link(con: duckdb.DuckDBPyConnection, policy: Policy, window: tuple[float, float] = WINDOW, hosts: str | None = None) -> list[Note]:
    """Fill tables `link` and `unmatched` from `session`, `event`, `alert` and `name`; what was there before is replaced.

    Args:
        policy: not needed by the join itself; kept with the other steps.
        window: seconds before (negative) and after a session's start in which events of its host count.
        hosts: a file that says which host has which address (see `hosts.read_map`).

    Raises:
        NetexfilError: the hosts file cannot be read.
    """
    from netexfil.join import carry, gaps, prepare, remote, tuples, weak
    from netexfil.join import hosts as ledger

    tables.create(con, ("session", "event", "alert", "name", "link", "unmatched", "away"))
    con.execute("DELETE FROM link")
    given = ledger.given(hosts)
    prepare.build(con, [address for _, address, _, _ in given])
    tuples.match(con)
    remote.estimate(con)
    tuples.correct(con)
    notes = gaps.apart(con) if not prepare.count(con, "join_tuple") else []
    carry.processes(con)
    notes += ledger.ledger(con, hosts, given)
    carry.carry(con, window)
    weak.weak(con, window)
    _emit(con)
    gaps.measure(con)
    notes += gaps.notes(con)
    prepare.clear(con, keep=KEPT)
    return notes


# Confidence of the sure kinds: lower where one or two matches had to decide the clock, or the session's start was not seen.
_TUPLE = "CASE WHEN support < 3 OR midstream THEN 0.97 WHEN candidates > 1 THEN 0.98 ELSE 0.999 END"


def _emit(con: duckdb.DuckDBPyConnection) -> None:
    """Write `link`: of several ties between one event and one session the surest."""
    con.execute(f"INSERT INTO link SELECT sid, eid, via, {_TUPLE}, candidates, resid, \"offset\" FROM join_tuple")
    con.execute(
        """
        -- An event is of one process at most, so it reaches a session once.
        INSERT INTO link SELECT c.sid, c.eid, 'process', 0.99 * c.certain, 1, c.dt, t.offset
            FROM join_carried c JOIN (SELECT eid, "offset" FROM join_event) t USING (eid) WHERE NOT EXISTS (SELECT 1 FROM join_tuple x
            WHERE x.eid = c.eid AND x.sid = c.sid)
        """
    )
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE join_near AS
        WITH best AS (SELECT * FROM join_weak QUALIFY row_number() OVER (PARTITION BY sid ORDER BY confidence DESC, place, eid) = 1),
        told AS (SELECT eid, sid, match, candidates, dt, confidence FROM join_weak
        -- The start of the likeliest process is as likely as the tie that names it. Not of the others: many ties of one session name one process.
        UNION ALL SELECT s.eid, w.sid, w.match, w.candidates, s.t - x.ts, w.confidence FROM best w JOIN join_proc p USING (eid)
            JOIN join_proc q USING (pk) JOIN join_event s ON s.eid = q.eid AND s.kind = 'process_start' AND s.eid <> w.eid AND s.t IS NOT NULL
            JOIN join_session x USING (sid) WHERE w.match = 'remote_time')
        SELECT sid, eid, match, confidence, candidates, dt FROM told
            QUALIFY row_number() OVER (PARTITION BY sid, eid ORDER BY confidence DESC, match DESC) = 1
        """
    )
    con.execute(
        "INSERT INTO link SELECT n.sid, n.eid, n.match, n.confidence, n.candidates, n.dt, t.offset FROM join_near n "
        "JOIN (SELECT eid, \"offset\" FROM join_event) t USING (eid)"
    )
    con.execute("DROP TABLE join_near")
    if con.execute(f"SELECT 1 FROM join_offset WHERE how IN {BOUNDS} LIMIT 1").fetchall():
        _bounded(con)


def _bounded(con: duckdb.DuckDBPyConnection) -> None:
    """What only bounds a clock moves its events, but is no offset; nor is what other clocks of such a host have borrowed."""
    con.execute(
        f"""
        UPDATE link SET clock_offset = NULL WHERE eid IN (
            WITH bound AS (SELECT clock, hk, how, bool_and(how IN {BOUNDS}) OVER (PARTITION BY hk) AS loose
                FROM join_offset JOIN join_clock USING (clock))
            SELECT eid FROM join_event WHERE clock IN (SELECT clock FROM bound WHERE how IN {BOUNDS})
                OR (hk IN (SELECT hk FROM bound WHERE loose) AND clock NOT IN (SELECT clock FROM bound)))
        """
    )
