"""Which inside addresses have telemetry: those go to one part (0), together with all events.

The join learns from all hosts with telemetry how sure its likely ties are, and telemetry is small beside the logs; hosts without it
are spread over the other parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netexfil.join.prepare import canonical

if TYPE_CHECKING:
    import duckdb


def addresses(con: duckdb.DuckDBPyConnection, hosts: str | None) -> set[str]:
    """Addresses that events, `name` rows of kind `host` and the user's map give to a host with telemetry. Reads `event`, `name`."""
    from pathlib import Path

    from netexfil.join.hosts import read_map

    said = con.execute("""
        SELECT local_ip FROM event UNION SELECT remote_ip FROM event WHERE initiated = FALSE
        UNION SELECT trim(unnest(string_split_regex(coalesce(host_ips, ''), '[,; ]+'))) FROM event
        UNION SELECT address FROM name WHERE kind = 'host'""").fetchall()
    given = [address for _, address, _, _ in read_map(Path(hosts))] if hosts else []
    return {canonical(address) for address in (*(row[0] for row in said), *given) if address}


def hidden(con: duckdb.DuckDBPyConnection, seen: set[str]) -> set[tuple[str, int]]:
    """Far ends (address, port) of connections told by hosts whose own address no session has: a translator is between."""
    told = con.execute("SELECT DISTINCT local_ip, remote_ip, remote_p FROM event WHERE remote_ip IS NOT NULL AND remote_p IS NOT NULL").fetchall()
    return {(canonical(remote), port) for local, remote, port in told if local is None or canonical(local) not in seen}
