"""The portable engine for logs: one file to rows, in plain Python. Slow and readable; the core gives the same rows (a test holds it)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from netexfil.errors import Note
from netexfil.read import ecs, fields, text, values

if TYPE_CHECKING:
    from netexfil.read.find import Log

LONGEST = 16 << 20  # a longer line is refused, so that memory stays bounded
DEEPEST = 127  # objects and lists within each other; the core's parser takes no more

Row = tuple[str, str, Sequence[Any]]  # log, the name it was written under, values in the order of fields.LOGS
Keep = Callable[[Sequence[Any]], bool]


class Refused(ValueError):
    """A row that is not taken; the message is the reason."""


@dataclass(slots=True)
class Tally:
    """What became of a file's rows. `end` is the offset after the last complete line, in decompressed bytes."""

    path: str
    rows: int = 0
    dropped: int = 0
    other: int = 0
    refused: int = 0
    end: int = 0
    notes: dict[tuple[str, str], Note] = field(default_factory=dict)

    def note(self, kind: str, reason: str, place: int | None = None, loss: bool = True) -> None:
        """Count a note; the first of its kind and reason keeps its place."""
        known = self.notes.get((kind, reason))
        if known is None:
            self.notes[kind, reason] = Note(self.path, kind, reason, place, 1, loss)
        else:
            self.notes[kind, reason] = Note(known.file, kind, reason, known.place, known.count + 1, loss)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its number from 1, its bytes without the line end, whether the line end was there."""

    number: int
    data: bytes
    whole: bool


def read(log: Log, wanted: Sequence[str], keep: Keep | None, span: tuple[int, int | None] | None, tally: Tally) -> Iterator[Row]:
    """Rows of the wanted logs in a file. `keep` sorts out conn rows; `span` limits the lines that are rows to a range of bytes."""
    found_lines = lines(log.path, span, tally)
    made = _tsv(log, found_lines, tally) if log.head.dialect == "tsv" else _json(log, found_lines, tally)
    return counted(made, wanted, keep, tally)


def counted(made: Iterator[tuple[str, Sequence[Any]]], wanted: Sequence[str], keep: Keep | None, tally: Tally) -> Iterator[Row]:
    """Of rows (the name of their log, cells) those of the wanted logs that are kept; all are counted."""
    for name, found in made:
        plain = fields.log_of(name)
        if plain not in wanted:
            tally.other += 1
        elif plain == "conn" and keep is not None and not keep(found):
            tally.dropped += 1
        else:
            tally.rows += 1
            yield plain, name, found


def lines(path: str, span: tuple[int, int | None] | None, tally: Tally) -> Iterator[Line]:
    """Lines with their numbers; outside the span only header lines (`#…`)."""
    start, end = span or (0, None)
    number, at, rest = 0, 0, b""
    for block in text.blocks(path, lambda reason: tally.note("damaged", reason)):
        *full, rest = (rest + block).split(b"\n")
        for data in full:
            number += 1
            at += len(data) + 1
            if at <= start and not data.startswith(b"#"):
                continue
            if end is not None and at > end:
                return
            tally.end = at
            yield Line(number, data, True)
        if len(rest) > LONGEST:
            tally.refused += 1
            tally.note("refused", "a line longer than 16 MB", number + 1)
            number, at, rest = number + 1, at + len(rest), b""
    if rest and (span is None or (end is not None and at + len(rest) <= end)):
        yield Line(number + 1, rest, False)


class Header:
    """The `#` lines of a TSV file: which column stands where. A file may hold several headers, one after the other."""

    def __init__(self, name: str) -> None:
        self.name, self.separator, self.set_separator, self.empty, self.unset = name, b"\t", b",", b"(empty)", b"-"
        self.fields: list[str] = []
        self.getters: list[tuple[int, fields.Field]] = []
        self.log = fields.log_of(name)
        self.usable = False

    def take(self, data: bytes) -> None:
        """Learn from one header line.

        Raises:
            Refused: a required column is missing.
        """
        key, _, rest = data.partition(b" " if data.startswith(b"#separator") else self.separator)
        if key == b"#separator":
            self.separator = unescape(rest.strip()) or b"\t"
        elif key == b"#set_separator" and rest:
            self.set_separator = unescape(rest)
        elif key == b"#empty_field":
            self.empty = rest
        elif key == b"#unset_field":
            self.unset = rest
        elif key == b"#fields":
            self.columns([word.decode("utf-8", "replace").strip() for word in rest.split(self.separator)])

    def columns(self, names: Sequence[str]) -> None:
        self.fields = [re.split(r"\s{2,}", name)[0] for name in names]  # labelled logs: `tunnel_parents   label   detailed-label`
        where = {name.lower().replace(".", "_"): index for index, name in reversed(list(enumerate(self.fields)))}
        self.getters = []
        self.usable = False
        for one in fields.LOGS.get(self.log, ()):
            index = next((where[name] for name in one.names if name in where), -1)
            if index < 0 and one.required:
                raise Refused(f"{self.name}: no column {one.names[0].replace('_', '.') if one.names[0].startswith('id_') else one.names[0]}")
            self.getters.append((index, one))
        self.usable = True


def unescape(data: bytes) -> bytes:
    """`\\x09` to the byte it stands for."""
    if b"\\x" not in data:
        return data
    return re.sub(rb"\\x([0-9a-fA-F]{2})", lambda match: bytes([int(match[1], 16)]), data)


def _tsv(log: Log, found: Iterator[Line], tally: Tally) -> Iterator[tuple[str, Sequence[Any]]]:
    header = Header(log.head.path)
    for line in found:
        data = line.data.removesuffix(b"\r")
        if line.number == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")
        if data.startswith(b"#"):
            try:
                header.take(data)
            except Refused as error:
                tally.note("unreadable", str(error), line.number)
        elif data and not header.usable:
            tally.refused += 1
            tally.note("refused", "rows without a usable header", line.number)
        elif data:
            cells = _row(header, data, line, tally)
            if cells is not None:
                yield header.name, cells


def _row(header: Header, data: bytes, line: Line, tally: Tally) -> Sequence[Any] | None:
    cells = data.split(header.separator)
    if len(cells) != len(header.fields):
        reason = f"{len(cells)} columns where the header has {len(header.fields)}"
        refuse(tally, line, reason if line.whole else "the last line is not complete")
        return None
    try:
        return [cell(header, cells[index], one) if index >= 0 else None for index, one in header.getters]
    except Refused as error:
        refuse(tally, line, str(error))
        return None


def refuse(tally: Tally, line: Line, reason: str) -> None:
    """Count a row that is not taken; a half-written last line is left for the next run and no loss."""
    tally.refused += 1
    if line.whole:
        tally.note("refused", reason, line.number)
    else:
        tally.note("unfinished", reason, line.number, loss=False)


def cell(header: Header, cell: bytes, one: fields.Field) -> Any:
    """One TSV cell. Escapes are undone after a list is taken apart, so that an escaped comma stays in its element."""
    if not cell or cell == header.unset:
        if one.filled:
            raise Refused(f"{one.name}: empty")
        return None
    if cell == header.empty:
        return "" if one.kind == "list" else None
    pieces = cell.split(header.set_separator) if one.kind == "list" else [cell]
    decoded = values.BETWEEN.join(unescape(piece).decode("utf-8", "replace") for piece in pieces)
    return value(one, decoded)


def value(one: fields.Field, cell: Any) -> Any:
    """A cell by its column's kind.

    Raises:
        Refused: it is not what the column must be.
    """
    try:
        return values.READ[one.kind](cell)
    except values.Bad as error:
        raise Refused(f"{one.name}: {error}") from None


def _json(log: Log, found: Iterator[Line], tally: Tally) -> Iterator[tuple[str, Sequence[Any]]]:
    default = log.head.path
    for line in found:
        data = line.data.strip()
        if line.number == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")
        if not data:
            continue
        try:
            record = unwrap(parse(data), default)
            name = name_of(record, default)
            cells = [_json_value(one, record) for one in fields.LOGS.get(fields.log_of(name), ())]
        except Refused as error:
            refuse(tally, line, str(error) if line.whole else "the last line is not complete")
            continue
        yield name, cells


def parse(data: bytes) -> dict[str, Any]:
    """One JSON object, its keys flattened (`{"id": {"orig_h": …}}` is `id_orig_h`), lower case, dots as underscores.

    Raises:
        Refused: it is none.
    """
    try:
        record = orjson.loads(data)
    except orjson.JSONDecodeError:
        import json

        try:
            record = json.loads(data.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise Refused("not a JSON object") from None
    if not isinstance(record, dict) or (data.count(b"{") + data.count(b"[") > DEEPEST and _deep(record)):
        raise Refused("not a JSON object")
    return record


def _deep(record: Mapping[str, Any]) -> bool:
    """Whether values stand deeper in each other than is read."""
    level: list[Any] = [record]
    for _ in range(DEEPEST):
        level = [cell for outer in level for cell in (outer.values() if isinstance(outer, dict) else outer) if isinstance(cell, dict | list)]
        if not level:
            return False
    return True


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Keys in one level; the first of two equal keys stays."""
    found: dict[str, Any] = {}
    for key, cell in record.items():
        name = key.lower().replace(".", "_")
        if isinstance(cell, dict):
            for inner, below in flat(cell).items():
                found.setdefault(f"{name}_{inner}", below)
        elif cell is not None:
            found.setdefault(name, cell)
    return found


def unwrap(record: Mapping[str, Any], default: str) -> dict[str, Any]:
    """The log's own record, taken out of what a shipper put around it (Filebeat, Fluent Bit, Splunk); what names the log is kept."""
    outer = flat(record)
    if "uid" in outer or ("ts" in outer and any(sign in outer for sign, _ in fields.SIGNS)):
        return outer
    found = ecs.record(outer)
    if found is not None:
        original = outer.get("event_original")
        if isinstance(original, str) and original.lstrip().startswith("{"):
            return _named(unwrap(parse(original.encode("utf-8", "surrogatepass")), default), found)
        return found
    for key in fields.WRAPS:
        inner = record.get(key)
        if isinstance(inner, str) and inner.lstrip().startswith("{"):
            inner = parse(inner.encode("utf-8", "surrogatepass"))
        if isinstance(inner, dict):
            return _named(unwrap(inner, default), outer)
    return outer


def _named(inner: dict[str, Any], outer: Mapping[str, Any]) -> dict[str, Any]:
    """A wrapper's word for the log (a path or a source type), where the record itself has none."""
    if any(name in inner for name in fields.NAMES):
        return inner
    if "_path" in outer:
        inner["_path"] = outer["_path"]
        return inner
    for key in ("log_file_path", "sourcetype", "source", "path", "file"):
        word = re.split(r"[/\\:_.]", str(outer.get(key, "")).lower().removesuffix(".log"))
        name = next((part for part in reversed(word) if part in fields.LOGS), None)
        if name:
            inner["_path"] = name
            break
    return inner


def name_of(record: Mapping[str, Any], default: str) -> str:
    """The log a JSON record belongs to: what it says, else what its keys say, else what the file is called."""
    for key in fields.NAMES:
        if isinstance(record.get(key), str):
            return str(record[key])
    sign = next((log for key, log in fields.SIGNS if key in record), None)
    if sign and fields.log_of(default) == sign:
        return default  # open_conn keeps its name
    return sign or default


def _json_value(one: fields.Field, record: Mapping[str, Any]) -> Any:
    cell = next((record[name] for name in one.names if name in record), None)
    if cell is None or cell in ("", "-"):
        if one.filled:
            raise Refused(f"no {one.name}")
        return None
    return value(one, cell)
