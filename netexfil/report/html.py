"""Findings as one HTML page that works offline: summary, timeline, map, findings with their evidence, clocks, allow entries, data quality.

Foreign text enters the page in two ways only: through Jinja's autoescape, and as JSON in a data block that the page's script puts into
text nodes. Control and direction characters are made visible before either. A Content-Security-Policy allows the two inline
blocks by their hash and nothing else: no other script, no request, no form.
"""

from __future__ import annotations

import base64
import hashlib
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import orjson

from netexfil.finding import SEVERITIES, Finding, Link, iso
from netexfil.report import words
from netexfil.report.words import visible

if TYPE_CHECKING:
    from netexfil.errors import Note
    from netexfil.report import Options
    from netexfil.report.sink import Sink

SCRIPTS = ("page.js", "charts.js", "detail.js")
BYTES_A_FINDING = 5_500  # a page of 1,000 findings stays below 6 MB
LINK_LIMITS = (40, 15, 6, 3, 1)  # links kept per finding: the largest that holds the size; then the next steps go
UIDS = 60  # session uids kept per finding
WITHOUT_SCRIPT = 50  # findings listed where scripts do not run
# What of an event a page shows; the record in the JSON lines has all of it.
EVENT = (
    "kind", "ts", "host", "user", "image", "pid", "guid", "command_line", "parent_image", "parent_pid", "parent_guid",
    "parent_command_line", "target", "rule", "title", "hashes", "file", "line",
)  # fmt: skip


def write(findings: Sequence[Finding], notes: Sequence[Note], out: Sink, options: Options) -> None:
    import jinja2
    from markupsafe import Markup

    folder = files("netexfil.report")
    style = folder.joinpath("page.css").read_text("utf-8")
    script = "(() => {\n'use strict';\n" + "".join(folder.joinpath(name).read_text("utf-8") for name in SCRIPTS) + "start();\n})();\n"
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"units": words.units, "visible": visible}
    page = environment.from_string(folder.joinpath("page.html.j2").read_text("utf-8")).stream(
        title=visible(options.title),
        style=Markup(style),
        script=Markup(script),
        hashes={"style": _hash(style), "script": _hash(script)},
        data=Markup(_embedded(_page_records(findings))),
        summary=summary(findings),
        top=[_line(f) for f in findings[:WITHOUT_SCRIPT]],
        clocks=clocks(findings),
        allowed=allowed(findings),
        quality=quality(findings),
        notes=[_note(note) for note in notes],
    )
    for piece in page:
        out.write(piece.encode("utf-8", "backslashreplace"))


def _hash(block: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(block.encode("utf-8")).digest()).decode("ascii")


def _embedded(value: Any) -> str:
    """JSON that cannot end its script block, nor be taken for markup inside it."""
    text = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode("utf-8")
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _page_records(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The records with as many links each as the size allows."""
    records: list[dict[str, Any]] = []
    for limit in (*LINK_LIMITS, 0):
        records = [_page_record(finding, limit or 1, limit > 0) for finding in findings]
        if len(orjson.dumps(records, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)) <= BYTES_A_FINDING * max(
            200, len(findings)
        ):
            break
    return records


def _page_step(step: Mapping[str, str]) -> list[Any]:
    """Title and lines."""
    return [str(step.get("title") or ""), str(step.get("text") or step.get("command") or "").split("\n")]


def _page_record(finding: Finding, limit: int, whole: bool) -> dict[str, Any]:
    links = words.best_links(finding)
    process, user = words.owner(finding)
    row: dict[str, Any] = {
        "id": finding.id, "kind": finding.kind, "score": finding.score, "severity": finding.severity, "confidence": finding.confidence,
        "first": finding.first_ts if finding.dated else None, "last": finding.last_ts if finding.dated else None,
        "host": words.host(finding), "to": words.destination(finding),
        "port": (finding.destination or {}).get("port"), "protocol": finding.protocol, "tool": words.tool(finding),
        "low": finding.bytes_out.get("low"), "size": words.size(finding.bytes_out), "exact": words.exact(finding.bytes_out),
        "quality": finding.bytes_out.get("quality"), "in": finding.bytes_in, "pcr": finding.pcr, "process": process, "user": user,
        "sessions": finding.sessions, "uids": list(finding.session_uids[:UIDS]), "duration": words.span(finding.duration),
        "rate": None if finding.rate is None else words.units(finding.rate), "progress": finding.in_progress, "window": finding.window,
        "allowed": words.suppression(finding),
        "evidence": [[e.code, e.points, e.text, _amount(e.value, e.unit), _amount(e.threshold, e.unit), e.source] for e in finding.evidence],
        "links": [_page_link(link) for link in links[:limit]], "more": max(0, len(links) - limit),
        "attack": [" · ".join(str(part) for part in entry.values()) for entry in finding.attack],
"next": [_page_step(step) for step in finding.next_steps] if whole else [],
    }  # fmt: skip
    shown: dict[str, Any] = _visible(row)
    return shown


def _amount(value: object, unit: str) -> str:
    if value is None:
        return ""
    if unit in ("B", "bytes") and isinstance(value, int | float):
        return f"{words.units(value)} ({value:,.0f} B)"
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f"{shown} {unit}".rstrip()


def _page_link(link: Link) -> dict[str, Any]:
    event = {key: link.event[key] for key in EVENT if link.event.get(key) is not None}
    return {
        "match": link.match, "confidence": link.confidence, "candidates": link.candidates, "apart": link.seconds_apart,
        "offset": link.clock_offset, "uid": link.uid, "event": event,
    }  # fmt: skip


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible(key): _visible(part) for key, part in value.items()}
    return [_visible(part) for part in value] if isinstance(value, list | tuple) else value


def _line(finding: Finding) -> dict[str, Any]:
    """A finding for the table without scripts."""
    because = "; ".join(e.text for e in words.reasons(finding))
    return {
        "score": f"{finding.score:.0f}", "severity": finding.severity, "sentence": visible(words.sentence(finding)), "because": visible(because),
        "owner": visible(" as ".join(part for part in words.owner(finding) if part)), "allowed": visible(words.suppression(finding)),
    }  # fmt: skip


def summary(findings: Sequence[Finding]) -> dict[str, Any]:
    """Counts for the head of the page; bytes are the lower bound of what unsuppressed findings sent out (of `endpoint` findings nothing did)."""
    open_ = [f for f in findings if f.suppressed is None]
    times = [iso(ts) for f in findings if f.dated for ts in (f.first_ts, f.last_ts)]
    by_severity = {s: sum(f.severity == s for f in open_) for s in reversed(SEVERITIES)}
    return {
        "findings": len(findings), "alerts": sum(f.is_alert for f in findings), "allowed": len(findings) - len(open_),
        "bytes": sum(f.bytes_out.get("low") or 0 for f in open_ if f.kind == "channel"), "hosts": len({words.host(f) for f in open_}),
        "destinations": len({words.destination(f) for f in open_ if f.destination}), "severities": by_severity,
        "first": min(times, default=""), "last": max(times, default=""),
    }  # fmt: skip


def clocks(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Offset of each endpoint clock (event clock minus capture clock, seconds) as the links were corrected by it."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for link in _links(findings):
        if link.clock_offset is not None:
            found[str(link.event.get("host") or ""), str(link.event.get("kind") or "")].append(link.clock_offset)
    rows = []
    for (host, kind), offsets in sorted(found.items(), key=lambda item: -abs(statistics.median(item[1]))):
        median = statistics.median(offsets)
        rows.append(
            {
                "host": visible(host),
                "kind": visible(kind),
                "offset": f"{median:+.3f} s",
                "spread": f"{max(offsets) - min(offsets):.3f} s",
                "links": len(offsets),
            }
        )
    return rows


def _links(findings: Sequence[Finding]) -> Iterator[Link]:
    for finding in findings:
        yield from finding.links


def allowed(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Each allow entry that hid something, with what it hid."""
    groups: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        if entry := finding.suppressed:
            groups[str(entry.get("by")), str(entry.get("reason")), str(entry.get("expires") or "never")].append(finding)
    rows = []
    for (by, reason, expires), hidden in sorted(groups.items(), key=lambda item: -len(item[1])):
        size = sum(f.bytes_out.get("low") or 0 for f in hidden)
        rows.append({"by": visible(by), "reason": visible(reason), "expires": visible(expires), "findings": len(hidden), "bytes": size})
    return rows


def quality(findings: Sequence[Finding]) -> list[tuple[str, int]]:
    """How sure the byte counts are, and what could not be seen."""
    kinds = (
        ("bytes exact", lambda f: f.bytes_out.get("quality") == "exact"),
        ("bytes bounded: cut packets, gaps, or a capture that began too late", lambda f: f.bytes_out.get("quality") == "bounded"),
        ("bytes unknown: the sensor did not see the sending side", lambda f: f.bytes_out.get("quality") == "unknown"),
        ("still in progress at the end of the input", lambda f: f.in_progress),
        ("without any endpoint event", lambda f: not f.links),
        ("an endpoint alert without a session that left the network", lambda f: f.kind == "endpoint"),
    )
    return [(label, count) for label, test in kinds if (count := sum(test(f) for f in findings))]


def _note(note: Note) -> dict[str, Any]:
    place = "" if note.place is None else f"{note.place:,}"
    return {"file": visible(note.file), "place": place, "reason": visible(note.reason), "count": note.count, "loss": note.loss}
