"""Names of the ATT&CK techniques that findings carry, for formats that want names beside ids (ATT&CK v15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Technique(NamedTuple):
    id: str
    name: str
    tactic_id: str
    tactic: str
    sub_id: str | None = None
    sub_name: str | None = None


_EXFILTRATION, _COLLECTION, _C2, _EXECUTION = (
    ("TA0010", "Exfiltration"),
    ("TA0009", "Collection"),
    ("TA0011", "Command and Control"),
    ("TA0002", "Execution"),
)
# id -> (name, tactic)
_NAMES: Mapping[str, tuple[str, tuple[str, str]]] = {
    "T1048": ("Exfiltration Over Alternative Protocol", _EXFILTRATION),
    "T1048.001": ("Exfiltration Over Symmetric Encrypted Non-C2 Protocol", _EXFILTRATION),
    "T1048.002": ("Exfiltration Over Asymmetric Encrypted Non-C2 Protocol", _EXFILTRATION),
    "T1048.003": ("Exfiltration Over Unencrypted Non-C2 Protocol", _EXFILTRATION),
    "T1041": ("Exfiltration Over C2 Channel", _EXFILTRATION),
    "T1030": ("Data Transfer Size Limits", _EXFILTRATION),
    "T1029": ("Scheduled Transfer", _EXFILTRATION),
    "T1020": ("Automated Exfiltration", _EXFILTRATION),
    "T1567": ("Exfiltration Over Web Service", _EXFILTRATION),
    "T1567.001": ("Exfiltration to Code Repository", _EXFILTRATION),
    "T1567.002": ("Exfiltration to Cloud Storage", _EXFILTRATION),
    "T1567.003": ("Exfiltration to Text Storage Sites", _EXFILTRATION),
    "T1567.004": ("Exfiltration Over Webhook", _EXFILTRATION),
    "T1537": ("Transfer Data to Cloud Account", _EXFILTRATION),
    "T1074": ("Data Staged", _COLLECTION),
    "T1560": ("Archive Collected Data", _COLLECTION),
    "T1572": ("Protocol Tunneling", _C2),
    "T1571": ("Non-Standard Port", _C2),
    "T1059": ("Command and Scripting Interpreter", _EXECUTION),
    "T1059.001": ("PowerShell", _EXECUTION),
}


def named(identifier: str) -> Technique | None:
    """The technique of `T1048.002` with its parent; an unknown id keeps the id as its name, no id is None."""
    if not identifier:
        return None
    parent = identifier.partition(".")[0]
    name, tactic = _NAMES.get(parent, (parent, _EXFILTRATION))
    if parent == identifier:
        return Technique(parent, name, *tactic)
    return Technique(parent, name, *tactic, identifier, _NAMES.get(identifier, (identifier, tactic))[0])


def url(identifier: str) -> str:
    return f"https://attack.mitre.org/techniques/{identifier.replace('.', '/')}/"


def tactic_url(identifier: str) -> str:
    return f"https://attack.mitre.org/tactics/{identifier}/"
