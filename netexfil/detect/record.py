"""A judged channel to its finding: evidence in words, links, tool, suppression, next steps. Reads only what it prints."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netexfil import features
from netexfil.detect import bands, words
from netexfil.detect.allowed import suppressed
from netexfil.detect.links import SURE, Tie, alert_points, told
from netexfil.detect.pivots import next_steps
from netexfil.detect.question import Candidates, Code, Points, Reason
from netexfil.finding import Evidence, Finding, iso
from netexfil.policy import Policy

CAP = "cap"
LINKS = 20  # links told in a finding
UIDS = 500  # session uids told in a finding
QUALITY = ("exact", "bounded", "unknown")
# Ring buffers put a number or a time behind the ending: `ring.pcap12`, `dump.pcap.1764000000`.
CAPTURE = re.compile(r"\.(pcap|pcapng|cap|dmp)[\d._-]*(\.gz|\.zst)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of one channel, by time: uids, starts, ends, bytes out, the file of the largest."""

    uids: Sequence[str]
    times: Sequence[float]
    ends: Sequence[float]
    sizes: Sequence[int]
    largest: str
    source: str


def evidence(c: Candidates, index: int, reasons: Sequence[Reason], counted: Points, codes: Mapping[str, Code], source: str) -> list[Evidence]:
    """Rows in words, those that count first. Points are the counted ones."""
    row = _row(c, index)
    sources = {"channel": source, "ssh": source, "ssl": source, "endpoint": c.columns["alert_source"][index] or "endpoint"}
    told = []
    for place, reason in enumerate(reasons):
        if not reason.mask[index]:
            continue
        code, value = codes[reason.code], _plain(reason.value[index])
        shown = {"value": words.show(value, code.unit), "threshold": words.show(reason.threshold, code.unit)}
        points = int(counted[place, index])
        said = code.text.format(**{**row, **shown})
        told.append(Evidence(reason.code, value, code.unit, reason.threshold, points, said, sources.get(reason.source, reason.source)))
    return sorted(told, key=lambda item: -abs(item.points))


def capped(rows: list[Evidence]) -> tuple[list[Evidence], int]:
    """The rows with a `cap` row where their sum leaves 0 … 100, and the score; the points add up to it exactly."""
    total = int(sum(item.points for item in rows))
    score = min(max(total, 0), 100)
    if score != total:
        rows = [*rows, Evidence(CAP, total, "points", "0…100", score - total, f"a score lies between 0 and 100; the points say {total}", "score")]
    return rows, score


def finding(
    c: Candidates, index: int, rows: list[Evidence], ties: Sequence[Tie], sessions: Sessions, names: Mapping[str, Any], policy: Policy,
) -> Finding:
    """One channel's finding. `names` are {host, remote}: the best names known for either end."""
    rows, score = capped(rows)
    number, text = _numbers(c, index), _texts(c, index)
    quality = QUALITY[int(number["quality"])]
    sure = any(tie.alert is not None and tie.link.match in SURE and alert_points(tie) > 0 for tie in ties)
    port = int(number["remote_p"])
    identity = channel_id(text["inside_h"], text["remote_h"], port, text["proto"], day_name(number["day"]), text["direction"])
    tool = {"name": text["tool_name"], "source": _tool_source(text), "verdict": text["verdict"]}
    facts = _facts(number, text, ties, sessions, names, port, identity)
    back = None if number["in_unknown"] >= number["sessions"] or number["bytes_in"] is None else int(number["bytes_in"])
    low, high = int(number["bytes_low"] or 0), None if number["bytes_high"] is None else int(number["bytes_high"])
    answered = number["answered_low"] if number["in_unknown"] and number["answered_low"] is not None else low
    return Finding(
        id=identity, kind="channel", score=score, severity=bands.severity(score),
        confidence=bands.confidence(rows, text["verdict"], sure, quality),  # type: ignore[arg-type]
        first_ts=number["first_ts"], last_ts=number["last_ts"],
        host={"ip": text["inside_h"], "name": names.get("host")},
        destination={"ips": [text["remote_h"]], "port": port, "proto": text["proto"], "name": names.get("remote")},
        protocol=_protocol(text, low, back, ties), tool=tool, bytes_out={"low": low, "high": high, "quality": quality}, bytes_in=back,
        pcr=_rounded(features.pcr(answered, np.nan if back is None else back)), sessions=int(number["sessions"]),
        session_uids=tuple(sessions.uids[:UIDS]), duration=round(number["last_ts"] - number["first_ts"], 6),
        rate=round(low / number["busy"], 3) if number["busy"] else None, in_progress=number["unfinished"] > 0,
        evidence=tuple(rows), links=told(ties)[:LINKS], attack=_attack(rows, ties),
        suppressed=suppressed(facts, policy), window=day_name(number["day"]), next_steps=next_steps(facts),
        extra={"direction": text["direction"], "ledger": _ledger(number, sessions), "siblings": int(number["siblings"] or 0)},
    )


def channel_id(host: str, remote: str, port: int, proto: str, window: str, direction: str) -> str:
    """Names that arrive late never change it. A pull is told apart from an upload between the same ends."""
    text = "|".join((host, remote, str(port), proto, window, *(["pull"] if direction == "pull" else [])))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def day_name(day: float) -> str:
    """A window as its UTC date."""
    return iso(float(day) * 86_400)[:10]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _row(c: Candidates, index: int) -> dict[str, Any]:
    number = {name: column[index] for name, column in c.columns.items()}
    return {
        "entity": number["entity"], "protocol": number["protocol"], "low": words.size(number["bytes_low"]), "high": words.size(number["bytes_high"]),
        "hosts": _count(number["hosts"]), "chunks": _count(number["chunks"]), "days": _count(number["days7"]),
        "minutes": _count(number["busy"] / 60), "collect_hours": number["collect_hours"],
    }


def _count(value: float) -> int:
    return 0 if value != value else int(value)


def _numbers(c: Candidates, index: int) -> dict[str, Any]:
    return {name: None if column[index] != column[index] else float(column[index]) for name, column in c.columns.items() if column.dtype != object}


def _texts(c: Candidates, index: int) -> dict[str, Any]:
    return {name: column[index] for name, column in c.columns.items() if column.dtype == object}


def _rounded(value: Any) -> float | None:
    number = float(value)
    return None if number != number else round(number, 4)


def _tool_source(text: Mapping[str, Any]) -> str | None:
    return {"network": "wire", "endpoint": "endpoint", "confirmed": "both", "contradicted": "both"}.get(text["verdict"])


def _protocol(text: Mapping[str, Any], low: int, back: int | None, ties: Sequence[Tie]) -> str:
    """The session's name for it; many small copies over SSH are a copy too, and WebDAV is told by the command that did it."""
    name = str(text["protocol"] or "Unknown")
    if name == "SSH" and low >= 65_536 and low >= 3 * (back or 0):
        return "SFTP/SCP"
    if name == "HTTPS" and any("webdav" in str(tie.link.event.get("command_line", "")).lower() for tie in ties if tie.link.match in SURE):
        return "WebDAV/HTTPS"
    return name


def _ledger(number: Mapping[str, Any], sessions: Sessions) -> dict[str, int]:
    """Bytes sent within the busiest hour of the channel, and to the entity this day, in 7 and 30 days."""
    hour = int(features.largest_sum(sessions.times, sessions.sizes, 3600.0))
    spans = {"1d": number.get("d1"), "7d": number.get("d7"), "30d": number.get("d30")}
    return {"1h": hour} | {name: int(value) for name, value in spans.items() if value is not None}


TECHNIQUES = {
    "regular_chunks": ("T1030", "DET0213"), "ssh_tunnel": ("T1572", "DET0512"), "clear_leg": ("T1048.003", "DET0512"),
    "file_sharing": ("T1567.002", "DET0512"), "collected": ("T1074", "DET0512"),
}


def _attack(rows: Sequence[Evidence], ties: Sequence[Tie]) -> tuple[dict[str, str], ...]:
    named = [("T1048.002", "DET0512"), *(TECHNIQUES[item.code] for item in rows if item.code in TECHNIQUES)]
    for tie in ties:
        told = str(tie.alert["technique"] or "") if tie.alert and tie.link.match in SURE else ""
        named += [(part.strip().upper(), "endpoint rule") for part in told.split(",") if part.strip()]
    unique: dict[str, str] = {}
    for technique, strategy in named:
        unique.setdefault(technique, strategy)
    return tuple({"technique": technique, "strategy": strategy} for technique, strategy in unique.items())


def _facts(number: Mapping[str, Any], text: Mapping[str, Any], ties: Sequence[Tie], sessions: Sessions, names: Mapping[str, Any],
           port: int, identity: str) -> dict[str, Any]:
    sure = [tie.link.event for tie in ties if tie.link.match in SURE]
    best = sure[0] if sure else {}
    return {
        "id": identity, "host": text["inside_h"], "host_name": names.get("host"), "remote": text["remote_h"], "port": port, "proto": text["proto"],
        "pull": text["direction"] == "pull", "names": [text["server_name"], text["entity"], names.get("remote")], "tool": text["tool_name"],
        "bytes": int(number["bytes_low"] or 0), "images": [event.get("image") for event in sure], "users": [event.get("user") for event in sure],
        "first_ts": number["first_ts"], "last_ts": number["last_ts"], "spans": list(zip(sessions.times, sessions.ends, strict=True)),
        "uids": list(sessions.uids), "source": sessions.source,
        "packets": CAPTURE.search(sessions.source) is not None, "image": best.get("image"), "pid": best.get("pid"), "hashes": best.get("hashes"),
    }
