"""What runs on the workers: read a piece, make sessions whole, place them with their hosts, score a partition.

Each function takes and gives rows of `payload`; the work in them is done by the same functions as in `pipeline`.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from netexfil import pipeline, tables
from netexfil.errors import Note, Unreadable
from netexfil.spark import payload
from netexfil.spark.pieces import Piece, at_hand

if TYPE_CHECKING:
    import duckdb

Task = Callable[[Iterable[payload.Row]], Iterator[payload.Row]]
TIED = "('x509', 'files', 'ftp')"  # facts that are not tied to one session's uid: every partition gets them


@dataclass(frozen=True, slots=True)
class Shared:
    """What every task knows. `logs`: whether any source is a log, whose sessions may be told several times."""

    job: pipeline.Job
    parts: int
    logs: bool = True


def on_arrow(task: Task) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """A task as `mapInArrow` wants it."""
    return partial(_on_arrow, task)


def _on_arrow(task: Task, batches: Iterable[Any]) -> Iterator[Any]:
    return payload.batches(task(payload.rows(batches)))


def connect() -> duckdb.DuckDBPyConnection:
    """One thread each: Spark runs as many tasks as there are cores."""
    con = tables.connect()
    con.execute("SET threads = 1")
    tables.create(con)
    return con


def part_of(column: str, parts: int) -> str:
    """SQL: the part of a text; the same on every worker and in every version."""
    return f"CAST(md5_number_lower(coalesce({column}, '')) % {parts} AS INTEGER)"


def read(shared: Shared, found: Iterable[payload.Row]) -> Iterator[payload.Row]:
    """Pieces to rows of sessions, facts and names; sessions and their facts go to the part of their uid."""
    for _, _, data in found:
        piece: Piece = pickle.loads(data)
        con = connect()
        notes = _read(con, shared, piece)
        yield from payload.split(con, "session", f"SELECT {part_of('uid', shared.parts)}, {_columns(tables.READ)} FROM session")
        yield from payload.split(con, "fact", f"SELECT {part_of('uid', shared.parts)}, * FROM fact WHERE kind NOT IN {TIED}")
        yield from payload.split(con, "tied", f"SELECT DISTINCT 0, * FROM fact WHERE kind IN {TIED}")
        yield from payload.split(con, "name", "SELECT DISTINCT 0, * FROM name")
        yield from payload.things("note", notes)
        if piece.captures:
            yield from payload.things("end", [end for (end,) in con.execute("SELECT max(ts + coalesce(duration, 0)) FROM session").fetchall() if end])
        con.close()


def _columns(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _read(con: duckdb.DuckDBPyConnection, shared: Shared, piece: Piece) -> list[Note]:
    from netexfil import read as reader

    options = replace(shared.job.options, threads=1, keep_facts=True, ranges=piece.ranges)
    with at_hand(piece) as (files, shown):
        try:
            notes = reader.sessions(con, files, options, shared.job.policy)
        except Unreadable as error:
            return [Note(os.path.dirname(piece.files[0]), "unreadable", str(error))]
        for path, name in shown.items():
            for table in ("session", "fact", "name"):
                con.execute(f"UPDATE {table} SET source = ? WHERE source = ?", [name, path])
        return [replace(note, file=shown.get(note.file, note.file)) for note in notes]


@dataclass(frozen=True, slots=True)
class Told:
    """What one piece says of the sessions of others: facts tied by other things than uids; which captures there are, and their last packet's time."""

    tied: bytes | None
    captures: tuple[str, ...]
    until: float | None


def whole(shared: Shared, told: Told, found: Iterable[payload.Row]) -> Iterator[payload.Row]:
    """Sessions with what all logs say of them, each once; and which addresses there are."""
    from netexfil.read import capture, merging

    con = connect()
    others = payload.load(found, {"session": "session", "fact": "fact"}, con)
    if told.tied is not None:
        payload.fill(con, "fact", told.tied)
    if told.until is not None:
        capture.ended(con, told.captures, told.until)
    if shared.logs:
        merging.merge_facts(con)
        merging.once(con)
    yield from payload.split(con, "session", f"SELECT {part_of('uid', shared.parts)}, {_columns(tables.READ)} FROM session")
    ends = "SELECT 0, address, min(ts) AS t0, max(ts) AS t1 FROM (SELECT orig_h AS address, ts FROM session UNION ALL SELECT resp_h, ts FROM session)"
    yield from payload.split(con, "address", f"{ends} WHERE address IS NOT NULL GROUP BY address")
    yield from others
    con.close()


def meet(ends: set[tuple[str, int]], found: Iterable[payload.Row]) -> Iterator[payload.Row]:
    """Which addresses talk to the far ends that hosts behind a translator told of."""
    con = connect()
    payload.load(found, {"session": "session"}, con)
    rows = con.execute("SELECT DISTINCT orig_h, resp_h, resp_p FROM session").fetchall()
    yield from payload.things("met", sorted({orig for orig, resp, port in rows if (resp, port) in ends}))
    con.close()


def place(shared: Shared, known: set[str], found: Iterable[payload.Row]) -> Iterator[payload.Row]:
    """Sessions to the parts of the inside hosts at their ends: one part, or two where both ends are inside and live apart.

    Addresses in `known` live in part 0, which has all telemetry; where there is none, part 0 is like the others.
    """
    from netexfil import outbound

    con = connect()
    payload.load(found, {"session": "session"}, con)
    addresses = [row[0] for row in con.execute("SELECT orig_h FROM session UNION SELECT resp_h FROM session").fetchall() if row[0]]
    inside = outbound.sides(addresses, shared.job.policy) == outbound.INSIDE
    rows = [(address, bool(side), address in known) for address, side in zip(addresses, inside, strict=True)]
    con.execute("CREATE TEMP TABLE home (address VARCHAR, inside BOOLEAN, known BOOLEAN)")
    tables.insert(con, "home", rows, kinds={"address": "VARCHAR", "inside": "BOOLEAN", "known": "BOOLEAN"})
    kept = int(bool(shared.job.join))
    con.execute(f"CREATE TEMP TABLE lives AS SELECT address, inside OR known AS counts, CASE WHEN known THEN 0 ELSE {kept} + "
                f"{part_of('address', shared.parts - kept)} END AS part FROM home")
    columns = ", ".join(f's."{name}"' for name in tables.READ)
    yield from payload.split(con, "session", f"""
        SELECT DISTINCT part, {columns} FROM (
            SELECT s.*, unnest(list_distinct([CASE WHEN o.counts OR NOT coalesce(r.counts, FALSE) THEN coalesce(o.part, 0) ELSE r.part END,
                                              CASE WHEN r.counts THEN r.part ELSE coalesce(o.part, 0) END])) AS part
            FROM session s LEFT JOIN lives o ON o.address = s.orig_h LEFT JOIN lives r ON r.address = s.resp_h) s""")
    con.close()


@dataclass(frozen=True, slots=True)
class Everywhere:
    """What every partition of hosts needs of the others. `fleet` is None in the first pass, which makes it; `volumes`: only count their alerts."""

    names: bytes | None
    ends: tuple[float, float] | None
    fleet: bytes | None = None
    volumes: tuple[float, ...] = ()


def score(shared: Shared, everywhere: Everywhere, found: Iterable[payload.Row]) -> Iterator[payload.Row]:
    """All rows of some hosts to their share of the fleet's counts, or, where those are known, to findings."""
    from netexfil import channels, detect, outbound
    from netexfil.read import merging

    con = connect()
    payload.load(found, {"session": "session", "event": "event", "alert": "alert"}, con)
    if everywhere.names is not None:
        payload.fill(con, "name", everywhere.names)
    if shared.logs:
        merging.sensors(con)
    notes = list(outbound.turn(con, shared.job.policy))
    if shared.job.join:
        _mark(con, everywhere.ends)
        notes += pipeline.link(con, shared.job)
    channels.build(con, shared.job.policy)
    if everywhere.fleet is None:
        yield from payload.split(con, "fleet", "SELECT 0, * FROM fleet")
        yield from payload.things("day", [day for (day,) in con.execute("SELECT DISTINCT day FROM channel").fetchall()])
        yield from payload.things("note", notes)
    else:
        con.execute("DELETE FROM fleet")
        payload.fill(con, "fleet", everywhere.fleet)
        if everywhere.volumes:
            yield from payload.things("count", detect.count(con, shared.job.policy, everywhere.volumes))
        else:
            yield from payload.things("finding", detect.score(con, shared.job.policy))
    con.close()


def _mark(con: duckdb.DuckDBPyConnection, ends: tuple[float, float] | None) -> None:
    """Two rows without addresses where the records of all hosts begin and end: an alert beyond them is told to be early or late."""
    for number, ts in enumerate(ends or ()):
        con.execute("INSERT INTO session (ts, uid, sid) VALUES (?, ?, ?)", [ts, f"-{number}", -1 - number])
