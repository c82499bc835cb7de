"""Telemetry files to table `event`: carriers cut, dialects recognise and extract, batches are stored; what nobody knows is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netexfil.endpoint import audit, dialect, store
from netexfil.endpoint.carriers import CarrierError, Part, Piece, parts, pieces
from netexfil.endpoint.convert import text
from netexfil.endpoint.dialect import Program, Shape
from netexfil.endpoint.nested import EMPTY, event_xml, nest, sub
from netexfil.endpoint.unwrap import unwrap
from netexfil.errors import Note

if TYPE_CHECKING:
    import duckdb

BATCH = 20_000  # rows kept in Python at a time
_KINDS = 20_000  # layouts and record kinds remembered; more (hostile) ones are looked up again
_DEPTH = 5
Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Account:
    """What was read of one file: lines, events, refusals by reason with the first line of each."""

    file: str
    lines: int = 0
    events: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)
    dialects: Counter[tuple[str, str]] = field(default_factory=Counter)
    unreadable: str | None = None

    def refuse(self, reason: str, line: int) -> None:
        reason = reason.split(":", 1)[0] if reason.startswith(("broken", "evtx")) else reason
        self.refused[reason] += 1
        self.first.setdefault(reason, line)

    def notes(self) -> list[Note]:
        if self.unreadable:
            return [Note(self.file, "unreadable", self.unreadable)]
        return [Note(self.file, "refused", reason, self.first[reason], count) for reason, count in self.refused.items()]


class Recognizer:
    """Finds the dialect of a record, and the program for its kind; both are remembered by layout."""

    def __init__(self) -> None:
        self._known = [(shape, dialect.knows(shape), {dialect.split(path)[0] for path in shape.has}, {dialect.split(path)[0] for path in shape.any})
                       for shape in dialect.shapes()]
        self._candidates: dict[tuple[str, ...], list[tuple[Shape, Callable[[Any], bool]]]] = {}
        self._programs: dict[tuple[Any, ...], Program] = {}
        self._keys = {shape.name: _key_of(shape) for shape in dialect.shapes()}
        self.programs: list[Program] = []

    def shape(self, record: dict[str, Any]) -> Shape | None:
        layout = tuple(record)
        candidates = self._candidates.get(layout)
        if candidates is None:
            names = set(layout)
            candidates = [(shape, test) for shape, test, has, some in self._known if has <= names and (not some or some & names)]
            if len(self._candidates) > _KINDS:
                self._candidates.clear()
            self._candidates[layout] = candidates
        for shape, test in candidates:
            if test(record):
                return shape
        return None

    def program(self, shape: Shape, record: dict[str, Any], data: dict[str, Any]) -> Program:
        parts_ = self._keys[shape.name](record, data)
        key = (shape.name, *parts_)
        found = self._programs.get(key)
        if found is None:
            found = self._compile(shape, parts_)
            if len(self._programs) > _KINDS:
                self._programs.clear()
            self._programs[key] = found
        return found

    def named(self, shape: Shape, section: str) -> Program:
        """The program for a section that no key leads to."""
        key = (shape.name, "@", section)
        if key not in self._programs:
            self._programs[key] = dialect.compile_program(shape, shape.events[section], section)
            self.programs.append(self._programs[key])
        return self._programs[key]

    def _compile(self, shape: Shape, parts_: Sequence[Any]) -> Program:
        event_id = text(parts_[-1]) if parts_ else None
        specs = dialect.section(shape, parts_)
        made = next((p for p in self.programs if p.dialect == shape.name and p.constants["event_id"] == event_id and p.specs == specs), None)
        if made is None:
            made = dialect.compile_program(shape, specs, event_id)
            self.programs.append(made)
        return made


def _key_of(shape: Shape) -> Callable[[Any, Any], tuple[Any, ...]]:
    """The raw values that tell the kinds of a dialect's records apart."""
    specs = [[(alt.strip().startswith("^"), dialect.split(alt.strip().lstrip("^"))) for alt in spec.split("|")] for spec in shape.key]

    def key(record: Any, data: Any) -> tuple[Any, ...]:
        made = []
        for alternatives in specs:
            for _, keys in alternatives:
                value = record.get(keys[0]) if len(keys) == 1 else dialect.dig(record, keys)
                if value is not None and value != "":
                    break
            made.append(value if value.__class__ is str or value.__class__ is int else text(value))
        return tuple(made)

    return key


class Reader:
    """Reads files into one connection; `eid` counts on over all of them."""

    def __init__(self, con: duckdb.DuckDBPyConnection, progress: Progress | None = None) -> None:
        self.con, self.progress = con, progress
        self.recognizer = Recognizer()
        self.eid = next(iter(con.execute("SELECT coalesce(max(eid) + 1, 0) FROM event").fetchall()))[0]
        self.side: list[tuple[Any, ...]] = []
        self.accounts: list[Account] = []

    def read(self, path: Path) -> list[Account]:
        """Read one file (every member of an archive)."""
        made: list[Account] = []
        try:
            for part in parts(path):
                account = Account(part.name)
                made.append(account)
                self._part(part, account)
        except (OSError, EOFError, CarrierError) as error:
            made.append(Account(str(path), unreadable=str(error)))
        self.accounts += made
        return made

    def _part(self, part: Part, account: Account) -> None:
        source = audit.grouped(pieces(part))
        try:
            while batch := list(islice(source, BATCH)):
                for piece in batch:
                    self._piece(piece, account)
                self._flush(account)
        except CarrierError as error:
            self._flush(account)
            if account.lines:
                account.lines += 1
                account.refuse(str(error), account.lines)
            else:
                account.unreadable = str(error)

    def _flush(self, account: Account) -> None:
        for program in self.recognizer.programs:
            if program.rows:
                account.dialects[(program.dialect, program.kind)] += len(program.rows)
        account.events += store.flush(self.con, self.recognizer.programs, account.file, self.side)
        if self.progress:
            self.progress(account.file, account.lines, 0)

    def _piece(self, piece: Piece, account: Account) -> None:
        account.lines += 1
        if piece.refused is not None:
            account.refuse(piece.refused, piece.line)
        elif not self._record(piece.record if piece.record is not None else piece.text, piece.line, 0):
            account.refuse("no dialect knows this line", piece.line)

    def _record(self, record: Any, line: int, depth: int, kept: Mapping[str, Any] = EMPTY) -> int:
        """Store one record, or those inside its wrapper; gives how many."""
        if record.__class__ is str:
            record = textual(record)
            if record is None:
                return 0
            record = {**kept, **record}
        shape = self.recognizer.shape(record)
        if shape is None and any("." in key for key in record):
            nested = nest(record)
            shape = self.recognizer.shape(nested)
            record = nested if shape is not None else record
        if shape is None:
            return sum(self._record(inner.record, line, depth + 1, inner.kept) for inner in unwrap(record)) if depth < _DEPTH else 0
        data = record
        if shape.data:
            for key in shape.data.split("."):
                data = sub(data, key)
        program = self.recognizer.program(shape, record, data)
        program.rows.append(program.extract(record, data, line, self.eid))
        self.eid += 1
        if program.spread is not None:
            self._spread(shape, program.spread, record, data, line)
        return 1

    def _spread(self, shape: Shape, name: str, record: dict[str, Any], data: dict[str, Any], line: int) -> None:
        """The second and later items of a list (connections of a detection) as events of their own."""
        items = data.get(name)
        for item in items[1:] if items.__class__ is list else ():
            one = {**data, name: item}
            program = self.recognizer.named(shape, "spread")
            program.rows.append(program.extract(record, one, line, self.eid))
            self.eid += 1


def textual(line: str) -> dict[str, Any] | None:
    """The record in a line of text: an XML event (also after a syslog header), JSON after a header, or audit's key=value."""
    place = line.find("<Event")
    if place >= 0:
        found = event_xml(line[place : line.rfind(">") + 1])
        return {"Event": found, "@xml": True} if found else None
    return audit.record(line) or audit.after_header(line)


def read(con: duckdb.DuckDBPyConnection, paths: Sequence[str], progress: Progress | None) -> Iterator[Account]:
    """Read every path; see Reader."""
    reader = Reader(con, progress)
    for path in paths:
        yield from reader.read(Path(path))
