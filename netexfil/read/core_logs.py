"""Log files to raw rows by the core."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from netexfil.errors import Note
from netexfil.read import fields
from netexfil.read.logs import Tally, columns

if TYPE_CHECKING:
    import duckdb

    from netexfil.policy import Policy
    from netexfil.read import Options, Progress
    from netexfil.read.find import Log

STREAMS = True
REMARKS = frozenset({"unfinished"})  # kinds of notes that lost nothing


def rows_of(
    con: duckdb.DuckDBPyConnection, files: Sequence[Log], logs: Sequence[str], options: Options, policy: Policy, progress: Progress | None
) -> list[Tally]:
    """Rows of `logs` in the files to the tables raw_<log>."""
    if not files:
        return []
    reader = _reader(files, logs, options, policy)
    with _telling(reader, files, progress):
        while (found := reader.next()) is not None:
            log, batch = found
            con.register("incoming", batch)
            con.execute(f"INSERT INTO raw_{log} SELECT {', '.join(columns(log))} FROM incoming")
            con.unregister("incoming")
    return _tallies(reader)


def stream(
    con: duckdb.DuckDBPyConnection, files: Sequence[Log], log: str, options: Options, policy: Policy, progress: Progress | None,
    use: Callable[[str], None],
) -> list[Tally]:
    """Rows of one log as a stream: `use` is called with its name in SQL, and must read it exactly once."""
    reader = _reader(files, [log], options, policy)
    with _telling(reader, files, progress):
        con.register("incoming", reader.stream())
        try:
            use("incoming")
        finally:
            con.unregister("incoming")
    return _tallies(reader)


def _reader(files: Sequence[Log], logs: Sequence[str], options: Options, policy: Policy) -> Any:
    from netexfil import _core

    spans = options.ranges
    told = [(f.path, f.head.dialect != "tsv", f.head.path, *spans.get(f.path, (0, None))) for f in files]
    specs = [(log, [(f.name, f.kind, list(f.names), f.required, f.filled) for f in fields.LOGS[log]]) for log in logs]
    names = {
        "aliases": dict(fields.ALIASES), "words": list(fields.LOGS), "signs": list(fields.SIGNS), "names": list(fields.NAMES),
        "wraps": list(fields.WRAPS),
    }  # fmt: skip
    networks = ([str(n) for n in policy.networks], [str(n) for n in policy.private])
    watched = [int(port) for port in policy.watched] if options.only_outbound else None
    return _core.Logs(told, specs, names, networks, watched, options.threads)


def _tallies(reader: Any) -> list[Tally]:
    return [
        Tally(
            row["file"], row["rows"], row["dropped"], row["other"], row["refused"], row["end"],
            tuple(Note(row["file"], kind, reason, place, count, kind not in REMARKS) for kind, reason, place, count in row["notes"]),
            frozenset(row["passed"]),
        )
        for row in reader.tallies()
    ]  # fmt: skip


@contextlib.contextmanager
def _telling(reader: Any, files: Sequence[Log], progress: Progress | None) -> Iterator[None]:
    """Tell progress from a thread of its own while DuckDB drains the stream."""
    if progress is None:
        yield
        return
    total, over = sum(os.path.getsize(file.path) for file in files), threading.Event()

    def tell() -> None:
        while not over.wait(0.2):
            progress("logs", min(reader.done(), total), total)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        progress("logs", total, total)
