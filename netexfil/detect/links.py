"""Links of candidate channels: which processes and endpoint alerts stand behind their sessions, and what the wire says of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from netexfil import tables
from netexfil.detect import tools
from netexfil.detect.question import Candidates
from netexfil.finding import Link

if TYPE_CHECKING:
    import duckdb

SURE = ("five_tuple", "community_id", "process")
RANK = {name: rank for rank, name in enumerate((*SURE, "remote_time", "host_time"))}
KEPT = 40  # links told for each channel, best first

# What an alert is worth by its severity, and by the rule's own confidence.
SEVERITY_POINTS = {"critical": 35, "high": 35, "medium": 25, "low": 12, "info": 0, "informational": 0}
RULE_FACTOR = {"high": 1.0, "medium": 1.0, "low": 0.6}
# Programs that run others' words: only what they were told to run says what they do.
INTERPRETER = re.compile(
    r"^(python[\d.]*w?|node|nodejs|perl|ruby|java|javaw|bash|dash|sh|zsh|cmd|powershell|pwsh|mono(-sgen)?|dotnet|osascript|php[\d.]*)$")
# What a process may be called when a library's banner is on the wire.
RUNTIME = {
    "paramiko": r"python[\d.]*w?", "AsyncSSH": r"python[\d.]*w?", "ssh2 (Node)": r"node(js)?|electron|code", "JSch": r"javaw?|.*",
    "SSH.NET": r".*", "libssh2": r".*", "libssh": r".*", "Go SSH": r".*", "dropbear": r".*", "Bitvise": r".*",
    "OpenSSH": r"ssh.*|scp|sftp|git.*|rsync|autossh|sshfs|restic|borg|code|.*ssh.*", "PuTTY": r"pscp|psftp|plink|putty\w*|.*putty.*|tortoise.*",
}
EVENT_COLUMNS = (
    "kind", "ts", "host", "user", "image", "pid", "guid", "hashes", "command_line", "original_file_name", "parent_image", "parent_pid",
    "parent_command_line", "target", "rule_name", "file", "line",
)


@dataclass(frozen=True, slots=True)
class Tie:
    """One link with its event and, where a rule selected the event, the alert {rule, title, severity, confidence, technique, tool, reason}.

    `banner`, `hassh` and `sent` are those of the linked session: wire and process are compared within one session, never across.
    """

    link: Link
    eid: int
    alert: Mapping[str, Any] | None = None
    banner: str | None = None
    hassh: str | None = None
    sent: int = 0


def fetch(con: duckdb.DuckDBPyConnection, cids: str = "cand") -> dict[int, list[Tie]]:
    """The best links of each channel in the table named, best first: by strength, bytes of the session, confidence, closeness.

    Half of the places are for links with an alert. The owner of the largest session owns the finding.
    """
    if not tables.some(con, "link"):
        return {}
    columns = ", ".join(f"e.{name} AS event_{name}" for name in EVENT_COLUMNS)
    rank = "CASE l.match " + " ".join(f"WHEN '{name}' THEN {rank}" for name, rank in RANK.items()) + " ELSE 9 END"
    order = f"{rank}, s.bytes_out_low DESC, l.confidence DESC, abs(coalesce(l.seconds_apart, 1e9)), l.eid, s.ts, s.uid"
    cursor = con.execute(f"""
        WITH tied AS (
            SELECT s.cid, s.uid, s.ssh_client, s.hassh, s.bytes_out_low, l.eid, l.match, l.confidence, l.candidates, l.seconds_apart, l.clock_offset,
                row_number() OVER (PARTITION BY s.cid, a.eid IS NOT NULL ORDER BY {order}) AS place, {rank} AS strength
            FROM link l JOIN session s USING (sid) LEFT JOIN (SELECT DISTINCT eid FROM alert) a ON a.eid = l.eid
            WHERE s.cid IN (SELECT cid FROM {cids})
            QUALIFY place <= {KEPT // 2})
        SELECT t.cid, t.uid, t.ssh_client, t.hassh, t.bytes_out_low, t.eid, t.match, t.confidence, t.candidates, t.seconds_apart, t.clock_offset,
        {columns},
            a.rule, a.title, a.severity, a.confidence AS rule_confidence, a.technique, a.tool, a.reason
        FROM tied t JOIN event e USING (eid) LEFT JOIN alert a USING (eid)
        ORDER BY t.cid, t.strength, t.bytes_out_low DESC, t.confidence DESC, abs(coalesce(t.seconds_apart, 1e9)), t.eid, a.rule, t.uid""")
    names = [column[0] for column in cursor.description]
    found: dict[int, list[Tie]] = {}
    for row in cursor.fetchall():
        record = dict(zip(names, row, strict=True))
        found.setdefault(record["cid"], []).append(_tie(record))
    return found


def _tie(row: Mapping[str, Any]) -> Tie:
    event = {name: row[f"event_{name}"] for name in EVENT_COLUMNS if row[f"event_{name}"] is not None}
    link = Link(
        row["match"], float(row["confidence"] or 0.0), int(row["candidates"] or 1), row["seconds_apart"], row["clock_offset"], event, row["uid"])
    alert = None
    if row["rule"] is not None:
        alert = {"rule": row["rule"], "title": row["title"], "severity": row["severity"], "confidence": row["rule_confidence"],
                 "technique": row["technique"], "tool": row["tool"], "reason": row["reason"]}
    return Tie(link, row["eid"], alert, row["ssh_client"], row["hassh"], int(row["bytes_out_low"] or 0))


def told(ties: Sequence[Tie]) -> tuple[Link, ...]:
    """Each link once, in the order given; the rules that selected its event stand in the event under `alerts`."""
    rules: dict[tuple[int, str | None], list[str]] = {}
    links: dict[tuple[int, str | None], Link] = {}
    for tie in ties:
        key = (tie.eid, tie.link.uid)
        links.setdefault(key, tie.link)
        if tie.alert is not None:
            rules.setdefault(key, []).append(f"{tie.alert['title']} ({tie.alert['rule']})")
    for key, titles in rules.items():
        link = links[key]
        event = {**link.event, "alerts": list(dict.fromkeys(titles))}
        links[key] = Link(link.match, link.confidence, link.candidates, link.seconds_apart, link.clock_offset, event, link.uid)
    return tuple(links.values())


def process_tool(event: Mapping[str, Any]) -> tuple[tools.Tool | None, int]:
    """The transfer tool that an event's process is, with its points: by image, original name, a transferring parent, or a script's words."""
    by_name = [tools.by_image(event.get(key)) for key in ("image", "original_file_name")]
    best = max((tool for tool in by_name if tool), key=lambda tool: tool.process, default=None)
    parent = tools.by_image(event.get("parent_image"))
    if (best is None or best.process == 0) and parent is not None and parent.name in ("scp/sftp", "rsync", "rclone", "WinSCP", "lftp"):
        best = parent
    if (best is None or best.process <= 15) and INTERPRETER.match(tools.base(event.get("image"))):
        told = tools.by_words(event.get("command_line"))
        if told is not None and told.process > 0:
            return told, min(told.process, 20)
    return (best, best.process) if best else (None, 0)


def verdict(banner_tool: tools.Tool | None, disguised: bool, ties: Sequence[Tie], pull: bool) -> tuple[str, str | None, str | None]:
    """(verdict, tool's name, image): whether wire and endpoint name the same program. Only sure links speak for the endpoint.

    Where there are sure links, the session that the first of them belongs to (the largest) is the one that is compared.
    """
    sure = [tie for tie in ties if tie.link.match in SURE and tie.link.event.get("image")]
    if sure:
        first = sure[0]
        sure = [tie for tie in sure if tie.link.uid == first.link.uid]
        banner_tool = tools.by_banner(first.banner)
        disguised = is_disguised(first.hassh, banner_tool)
    best, points = None, -1
    for tie in sure:
        tool, worth = process_tool(tie.link.event)
        if tool is not None and worth > points:
            best, points = tool, worth
    image = sure[0].link.event["image"] if sure else None
    if banner_tool is None or pull:
        return ("endpoint" if best else "none"), best.name if best else None, image
    if not sure:
        return "network", banner_tool.name, None
    agrees = _agrees(banner_tool, best, image) and not disguised
    return ("confirmed" if agrees else "contradicted"), (best or banner_tool).name if agrees else banner_tool.name, image


def is_disguised(hassh: str | None, banner_tool: tools.Tool | None) -> bool:
    """Whether Go's key exchange stands behind an OpenSSH banner."""
    return bool(hassh in tools.GO_HASSH and banner_tool and banner_tool.name == "OpenSSH")


def _agrees(wire: tools.Tool, endpoint: tools.Tool | None, image: str | None) -> bool:
    """Whether the file itself carries the name that the wire gave (the original name in its resources does not count: that is the disguise)."""
    by_file = tools.by_image(image)
    if by_file is not None and tools.family(by_file.name) == tools.family(wire.name):
        return True
    pattern = RUNTIME.get(wire.name)
    return bool(pattern and re.fullmatch(pattern, tools.base(image)))


def alert_points(tie: Tie) -> int:
    """What a linked alert is worth: severity, the rule's confidence, and for links below 0.9 the share of such links that are right."""
    if tie.alert is None:
        return 0
    base = SEVERITY_POINTS.get(str(tie.alert["severity"]).lower(), 12) * RULE_FACTOR.get(str(tie.alert["confidence"]).lower(), 1.0)
    return round(base if tie.link.match in SURE or tie.link.confidence >= 0.9 else base * tie.link.confidence)


def described(c: Candidates, found: Mapping[int, Sequence[Tie]]) -> Candidates:
    """The candidates with what their links say: image, process_points, verdict, tool_name, alert_points, alert_title, alert_rule."""
    size = c.size
    text = {name: np.full(size, None, object) for name in ("image", "process_name", "tool_name", "alert_title", "alert_source", "targets")}
    verdicts = np.full(size, "none", object)
    process, alert = np.zeros(size), np.zeros(size)
    siblings = c.num("siblings")
    banners, hassh, pulls = c.text("ssh_client"), c.text("hassh"), c.columns["direction"] == "pull"
    for index, cid in enumerate(c.columns["cid"].tolist()):
        ties = found.get(cid, ())
        banner = tools.by_banner(banners[index])
        disguised = is_disguised(hassh[index], banner)
        verdicts[index], text["tool_name"][index], text["image"][index] = verdict(banner, disguised, ties, bool(pulls[index]))
        if not ties:
            continue
        # a small session's process does not own a large session's bytes; of FTPS the small control session does
        least = 0.0 if siblings[index] > 0 else 0.1 * max(tie.sent for tie in ties)
        for tie in ties:
            if tie.link.match in SURE and not pulls[index] and tie.sent >= least:
                tool, points = process_tool(tie.link.event)
                if tool is not None and points > process[index]:
                    process[index], text["process_name"][index] = points, tie.link.event.get("image")
        files = [str(tie.link.event["target"]) for tie in ties
                 if tie.link.match in SURE and tie.link.event.get("kind") == "file_create" and tie.link.event.get("target")]
        text["targets"][index] = tuple(files) or None
        best = max(ties, key=lambda tie: (alert_points(tie), -tie.eid))
        if best.alert is not None:
            alert[index] = alert_points(best)
            text["alert_title"][index] = f"{best.alert['title'] or best.alert['rule']} ({best.alert['rule']})"
            text["alert_source"][index] = f"{best.link.event.get('file', 'endpoint')} {best.link.event.get('line', '')}".strip()
    more = {**text, "verdict": verdicts, "process_points": process, "alert_points": alert}
    return Candidates({**c.columns, **more}, size)
