"""Score to severity, and how sure: both in one table."""

from __future__ import annotations

from collections.abc import Sequence

from netexfil.finding import Evidence, Severity

BANDS: Sequence[tuple[int, Severity]] = ((80, "critical"), (60, "high"), (40, "medium"), (20, "low"), (0, "info"))

# The first row that holds says how sure the verdict is.
CONFIDENCE = (
    ("high", "a confirmed or contradicted tool, or an endpoint alert over a sure link, beside a measured upload"),
    ("low", "the byte count is unknown, or fewer than two families speak for it"),
    ("high", "four or more families speak for it, none against, and the bytes are exact"),
    ("medium", "everything else"),
)


def severity(score: float) -> Severity:
    return next(name for floor, name in BANDS if score >= floor)


def confidence(evidence: Sequence[Evidence], verdict: str, sure_alert: bool, quality: str) -> str:
    """High, medium or low by the table above."""
    favour = sum(item.points > 0 for item in evidence)
    against = sum(item.points < 0 and item.code != "cap" for item in evidence)
    measured = any(item.points > 0 and item.code.startswith(("volume", "ledger", "asymmetry", "endpoint_session")) for item in evidence)
    rows = (
        (verdict in ("confirmed", "contradicted") or sure_alert) and measured,
        quality == "unknown" or favour < 2,
        favour >= 4 and not against and quality == "exact",
        True,
    )
    return next(name for (name, _), holds in zip(CONFIDENCE, rows, strict=True) if holds)
