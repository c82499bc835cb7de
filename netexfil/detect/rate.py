"""How fast it left.

Asks: was a high rate out sustained for at least ten seconds?
Why: bulk copies run at the line's speed for as long as they last; published exfiltration ran at 2.4 MB/s for hours.
Fooled by: slow uplinks, throttled tools (`rclone --bwlimit`), backup jobs.
"""

from __future__ import annotations

import numpy as np

from netexfil import features
from netexfil.detect.question import Candidates, Code, Reason, held
from netexfil.policy import Policy

CODES = (
    Code("rate", "rate", "bytes/s", "{value} on average while sending; the line is {threshold}", "Was it sent fast for long?",
        "2.4 MB/s for 4.5 hours"),
)


def ask(c: Candidates, policy: Policy) -> list[Reason]:
    line = policy.threshold("rate")
    value = features.rate(c.num("bytes_low"), c.num("busy"))
    mask = (c.num("busy") >= 10) & (np.nan_to_num(value) >= line)
    return [held("rate", mask, np.nan_to_num(value).round(1), line, 3)]
