"""Zeek's logs of the conversations: conn, ssl, ssh and dns as Zeek 8 would write them with a sensor that sees every packet."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netexfil.report import zeeklog
from netexfil.simulate.wire import ACK, FIN, RST, SYN, Conversation, End, Segment, tally

ID = {"ts": "time", "uid": "string", "id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr", "id.resp_p": "port"}
LOGS: Mapping[str, Mapping[str, str]] = {
    "conn": ID
    | {
        "proto": "enum",
        "service": "string",
        "duration": "interval",
        "orig_bytes": "count",
        "resp_bytes": "count",
        "conn_state": "string",
        "local_orig": "bool",
        "local_resp": "bool",
        "missed_bytes": "count",
        "history": "string",
        "orig_pkts": "count",
        "orig_ip_bytes": "count",
        "resp_pkts": "count",
        "resp_ip_bytes": "count",
    },
    "ssl": ID
    | {
        "version": "string",
        "cipher": "string",
        "server_name": "string",
        "resumed": "bool",
        "next_protocol": "string",
        "established": "bool",
        "subject": "string",
        "issuer": "string",
    },
    "ssh": ID | {"version": "count", "auth_success": "bool", "direction": "enum", "client": "string", "server": "string"},
    "dns": ID
    | {
        "proto": "enum",
        "trans_id": "count",
        "query": "string",
        "qclass": "count",
        "qtype": "count",
        "qtype_name": "string",
        "rcode": "count",
        "rcode_name": "string",
        "answers": "vector[string]",
    },
}


def write(folder: Path, conversations: Sequence[Conversation], seen: Sequence[tuple[End, End]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in LOGS}
    for conversation, ends in sorted(zip(conversations, seen, strict=True), key=lambda pair: pair[0].start):
        key = _id(conversation, ends)
        rows["conn"].append(key | _conn(conversation))
        facts, service = conversation.facts, conversation.facts.get("service", "")
        if "ssl" in service.split(","):
            wanted = {"version": facts.get("version"), "server_name": facts.get("server_name") or None, "next_protocol": facts.get("alpn") or None}
            cipher = "TLS_AES_256_GCM_SHA384" if facts.get("version") == "TLSv13" else "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
            rows["ssl"].append(
                key
                | wanted
                | {"cipher": cipher, "resumed": False, "established": True, "subject": facts.get("subject"), "issuer": facts.get("issuer")}
            )
        if service == "ssh":
            rows["ssh"].append(
                key | {"version": 2, "auth_success": True, "direction": "OUTBOUND", "client": facts["ssh_client"], "server": facts["ssh_server"]}
            )
        if service == "dns":
            six = ":" in facts["answer"]
            query = {
                "query": facts["query"],
                "qclass": 1,
                "qtype": 28 if six else 1,
                "qtype_name": "AAAA" if six else "A",
                "rcode": 0,
                "rcode_name": "NOERROR",
            }
            rows["dns"].append(key | query | {"proto": "udp", "trans_id": 1, "answers": [facts["answer"]]})
    for name, kinds in LOGS.items():
        if rows[name]:
            lines = "".join(zeeklog.line(row, kinds) + "\n" for row in rows[name])
            (folder / f"{name}.log").write_bytes(zeeklog.header(name, kinds) + lines.encode())


def _id(c: Conversation, ends: tuple[End, End]) -> dict[str, Any]:
    uid = "C" + hashlib.sha256(f"{c.start} {c.proto} {ends}".encode()).hexdigest()[:17]
    first = c.ordered()[0].time
    return {"ts": first, "uid": uid, "id.orig_h": ends[0][0], "id.orig_p": ends[0][1], "id.resp_h": ends[1][0], "id.resp_p": ends[1][1]}


def _conn(c: Conversation) -> dict[str, Any]:
    ordered, six = c.ordered(), ":" in c.orig[0]
    out, back = (tally([s for s in ordered if s.out is side], c.proto, six) for side in (True, False))
    data = [s.time for s in ordered if s.payload or s.flags & (SYN | FIN | RST)]
    closed = all(any(s.flags & FIN for s in ordered if s.out is side) for side in (True, False))
    state = ("SF" if closed else "S1") if c.proto == "tcp" else ("SF" if out["pkts"] and back["pkts"] else "S0")
    return {
        "proto": c.proto,
        "service": c.facts.get("service") or None,
        "duration": (data or [ordered[-1].time])[-1] - ordered[0].time if len(ordered) > 1 else None,
        "orig_bytes": out["unique_payload"],
        "resp_bytes": back["unique_payload"],
        "conn_state": state,
        "missed_bytes": 0,
        "history": history(c.proto, ordered),
        "local_orig": True,
        "local_resp": False,
        "orig_pkts": out["pkts"],
        "orig_ip_bytes": out["ip_bytes"],
        "resp_pkts": back["pkts"],
        "resp_ip_bytes": back["ip_bytes"],
    }


def history(proto: str, ordered: Sequence[Segment]) -> str:
    """Zeek's history letters, each side's first of a kind: S h A D F R, T for a retransmission; small for the responder."""
    letters: list[str] = []
    for segment in ordered:
        if proto == "udp":
            found = "D"
        elif segment.flags & SYN:
            found = "H" if segment.flags & ACK else "S"
        elif segment.again:
            found = "T"
        else:
            found = ("D" if segment.payload else "") + (
                "F" if segment.flags & FIN else "R" if segment.flags & RST else "" if segment.payload else "A"
            )
        for letter in found:
            shown = letter if segment.out else letter.lower()
            if shown not in letters:
                letters.append(shown)
    return "".join(letters)
