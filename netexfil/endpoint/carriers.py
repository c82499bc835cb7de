"""Files to pieces: decompressed, decoded, and cut into records with the line where each begins (from 1, in the decompressed text).

A piece is a parsed JSON object, a CSV row, a text (XML event, audit or syslog line), or a refusal with its reason. Which carrier a
file is is seen from its first bytes, in tables; memory is bounded by one record (64 MiB).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

MAX_RECORD = 64 << 20  # bytes; a longer record is refused with a note
_PEEK = 1 << 16
_CHUNK = 1 << 20
_MAX_XML_LINES = 100_000


@dataclass(slots=True)  # not frozen: a frozen one costs three times as much to make, and a million are made
class Piece:
    """One record as cut from a file; exactly one of `record`, `text`, `refused` is set. `lines` is how many lines it spans."""

    line: int
    record: dict[str, Any] | None = None
    text: str | None = None
    refused: str | None = None
    lines: int = 1


@dataclass(frozen=True, slots=True)
class Part:
    """One file, or one member of an archive. `raw` is the undecoded stream where the format is binary (evtx)."""

    name: str
    stream: IO[bytes]


@dataclass(slots=True)
class Run:
    """Consecutive lines that each begin a JSON object: the number of the first, and the lines, not parsed yet. What most files are made of."""

    line: int
    lines: list[bytes]


class CarrierError(Exception):
    """The whole file (or member) cannot be read; the message says why."""


def parts(path: Path) -> Iterator[Part]:
    """The file itself or, for a zip, its members; gzip and zstd are opened on the way, also inside each other."""
    with path.open("rb") as raw:
        yield from _opened(str(path), raw, 0)


def _opened(name: str, stream: IO[bytes], depth: int) -> Iterator[Part]:
    buffered = io.BufferedReader(stream, _PEEK) if not hasattr(stream, "peek") else stream  # type: ignore[type-var]
    magic = buffered.peek(8)[:8]
    opener = next((open_ for prefix, open_ in _COMPRESSED if magic.startswith(prefix)), None)
    if opener is None or depth > 3:
        yield Part(name, buffered)
    elif opener is _zip:
        yield from _zip(name, buffered, depth)
    else:
        yield from _opened(name, opener(buffered), depth + 1)


def _zip(name: str, stream: Any, depth: int) -> Iterator[Part]:
    try:
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    with archive.open(member) as inner:
                        yield from _opened(f"{name}!{member.filename}", io.BufferedReader(inner, _PEEK), depth + 1)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise CarrierError(f"zip: {error}") from error


def _gzip(stream: Any) -> Any:
    return io.BufferedReader(gzip.GzipFile(fileobj=stream), 1 << 18)


def _zstd(stream: Any) -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise CarrierError("zstd needs the package zstandard") from error
    return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True), 1 << 18)


_COMPRESSED: Sequence[tuple[bytes, Callable[..., Any]]] = ((b"\x1f\x8b", _gzip), (b"\x28\xb5\x2f\xfd", _zstd), (b"PK\x03\x04", _zip))

# Byte order marks, and UTF-16 without one (a `{`, `[` or `<` with a zero byte).
_ENCODINGS: Sequence[tuple[bytes, str, int]] = (
    (b"\xef\xbb\xbf", "utf-8", 3), (b"\xff\xfe", "utf-16-le", 2), (b"\xfe\xff", "utf-16-be", 2),
    (b"{\0", "utf-16-le", 0), (b"[\0", "utf-16-le", 0), (b"<\0", "utf-16-le", 0), (b"\0{", "utf-16-be", 0), (b"\0[", "utf-16-be", 0), (b"\0<", "utf-16-be", 0),
)


class _Recoded(io.RawIOBase):
    """A byte stream of another encoding as UTF-8, piece by piece."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        import codecs

        self._stream, self._decode, self._rest = stream, codecs.getincrementaldecoder(encoding)("replace").decode, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = self._stream.read(_PEEK)
            self._rest = self._decode(chunk, not chunk).encode("utf-8", "replace")
            if not chunk:
                break
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def pieces(part: Part) -> Iterator[Piece | Run]:
    """Cut one file into records.

    Raises:
        CarrierError: nothing of it can be read.
    """
    stream: Any = part.stream
    try:
        head = stream.peek(8)[:8]
        if head.startswith(b"ElfFile\0"):
            yield from _evtx(stream)
            return
        for mark, encoding, skip in _ENCODINGS:
            if head.startswith(mark):
                stream.read(skip)
                stream = stream if encoding == "utf-8" else io.BufferedReader(_Recoded(stream, encoding), 1 << 18)
                break
        yield from _cut(stream)
    except (EOFError, OSError, zlib.error) as error:
        raise CarrierError(f"damaged: {error}") from error
    except Exception as error:
        if type(error).__name__ == "ZstdError":
            raise CarrierError(f"damaged: {error}") from error
        raise


def _cut(stream: Any) -> Iterator[Piece | Run]:
    head = stream.peek(_PEEK)[:_PEEK]
    first = head.lstrip()
    starter = first[:1]
    if starter == b"[" or (starter == b"{" and not _is_jsonl(first)):
        yield from documents(stream)
    elif (dialect := _csv_dialect(first)) is not None:
        yield from _rows(stream, dialect)
    elif b"\nLogName=" in first[:400].replace(b"\r", b""):
        yield from _classic(stream)
    else:
        yield from _lines(stream)


def _is_jsonl(first: bytes) -> bool:
    """Whether the lines are records of their own: the first complete line, or else the second, is a whole JSON object."""
    lines = [line for line in first.split(b"\n")[:4] if line.strip()]
    if len(lines) <= 1 and len(first) >= _PEEK - 4096:
        return True  # the first line alone is longer than what was looked at
    return any(_json(line) is not None for line in lines[:2]) or any(not line.lstrip().startswith((b"{", b'"', b"}", b"]")) for line in lines[1:2])


def _json(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


_XML_END = b"</Event>"


@dataclass(slots=True)
class Run:
    """Consecutive lines that each begin a JSON object: the number of the first, and the lines, not parsed yet."""

    line: int
    lines: list[bytes]


def _lines(stream: Any) -> Iterator[Piece | Run]:
    """One record a line; a line that opens an XML event is continued until it is closed."""
    cutter, rest = _Cutter(), b""
    while chunk := stream.read(_CHUNK):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        yield from cutter.feed(lines)
        if len(rest) > MAX_RECORD:
            yield cutter.too_long()
            rest = b""
            while (chunk := stream.read(_CHUNK)) and (end := chunk.find(b"\n")) < 0:
                pass
            rest = chunk[end + 1 :] if chunk else b""
    yield from cutter.feed([rest] if rest else [])
    yield from cutter.end()


class _Cutter:
    """Cuts lines into records; knows the line it is at, and the XML event that is still open."""

    def __init__(self) -> None:
        self.number = 0
        self._open: list[bytes] = []

    def feed(self, lines: list[bytes]) -> Iterator[Piece | Run]:
        """Records of complete lines (without their line ends)."""
        if not self._open and lines and not [line for line in lines if line[:1] != b"{"]:
            yield Run(self.number + 1, lines)
            self.number += len(lines)
            return
        for line in lines:
            self.number += 1
            bare = line.strip()
            if bare and (piece := self._line(bare)) is not None:
                yield piece

    def _line(self, bare: bytes) -> Piece | None:
        if self._open or (b"<Event" in bare and _XML_END not in bare and bare[:1] != b"{" and not bare.endswith(b"<Events>")):
            self._open.append(bare)
            full = _XML_END in bare or sum(map(len, self._open[-1:])) > MAX_RECORD or len(self._open) > _MAX_XML_LINES
            return next(self.end(), None) if full else None
        return piece_of(self.number, bare, 1)

    def too_long(self) -> Piece:
        """The line at hand is longer than a record may be."""
        self.number += 1
        return Piece(self.number, refused=f"longer than {MAX_RECORD >> 20} MiB")

    def end(self) -> Iterator[Piece]:
        """What is still open."""
        if self._open:
            held, self._open = self._open, []
            yield piece_of(self.number - len(held) + 1, b"\n".join(held), len(held))


def piece_of(number: int, bare: bytes, lines: int) -> Piece:
    """The record in one line (or the joined lines of an event), or why there is none."""
    if bare[:1] in b"{[":
        found = _json(bare.rstrip(b","))
        if isinstance(found, dict):
            return Piece(number, record=found, lines=lines)
        return Piece(number, refused="broken JSON" if found is None else "JSON, but no object", lines=lines)
    return Piece(number, text=bare.decode("utf-8", "replace"), lines=lines)


def documents(stream: Any) -> Iterator[Piece]:
    """JSON objects in an array or one after the other, in any layout; after a broken one the next that begins a line is taken."""
    reader = io.TextIOWrapper(stream, "utf-8", "replace", newline="")
    try:
        yield from _documents(reader)
    finally:
        reader.detach()  # else the wrapper would close what is not its own


def _documents(reader: io.TextIOWrapper) -> Iterator[Piece]:
    scan = json.JSONDecoder().raw_decode
    buffer, line, at, ended = "", 1, 0, False
    while True:
        skipped = len(buffer[at:]) - len(buffer[at:].lstrip(" \t\r\n,[]")) if at < len(buffer) else 0
        line += buffer.count("\n", at, at + skipped)
        at += skipped
        if at >= len(buffer) and ended:
            return
        try:
            if at >= len(buffer):
                raise ValueError("empty")
            _, end = scan(buffer, at)
            if end >= len(buffer) and not ended:
                raise ValueError("maybe cut")
            body = buffer[at:end]
        except (ValueError, RecursionError) as error:
            if not ended and len(buffer) - at < MAX_RECORD:
                chunk = reader.read(max(1 << 18, len(buffer) - at))
                buffer, at, ended = buffer[at:] + chunk, 0, not chunk
                continue
            end = _recover(buffer, at)
            lines = max(buffer.count("\n", at, end), 1)
            yield Piece(line, refused=f"broken JSON: {error}", lines=lines)
            line += buffer.count("\n", at, end)
            at = end
            continue
        lines = body.count("\n") + 1
        found = _json(body.encode("utf-8", "replace"))
        if isinstance(found, dict):
            yield Piece(line, record=found, lines=lines)
        else:
            yield Piece(line, refused="JSON, but no object" if found is not None else "broken JSON", lines=lines)
        line += lines - 1
        at = end


def _recover(buffer: str, at: int) -> int:
    """Where the next object begins: a brace in the first column, or after a closed object and a comma."""
    places = [place for place in (buffer.find("\n{", at + 1), buffer.find("},{", at + 1), buffer.find("},\n", at + 1)) if place >= 0]
    return min(places) + 1 if places else len(buffer)


_KNOWN_HEADS = frozenset((
    "eventid", "eventcode", "timestamp", "timegenerated", "event_simplename", "devicename", "computer", "@timestamp", "aid", "_time",
    "initiatingprocessname", "initiatingprocessfilename", "ts", "kind", "image", "commandline", "host", "deviceid", "ruletitle", "detections",
))


def _csv_dialect(first: bytes) -> str | None:
    """The delimiter, where the first line is a header of known columns."""
    header = first.split(b"\n", 1)[0].decode("utf-8", "replace")
    if header[:1] in "{<[":
        return None
    for delimiter in (",", ";", "\t", "|"):
        names = [name.strip(' "\r').split(" [")[0].lstrip("#").lower() for name in header.split(delimiter)]
        if len(names) >= 3 and any(name in _KNOWN_HEADS for name in names) and "=" not in header:
            return delimiter
    return None


def _rows(stream: Any, delimiter: str) -> Iterator[Piece]:
    csv.field_size_limit(MAX_RECORD)
    lines = io.TextIOWrapper(stream, "utf-8", "replace", newline="")
    try:
        yield from _csv_rows(csv.reader(lines, delimiter=delimiter))
    finally:
        lines.detach()


def _csv_rows(reader: Any) -> Iterator[Piece]:
    header = [name.strip().split(" [")[0] for name in next(reader)]
    before = reader.line_num
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Piece(before + 1, refused=f"broken CSV: {error}", lines=max(reader.line_num - before, 1))
            before = reader.line_num
            continue
        start, before = before + 1, reader.line_num
        if not row:
            continue
        if len(row) > len(header) + 1 or len(row) < len(header) // 2:
            yield Piece(start, refused=f"CSV row with {len(row)} values for {len(header)} columns", lines=before - start + 1)
            continue
        yield Piece(start, record=dict(zip(header, row, strict=False)), lines=before - start + 1)


_STAMP = re.compile(rb"\d\d?/\d\d?/\d{4} \d\d?:\d\d:\d\d(\.\d+)?( [AP]M)?\r?\n?$")


def _classic(stream: Any) -> Iterator[Piece]:
    """Splunk's classic text of Windows events: a date line, key=value lines, then `Message=` to the end of the event."""
    block: list[bytes] = []
    start = number = 0
    while line := stream.readline(MAX_RECORD):
        number += 1
        if _STAMP.match(line) and (not block or any(part.startswith(b"Message=") for part in block)):
            if block:
                yield _classic_record(start, block)
            block, start = [], number
        start = start or number
        if sum(map(len, block[-1:])) < MAX_RECORD and len(block) < 100_000:
            block.append(line)
    if block:
        yield _classic_record(start, block)


def _classic_record(start: int, block: Sequence[bytes]) -> Piece:
    whole = b"".join(block).decode("utf-8", "replace").replace("\r\n", "\n")
    head, _, message = whole.partition("\nMessage=")
    record: dict[str, Any] = dict(line.split("=", 1) for line in head.split("\n") if "=" in line)
    record |= {"@time": head.split("\n", 1)[0].strip(), "Message": message} if message else {}
    return Piece(start, record=record, lines=len(block)) if "EventCode" in record else Piece(start, refused="no event", lines=len(block))


def _evtx(stream: Any) -> Iterator[Piece]:
    """Binary event logs through the `evtx` library; the line is the position of the record in the file."""
    try:
        from evtx import PyEvtxParser
    except ImportError as error:
        raise CarrierError("an .evtx file needs the extra: pip install netexfil[evtx]") from error
    try:
        records = iter(PyEvtxParser(io.BytesIO(stream.read())).records_json())
    except (RuntimeError, OSError, ValueError) as error:
        raise CarrierError(f"evtx: {error}") from error
    number = 0
    while True:
        number += 1
        try:
            found = next(records)
        except StopIteration:
            return
        except (RuntimeError, OSError, ValueError) as error:
            yield Piece(number, refused=f"evtx: {error}")
            continue
        record = _json(found["data"].encode("utf-8", "replace"))
        yield Piece(number, record=record) if isinstance(record, dict) else Piece(number, refused="evtx: no record")
