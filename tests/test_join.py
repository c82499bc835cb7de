"""The join: which event belongs to which session, under clocks that lie, ports used again, translated addresses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from netexfil import join, tables
from netexfil.errors import NetexfilError
from netexfil.policy import Policy

T = 1_700_000_000.0
SESSION = ("sid", "ts", "uid", "orig_h", "orig_p", "resp_h", "resp_p", "proto", "duration", "history", "outbound", "inside_h")
EVENT = (
    "eid", "kind", "ts", "ts_field", "ts_rec", "host", "guid", "pid", "image", "local_ip", "local_p", "remote_ip", "remote_p", "proto",
    "initiated", "dialect", "event_id", "line", "answers", "community_id", "host_ips", "host_id", "host_raw", "file",
    "command_line",
)


def session(sid: int, ts: float, port: int, orig: str = "10.0.0.5", resp: str = "192.0.2.1", rport: int = 22, **more: Any) -> tuple[Any, ...]:
    row = {"sid": sid, "ts": ts, "uid": f"C{sid}", "orig_h": orig, "orig_p": port, "resp_h": resp, "resp_p": rport, "proto": "tcp",
           "duration": 5.0, "history": "ShADadFf", "outbound": "true", "inside_h": orig} | more
    return tuple(row[name] for name in SESSION)


def event(eid: int, ts: float | None, kind: str = "net_conn", **more: Any) -> tuple[Any, ...]:
    row: dict[str, Any] = dict.fromkeys(EVENT)
    row |= {"eid": eid, "kind": kind, "ts": ts, "ts_field": "UtcTime", "host": "ws1", "guid": "g1", "pid": 100, "image": r"C:\a\curl.exe",
            "dialect": "sysmon", "event_id": kind, "line": eid + 1}
    return tuple((row | more)[name] for name in EVENT)


def conn(eid: int, ts: float, port: int, local: str = "10.0.0.5", remote: str = "192.0.2.1", rport: int = 22, **more: Any) -> tuple[Any, ...]:
    return event(eid, ts, local_ip=local, local_p=port, remote_ip=remote, remote_p=rport, proto="tcp", initiated=True, **more)


def run(
    sessions: list[tuple[Any, ...]], events: list[tuple[Any, ...]], hosts: str | None = None, names: list[tuple[Any, ...]] | None = None
) -> tuple[list[dict[str, Any]], Any, Any]:
    con = tables.connect()
    tables.create(con)
    tables.insert(con, "session", sessions, SESSION)
    tables.insert(con, "event", events, EVENT)
    tables.insert(con, "name", names or [])
    notes = join.link(con, Policy(), (-300.0, 60.0), hosts)
    found = con.execute("SELECT * FROM link ORDER BY eid, sid")
    columns = [column[0] for column in found.description]
    return [dict(zip(columns, row, strict=True)) for row in found.fetchall()], notes, con


def ties(links: list[dict[str, Any]], *kinds: str) -> set[tuple[int, int]]:
    return {(link["eid"], link["sid"]) for link in links if link["match"] in kinds}


@pytest.mark.parametrize("skew", [0.0, 2.7, -41.0, -120.0, 3600.0, -18000.0, 7200.0])
def test_one_match_decides_a_plausible_clock(skew: float) -> None:
    links, _, _ = run([session(0, T, 50000)], [conn(0, T + skew + 0.001, 50000), event(1, T + skew - 0.2, "process_start")])
    assert ties(links, "five_tuple") == {(0, 0)}
    assert ties(links, "process") == {(1, 0)}
    assert all(abs(link["clock_offset"] - skew) < 0.05 for link in links)


@pytest.mark.parametrize("skew", [40310.0, -483275.1, 8000.0])
def test_one_match_at_an_odd_offset_is_chance(skew: float) -> None:
    links, notes, _ = run([session(0, T, 50000)], [conn(0, T + skew, 50000)])
    assert not links
    assert "port_reuse" in {note.kind for note in notes}


def test_three_matches_decide_any_clock() -> None:
    sessions = [session(n, T + 17 * n, 50000 + n) for n in range(3)]
    links, notes, _ = run(sessions, [conn(n, T + 17 * n - 483275.13, 50000 + n) for n in range(3)])
    assert ties(links, "five_tuple") == {(0, 0), (1, 1), (2, 2)}
    assert any("483275.130 s behind" in note.reason for note in notes)


def test_a_port_used_again_is_refused() -> None:
    """Far from the offset of the others, and on the same host: not the session's owner."""
    sessions = [session(n, T + 17 * n, 50000 + n) for n in range(4)]
    events = [conn(n, T + 17 * n, 50000 + n) for n in range(4)] + [conn(9, T - 93600, 50000, pid=7, guid="other")]
    links, _, _ = run(sessions, events)
    assert ties(links, "five_tuple") == {(n, n) for n in range(4)}


STARTED, CONNECTED = {"guid": None, "host_ips": "10.0.0.9,fe80::1"}, {"guid": None, "host_ips": "10.0.0.5"}
NAMESAKES: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "one machine": ({}, {}, True),
    "two agents, addresses of their own": ({"host_id": "a"}, {"host_id": "b"}, False),
    "two agents of one machine": ({"host_id": "a", "host_ips": "10.0.0.5,10.0.0.9"}, {"host_id": "b"}, True),
    "two full names": ({"host_raw": "WS1.a.example"}, {"host_raw": "ws1.b.example."}, False),
    "one full name": ({"host_raw": "WS1.a.example"}, {"host_raw": "ws1.a.example."}, True),
    "a short name and a full one": ({"host_raw": "WS1.a.example"}, {"host_raw": "WS1"}, True),
    "no names, two files": ({"host": None, "file": "a.log"}, {"host": None, "file": "b.log"}, False),
    "no names, one file": ({"host": None, "file": "a.log"}, {"host": None, "file": "a.log"}, True),
}


@pytest.mark.parametrize("case", NAMESAKES)
def test_machines_that_share_a_name_share_no_process(case: str) -> None:
    """The same pid and image on both: a start there is not the start of what connected here."""
    one, other, same = NAMESAKES[case]
    events = [event(0, T - 5, "process_start", **STARTED | one), conn(1, T, 50000, **CONNECTED | other)]
    links, _, _ = run([session(0, T, 50000)], events)
    assert ties(links, "five_tuple") == {(1, 0)}
    assert ties(links, "process") == ({(0, 0)} if same else set())


def test_telemetry_that_tells_only_where_to_is_tied_by_that() -> None:
    """Audit's connect tells neither its own address nor the protocol, and nothing else knows the host's address."""
    sessions = [session(n, T + 100 * n, 50000 + n, resp=f"192.0.2.{n}") for n in range(3)]
    told = {"local_ip": None, "proto": None, "host": "web", "dialect": "auditd", "guid": None}
    row = dict(zip(EVENT, conn(0, T, 1), strict=True))
    events = [tuple((row | told | {"eid": n, "ts": T + 100 * n, "local_p": None, "remote_ip": f"192.0.2.{n}", "pid": 100 + n})[name] for name in EVENT)
              for n in range(3)]
    links, notes, _ = run(sessions, events)
    assert ties(links, "remote_time") == {(n, n) for n in range(3)}
    assert all(link["confidence"] > 0.9 for link in links)
    assert "translated" in {note.kind for note in notes}


@pytest.mark.parametrize("apart", [20.0, 200.0])
def test_a_start_that_would_have_been_seen_is_not_taken_for_missed(apart: float) -> None:
    """Told of two minutes before a session that was joined in the middle: where the sensor saw others begin at that moment, an earlier use of the
    port; where it saw nothing then, the session's own beginning."""
    told = T + 1000.0
    others = [session(n, t, 40000 + n) for n, t in enumerate((T, T + 1, T + 2, told - apart, told + apart), 1)]
    events = [conn(n, t + 2.7, 40000 + n, guid=f"g{n}", pid=200 + n) for n, t in enumerate((T, T + 1, T + 2), 1)]
    links, _, _ = run([session(0, told + 131, 50000, history="DdAFf"), *others], [conn(0, told + 2.7, 50000), *events])
    assert ((0, 0) in ties(links, "five_tuple")) == (apart > 100)


def test_a_clock_that_tells_of_beginnings_is_held_to_it() -> None:
    """Eighty connections told of when they began; one more has the five-tuple of a session that had begun 40 s before: not its session."""
    sessions = [session(i, T + 100 * i, 50000 + i, duration=90.0) for i in range(81)]
    events = [conn(i, T + 100 * i + 0.003, 50000 + i) for i in range(80)] + [conn(80, T + 8000 + 40, 50080)]
    links, _, _ = run(sessions, events)
    assert ties(links, "five_tuple") == {(i, i) for i in range(80)}
    # One that also tells of connections that are open (polls, repeated events) is believed.
    polls = [conn(100 + i, T + 100 * i + 50, 50000 + i) for i in range(80)]
    links, _, _ = run(sessions, events + polls)
    assert (80, 80) in ties(links, "five_tuple")


def test_a_pid_names_a_process_whose_image_is_told_by_another_path() -> None:
    """Security 5156 writes devices where 4688 writes drives: the file's own name is what both have."""
    start = event(0, T - 5, "process_start", guid=None, pid=7, image=r"C:\Windows\System32\svchost.exe", dialect="security")
    other = r"\device\harddiskvolume2\windows\system32\svchost.exe"
    links, _, _ = run([session(0, T, 50000)], [start, conn(1, T, 50000, guid=None, pid=7, image=other, dialect="security")])
    assert ties(links, "process") == {(0, 0)}


def test_neighbours_are_the_same_as_by_counting() -> None:
    """Groups of random sizes, many events of one moment: neighbours on each side, those of one moment by number, and how many are near."""
    from netexfil.join.nearest import nearest

    rng = np.random.default_rng(5)
    con = tables.connect()
    for name, rows in (("l", 300), ("r", 700)):
        con.execute(f"CREATE TABLE {name} (id BIGINT, g UBIGINT, t DOUBLE)")
        groups, times = rng.integers(0, 40, rows), rng.integers(0, 60, rows) / 2
        made = zip(rng.permutation(rows), groups, times, strict=True)
        con.executemany(f"INSERT INTO {name} VALUES (?, ?, ?)", [[int(i), 2**63 + int(g), float(t)] for i, g, t in made])
    nearest(con, "FROM l", "FROM r", "found", 2, 5.0, 3.0)
    rights = sorted(con.execute("SELECT g, t, id FROM r").fetchall())
    expected = set()
    for i, g, t in con.execute("FROM l").fetchall():
        mine = [row for row in rights if row[0] == g]
        near = [row for row in mine if t - 5.0 <= row[1] <= t + 3.0]
        sides = [row for row in mine if row[1] <= t][-2:] + [row for row in mine if row[1] > t][:2]
        expected |= {(i, row[2], t - row[1], len(near)) for row in sides if row in near}
    assert set(con.execute("FROM found").fetchall()) == expected


def test_addresses_meet_in_any_spelling() -> None:
    links, _, _ = run([session(0, T, 50000, orig="fe80::1:3", resp="::ffff:192.0.2.1")],
                      [conn(0, T, 50000, local="FE80:0:0:0:0:0:1:3", remote="192.0.2.1")])
    assert ties(links, "five_tuple") == {(0, 0)}


def test_the_pid_alone_is_no_identity() -> None:
    """Without a GUID a start is carried only within the lifetime of its pid."""
    start = event(1, T - 50, "process_start", guid=None)
    other = event(2, T - 20, "process_start", guid=None, image=r"C:\a\notepad.exe")
    links, _, _ = run([session(0, T, 50000)], [conn(0, T, 50000, guid=None), start])
    assert ties(links, "process") == {(1, 0)}
    links, _, _ = run([session(0, T, 50000)], [conn(0, T, 50000, guid=None), start, other])
    assert not ties(links, "process")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_of_many_files_the_eight_nearest_on_each_side_are_carried(seed: int) -> None:
    """Twelve before the session, of which five of one moment compete for three places: those written down last, nearest to it. All seven after it, two
    of them of one moment. In whatever order the rows are stored."""
    before = [-9.0, -8.0, *[-5.0] * 5, -3.0, -2.0, -2.0, -1.5, -1.0]
    after = [0.5, 1.0, 1.0, 7.0, 20.0, 30.0, 59.0]
    files = [event(10 + n, T + dt, "file_create") for n, dt in enumerate([*before, *after])]
    rows = [conn(0, T, 50000), *files]
    links, _, _ = run([session(0, T, 50000)], [rows[n] for n in np.random.default_rng(seed).permutation(len(rows))])
    carried = sorted(link["eid"] for link in links if link["match"] == "process")
    assert carried == [*range(14, 22), *range(22, 29)]


def test_drift_is_followed() -> None:
    """200 ppm over two days are 35 s: the offset of each link is the clock's at that time."""
    times = [T + 400 * n for n in range(430)]
    sessions = [session(n, t, 40000 + n) for n, t in enumerate(times)]
    links, notes, _ = run(sessions, [conn(n, t + 100 + 200e-6 * (t - T), 40000 + n) for n, t in enumerate(times)])
    assert len(ties(links, "five_tuple")) == 430
    assert all(abs(link["clock_offset"] - 100 - 200e-6 * (times[link["sid"]] - T)) < 0.05 for link in links if link["match"] == "five_tuple")
    assert any("drifts" in note.reason for note in notes)


def test_twelve_hour_clock_is_named() -> None:
    times = [T + 600 * n for n in range(20)]
    sessions = [session(n, t, 40000 + n) for n, t in enumerate(times)]
    events = [conn(n, t - 25200 - (43200 if n % 2 else 0), 40000 + n, ts_field="TimeCreated") for n, t in enumerate(times)]
    links, notes, _ = run(sessions, events)
    assert len(ties(links, "five_tuple")) == 20
    assert any("12-hour clock" in note.reason for note in notes)


def test_behind_a_translator_the_remote_end_and_time_are_left() -> None:
    sessions = [session(0, T, 1025, orig="10.99.0.1"), session(1, T + 1, 1026, orig="10.99.0.1", resp="192.0.2.9")]
    links, notes, _ = run(sessions, [conn(0, T + 2.7, 50000), event(1, T + 2.5, "process_start")])
    assert ties(links, "remote_time") == {(0, 0), (1, 0)}
    assert not ties(links, "five_tuple", "community_id", "process")
    assert "translated" in {note.kind for note in notes}


def test_behind_a_forwarded_port_who_connects_and_from_where_is_left() -> None:
    """The sensor saw the public address, the host its own, maybe at another port: who connects, and from which port, is the same on both sides. An outgoing
    connection to that same end is another thing."""
    served = event(0, T + 2.7, local_ip="10.0.0.5", local_p=2222, remote_ip="192.0.2.1", remote_p=53047, proto="tcp", initiated=False)
    gate = "203.0.113.5"
    sessions = [session(0, T, 53047, orig="192.0.2.1", resp=gate, inside_h=gate), session(1, T + 1, 40000, orig=gate, resp="192.0.2.1", rport=53047),
                session(2, T + 1, 53048, orig="192.0.2.1", resp=gate, inside_h=gate)]
    links, notes, _ = run(sessions, [served, event(1, T + 2.5, "process_start")])
    assert ties(links, "remote_time") == {(0, 0), (1, 0)}
    assert ties(links) == ties(links, "five_tuple", "community_id", "process") == set()
    assert {round(link["clock_offset"], 1) for link in links if link["eid"] == 0} == {2.7}
    assert all(0.5 < link["confidence"] < 1 for link in links)
    assert "translated" in {note.kind for note in notes}
    assert [note.reason for note in notes if note.kind == "blind_spot"] == [
        "no telemetry from 1 hosts that sent outbound: 203.0.113.5 (2 sessions, 0 bytes out)"]  # not of the session that the host told of


def test_an_alert_without_session_says_why() -> None:
    events = [conn(0, T, 50000), event(1, T + 1, "alert", guid="g2", pid=5), event(2, T + 90000, "alert", guid="g3", pid=6),
              conn(3, T + 2, 4443, local="127.0.0.1", remote="127.0.0.1", rport=443, kind="alert", guid="g4", pid=8),
              event(4, None, "alert", guid="g5", pid=9)]
    _, _, con = run([session(0, T, 50000)], events)
    reasons = dict(join.unmatched_alerts(con))
    assert set(reasons) == {1, 2, 3, 4}
    assert "not be logged yet" in reasons[2]
    assert "loopback" in reasons[3]
    assert "no time" in reasons[4]


def test_unknown_owners_are_told() -> None:
    sessions = [session(0, T, 50000), session(1, T + 1, 50001, history="DadA"), session(2, T + 2, 50002, orig="10.0.0.77")]
    _, notes, con = run(sessions, [conn(0, T, 50000)])
    reasons = dict(join.owner_unknown(con))
    assert "before the capture" in reasons[1]
    assert "no telemetry from this host" in reasons[2]
    assert {"blind_spot", "owner_unknown"} <= {note.kind for note in notes}


def test_linking_twice_is_the_same() -> None:
    sessions, events = [session(0, T, 50000)], [conn(0, T, 50000), event(1, T - 1, "process_start")]
    first, _, con = run(sessions, events)
    join.link(con, Policy())
    assert con.execute("SELECT count(*) FROM link").fetchone() == (len(first),)


def test_an_address_belongs_to_its_holder_of_that_time() -> None:
    """The address changed hands: what started on the first host is not offered for the second one's session."""
    sessions = [session(0, T, 50000), session(1, T + 80000, 50001), session(2, T + 80100, 50002, resp="192.0.2.8")]
    events = [conn(0, T, 50000), conn(1, T + 80000, 50001, host="ws2", guid="g2"),
              event(2, T + 80095, "process_start", guid="g3", pid=3), event(3, T + 80095, "process_start", host="ws2", guid="g4", pid=4)]
    links, _, _ = run(sessions, events)
    assert (3, 2) in ties(links, "host_time")
    assert (2, 2) not in ties(links, "host_time")


def test_an_address_is_not_its_holder_s_while_he_had_another() -> None:
    """The host told of 10.0.0.5, then of 10.0.0.6: who had that one before is not known, and the host's start then is not offered. A host that tells
    of both all the time has both."""
    def told(second: int) -> list[Any]:
        return [conn(0, T, 50000), conn(1, T + 1000, 50001), conn(2, T + second, 50002, local="10.0.0.6"), event(3, T + 501, "process_start", pid=7, guid="g7")]

    sessions = [session(0, T, 50000), session(1, T + 1000, 50001), session(2, T + 2000, 50002, orig="10.0.0.6"),
                session(3, T + 502, 50003, orig="10.0.0.6", resp="192.0.2.8"), session(4, T + 10, 50002, orig="10.0.0.6")]
    assert not ties(run(sessions, told(2000))[0], "host_time") & {(3, 3)}
    assert (3, 3) in ties(run(sessions, told(10))[0], "host_time")


def test_an_address_used_in_turn_names_nobody() -> None:
    sessions = [session(n, T + 4000 * n, 50000 + n) for n in range(10)] + [session(20, T + 16010, 60000, resp="192.0.2.8")]
    events = [conn(n, T + 4000 * n, 50000 + n, host=f"ws{n % 2}", guid=f"g{n % 2}") for n in range(10)]
    events += [event(30, T + 16009, "process_start", host="ws0", guid="g7", pid=7)]
    links, notes, _ = run(sessions, events)
    assert "address_shared" in {note.kind for note in notes}
    assert not ties(links, "host_time")


def test_names_of_the_network_and_a_map_give_addresses(tmp_path: Any) -> None:
    start = [event(0, T - 3, "process_start", host="srv7")]
    links, _, _ = run([session(0, T, 50000)], start)
    assert not links
    links, _, _ = run([session(0, T, 50000)], start, names=[("10.0.0.5", "SRV7.corp.example", "host", T - 500, T + 500, "dhcp")])
    assert ties(links, "host_time") == {(0, 0)}
    for name, text in (("map.csv", "host,address\nSRV7,10.0.0.5\n"), ("map.json", '{"srv7.corp.example": ["10.0.0.5"]}')):
        path = tmp_path / name
        path.write_text(text)
        links, _, _ = run([session(0, T, 50000)], start, hosts=str(path))
        assert ties(links, "host_time") == {(0, 0)}


@pytest.mark.parametrize("text", ["[1, 2]", "{", "host,address\nws1\n", "host,address,from\nws1,10.0.0.5,yesterday\n"])
def test_a_bad_map_is_one_clear_error(tmp_path: Any, text: str) -> None:
    path = tmp_path / "map"
    path.write_text(text)
    with pytest.raises(NetexfilError, match="map"):
        run([session(0, T, 50000)], [conn(0, T, 50000)], hosts=str(path))


def test_a_lookup_leads_to_the_address_it_gave() -> None:
    sessions = [session(0, T, 50000), session(1, T + 3, 50001, resp="192.0.2.9")]
    look = event(1, T + 2.9, "dns", guid="g9", pid=9, answers="::ffff:192.0.2.9,files.example")
    links, _, _ = run(sessions, [conn(0, T, 50000), look])
    assert ties(links, "remote_time") == {(1, 1)}


def test_a_community_id_stands_for_the_tuple() -> None:
    columns = (*SESSION, "community_id")
    con = tables.connect()
    tables.create(con)
    tables.insert(con, "session", [(*session(0, T, 50000), "1:abc=")], columns)
    tables.insert(con, "event", [event(0, T + 1.2, community_id="1:abc=")], EVENT)
    join.link(con, Policy())
    assert con.execute("SELECT match, eid, sid FROM link").fetchall() == [("community_id", 0, 0)]


def test_times_of_other_events_follow_the_record_clock() -> None:
    """Connections are days off, starts are not: the record's own time says so."""
    times = [T + 60 * n for n in range(5)]
    sessions = [session(n, t, 50000 + n) for n, t in enumerate(times)]
    events = [conn(n, t - 483275.0, 50000 + n, ts_rec=t + 1.0) for n, t in enumerate(times)]
    events += [event(9, T - 2.0, "process_start", ts_rec=T - 1.0), event(10, T - 1.0, "file_create", ts_rec=T)]
    links, _, _ = run(sessions, events)
    start = next(link for link in links if link["eid"] == 9 and link["sid"] == 0)
    assert start["match"] == "process"
    assert start["seconds_apart"] == pytest.approx(-2.0, abs=0.1)
    assert (10, 0) in ties(links, "process")


def test_two_hosts_cannot_own_one_end_of_a_session() -> None:
    """Two networks with the same private addresses: the host that chance brought here loses; of two that are as sure, neither is proved."""
    sessions = [session(n, T + 60 * n, 50000 + n) for n in range(6)]
    mine = [conn(n, T + 60 * n, 50000 + n) for n in range(6)]
    other = {"host": "ws9", "guid": "o", "pid": 900, "image": "other.exe"}
    links, _, _ = run(sessions, [*mine, conn(10, T + 130, 50002, **other)])
    assert ties(links, "five_tuple") == {(n, n) for n in range(6)}
    links, _, _ = run(sessions, mine + [conn(10 + n, T + 60 * n + 5, 50000 + n, **other) for n in range(3)])
    assert ties(links, "five_tuple") == {(n, n) for n in (3, 4, 5)}
    assert not {link["sid"] for link in links if link["match"] == "process"}


def test_both_ends_and_one_machine_under_two_names_are_believed() -> None:
    sessions = [session(n, T + 60 * n, 50000 + n, resp="10.0.0.9") for n in range(3)]
    mine = [conn(n, T + 60 * n, 50000 + n, remote="10.0.0.9") for n in range(3)]
    server = {"host": "srv", "guid": "s", "pid": 22, "image": "sshd", "local_ip": "10.0.0.9", "local_p": 22, "remote_ip": "10.0.0.5", "proto": "tcp"}
    theirs = [event(10 + n, T + 60 * n + 40, remote_p=50000 + n, initiated=False, **server) for n in range(3)]
    again = [conn(20 + n, T + 60 * n - 41, 50000 + n, remote="10.0.0.9", host="ws1-agent", dialect="edr", guid=None) for n in range(3)]
    inside = [conn(30 + n, T + 60 * n, 50000 + n, remote="10.0.0.9", host="container", dialect="falco", guid=None, pid=7) for n in range(3)]
    links, _, _ = run(sessions, mine + theirs + again + inside)
    assert ties(links, "five_tuple") == {(first + n, n) for n in range(3) for first in (0, 10, 20, 30)}


def test_two_collectors_with_clocks_of_their_own() -> None:
    """The same records once as written and once as they arrived elsewhere, and an export that changes its field half-way: each by its own clock."""
    sessions = [session(n, T + 60 * n, 50000 + n) for n in range(6)]
    written = [conn(n, T + 60 * n + 2.7, 50000 + n) for n in range(6)]
    arrived = [conn(10 + n, T + 60 * n - 41 + 0.1 * n, 50000 + n, ts_field="TimeCreated", dialect="forwarded") for n in range(6)]
    links, _, _ = run(sessions, written + arrived)
    assert ties(links, "five_tuple") == {(first + n, n) for n in range(6) for first in (0, 10)}
    changed = [conn(n, T + 60 * n + (3600 if n < 3 else -120), 50000 + n, ts_field="UtcTime" if n < 3 else "@timestamp") for n in range(6)]
    links, _, _ = run(sessions, changed)
    assert ties(links, "five_tuple") == {(n, n) for n in range(6)}
    assert {round(link["clock_offset"]) for link in links if link["match"] == "five_tuple"} == {3600, -120}


def test_tunnels_proxies_and_changing_addresses() -> None:
    """What the sensor sees is linked: the tunnel, the leg to the proxy, each IPv6 address that is told of; what runs inside or beyond is not."""
    tunnel = session(0, T, 4500, resp="198.51.100.1", rport=4500, proto="udp", history="Dd", duration=3600.0)
    legs = [session(1, T, 50000, resp="10.0.0.80", rport=3128), session(2, T + 0.2, 41000, orig="10.0.0.80", rport=443)]
    six = [session(3, T, 50003, orig="2001:db8::aaaa", resp="2001:db8:1::1"), session(4, T + 9, 50004, orig="2001:db8::bbbb", resp="2001:db8:1::1")]
    events = [event(0, T, local_ip="10.0.0.5", local_p=4500, remote_ip="198.51.100.1", remote_p=4500, proto="udp", pid=4, guid="vpn"),
              conn(1, T, 50000, remote="10.0.0.80", rport=3128), conn(2, T + 100, 50100, local="10.8.0.2"),
              conn(3, T, 50003, local="2001:DB8:0:0:0:0:0:AAAA", remote="2001:db8:1::1"),
              conn(4, T + 9, 50004, local="2001:db8::bbbb%12", remote="2001:db8:1::1")]
    links, _, _ = run([tunnel, *legs, *six], events)
    assert ties(links, "five_tuple") == {(0, 0), (1, 1), (3, 3), (4, 4)}
    assert not {link["sid"] for link in links if link["sid"] == 2 and link["confidence"] > 0.5}
