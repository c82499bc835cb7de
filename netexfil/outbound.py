"""STEP 2: sessions turned towards outside: which way the data went, whether the port is watched, what protocol it is, how much left."""

from __future__ import annotations

import heapq
import ipaddress
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netexfil import tables
from netexfil.errors import Note
from netexfil.policy import Policy, side

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["advice", "placed", "side", "sides", "turn", "turned"]

OTHER, INSIDE, PUBLIC = 0, 1, 2
FEW = 1_000
_CODE = {"other": OTHER, "inside": INSIDE, "public": PUBLIC}


def turned(rows: str, policy: Policy) -> str:
    """A query that gives the columns of `session` (but `cid`) for rows of the READ columns with `orig_side` and `resp_side`.

    `outbound` is `true` (inside to public on a watched port, or encrypted, announced as a data channel, or a large one-sided upload
    of an unknown kind), `pull` (public to inside, bytes flow out) or null.

    Args:
        rows: a query or the name of a table; sides are 0 other, 1 inside, 2 public (null counts as other).
    """
    kept = ", ".join(f'"{name}"' for name in tables.READ)
    added = ", ".join(f'CAST({sql} AS {tables.SESSION[name]}) AS "{name}"' for name, sql in _computed(policy).items())
    return f"""
        WITH given AS (FROM ({rows})),
        way AS (SELECT *, {_WAY} AS way, {_WORDS} FROM given),
        s AS (SELECT *, {_BYTES} FROM way)
        SELECT {kept}, {added} FROM s"""


def turn(con: duckdb.DuckDBPyConnection, policy: Policy) -> list[Note]:
    """Turn the rows of `session` that no reader has turned: those without a `sid`. Linear; addresses are classified once each.

    Returns:
        One note with the TOML line to add where sessions run between public addresses only.
    """
    row = con.execute("SELECT count(*), count(sid) FROM session").fetchone() or (0, 0)
    if row[0] > row[1]:
        _turn_rest(con, policy, replace=not row[1])
    return advice(con, policy)


def _turn_rest(con: duckdb.DuckDBPyConnection, policy: Policy, replace: bool) -> None:
    """Turn all rows without a `sid`. `replace`: no row has one, so that the result takes the place of the table, without a second copy."""
    rows = placed(con, policy, "SELECT * FROM session WHERE sid IS NULL")
    con.execute(f"CREATE OR REPLACE TABLE turned AS SELECT *, CAST(NULL AS BIGINT) AS cid FROM ({turned(rows, policy)})")
    if replace:
        con.execute("DROP TABLE session")
        con.execute("ALTER TABLE turned RENAME TO session")
    else:
        con.execute("DELETE FROM session WHERE sid IS NULL")
        con.execute(f"INSERT INTO session BY NAME SELECT {', '.join(tables.stored(con))} FROM turned")
        con.execute("DROP TABLE turned")
    con.execute("DROP TABLE address_side")


def sides(addresses: list[str], policy: Policy) -> NDArray[np.int8]:
    """Codes 0 other, 1 inside, 2 public, one for each address; the same answers as `side`, IPv4 in one vectorised pass."""
    import numpy as np  # a list of sessions, and a capture without conn logs, get by without it

    codes = np.zeros(len(addresses), np.int8)
    packed, where = bytearray(), []
    for index, text in enumerate(addresses):
        try:
            packed += socket.inet_pton(socket.AF_INET, text)
            where.append(index)
        except (OSError, ValueError):  # no IPv4 address; a foreign log may hold anything, a NUL too
            codes[index] = _CODE[side(text, policy)]
    numbers = np.frombuffer(bytes(packed), ">u4").astype(np.uint32)
    inside, private = _within(numbers, policy.networks), _within(numbers, policy.private)
    codes[where] = np.where(inside, INSIDE, np.where(private, OTHER, PUBLIC))
    return codes


def _within(numbers: NDArray[np.uint32], networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> NDArray[np.bool_]:
    import numpy as np

    held = np.zeros(len(numbers), np.bool_)
    for network in networks:
        if network.version == 4:
            held |= (numbers >= int(network.network_address)) & (numbers <= int(network.broadcast_address))
    return held


def placed(con: duckdb.DuckDBPyConnection, policy: Policy, rows: str) -> str:
    """A query for the rows of a query with `orig_side` and `resp_side`; good until the next call (temporary table address_side)."""
    import numpy as np

    found = con.execute(f"WITH given AS ({rows}) SELECT orig_h FROM given UNION SELECT resp_h FROM given").fetchall()
    addresses = [row[0] for row in found if row[0] is not None]
    con.register("incoming_side", {"address": np.array(addresses, object), "side": sides(addresses, policy)})
    con.execute("CREATE OR REPLACE TEMP TABLE address_side AS SELECT CAST(address AS VARCHAR) AS address, side FROM incoming_side")
    con.unregister("incoming_side")
    return f"""SELECT s.*, o.side AS orig_side, r.side AS resp_side FROM ({rows}) s
        LEFT JOIN address_side o ON o.address = s.orig_h LEFT JOIN address_side r ON r.address = s.resp_h"""


def _has(column: str, word: str) -> str:
    """Whether a comma separated list holds a word; no word that is asked for is part of another."""
    return f"coalesce(contains({column}, '{word}'), false)"


# What the content says, from any log or parser.
_WORDS = f"""
    ({_has("service", "ssl")} OR {_has("service", "tls")} OR tls_version IS NOT NULL) AS is_tls,
    ({_has("service", "ssh")} OR ssh_client IS NOT NULL OR ssh_server IS NOT NULL) AS is_ssh,
    {_has("service", "quic")} AS is_quic,
    ({_has("service", "ftp")} OR {_has("hints", "auth_tls")} OR {_has("hints", "prot_p")}) AS is_ftp,
    {_has("hints", "ftp_data")} AS is_data"""

# Which way a session runs: 1 from inside to public, 2 from public to inside, 3 between public addresses, 0 neither.
_WAY = (
    f"CASE WHEN orig_side = {INSIDE} AND resp_side = {PUBLIC} THEN 1 WHEN orig_side = {PUBLIC} AND resp_side = {INSIDE} THEN 2"
    f" WHEN orig_side = {PUBLIC} AND resp_side = {PUBLIC} THEN 3 ELSE 0 END"
)

# The outward side's bounds, and the best word on what came in.
_BYTES = """
    CASE WHEN way = 2 THEN coalesce(resp_low, resp_bytes, 0) ELSE coalesce(orig_low, orig_bytes, 0) END AS out_low,
    CASE WHEN way = 2 THEN CASE WHEN resp_quality IS NULL THEN coalesce(resp_high, resp_bytes) ELSE resp_high END
         ELSE CASE WHEN orig_quality IS NULL THEN coalesce(orig_high, orig_bytes) ELSE orig_high END END AS out_high,
    CASE WHEN way = 2 THEN coalesce(resp_quality, 'exact') ELSE coalesce(orig_quality, 'exact') END AS out_quality,
    CASE WHEN way = 2 THEN CASE WHEN orig_quality = 'unknown' THEN NULL ELSE coalesce(orig_low, orig_bytes, 0) END
         ELSE CASE WHEN resp_quality = 'unknown' THEN NULL ELSE coalesce(resp_low, resp_bytes, 0) END END AS in_bytes"""


def _computed(policy: Policy) -> dict[str, str]:
    """The SESSION extras as SQL over the rows of `s`."""
    # a list with IN becomes a join, which loses the order of rows
    ports = " OR ".join(f"resp_p = {int(port)}" for port in policy.watched) or "NULL"
    watched = f"(({ports}) AND (proto = 'tcp' OR (proto = 'udp' AND resp_p IN (443, 8443))))"
    content = "((is_tls OR is_ssh OR is_quic) AND proto IN ('tcp', 'udp'))"
    large = int(policy.threshold("outbound_volume"))
    silent = f"(service IS NULL AND proto IN ('tcp', 'udp') AND out_low >= {large} AND coalesce(in_bytes, 0) * 9 <= out_low)"
    return {
        # a number of its own, in no order: row_number() would keep all rows back until the last has come
        "sid": f"(SELECT coalesce(max(sid), -1) FROM session) + 1 + nextval('{tables.NUMBER}')",
        "outbound": f"""CASE WHEN way IN (1, 3) AND ({watched} OR {content} OR is_data OR (way = 1 AND {silent})) THEN 'true'
            WHEN way = 2 AND ({watched} OR {content} OR is_data OR {silent}) AND out_low > coalesce(in_bytes, 0) THEN 'pull' END""",
        "inside_h": "CASE way WHEN 1 THEN orig_h WHEN 3 THEN orig_h WHEN 2 THEN resp_h END",
        "remote_h": "CASE way WHEN 1 THEN resp_h WHEN 3 THEN resp_h WHEN 2 THEN orig_h END",
        "remote_p": "CASE WHEN way > 0 THEN resp_p END",
        "protocol": _PROTOCOL,
        "pcr": "CASE WHEN in_bytes IS NOT NULL AND out_quality <> 'unknown' AND out_low + in_bytes > 0"
               " THEN (out_low - in_bytes) / CAST(out_low + in_bytes AS DOUBLE) END",
        "rate_out": "CASE WHEN duration > 0 THEN out_low / duration END",
        "bytes_out_low": "out_low", "bytes_out_high": "out_high", "bytes_in": "in_bytes", "byte_quality": "out_quality",
    }


# Named by content first, then by port. Bulk SSH is a file copy; the rest of SSH stays SSH. TLS whose inner protocol is not known by its
# port is taken for HTTPS, which nearly all of it is.
_ALL = "(out_low + coalesce(in_bytes, 0))"
_BULK = f"({_ALL} >= 65536 AND greatest(out_low, coalesce(in_bytes, 0)) >= 0.85 * {_ALL})"
_PROTOCOL = f"""CASE
    WHEN is_ssh THEN CASE WHEN {_BULK} THEN 'SFTP/SCP' ELSE 'SSH' END
    WHEN is_quic OR (proto = 'udp' AND resp_p IN (443, 8443) AND NOT is_tls) THEN 'QUIC'
    WHEN is_data THEN 'FTPS'
    WHEN is_ftp THEN CASE WHEN is_tls OR resp_p = 990 OR {_has("hints", "auth_tls")} THEN 'FTPS' ELSE 'FTP' END
    WHEN is_tls THEN CASE resp_p WHEN 990 THEN 'FTPS' WHEN 989 THEN 'FTPS' WHEN 21 THEN 'FTPS' WHEN 465 THEN 'SMTPS' WHEN 587 THEN 'SMTPS'
        WHEN 25 THEN 'SMTPS' WHEN 993 THEN 'IMAPS' WHEN 143 THEN 'IMAPS'
        ELSE CASE WHEN starts_with(server_name, 'dav.') OR starts_with(server_name, 'webdav.') THEN 'WebDAV/HTTPS' ELSE 'HTTPS' END END
    WHEN {_has("service", "http")} THEN 'HTTP' WHEN {_has("service", "dns")} THEN 'DNS'
    WHEN proto <> 'tcp' THEN 'Unknown'
    ELSE CASE resp_p WHEN 22 THEN CASE WHEN {_BULK} THEN 'SFTP/SCP' ELSE 'SSH' END WHEN 443 THEN 'HTTPS' WHEN 8443 THEN 'HTTPS'
        WHEN 990 THEN 'FTPS' WHEN 21 THEN 'FTPS' WHEN 465 THEN 'SMTPS' WHEN 587 THEN 'SMTPS' WHEN 993 THEN 'IMAPS' ELSE 'Unknown' END END"""


def _public(addresses: list[str], policy: Policy) -> Sequence[bool]:
    """Which addresses are public. A few are asked one by one: NumPy takes longer to come than they do."""
    if len(addresses) <= FEW:
        return [side(address, policy) == "public" for address in addresses]
    found: list[bool] = (sides(addresses, policy) == PUBLIC).tolist()
    return found


SENDERS = "SELECT inside_h, count(*) FROM session WHERE outbound = 'true' AND inside_h = orig_h GROUP BY inside_h"
SOURCE = "SELECT min(source) FROM session WHERE outbound = 'true' AND inside_h = ? AND orig_h = inside_h"


def _public_senders(con: duckdb.DuckDBPyConnection, policy: Policy, senders: str) -> list[tuple[str, int]]:
    """The thousand public addresses that open most outbound sessions. A flood has millions: they pass in pieces."""
    found = con.execute(senders)
    most: list[tuple[str, int]] = []
    while rows := found.fetchmany(65_536):
        most += [row for row, public in zip(rows, _public([row[0] for row in rows], policy), strict=True) if public]
        most = heapq.nsmallest(1000, most, key=lambda row: (-row[1], row[0]))
    return most


def advice(con: duckdb.DuckDBPyConnection, policy: Policy, senders: str = SENDERS, source: str = SOURCE) -> list[Note]:
    """One remark where both ends are public: which network looks like home.

    Args:
        senders: a query of inside ends and how many outbound sessions each opened.
        source: a query of where the sessions of one of them stand.
    """
    seen = _public_senders(con, policy, senders)
    if not seen:
        return []
    place = con.execute(source, [seen[0][0]]).fetchone()
    votes: dict[str, int] = {}
    for address, count in seen:
        prefix = 48 if ":" in address else 16
        home = str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))
        votes[home] = votes.get(home, 0) + count
    best = max(votes, key=lambda home: (votes[home], home))
    total = sum(votes.values())
    reason = f"{total} sessions run between public addresses; if {best} is yours, add to the policy: [networks] inside = [\"{best}\"]"
    return [Note((place and place[0]) or "sessions", "networks", reason, count=total, loss=False)]
