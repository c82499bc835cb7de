"""STEP 5: channels and links to findings. The table of questions stands in `questions`; it is imported where there is something to judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from netexfil import tables
from netexfil.detect.choose import alone, select, worth
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb

    from netexfil.detect.questions import CODES, QUESTIONS, budget, count, judge, search
    from netexfil.finding import Finding

__all__ = ["CODES", "QUESTIONS", "alone", "budget", "count", "judge", "score", "search", "select", "worth"]


def score(con: duckdb.DuckDBPyConnection, policy: Policy, days: Sequence[int] | None = None, only: str | None = None) -> list[Finding]:
    """Findings, score descending (then by time and id).

    Args:
        con: holds `session`, `channel`, `fleet`, `spoke`, `name`, `link`, `event`, `alert`, `unmatched`.
        days: judge only these windows (days since 1970); what went before still counts as history.
        only: judge only the channels in this table, as in `select`.
    """
    select(con, policy, days, only)
    if not tables.some(con, "cand") and not tables.some(con, "alert"):
        return []
    from netexfil.detect import questions

    return questions.score(con, policy, days)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'netexfil.detect' has no attribute {name!r}")
    from netexfil.detect import questions

    return getattr(questions, name)
