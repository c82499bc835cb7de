"""Findings as OCSF 1.4 Detection Findings (class 2004), one a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from netexfil.report import attack, jsonl, words

if TYPE_CHECKING:
    from netexfil.errors import Note
    from netexfil.finding import Finding, Link
    from netexfil.report import Options
    from netexfil.report.sink import Sink

VERSION = "1.4.0"
SEVERITY_ID = {"info": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}
SEVERITY_NAME = {"info": "Informational"}
CONFIDENCE_ID = {"low": 1, "medium": 2, "high": 3}
RISK_LEVEL_ID = {"info": 0, "low": 1, "medium": 2, "high": 3, "critical": 4}  # captions are the severities with a capital
PROTOCOL_NUMBER = {"icmp": 1, "tcp": 6, "udp": 17}
HOSTNAME, IP_ADDRESS, USER_NAME, PROCESS_NAME = 1, 2, 4, 9  # observable type_id


def write(findings: Sequence[Finding], _notes: Sequence[Note], out: Sink, _options: Options) -> None:
    for finding in findings:
        out.write(jsonl.line(record(finding)))


def record(finding: Finding) -> dict[str, Any]:
    """One finding as class 2004. `time` is the end of what was seen (0: not known); the program's clock is not in it."""
    new = 3 if finding.suppressed else 1
    first, last = _times(finding)
    row = {
        "activity_id": 1, "activity_name": "Create", "category_uid": 2, "category_name": "Findings", "class_uid": 2004,
        "class_name": "Detection Finding", "type_uid": 200401, "type_name": "Detection Finding: Create",
        "time": last or 0, "start_time": first, "end_time": last,
        "duration": None if finding.duration is None else round(finding.duration * 1000), "count": max(1, finding.sessions),
        "severity_id": SEVERITY_ID[finding.severity], "severity": SEVERITY_NAME.get(finding.severity, finding.severity.title()),
        "status_id": new, "status": {1: "New", 3: "Suppressed"}[new], "is_alert": finding.is_alert,
        "confidence_id": CONFIDENCE_ID[finding.confidence], "confidence": finding.confidence.title(),
        "risk_score": round(finding.score), "risk_level_id": RISK_LEVEL_ID[finding.severity],
        "risk_level": finding.severity.title(),
        "message": words.sentence(finding),
        "metadata": _metadata(finding), "finding_info": _info(finding), "evidences": _evidences(finding),
        "observables": _observables(finding), "comment": words.suppression(finding) or None, "unmapped": {"netexfil": _unmapped(finding)},
    }  # fmt: skip
    return {key: value for key, value in row.items() if value is not None}


def _times(finding: Finding) -> tuple[int, int] | tuple[None, None]:
    """First and last moment in milliseconds, as far as they are known."""
    return (round(finding.first_ts * 1000), round(finding.last_ts * 1000)) if finding.dated else (None, None)


def _metadata(finding: Finding) -> dict[str, Any]:
    try:
        ours = version("netexfil")
    except PackageNotFoundError:  # run from a source tree
        ours = "0"
    return {"version": VERSION, "uid": finding.id, "product": {"name": "netexfil", "vendor_name": "netexfil", "version": ours}}


def _info(finding: Finding) -> dict[str, Any]:
    first, last = _times(finding)
    return {
        "uid": finding.id,
        "title": f"{'Pull' if finding.pulled else 'Upload'} over {finding.protocol} from {words.host(finding)}",
        "desc": "; ".join(f"{words.points(e.points)} {e.text}" for e in finding.evidence),
        "types": ["Exfiltration"],
        **({} if first is None else {"first_seen_time": first, "last_seen_time": last}),
        "analytic": {"type_id": 2, "type": "Behavioral", "name": "netexfil", "uid": "netexfil"},
        "attacks": [entry for entry in (_attack(row.get("technique", "")) for row in finding.attack) if entry],
        "related_events_count": len(finding.session_uids),
    }


def _attack(identifier: str) -> dict[str, Any] | None:
    known = attack.named(identifier)
    if known is None:
        return None
    entry: dict[str, Any] = {
        "tactic": {"uid": known.tactic_id, "name": known.tactic},
        "technique": {"uid": known.id, "name": known.name, "src_url": attack.url(known.id)},
        "version": "15.1",
    }
    if known.sub_id:
        entry["sub_technique"] = {"uid": known.sub_id, "name": known.sub_name, "src_url": attack.url(known.sub_id)}
    return entry


def _evidences(finding: Finding) -> list[dict[str, Any]]:
    """The channel, then each linked event; the reasons are data of the channel."""
    reasons = [{"code": e.code, "points": e.points, "value": e.value, "unit": e.unit, "text": e.text} for e in finding.evidence]
    channel: dict[str, Any] = {"data": {"reasons": reasons, "session_uids": list(finding.session_uids)}}
    for name, end in zip(("src_endpoint", "dst_endpoint"), words.ends(finding), strict=True):
        if end["ip"] or end["name"]:
            channel[name] = _endpoint(end["ip"], end["name"], end["port"])
    if finding.destination:
        proto = str(finding.destination.get("proto") or "")
        numbered = {"protocol_num": PROTOCOL_NUMBER[proto]} if proto in PROTOCOL_NUMBER else {}
        way = {"direction_id": 1, "direction": "Inbound"} if finding.pulled else {"direction_id": 2, "direction": "Outbound"}
        channel["connection_info"] = {**way, **({"protocol_name": proto} if proto else {}), **numbered}
    return [channel, *(_process(link) for link in words.best_links(finding) if link.event.get("pid") is not None or link.event.get("guid"))]


def _endpoint(ip: Any, name: Any, port: Any = None) -> dict[str, Any]:
    parts = {"ip": ip, "hostname": name, "port": port}
    return {key: value for key, value in parts.items() if value is not None}


def _process(link: Link) -> dict[str, Any]:
    event = link.event
    image = event.get("image")
    file = {"name": words.base_name(image), "path": image, "type_id": 1} if image else None
    parts = {
        "pid": event.get("pid"), "uid": event.get("guid"), "name": words.base_name(image) if image else None,
        "cmd_line": event.get("command_line"), "file": file, "user": {"name": event["user"]} if event.get("user") else None,
    }  # fmt: skip
    process = {key: value for key, value in parts.items() if value is not None}
    return {"process": process, "data": {"match": link.match, "confidence": link.confidence, "clock_offset": link.clock_offset}}


def _observables(finding: Finding) -> list[dict[str, Any]]:
    links = words.best_links(finding)
    event: Mapping[str, Any] = links[0].event if links else {}
    found = [(f"evidences.{name}.{key}", kind, end[part]) for name, end in zip(("src_endpoint", "dst_endpoint"), words.ends(finding), strict=True)
             for key, kind, part in (("ip", IP_ADDRESS, "ip"), ("hostname", HOSTNAME, "name"))]
    found.append(("evidences.process.user.name", USER_NAME, event.get("user")))
    if event.get("image"):
        found.append(("evidences.process.name", PROCESS_NAME, words.base_name(event["image"])))
    return [{"name": name, "type_id": kind, "value": str(value)} for name, kind, value in found if value]


def _unmapped(finding: Finding) -> dict[str, Any]:
    return {
        "bytes_out": dict(finding.bytes_out), "bytes_in": finding.bytes_in, "pcr": finding.pcr, "score": finding.score,
        "window": finding.window, "tool": dict(finding.tool), "protocol": finding.protocol,
        "suppressed": dict(finding.suppressed) if finding.suppressed else None,
    }  # fmt: skip
