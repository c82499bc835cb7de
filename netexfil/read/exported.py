"""Zeek's logs as tables that were exported: CSV (commas, semicolons or tabs) whose first line has Zeek's names. Always by the portable engine."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from netexfil.read import fields, rows, text

if TYPE_CHECKING:
    from netexfil.read.find import Log

DELIMITERS = (",", ";", "\t")
LONGEST = 1 << 16  # of a header
PATH = "_path"  # a column that names the log of each row


def header(head: bytes) -> tuple[str, list[str]] | None:
    """The delimiter and the names (lower case, dots as underscores) of a file that begins so; None where it is no such table."""
    first = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].removesuffix(b"\r")
    line = first.decode("utf-8", "replace")
    for delimiter in DELIMITERS:
        cells = _split(line, delimiter)
        names = [cell.strip().lower().replace(".", "_") for cell in cells or ()]
        if _timed(names) and {"uid", "fuid", "id_orig_h"} & set(names):
            return delimiter, names
    return None


def log(names: Sequence[str], default: str) -> str | None:
    """The log whose columns these are: the one that the file is called after, or what a column that only one log has says."""
    if fields.log_of(default) in fields.LOGS and _usable(names, default):
        return default
    known = next((name for sign, name in fields.SIGNS if sign in names), None)
    return known if known and _usable(names, known) else "" if PATH in names else None


def read(
    file: Log, wanted: Sequence[str], keep: rows.Keep | None, span: tuple[int, int | None] | None, tally: rows.Tally
) -> Iterator[rows.Row]:
    """Rows of such a file, as `rows.read` gives them for Zeek's own logs."""
    return rows.counted(_made(file, span, tally), wanted, keep, tally)


def _made(file: Log, span: tuple[int, int | None] | None, tally: rows.Tally) -> Iterator[tuple[str, Sequence[object]]]:
    found = header(text.head(file.path, LONGEST))
    if found is None:
        tally.note("unreadable", "the first line has no names of columns any more")
        return
    table = _Table(*found, file.head.path)
    for line in rows.lines(file.path, span, tally):
        data = line.data.removesuffix(b"\r")
        if line.number == 1 or not data:
            continue
        try:
            yield table.row(data.decode("utf-8", "replace"))
        except rows.Refused as error:
            rows.refuse(tally, line, str(error) if line.whole else "the last line is not complete")


class _Table:
    """Columns of a file, and what each log takes of them."""

    def __init__(self, delimiter: str, names: Sequence[str], default: str) -> None:
        self.delimiter, self.names, self.default = delimiter, names, log(names, default) or default
        self.path = names.index(PATH) if PATH in names else None
        self.headers: dict[str, rows.Header] = {}

    def row(self, line: str) -> tuple[str, list[object]]:
        """The log that a line belongs to, and the values of its fields.

        Raises:
            Refused: it is no row, or a cell is not what it must be.
        """
        cells = _split(line, self.delimiter)
        if cells is None or len(cells) != len(self.names):
            raise rows.Refused("quotes that do not close" if cells is None else f"{len(cells)} columns where the header has {len(self.names)}")
        name = (cells[self.path] if self.path is not None else "") or self.default
        made = self.headers.get(name)
        if made is None:
            made = rows.Header(name)
            made.columns(self.names)
            self.headers[name] = made
        return name, [rows.cell(made, _bytes(cells[index], one), one) if index >= 0 else None for index, one in made.getters]


def _bytes(cell: str, one: fields.Field) -> bytes:
    """A cell as Zeek writes it; lists may stand in brackets, their elements in quotes."""
    if one.kind == "list" and cell.startswith("["):
        cell = ",".join(part.strip(" '\"") for part in cell.strip("[]").split(",")) or "(empty)"
    return cell.strip().encode()


def _split(line: str, delimiter: str) -> list[str] | None:
    """None: a quote is not closed, or what follows one is no delimiter."""
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), None)
    except csv.Error:
        return None


def _timed(names: Sequence[str]) -> bool:
    return "ts" in names or "@timestamp" in names


def _usable(names: Sequence[str], name: str) -> bool:
    needed = (one for one in fields.LOGS[fields.log_of(name)] if one.required)
    return all(any(known in names for known in one.names) for one in needed)
