"""Reasons to points: the strongest member of a family scores, the others are told with 0 points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from netexfil.detect.question import Code, Points, Reason


def weigh(reasons: Sequence[Reason], codes: Mapping[str, Code], size: int) -> Points:
    """Points that count, one row a reason, one column a candidate. In a family the largest weight wins; among equals the first in the table."""
    points: Points = np.array([reason.points for reason in reasons], np.int64).reshape(len(reasons), size)
    families: dict[str, list[int]] = {}
    for row, reason in enumerate(reasons):
        families.setdefault(codes[reason.code].family, []).append(row)
    counted = np.zeros_like(points)
    columns = np.arange(size)
    for rows in families.values():
        winner = np.asarray(rows)[np.argmax(np.abs(points[rows]), axis=0)]
        counted[winner, columns] = points[winner, columns]
    return counted
