"""Made-up uploads for a drill: capture, Zeek logs, endpoint events and the truth about them. Nothing is sent on a network.

The same name, seed and options give the same bytes. The truth files are of the form that `netexfil evaluate` reads.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netexfil.errors import NetexfilError
from netexfil.simulate import hello, telemetry, wire, zeek
from netexfil.simulate.scenario import Scenario, Step
from netexfil.simulate.scenarios import CHROME, SCENARIOS
from netexfil.simulate.talk import SERVICES, Act
from netexfil.simulate.telemetry import HOST, Process

EPOCH = 1_795_305_600.0  # 2026-11-22 00:00 UTC; any fixed midnight will do
NAT = "203.0.113.201"
RESOLVER = ("203.0.113.53", 53)
INSIDE = ["10.20.0.0/16", "2001:db8:30::/64"]


__all__ = ["SCENARIOS", "Options", "simulate"]


@dataclass(frozen=True, slots=True)
class Options:
    """size: bytes of each upload; skew: seconds that the endpoint clock is ahead; nat: the sensor stands outside a router; loss: share of
    data segments sent twice; rtt in seconds."""

    seed: int = 1
    size: int = 1_200_000
    skew: float = 0.0
    nat: bool = False
    loss: float = 0.0
    rtt: float = 0.02


@dataclass(slots=True)
class _Flow:
    """A conversation with what the truth says of it."""

    conversation: wire.Conversation
    process: Process
    label: str
    protocol: str
    inbound: bool


def simulate(names: Sequence[str], folder: Path, options: Options) -> list[Path]:
    """Write NAME.pcap, NAME.endpoint.jsonl, NAME.truth.json and zeek/NAME.pcap/*.log for each scenario; the captures' paths.

    Raises:
        NetexfilError: an unknown scenario.
    """
    chosen = list(SCENARIOS) if "all" in names else list(dict.fromkeys(names))
    if unknown := [name for name in chosen if name not in SCENARIOS]:
        raise NetexfilError(f"no scenario {', '.join(unknown)}; there are: {', '.join(SCENARIOS)}")
    folder.mkdir(parents=True, exist_ok=True)
    return [_one(name, SCENARIOS[name], folder, options) for name in chosen]


def _one(name: str, scenario: Scenario, folder: Path, options: Options) -> Path:
    rng = random.Random(f"{options.seed}/{name}")
    if scenario.loopback:
        options = replace(options, nat=False)
    log = telemetry.Log(options.skew)
    flows: list[_Flow] = []
    now = EPOCH + rng.uniform(0, 36_000)
    for number, step in enumerate(scenario.steps):
        now = _step(name, scenario, number, step, flows, log, now, rng, options) + 2.0
    if not scenario.loopback:
        _background(name, len(scenario.steps), scenario, flows, log, now, rng, options)
    seen = [_seen(flow.conversation, options.nat, flow.inbound) for flow in flows]
    _cut(flows, scenario.cut)
    capture = folder / f"{name}.pcap"
    frames = wire.merged([flow.conversation for flow in flows], seen, scenario.hidden)
    wire.write_pcap(capture, [frame for frame in frames for _ in range(1 + scenario.twice)])
    events = list(log.events())
    (folder / f"{name}.endpoint.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    zeek.write(folder / "zeek" / capture.name, [flow.conversation for flow in flows], seen)
    truth = _truth(name, scenario, options, flows, seen, capture, len(frames), len(events))
    (folder / f"{name}.truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    return capture


def _step(
    name: str, scenario: Scenario, number: int, step: Step, flows: list[_Flow], log: telemetry.Log, now: float, rng: random.Random, options: Options
) -> float:
    """One program and its sessions; the time after it."""
    pid = 4000 + 8 * rng.randrange(100, 2000) + number
    process = Process(pid, pid - 1200, step.program, now, now, number)
    telemetry.started(log, name, process)
    if scenario.script and not number:
        telemetry.scripted(log, process, scenario.script)
    if scenario.written and not number:
        telemetry.wrote(log, name, process, scenario.written)
    now += 0.1
    if step.act.name:
        now = _lookup(scenario.local, step, process, flows, rng, now)
        telemetry.asked(log, name, process, now, step.act.name, step.remote)
    for _ in range(step.sessions):
        act = replace(step.act, upload=round(options.size * step.upload / step.sessions), download=round(options.size * step.download))
        now = _talk(name, scenario, step, act, process, flows, log, now, rng, options) + step.gap
    return now


def _talk(
    name: str,
    scenario: Scenario,
    step: Step,
    act: Act,
    process: Process,
    flows: list[_Flow],
    log: telemetry.Log,
    now: float,
    rng: random.Random,
    options: Options,
) -> float:
    """One session, with its data sessions for FTPS."""
    main = replace(act, upload=0) if step.data_sessions else act
    c = _session(scenario.local, step, step.port, now, rng, options)
    flows.append(_Flow(c, process, step.label, step.protocol, step.inbound))
    telemetry.connected(log, name, process, now + 0.001, step.proto, (c.orig, c.resp), not step.inbound)
    SERVICES[step.service](c, main)
    for _ in range(step.data_sessions):
        data = _session(scenario.local, step, rng.randrange(40_000, 48_000), c.now + 0.01, rng, options)
        flows.append(_Flow(data, process, step.label, step.protocol, step.inbound))
        telemetry.connected(log, name, process, data.now + 0.001, "tcp", (data.orig, data.resp), True)
        SERVICES["tls"](data, replace(act, upload=act.upload // step.data_sessions))
        c.now = data.now
    if step.data_sessions:
        c.close()
    return c.now


def _session(local: str, step: Step, port: int, now: float, rng: random.Random, options: Options) -> wire.Conversation:
    path = wire.Path_(rtt=0.0002 if local == "127.0.0.1" else options.rtt, loss=options.loss)
    mine, theirs = (local, rng.randrange(49_152, 65_000)), (step.remote, port)
    if step.inbound:
        mine, theirs = (local, port), (step.remote, rng.randrange(49_152, 65_000))
    return wire.Conversation(rng, step.proto, *((theirs, mine) if step.inbound else (mine, theirs)), now, path)


def _lookup(local: str, step: Step, process: Process, flows: list[_Flow], rng: random.Random, now: float) -> float:
    """The name is asked before it is used."""
    resolver = RESOLVER if ":" not in local else ("2001:db8:40::53", 53)
    c = wire.Conversation(rng, "udp", (local, rng.randrange(49_152, 65_000)), resolver, now, wire.Path_())
    number = rng.randrange(65_536)
    c.datagram(True, hello.dns(rng, step.act.name or "", None, number))
    c.now += 0.003
    c.datagram(False, hello.dns(rng, step.act.name or "", step.remote, number))
    c.facts |= {"service": "dns", "query": step.act.name or "", "answer": step.remote}
    flows.append(_Flow(c, process, "benign", "dns", False))
    return c.now + 0.002


def _background(
    name: str, number: int, scenario: Scenario, flows: list[_Flow], log: telemetry.Log, now: float, rng: random.Random, options: Options
) -> None:
    """A browser that downloads, so that there is something to leave alone."""
    act = Act(client="browser", name="www.example.com", alpn=("h2", "http/1.1"))
    remote = "198.51.100.200" if ":" not in scenario.local else "2001:db8:99::200"
    step = Step("benign", "tls", remote, 443, "https", CHROME, act, upload=0.0, download=0.3)
    _step(name, replace(scenario, script="", written=""), number, step, flows, log, now, rng, options)


def _seen(c: wire.Conversation, nat: bool, inbound: bool) -> tuple[wire.End, wire.End]:
    """The ends as the sensor sees them: outside a router the inside address and port are others."""
    if not nat or inbound or ":" in c.orig[0]:
        return c.orig, c.resp
    return (NAT, 20_000 + c.orig[1] // 2), c.resp


def _cut(flows: Sequence[_Flow], count: int) -> None:
    """Drop the first packets of each upload, as a sensor that joins late."""
    for flow in flows:
        if count and flow.label != "benign":
            ordered = flow.conversation.ordered()
            flow.conversation.segments = ordered[min(count, len(ordered) // 2) :]


def _truth(
    name: str,
    scenario: Scenario,
    options: Options,
    flows: Sequence[_Flow],
    seen: Sequence[tuple[wire.End, wire.End]],
    capture: Path,
    packets: int,
    events: int,
) -> dict[str, Any]:
    times = [s.time for flow in flows for s in flow.conversation.segments]
    data = capture.read_bytes()
    return {
        "id": name,
        "family": scenario.family,
        "title": scenario.title,
        "seed": options.seed,
        "recorded_by": "netexfil simulate (made up, nothing was sent)",
        "capture": {
            "file": capture.name,
            "tap": "wan" if options.nat else "client",
            "encapsulation": "ether",
            "packets": packets * (1 + scenario.twice),
            "start_epoch": min(times),
            "end_epoch": max(times),
            "snaplen": None,
            "nanosecond": False,
            "offload_super_packets": False,
            "nat": NAT if options.nat else False,
            "vlan": None,
            "one_sided": scenario.hidden,
            "first_packets_cut_per_conversation": scenario.cut,
            "timestamps_rewritten": False,
            "added_rtt_ms": options.rtt * 1000,
            "loss": options.loss,
            "duplicates": "every packet twice" if scenario.twice else None,
            "sha256": hashlib.sha256(data).hexdigest(),
        },
        "hosts": [{"name": HOST, "ip": scenario.local}],
        "allow_listed_destinations": list(scenario.allow),
        "internal_networks": INSIDE,
        "steps": [_step_truth(number, step, options) for number, step in enumerate(scenario.steps)],
        "processes": _processes(flows),
        "flows": [_flow_truth(flow, ends, scenario) for flow, ends in zip(flows, seen, strict=True)],
        "endpoint": {
            "file": f"{name}.endpoint.jsonl",
            "skew_seconds": options.skew,
            "convention": "endpoint time = true (capture) time + skew_seconds",
            "style": "windows" if "\\" in scenario.steps[0].program.image else "linux",
            "events": events,
            "decoy_lines": [],
        },
    }


def _step_truth(number: int, step: Step, options: Options) -> dict[str, Any]:
    expected = {"benign": "nothing", "authorised": "suppressed by the allow entry"}.get(
        step.label, "alert: upload over an encrypted non-C2 protocol (T1048.002)"
    )
    return {
        "step": number,
        "label": step.label,
        "expected_detection": expected,
        "expected_protocol": step.protocol,
        "command_line": step.program.command_line,
        "user": step.program.user,
        "host": HOST,
        "payload_bytes": round(options.size * (step.upload or step.download)),
    }


def _processes(flows: Sequence[_Flow]) -> list[dict[str, Any]]:
    rows: dict[int, dict[str, Any]] = {}
    for process in (flow.process for flow in flows):
        program = process.program
        parent: dict[str, Any] = {"pid": process.ppid, "ppid": None, "image": program.parent, "command_line": program.parent_command_line}
        child: dict[str, Any] = {"pid": process.pid, "ppid": process.ppid, "image": program.image, "command_line": program.command_line}
        for row in (parent, child):
            rows.setdefault(row["pid"], row | {"user": program.user, "host": HOST, "step": process.step, "start_epoch": process.start})
    return list(rows.values())


def _flow_truth(flow: _Flow, ends: tuple[wire.End, wire.End], scenario: Scenario) -> dict[str, Any]:
    c = flow.conversation
    six = ":" in c.orig[0]
    ours = not flow.inbound  # the originator is the inside host
    sent, received = (wire.tally([s for s in c.segments if s.out is side], c.proto, six) for side in (ours, not ours))
    held = {"sent": sent, "received": received, "syn_seen": c.proto == "tcp" and any(s.flags & wire.SYN for s in c.segments)}
    local, remote = (c.orig, c.resp) if ours else (c.resp, c.orig)
    row = {
        "proto": c.proto,
        "local": _text(local),
        "remote": _text(remote),
        "initiator": "local" if ours else "remote",
        "start_epoch": c.start,
        "end_epoch": c.now,
        "pid": flow.process.pid,
        "image": flow.process.program.image,
        "step": flow.process.step,
        "expected_protocol": flow.protocol,
        "label": flow.label,
        "on_wire_at_host": {"sent": sent, "received": received, "fin": any(s.flags & wire.FIN for s in c.segments), "rst": False},
        "in_published_capture": held,
    }
    if ends[0] != c.orig:
        row["local_in_published_capture"] = _text(ends[0])
    if scenario.hidden:
        row["in_published_capture"] = held | {"received" if scenario.hidden == "in" else "sent": dict.fromkeys(sent, 0)}
    return row


def _text(end: wire.End) -> str:
    return f"[{end[0]}]:{end[1]}" if ":" in end[0] else f"{end[0]}:{end[1]}"
