"""Which inside addresses must be scored together: those of one host, as its telemetry and the network's own logs tell.

Clocks are estimated for each host over all its addresses, so an address goes where its host goes. Without telemetry every address is alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from netexfil.join.hosts import NOBODY

if TYPE_CHECKING:
    import duckdb


class Groups:
    """Sets of names that belong together (union-find)."""

    def __init__(self) -> None:
        self.above: dict[str, str] = {}

    def find(self, name: str) -> str:
        above = self.above.setdefault(name, name)
        while above != name:
            self.above[name] = self.above.setdefault(above, above)
            name, above = above, self.above[above]
        return name

    def tie(self, one: str, other: str) -> None:
        """The smaller name stands for both, so that order does not matter."""
        low, high = sorted((self.find(one), self.find(other)))
        self.above[high] = low


def groups(con: duckdb.DuckDBPyConnection, hosts: str | None) -> Groups:
    """Hosts (`host:NAME`) and addresses that telemetry, `name` rows of kind `host` and the user's map tie together. Reads `event`, `name`."""
    from netexfil.join.hosts import read_map
    from netexfil.join.prepare import canonical

    found = Groups()
    said = con.execute(f"""
        SELECT DISTINCT host, host_id, address FROM (
            SELECT host, host_id, local_ip AS address FROM event UNION
            SELECT host, host_id, trim(unnest(string_split_regex(coalesce(host_ips, ''), '[,; ]+'))) FROM event)
        WHERE address IS NULL OR NOT regexp_matches(address, '{NOBODY}')""").fetchall()
    for host, number, address in said:
        for name in (f"host:{host}" if host else None, f"id:{number}" if number else None, canonical(address) if address else None):
            if name:
                found.tie(event_key(host, number), name)
    for name, address in con.execute("SELECT DISTINCT lower(split_part(name, '.', 1)), address FROM name WHERE kind = 'host'").fetchall():
        if name and address:
            found.tie(f"host:{name}", canonical(address))
    for one in _pathless(hosts, read_map):
        found.tie(f"host:{one[0].partition('.')[0].lower()}", canonical(one[1]))
    return found


def _pathless(hosts: str | None, read_map: Any) -> Iterable[tuple[str, str, float, float]]:
    from pathlib import Path

    return read_map(Path(hosts)) if hosts else ()


def event_key(host: str | None, number: str | None) -> str:
    """The name by which an event's host is known here."""
    return f"host:{host}" if host else f"id:{number or ''}"


def hidden(con: duckdb.DuckDBPyConnection, seen: set[str]) -> list[tuple[str, str, int]]:
    """(host key, remote address, remote port) of connections told by hosts whose own address no session has: NAT is between."""
    from netexfil.join.prepare import canonical

    told = con.execute("SELECT DISTINCT host, host_id, local_ip, remote_ip, remote_p FROM event WHERE local_ip IS NOT NULL AND remote_ip IS NOT NULL")
    return [
        (event_key(host, number), canonical(remote), port)
        for host, number, local, remote, port in told.fetchall()
        if canonical(local) not in seen and port is not None
    ]
