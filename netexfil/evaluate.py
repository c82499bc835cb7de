"""Our own evaluation on labelled cases (`*.truth.json` beside captures or logs): what is found, what is cried over, in which family."""

from __future__ import annotations

import ipaddress
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netexfil import pipeline, policy, tables
from netexfil.errors import Unreadable
from netexfil.finding import Finding

UPLOADS = frozenset({"exfil", "tunnel", "exfil-cleartext-leg", "exfil-loopback", "pull"})
# Cases whose packets alone need not tell: what is sent inside a tunnel, in clear, or over the loopback shows with endpoint events.
NEEDS_EVENTS = frozenset({"tunnel", "exfil-cleartext-leg", "exfil-loopback"})
SAID = ("alert", "suppressed", "below the line", "nothing")


@dataclass(frozen=True, slots=True)
class Group:
    """The flows of one step and label of a case: one thing to find, or to leave alone."""

    case: str
    family: str
    label: str
    pairs: frozenset[tuple[str, str]]
    pids: frozenset[int]
    sent: int
    events: bool
    said: str


@dataclass
class Score:
    """Everything counted; the tables are made of it."""

    groups: list[Group] = field(default_factory=list)
    cases: int = 0
    sessions: int = 0
    alerts: int = 0
    stray: list[str] = field(default_factory=list)

    def share(self, groups: Iterable[Group]) -> tuple[int, int]:
        held = list(groups)
        return sum(group.said == "alert" for group in held), len(held)

    @property
    def recall(self) -> tuple[int, int]:
        return self.share(group for group in self.groups if wanted(group))

    @property
    def precision(self) -> float:
        return (self.alerts - len(self.stray)) / self.alerts if self.alerts else 1.0


def wanted(group: Group) -> bool:
    """Whether this group should be an alert under the conditions of its run."""
    return group.label in UPLOADS and (group.events or group.label not in NEEDS_EVENTS)


def cases(folder: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """Truth documents below a folder, with the place of their capture (or its folder of logs).

    Raises:
        Unreadable: where there is none.
    """
    found = False
    for path in sorted(folder.rglob("*.truth.json")):
        truth = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(truth, dict) and "flows" in truth and "capture" in truth:
            found = True
            yield truth, path.parent / truth["capture"]["file"]
    if not found:
        raise Unreadable(f"{folder}: no *.truth.json with flows and a capture")


def evaluate(folder: Path, volume: float, logs: Path | None = None) -> Score:
    """Analyse every case twice, with its endpoint events and without, and compare with its truth.

    Args:
        volume: `outbound_volume` in bytes; the lab's transfers are small (0.4 to 5 MB).
        logs: a folder that holds, under the capture's name, the Zeek logs to read instead.
    """
    score = Score()
    for truth, capture in cases(folder):
        source = logs / capture.name if logs else capture
        if not source.exists():
            continue
        score.cases += 1
        events = capture.parent / (truth.get("endpoint") or {}).get("file", "none")
        for joined in ([], [str(events)]) if events.exists() else ([],):
            _case(score, truth, source, joined, volume)
    return score


def site(truth: Mapping[str, Any], volume: float) -> policy.Policy:
    """The policy that a case's truth describes: its inside networks, the sensor's NAT address, its allowed destinations."""
    nat = truth["capture"].get("nat")
    inside = [*truth["internal_networks"], *([str(ipaddress.ip_network(nat))] if nat else [])]
    allow = [{"destination": address, "reason": "authorised in the case"} for address in truth.get("allow_listed_destinations", [])]
    return policy.build({"networks": {"inside": inside}, "thresholds": {"outbound_volume": int(volume)}, "allow": allow})


def _case(score: Score, truth: Mapping[str, Any], source: Path, joined: Sequence[str], volume: float) -> None:
    con = tables.connect()
    result = pipeline.analyze(con, pipeline.Job(sources=(str(source),), join=tuple(joined), policy=site(truth, volume)))
    row = con.execute("SELECT count(*) FROM session").fetchone()
    score.sessions += int(row[0]) if row else 0
    groups: dict[tuple[Any, str], list[Mapping[str, Any]]] = {}
    for flow in truth["flows"]:
        groups.setdefault((flow["step"], flow["label"]), []).append(flow)
    held = [_group(truth, label, flows, bool(joined), result.findings) for (_, label), flows in groups.items()]
    bad = {remote for group in held if group.label in UPLOADS for _, remote in group.pairs}
    score.groups += [group for group in held if group.label in UPLOADS or group.label == "authorised" or not {r for _, r in group.pairs} & bad]
    owners = {process["pid"] for process in truth.get("processes", []) for flow in truth["flows"]
              if flow["label"] in UPLOADS and flow["step"] == process["step"]}
    for finding in result.findings:
        if finding.is_alert:
            score.alerts += 1
            ips = set((finding.destination or {}).get("ips") or [])
            pids = {int(link.event["pid"]) for link in finding.links if link.event.get("pid") is not None}
            if not (ips & bad if ips else pids & owners):
                score.stray.append(f"{truth['id']}: {', '.join(ips) or finding.host.get('name')} {finding.score}")


def _group(truth: Mapping[str, Any], label: str, flows: Sequence[Mapping[str, Any]], events: bool, findings: Sequence[Finding]) -> Group:
    pairs = frozenset((_host(flow.get("local_in_published_capture") or flow["local"]), _host(flow["remote"])) for flow in flows)
    remotes, pids = {remote for _, remote in pairs}, frozenset(flow["pid"] for flow in flows if flow.get("pid"))
    about = [f for f in findings if remotes & set((f.destination or {}).get("ips") or [])]
    sent = sum(flow["on_wire_at_host"]["sent"]["unique_payload"] for flow in flows if flow.get("on_wire_at_host"))
    said = next((word for word, holds in zip(SAID, (
        any(f.is_alert for f in about), any(f.suppressed for f in about), bool(about), True), strict=True) if holds), "nothing")
    return Group(truth["id"], truth["family"], label, pairs, pids, sent, events, said)


def _host(text: str) -> str:
    return text.rpartition(":")[0].strip("[]")


def report(score: Score, volume: float) -> str:
    """The figures as Markdown: totals, a confusion table, one row a family."""
    found, all_ = score.recall
    stray = len(score.stray)
    lines = [
        f"{score.cases} cases, analysed with and without endpoint events where there are any; `outbound_volume` {int(volume):,} bytes.", "",
        "| measure | figure |", "|---|---|", f"| uploads that are alerts (recall) | {found} of {all_} = {found / max(all_, 1):.1%} |",
        f"| alerts that are uploads (precision) | {score.alerts - stray} of {score.alerts} = {score.precision:.1%} |",
        f"| false alerts for each 10,000 sessions | {stray / max(score.sessions, 1) * 10_000:.1f} ({stray} in {score.sessions:,}) |", "",
        "| truth | " + " | ".join(SAID) + " |", "|---|" + "---|" * len(SAID),
    ]
    for name, labels in (("upload", UPLOADS), ("authorised", {"authorised"}), ("benign", {"benign"})):
        counts = Counter(group.said for group in score.groups if group.label in labels)
        lines.append(f"| {name} | " + " | ".join(str(counts[word]) for word in SAID) + " |")
    lines += ["", "| family | uploads found | benign or authorised without alert |", "|---|---|---|"]
    for family in sorted({group.family for group in score.groups}):
        held = [group for group in score.groups if group.family == family]
        good, total = score.share(group for group in held if wanted(group))
        quiet = [group for group in held if group.label not in UPLOADS]
        lines.append(f"| {family} | {f'{good} of {total}' if total else '-'} | "
                     f"{_quiet(quiet)} |")
    missed = [f"- missed: {group.case} ({group.label}, {'with' if group.events else 'without'} events, {group.sent:,} bytes)"
              for group in score.groups if wanted(group) and group.said != "alert"]
    return "\n".join([*lines, "", *missed, *(f"- false: {text}" for text in score.stray)]).rstrip() + "\n"


def _quiet(groups: Sequence[Group]) -> str:
    return f"{sum(group.said != 'alert' for group in groups)} of {len(groups)}" if groups else "-"
