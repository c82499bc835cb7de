"""Files whose records are no JSON lines: CSV, Splunk's classic text of Windows events, binary .evtx."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from netexfil.endpoint import cutting
from netexfil.endpoint.cutting import CarrierError, Piece

_KNOWN_HEADS = frozenset((
    "eventid", "eventcode", "timestamp", "timegenerated", "event_simplename", "devicename", "computer", "@timestamp", "aid", "_time",
    "initiatingprocessname", "initiatingprocessfilename", "ts", "kind", "image", "commandline", "host", "deviceid", "ruletitle", "detections",
    "machinename", "eventrecordid",
))


def csv_delimiter(first: bytes) -> str | None:
    """The delimiter, where the first line is a header of known columns."""
    header = first.split(b"\n", 1)[0].decode("utf-8", "replace")
    if header[:1] in "{<[":
        return None
    for delimiter in (",", ";", "\t", "|"):
        names = [name.strip(' "\r').split(" [")[0].lstrip("#").lower() for name in header.split(delimiter)]
        if len(names) >= 3 and any(name in _KNOWN_HEADS for name in names) and "=" not in header:
            return delimiter
    return None


def rows(stream: Any, delimiter: str) -> Iterator[Piece]:
    csv.field_size_limit(cutting.MAX_RECORD)
    text = io.TextIOWrapper(stream, "utf-8", "replace", newline="")
    try:
        yield from _csv_rows(_Lines(text), delimiter)
    finally:
        text.detach()


class _Lines:
    """Lines of text; those of one record are no more than a record may be."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.number = self.size = 0
        self.whole = True  # the last line given has an end

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = part = self._text.readline(cutting.MAX_RECORD)
        if not line:
            raise StopIteration
        self.number += 1
        self.size += len(line)
        if self.size >= cutting.MAX_RECORD:
            while part and not part.endswith(("\n", "\r")):
                part = self._text.readline(cutting.MAX_RECORD)
            raise csv.Error(f"longer than {cutting.MAX_RECORD >> 20} MiB")
        self.whole = line.endswith(("\n", "\r"))
        return line


def _csv_rows(lines: _Lines, delimiter: str) -> Iterator[Piece]:
    reader = csv.reader(lines, delimiter=delimiter)
    header = [name.strip().split(" [")[0] for name in next(reader, ())]
    while True:
        before, lines.size = lines.number, 0
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Piece(before + 1, refused=f"broken CSV: {error}", lines=max(lines.number - before, 1))
            reader = csv.reader(lines, delimiter=delimiter)  # the old one is inside the record still
            continue
        if not row:
            continue
        piece = Piece(before + 1, record=dict(zip(header, row, strict=False)), lines=lines.number - before)
        if not lines.whole and len(row) < len(header):
            piece = replace(piece, record=None, refused=cutting.UNFINISHED)
        elif len(row) > len(header) + 1 or len(row) < len(header) // 2:
            piece = replace(piece, record=None, refused=f"CSV row with {len(row)} values for {len(header)} columns")
        yield piece


_STAMP = re.compile(rb"\d\d?/\d\d?/\d{4} \d\d?:\d\d:\d\d(\.\d+)?( [AP]M)?\r?\n?$")


def classic(stream: Any) -> Iterator[Piece]:
    """Splunk's classic text of Windows events: a date line, key=value lines, then `Message=` to the end of the event."""
    block: list[bytes] = []
    start = number = size = 0
    told = False  # the message has begun: a date line is the next event's
    while line := stream.readline(cutting.MAX_RECORD):
        number += 1
        if _STAMP.match(line) and (not block or told):
            if block:
                yield _classic_record(start, block)
            block, start, size, told = [], number, 0, False
        start, told = start or number, told or line.startswith(b"Message=")
        if size < cutting.MAX_RECORD and len(block) < 100_000:
            block.append(line)
            size += len(line)
    if block:
        yield _classic_record(start, block)


def _classic_record(start: int, block: Sequence[bytes]) -> Piece:
    whole = b"".join(block).decode("utf-8", "replace").replace("\r\n", "\n")
    head, _, message = whole.partition("\nMessage=")
    record: dict[str, Any] = dict(line.split("=", 1) for line in head.split("\n") if "=" in line)
    record |= {"@time": head.split("\n", 1)[0].strip(), "Message": message} if message else {}
    return Piece(start, record=record, lines=len(block)) if "EventCode" in record else Piece(start, refused="no event", lines=len(block))


_EVTX_HEAD, _EVTX_CHUNK, _EVTX_READ = 4096, 65536, 64 * 65536  # bytes of the file's head, of a chunk, and read at a time


def evtx(stream: Any) -> Iterator[Piece]:
    """Binary event logs through the `evtx` library; the line is the position of the record in the file.

    A chunk holds all that its records need, so that some chunks behind the file's head are a log of their own.
    """
    try:
        from evtx import PyEvtxParser
    except ImportError as error:
        raise CarrierError("an .evtx file needs the extra: pip install netexfil[evtx]") from error
    head, number = stream.read(_EVTX_HEAD), 0
    while (block := stream.read(_EVTX_READ)) or not number:
        try:
            records = iter(PyEvtxParser(io.BytesIO(head + block)).records_json())
        except (RuntimeError, OSError, ValueError) as error:
            raise CarrierError(f"evtx: {error}") from error
        while (piece := _evtx_record(records, number + 1)) is not None:
            number += 1
            yield piece
        if len(block) % _EVTX_CHUNK:
            yield Piece(number + 1, refused="the last chunk of the log is cut")
        if len(block) < _EVTX_READ:
            return


def _evtx_record(records: Iterator[Any], number: int) -> Piece | None:
    try:
        found: Any = next(records)
    except StopIteration:
        return None
    except (RuntimeError, OSError, ValueError) as error:
        return Piece(number, refused=f"evtx: {error}")
    record = cutting.parsed(found["data"].encode("utf-8", "replace"))
    return Piece(number, record=record) if isinstance(record, dict) else Piece(number, refused="evtx: no record")
