"""Findings as JSON lines: the record of the contract, one object a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from netexfil.report.words import clean

if TYPE_CHECKING:
    from netexfil.errors import Note
    from netexfil.finding import Finding
    from netexfil.report import Options
    from netexfil.report.sink import Sink

_FLAGS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def line(record: dict[str, Any]) -> bytes:
    """One object and its line end. Not-a-number becomes null; a lone surrogate its escape."""
    try:
        return orjson.dumps(record, default=str, option=_FLAGS)
    except TypeError:
        return orjson.dumps(clean(record), default=str, option=_FLAGS)


def write(findings: Sequence[Finding], _notes: Sequence[Note], out: Sink, _options: Options) -> None:
    for finding in findings:
        out.write(line(finding.record()))
