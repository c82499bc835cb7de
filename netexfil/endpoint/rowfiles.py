"""Files whose records are no JSON lines: CSV, Splunk's classic text of Windows events, binary .evtx."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
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


def evtx(stream: Any) -> Iterator[Piece]:
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
            found: Any = next(records)
        except StopIteration:
            return
        except (RuntimeError, OSError, ValueError) as error:
            yield Piece(number, refused=f"evtx: {error}")
            continue
        record = cutting.parsed(found["data"].encode("utf-8", "replace"))
        yield Piece(number, record=record) if isinstance(record, dict) else Piece(number, refused="evtx: no record")
