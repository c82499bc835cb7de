"""Thresholds from the site's own records, so that about so many alerts a day remain."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from netexfil.errors import Note
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb

LOWEST, HIGHEST = 65_536.0, 1e13  # bytes
STEPS = 12  # halvings of the range, on a logarithmic scale: a factor of about 1.005 remains


def budget(con: duckdb.DuckDBPyConnection, policy: Policy, alerts_per_day: float) -> tuple[Policy, Note]:
    """The lowest `outbound_volume` that leaves at most so many alerts a day, and a remark that says it.

    Needs `session`, `channel` and `fleet`; counts alerts that no allow entry hides. Alerts by other reasons (tools, mismatches,
    endpoint) may remain above the budget at any scale: the remark then says so.
    """
    from netexfil import detect

    row = con.execute("SELECT count(DISTINCT day) FROM channel").fetchone()
    days = max(int(row[0]) if row else 0, 1)

    def alerts(volume: float) -> float:
        changed = replace(policy, thresholds={**policy.thresholds, "outbound_volume": float(round(volume))})
        return sum(finding.is_alert for finding in detect.score(con, changed)) / days

    low, high = np.log(LOWEST), np.log(HIGHEST)
    if alerts(LOWEST) <= alerts_per_day:
        chosen = LOWEST
    else:
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (low, middle) if alerts(float(np.exp(middle))) <= alerts_per_day else (middle, high)
        chosen = float(np.exp(high))
    remain = alerts(chosen)
    text = f"outbound_volume = {round(chosen)} leaves {remain:.2g} alerts a day over {days} days of records (budget {alerts_per_day:g})"
    if remain > alerts_per_day:
        text += "; the rest does not depend on volume: allow entries are the way"
    return replace(policy, thresholds={**policy.thresholds, "outbound_volume": float(round(chosen))}), Note("budget", "budget", text, loss=False)
