"""The flow for Python programs: the same steps as the command line, with records and tables instead of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

from netexfil import pipeline, tables
from netexfil.policy import Policy

Paths = Sequence[str | PathLike[str]]


def analyze(
    sources: Paths, join: Paths = (), policy: Policy | None = None, window: tuple[float, float] = (-300.0, 60.0), **more: Any
) -> pipeline.Result:
    """Findings of captures and Zeek logs, joined with endpoint telemetry.

    Args:
        sources: captures, Zeek logs, or directories of either.
        join: endpoint telemetry or alerts; files or directories.
        policy: the site's settings; default `Policy()`.
        window: seconds before and after a session in which an event on its host may belong to it.
        more: further fields of `pipeline.Job` (`options`, `hosts`, `sigma`, `budget`).
    """
    job = pipeline.Job(sources=_texts(sources), join=_texts(join), policy=policy or Policy(), window=window, **more)
    return pipeline.analyze(tables.connect(), job)


def read_sessions(sources: Paths, policy: Policy | None = None, **more: Any) -> Iterator[dict[str, Any]]:
    """Every session as a dictionary under Zeek's column names (`tables.SESSION_OUTPUT`)."""
    con = tables.connect()
    tables.create(con)
    pipeline.load(con, pipeline.Job(sources=_texts(sources), policy=policy or Policy(), **more))
    columns = ", ".join(f'"{name}"' for name in tables.SESSION_OUTPUT)
    return _rows(con, f"SELECT {columns} FROM session ORDER BY ts, uid", [tables.SHOWN.get(name, name) for name in tables.SESSION_OUTPUT])


def read_events(files: Paths) -> Iterator[dict[str, Any]]:
    """Every event of endpoint telemetry as a dictionary (`tables.EVENT`)."""
    con = tables.connect()
    tables.create(con)
    pipeline.load_events(con, pipeline.Job(sources=(), join=_texts(files)))
    return _rows(con, "SELECT * FROM event ORDER BY eid", list(tables.EVENT))


def _rows(con: Any, query: str, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    result = con.execute(query)
    while batch := result.fetchmany(10_000):
        for row in batch:
            yield dict(zip(names, row, strict=True))


def _texts(paths: Paths) -> tuple[str, ...]:
    return tuple(str(path) for path in paths)
