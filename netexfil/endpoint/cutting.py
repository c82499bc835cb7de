"""Bytes of one text file to pieces: lines, JSON documents in any layout, XML events over several lines.

A piece is a parsed JSON object, a row, a text (XML event, audit or syslog line), or a refusal with its reason.
"""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

MAX_RECORD = 64 << 20  # bytes; a longer record is refused with a note
_CHUNK = 1 << 17
_LOOKED_AT = 60_000  # of the first bytes that tell the layout
_MAX_XML_LINES = 100_000
UNFINISHED = "the last line is not complete"


@dataclass(slots=True)  # not frozen: a frozen one costs three times as much to make, and a million are made
class Piece:
    """One record as cut from a file; exactly one of `record`, `text`, `refused` is set. `lines` is how many lines it spans; `open`: the file ends
    before its line does, so that what cannot be read may still be being written."""

    line: int
    record: dict[str, Any] | None = None
    text: str | None = None
    refused: str | None = None
    lines: int = 1
    open: bool = False


@dataclass(slots=True)
class Run:
    """Consecutive lines that each begin a JSON object: the number of the first, and their text, not parsed yet. What most files are made of."""

    line: int
    block: bytes


class CarrierError(Exception):
    """The whole file (or member) cannot be read; the message says why."""


def is_jsonl(first: bytes) -> bool:
    """Whether the lines are records of their own: the first complete line, or else the second, is a whole JSON object."""
    lines = [line for line in first.split(b"\n")[:4] if line.strip()]
    if len(lines) <= 1 and (len(first) >= _LOOKED_AT or b"\n" not in first):
        return True  # the first line alone is longer than what was looked at, or still being written
    return any(parsed(line) is not None for line in lines[:2]) or any(not line.lstrip().startswith((b"{", b'"', b"}", b"]")) for line in lines[1:2])


def parsed(line: bytes) -> Any:
    """The JSON value in some bytes, or None."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


_XML_END = b"</Event>"
_XML_START = re.compile(rb"(?:\A|>)\s*(?=<Event[\s>])")
_XML_HEAD = re.compile(rb"<\?xml\b|<Events\b|<Event[\s>][^\n]*?</Event>[ \t]*<Event[\s>]")
_XML_AROUND = re.compile(rb"<\?xml\b[^<>]*>|</?Events\b[^<>]*>")
# A line that opens an event: nothing but what may stand around events is before it. (In a line of text anybody may have named one.)
_XML_OPENS = re.compile(rb"(?:<\?xml\b[^<>]*>\s*)?(?:<Events\b[^<>]*>\s*)?<Event(?:[\s>]|$)")
_BETWEEN = re.compile(r"[ \t\r\n,\[\]]*")
# The next object: a brace in the first column, or what follows a closed one and a comma.
_NEXT = re.compile(r"\n(?=\{)|\}(?=,[{\n])")


def is_xml(first: bytes) -> bool:
    """Whether a file begins as one document of many events, or with events that share a line."""
    return _XML_HEAD.match(first) is not None


def xml_events(stream: Any) -> Iterator[Piece]:
    """Events from a file of event XML, however laid out: a log saved by the event viewer stands in one line. The rest is cut by lines."""
    rest, line, looked = bytearray(), 1, 0
    while chunk := stream.read(_CHUNK):
        rest += chunk
        at = 0
        while (end := rest.find(_XML_END, max(at, looked))) >= 0:
            end += len(_XML_END)
            yield from _between(bytes(rest[at:end]), line)
            line += rest.count(b"\n", at, end)
            at = end
        del rest[:at]
        looked = max(len(rest) - len(_XML_END), 0)
        if len(rest) > MAX_RECORD:
            yield Piece(line, refused=f"longer than {MAX_RECORD >> 20} MiB")
            line += rest.count(b"\n")
            rest, looked = bytearray(), 0
    yield from _between(bytes(rest), line)


def _between(block: bytes, line: int) -> Iterator[Piece]:
    """The event that a block ends with, each event before it that was never closed, and the lines in front of them."""
    starts = [found.end() for found in _XML_START.finditer(block)]
    front = block[: starts[0]] if starts else block
    for number, bare in enumerate(_XML_AROUND.sub(b"", front).split(b"\n"), line):
        if bare.strip():
            yield piece_of(number, bare.strip(), 1)
    line += front.count(b"\n")
    for begin, end in itertools.pairwise([*starts, len(block)]):
        yield piece_of(line, block[begin:end].strip(), block[begin:end].strip().count(b"\n") + 1)
        line += block.count(b"\n", begin, end)


def lines(stream: Any) -> Iterator[Piece | Run]:
    """One record a line; a line that opens an XML event is continued until it is closed."""
    cutter, held, size = _Cutter(), [b""], 0  # held: of the line at hand
    while chunk := stream.read(_CHUNK):
        whole = chunk.rfind(b"\n") + 1
        if whole:
            yield from cutter.feed(b"".join((*held, chunk[:whole])))
            held, size = [], 0
        held.append(chunk[whole:])
        size += len(chunk) - whole
        if size > MAX_RECORD:
            yield cutter.too_long()
            while (chunk := stream.read(_CHUNK)) and (end := chunk.find(b"\n")) < 0:
                pass
            held = [chunk[end + 1 :] if chunk else b""]
            size = len(held[0])
    yield from cutter.last(b"".join(held))


def _object_lines(block: bytes) -> int:
    """The number of lines of a block of which each begins with a brace; 0 where one does not."""
    if block[:1] != b"{":
        return 0
    try:
        from netexfil._core import object_lines
    except ImportError:
        count = block.count(b"\n")
        return count + 1 if block.count(b"\n{") == count else 0
    return object_lines(block)


class _Cutter:
    """Cuts lines into records; knows the line it is at, and the XML event that is still open."""

    def __init__(self) -> None:
        self.number = 0
        self._open: list[bytes] = []
        self._from = self._size = 0

    def feed(self, block: bytes) -> Iterator[Piece | Run]:
        """Records of complete lines."""
        if not block:
            return
        block = block.removesuffix(b"\n")
        if not self._open and (count := _object_lines(block)):
            yield Run(self.number + 1, block)
            self.number += count
            return
        for line in block.split(b"\n"):
            self.number += 1
            bare = line.strip()
            if bare:
                yield from self._line(bare)

    def _line(self, bare: bytes) -> Iterator[Piece]:
        if opens := _XML_OPENS.match(bare):
            yield from self.end()  # one that was never closed
            self._from, self._size = self.number, 0
        if not self._open and not opens:
            yield piece_of(self.number, bare, 1)
            return
        self._open.append(bare)
        self._size += len(bare)
        if _XML_END in bare or self._size > MAX_RECORD or len(self._open) > _MAX_XML_LINES:
            yield from self.end()

    def last(self, rest: bytes) -> Iterator[Piece]:
        """What stands behind the last line end, and the event that is still open."""
        if rest.strip():
            self.number += 1
            *before, piece = [*self._line(rest.strip()), *self.end()]
            yield from before
            yield replace(piece, open=True)
        yield from self.end()

    def too_long(self) -> Piece:
        """The line at hand is longer than a record may be."""
        self.number += 1
        return Piece(self.number, refused=f"longer than {MAX_RECORD >> 20} MiB")

    def end(self) -> Iterator[Piece]:
        """What is still open."""
        if self._open:
            held, self._open = self._open, []
            yield piece_of(self._from, b"\n".join(held), len(held))


def piece_of(number: int, bare: bytes, lines: int) -> Piece:
    """The record in one line (or the joined lines of an event), or why there is none."""
    if bare[:1] in b"{[":
        found = parsed(bare.rstrip(b","))
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
        begin = _BETWEEN.match(buffer, at).end()  # type: ignore[union-attr] # it matches nothing, too
        line += buffer.count("\n", at, begin)
        at = begin
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
            found = _NEXT.search(buffer, at + 1)
            end = found.end() if found else len(buffer)
            lines = max(buffer.count("\n", at, end), 1)
            yield Piece(line, refused=f"broken JSON: {error}", lines=lines)
            line += buffer.count("\n", at, end)
            at = end
            continue
        lines = body.count("\n") + 1
        found = parsed(body.encode("utf-8", "replace"))
        if isinstance(found, dict):
            yield Piece(line, record=found, lines=lines)
        else:
            yield Piece(line, refused="JSON, but no object" if found is not None else "broken JSON", lines=lines)
        line += lines - 1
        at = end
