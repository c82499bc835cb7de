"""Findings as a Zeek notice.log, for what already reads notices (SIEM parsers, zeek-cut, Security Onion)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netexfil.report import words, zeeklog

if TYPE_CHECKING:
    from netexfil.errors import Note
    from netexfil.finding import Finding
    from netexfil.report import Options
    from netexfil.report.sink import Sink

# Columns and types of Zeek's Notice::Info as base/frameworks/notice/main.zeek logs them.
COLUMNS: Mapping[str, str] = {
    "ts": "time",
    "uid": "string",
    "id.orig_h": "addr",
    "id.orig_p": "port",
    "id.resp_h": "addr",
    "id.resp_p": "port",
    "fuid": "string",
    "file_mime_type": "string",
    "file_desc": "string",
    "proto": "enum",
    "note": "enum",
    "msg": "string",
    "sub": "string",
    "src": "addr",
    "dst": "addr",
    "p": "port",
    "n": "count",
    "peer_descr": "string",
    "actions": "set[enum]",
    "email_dest": "set[string]",
    "suppress_for": "interval",
    "remote_location.country_code": "string",
    "remote_location.region": "string",
    "remote_location.city": "string",
    "remote_location.latitude": "double",
    "remote_location.longitude": "double",
}
NOTES = {"channel": "Exfil::Encrypted_Upload", "endpoint": "Exfil::Endpoint_Alert"}


def write(findings: Sequence[Finding], _notes: Sequence[Note], out: Sink, _options: Options) -> None:
    """One notice a finding. A suppressed finding has no action, any other Notice::ACTION_LOG."""
    out.write(zeeklog.header("notice", COLUMNS))
    for finding in findings:
        out.write((zeeklog.line(row(finding), COLUMNS) + "\n").encode())


def row(finding: Finding) -> dict[str, Any]:
    """The notice's fields. The source port is left unset: a channel has many."""
    place: Mapping[str, Any] = finding.destination or {}
    client, server = words.ends(finding)
    why = "; ".join(e.text for e in words.reasons(finding))
    return {
        "ts": finding.last_ts if finding.dated else None,
        "uid": finding.session_uids[0] if finding.session_uids else None,
        "proto": place.get("proto"),
        "note": NOTES[finding.kind],
        "src": client["ip"],
        "dst": server["ip"],
        "p": place.get("port"),
        "n": finding.sessions,
        "msg": f"{words.sentence(finding)}: {why}",
        "sub": f"score={finding.score:g} severity={finding.severity} id={finding.id} {words.tool(finding)}".rstrip(),
        "peer_descr": "netexfil",
        "actions": [] if finding.suppressed else ["Notice::ACTION_LOG"],
        "email_dest": [],
        "suppress_for": 0.0,
    }
