"""The `netexfil` rules as Sigma documents; the files in endpoint/sigma are written from here (`python -m netexfil.endpoint.rules.sigma_files`)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netexfil.endpoint.rules.own import TESTS, rules

_NAMESPACE = uuid.UUID("8d2a5a0e-3f55-4a7a-9a51-6f1e7f0c5b1d")

_SOURCES: Mapping[str, str] = {
    "process_start": "process_creation", "script": "ps_script", "file_create": "file_event", "dns": "dns_query", "net_conn": "network_connection",
}
_NAMES = {"program": "Image", "not_program": "Image", "parent": "ParentImage", "not_parent": "ParentImage", "original": "OriginalFileName"}
_LEVEL = {"info": "informational"}


def sigma(rule: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """One of our rules, for one kind of event, as a Sigma document."""
    words = {"process_start": "CommandLine", "script": "ScriptBlockText"}.get(kind, "CommandLine")
    name = {"dns": "QueryName", "net_conn": "DestinationHostname"}.get(kind, "QueryName")
    columns = {
        "words": words, "not_words": words, "parent_words": "ParentCommandLine", "not_parent_words": "ParentCommandLine",
        "target": "TargetFilename", "name": name,
    }
    detection: dict[str, Any] = {}
    alternatives = []
    for number, when in enumerate(rule["when"], 1):
        positive: dict[str, Any] = {}
        negative: list[str] = []
        for key, value in when.items():
            if not value:
                continue
            _, form, wanted = TESTS[key]
            entry = _entry(key, form, value, columns, wanted)
            if wanted:
                positive |= entry
            else:
                label = f"not_{number}_{len(negative) + 1}"
                detection[label] = entry
                negative.append(f"not {label}")
        if positive:
            detection[f"selection_{number}"] = positive
        alternatives.append(" and ".join(([f"selection_{number}"] if positive else []) + negative))
    condition = " or ".join(f"({part})" for part in alternatives) if len(alternatives) > 1 else alternatives[0]
    techniques = dict.fromkeys(["attack.t1048.002", *(f"attack.{technique.lower()}" for technique in rule["technique"])])
    logsource = {"category": _SOURCES[kind]} | ({"product": "windows"} if kind == "script" else {})
    return {
        "title": rule["title"] if len(rule["kinds"]) == 1 else f"{rule['title']} ({_SOURCES[kind]})",
        "id": str(uuid.uuid5(_NAMESPACE, f"{rule['name']}/{kind}")), "status": "experimental",
        "description": rule["why"][0].upper() + rule["why"][1:] + ".",
        "references": ["https://attack.mitre.org/techniques/T1048/002/"], "author": "netexfil", "date": "2026-11-22",
        "tags": ["attack.exfiltration", *techniques],
        "logsource": logsource, "detection": detection | {"condition": condition},
        "falsepositives": list(rule["false_positives"]), "level": _LEVEL.get(rule["severity"], rule["severity"]),
    }


def file_name(rule: Mapping[str, Any], kind: str) -> str:
    """The name of the Sigma file of one rule and kind, in Sigma's way of naming."""
    return f"netexfil_{rule['name']}{'' if len(rule['kinds']) == 1 else '_' + _SOURCES[kind]}.yml"


def document(rule: Mapping[str, Any], kind: str) -> str:
    """The Sigma file (YAML; needs the extra `sigma`)."""
    import yaml

    return str(yaml.safe_dump(sigma(rule, kind), sort_keys=False, allow_unicode=True, width=1000))


def _entry(key: str, form: str, value: Sequence[Any], columns: Mapping[str, str], wanted: bool) -> dict[str, Any]:
    if form == "numbers":
        return {"DestinationPort": list(value)}
    if form == "names":
        field = _NAMES[key]
        if key == "original":
            return {field: [spelled for name in value for spelled in (name, f"{name}.exe")]}
        return {f"{field}|endswith": [spelled for name in value for spelled in (f"\\{name}.exe", f"\\{name}.com", f"\\{name}", f"/{name}")]}
    field = columns[key]
    return {f"{field}|re|all" if wanted and len(value) > 1 else f"{field}|re": list(value) if len(value) > 1 else value[0]}


def write(folder: Path) -> None:
    """Write every rule's file, and remove what no rule makes any more."""
    wanted = {file_name(rule, kind): document(rule, kind) for rule in rules() for kind in rule["kinds"]}
    for old in folder.glob("*.yml"):
        if old.name not in wanted:
            old.unlink()
    for name, body in wanted.items():
        (folder / name).write_text(body, "utf-8")


if __name__ == "__main__":
    write(Path(__file__).parents[1] / "sigma")
