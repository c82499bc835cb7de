"""Thresholds from the site's own records, so that about so many alerts a day remain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    row = con.execute("SELECT count(DISTINCT day) FROM channel").fetchone()
    return search(policy, alerts_per_day, int(row[0]) if row else 0, lambda volumes: count(con, policy, volumes))


def count(con: duckdb.DuckDBPyConnection, policy: Policy, volumes: Sequence[float]) -> list[int]:
    """Alerts at each of these volumes; counts of disjoint hosts may be added up."""
    from netexfil import detect

    return [sum(finding.is_alert for finding in detect.score(con, at_volume(policy, volume))) for volume in volumes]


def at_volume(policy: Policy, volume: float) -> Policy:
    return replace(policy, thresholds={**policy.thresholds, "outbound_volume": float(round(volume))})


def search(
    policy: Policy, alerts_per_day: float, days: int, counts: Callable[[Sequence[float]], Sequence[int]], ahead: int = 1
) -> tuple[Policy, Note]:
    """The search of `budget` with the counting left to `counts`, which is asked for what the next `ahead` halvings can want at once."""
    days = max(days, 1)
    known: dict[float, float] = {}

    def alerts(volume: float, others: Sequence[float] = ()) -> float:
        if volume not in known:
            asked = list(dict.fromkeys([volume, *others]))
            known.update(zip(asked, (found / days for found in counts(asked)), strict=True))
        return known[volume]

    low, high = float(np.log(LOWEST)), float(np.log(HIGHEST))
    if alerts(LOWEST, _middles(low, high, ahead) if ahead > 1 else ()) <= alerts_per_day:
        chosen = LOWEST
    else:
        for _ in range(STEPS):
            middle = (low + high) / 2
            enough = alerts(float(np.exp(middle)), _middles(low, high, ahead)) <= alerts_per_day
            low, high = (low, middle) if enough else (middle, high)
        chosen = float(np.exp(high))
    remain = alerts(chosen)
    text = f"outbound_volume = {round(chosen)} leaves {remain:.2g} alerts a day over {days} days of records (budget {alerts_per_day:g})"
    if remain > alerts_per_day:
        text += "; the rest does not depend on volume: allow entries are the way"
    return at_volume(policy, chosen), Note("budget", "budget", text, loss=False)


def _middles(low: float, high: float, halvings: int) -> list[float]:
    """Every volume that so many halvings of this range (logarithms) can ask for."""
    if halvings == 0:
        return []
    middle = (low + high) / 2
    return [float(np.exp(middle)), *_middles(low, middle, halvings - 1), *_middles(middle, high, halvings - 1)]
