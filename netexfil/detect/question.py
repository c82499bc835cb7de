"""What every question takes and gives: candidate channels as columns, and reasons as arrays over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Points = NDArray[np.int64]
Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of evidence. `text` is formatted with `value`, `threshold` (as a reader would write them) and the channel's columns."""

    code: str
    family: str
    unit: str
    text: str
    asks: str
    example: str


@dataclass(frozen=True, slots=True)
class Reason:
    """One code over all candidates: where it holds, the measured values, the threshold it was held against and its points."""

    code: str
    mask: Mask
    value: Column
    threshold: float | int | str | None
    points: Points
    source: str = "channel"


@dataclass(frozen=True, slots=True)
class Candidates:
    """Channels worth judging, one position each; `columns` are equally long arrays (missing numbers are NaN, missing text is None)."""

    columns: Mapping[str, Column]
    size: int

    def num(self, name: str) -> NDArray[np.float64]:
        """A column of numbers; NaN where unknown."""
        array: NDArray[np.float64] = self.columns[name]
        return array

    def text(self, name: str) -> NDArray[np.object_]:
        """A column of text; None where unknown."""
        array: NDArray[np.object_] = self.columns[name]
        return array

    def is_(self, name: str, value: str) -> Mask:
        """Where a text column has this value."""
        array: Mask = self.columns[name] == value
        return array


def whole(points: Any, mask: Mask) -> Points:
    """Points as whole numbers, 0 outside the mask; whole so that they add up exactly."""
    array: Points = np.where(mask, np.nan_to_num(np.asarray(points, float)), 0.0).round().astype(np.int64)
    return array


def held(code: str, mask: Mask, value: Any, threshold: float | int | str | None, points: Any, source: str = "channel") -> Reason:
    """A reason with its points spread over the mask."""
    values = np.broadcast_to(np.asarray(value), mask.shape)
    return Reason(code, mask, values, threshold, whole(np.broadcast_to(np.asarray(points), mask.shape), mask), source)
