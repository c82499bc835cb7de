"""Sums of sessions by channel, made while the sessions are read: by the core of conn rows alone, else by SQL. Both end in the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netexfil import channels, outbound, read, tables
from netexfil.detect import collect
from netexfil.policy import Policy
from netexfil.state import keys

if TYPE_CHECKING:
    import duckdb

KEYS = tuple(f"{name}_key" for name in channels.TIED)
# What `channels.name` takes.
KINDS = {name: kind for name, kind in tables.CHANNEL.items() if name != "entity"} | dict.fromkeys(KEYS, "HUGEINT")
# Columns of which sums are made; the rest of a session is read only where its channel is judged.
_USED = tuple("""ts uid orig_h orig_p resp_h resp_p proto service duration orig_bytes resp_bytes server_name tls_version ssh_client ssh_server
    orig_low orig_high orig_quality resp_low resp_high resp_quality hints""".split())
# Words that many logs never say: where a batch has none, nothing is looked for in them.
_WORDS = ("service", "server_name", "tls_version", "ssh_client", "ssh_server", "hints")
INSIDE = f"remote_h IS NULL AND resp_p IN ({', '.join(map(str, collect.PORTS))})"
# Stands for a channel's number while sessions are grouped (the ends say which way it runs): MD5 is worth its time once a channel, not once a session.
_QUICK = keys.hashed("orig_h", "resp_h", "resp_p", "proto", keys.DAY_OF)
# The same of channels.
_QUICK_OF = keys.hashed(
    "CASE direction WHEN 'pull' THEN remote_h ELSE inside_h END", "CASE direction WHEN 'pull' THEN inside_h ELSE remote_h END", "remote_p", "proto",
    "CAST(day AS BIGINT)")  # fmt: skip
NUMBER = channels.cid("inside_h", "remote_h", "remote_p", "proto", "day", "CASE direction WHEN 'pull' THEN 'pull' ELSE 'true' END")
# What a conn row alone can say of a session in words. Where more is known, from other logs or of its state, SQL makes the sums.
_PLAIN = ("onesided", "midstream", "midstream,onesided", "offload,onesided", "midstream,offload,onesided")
_MORE = f"""server_name IS NOT NULL OR tls_version IS NOT NULL OR ssh_client IS NOT NULL OR ssh_server IS NOT NULL
    OR (hints IS NOT NULL AND hints NOT IN {_PLAIN})"""

MADE = ("sums", "summed", "reads")


def begin(con: duckdb.DuckDBPyConnection) -> None:
    """Empty tables for `add`: `sums` of channels, `summed` (the batches in it), `reads` (inside hosts and days that read from inside servers)."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE sums ({', '.join(f'{name} {kind}' for name, kind in KINDS.items())})")
    con.execute("CREATE OR REPLACE TEMP TABLE summed (batch BIGINT)")
    con.execute("CREATE OR REPLACE TEMP TABLE reads (inside_h VARCHAR, day BIGINT)")


def add(
    con: duckdb.DuckDBPyConnection, policy: Policy, rows: str, batch: int | None = None,
    given: tuple[Sequence[tuple[str, int]], object] | None = None,
) -> None:
    """Make sums of new sessions (a table, or one with a condition), in one pass. Sums of talks that turn out to be `whole` are not used.

    What belongs to the channel of another session (`channels.assign`) is left out here: hosts with such sessions are `mixed`, so whole.

    Args:
        given: what the core has found in the conn rows that these sessions are: who read from inside on which day, and the sums as an Arrow stream.
    """
    if not tables.some(con, rows):
        return
    if batch is not None:
        con.execute("INSERT INTO summed VALUES (?)", [batch])
    also = f"{rows} {'AND' if ' WHERE ' in rows else 'WHERE'}"
    if given is not None:
        _take(con, also, *given)
        if not tables.some(con, "apart"):
            return
        rows = f"{also} {_QUICK} IN (FROM apart)"
        also = f"{rows} AND"
    unsaid = [name for name in _WORDS if not tables.some(con, f"{also} {name} IS NOT NULL")]
    used = ", ".join(name if name in _USED and name not in unsaid else f"CAST(NULL AS {kind}) AS {name}" for name, kind in tables.READ.items())
    query = f"SELECT {used}, orig_side, resp_side FROM {rows}"
    if rows.startswith("state.") or tables.some(con, f"{also} orig_side IS NULL"):
        query = outbound.placed(con, policy, f"SELECT {used} FROM {rows}")
    turned = f"SELECT *, {_QUICK} AS cid FROM ({outbound.turned(query, policy)})"
    named = ", ".join(KINDS)
    grouped = channels.grouped(f"{turned} WHERE outbound IS NOT NULL", unsaid)
    con.execute(f"INSERT INTO sums ({named}) SELECT {named} FROM (SELECT * REPLACE ({NUMBER} AS cid) FROM ({grouped}))")
    con.execute(f"INSERT INTO reads SELECT DISTINCT orig_h, {keys.DAY_OF} FROM ({turned}) WHERE {INSIDE}")


def _take(con: duckdb.DuckDBPyConnection, which: str, read_inside: Sequence[tuple[str, int]], sums: object) -> None:
    """Take the core's sums, but of the channels in `apart`: those with a session of which more is known than its conn row said."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE apart AS SELECT DISTINCT {_QUICK} AS quick FROM {which} ({_MORE})")
    also = {name: f"CAST(NULL AS {KINDS[name]})" for name in (*channels.TIED, *KEYS)}
    also |= {"cid": NUMBER, "protocol": "protocol", "protocol_key": channels.tied("protocol", "max_low"), "siblings": "0", "unfinished": "0"}
    con.register("incoming", sums)
    con.execute(f"""INSERT INTO sums ({", ".join(KINDS)}) SELECT {", ".join(also.get(name, name) for name in KINDS)} FROM incoming
        {f"WHERE {_QUICK_OF} NOT IN (FROM apart)" if tables.some(con, "apart") else ""}""")
    con.unregister("incoming")
    tables.insert(con, "reads", read_inside, kinds={"inside_h": "VARCHAR", "day": "BIGINT"})


def asked(con: duckdb.DuckDBPyConnection, policy: Policy) -> read.Sums | None:
    """What the core needs to make sums of what it reads; None where there is no core."""
    if not read.core_available():
        return None
    from netexfil import _core

    names = _core.Logs.protocols()
    ranks = dict(con.execute(f"SELECT name, {channels.rank('name')} FROM (SELECT unnest(?) AS name)", [names]).fetchall())
    watched = [int(port) for port in policy.watched]
    return read.Sums(int(policy.threshold("outbound_volume")), watched, collect.PORTS, [ranks[name] for name in names])
