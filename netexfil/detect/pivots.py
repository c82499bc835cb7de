"""Next steps of a finding: the exact commands that prove it, and queries for what the analyst has at hand, everything filled in and escaped."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from netexfil.finding import iso

PAD = 300.0  # seconds of time around the traffic in every query


def next_steps(facts: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    """`{title, language, text}` rows.

    Args:
        facts: id, host, host_name, remote, port (of a `pull` the host's own), proto, first_ts, last_ts, uids, source,
            packets (True for captures), image, pid, hashes.
    """
    steps = [_packets(facts)] if facts.get("packets") else [_logs(facts)] if facts.get("uids") else []
    span = iso(facts["first_ts"] - PAD), iso(facts["last_ts"] + PAD)
    steps += [_splunk(facts), _logscale(facts, *span), _kusto(facts, *span)]
    return tuple(step for step in steps if step)


def quoted(text: Any) -> str:
    """A string literal as SPL, LogScale and KQL read it: backslash and double quote escaped, no control characters."""
    clean = str(text)
    if not clean.isprintable():
        clean = "".join(ch if ch.isprintable() else " " for ch in clean)
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _step(title: str, language: str, text: str) -> dict[str, str]:
    return {"title": title, "language": language, "text": text}


def _packets(f: Mapping[str, Any]) -> dict[str, str]:
    return _step("The packets behind it", "sh",
        f"netexfil carve {shlex.quote(str(f['source']))} --findings findings.jsonl --finding {shlex.quote(str(f['id']))} "
                 f"-o {f['id']}.pcapng"
                 f"\ntshark -r {shlex.quote(str(f['source']))} -Y {shlex.quote(display_filter(f))}")


def display_filter(f: Mapping[str, Any]) -> str:
    """A Wireshark display filter for the channel."""
    host, remote = (f"{'ipv6' if ipaddress.ip_address(a).version == 6 else 'ip'}.addr == {a}" for a in (f["host"], f["remote"]))
    return f"{host} && {remote} && {f['proto']}.port == {f['port']}"


def _logs(f: Mapping[str, Any]) -> dict[str, str]:
    uids = "|".join(f["uids"][:20])
    source = shlex.quote(str(f["source"]))
    reader = "zcat -f" if str(f["source"]).endswith(".gz") else "zstdcat" if str(f["source"]).endswith(".zst") else "cat"
    return _step("The log lines behind it", "sh", f"{reader} {source} | grep -E {shlex.quote(uids)}")


def _splunk(f: Mapping[str, Any]) -> dict[str, str]:
    span = f"earliest={int(f['first_ts'] - PAD)} latest={int(f['last_ts'] + PAD)}"
    host = f"host={quoted(f['host_name'])} " if f.get("host_name") else ""
    far = "SourceIp" if f.get("pull") else "DestinationIp"
    target = f"{far}={quoted(f['remote'])} DestinationPort={f['port']}" if f.get("remote") else f"ProcessId={f.get('pid') or '*'}"
    return _step("Splunk: who connected, and what it started", "spl",
                 f"index=* {span} {host}(EventCode=3 {target}) OR (EventCode=1 {_process(f, 'Image', 'ProcessId')})"
                 f" | table _time host User Image ProcessId CommandLine ParentImage {far} DestinationPort | sort _time")


def _logscale(f: Mapping[str, Any], since: str, until: str) -> dict[str, str]:
    host = f"ComputerName={quoted(f['host_name'])} | " if f.get("host_name") else ""
    port = "LocalPort" if f.get("pull") else "RemotePort"
    target = f"RemoteAddressIP4={quoted(f['remote'])} {port}={f['port']}" if f.get("remote") else _process(f, "ImageFileName", "TargetProcessId")
    if f.get("remote") and ":" in str(f["remote"]):
        target = target.replace("RemoteAddressIP4", "RemoteAddressIP6")
    event = "ReceiveAccept" if f.get("pull") else "Connect"
    return _step("LogScale: who connected", "cql",
                 f"// {since} to {until}\n{host}#event_simpleName=/^Network{event}IP[46]$|^ProcessRollup2$/ | "
                 f"{target} | table([@timestamp, ComputerName, UserName, ImageFileName, CommandLine, RemoteAddressIP4, {port}])")


def _kusto(f: Mapping[str, Any], since: str, until: str) -> dict[str, str]:
    span = f"Timestamp between (datetime({since}) .. datetime({until}))"
    host = f" and DeviceName startswith {quoted(str(f['host_name']).split('.')[0])}" if f.get("host_name") else ""
    if f.get("remote"):
        port = "LocalPort" if f.get("pull") else "RemotePort"
        text = (f"DeviceNetworkEvents | where {span}{host} | where RemoteIP == {quoted(f['remote'])} and {port} == {f['port']}"
                " | project Timestamp, DeviceName, InitiatingProcessAccountName, InitiatingProcessFolderPath, InitiatingProcessCommandLine,"
                f" RemoteIP, {port}")
    else:
        text = f"DeviceProcessEvents | where {span}{host} | where ProcessId == {f.get('pid') or 0}"
    hashes = _hashes(f.get("hashes"))
    if hashes:
        text += f"\n// the same file elsewhere\nDeviceProcessEvents | where {' or '.join(f'{k.upper()} == {quoted(v)}' for k, v in hashes)}"
    return _step("Defender: who connected", "kql", text)


def _process(f: Mapping[str, Any], image: str, pid: str) -> str:
    if f.get("image"):
        name = str(f["image"]).replace("/", "\\").rsplit("\\", 1)[-1]
        return f"{image}={quoted('*' + name)}"
    return f"{pid}={f.get('pid') or '*'}"


def _hashes(text: Any) -> Sequence[tuple[str, str]]:
    pairs = [part.partition("=") for part in str(text or "").split(",")]
    named = [(key.strip().lower(), value.strip()) for key, _, value in pairs]
    return [(key, value) for key, value in named if key in ("sha256", "sha1", "md5") and value.isalnum()]
