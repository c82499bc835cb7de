"""Judgement: the published cases, the ordinary ones, single questions, the endpoint's word."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made import DAY, INSIDE, MONDAY, SSH, browsing, channels_of, codes, event, findings, join, session

from netexfil import channels, detect, policy, tables
from netexfil.detect import gather, links, words
from netexfil.detect.allowed import suppressed
from netexfil.finding import Finding

HOST, OUT = "10.0.0.1", "198.51.100.77"


def akira(start: float = MONDAY + 4 * DAY + 4_320) -> list[dict[str, Any]]:
    """The DFIR Report's BumbleBee to Akira case: two FileZilla sessions side by side, reset at the end (figures as published)."""
    ssh = SSH | {"ssh_client": "SSH-2.0-FileZilla_3.68.1", "ssh_server": "SSH-2.0-OpenSSH_for_Windows_9.8", "conn_state": "RSTO"}
    return [
        session(start, HOST, "185.174.100.203", 39_282_787_186, 91_000_000, duration=16_362.0, orig_p=60_368, **ssh),
        session(start + 36, HOST, "185.174.100.203", 41_177_980_833, 96_000_000, duration=16_733.0, orig_p=60_367, **ssh),
    ]


def alert(found: list[Finding], remote: str = OUT) -> Finding:
    """The one alert on this destination."""
    held = [f for f in found if f.is_alert and f.destination and remote in f.destination["ips"]]
    assert held, [(f.score, codes(f)) for f in found]
    return max(held, key=lambda f: f.score)


# --- published cases ---------------------------------------------------------------------------------------------------------------


def test_akira_is_first_and_reset_sessions_count() -> None:
    found = findings([*browsing(20, 5), *akira()])
    top = found[0]
    assert top.destination is not None
    assert top.destination["ips"] == ["185.174.100.203"]
    assert (top.severity, top.sessions, top.bytes_out["low"]) == ("critical", 2, 80_460_768_019)
    assert {"volume", "asymmetry", "tool_banner", "new_to_network", "new_protocol"} <= set(codes(top))
    assert top.tool == {"name": "FileZilla", "source": "wire", "verdict": "network"}


def test_akira_is_an_alert_ten_minutes_after_its_start_and_the_same_finding_at_its_end() -> None:
    running = [row | {"duration": 600.0, "orig_bytes": 1_440_000_000, "orig_low": 1_440_000_000, "orig_high": None, "orig_quality": "bounded",
                      "conn_state": "OTH", "hints": "open"} for row in akira()]
    early = alert(findings([*browsing(20, 5), *running]), "185.174.100.203")
    assert early.in_progress
    late = alert(findings([*browsing(20, 5), *akira()]), "185.174.100.203")
    assert late.id == early.id
    assert not late.in_progress


def test_rclone_over_ssh_and_its_second_try_from_another_host() -> None:
    ssh = SSH | {"ssh_client": "SSH-2.0-rclone/v1.69.0"}
    first = [session(MONDAY + 4 * DAY + k, HOST, "193.242.184.178", 900_000_000, 2_000_000, duration=600.0 + k, orig_p=50_000 + k,
        **ssh) for k in range(4)]
    second = [session(MONDAY + 4 * DAY + 9_000, "10.0.0.2", "67.217.57.252", 700_000_000, 2_000_000, duration=600.0, **ssh)]
    found = findings([*browsing(20, 5), *first, *second])
    for remote in ("193.242.184.178", "67.217.57.252"):
        held = alert(found, remote)
        assert held.severity == "critical"
        assert held.tool["name"] == "rclone"


def drip(days: int, size: int = 25_000, pieces: int = 40, jitter: float = 0.04, seed: int = 1) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [session(MONDAY + day * DAY + 20_000 + k * 1_200 + float(rng.uniform(0, 300)), HOST, OUT, int(size * (1 + jitter * rng.uniform(-1, 1))),
        3_300,
                    orig_p=40_000 + k, server_name="cdn.metrics-sync.example") for day in range(days) for k in range(pieces)]


@pytest.mark.parametrize("company", [True, False])
@pytest.mark.parametrize("jitter", [0.04, 0.6])
def test_one_megabyte_a_day_in_forty_chunks_is_found_by_the_eighth_day(company: bool, jitter: float) -> None:
    rows = drip(8, jitter=jitter) + (browsing(20, 8) if company else [])
    held = alert(findings(rows))
    assert held.window <= "2026-10-05"
    assert any(code.startswith("ledger") and points > 0 for code, points in codes(held).items())
    assert ({"technique": "T1030", "strategy": "DET0213"} in held.attack) == (jitter == 0.04)


def test_a_nightly_backup_of_the_same_volume_is_silent_with_its_entry_and_still_counted() -> None:
    site = policy.build({"networks": {"inside": ["10.0.0.0/8"]}, "allow": [{"destination": OUT, "reason": "nightly backup"}]})
    found = findings(drip(8), site)
    assert not any(f.is_alert for f in found)
    assert any(f.suppressed and f.suppressed["reason"] == "nightly backup" for f in found)


# --- ordinary traffic --------------------------------------------------------------------------------------------------------------


ORDINARY = {
    "download": session(MONDAY, HOST, OUT, 30_000_000, 8_000_000_000),
    "interactive shell": session(MONDAY, HOST, OUT, 90_000, 400_000, duration=7_200.0, **SSH),
    "video call": session(MONDAY, HOST, OUT, 200_000_000, 230_000_000, duration=3_600.0, proto="udp", service=None),
    "vpn": session(MONDAY, HOST, OUT, 500_000_000, 900_000_000, duration=30_000.0),
    "git clone": session(MONDAY, HOST, OUT, 300_000, 90_000_000, **SSH),
    "git push": session(MONDAY, HOST, OUT, 900_000, 60_000, **SSH),
    "a form": session(MONDAY, HOST, OUT, 4_000_000, 9_000, server_name="forms.example.org"),
    "mail with a picture": session(MONDAY, HOST, OUT, 9_000_000, 4_000, 587, service="smtp,ssl"),
}


def test_ordinary_traffic_is_no_alert() -> None:
    apart = [
        row | {"uid": name, "orig_h": f"10.0.0.{place + 1}", "resp_h": f"198.51.100.{place + 101}"}
        for place, (name, row) in enumerate(ORDINARY.items())]
    assert [(f.session_uids, codes(f)) for f in findings([*browsing(20, 1), *apart]) if f.is_alert] == []


def test_what_a_tenth_of_the_company_does_outweighs_volume() -> None:
    heavy = [session(MONDAY + 40_000 + k, f"10.0.0.{k + 1}", "198.51.100.9", 900_000_000, 4_000_000,
        server_name="drive.example.net") for k in range(8)]
    found = findings([*browsing(40, 1), *heavy])
    assert not any(f.is_alert for f in found)
    assert all(codes(f).get("common", 0) == -35 for f in found if f.destination and f.destination["ips"] == ["198.51.100.9"])


def test_a_habit_of_days_outweighs_a_partner_delivery() -> None:
    rows = [session(MONDAY + day * DAY + 50_000, HOST, OUT, 40_000_000, 40_000,
        **(SSH | {"ssh_client": "SSH-2.0-WinSCP_release_6.3.3"})) for day in range(5)]
    by_day = {f.window: f for f in findings([*browsing(20, 5), *rows])}
    assert [by_day[day].is_alert for day in sorted(by_day)] == [True, True, False, False, False]


def test_a_public_server_is_no_pull_alert_but_one_guest_is() -> None:
    guests = [session(MONDAY + k, f"198.51.100.{k + 1}", HOST, 9_000, 90_000_000) for k in range(6)]
    assert not any(f.is_alert for f in findings(guests))
    held = alert(findings([session(MONDAY, OUT, HOST, 9_000, 90_000_000, **SSH)]))
    assert held.record()["direction"] == "pull"
    assert held.host["ip"] == HOST


# --- single questions --------------------------------------------------------------------------------------------------------------


QUESTIONS = [
    ("volume", session(MONDAY, HOST, OUT, 10_485_760, 9_000), 25), ("volume", session(MONDAY, HOST, OUT, 104_857_600, 9_000), 32),
    ("volume", session(MONDAY, HOST, OUT, 10_485_760_000_000, 9_000), 45), ("volume_small", session(MONDAY, HOST, OUT, 10_000_000, 9_000, **SSH), 5),
    ("asymmetry", session(MONDAY, HOST, OUT, 20_000_000, 9_000), 15), ("two_way", session(MONDAY, HOST, OUT, 20_000_000, 9_000_000), -15),
    ("download", session(MONDAY, HOST, OUT, 20_000_000, 90_000_000, hints="no_tls", service=None), -25),
    ("rate", session(MONDAY, HOST, OUT, 90_000_000, 9_000, duration=12.0), 3),
    ("ssh_on_tls_port", session(MONDAY, HOST, OUT, 20_000_000, 9_000, **(SSH | {"port": 443})), 25),
    ("ssh_off_port", session(MONDAY, HOST, OUT, 20_000_000, 9_000, **(SSH | {"port": 2222})), 8),
    ("tls_on_other_port", session(MONDAY, HOST, OUT, 20_000_000, 9_000, 22), 20),
    ("no_tls", session(MONDAY, HOST, OUT, 20_000_000, 9_000, service=None, hints="no_tls"), 15),
    ("clear_text", session(MONDAY, HOST, OUT, 20_000_000, 9_000, 990, service="ftp", hints="clear"), 12),
    ("self_signed", session(MONDAY, HOST, OUT, 20_000_000, 9_000, cert_self_signed=True, cert_subject="CN=localhost"), 8),
    ("file_sharing", session(MONDAY, HOST, OUT, 20_000_000, 9_000, server_name="w.mega.nz"), 8),
    ("dynamic_name", session(MONDAY, HOST, OUT, 20_000_000, 9_000, server_name="x1.duckdns.org"), 8),
    ("bare_address", session(MONDAY, HOST, OUT, 20_000_000, 9_000), 3),
    ("tool_disguised", session(MONDAY, HOST, OUT, 20_000_000, 9_000, hassh="4e066189c3bbeec38c99b1855113733a", **SSH), 25),
    ("tool_library", session(MONDAY, HOST, OUT, 20_000_000, 9_000, ja4="t13d1910h2_9dc949149365_97f8aa674fd9"), 3),
    ("asymmetry_onesided", session(MONDAY, HOST, OUT, 20_000_000, 0, resp_low=None, resp_high=None, resp_quality="unknown"), 15),
    ("asymmetry_onesided", session(MONDAY, HOST, OUT, 20_000_000, 0, 3478, proto="udp", service=None, resp_low=None, resp_high=None,
                                   resp_quality="unknown"), 5),
    ("volume_possible", session(MONDAY, HOST, OUT, 900_000, 9_000, orig_high=60_000_000, orig_quality="bounded", **SSH), 15),
    ("ssh_tunnel", session(MONDAY, HOST, OUT, 50_000_000, 20_000_000, duration=4_000.0, **SSH), 10),
]


def test_a_question_gives_its_points() -> None:
    apart = [row | {"uid": str(place), "orig_h": f"10.0.1.{place}", "resp_h": f"198.51.100.{place}"} for place, (_, row, _) in enumerate(QUESTIONS)]
    con = channels_of(apart)
    detect.select(con, INSIDE)
    c = links.described(gather.candidates(con, INSIDE), {})
    place_of = {remote.rpartition(".")[2]: place for place, remote in enumerate(c.text("remote_h"))}
    reasons, counted = detect.judge(c, INSIDE)
    for number, (code, row, points) in enumerate(QUESTIONS):
        place = place_of[str(number)]
        held = [
            (int(reason.points[place]), int(counted[line, place]))
            for line, reason in enumerate(reasons) if reason.code == code and reason.mask[place]]
        assert held, (code, row)
        assert held[0][0] == points, code
        assert held[0][1] in (points, 0)


def test_bulk_of_an_unknown_kind_says_no_more_than_was_seen() -> None:
    alone = session(MONDAY, HOST, OUT, 90_000_000, 9_000, 7680, service=None)
    [row] = [row for row in alert(findings([alone])).evidence if row.code == "clear_leg"]
    assert (row.points, row.text) == (12, "sent without TLS or SSH on port 7680, which is not watched")


def test_uploads_to_many_rare_addresses_add_up() -> None:
    rows = [session(MONDAY + 60 * k, HOST, f"198.51.100.{k + 1}", 8_000_000, 9_000) for k in range(20)]
    held = [f for f in findings([*browsing(20, 1), *rows]) if "host_day" in codes(f)]
    assert len(held) == 1
    assert held[0].is_alert


def test_an_upload_over_several_addresses_of_one_name_adds_up() -> None:
    rows = [session(MONDAY + 60 * k, HOST, f"198.51.100.{k + 1}", 4_000_000, 9_000, server_name="theirs.s3.amazonaws.com") for k in range(8)]
    held = [f for f in findings(rows) if f.is_alert]
    assert len(held) == 1
    assert "volume_entity" in codes(held[0])


def test_collected_inside_before_it_was_sent() -> None:
    pull = session(MONDAY, HOST, "10.0.9.9", 90_000, 60_000_000, 445, service="smb")
    held = alert(findings([pull, session(MONDAY + 7_200, HOST, OUT, 50_000_000, 9_000)]))
    assert codes(held)["collected"] == 12
    late = alert(findings([pull | {"ts": MONDAY + 9_000}, session(MONDAY + 7_200, HOST, OUT, 50_000_000, 9_000)]))
    assert "collected" not in codes(late)


def test_what_came_in_is_set_against_the_sessions_whose_answers_were_seen() -> None:
    blind = {"resp_low": None, "resp_high": None, "resp_quality": "unknown"}
    call = [session(MONDAY + 60 * n, HOST, OUT, 20_000_000, 18_000_000, **(blind if n else {})) for n in range(10)]
    told = next(f for f in findings(call) if f.destination and OUT in f.destination["ips"])
    assert "two_way" in codes(told)
    assert told.pcr == pytest.approx(0.0526, abs=1e-4)


def test_a_few_answers_do_not_make_a_blind_channel_one_sided_or_two_way() -> None:
    blind = session(MONDAY + 60, HOST, OUT, 200_000_000, 0, resp_low=None, resp_high=None, resp_quality="unknown")
    told = alert(findings([session(MONDAY, HOST, OUT, 6_000, 5_000), blind]))
    assert codes(told)["asymmetry_onesided"] == 15
    assert not {"two_way", "asymmetry"} & codes(told).keys()


def test_hours_count_only_where_the_zone_is_known() -> None:
    row = session(MONDAY + 3 * 3_600, HOST, OUT, 50_000_000, 9_000)
    assert "hours" not in codes(alert(findings([row])))
    site = policy.build({"networks": {"inside": ["10.0.0.0/8"]}, "time": {"zone": "Europe/Berlin"}})
    assert codes(alert(findings([row], site)))["hours"] == 4


def test_hours_are_those_of_the_largest_upload_of_the_day() -> None:
    site = policy.build({"networks": {"inside": ["10.0.0.0/8"]}, "time": {"zone": "UTC"}})
    by_day, by_night = ([session(MONDAY + hour * 3_600, HOST, OUT, up, 9_000) for hour, up in ((3, night), (10, day))]
                        for night, day in ((60_000, 50_000_000), (50_000_000, 60_000)))
    assert "hours" not in codes(alert(findings(by_day, site)))
    told = next(item for item in alert(findings(by_night, site)).evidence if item.code == "hours")
    assert told.value == "Mon 03:00"


# --- endpoint ----------------------------------------------------------------------------------------------------------------------


def linked(row: dict[str, Any], events: list[list[Any]], alerts: list[list[Any]], match: str = "five_tuple",
    site: policy.Policy = INSIDE) -> list[Finding]:
    con = channels_of([row], site)
    join(con, [{"uid": row["uid"], "eid": e[list(tables.EVENT).index("eid")], "match": match} for e in events], events, alerts)
    channels.build(con, site)
    return detect.score(con, site)


RULE = [7, "logscale", "Exfiltration tool", "high", "high", "T1048.002", "rclone", "rclone.exe copies to a remote"]


def test_a_small_upload_by_a_named_tool_with_a_rule_is_an_alert() -> None:
    row = session(MONDAY, HOST, OUT, 400_000, 5_000, uid="C1")
    found = linked(row, [event(7, image=r"C:\Temp\rclone.exe", pid=44, user="CORP\\jdoe")], [RULE])
    held = alert(found)
    assert held.severity == "high"
    assert (held.tool["name"], held.tool["verdict"]) == ("rclone", "endpoint")
    assert held.links[0].event["pid"] == 44
    assert codes(held)["endpoint_alert"] == 35


def test_a_rule_on_a_download_is_told_but_no_alert() -> None:
    row = session(MONDAY, HOST, OUT, 90_000, 50_000_000, uid="C1")
    found = linked(row, [event(7, image="/usr/bin/curl", pid=44)], [RULE])
    assert [f.is_alert for f in found] == [False]


def test_a_renamed_rclone_is_contradicted() -> None:
    row = session(MONDAY, HOST, OUT, 900_000, 5_000, uid="C1", **(SSH | {"ssh_client": "SSH-2.0-rclone/"}))
    held = alert(linked(row, [event(7, image="/var/tmp/svchost", pid=44)], []))
    assert held.tool == {"name": "rclone", "source": "both", "verdict": "contradicted"}
    assert codes(held)["tool_contradicted"] == 20


def test_wire_and_process_are_compared_within_one_session() -> None:
    upload = session(MONDAY, HOST, OUT, 12_000_000, 5_000, uid="C1", **(SSH | {"ssh_client": "SSH-2.0-PuTTY_Release_0.78"}))
    shell = session(MONDAY + 60, HOST, OUT, 5_000, 9_000, uid="C2", **SSH)
    con = channels_of([upload, shell])
    join(con, [{"uid": "C1", "eid": 1, "confidence": 0.97}, {"uid": "C2", "eid": 2, "confidence": 0.99}],
         [event(1, image=r"C:\x\pscp.exe", pid=1), event(2, image="/usr/bin/ssh", pid=2)])
    channels.build(con, INSIDE)
    held = alert(detect.score(con, INSIDE))
    assert held.tool["verdict"] == "confirmed"
    assert held.links[0].event["pid"] == 1
    assert "tool_contradicted" not in codes(held)


@pytest.mark.parametrize(("amount", "said"), [
    (999, "999 bytes"), (999_499, "999 kB (999,499 bytes)"), (999_999, "1 MB (999,999 bytes)"), (1_404_223_111, "1.4 GB (1,404,223,111 bytes)"),
])
def test_amounts_are_read_at_a_glance(amount: int, said: str) -> None:
    assert words.size(amount) == said


def test_an_alert_whose_upload_nobody_saw_is_told_without_a_destination() -> None:
    con = channels_of([session(MONDAY, HOST, OUT, 900, 500)])
    join(con, [], [event(7, image=r"C:\Temp\rclone.exe", pid=44)], [RULE])
    tables.insert(con, "unmatched", [[7, "the sensor saw no session of this host"]])
    found = detect.score(con, INSIDE)
    assert [(f.kind, f.destination, f.is_alert) for f in found] == [("endpoint", None, False)]
    assert "sensor saw no session" in found[0].evidence[1].text


@pytest.mark.parametrize(("match", "remote", "sent", "said"), [
    ("host_time", "10.0.0.9", 500, "no session is surely its own"), ("host_time", OUT, 900, "no session is surely its own"),
    ("five_tuple", OUT, 9_000, "carried 9 kB (9,000 bytes): too little"), ("five_tuple", "10.0.0.9", 9_000, "does not leave the network"),
])
def test_an_alert_that_no_channel_shows_is_told(match: str, remote: str, sent: int, said: str) -> None:
    con = channels_of([session(MONDAY, HOST, remote, sent, 500, uid="C1")])
    join(con, [{"uid": "C1", "eid": 7, "match": match, "confidence": 0.7}], [event(7, image=r"C:\Temp\rclone.exe", pid=44)], [RULE])
    found = detect.score(con, INSIDE)
    assert [(f.kind, f.is_alert) for f in found] == [("endpoint", False)]
    assert said in found[0].evidence[1].text


def test_an_alert_without_time_is_told_as_such() -> None:
    """In no window, with no date, and hidden by no entry that is for a time: nobody knows whether it has expired."""
    con = channels_of([session(MONDAY, HOST, OUT, 900, 500)])
    join(con, [], [event(7, ts=None, image=r"C:\Temp\rclone.exe", pid=44)], [RULE])
    tables.insert(con, "unmatched", [[7, "the sensor saw no session of this host"]])
    [found] = detect.score(con, INSIDE)
    record = found.record()
    assert [record[name] for name in ("first_ts", "last_ts", "first_time", "last_time", "window")] == [None, None, None, None, ""]
    assert Finding.from_record(record) == found
    assert detect.score(con, INSIDE, [0, int(MONDAY // DAY)]) == []
    for until, hidden in ((None, True), (dt.date(2099, 1, 1), False)):
        allowed = replace(INSIDE, allow=(policy.Allow(process="rclone.exe", reason="a test", expires=until),))
        assert (detect.score(con, allowed)[0].suppressed is not None) == hidden


def test_windows_are_judged_one_by_one_where_no_process_is_known_for_sure() -> None:
    con = channels_of([session(MONDAY + day * DAY, HOST, OUT, 900, 500, uid=f"C{day}") for day in range(2)])
    events = [event(day, ts=MONDAY + day * DAY + 5, image=r"C:\Temp\rclone.exe", pid=44) for day in range(2)]
    join(con, [], events, [[day, *RULE[1:]] for day in range(2)])
    tables.insert(con, "unmatched", [[day, "the sensor saw no session of this host"] for day in range(2)])
    day = int(MONDAY // DAY)
    parts = [f.id for place in (day, day + 1) for f in detect.score(con, INSIDE, [place])]
    assert sorted(parts) == sorted(f.id for f in detect.score(con, INSIDE))
    assert len(set(parts)) == 2


def test_findings_of_events_without_a_process_have_ids_of_their_own() -> None:
    con = channels_of([session(MONDAY, HOST, OUT, 900, 500)])
    join(con, [], [event(eid, ts=MONDAY + 10 * (eid // 2)) for eid in range(4)], [[eid, *RULE[1:]] for eid in range(4)])
    tables.insert(con, "unmatched", [[eid, "the sensor saw no session of this host"] for eid in range(4)])
    found = detect.score(con, INSIDE)
    assert len({f.id for f in found}) == len(found) == 2


def test_an_alert_on_a_loopback_upload_is_an_alert() -> None:
    row = session(MONDAY, "127.0.0.1", "127.0.0.1", 696_000, 1_900, 4443, uid="C1")
    found = linked(row, [event(7, image="/usr/bin/mono", pid=44)], [RULE])
    assert [(f.kind, f.is_alert) for f in found] == [("endpoint", True)]


@pytest.mark.parametrize(("entry", "hidden"), [
    ({"destination": OUT}, True), ({"destination": "198.51.100.0/24"}, True), ({"destination": "example.org"}, True),
    ({"destination": "ample.org"}, False),
    ({"destination": OUT, "port": 22}, False), ({"host": "10.0.0.0/24"}, True), ({"host": "ws1"}, True), ({"tool": "curl"}, True),
    ({"tool": "rclone"}, False),
    ({"process": "/usr/bin/curl"}, True), ({"process": "curl.exe"}, True), ({"user": "jdoe"}, True), ({"user": "CORP\\jdoe"}, True),
    ({"user": "doe"}, False),
    ({"ceiling": 90_000_000, "port": 443}, True), ({"ceiling": 1_000, "port": 443}, False), ({"schedule": "Mon 00:00-01:00"}, True),
    ({"schedule": "Tue"}, False), ({"destination": OUT, "expires": "2026-09-29"}, True), ({"destination": OUT, "expires": "2026-09-28"}, False),
])
def test_allow_entries(entry: dict[str, Any], hidden: bool) -> None:
    site = policy.build({"allow": [{"reason": "known", **entry}]})
    facts = {"host": HOST, "host_name": "ws1", "remote": OUT, "names": ["up.example.org", "example.org"], "port": 443, "tool": "curl",
        "bytes": 50_000_000,
             "images": ["/usr/bin/curl"], "users": ["CORP\\jdoe"], "first_ts": MONDAY + 60, "last_ts": MONDAY + 90}
    assert (suppressed(facts, site) is not None) is hidden


@pytest.mark.parametrize("hours", [(0.5, 23.0), (0.5, 12.0, 23.0)])
def test_an_upload_by_day_is_not_hidden_by_those_of_the_nights_around_it(hours: Sequence[float]) -> None:
    site = policy.build({"allow": [{"reason": "backup", "destination": OUT, "schedule": "22:00-06:00"}]})
    rows = [session(MONDAY + 3600 * hour, HOST, OUT, 40_000_000, 50_000) for hour in hours]
    assert [f.suppressed is not None for f in findings(rows, site)] == [12.0 not in hours]


@pytest.mark.parametrize(("process", "images", "hidden"), [
    ("/usr/bin/restic", ["/usr/bin/restic", None], True), ("/usr/bin/restic", ["/tmp/restic"], False), ("restic", ["/tmp/restic"], True),
    ("restic", ["/usr/bin/restic", "/usr/bin/rclone"], False), ("restic", [None], False), ("restic", [], False),
    (r"C:\Tools\sync.exe", [r"\Device\HarddiskVolume3\Tools\Sync.exe"], True), (r"C:\Tools\sync.exe", [r"C:\Temp\Tools\sync.exe"], False),
])
def test_an_allowed_program_hides_no_other(process: str, images: Sequence[str | None], hidden: bool) -> None:
    site = policy.build({"allow": [{"reason": "known", "process": process}]})
    facts = {"host": HOST, "remote": OUT, "names": [], "port": 443, "bytes": 1, "images": images, "users": [], "first_ts": MONDAY, "last_ts": MONDAY}
    assert (suppressed(facts, site) is not None) is hidden
