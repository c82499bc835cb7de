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
    from netexfil.read import Options, Progress, Worth
    from netexfil.read.find import Log

# Outside addresses, inside hosts and servers whose sessions are wanted; whether the rows of others are looked at whole.
Hot = tuple[list[str], list[str], list[str], bool]

STREAMS = True
REMARKS = frozenset({"unfinished"})  # kinds of notes that lost nothing


def rows_of(
    con: duckdb.DuckDBPyConnection, files: Sequence[Log], logs: Sequence[str], options: Options, policy: Policy, progress: Progress | None
) -> list[Tally]:
    """Rows of `logs` in the files to the tables raw_<log>."""
    if not files:
        return []
    reader = _reader(files, logs, options, policy)
    with telling(reader, files, progress):
        while (found := reader.next()) is not None:
            log, batch = found
            con.register("incoming", batch)
            con.execute(f"INSERT INTO raw_{log} SELECT {', '.join(columns(log))} FROM incoming")
            con.unregister("incoming")
    return tallies(reader)


def stream(
    con: duckdb.DuckDBPyConnection, files: Sequence[Log], log: str, options: Options, policy: Policy, progress: Progress | None,
    use: Callable[[str], None], hot: Hot | None = None,
) -> list[Tally]:
    """Rows of one log as a stream: `use` is called with its name in SQL, and must read it exactly once. `hot`: only these of a conn log."""
    reader = _reader(files, [log], options, policy, hot)
    with telling(reader, files, progress):
        con.register("incoming", reader.stream())
        try:
            use("incoming")
        finally:
            con.unregister("incoming")
    if options.sums and log == "conn":
        options.sums.found = reader.sums()
    return tallies(reader)


def _reader(files: Sequence[Log], logs: Sequence[str], options: Options, policy: Policy, hot: Hot | None = None) -> Any:
    from netexfil import _core

    specs = [(log, [_spec(one) for one in fields.LOGS[log]]) for log in logs]
    watched = [int(port) for port in policy.watched] if options.only_outbound else None
    sums = options.sums
    summed = (sums.large, list(sums.watched), list(sums.served), list(sums.ranks), sums.most) if sums else None
    return _core.Logs(_spans(files, options), specs, _names(), policy_networks(policy), watched, options.threads, hot, summed)


def sieve(
    files: Sequence[Log], worth: Worth, bits: int, families: bytes, special: Sequence[str], reach: tuple[list[str], list[str]] | None,
    options: Options, policy: Policy,
) -> Any:
    """A first reading of conn logs that keeps no row; see `sift`. `bits`: the binary logarithm of the slots in which pairs are added up."""
    from netexfil import _core

    by_name = {one.name: one for one in fields.LOGS["conn"]}
    specs = [_spec(by_name[name]) for name in (*fields.SUMMED, *fields.FLAGS)]
    limits, watched = (worth.pair, worth.odd, worth.entity, worth.silent), [int(port) for port in policy.watched]
    spans, networks = _spans(files, options), policy_networks(policy)
    return _core.Sieve(spans, specs, _names(), networks, watched, limits, bits, families, list(special), reach, options.threads)


def channels(files: Sequence[Log], wanted: Sequence[str], large: int, daily: bool, options: Options, policy: Policy) -> Any:
    """Conn logs summed by channel: `wanted` fields in the core's order; `large` is the size from which a silent upload counts."""
    from netexfil import _core

    by_name = {one.name: one for one in fields.LOGS["conn"]}
    watched = [int(port) for port in policy.watched]
    specs = [_spec(by_name[name]) for name in wanted]
    return _core.Channels(_spans(files, options), specs, _names(), policy_networks(policy), watched, large, daily, options.threads)


def _spans(files: Sequence[Log], options: Options) -> list[tuple[str, bool, str, int, int | None]]:
    return [(f.path, f.head.dialect != "tsv", f.head.path, *options.ranges.get(f.path, (0, None))) for f in files]


def _spec(one: fields.Field) -> tuple[str, str, list[str], bool, bool]:
    return one.name, one.kind, list(one.names), one.required, one.filled


def _names() -> dict[str, Any]:
    return {
        "aliases": dict(fields.ALIASES), "words": list(fields.LOGS), "signs": list(fields.SIGNS), "names": list(fields.NAMES),
        "wraps": list(fields.WRAPS), "datasets": list(fields.DATASETS), "dataset_logs": dict(fields.DATASET_LOGS), "ecs": list(fields.ECS),
        "event_duration": fields.EVENT_DURATION,
    }  # fmt: skip


def policy_networks(policy: Policy) -> tuple[list[str], list[str]]:
    """The networks inside, and those that are not public."""
    return [str(n) for n in policy.networks], [str(n) for n in policy.private]


def tallies(reader: Any) -> list[Tally]:
    return [
        Tally(
            row["file"], row["rows"], row["dropped"], row["other"], row["refused"], row["end"],
            tuple(Note(row["file"], kind, reason, place, count, kind not in REMARKS) for kind, reason, place, count in row["notes"]),
            frozenset(row["passed"]),
        )
        for row in reader.tallies()
    ]  # fmt: skip


@contextlib.contextmanager
def telling(reader: Any, files: Sequence[Log], progress: Progress | None) -> Iterator[None]:
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
