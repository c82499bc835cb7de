"""The questions, and their answers to findings. One question per file; this is their table.

A question takes the candidates (columns) and the policy and gives reasons (arrays). The strongest reason of a family scores, the points of all
families add up to the score. To add a question, write its file and name it here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from netexfil.detect import (
    asymmetry,
    collect,
    destination,
    endpoint,
    gather,
    ledger,
    links,
    mismatch,
    novelty,
    prevalence,
    rate,
    shape,
    timing,
    tool,
    volume,
)
from netexfil.detect.allowed import in_scope
from netexfil.detect.budgeting import budget, count, search
from netexfil.detect.evidence_rows import names_of, sessions_of
from netexfil.detect.question import Candidates, Code, Points, Reason
from netexfil.detect.record import evidence, finding
from netexfil.detect.unseen import unseen
from netexfil.detect.weigh import weigh
from netexfil.finding import Finding
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb

__all__ = ["CODES", "QUESTIONS", "budget", "count", "judge", "score", "search"]

QUESTIONS = (volume, ledger, asymmetry, rate, timing, novelty, prevalence, shape, tool, mismatch, destination, collect, endpoint)
CODES: Mapping[str, Code] = {code.code: code for question in QUESTIONS for code in question.CODES} | {
    "cap": Code("cap", "cap", "points", "a score lies between 0 and 100", "Do the points leave 0 … 100?", "132 points count as 100"),
}


def judge(c: Candidates, policy: Policy) -> tuple[list[Reason], Points]:
    """Every question asked of every candidate: reasons, and the points that count (one row a reason)."""
    reasons = [reason for question in QUESTIONS for reason in question.ask(c, policy)]
    return reasons, weigh(reasons, CODES, c.size)


def score(con: duckdb.DuckDBPyConnection, policy: Policy, days: Sequence[int] | None = None) -> list[Finding]:
    """Findings of the channels that `select` chose, and of alerts without one; score descending (then by time and id)."""
    c = gather.candidates(con, policy)
    if not c.size:
        return _ranked(unseen(con, policy, days))
    found = links.fetch(con)
    c = links.described(c, found)
    reasons, counted = judge(c, policy)
    worth = (counted.sum(axis=0) >= policy.threshold("finding_floor")) | np.array([title is not None for title in c.text("alert_title")], bool)
    chosen = np.flatnonzero(worth & (c.num("bytes_low") + c.num("quality") > 0) & in_scope(c, policy))
    cids = c.columns["cid"][chosen]
    sessions, names = sessions_of(con, cids), names_of(con, c, chosen, found)
    findings = []
    for index in chosen.tolist():
        cid = int(c.columns["cid"][index])
        held = sessions[cid]
        source = f"{held.source} {held.largest}" if len(held.uids) == 1 else f"{len(held.uids)} sessions, the largest {held.largest} in {held.source}"
        rows = evidence(c, index, reasons, counted, CODES, source)
        findings.append(finding(c, index, rows, [*found.get(cid, ())], held, names[index], policy))
    return _ranked([*findings, *unseen(con, policy, days)])


def _ranked(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda f: (-f.score, f.first_ts, f.id))
