"""STEP 6: findings and sessions to a page, lines or a table. Two tables of formats; a format's module is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netexfil.report.sink import Out, opened

if TYPE_CHECKING:
    import duckdb

    from netexfil.errors import Note
    from netexfil.finding import Finding

# Format of findings -> the module under `netexfil.report` that holds `write(findings, notes, stream, options)`.
FORMATS: Mapping[str, str] = {
    "console": "console",
    "jsonl": "jsonl",
    "csv": "csv",
    "parquet": "parquet",
    "ecs": "ecs",
    "ocsf": "ocsf",
    "html": "html",
    "notice": "notice",
}

# Format of sessions -> the function in `netexfil.report.sessions` that writes it.
SESSION_FORMATS: Mapping[str, str] = {"table": "table", "jsonl": "jsonl", "csv": "csv", "parquet": "parquet", "zeek": "zeek"}


@dataclass(frozen=True, slots=True)
class Options:
    """How to show. `width` in columns and `colour` default to what the stream is (terminal, COLUMNS, NO_COLOR)."""

    verbose: bool = False
    plain: bool = False
    width: int | None = None
    colour: bool | None = None
    title: str = "netexfil report"
    extra: Mapping[str, object] = field(default_factory=dict)


def write(findings: Sequence[Finding], notes: Sequence[Note], form: str, out: Out = None, options: Options | None = None) -> None:
    """Write findings in the order given. `out` is a path, a text or binary stream, or None for standard output.

    Raises:
        KeyError: `form` is not in FORMATS.
        OSError: the path cannot be written.
    """
    module = importlib.import_module(f"netexfil.report.{FORMATS[form]}")
    with opened(out) as stream:
        module.write(findings, notes, stream, options or Options())


def write_sessions(
    con: duckdb.DuckDBPyConnection, form: str, out: Out = None, outbound_only: bool = False, options: Options | None = None
) -> None:
    """Write the table `session` under the contract's column names, by time, in batches: memory does not grow with the rows.

    `outbound_only` leaves those whose `outbound` is `true` or `pull`.

    Raises:
        KeyError: `form` is not in SESSION_FORMATS.
        OSError: the path cannot be written.
    """
    from netexfil.report import sessions

    writer = getattr(sessions, SESSION_FORMATS[form])
    which = " WHERE outbound IN ('true', 'pull')" if outbound_only else ""
    with opened(out) as stream:
        writer(con, stream, f"FROM session{which} ORDER BY ts, uid", options or Options())


def write_pieces(pieces: Iterable[bytes], out: Out = None) -> None:
    """Write a file that comes in pieces. `out` as for `write`.

    Raises:
        OSError: the path cannot be written.
    """
    with opened(out) as stream:
        for piece in pieces:
            stream.write(piece)
