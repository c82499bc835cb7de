"""Collected inside before it was sent outside?

Asks: did the host pull much from inside servers (file shares, databases, other hosts) in the hours before the upload?
Why: thieves gather before they send; Vectra and Darktrace sell this sequence, and volume ratio and lag tell it from a day's work.
The window is one UTC day, as for everything else. Fooled by: hosts that always mirror inside data (prevalence and history speak against), sensors
that do not see inside traffic (nothing is said then).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netexfil.detect.question import Candidates, Code, Reason, held
from netexfil.policy import Policy

CODES = (
    Code("collected", "collect", "bytes", "{value} were pulled from inside hosts before, that day",
         "Did the host collect data inside before it sent?", "300 GB over SMB, then 230 GB to port 5000"),
    Code("staged", "collect", "file", "the sending process also wrote {value}", "Did the sending process write an archive, database or document?",
         "C:\\Temp\\finance.7z"),
    Code("sensitive", "collect", "file", "the sending process touched {value}, which the policy calls sensitive",
        "Does a file name hold a sensitive word?",
         "payroll-2026.xlsx"),
)
# SMB, NFS, databases, web, SSH, RDP, AFP, iSCSI, WinRM: where files and tables are read from.
PORTS = (445, 139, 2049, 111, 1433, 1521, 3306, 5432, 27017, 9200, 80, 443, 8080, 22, 21, 873, 548, 3260, 5985, 5986, 3389)


def ask(c: Candidates, policy: Policy) -> list[Reason]:
    pulled, low = c.num("collected"), c.num("bytes_low")
    mask = (low >= policy.threshold("outbound_volume")) & (pulled >= policy.threshold("collect_ratio") * low) & (c.columns["direction"] == "out")
    return [
        held("collected", mask, pulled, None, 12, "sessions inside"),
        *(_files(c, code, words, points) for code, words, points in (
            ("staged", [f".{ending.lstrip('.')}" for ending in policy.file_access_extension_list], 5),
            ("sensitive", policy.file_sensitivity_context, 10))),
    ]


def _files(c: Candidates, code: str, words: Sequence[str], points: int) -> Reason:
    """The first file of the sending process that ends in (endings) or holds (words) one of these."""
    shown = np.full(c.size, None, object)
    for index, targets in enumerate(c.text("targets")):
        for target in targets or ():
            name = target.lower()
            if any(name.endswith(word.lower()) if word.startswith(".") else word.lower() in name for word in words):
                shown[index] = target
                break
    return held(code, np.array([name is not None for name in shown], bool), shown, None, points, "endpoint")
