"""Findings as a flat CSV for spreadsheets: one line a finding, text cells defused, the best link's process beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netexfil.finding import Finding, iso
from netexfil.report import words

if TYPE_CHECKING:
    from netexfil.errors import Note
    from netexfil.report import Options
    from netexfil.report.sink import Sink


def _event(finding: Finding) -> Mapping[str, Any]:
    links = words.best_links(finding)
    return links[0].event if links else {}


def _place(finding: Finding) -> Mapping[str, Any]:
    return finding.destination or {}


COLUMNS: Mapping[str, Callable[[Finding], Any]] = {
    "score": lambda f: f.score,
    "severity": lambda f: f.severity,
    "confidence": lambda f: f.confidence,
    "kind": lambda f: f.kind,
    "first_time": lambda f: iso(f.first_ts) if f.dated else None,
    "last_time": lambda f: iso(f.last_ts) if f.dated else None,
    "host": lambda f: f.host.get("ip"),
    "host_name": lambda f: f.host.get("name"),
    "destination": lambda f: " ".join(map(str, _place(f).get("ips") or ())),
    "destination_name": lambda f: _place(f).get("name"),
    "port": lambda f: _place(f).get("port"),
    "proto": lambda f: _place(f).get("proto"),
    "protocol": lambda f: f.protocol,
    "tool": lambda f: f.tool.get("name"),
    "tool_verdict": lambda f: f.tool.get("verdict"),
    "bytes_out_low": lambda f: f.bytes_out.get("low"),
    "bytes_out_high": lambda f: f.bytes_out.get("high"),
    "byte_quality": lambda f: f.bytes_out.get("quality"),
    "bytes_in": lambda f: f.bytes_in,
    "pcr": lambda f: f.pcr,
    "sessions": lambda f: f.sessions,
    "duration": lambda f: f.duration,
    "rate": lambda f: f.rate,
    "in_progress": lambda f: f.in_progress,
    "match": lambda f: words.best_links(f)[0].match if f.links else None,
    "process": lambda f: _event(f).get("image"),
    "pid": lambda f: _event(f).get("pid"),
    "user": lambda f: _event(f).get("user"),
    "command_line": lambda f: _event(f).get("command_line"),
    "reasons": lambda f: "; ".join(f"{words.points(e.points)} {e.text}" for e in words.reasons(f, 5)),
    "suppressed": lambda f: words.suppression(f) or None,
    "session_uids": lambda f: " ".join(f.session_uids),
    "id": lambda f: f.id,
}


def write(findings: Sequence[Finding], _notes: Sequence[Note], out: Sink, _options: Options) -> None:
    """RFC 4180 with a header line."""
    _lines(out, [COLUMNS])
    for finding in findings:
        _lines(out, [[_cell(read(finding)) for read in COLUMNS.values()]])


def _lines(out: Sink, rows: Sequence[Any]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    out.write(text.getvalue().encode("utf-8", "backslashreplace"))


def _cell(value: Any) -> Any:
    """Numbers stay numbers (a negative one is no formula); text is defused."""
    if value is None:
        return ""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else words.defused(str(value))
