"""STEP: endpoint telemetry to events, and events to endpoint alerts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netexfil.errors import Note
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb


def events(con: duckdb.DuckDBPyConnection, paths: Sequence[str], progress: Callable[[str, int, int], None] | None = None) -> list[Note]:
    """Read telemetry files, and those in folders, into table `event`; gives what was refused, by file and reason."""
    from netexfil import tables
    from netexfil.endpoint import inside, reading

    tables.create(con, ("event",))
    reader = reading.Reader(con, progress)
    for path in files(paths):
        reader.read(path)
    inside.complete(con, reader.side)
    return [note for account in reader.accounts for note in account.notes()]


def files(paths: Sequence[str]) -> list[Path]:
    """Folders as the files below them, in the order of their names."""
    found: list[Path] = []
    for path in map(Path, paths):
        found += sorted((file for file in path.rglob("*") if file.is_file()), key=str) if path.is_dir() else [path]
    return found


def alerts(con: duckdb.DuckDBPyConnection, policy: Policy, sigma: str | None = None) -> list[Note]:
    """Fill table `alert` from the products' own alerts, both seed rules, our own rules and the user's Sigma rules."""
    from netexfil import tables
    from netexfil.endpoint import rules

    tables.create(con, ("event", "alert"))
    return rules.select(con, policy, sigma)
