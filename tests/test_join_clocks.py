"""What decides a clock where sessions were joined in the middle, and what is no clock: ends, polls, records written down late."""

from __future__ import annotations

from typing import Any

import pytest
from test_join import T, conn, event, run, session, ties


def test_a_session_joined_in_the_middle_bounds_the_clock() -> None:
    """Its first packet is later than its start by nobody knows how much: the offset is that much or more, and the note says so."""
    links, notes, _ = run([session(0, T, 50000, history="^dADFf")], [conn(0, T + 8.83, 50000)])
    assert [(link["match"], link["confidence"], link["clock_offset"]) for link in links] == [("five_tuple", 0.97, None)]
    assert any("is at least 8.830 s ahead of" in note.reason and "start was not seen" in note.reason for note in notes)


@pytest.mark.parametrize("behind", [42.6, 110.0, 5000.0])
def test_a_session_joined_long_after_its_event_decides_no_clock(behind: float) -> None:
    """Begun long before the capture by a right clock, or just before it by one that is behind: nobody knows, and no offset is claimed."""
    links, notes, _ = run([session(0, T, 50000, history="^dADFf")], [conn(0, T - behind, 50000), event(1, T - behind - 0.2, "process_start")])
    assert [(link["match"], link["clock_offset"]) for link in links] == [("five_tuple", None), ("process", None)]
    assert any(f"is at most {behind:.3f} s behind" in note.reason for note in notes)


@pytest.mark.parametrize(("apart", "offset"), [(0.0, None), (40.0, -3000.0)])
def test_sessions_opened_together_before_the_capture_decide_no_clock(apart: float, offset: float | None) -> None:
    """Four connections of one page agree on when the capture began; connections opened minutes apart, each cut alike, agree on the clock."""
    sessions = [session(n, T + apart * n + 0.1 * n, 50000 + n, history="^dADFf") for n in range(4)]
    links, _, _ = run(sessions, [conn(n, T + apart * n - 3000, 50000 + n) for n in range(4)])
    assert ties(links, "five_tuple") == {(n, n) for n in range(4)}
    assert all(link["clock_offset"] == (offset and pytest.approx(offset, abs=1)) for link in links)


def lookup(sid: int, ts: float, took: float = 0.002) -> tuple[Any, ...]:
    return session(sid, ts, 40000 + sid, resp="10.0.0.53", rport=53, proto="udp", duration=took, history="Dd", outbound=None)


LOOKED: dict[str, tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], float | None]] = {
    "one look-up": ([lookup(1, T + 0.006)], [], -41.0),
    "whose answer is the address": ([lookup(1, T + 0.006), lookup(2, T + 5)], [("192.0.2.1", "drop.example", "dns", T + 0.006, T + 0.006, "dns")], -41.0),
    "whose answer is another address": ([lookup(1, T + 0.006)], [("192.0.2.9", "x.example", "dns", T + 0.006, T + 0.006, "dns")], None),
    "two look-ups": ([lookup(1, T + 0.006), lookup(2, T + 0.9)], [], None),
    "no answer": ([lookup(1, T + 0.006, 0.0)], [], None),
    "too slow for the process": ([lookup(1, T, 0.5)], [], None),
    "what was looked up began": ([lookup(1, T + 0.006), session(2, T + 0.01, 50001, resp="192.0.2.8")], [], None),
    "long before": ([lookup(1, T - 3)], [], None),
    "of a process that had the address": ([lookup(1, T + 0.006)], [], None),
    "of a process that had begun long before": ([lookup(1, T + 0.006)], [], None),
}


@pytest.mark.parametrize("case", LOOKED)
def test_a_lookup_between_start_and_connection_decides_a_clock(case: str) -> None:
    """The session's first seconds were not seen. The process starts, asks for the name, and connects, within 15 ms of its own clock."""
    others, names, offset = LOOKED[case]
    seen = T + (10 if names else 1)
    began = T - 60 if "long before" in case else T
    start = event(1, began - 41, "process_start", command_line="curl 192.0.2.1" if "had the address" in case else "curl drop.example")
    sessions = [session(0, T + 0.05 if began < T else seen, 50000, history="^dADFf"), *others]
    links, notes, _ = run(sessions, [conn(0, T + 0.015 - 41, 50000), start], names=names)
    assert (0, 0) in ties(links, "five_tuple")
    assert links
    assert all(link["clock_offset"] == (offset and pytest.approx(offset, abs=0.05)) for link in links)
    assert any("with the look-up" in note.reason for note in notes) == (offset is not None)


def test_remote_ends_of_sessions_joined_in_the_middle_are_no_offset() -> None:
    """Behind a translator, too, their first packet only bounds the clock."""
    sessions = [session(0, T + 0.3, 1024, orig="100.64.0.1", history="^dADFf")]
    links, notes, _ = run(sessions, [conn(0, T + 40, 50000)])
    assert [(link["match"], link["clock_offset"]) for link in links] == [("remote_time", None)]
    assert any("at least 39.700 s ahead" in note.reason and "remote ends" in note.reason for note in notes)


def elastic_end(eid: int, ts: float, port: int) -> tuple[Any, ...]:
    return conn(eid, ts, port, dialect="elastic", event_id="disconnect_received")


def test_an_event_that_tells_of_an_end_is_held_against_ends() -> None:
    """Connections of thirty seconds each: what was told at their ends is no clock that is thirty seconds ahead."""
    sessions = [session(n, T + 60 * n, 50000 + n, duration=30.0) for n in range(4)]
    links, notes, _ = run(sessions, [elastic_end(n, T + 60 * n + 30.2 + 7, 50000 + n) for n in range(4)])
    assert {(link["eid"], link["sid"], round(link["seconds_apart"])) for link in links} == {(n, n, 30) for n in range(4)}
    assert all(link["clock_offset"] == pytest.approx(7.2, abs=0.01) for link in links)
    assert any("7.200 s ahead" in note.reason for note in notes)


def test_polls_show_no_clock() -> None:
    """Who looks every minute which connections are open sees each half a minute late; that is no clock that is ahead."""
    sessions = [session(n, T + 37.3 * n, 50000 + n, duration=90.0) for n in range(20)]
    told = [conn(n, T + 60 * (37.3 * n // 60 + 1), 50000 + n, dialect="osquery-sockets", event_id=None) for n in range(20)]
    links, notes, _ = run(sessions, told)
    assert ties(links, "five_tuple") == {(n, n) for n in range(20)}
    assert all(link["clock_offset"] is None and -1 < link["seconds_apart"] < 61 for link in links)
    assert not any("28." in note.reason for note in notes)


@pytest.mark.parametrize(("count", "late", "offset"), [(1, 40.0, 5.0), (1, 9000.0, None), (6, 9000.0, None), (1, 25200.0, 5.0), (6, 77777.0, 5.0)])
def test_what_is_written_down_long_after_it_was_says_nothing_of_the_clock(count: int, late: float, offset: float | None) -> None:
    """Processes older than the sensor are written down when it starts, each of its own age; a delay that is the same for all is the record's clock."""
    seen = [conn(n, T + 60 * n + 5, 50000 + n, dialect="falcon", ts_field="ContextTimeStamp", ts_rec=T + 60 * n + 5 + (late if offset else 0)) for n in range(4)]
    starts = [event(10 + n, T + 5 - 50 - (0 if offset else 300 * n), "process_start", dialect="falcon", ts_field="ProcessStartTime", guid="g1" if not n else f"x{n}",
                    ts_rec=T + 5 - 50 + late) for n in range(count)]
    links, _, _ = run([session(n, T + 60 * n, 50000 + n) for n in range(4)], seen + starts)
    carried = [link for link in links if (link["eid"], link["match"]) == (10, "process")]
    assert len(carried) == 4
    assert all(link["clock_offset"] == (offset and pytest.approx(offset, abs=0.01)) for link in carried)


def test_a_session_whose_start_was_seen_decides_before_one_joined_in_the_middle() -> None:
    """Even one of UDP, though the other's bound would lie nearer to zero."""
    sessions = [session(0, T, 50000, history="^dADFf"), session(1, T + 5, 50001, rport=53, proto="udp", history="Dd")]
    udp = conn(1, T - 36, 50001, rport=53)
    links, _, _ = run(sessions, [conn(0, T - 41.5, 50000), (*udp[:13], "udp", *udp[14:])])
    assert {link["clock_offset"] for link in links if link["match"] == "five_tuple"} == {-41.0}
