"""Telemetry files to table `event`: carriers cut, dialects recognise and extract, batches are stored; what nobody knows is counted."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from netexfil.endpoint import audit, dialect, store
from netexfil.endpoint.carriers import Part, parts, pieces
from netexfil.endpoint.columns import TRIES, Columns
from netexfil.endpoint.cutting import UNFINISHED, CarrierError, Piece, Run, piece_of
from netexfil.endpoint.dialect import Shape
from netexfil.endpoint.nested import EMPTY, event_xml, nest, sub
from netexfil.endpoint.plain import text
from netexfil.endpoint.program import Program, compile_program
from netexfil.endpoint.unwrap import unwrap
from netexfil.errors import Note

if TYPE_CHECKING:
    import duckdb

BATCH = 10_000  # lines between two looks at what has collected
_LEAST = 16_000  # rows of one kind that are worth an insert
_MOST = 60_000  # rows kept in Python in all
_KINDS = 20_000  # layouts and record kinds remembered; more (hostile) ones are looked up again
_COMMIT = 120_000  # rows of one transaction, about a row group of DuckDB's
_OFTEN = 50  # records of one layout before a program is made for it
_SPECIAL = 500  # such programs at most
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
        kinds = {UNFINISHED: "unfinished"}  # the next run reads it whole: no loss
        return [Note(self.file, kinds.get(reason, "refused"), reason, self.first[reason], count, loss=reason not in kinds)
                for reason, count in self.refused.items()]


class _Layout:
    """Records with the same top-level names: the dialects they can be of, and programs made for exactly these names."""

    __slots__ = ("candidates", "key", "names", "programs", "seen", "test")

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self.candidates = [(shape, test) for shape in dialect.shapes() if (test := dialect.knows(shape, names)) is not None]
        self.programs: dict[tuple[Any, ...], Program] = {}
        self.seen = 0
        self.test: Callable[[Any], bool] | None = None  # of the first candidate, where its records can be read without a detour
        self.key: Callable[[Any], tuple[Any, ...]] = tuple
        if self.candidates and not self.candidates[0][0].data:
            shape, self.test = self.candidates[0]
            self.key = dialect.key_of(shape)


class Recognizer:
    """Finds the dialect of a record, and the program for its kind; both are remembered by layout."""

    def __init__(self) -> None:
        self.layouts: dict[tuple[str, ...], _Layout] = {}
        self._programs: dict[tuple[Any, ...], Program] = {}
        self._keys = {shape.name: dialect.key_of(shape) for shape in dialect.shapes()}
        self._special = 0
        self._generic: dict[tuple[str, str | None, int], Program] = {}
        self.programs: list[Program] = []

    def layout(self, record: dict[str, Any]) -> _Layout:
        names = tuple(record)
        found = self.layouts.get(names)
        if found is None:
            if len(self.layouts) > _KINDS:
                self.layouts.clear()
            found = self.layouts[names] = _Layout(frozenset(names))
        return found

    def program(self, shape: Shape, record: dict[str, Any], layout: _Layout | None = None) -> Program:
        """The program for a record; once a layout has been met often, one made for it alone."""
        key = self._keys[shape.name](record)
        programs = self._programs
        if layout is not None:
            layout.seen += 1
            if layout.seen > _OFTEN and not shape.spread:
                programs = layout.programs
        try:
            return programs[key]
        except KeyError:
            names = layout.names if layout is not None and programs is layout.programs and self._special < _SPECIAL else None
            found = self._compile(shape, [text(part) for part in key[1:]], names)
        except TypeError:  # a value that is a list or an object
            return self._compile(shape, [text(part) for part in key[1:]], None)
        if len(programs) > _KINDS:
            programs.clear()
        programs[key] = found
        return found

    def named(self, shape: Shape, section: str) -> Program:
        """The program for a section that no key leads to."""
        key = (shape.name, "@", section)
        if key not in self._programs:
            self._programs[key] = compile_program(shape, shape.events[section], section)
            self.programs.append(self._programs[key])
        return self._programs[key]

    def _compile(self, shape: Shape, parts_: Sequence[Any], names: frozenset[str] | None) -> Program:
        event_id = parts_[-1] if parts_ else None
        specs = dialect.section(shape, parts_)
        if names is None:
            made = self._generic.get((shape.name, event_id, id(specs)))
            if made is not None:
                return made
        made = compile_program(shape, specs, event_id, names)
        self.programs.append(made)
        if names is None:
            self._generic[(shape.name, event_id, id(specs))] = made
        else:
            self._special += 1
        return made


class Reader:
    """Reads files into one connection; `eid` counts on over all of them."""

    def __init__(self, con: duckdb.DuckDBPyConnection, progress: Progress | None = None) -> None:
        self.con, self.progress = con, progress
        self.recognizer = Recognizer()
        self.eid = next(iter(con.execute("SELECT coalesce(max(eid) + 1, 0) FROM event").fetchall()))[0]
        self._written: int = self.eid
        self.side: list[tuple[Any, ...]] = []
        self.columns = columns()
        self._met: tuple[dict[str, Any], _Layout, Shape, Program] | None = None
        self.accounts: list[Account] = []

    def read(self, path: Path) -> list[Account]:
        """Read one file (every member of an archive)."""
        made: list[Account] = []
        collecting = gc.isenabled()
        gc.disable()  # the rows are tuples of plain values: the collector would find nothing, and costs a quarter of the time
        try:
            for part in parts(path):
                account = Account(part.name)
                made.append(account)
                self._part(part, account)
        except (OSError, EOFError, CarrierError) as error:
            made.append(Account(str(path), unreadable=str(error)))
        finally:
            if collecting:
                gc.enable()
        self.accounts += made
        return made

    def _part(self, part: Part, account: Account) -> None:
        source = audit.grouped(pieces(part))
        with store.Transaction(self.con) as transaction:
            self._pieces(source, account, transaction)

    def _pieces(self, source: Iterator[Piece | Run], account: Account, transaction: store.Transaction) -> None:
        looked = committed = 0
        try:
            for piece in source:
                if isinstance(piece, Run):
                    self._run(piece, account)
                else:
                    self._piece(piece, account)
                if account.lines - looked >= BATCH:
                    looked = account.lines
                    self._flush(account, _LEAST if self.eid - self._written < _MOST else 1)
                    if account.events - committed >= _COMMIT:
                        committed = account.events
                        transaction.renew()
            self._flush(account)
        except CarrierError as error:
            self._flush(account)
            if account.lines:
                account.lines += 1
                account.refuse(str(error), account.lines)
            else:
                account.unreadable = str(error)

    def _run(self, run: Run, account: Account) -> None:
        """Many records of known layouts: the core takes those it knows, up to one that it does not."""
        at, line, block, columns = 0, run.line, run.block, self.columns
        while columns is not None and columns.plans:
            at, taken = columns.feed(block, at, line, self.eid)
            self.eid, line, account.lines = self.eid + taken, line + taken, account.lines + taken
            if at >= len(block):
                return
            end = block.find(b"\n", at)
            end = len(block) if end < 0 else end
            self._lines([block[at:end]], line, account)
            at, line = end + 1, line + 1
            if at > len(block):
                return
        self._lines(block[at:].split(b"\n"), line, account)

    def _lines(self, lines: Sequence[bytes], first: int, account: Account) -> None:
        """What `_record` does with many lines, with nothing called that need not be."""
        layouts, loads, eid, shown = self.recognizer.layouts, orjson.loads, self.eid, TRIES if self.columns is None else 0
        for line, raw in enumerate(lines, first):
            try:
                record = loads(raw)
                layout = layouts[tuple(record)]
                if layout.test is not None and layout.test(record):
                    program = layout.programs[layout.key(record)]
                    program.rows.append(program.extract(record, record, line, eid))
                    eid += 1
                    if program.shown < TRIES and not shown:
                        self._show(raw, record, layout, layout.candidates[0][0], program)
                    continue
            except (orjson.JSONDecodeError, KeyError, TypeError, RecursionError):
                pass  # broken, or a layout or kind not met often yet: the long way
            self.eid, self._met = eid, None
            self._piece(piece_of(line, raw.strip(), 1), account)
            eid, account.lines = self.eid, account.lines - 1
            if self._met is not None and not shown:
                self._show(raw, *self._met)
        self.eid = eid
        account.lines += len(lines)

    def _show(self, raw: bytes, record: dict[str, Any], layout: _Layout, shape: Shape, program: Program) -> None:
        """Let the core take lines like this one, where a program was made for their layout."""
        if self.columns is not None and program.special and program.shown < TRIES:
            tried = [candidate for candidate, _ in layout.candidates]
            self.columns.learn(raw, record, tried[: tried.index(shape) + 1], program)

    def _flush(self, account: Account, least: int = 1) -> None:
        for program in self.recognizer.programs:
            if len(program.rows) >= least:
                account.dialects[(program.dialect, program.kind)] += len(program.rows)
        written = store.flush(self.con, self.recognizer.programs, account.file, self.side, least)
        for plan, count in self.columns.flush(self.con, account.file, least) if self.columns is not None else ():
            account.dialects[(plan.dialect, plan.kind)] += count
            written += count
        account.events += written
        self._written += written
        if self.progress:
            self.progress(account.file, account.lines, 0)

    def _piece(self, piece: Piece, account: Account) -> None:
        account.lines += 1
        reason = piece.refused or self._read(piece)
        if reason is not None:
            account.refuse(UNFINISHED if piece.open else reason, piece.line)

    def _read(self, piece: Piece) -> str | None:
        """Store what stands in a piece; why it cannot be, else None."""
        if piece.open and piece.text is not None and "<Event" in piece.text and "</Event>" not in piece.text:
            return UNFINISHED
        try:
            known = self._record(piece.record if piece.record is not None else piece.text, piece.line, 0)
        except RecursionError:
            return "nested too deeply"
        return None if known else "no dialect knows this line"

    def _record(self, record: Any, line: int, depth: int, kept: Mapping[str, Any] = EMPTY) -> int:
        """Store one record, or those inside its wrapper; gives how many."""
        if record.__class__ is str:
            record = textual(record)
            if record is None:
                return 0
            record = {**kept, **record}
        layout = self.recognizer.layout(record)
        shape = next((shape for shape, test in layout.candidates if test(record)), None)
        if shape is None and any("." in key for key in record):
            nested = nest(record)
            layout = self.recognizer.layout(nested)
            shape = next((shape for shape, test in layout.candidates if test(nested)), None)
            record = nested if shape is not None else record
        if shape is None:
            return sum(self._record(inner.record, line, depth + 1, inner.kept) for inner in unwrap(record)) if depth < _DEPTH else 0
        data = record
        if shape.data:
            for key in shape.data.split("."):
                data = sub(data, key)
        program = self.recognizer.program(shape, record, layout)
        self._met = None if depth else (record, layout, shape, program)
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


def columns() -> Columns | None:
    """The reader of lines by columns, where the core is there (without it every line is read here)."""
    try:
        from netexfil._core import Telemetry
    except ImportError:
        return None
    return Columns(Telemetry())


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
