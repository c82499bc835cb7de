"""STEP: endpoint telemetry to events, and events to endpoint alerts."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
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
    wanted, notes = distinct(files(paths))
    for path in wanted:
        reader.read(path)
    inside.complete(con, reader.side)
    return notes + [note for account in reader.accounts for note in account.notes()]


def files(paths: Sequence[str]) -> list[Path]:
    """Folders as the files below them, in the order of their names."""
    found: list[Path] = []
    for path in map(Path, paths):
        found += sorted((file for file in path.rglob("*") if file.is_file()), key=str) if path.is_dir() else [path]
    return found


def distinct(paths: Sequence[Path]) -> tuple[list[Path], list[Note]]:
    """The files without those that are another one's copy, byte for byte or by a link: an event that is read twice is no second event."""
    sizes = Counter(path.stat().st_size for path in paths if path.is_file())
    seen: dict[bytes, Path] = {}
    kept, notes = [], []
    for path in paths:
        first = path
        if path.is_file() and sizes[path.stat().st_size] > 1:
            with contextlib.suppress(OSError), path.open("rb") as file:  # what cannot be read is told by who reads it
                first = seen.setdefault(hashlib.file_digest(file, "blake2b").digest(), path)
        if first is path:
            kept.append(path)
        else:
            notes.append(Note(str(path), "duplicate", f"a copy of {first}, counted once", loss=False))
    return kept, notes


def alerts(con: duckdb.DuckDBPyConnection, policy: Policy, sigma: str | None = None) -> list[Note]:
    """Fill table `alert` from the products' own alerts, both seed rules, our own rules and the user's Sigma rules."""
    from netexfil import tables
    from netexfil.endpoint import rules

    tables.create(con, ("event", "alert"))
    return rules.select(con, policy, sigma)
