"""Findings in the Elastic Common Schema 8.11, one document a line; what ECS has no field for stands under `netexfil`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netexfil.finding import SEVERITIES, iso
from netexfil.report import attack, jsonl, words

if TYPE_CHECKING:
    from netexfil.errors import Note
    from netexfil.finding import Finding
    from netexfil.report import Options
    from netexfil.report.sink import Sink

VERSION = "8.11.0"
TITLE = "Upload over an encrypted protocol that is not the command channel"


def write(findings: Sequence[Finding], _notes: Sequence[Note], out: Sink, _options: Options) -> None:
    for finding in findings:
        out.write(jsonl.line(document(finding)))


def document(finding: Finding) -> dict[str, Any]:
    """One finding as an ECS document; empty fields are left out."""
    links = words.best_links(finding)
    event: Mapping[str, Any] = links[0].event if links else {}
    client, server = words.ends(finding)
    fields = {
        "@timestamp": iso(finding.last_ts),  # that there is one is asked for
        "ecs": {"version": VERSION},
        "message": words.sentence(finding),
        "event": _event(finding),
        "source": _end(client),
        "destination": _end(server),
        "network": _network(finding),
        "host": {"name": event.get("host") or finding.host.get("name"), "ip": _list(finding.host.get("ip"))},
        "user": _user(event),
        "process": _process(event),
        "rule": {"id": "netexfil", "name": TITLE, "category": "exfiltration", "ruleset": "netexfil"},
        "threat": _threat(finding),
        "observer": {"vendor": "netexfil", "product": "netexfil", "type": "ids"},
        "related": {
            "ip": _list(finding.host.get("ip"), *((finding.destination or {}).get("ips") or ())),
            "hosts": _list(finding.host.get("name"), (finding.destination or {}).get("name"), event.get("host")),
            "user": _list(event.get("user")),
        },
        "tags": _list("suppressed" if finding.suppressed else None, "in-progress" if finding.in_progress else None),
        "netexfil": _own(finding),
    }
    return {key: value for key, value in ((key, _full(value)) for key, value in fields.items()) if value not in (None, {}, [])}


def _event(finding: Finding) -> dict[str, Any]:
    return {
        "kind": "alert" if finding.is_alert else "event",
        "category": ["intrusion_detection", "network"],
        "type": ["info"],
        "id": finding.id,
        "provider": "netexfil",
        "module": "netexfil",
        "dataset": "netexfil.finding",
        "action": "exfiltration",
        "severity": SEVERITIES.index(finding.severity),
        "risk_score": finding.score,
        "start": iso(finding.first_ts) if finding.dated else None,
        "end": iso(finding.last_ts) if finding.dated else None,
        "duration": None if finding.duration is None else round(finding.duration * 1e9),
        "reason": "; ".join(e.text for e in words.reasons(finding, 5)) or None,
    }


def _end(end: Mapping[str, Any]) -> dict[str, Any]:
    return {"ip": end["ip"], "address": end["name"] or end["ip"], "domain": end["name"], "port": end["port"], "bytes": end["bytes"]}


def _network(finding: Finding) -> dict[str, Any]:
    place: Mapping[str, Any] = finding.destination or {}
    out, back = finding.bytes_out.get("low"), finding.bytes_in
    ips = place.get("ips") or [""]
    return {
        "transport": place.get("proto"),
        "protocol": finding.protocol.lower(),
        "direction": "inbound" if finding.pulled else "outbound",
        "type": "ipv6" if ":" in str(ips[0]) else "ipv4" if ips[0] else None,
        "bytes": None if out is None or back is None else out + back,
    }


def _user(event: Mapping[str, Any]) -> dict[str, Any]:
    """`CORP\\alice` is domain and name."""
    user = event.get("user")
    domain, found, name = str(user or "").rpartition("\\")
    return {"name": name or None, "domain": domain if found else None}


def _process(event: Mapping[str, Any]) -> dict[str, Any]:
    image, parent = event.get("image"), event.get("parent_image")
    return {
        "name": words.base_name(image) if image else None,
        "executable": image,
        "pid": event.get("pid"),
        "entity_id": event.get("guid"),
        "command_line": event.get("command_line"),
        "parent": _full({"executable": parent, "name": words.base_name(parent) if parent else None, "pid": event.get("parent_pid")}),
    }


def _threat(finding: Finding) -> dict[str, Any]:
    """Techniques in the parallel arrays that ECS asks for; a subtechnique stands with its parent."""
    named = [entry for entry in (attack.named(row.get("technique", "")) for row in finding.attack) if entry]
    return {
        "framework": "MITRE ATT&CK",
        "tactic": {
            "id": _list(*(t.tactic_id for t in named)),
            "name": _list(*(t.tactic for t in named)),
            "reference": _list(*(attack.tactic_url(t.tactic_id) for t in named)),
        },
        "technique": {
            "id": [t.id for t in named],
            "name": [t.name for t in named],
            "reference": [attack.url(t.id) for t in named],
            "subtechnique": {
                "id": [t.sub_id for t in named if t.sub_id],
                "name": [t.sub_name for t in named if t.sub_id],
                "reference": [attack.url(t.sub_id) for t in named if t.sub_id],
            },
        },
    }


def _own(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "score": finding.score,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "window": finding.window,
        "bytes_out": dict(finding.bytes_out),
        "pcr": finding.pcr,
        "sessions": finding.sessions,
        "session_uids": list(finding.session_uids),
        "tool": dict(finding.tool),
        "match": words.best_links(finding)[0].match if finding.links else None,
        "evidence": [
            {"code": e.code, "points": e.points, "text": e.text, "value": None if e.value is None else str(e.value)} for e in finding.evidence
        ],
        "suppressed": dict(finding.suppressed) if finding.suppressed else None,
    }


def _list(*values: Any) -> list[Any]:
    """The values that are there, each once."""
    return list(dict.fromkeys(value for value in values if value))


def _full(value: Any) -> Any:
    """A record without its empty fields."""
    if isinstance(value, dict):
        return {key: part for key, part in ((key, _full(part)) for key, part in value.items()) if part not in (None, {}, [])}
    return value
