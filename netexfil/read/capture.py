"""Captures to sessions through the Rust core."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netexfil import tables
from netexfil.errors import Note

if TYPE_CHECKING:
    import duckdb

    from netexfil._core import Stream
    from netexfil.policy import Policy
    from netexfil.read import Options, Turn, Use

Progress = Callable[[str, int, int], None]

# Formats that the core writes itself.
FORMS = ("parquet", "jsonl", "csv", "zeek")

# How often progress is told while the core reads, in seconds.
TICK = 0.2

# Seconds of silence after which Zeek and the core end a session, in progress or not (scripts/base/init-bare.zeek, inactivity.zeek).
SILENCE = """CASE WHEN proto <> 'tcp' THEN 60
    WHEN resp_p IN (21, 22, 23, 513) OR list_has_any(string_split(coalesce(service, ''), ','), ['ssh', 'ftp']) THEN 3600 ELSE 300 END"""


def read(
    con: duckdb.DuckDBPyConnection, paths: Sequence[str], options: Options, policy: Policy, progress: Progress | None = None,
    turn: Turn | None = None, use: Use | None = None,
) -> list[Note]:
    """Append the sessions of `paths` to the table `session`, turned where `turn` is given; or hand them to `use`, if that can be.

    Returns:
        What was lost: `unreadable` (the whole file), `truncated`, `damaged`, `link_type`, `malformed`.
    """
    from netexfil import _core
    from netexfil.read import merging

    try:
        networks = ([str(n) for n in policy.networks], [str(n) for n in policy.private])
        threads = min(options.threads, _cores())
        stream = _core.capture([str(path) for path in paths], max_sessions=options.max_sessions, networks=networks, threads=threads)
    except OSError as error:
        return _refused(paths, error.strerror or str(error))
    except _core.CaptureError as error:
        return _refused(paths, str(error))
    with _told(stream, paths, progress):
        if use and _whole(stream, paths, options.hold):
            rules = (networks, policy.watched, int(policy.threshold("outbound_volume")))
            use({form: partial(stream.file, form, *rules) for form in FORMS})
        else:
            with _registered(con, stream) as rows:
                merging.put(con, turn(rows) if turn else rows, tables.TURNED if turn else tables.READ)
    return [_note(row) for row in stream.notes]


def _cores() -> int:
    """Processors that this process may use; what several threads do for each other costs one alone a tenth."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _whole(stream: Stream, paths: Sequence[str], limit: int) -> bool:
    """Whether all sessions are there, in order, and nothing is to be asked of all of them; nothing is handed on where no file could be read."""
    refused = {row["file"] for row in stream.notes if row["kind"] == "unreadable"} if stream.hold(limit) else set(paths)
    return len(refused) < len(paths) and not stream.unplaced


@contextmanager
def _registered(con: duckdb.DuckDBPyConnection, stream: Stream) -> Iterator[str]:
    con.register("captured", stream)
    try:
        yield "FROM captured"
    finally:
        con.unregister("captured")


def ended(con: duckdb.DuckDBPyConnection, files: Sequence[str], until: float) -> None:
    """Captures that were read apart, though packets go on until `until` (epoch seconds) in others: their sessions that were silent for
    long enough by then are no longer in progress, as if all had been read together.
    """
    con.execute(f"""UPDATE session SET hints = nullif(array_to_string(list_filter(string_split(hints, ','), lambda w: w <> 'open'), ','), '')
        WHERE list_contains(string_split(hints, ','), 'open') AND NOT list_contains(string_split(hints, ','), 'early')
        AND source IN (SELECT unnest(?::VARCHAR[])) AND ts + coalesce(duration, 0) + {SILENCE} <= ?""", [list(files), until])


def _note(row: dict[str, Any]) -> Note:
    # A packet whose lengths contradict each other reached nobody: nothing is lost with it.
    return Note(
        file=row["file"], kind=row["kind"], reason=row["reason"], place=row["place"], count=row["count"], loss=row["kind"] != "malformed"
    )


def _refused(paths: Sequence[str], reason: str) -> list[Note]:
    """Every file was refused; the core tells the first one's reason only."""
    notes = []
    for path in paths:
        told = reason.removeprefix(f"{path}: ")
        notes.append(Note(file=str(path), kind="unreadable", reason=told))
    return notes


@contextmanager
def _told(stream: Stream, paths: Sequence[str], progress: Progress | None) -> Iterator[None]:
    """Tell progress from a thread of its own while DuckDB drains the stream."""
    if progress is None:
        yield
        return
    total = sum(_size(path) for path in paths)
    done = threading.Event()

    def tell() -> None:
        while not done.wait(TICK):
            progress("captures", stream.bytes_read, total)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        progress("captures", stream.bytes_read, total)


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
