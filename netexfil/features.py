"""Measures of channels and sessions: arrays in, one array out. No tables, no thresholds, no words."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def pcr(sent: ArrayLike, received: ArrayLike) -> Floats:
    """Producer-consumer ratio (out - in) / (out + in) of summed bytes, -1 … 1; NaN where nothing flowed or a side is unknown (NaN).

    Always of sums: the mean of ratios would give one tiny form the weight of forty gigabytes.
    """
    out, back = np.asarray(sent, float), np.asarray(received, float)
    total = out + back
    ratio: Floats = np.divide(out - back, total, out=np.full(np.broadcast(out, back).shape, np.nan), where=total > 0)
    return ratio


def net(total: ArrayLike, sessions: ArrayLike, allowance: float) -> Floats:
    """Bytes beyond what the handshakes of so many sessions alone move; never below zero."""
    return np.maximum(np.asarray(total, float) - np.asarray(sessions, float) * allowance, 0.0)


def rate(total: ArrayLike, seconds: ArrayLike) -> Floats:
    """Bytes a second; NaN where no time passed."""
    amount, time = np.asarray(total, float), np.asarray(seconds, float)
    speed: Floats = np.divide(amount, time, out=np.full(np.broadcast(amount, time).shape, np.nan), where=time > 0)
    return speed


def decades(value: ArrayLike, line: ArrayLike) -> Floats:
    """log10(value / line): 0 at the line, 1 at ten times it; -inf where the value is 0."""
    with np.errstate(divide="ignore"):
        result: Floats = np.log10(np.maximum(np.asarray(value, float), 0.0) / np.asarray(line, float))
    return result


def largest_sum(times: ArrayLike, values: ArrayLike, seconds: float) -> float:
    """The largest sum of values within any span of so many seconds; times ascend."""
    moments, amounts = np.asarray(times, float), np.asarray(values, float)
    if not len(moments):
        return 0.0
    running = np.concatenate(([0.0], np.cumsum(amounts)))
    ends = np.searchsorted(moments, moments + seconds, "left")
    return float(np.max(running[ends] - running[:-1]))
