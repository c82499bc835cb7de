"""The way back: findings from the JSON lines that this package wrote, for a page made later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from netexfil.errors import Note, Unreadable
from netexfil.finding import SEVERITIES, UNDATED, Finding

MAX_LINE = 64 * 1024 * 1024  # bytes; a finding with thousands of sessions and links stays far below
Shape = tuple[Any, ...] | Mapping[str, Any] | list[Any]
_TEXT: Shape = (str, type(None))
_NUMBER: Shape = (int, float, type(None))
_WHOLE: Shape = (int, type(None))
# What a record must be for the writers to rely on it: types, the fields of an object, or the elements of a list.
_SHAPE: Mapping[str, Shape] = {
    "id": (str,), "score": (int, float), "severity": (str,), "confidence": (str,), "kind": (str,), "first_ts": _NUMBER,
    "last_ts": _NUMBER, "host": {"ip": _TEXT, "name": _TEXT}, "protocol": (str,), "tool": {"name": _TEXT, "source": _TEXT, "verdict": _TEXT},
    "bytes_out": {"low": _WHOLE, "high": _WHOLE, "quality": _TEXT}, "bytes_in": _WHOLE, "pcr": _NUMBER, "sessions": (int,), "session_uids": [(str,)],
    "in_progress": (bool,),
    "evidence": [{"code": (str,), "value": (str, *_NUMBER), "unit": (str,), "threshold": (str, *_NUMBER), "points": (int, float), "text": (str,),
                  "source": _TEXT}],
    "links": [{"match": (str,), "confidence": (int, float), "candidates": _WHOLE, "seconds_apart": _NUMBER, "clock_offset": _NUMBER,
               "event": dict.fromkeys(("kind", "host", "user", "image", "command_line", "guid"), _TEXT), "uid": _TEXT}],
}  # fmt: skip
# What may be null or missing.
_MAYBE: Mapping[str, Shape] = {
    "destination": {"ips": [(str,)], "port": _WHOLE, "proto": _TEXT, "name": _TEXT}, "duration": _NUMBER, "rate": _NUMBER, "window": (str,),
    "attack": [{"technique": (str,), "strategy": _TEXT}], "suppressed": {"by": _TEXT, "reason": _TEXT, "expires": _TEXT},
    "next_steps": [{"title": (str,), "language": (str,), "text": (str,)}],
}  # fmt: skip


def findings(path: Path) -> tuple[list[Finding], list[Note]]:
    """Findings of a JSON lines file, in its order, and a note for each line that is none.

    Raises:
        Unreadable: the file cannot be opened, or no line of it is a finding.
    """
    found: list[Finding] = []
    notes: list[Note] = []
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE):
                number += 1
                if line.strip():
                    _take(line, str(path), number, found, notes)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror or error}") from error
    if notes and not found:
        raise Unreadable(f"{path}:{notes[0].place}: {notes[0].reason}")
    return found, notes


def _take(line: bytes, name: str, number: int, found: list[Finding], notes: list[Note]) -> None:
    try:
        record = orjson.loads(line)
        _check(record)
        found.append(Finding.from_record(record))
    except (ValueError, TypeError, OverflowError) as error:
        notes.append(Note(name, "finding", f"not a finding: {error}", number))


def _check(record: Any) -> None:
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    for name, shape in _SHAPE.items():
        if name not in record or not _fits(record[name], shape):
            raise ValueError(f"field {name!r} is missing or of another type")
    for name, shape in _MAYBE.items():
        if record.get(name) is not None and not _fits(record[name], shape):
            raise ValueError(f"field {name!r} is of another type")
    if record["severity"] not in SEVERITIES or record["confidence"] not in ("high", "medium", "low") or record["kind"] not in ("channel", "endpoint"):
        raise ValueError("severity, confidence or kind is not a known word")
    times = (record["first_ts"], record["last_ts"])
    if times == (None, None) and record["kind"] == "endpoint":
        times = (UNDATED, UNDATED)
    if None in times or not -6e10 < times[0] <= times[1] < 2.5e11:
        raise ValueError("first_ts and last_ts are not epoch seconds")
    if not 0 <= record["score"] <= 100 or not 0 <= (record.get("duration") or 0) < 1e12:
        raise ValueError("score or duration is out of range")


def _fits(value: Any, shape: Any) -> bool:
    """Whether a value is of these types; of an object, whether each of its fields that the shape names is."""
    if isinstance(shape, Mapping):
        return isinstance(value, dict) and all(_fits(value[name], part) for name, part in shape.items() if name in value)
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(part, shape[0]) for part in value)
    return isinstance(value, shape)
