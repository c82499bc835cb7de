"""The state file: one DuckDB database, attached only while it is read or written, so that others can look in between.

A run holds an advisory lock beside the file (`FILE.lock`) from its beginning to its end; the database itself is locked by DuckDB
only inside `attached`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from netexfil import tables
from netexfil.errors import Busy, StateError

if TYPE_CHECKING:
    import duckdb

# How long a reader or writer waits for the other to let go of the file; they hold it for seconds at most.
PATIENCE_SECONDS = 60.0


@contextlib.contextmanager
def locked(path: Path, wait: bool) -> Iterator[None]:
    """Hold the run lock; a second run waits or is refused.

    Raises:
        Busy: another run holds it and `wait` is false.
        StateError: the lock file cannot be made.
    """
    try:
        handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"{path}.lock: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise Busy(f"{path}: another run is at work on this state (use --wait to wait for it)") from None
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def attached(con: duckdb.DuckDBPyConnection, path: Path, read_only: bool = False) -> Iterator[None]:
    """The database as `state` inside the block."""
    import duckdb

    _attach(con, path, read_only)
    try:
        yield
        con.execute("DETACH state")
    except duckdb.Error as error:
        if not _is_io(error):
            raise
        raise StateError(f"{path}: {_first(error)}; what was not stored is read again by the next run") from error
    finally:
        for statement in ("ROLLBACK", "DETACH state"):
            with contextlib.suppress(Exception):
                con.execute(statement)


def _first(error: Exception) -> str:
    return str(error).splitlines()[0]


def _is_io(error: Exception) -> bool:
    """Whether the disk, not the statement, is at fault: full, failing, or the file damaged."""
    return any(word in str(error).lower() for word in ("could not write", "could not read", "no space", "io error", "checksum", "invalidated"))


def _attach(con: duckdb.DuckDBPyConnection, path: Path, read_only: bool) -> None:
    import duckdb

    options = " (READ_ONLY)" if read_only else ""
    name = str(path).replace("'", "''")
    give_up = time.monotonic() + PATIENCE_SECONDS
    before = os.umask(0o077)  # the database and its write-ahead log are the owner's alone
    try:
        while True:
            try:
                con.execute(f"ATTACH '{name}' AS state{options}")
                return
            except duckdb.Error as error:
                if "lock" not in str(error).lower() or time.monotonic() > give_up:
                    raise StateError(_reason(path, error)) from error
                time.sleep(0.05)
    finally:
        os.umask(before)


def _reason(path: Path, error: Exception) -> str:
    text = _first(error)
    if "lock" in text.lower():
        return f"{path}: held by another program for over {PATIENCE_SECONDS:.0f} s"
    return f"{path}: not a usable state file, left as it is ({text})"


@contextlib.contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of the block or nothing of it; on leaving it is on disk."""
    con.execute("BEGIN")
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")


def migrations() -> list[tuple[int, str]]:
    """(version, SQL) of every migration, ascending."""
    found = []
    for entry in resources.files("netexfil").joinpath("migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_\w+\.sql", entry.name):
            found.append((int(match[1]), entry.read_text(encoding="utf-8")))
    return sorted(found)


def version(con: duckdb.DuckDBPyConnection, path: Path) -> int:
    """The schema version of the attached database; 0 for an empty one.

    Raises:
        StateError: a database of something else.
    """
    names = {row[0] for row in con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'state'").fetchall()}
    if not names:
        return 0
    if "migration" not in names:
        raise StateError(f"{path}: a DuckDB file, but not a state of netexfil; left as it is")
    row = con.execute("SELECT max(version) FROM state.migration").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def check(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Refuse an attached database that is newer or older than this program, with what to do about it."""
    there, newest = version(con, path), migrations()[-1][0]
    if there > newest:
        raise StateError(f"{path}: written by a newer netexfil (schema {there}, this one knows {newest}); upgrade this one")
    if there < newest:
        raise StateError(f"{path}: schema {there}, this netexfil needs {newest}; the next run with --state upgrades it")


def migrate(con: duckdb.DuckDBPyConnection, path: Path, now: float) -> None:
    """Bring the database up to date, every migration and its record in one transaction."""
    with attached(con, path):
        there, steps = version(con, path), migrations()
        if there > steps[-1][0]:
            check(con, path)
        for number, sql in steps:
            if number > there:
                with transaction(con):
                    con.execute(sql)
                    con.execute("INSERT INTO state.migration VALUES (?, ?)", [number, now])


def one(con: duckdb.DuckDBPyConnection, query: str) -> int:
    """The whole number that a query gives; 0 for none."""
    row = con.execute(query).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def exists(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def open_for_reading(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection for `attached(..., read_only=True)`; the file must be there."""
    if not exists(path):
        raise StateError(f"{path}: no such state")
    return tables.connect()
