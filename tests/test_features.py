"""Features against rows worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netexfil import features


@pytest.mark.parametrize(("out", "back", "want"), [(900, 100, 0.8), (100, 900, -0.8), (5, 5, 0.0), (7, 0, 1.0), (0, 0, np.nan), (10, np.nan, np.nan)])
def test_pcr(out: float, back: float, want: float) -> None:
    assert features.pcr([out], [back])[0] == pytest.approx(want, nan_ok=True)


def test_pcr_is_of_sums_not_the_mean_of_ratios() -> None:
    # forty gigabytes out beside one small form that came mostly in: the sums say 1, the mean of ratios would say 0.1
    assert features.pcr(40e9 + 200, 4e6 + 800) == pytest.approx(0.9998, abs=1e-4)


def test_net_takes_handshakes_off_and_never_goes_below_zero() -> None:
    assert features.net([100_000, 3_000], [10, 1], 4_096).tolist() == [59_040.0, 0.0]


def test_rate_without_time_is_unknown() -> None:
    assert features.rate([4e6, 5], [2, 0]) == pytest.approx([2e6, np.nan], nan_ok=True)


def test_decades() -> None:
    assert features.decades([10, 100, 1, 0], 10).tolist() == [0.0, 1.0, -1.0, -np.inf]


@pytest.mark.parametrize(("times", "values", "seconds", "want"), [
    ([0, 10, 20, 5000], [1, 2, 4, 5], 3600, 7), ([0, 3600], [1, 2], 3600, 2), ([], [], 60, 0), ([5], [9], 1, 9),
])
def test_largest_sum(times: list[float], values: list[float], seconds: float, want: float) -> None:
    assert features.largest_sum(times, values, seconds) == want


@given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e12)), min_size=1, max_size=50))
def test_pcr_stays_within_its_bounds(pairs: list[tuple[float, float]]) -> None:
    out, back = zip(*pairs, strict=True)
    value = features.pcr(out, back)
    assert np.all(np.isnan(value) | ((value >= -1) & (value <= 1)))
