"""Names for addresses out of logs: what DNS answered, what TLS asked for, what DHCP, NTLM and Kerberos call a host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_ADDRESS = r"regexp_matches({0}, '^[0-9]{{1,3}}(\.[0-9]{{1,3}}){{3}}$|^[0-9a-fA-F:]*:[0-9a-fA-F:.]*$')"

# log -> rows (address, name, kind, ts, till)
NAMES: Mapping[str, Sequence[str]] = {
    "dns": (
        f"""SELECT address, lower(query) AS name, 'dns' AS kind, ts, ts AS till FROM
            (SELECT unnest(string_split(answers, '\x1f')) AS address, query, ts FROM {{rows}} WHERE answers <> '' AND query <> '')
            WHERE {_ADDRESS.format("address")} AND address NOT IN ('0.0.0.0', '127.0.0.1', '::')""",
    ),
    "http": (
        f"""SELECT resp_h AS address, lower(regexp_replace(host, ':[0-9]+$', '')) AS name, 'dns' AS kind, ts, ts AS till FROM {{rows}}
            WHERE host <> '' AND resp_h IS NOT NULL AND upper(coalesce(method, '')) <> 'CONNECT'
            AND NOT {_ADDRESS.format("regexp_replace(host, ':[0-9]+$', '')")}""",
    ),
    "dhcp": (
        """SELECT coalesce(address, client_addr) AS address, lower(coalesce(client_fqdn, host_name)) AS name, 'host' AS kind, ts,
            ts + least(coalesce(lease_time, 0), 31536000) AS till FROM {rows}
            WHERE coalesce(client_fqdn, host_name, '') <> '' AND coalesce(address, client_addr) IS NOT NULL""",
    ),
    "ntlm": (
        "SELECT orig_h AS address, lower(hostname) AS name, 'host' AS kind, ts, ts AS till FROM {rows} WHERE hostname <> '' AND orig_h IS NOT NULL",
        """SELECT resp_h AS address, lower(coalesce(dns, nb)) AS name, 'host' AS kind, ts, ts AS till FROM {rows}
            WHERE coalesce(dns, nb, '') <> '' AND resp_h IS NOT NULL""",
    ),
    "kerberos": (
        r"""SELECT orig_h AS address, lower(regexp_extract(client, '^([^/@]+)\$', 1)) AS name, 'host' AS kind, ts, ts AS till FROM {rows}
            WHERE regexp_matches(client, '^[^/@]+\$(/|@|$)') AND orig_h IS NOT NULL AND coalesce(success, true)""",
        r"""SELECT orig_h AS address, lower(regexp_extract(client, '^host/([^/@]+)', 1)) AS name, 'host' AS kind, ts, ts AS till FROM {rows}
            WHERE regexp_matches(client, '^host/[^/@]+') AND orig_h IS NOT NULL AND coalesce(success, true)""",
    ),
    "known_hosts": ("SELECT address, lower(name) AS name, 'host' AS kind, ts, ts AS till FROM {rows} WHERE name <> '' AND address IS NOT NULL",),
    "netexfil": (
        """SELECT address, lower(name) AS name, what AS kind, ts, ts AS till FROM {rows}
            WHERE what IN ('dns', 'host') AND name <> '' AND address IS NOT NULL""",
    ),
}


# TLS asks for a name at the address it is sent to: out of the facts that `merging` gathers.
_FROM_FACTS = """SELECT address, lower(server_name) AS name, 'dns' AS kind, ts, ts AS till FROM {rows}
    WHERE kind IN ('ssl', 'netexfil') AND server_name <> '' AND address IS NOT NULL"""


def fill(con: duckdb.DuckDBPyConnection, log: str, rows: str) -> None:
    """Add the names that the rows of a log (a table or a stream) give to the table `name`: one row an address, name, kind and source."""
    for query in NAMES.get(log, ()):
        _add(con, query.replace("{rows}", rows), log)


def from_facts(con: duckdb.DuckDBPyConnection, rows: str) -> None:
    """The same for names that TLS asked for."""
    _add(con, _FROM_FACTS.replace("{rows}", rows), "ssl")


def _add(con: duckdb.DuckDBPyConnection, query: str, source: str) -> None:
    con.execute(f"""INSERT INTO name SELECT address, rtrim(name, '.'), kind, min(ts), max(till), '{source}' FROM ({query})
        WHERE rtrim(name, '.') <> '' GROUP BY ALL""")
