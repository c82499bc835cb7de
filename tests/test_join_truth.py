"""The join against generated truth, and its clocks against made ones: no sure link is wrong, whatever the hosts' clocks say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
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
    sys.modules[spec.name] = module  # dataclasses look there
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


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_no_sure_link_is_wrong_where_ports_are_used_again_all_the_time(seed: int) -> None:
    """Four hosts with 400 ports towards 60 places: what a network of ten million sessions has on its busiest host."""
    con = tables.connect()
    module = made()
    module.generate(con, 6000, seed, hosts=4, ports=400, remotes=60)
    join.link(con, Policy())
    assert module.judge(con)["wrong_sure"] == 0


# Worlds unlike each other: how hosts are, how often ports are used again, what is lost, told twice, never told, hidden behind addresses.
WORLDS = {
    "few busy hosts": {"hosts": 6}, "many hosts": {"hosts": 400}, "few remote ends": {"hosts": 30, "remotes": 60, "again": 0.4},
    "translated, half untold": {"nat": 0.8, "untold": 0.5, "hosts": 40}, "no local ports": {"no_port": 0.6, "each": 40, "skewed": 1.0, "drifting": 1.0},
    "lost, told twice, two sensors": {"lost": 0.3, "twice": 0.3, "sensors": 0.3}, "hosts without telemetry behind translators": {"blind": 0.4, "nat": 0.3},
    "programs that telemetry leaves out": {"silent": 0.4, "hosts": 12}, "hosts without telemetry at addresses that others have later": {"blind": 0.3, "nat": 0.9, "hosts": 12, "each": 3, "remotes": 60, "lost": 0.3},
    "ports forwarded to hosts": {"served": 0.4, "nat": 0.7, "remotes": 60, "blind": 0.2},
}


@pytest.mark.parametrize("name", WORLDS)
def test_likely_links_are_right_as_often_as_they_say(name: str) -> None:
    """In every band of confidence that has links enough to tell; `benchmarks/join.py` shows it for large networks."""
    con = tables.connect()
    module = made()
    module.generate(con, 10_000, 7, **WORLDS[name])
    join.link(con, Policy())
    judged = module.judge(con)
    assert judged["wrong_sure"] == 0
    off = [band for band in judged["likely"] if band[1] >= 500 and abs(band[2] - band[3]) > 0.05]
    assert not off, judged["likely"]


@settings(max_examples=3, deadline=None, phases=(Phase.explicit, Phase.generate))  # a smaller world shows nothing that this one does not
@given(mix=st.fixed_dictionaries({
    "hosts": st.sampled_from([6, 12, 40, 120, 400]), "each": st.sampled_from([3, 10, 40, 100]), "remotes": st.sampled_from([60, 500, 5000]),
    "again": st.sampled_from([0.0, 0.06, 0.3]), "nat": st.sampled_from([0.0, 0.2, 0.5, 0.9]), "blind": st.sampled_from([0.0, 0.1, 0.3, 0.6]),
    "silent": st.sampled_from([0.0, 0.15, 0.3, 0.5]), "untold": st.sampled_from([0.1, 0.5]), "lost": st.sampled_from([0.05, 0.3]),
    "no_port": st.sampled_from([0.1, 0.7]), "skewed": st.sampled_from([0.0, 0.5, 1.0]), "drifting": st.sampled_from([0.3, 1.0]),
    "moves": st.sampled_from([0.0, 0.1, 0.4]), "twice": st.sampled_from([0.0, 0.3]), "sensors": st.sampled_from([0.0, 0.3]),
    "unlike": st.sampled_from([0.0, 0.8]), "served": st.sampled_from([0.0, 0.3]), "guid": st.sampled_from([0.2, 0.7]),
}), seed=st.integers(0, 2**31))
def test_likely_links_are_right_as_often_as_they_say_in_any_world(mix: dict[str, Any], seed: int) -> None:
    """Every band that holds 300 links of 100 processes is right within 5 % of what it says, give or take three standard errors; and no sure link is
    wrong. The links of one process are right or wrong together, so that a band of few processes tells nothing."""
    con = tables.connect()
    module = made()
    module.generate(con, 8000, seed, **mix)
    join.link(con, Policy())
    judged = module.judge(con)
    assert judged["wrong_sure"] == 0
    off = [band for band in judged["likely"] if band[1] >= 300 and band[5] >= 100 and abs(band[2] - band[3]) > 0.05 + 3 * band[4]]
    assert not off, judged["likely"]


def test_a_busy_clock_without_local_ports_is_found() -> None:
    """Thousands of sessions to a handful of places: each event has hundreds of sessions that might be its own, and the clock still shows."""
    con = tables.connect()
    tables.create(con)
    rng = np.random.default_rng(1)
    n = 4000
    ts, place = np.sort(1.7e9 + rng.random(n) * 86400), rng.integers(1, 9, n)
    tables.insert(con, "session", [
        (i, float(ts[i]), f"C{i}", "10.0.0.5", 40000 + i, f"192.0.2.{place[i]}", 443, "tcp", 1.0, "ShADadFf") for i in range(n)
    ], ("sid", "ts", "uid", "orig_h", "orig_p", "resp_h", "resp_p", "proto", "duration", "history"))
    tables.insert(con, "event", [
        (i, "net_conn", float(ts[i] + 1234.5 + 2e-4 * (ts[i] - ts[0])), "UtcTime", "ws", f"g{i % 9}", 100 + i % 9, "a.exe", "10.0.0.5",
         f"192.0.2.{place[i]}", 443, "tcp", True, "made", "3") for i in range(n)
    ], ("eid", "kind", "ts", "ts_field", "host", "guid", "pid", "image", "local_ip", "remote_ip", "remote_p", "proto", "initiated", "dialect",
        "event_id"))
    join.link(con, Policy())
    off = con.execute(
        "SELECT count(*), max(abs(l.clock_offset - 1234.5 - 2e-4 * (s.ts - ?))) FROM link l JOIN session s USING (sid) WHERE l.eid = l.sid", [ts[0]]
    ).fetchall()[0]
    assert off[0] >= 0.95 * n
    assert off[1] <= 0.1


def test_what_a_forwarded_port_leads_to_is_found() -> None:
    """Sessions from outside to an address that no host has, where the host told of them: nearly all have a likely link, and that to their process."""
    con = tables.connect()
    module = made()
    module.generate(con, 4000, 11, served=0.4, nat=0.7, remotes=60, hosts=60)
    join.link(con, Policy())
    told, found = con.execute(
        """
        SELECT count(*), count(*) FILTER (EXISTS (SELECT 1 FROM link l JOIN truth_event o ON o.eid = l.eid AND o.proc = t.proc
            WHERE l.sid = s.sid AND l.match = 'remote_time'))
        FROM session s JOIN truth_session t USING (sid) WHERE s.resp_h LIKE '100.64.%' AND EXISTS (SELECT 1 FROM event e JOIN truth_event o USING (eid)
            WHERE o.proc = t.proc AND e.initiated IS FALSE AND e.remote_ip = s.orig_h AND e.remote_p = s.orig_p)
        """
    ).fetchall()[0]
    assert told > 300
    assert found >= 0.97 * told


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


@settings(max_examples=40, deadline=None)
@given(busy=st.integers(100, 3000), seed=st.integers(0, 10**6))
def test_chance_makes_no_twelve_hour_clock(busy: int, seed: int) -> None:
    """Ports used again all the time put pairs everywhere, twelve hours away too; a clock that prints no afternoons puts a third there."""
    rng = np.random.default_rng(seed)
    clock, offset = np.zeros(busy + 300, np.int64), np.array([7.0])
    chance, own = rng.uniform(-3 * 86400, 3 * 86400, busy), 7 + rng.normal(0, 0.01, 300)
    assert np.isnan(clocks.half_day(clock, np.concatenate((chance, own)), np.zeros(1, np.int64), offset)).all()
    own[:100] += 43200
    assert clocks.half_day(clock, np.concatenate((chance, own)), np.zeros(1, np.int64), offset)[0] == 43200


@pytest.mark.parametrize("text", ["2001:DB8:0:0:0:0:0:1", "2001:db8::1%eth0", "2001:0db8::0001"])
def test_one_spelling(text: str) -> None:
    from netexfil.join.prepare import canonical

    assert canonical(text) == "2001:db8::1"
