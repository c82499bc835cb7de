"""The policy: defaults, checks that name the key, sides, schedules."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netexfil import defaults, outbound, policy, schedule, tables
from netexfil.errors import PolicyError

SITE = policy.build({"networks": {"inside": ["10.0.0.0/8", "203.0.113.0/28", "2001:db8:30::/64"]}})


def test_what_does_not_fit_in_memory_is_spilled_where_nobody_else_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "it's"))
    (tmp_path / "it's").mkdir()

    def folder() -> Path:
        with tables.connect() as con:
            row = con.execute("SELECT current_setting('temp_directory')").fetchone()
            return Path(row[0] if row else "")

    own = folder()
    assert own.stat().st_mode & 0o777 == 0o700
    assert folder() == own
    own.chmod(0o755)
    assert folder() != own
    assert folder().stat().st_mode & 0o077 == 0


def test_template_loads_to_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(defaults.template())
    loaded, built_in = policy.load(path), policy.Policy()
    assert loaded.inside == built_in.inside
    assert tuple(loaded.watched) == tuple(built_in.watched)
    assert loaded.zone is None
    for name in defaults.THRESHOLDS:
        assert loaded.threshold(name) == built_in.threshold(name), name
    examples = "\n".join(line.removeprefix("# ") for line in defaults.template().split("# [[allow]]")[1].splitlines())
    path.write_text("[[allow]]\n" + examples)
    assert policy.load(path).allow[0].user == "CORP\\backup"


def test_volume_thresholds_follow_outbound_volume() -> None:
    site = policy.build({"thresholds": {"outbound_volume": 262_144}})
    assert site.threshold("ledger_7d") == 262_144
    assert site.threshold("small_volume") == pytest.approx(26_214.4)
    assert policy.build({"thresholds": {"ledger_7d": 5}}).threshold("ledger_7d") == 5


@pytest.mark.parametrize(("text", "named"), [
    ("[network]\ninside = []", "network"),
    ("[networks]\ninside = ['10.0.0.1/8']", "networks.inside"),
    ("[networks]\ninside = '10.0.0.0/8'", "networks.inside"),
    ("[networks]\npublic = 'all'", "networks.public"),
    ("[networks]\noutside = []", "outside"),
    ("[ports]\nwatched = [0]", "ports.watched"),
    ("[ports]\nwatched = [true]", "ports.watched"),
    ("[thresholds]\nvolume = 3", "thresholds.volume"),
    ("[thresholds]\noutbound_volume = 'much'", "thresholds.outbound_volume"),
    ("[thresholds]\noutbound_volume = 0", "thresholds.outbound_volume"),
    ("[thresholds]\noutbound_volume = nan", "thresholds.outbound_volume"),
    ("[time]\nzone = 'Middle/Earth'", "time.zone"),
    ("[time]\nworking_hours = 'always'", "time.working_hours"),
    ("[tuning.friends]\nusers = []", "tuning.friends"),
    ("[tuning.devops]\nfriends = []", "tuning.devops"),
    ('[tuning.devops]\nusers = [""]', "tuning.devops.users"),
    ("[[allow]]\ndestination = '203.0.113.30'", "reason"),
    ("[[allow]]\nreason = 'x'", "everything"),
    ("[[allow]]\nreason = 'x'\ndestination = '203.0.113.300'", "destination"),
    ("[[allow]]\nreason = 'x'\nport = '22'", "port"),
    ("[[allow]]\nreason = 'x'\nport = 99999", "port"),
    ("[[allow]]\nreason = 'x'\nhost = '10.1.2.300'", "host"),
    ("[[allow]]\nreason = 'x'\ndestination = '*'", "destination"),
    ("[time]\nzone = 'Europe'", "time.zone"),
    ('[det0512]\ncertificate_issuer_denylist = [""]', "certificate_issuer_denylist"),
    ('[det0512]\nfile_sensitivity_context = ["payroll", " "]', "file_sensitivity_context"),
    ("[[allow]]\nreason = 'x'\nhots = '10.1.1.1'", "hots"),
    ("[[allow]]\nreason = 'x'\nport = 22\nexpires = 'soon'", "expires"),
    ("[[allow]]\nreason = 'x'\nschedule = '25:00-26:00'", "schedule"),
    ("allow = 3", "allow"),
    ("thresholds = 3", "thresholds"),
    ("x = [", "policy.toml"),
])
def test_an_error_names_the_key(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(PolicyError, match=named):
        policy.load(path)


@pytest.mark.parametrize(("address", "side"), [
    ("10.1.2.3", "inside"), ("203.0.113.9", "inside"), ("203.0.113.77", "public"), ("2001:db8:30::9", "inside"), ("2001:db8:31::9", "public"),
    ("192.168.1.1", "other"), ("172.31.255.255", "other"), ("172.32.0.1", "public"), ("127.0.0.1", "other"), ("169.254.1.1", "other"),
    ("100.64.0.1", "other"), ("100.128.0.1", "public"), ("224.0.0.251", "other"), ("239.1.1.1", "other"), ("255.255.255.255", "other"),
    ("0.0.0.0", "other"), ("8.8.8.8", "public"), ("198.51.100.1", "public"), ("::1", "other"), ("::", "other"), ("fe80::1", "other"),
    ("fd00::1", "other"), ("ff02::1", "other"), ("2606:4700::1", "public"), ("::ffff:10.1.2.3", "inside"), ("::ffff:8.8.8.8", "public"),
    ("not an address", "other"), ("", "other"), ("010.1.2.3", "other"), ("10.1.2.3\x00", "other"), ("\udc80", "other"),
])
def test_side(address: str, side: str) -> None:
    assert SITE.side(address) == side
    assert outbound.sides([address], SITE)[0] == {"other": 0, "inside": 1, "public": 2}[side]


def test_rfc1918_is_exactly_the_seeds_test() -> None:
    site = policy.build({"networks": {"inside": ["10.0.0.0/8"], "public": "rfc1918"}})
    assert [site.side(a) for a in ("100.64.0.1", "169.254.1.1", "224.0.0.1", "127.0.0.1", "172.16.0.1")] == ["public"] * 3 + ["other"] * 2


@given(st.lists(st.one_of(st.ip_addresses().map(str), st.text(max_size=20), st.ip_addresses(v=4).map(lambda a: f"::ffff:{a}")), max_size=20))
def test_one_pass_says_what_each_address_says(addresses: list[str]) -> None:
    codes = {"other": 0, "inside": 1, "public": 2}
    assert outbound.sides(addresses, SITE).tolist() == [codes[SITE.side(address)] for address in addresses]


@given(st.ip_addresses(v=4))
def test_inside_and_private_are_what_the_networks_say(address: ipaddress.IPv4Address) -> None:
    held = any(address in network for network in SITE.networks if network.version == 4)
    assert (SITE.side(str(address)) == "inside") == held


@pytest.mark.parametrize(("text", "moment", "holds"), [
    ("Mon-Fri 08:00-18:00", "2026-09-28T08:00", True), ("Mon-Fri 08:00-18:00", "2026-09-28T18:00", False),
    ("Mon-Fri 08:00-18:00", "2026-10-03T12:00", False), ("Sat,Sun", "2026-10-03T23:59", True),
    ("22:00-06:00", "2026-09-28T23:00", True), ("22:00-06:00", "2026-09-28T05:59", True), ("22:00-06:00", "2026-09-28T12:00", False),
    ("Mon 22:00-06:00", "2026-09-29T05:00", True), ("Mon 22:00-06:00", "2026-09-28T05:00", False), ("Fri-Mon", "2026-09-27T12:00", True),
])
def test_schedule(text: str, moment: str, holds: bool) -> None:
    assert schedule.schedule(text).holds(dt.datetime.fromisoformat(moment)) is holds


@pytest.mark.parametrize(("text", "first", "last", "holds"), [
    ("22:00-06:00", "2026-09-28T22:30", "2026-09-29T05:30", True), ("22:00-06:00", "2026-09-28T22:30", "2026-09-29T22:30", False),
    ("01:00-05:00", "2026-09-28T01:30", "2026-09-29T01:30", False), ("Mon,Tue", "2026-09-28T01:30", "2026-09-29T23:30", True),
    ("Mon,Wed", "2026-09-28T01:30", "2026-09-30T23:30", False), ("00:00-24:00", "2026-09-28T01:30", "2027-09-29T01:30", True),
    ("Mon", "2026-09-28T01:30", "2026-10-05T01:30", False), ("Mon-Sat 20:00-20:00", "2026-09-28T20:00", "2026-09-28T20:00", False),
])
def test_a_schedule_covers_what_lies_within_from_end_to_end(text: str, first: str, last: str, holds: bool) -> None:
    assert schedule.schedule(text).covers(dt.datetime.fromisoformat(first), dt.datetime.fromisoformat(last)) is holds
