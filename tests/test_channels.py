"""Channels: siblings, clear legs, entities; the same whatever the order, the split into runs, or the partition."""

from __future__ import annotations

import random
from typing import Any

from made import DAY, INSIDE, MONDAY, add, browsing, channels_of, fill, session

from netexfil import channels, outbound, tables
from netexfil.entity import entity

HOST, OUT = "10.0.0.1", "198.51.100.7"


def ftps(start: float = MONDAY, hints: str | None = None) -> list[dict[str, Any]]:
    """A control session of 300 s, three data sessions to high ports within it, one after it, and one to another server."""
    data = [session(start + 10 + 20 * k, HOST, OUT, 5_000_000, 600, 50_000 + k, hints=hints) for k in range(3)]
    return [
        session(start, HOST, OUT, 1_800, 5_200, 21, service="ftp,ssl", duration=300.0), *data,
        session(start + 5_000, HOST, OUT, 7_000, 600, 50_010), session(start + 20, HOST, "198.51.100.8", 9_000, 600, 50_011),
    ]


def rows(con: Any, columns: str = "*") -> list[tuple[Any, ...]]:
    return con.execute(f"SELECT {columns} FROM channel ORDER BY ALL").fetchall()


def test_ftps_data_sessions_join_their_control_session() -> None:
    con = channels_of(ftps())
    assert rows(con, "remote_h, remote_p, protocol, sessions, siblings, bytes_low") == [
        (OUT, 21, "FTPS", 4, 3, 15_001_800), (OUT, 50_010, "HTTPS", 1, 0, 7_000), ("198.51.100.8", 50_011, "HTTPS", 1, 0, 9_000)]


def test_data_joins_the_control_session_that_was_open_then() -> None:
    rng = random.Random(3)
    controls = [session(MONDAY + rng.uniform(0, 2 * DAY), HOST, OUT, 1_800, 5_200, (21, 990)[n % 2], service="ftp,ssl",
                        duration=10 ** rng.uniform(0, 5), uid=f"A{n}") for n in range(12)]
    data = [session(MONDAY + rng.uniform(0, 3 * DAY), HOST, OUT, 7_000, 600, 50_000 + n, uid=f"B{n}") for n in range(400)]
    con = channels_of([*controls, *data])
    told = dict(con.execute("SELECT s.uid, c.remote_p FROM session s JOIN channel c USING (cid) WHERE s.uid LIKE 'B%'").fetchall())
    for row in data:
        ts = row["ts"]
        opened = [c for c in controls if c["ts"] <= ts <= c["ts"] + c["duration"] + 60 and c["ts"] // DAY == ts // DAY]
        latest = max(opened, key=lambda c: c["ts"], default={"resp_p": row["resp_p"]})
        assert told[row["uid"]] == latest["resp_p"]


def test_active_mode_data_comes_from_the_server() -> None:
    control = session(MONDAY, HOST, OUT, 1_800, 5_200, 21, service="ftp,ssl", duration=300.0)
    data = session(MONDAY + 9, OUT, HOST, 600, 5_000_000, 51_000, orig_p=20, service=None)
    assert rows(channels_of([control, data]), "remote_p, siblings, bytes_low") == [(21, 1, 5_001_800)]


def test_a_session_on_a_control_port_is_no_sibling_of_itself() -> None:
    odd = session(MONDAY, HOST, OUT, 900_000, 700, 21, service="ftp-data", hints="ftp_data")
    assert rows(channels_of([odd]), "remote_p, siblings, bytes_low") == [(21, 0, 900_000)]


def test_a_clear_leg_is_kept_only_beside_a_watched_session() -> None:
    leg = session(MONDAY + 1, HOST, OUT, 900_000, 700, 80, service="http")
    assert rows(channels_of([leg]), "remote_p") == []
    beside = session(MONDAY, HOST, OUT, 2_000, 4_000)
    assert rows(channels_of([leg, beside]), "remote_p, clear_leg") == [(80, True), (443, False)]
    media = session(MONDAY + 1, HOST, OUT, 90_000_000, 0, 3478, proto="udp", service=None)
    assert rows(channels_of([media, beside]), "remote_p, clear_leg") == [(443, False), (3478, False)]
    elsewhere = session(MONDAY, HOST, "198.51.100.9", 2_000, 4_000, server_name="g.api.mega.co.nz")
    con = fill([leg, elsewhere])
    tables.insert(con, "name", [[OUT, "gfs1.userstorage.mega.co.nz", "dns", MONDAY - 5, MONDAY, "dns.log"]])
    outbound.turn(con, INSIDE)
    channels.build(con, INSIDE)
    assert rows(con, "remote_p, entity") == [(80, "mega.co.nz"), (443, "mega.co.nz")]


def test_a_clock_beyond_2038_is_a_clock() -> None:
    """A stamp need not be sane: a sensor's clock may be wrong by decades, and the other hosts' channels must not go with it."""
    late = 2_305_900_000.0
    con = fill([session(late, HOST, OUT, 2_000, 4_000), session(MONDAY, HOST, OUT, 2_000, 4_000)])
    tables.insert(con, "name", [[OUT, "late.example.org", "dns", late, late, "dns.log"]])
    outbound.turn(con, INSIDE)
    channels.build(con, INSIDE)
    assert rows(con, "day") == [(int(MONDAY // DAY),), (int(late // DAY),)]


def test_a_name_that_arrives_after_the_window_does_not_change_it() -> None:
    con = fill([session(MONDAY, HOST, OUT, 2_000, 4_000)])
    tables.insert(con, "name", [[OUT, "late.example.org", "dns", MONDAY + DAY, MONDAY + DAY, "dns.log"]])
    outbound.turn(con, INSIDE)
    channels.build(con, INSIDE)
    assert rows(con, "entity, server_name") == [(OUT, None)]


def test_order_does_not_matter() -> None:
    made = [*ftps(), *browsing(12, 3), *(session(MONDAY + k, HOST, OUT, 5_000, 90, server_name=f"n{k}.example.org") for k in range(9))]
    whole = rows(channels_of(made))
    random.Random(7).shuffle(made)
    assert rows(channels_of(made)) == whole


def test_days_one_by_one_make_the_same_channels_and_fleet() -> None:
    made = [*browsing(12, 4), *ftps(MONDAY + 2 * DAY)]
    whole = channels_of(made)
    con = fill([])
    for day in range(4):
        con.execute("DELETE FROM session")
        add(con, [row for row in made if int((row["ts"] - MONDAY) // DAY) == day])
        outbound.turn(con, INSIDE)
        channels.build(con, INSIDE)
    assert rows(con) == rows(whole)
    assert con.execute("SELECT * FROM fleet ORDER BY ALL").fetchall() == whole.execute("SELECT * FROM fleet ORDER BY ALL").fetchall()


def test_fleet_rows_of_partitions_add_up() -> None:
    made = browsing(20, 4)
    whole = channels_of(made).execute("SELECT * FROM fleet ORDER BY ALL").fetchall()
    parts: dict[tuple[str, int], list[int]] = {}
    for part in range(3):
        mine = [row for row in made if hash(row["orig_h"]) % 3 == part]
        for name, day, users, senders in channels_of(mine).execute("SELECT * FROM fleet").fetchall():
            held = parts.setdefault((name, day), [0, 0])
            held[0] += users
            held[1] += senders
    assert sorted((name, day, *counts) for (name, day), counts in parts.items()) == whole


def test_fleet_counts_hosts_of_thirty_days() -> None:
    made = [session(MONDAY + day * DAY, f"10.0.0.{host}", OUT, 200_000, 90) for host, day in ((1, 0), (2, 0), (1, 10), (3, 31))]
    con = channels_of(made)
    summed = dict(con.execute("SELECT day, sum(users) OVER (ORDER BY day) FROM fleet WHERE entity = ?", [OUT]).fetchall())
    first = int(MONDAY // DAY)
    assert [summed[first], summed[first + 10], summed[first + 31]] == [2, 2, 2]


def test_entity() -> None:
    table = {
        "a.b.example.com": "example.com", "example.com": "example.com", "x.example.co.uk": "example.co.uk", "g.api.mega.co.nz": "mega.co.nz",
        "theirs.blob.core.windows.net": "theirs.blob.core.windows.net", "bucket.s3.eu-west-1.amazonaws.com": "bucket.s3.eu-west-1.amazonaws.com",
        "me.github.io": "me.github.io", "WWW.Example.ORG.": "example.org", "192.0.2.1": None, "": None, None: None, "localhost": "localhost",
        "a.de": "a.de", "x.y.de": "y.de",
    }
    assert {name: entity(name) for name in table} == table
