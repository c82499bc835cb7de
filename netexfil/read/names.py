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
            (SELECT unnest(string_split(answers, '\x1f')) AS address, query, ts FROM raw_dns WHERE answers <> '' AND query <> '')
            WHERE {_ADDRESS.format("address")} AND address NOT IN ('0.0.0.0', '127.0.0.1', '::')""",
    ),
    "ssl": ("SELECT resp_h AS address, lower(server_name) AS name, 'dns' AS kind, ts, ts AS till FROM raw_ssl WHERE server_name <> '' AND resp_h IS NOT NULL",),
    "http": (
        f"""SELECT resp_h AS address, lower(regexp_replace(host, ':[0-9]+$', '')) AS name, 'dns' AS kind, ts, ts AS till FROM raw_http
            WHERE host <> '' AND resp_h IS NOT NULL AND upper(coalesce(method, '')) <> 'CONNECT' AND NOT {_ADDRESS.format("regexp_replace(host, ':[0-9]+$', '')")}""",
    ),
    "dhcp": (
        """SELECT coalesce(address, client_addr) AS address, lower(coalesce(client_fqdn, host_name)) AS name, 'host' AS kind, ts,
            ts + least(coalesce(lease_time, 0), 31536000) AS till FROM raw_dhcp
            WHERE coalesce(client_fqdn, host_name, '') <> '' AND coalesce(address, client_addr) IS NOT NULL""",
    ),
    "ntlm": (
        "SELECT orig_h AS address, lower(hostname) AS name, 'host' AS kind, ts, ts AS till FROM raw_ntlm WHERE hostname <> '' AND orig_h IS NOT NULL",
        "SELECT resp_h AS address, lower(coalesce(dns, nb)) AS name, 'host' AS kind, ts, ts AS till FROM raw_ntlm WHERE coalesce(dns, nb, '') <> '' AND resp_h IS NOT NULL",
    ),
    "kerberos": (
        r"""SELECT orig_h AS address, lower(regexp_extract(client, '^([^/@]+)\$', 1)) AS name, 'host' AS kind, ts, ts AS till FROM raw_kerberos
            WHERE regexp_matches(client, '^[^/@]+\$(/|@|$)') AND orig_h IS NOT NULL AND coalesce(success, true)""",
        r"""SELECT orig_h AS address, lower(regexp_extract(client, '^host/([^/@]+)', 1)) AS name, 'host' AS kind, ts, ts AS till FROM raw_kerberos
            WHERE regexp_matches(client, '^host/[^/@]+') AND orig_h IS NOT NULL AND coalesce(success, true)""",
    ),
    "known_hosts": ("SELECT address, lower(name) AS name, 'host' AS kind, ts, ts AS till FROM raw_known_hosts WHERE name <> '' AND address IS NOT NULL",),
}


def fill(con: duckdb.DuckDBPyConnection, logs: Sequence[str]) -> None:
    """Add the names that the rows of `logs` give to the table `name`, one row an address, name, kind and source."""
    for log in logs:
        for query in NAMES.get(log, ()):
            con.execute(f"""INSERT INTO name SELECT address, rtrim(name, '.'), kind, min(ts), max(till), '{log}' FROM ({query})
                WHERE rtrim(name, '.') <> '' GROUP BY ALL""")
