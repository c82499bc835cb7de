"""The join against generated truth, and its clocks against made ones: no sure link is wrong, whatever the hosts' clocks say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netexfil import join, tables
from netexfil.join import clocks
from netexfil.policy import Policy

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "join.py"


def made() -> ModuleType:
    spec = importlib.util.spec_from_file_location("join_benchmark", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31), sessions=st.integers(500, 3000))
def test_no_sure_link_is_wrong(seed: int, sessions: int) -> None:
    """Skews of two hours, drift, zones, translators, moved addresses, ports and pids used again, lost events: none wrong, nearly all found."""
    con = tables.connect()
    module = made()
    module.generate(con, sessions, seed)
    join.link(con, Policy())
    assert module.judge(con)["wrong_sure"] == 0
    findable, found = con.execute(
        """
        SELECT count(*), count(*) FILTER (l.eid IS NOT NULL)
        FROM session s JOIN truth_session ts USING (sid) JOIN event e ON e.local_ip = s.orig_h AND e.local_p = s.orig_p
            AND e.remote_ip = s.resp_h AND e.remote_p = s.resp_p AND e.proto = s.proto
        JOIN truth_event te ON te.eid = e.eid AND te.proc = ts.proc
        LEFT JOIN link l ON l.eid = e.eid AND l.sid = s.sid AND l.match = 'five_tuple'
        """
    ).fetchall()[0]
    assert found >= 0.9 * findable  # a quiet host's clock may stay undecided


def test_likely_links_are_right_at_least_as_often_as_they_say() -> None:
    """A small network teaches little, and then a link says too little rather than too much; `benchmarks/join.py` holds both sides."""
    con = tables.connect()
    module = made()
    module.generate(con, 20_000, 7)
    join.link(con, Policy())
    judged = module.judge(con)
    assert judged["wrong_sure"] == 0
    for said, count, mean, right in judged["likely"]:
        if count >= 500:  # a tenth of confidence with enough links to tell
            assert mean - right <= 0.12, (said, count, mean, right)


@settings(max_examples=40, deadline=None)
@given(
    offset=st.floats(-500_000, 500_000), slope=st.sampled_from([0.0, 0.0, 50e-6, -300e-6]), matches=st.integers(30, 300),
    chance=st.integers(0, 300), seed=st.integers(0, 10**6),
)
def test_the_offset_is_found_among_chance_pairs(offset: float, slope: float, matches: int, chance: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    time = np.sort(rng.random(matches)) * 86400
    true = offset + slope * time
    delta = np.concatenate((true + rng.normal(0, 0.002, matches), rng.uniform(-400_000, 400_000, chance)))
    times = np.concatenate((time, rng.random(chance) * 86400))
    n = matches + chance
    order = rng.permutation(n)
    yes = np.ones(n, bool)
    found, segments = clocks.estimate(np.zeros(n, np.int64), times[order], delta[order], yes, yes, yes)
    assert len(found.clock) == 1
    said = found.offset[0] + clocks.evaluate(segments, np.zeros(matches, np.int64), time)
    if slope == 0.0:
        assert np.abs(said - offset).max() <= 0.05
    else:  # what the tolerance must hold: nearly every match
        rest = true - said
        assert np.mean((rest >= -found.lo[0][0]) & (rest <= found.hi[0][0])) >= 0.9


@given(chance=st.integers(1, 20), seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_chance_decides_no_odd_offset(chance: int, seed: int) -> None:
    """Pairs of two different recordings, spread over half a day far from any plausible offset: no clock comes of them."""
    rng = np.random.default_rng(seed)
    yes = np.ones(chance, bool)
    delta = 40 * 86400 + rng.uniform(0, 43200, chance)
    found, _ = clocks.estimate(np.zeros(chance, np.int64), rng.random(chance) * 3600, delta, yes, yes, yes)
    assert len(found.clock) == 0


@pytest.mark.parametrize("text", ["2001:DB8:0:0:0:0:0:1", "2001:db8::1%eth0", "2001:0db8::0001"])
def test_one_spelling(text: str) -> None:
    from netexfil.join.prepare import canonical

    assert canonical(text) == "2001:db8::1"
