"""What would still be missed here: synthetic uploads of rising size and slowness, put into a site's own sessions, host class by host class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netexfil import channels, detect, outbound, tables
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb

SIZES = tuple(int(n * 10**k) for k in range(5, 10) for n in (1, 3))  # 100 kB … 3 GB in all
SAMPLE = 5  # hosts of each class
# An address from a documentation range: it cannot be in the site's records unless it is inside.
DESTINATION = "203.0.113.{}"


@dataclass(frozen=True, slots=True)
class Shape:
    """How an upload is sent: over how many days, in how many pieces a day, by which protocol."""

    name: str
    port: int
    service: str
    days: int
    pieces: int
    banner: str | None = None


SHAPES = (
    Shape("one HTTPS session", 443, "ssl", 1, 1),
    Shape("one SFTP session (OpenSSH)", 22, "ssh", 1, 1, "SSH-2.0-OpenSSH_9.6"),
    Shape("one SFTP session (rclone)", 22, "ssh", 1, 1, "SSH-2.0-rclone/v1.69.0"),
    Shape("HTTPS, 40 pieces in a day", 443, "ssl", 1, 40),
    Shape("HTTPS, 40 pieces a day for a week", 443, "ssl", 7, 40),
)


@dataclass(frozen=True, slots=True)
class Row:
    """The smallest upload found on every sampled host of a class and on half of them; None where even the largest was missed."""

    host_class: str
    hosts: int
    shape: str
    half: int | None
    every: int | None


def classes(con: duckdb.DuckDBPyConnection) -> Mapping[str, Sequence[str]]:
    """Inside hosts by how much they send outward on their busiest day: quiet (below 1 MB), usual, heavy (from 100 MB); a sample of each."""
    rows = con.execute("""
        WITH daily AS (SELECT inside_h, day, sum(bytes_low) AS low FROM channel WHERE direction = 'out' GROUP BY ALL),
        most AS (SELECT inside_h, max(low) AS low FROM daily GROUP BY inside_h)
        SELECT CASE WHEN low < 1e6 THEN 'quiet' WHEN low < 1e8 THEN 'usual' ELSE 'heavy' END AS class, inside_h FROM most
        ORDER BY class, md5(inside_h)""").fetchall()
    found: dict[str, list[str]] = {}
    for name, host in rows:
        found.setdefault(f"{name} sender", []).append(host)
    return {name: hosts[:SAMPLE] for name, hosts in found.items()}


def power(con: duckdb.DuckDBPyConnection, policy: Policy, shapes: Sequence[Shape] = SHAPES, sizes: Sequence[int] = SIZES) -> Iterator[Row]:
    """One row for each host class and shape. Needs `session` (turned), `channel`, `fleet`; leaves them as they were.

    Every upload goes to a destination of its own that the records do not hold, in the records' last days, from 08:20 UTC on.
    """
    row = con.execute("SELECT max(ts), count(*) FROM session WHERE cid IS NOT NULL").fetchone()
    if not row or not row[1]:
        return
    groups = classes(con)
    for shape in shapes:
        hits: dict[tuple[str, int], int] = {}
        for size in sizes:
            found = _found(con, policy, shape, size, [host for hosts in groups.values() for host in hosts], float(row[0]))
            hits |= {(name, size): len(found & set(hosts)) for name, hosts in groups.items()}
        for name, hosts in groups.items():
            half = next((size for size in sizes if 2 * hits[name, size] >= len(hosts)), None)
            every = next((size for size in sizes if hits[name, size] == len(hosts)), None)
            yield Row(name, len(hosts), shape.name, half, every)


def _found(con: duckdb.DuckDBPyConnection, policy: Policy, shape: Shape, size: int, hosts: Sequence[str], end: float) -> set[str]:
    """Hosts whose injected upload of `size` bytes in all is an alert by its last day."""
    own = tables.connect()
    tables.create(own)
    tables.insert(own, "session", list(_sessions(shape, size, hosts, end)), _COLUMNS)
    outbound.turn(own, policy)
    channels.build(own, policy)
    sessions, rows = (own.execute(f"SELECT * FROM {name}").fetchall() for name in ("session", "channel"))
    con.execute("CREATE OR REPLACE TEMP TABLE fleet_before AS SELECT * FROM fleet")
    try:
        tables.insert(con, "session", sessions)
        tables.insert(con, "channel", rows)
        channels.fleet(con, policy)
        last = sorted({row[list(tables.CHANNEL).index("day")] for row in rows})[-1]
        wanted = {DESTINATION.format(1 + place % 250): host for place, host in enumerate(hosts)}
        return {str(f.host["ip"]) for f in detect.score(con, policy, [last])
                if f.is_alert and f.destination and wanted.get(f.destination["ips"][0]) == f.host["ip"]}
    finally:
        con.execute("DELETE FROM session WHERE source = 'power'")
        con.execute("DELETE FROM channel WHERE cid IN (SELECT unnest(?))", [[row[0] for row in rows]])
        con.execute("DELETE FROM fleet")
        con.execute("INSERT INTO fleet SELECT * FROM fleet_before")


_COLUMNS = ("ts", "uid", "orig_h", "orig_p", "resp_h", "resp_p", "proto", "service", "duration", "orig_bytes", "resp_bytes", "conn_state",
            "orig_low", "orig_high", "orig_quality", "resp_low", "resp_high", "resp_quality", "server_name", "ssh_client", "source")


def _sessions(shape: Shape, size: int, hosts: Sequence[str], end: float) -> Iterator[tuple[Any, ...]]:
    piece = max(size // (shape.days * shape.pieces), 1)
    back = 4_000 + piece // 200
    for place, host in enumerate(hosts):
        remote, name = DESTINATION.format(1 + place % 250), f"upload{place}.example" if shape.service == "ssl" else None
        for day in range(shape.days):
            for number in range(shape.pieces):
                start = (end // 86_400 - shape.days + 1 + day) * 86_400 + 30_000 + number * 900
                uid = f"P{place}-{day}-{number}-{size}"
                yield (start, uid, host, 40_000 + number, remote, shape.port, "tcp", shape.service, max(piece / 4e6, 0.1), piece + 2_000, back, "SF",
                       piece + 2_000, piece + 2_000, "exact", back, back, "exact", name, shape.banner, "power")


def plot(rows: Sequence[Row], width: int = 40) -> str:
    """A bar for each row: the longer, the more must leave before it is found (logarithmic, 100 kB to 3 GB)."""
    lines = []
    for row in rows:
        steps = len(SIZES) if row.every is None else SIZES.index(row.every) + 1 if row.every in SIZES else 0
        bar = "█" * round(width * steps / len(SIZES))
        lines.append(f"{row.host_class:14s} {row.shape:36s} {bar} {'missed at ' + _size(SIZES[-1]) if row.every is None else _size(row.every)}")
    return "\n".join(lines)


def _size(value: int | None) -> str:
    if value is None:
        return "-"
    unit = next((unit for unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")) if value >= unit[0]), (1, "B"))
    return f"{value / unit[0]:g} {unit[1]}"


def table(rows: Sequence[Row]) -> str:
    """The same as Markdown."""
    head = ["| host class | hosts tried | upload | found on half from | found on all from |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(f"| {r.host_class} | {r.hosts} | {r.shape} | {_size(r.half)} | {_size(r.every)} |" for r in rows)])
