"""Every table that travels between the steps: its columns, their order and DuckDB types, said once.

A step takes a DuckDB connection with some of these tables filled and fills the next. Times are seconds since
1970 UTC as DOUBLE (a double holds microseconds until the year 2255). Addresses are canonical text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import duckdb

# Columns of a session as a reader hands it over; the Rust core's stream has exactly these and SIDES (a test holds it).
READ: dict[str, str] = {
    "ts": "DOUBLE", "uid": "VARCHAR", "orig_h": "VARCHAR", "orig_p": "INTEGER", "resp_h": "VARCHAR", "resp_p": "INTEGER",
    "proto": "VARCHAR", "service": "VARCHAR", "duration": "DOUBLE", "orig_bytes": "BIGINT", "resp_bytes": "BIGINT",
    "conn_state": "VARCHAR", "local_orig": "BOOLEAN", "local_resp": "BOOLEAN", "missed_bytes": "BIGINT", "history": "VARCHAR",
    "orig_pkts": "BIGINT", "orig_ip_bytes": "BIGINT", "resp_pkts": "BIGINT", "resp_ip_bytes": "BIGINT", "community_id": "VARCHAR",
    "server_name": "VARCHAR", "tls_version": "VARCHAR", "alpn": "VARCHAR", "ja3": "VARCHAR", "ja4": "VARCHAR",
    "cert_subject": "VARCHAR", "cert_issuer": "VARCHAR", "cert_fingerprint": "VARCHAR", "cert_self_signed": "BOOLEAN",
    "ssh_client": "VARCHAR", "ssh_server": "VARCHAR", "hassh": "VARCHAR", "hassh_server": "VARCHAR",
    "orig_low": "BIGINT", "orig_high": "BIGINT", "orig_quality": "VARCHAR",
    "resp_low": "BIGINT", "resp_high": "BIGINT", "resp_quality": "VARCHAR",
    "tunnel": "VARCHAR", "hints": "VARCHAR", "source": "VARCHAR",
}

# Where the ends of a session stand: 0 other, 1 inside, 2 public. Only in the core's streams, for `outbound.turned`.
SIDES: dict[str, str] = {"orig_side": "TINYINT", "resp_side": "TINYINT"}

# What `outbound.py` adds. `inside_h` and `remote_*` turn a session so that "out" is away from the inside host.
# `cid` is the session's channel (null: none), set by `channels.py`.
SESSION: dict[str, str] = READ | {
    "sid": "BIGINT", "outbound": "VARCHAR", "inside_h": "VARCHAR", "remote_h": "VARCHAR", "remote_p": "INTEGER",
    "protocol": "VARCHAR", "pcr": "DOUBLE", "rate_out": "DOUBLE",
    "bytes_out_low": "BIGINT", "bytes_out_high": "BIGINT", "bytes_in": "BIGINT", "byte_quality": "VARCHAR", "cid": "BIGINT",
}

# What a reader can store of a session that is turned while it is read, where its table has room.
TURNED = (SESSION.keys() | SIDES.keys()) - {"cid"}

# A name for an address, with its time of validity: from DNS answers, certificates, SNI, DHCP …
# `kind` is `dns` (name of a remote address) or `host` (name of an inside host).
NAME: Mapping[str, str] = {
    "address": "VARCHAR", "name": "VARCHAR", "kind": "VARCHAR", "first_ts": "DOUBLE", "last_ts": "DOUBLE", "source": "VARCHAR",
}

# One normalised record of endpoint telemetry; fields as in docs/events.md. `ts_field` names the clock that `ts` came from,
# `ts_rec` is the record's own time, `hashes` is `sha256=…,md5=…`, `target` the file written, the name asked or the script text,
# `technique` is comma separated.
EVENT: Mapping[str, str] = {
    "kind": "VARCHAR", "ts": "DOUBLE", "ts_field": "VARCHAR", "ts_rec": "DOUBLE", "host": "VARCHAR", "host_raw": "VARCHAR",
    "host_id": "VARCHAR", "host_ips": "VARCHAR", "user": "VARCHAR", "image": "VARCHAR", "pid": "BIGINT", "guid": "VARCHAR",
    "hashes": "VARCHAR", "command_line": "VARCHAR", "original_file_name": "VARCHAR", "parent_image": "VARCHAR", "parent_pid": "BIGINT",
    "parent_guid": "VARCHAR", "parent_command_line": "VARCHAR", "local_ip": "VARCHAR", "local_p": "INTEGER", "remote_ip": "VARCHAR",
    "remote_p": "INTEGER", "remote_host": "VARCHAR", "proto": "VARCHAR", "initiated": "BOOLEAN", "bytes_out": "BIGINT",
    "bytes_in": "BIGINT", "community_id": "VARCHAR", "target": "VARCHAR", "answers": "VARCHAR", "rule_id": "VARCHAR",
    "rule_name": "VARCHAR", "severity": "INTEGER", "technique": "VARCHAR", "dialect": "VARCHAR", "event_id": "VARCHAR",
    "raw_id": "VARCHAR", "file": "VARCHAR", "line": "BIGINT", "eid": "BIGINT",
}

# An event that a rule selected. `reason` says in a sentence what matched; `confidence` is high, medium or low.
ALERT: Mapping[str, str] = {
    "eid": "BIGINT", "rule": "VARCHAR", "title": "VARCHAR", "severity": "VARCHAR", "confidence": "VARCHAR", "technique": "VARCHAR",
    "tool": "VARCHAR", "reason": "VARCHAR",
}

# One session tied to one event. `match` is five_tuple, community_id, process, remote_time or host_time; `confidence` the share of such
# links that are right; `seconds_apart` = event time (corrected) - session start; `clock_offset` = event clock - capture clock.
LINK: Mapping[str, str] = {
    "sid": "BIGINT", "eid": "BIGINT", "match": "VARCHAR", "confidence": "DOUBLE", "candidates": "INTEGER",
    "seconds_apart": "DOUBLE", "clock_offset": "DOUBLE",
}


# Our column -> the name it has in every output.
SHOWN: Mapping[str, str] = {"orig_h": "id.orig_h", "orig_p": "id.orig_p", "resp_h": "id.resp_h", "resp_p": "id.resp_p"}

# `netexfil sessions`, in this order.
SESSION_OUTPUT: Sequence[str] = (
    "ts", "uid", "orig_h", "orig_p", "resp_h", "resp_p", "proto", "service", "duration", "orig_bytes", "resp_bytes", "conn_state",
    "local_orig", "local_resp", "missed_bytes", "history", "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "community_id",
    "server_name", "tls_version", "alpn", "ja3", "ja4", "cert_subject", "cert_issuer", "cert_fingerprint", "cert_self_signed",
    "ssh_client", "ssh_server", "hassh", "hassh_server",
    "outbound", "protocol", "pcr", "rate_out", "bytes_out_low", "bytes_out_high", "byte_quality", "tunnel", "source",
)


# An endpoint alert whose session was not seen, and why.
UNMATCHED: Mapping[str, str] = {"eid": "BIGINT", "reason": "VARCHAR"}

# What other logs said of a session whose conn row was not among the rows read (late, or in the next run). One row a log line:
# `uid` (or for certificates the file id or fingerprint in `fuid`), `kind` the log's name, and those READ columns that it can fill.
# Filled only where `read.Options.keep_facts` is set; the state merges it by uid.
FACT: Mapping[str, str] = {"uid": "VARCHAR", "fuid": "VARCHAR", "kind": "VARCHAR", "ts": "DOUBLE"} | {
    name: READ[name]
    for name in (
        "service", "server_name", "tls_version", "alpn", "ja3", "ja4", "cert_subject", "cert_issuer", "cert_fingerprint",
        "cert_self_signed", "ssh_client", "ssh_server", "hassh", "hassh_server", "tunnel", "hints", "source",
    )
}

# One inside host, one destination address, port and transport, one UTC day (`day` counts from 1970), one direction (`out`, `pull`).
# All sums are over the channel's sessions, siblings included. `entity` is the owner's domain, else the address. `push_*` sums the
# sessions that sent at least three bytes for each they received. `quality` is 0 exact, 1 bounded, 2 unknown; `in_unknown`
# counts sessions whose answers no sensor saw.
CHANNEL: Mapping[str, str] = {
    "cid": "BIGINT", "day": "INTEGER", "inside_h": "VARCHAR", "remote_h": "VARCHAR", "remote_p": "INTEGER", "proto": "VARCHAR",
    "direction": "VARCHAR", "entity": "VARCHAR", "server_name": "VARCHAR", "protocol": "VARCHAR", "first_ts": "DOUBLE",
    "last_ts": "DOUBLE", "sessions": "BIGINT", "siblings": "BIGINT", "unfinished": "BIGINT", "bytes_low": "BIGINT", "bytes_high": "BIGINT",
    "bytes_in": "BIGINT", "in_unknown": "BIGINT", "quality": "INTEGER", "push_low": "BIGINT", "push_in": "BIGINT", "push_sessions": "BIGINT",
    "max_low": "BIGINT", "busy": "DOUBLE", "ssh_client": "VARCHAR", "ssh_sessions": "BIGINT", "tls_sessions": "BIGINT",
    "odd_sessions": "BIGINT", "clear_leg": "BOOLEAN",
}

# How many inside hosts used an entity, as changes by day: sums up to a day give the hosts of the 30 days before it. Rows add up across
# partitions. The entity '' counts the active hosts. `senders` counts hosts that sent more than a few handshakes to it.
FLEET: Mapping[str, str] = {"entity": "VARCHAR", "day": "INTEGER", "users": "BIGINT", "senders": "BIGINT"}

# Days on which a host spoke a protocol outward, beside those that `channel` holds: filled where not all channels are at hand.
SPOKE: Mapping[str, str] = {"inside_h": "VARCHAR", "protocol": "VARCHAR", "day": "INTEGER"}

# Inside hosts that sent something outward on a day, beside those that `channel` holds: filled where a reader left sessions out.
ACTIVE: Mapping[str, str] = {"inside_h": "VARCHAR", "day": "INTEGER"}

# Inside hosts that sent something outward and that no telemetry could be tied to, beside those that `session` holds: filled where a reader left
# sessions out. None of them sent as much as those do that sent most.
AWAY: Mapping[str, str] = {"inside_h": "VARCHAR"}

TABLES: Mapping[str, Mapping[str, str]] = {
    "session": SESSION, "name": NAME, "event": EVENT, "alert": ALERT, "link": LINK, "unmatched": UNMATCHED, "fact": FACT,
    "channel": CHANNEL, "fleet": FLEET, "spoke": SPOKE, "active": ACTIVE, "away": AWAY,
}


MEMORY = "1GB"


def connect(path: str = ":memory:", memory: str = MEMORY) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection that holds at most `memory` and spills to the system's temporary folder, never to the working directory."""
    import duckdb

    con = duckdb.connect(path)
    con.execute(f"SET temp_directory = '{_spill().replace(chr(39), chr(39) * 2)}'")
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar = false")  # DuckDB would print one to stdout, among the results
    con.execute(f"SET memory_limit = '{memory}'")
    return con


class _Later:
    """Stands for a connection and makes it when it is asked for something."""

    def __init__(self, make: Callable[[], duckdb.DuckDBPyConnection]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        if name == "_con":
            self._con = self._make()
            return self._con
        return getattr(self._con, name)


def later(names: Iterable[str], memory: str = MEMORY) -> duckdb.DuckDBPyConnection:
    """A connection in memory with the named tables; DuckDB is imported when it is first used, which a tenth of a small run's time depends on."""

    def make() -> duckdb.DuckDBPyConnection:
        con = connect(memory=memory)
        create(con, names)
        return con

    return cast("duckdb.DuckDBPyConnection", _Later(make))


def _spill() -> str:
    """A folder for what does not fit into memory: this user's own, which nobody else can read, since sessions and command lines go there."""
    import os
    import stat
    import tempfile

    user = getattr(os, "getuid", lambda: 0)()
    path = os.path.join(tempfile.gettempdir(), f"netexfil-spill-{user}")
    try:
        if not os.path.lexists(path):
            os.makedirs(path, 0o700, exist_ok=True)
        held = os.lstat(path)
        ours = stat.S_ISDIR(held.st_mode) and held.st_uid == user and not held.st_mode & 0o077
        return path if ours or os.name != "posix" else tempfile.mkdtemp(prefix="netexfil-spill-")
    except OSError:
        return path  # nothing can be written there: DuckDB says so where it has to


FRUGAL = "80MB"  # with what else is there, a process of less than 300 MB


def spare(con: duckdb.DuckDBPyConnection) -> None:
    """Hold at most FRUGAL from now on, in one thread, whose buffers are half of two threads'."""
    held = _limit(con)
    if held > size(FRUGAL):
        con.execute(f"SET VARIABLE allowed = {held}")
        con.execute(f"SET memory_limit = '{FRUGAL}'")
        con.execute("SET threads = 1")


def unspare(con: duckdb.DuckDBPyConnection, most: bool = False) -> bool:
    """Hold twice as much, or the most, of what was allowed before `spare`; False where that is reached."""
    row = con.execute("SELECT getvariable('allowed')").fetchone()
    if row is None or row[0] is None:
        return False
    held = 2 * _limit(con)
    if most or held >= row[0]:
        held = row[0]
        con.execute("RESET VARIABLE allowed")
    con.execute(f"SET memory_limit = '{held / 1024:.1f}KiB'")
    return True


def _limit(con: duckdb.DuckDBPyConnection) -> int:
    row = con.execute("SELECT current_setting('memory_limit')").fetchone()
    return size(row[0].replace(" ", "")) if row else 0


NUMBER = "session_number"  # a sequence of the connection; what it adds to the largest `sid` is new


@contextmanager
def as_written(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Joins are done as they are written: the left side, many wide rows of unknown number, streams past the right one.

    DuckDB takes a stream for one row and builds its hash table on it: twice the time, and all rows in memory.
    """
    con.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    try:
        yield
    finally:
        con.execute("RESET disabled_optimizers")


def size(text: str) -> int:
    """Bytes of a size such as 500MB or 1.5GiB, as DuckDB counts: MB are 1000², MiB 1024²."""
    import re

    number, unit, binary = re.findall(r"^([\d.]+)\s*([KMGT])(I?)B$", text.upper())[0]
    return int(float(number) * (1024 if binary else 1000) ** ("KMGT".index(unit) + 1))


# Columns of `session` that are for those who list sessions; findings never ask for them. The second ones only a join asks for.
LISTED = frozenset((
    "conn_state", "local_orig", "local_resp", "missed_bytes", "orig_ip_bytes", "resp_ip_bytes", "alpn", "ja3", "cert_fingerprint", "hassh_server",
    "tunnel", "pcr", "rate_out",
))
JOINED = frozenset(("history", "community_id"))


def create(con: duckdb.DuckDBPyConnection, names: Iterable[str] = TABLES, without: Collection[str] = (), temporary: bool = False) -> None:
    """Create the named tables where they are not there yet. Columns of `session` named in `without` are null and take no room.

    Temporary ones can be written in a transaction that writes to an attached database.
    """
    for name in names:
        parts = (f'"{column}" {kind}{_NOT_STORED if name == "session" and column in without else ""}' for column, kind in TABLES[name].items())
        con.execute(f"CREATE {'TEMP' if temporary else ''} TABLE IF NOT EXISTS {name} ({', '.join(parts)})")
    con.execute(f"CREATE TEMP SEQUENCE IF NOT EXISTS {NUMBER} MINVALUE 0 START 0")


_NOT_STORED = " GENERATED ALWAYS AS (NULL) VIRTUAL"


def stored(con: duckdb.DuckDBPyConnection, table: str = "session") -> list[str]:
    """The columns of a table that can be written; none of ours has a default."""
    return [row[1] for row in con.execute(f"PRAGMA table_info('{table}')").fetchall() if row[4] is None]


def some(con: duckdb.DuckDBPyConnection, rows: str) -> bool:
    """Whether a table, or a table with a condition, has a row: a step without work costs a question instead of a plan."""
    return con.execute(f"SELECT 1 FROM {rows} LIMIT 1").fetchone() is not None


def insert(
    con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Sequence[Any]], columns: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> None:
    """Append rows (in the order of `columns`, default the table's own) at once; a column's None is NULL.

    `kinds` are the types of a table that TABLES does not name.
    """
    if not rows:
        return
    import numpy as np

    kinds = kinds or TABLES[table]
    named = list(columns or kinds)
    arrays = {}
    for name, values in zip(named, zip(*rows, strict=True), strict=True):
        arrays[name] = _column(np, kinds[name], values)
    con.register("incoming", arrays)
    quoted = ", ".join(f'"{name}"' for name in named)
    typed = ", ".join(f'CAST("{name}" AS {kinds[name]})' for name in named)
    con.execute(f"INSERT INTO {table} ({quoted}) SELECT {typed} FROM incoming")
    con.unregister("incoming")


def _column(np: Any, kind: str, values: Sequence[Any]) -> Any:
    """One NumPy array that DuckDB reads without guessing: masked where a value is missing, so that whole numbers stay whole."""
    missing = np.fromiter((value is None for value in values), bool, len(values))
    dtype = {"DOUBLE": np.float64, "BIGINT": np.int64, "INTEGER": np.int32, "BOOLEAN": np.bool_}.get(kind)
    if dtype is None:
        return np.array(values, dtype=object)
    filled = np.fromiter((dtype(0) if value is None else value for value in values), dtype, len(values))
    return np.ma.masked_array(filled, missing) if missing.any() else filled
