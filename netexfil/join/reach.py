"""Which sessions telemetry could be tied to, said before any is read: so that of a large log only those need be kept that a link may name.

Everything in this package reads sessions through `join_session` (`prepare`), but for their first and last moments and the blind spots (`gaps`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from netexfil import tables
from netexfil.join import hosts, prepare

if TYPE_CHECKING:
    import duckdb

# Addresses that are met -> outside addresses whose sessions may be tied whoever the inside host is; None: all addresses of hosts are met.
Theirs = Callable[[Collection[str] | None], list[str]]


def reach(con: duckdb.DuckDBPyConnection, file: str | None) -> tuple[list[str], Theirs] | None:
    """Addresses of hosts with telemetry, from `event`, `name` and the user's map; and what `prepare._translated` adds to their sessions.

    None where community ids tie: they name no address. Sessions are not asked; too much is named, never too little.

    Raises:
        NetexfilError: the hosts file cannot be read.
    """
    if tables.some(con, "event WHERE community_id IS NOT NULL"):
        return None
    prepare.addresses(con, [address for _, address, _, _ in hosts.given(file)])
    mine = con.execute("SELECT DISTINCT form FROM join_addr WHERE own").fetchall()
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE join_far AS SELECT DISTINCT r.form AS form, CASE WHEN e.local_ip IS NULL OR (l.own AND
            l.id <> r.id AND NOT regexp_matches(l.form, '{prepare.NEAR}')) OR nullif(e.local_p, 0) IS NULL THEN coalesce(l.form, '') END AS mine
        FROM event e JOIN join_addr r ON r.address = e.remote_ip LEFT JOIN join_addr l ON l.address = e.local_ip WHERE e.remote_p IS NOT NULL
        """
    )

    def theirs(met: Collection[str] | None) -> list[str]:
        told = "mine = ''" if met is None else "mine NOT IN (SELECT unnest(?::VARCHAR[]))"
        return [row[0] for row in con.execute(f"SELECT DISTINCT form FROM join_far WHERE {told}", [] if met is None else [[*met]]).fetchall()]

    return [row[0] for row in mine], theirs
