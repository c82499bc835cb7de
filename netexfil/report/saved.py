"""The way back: findings from the JSON lines that this package wrote, for a page made later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from netexfil.errors import Note, Unreadable
from netexfil.finding import SEVERITIES, Finding

MAX_LINE = 64 * 1024 * 1024  # bytes; a finding with thousands of sessions and links stays far below
# What a record must be for the writers to rely on it; all else is optional or checked by `Finding.from_record`.
_SHAPE: Mapping[str, tuple[type, ...]] = {
    "id": (str,), "score": (int, float), "severity": (str,), "confidence": (str,), "kind": (str,), "first_ts": (int, float),
    "last_ts": (int, float), "host": (dict,), "destination": (dict, type(None)), "protocol": (str,), "tool": (dict,), "bytes_out": (dict,),
    "bytes_in": (int, type(None)), "pcr": (int, float, type(None)), "sessions": (int,), "session_uids": (list,), "evidence": (list,),
    "links": (list,), "suppressed": (dict, type(None)), "in_progress": (bool,),
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
    for name, kinds in _SHAPE.items():
        if name not in record or not isinstance(record[name], kinds):
            raise ValueError(f"field {name!r} is missing or of another type")
    if record["severity"] not in SEVERITIES or record["confidence"] not in ("high", "medium", "low") or record["kind"] not in ("channel", "endpoint"):
        raise ValueError("severity, confidence or kind is not a known word")
    if not -1e11 < record["first_ts"] <= record["last_ts"] < 2.5e11:
        raise ValueError("first_ts and last_ts are not epoch seconds")
    _check_parts(record)


def _check_parts(record: Mapping[str, Any]) -> None:
    for part in (record["bytes_out"].get("low"), record["bytes_out"].get("high")):
        if not isinstance(part, int | None):
            raise ValueError("bytes_out is not whole numbers")
    for row in record["evidence"]:
        if not isinstance(row, dict) or not isinstance(row.get("points"), int | float):
            raise ValueError("evidence without points")
    for row in record["links"]:
        if not isinstance(row, dict) or not isinstance(row.get("event"), dict) or not isinstance(row.get("confidence"), int | float):
            raise ValueError("link without event or confidence")
    if not all(isinstance(uid, str) for uid in record["session_uids"]) or not isinstance((record["destination"] or {}).get("ips") or [], list):
        raise ValueError("session_uids or destination.ips is not a list of names")
