"""Findings: what the record proves by itself, thresholds, budgets, tools, and what the documentation says of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import DAY, INSIDE, MONDAY, SSH, browsing, channels_of, findings, session

from netexfil import detect, outbound, policy
from netexfil.detect import bands, record, tools
from netexfil.detect.pivots import next_steps, quoted
from netexfil.finding import Evidence

HOST, OUT = "10.0.0.1", "198.51.100.77"
DOCS = Path(__file__).parent.parent / "docs"


@st.composite
def traffic(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Any mixture of sessions of a few hosts."""
    rows = []
    for number in range(draw(st.integers(1, 12))):
        up, down = (int(10 ** draw(st.floats(2, 11))) for _ in range(2))
        more = draw(st.sampled_from([{}, SSH, SSH | {"ssh_client": "SSH-2.0-rclone/"}, {"port": 21, "service": "ftp,ssl"},
            {"port": 443, "proto": "udp"},
                                     {"hints": "no_tls", "service": None}, {"server_name": "w.mega.nz"},
                                     {"resp_quality": "unknown", "resp_low": None}]))
        rows.append(session(MONDAY + draw(st.floats(0, 3 * DAY)), f"10.0.0.{draw(st.integers(1, 3))}", f"198.51.100.{draw(st.integers(1, 3))}", up,
            down,
                            uid=f"C{number}", **more))
    return rows


@settings(max_examples=8, deadline=None)
@given(traffic())
def test_points_add_up_and_the_record_proves_its_score(rows: list[dict[str, Any]]) -> None:
    for found in findings(rows):
        told = found.record()
        assert sum(item["points"] for item in told["evidence"]) == told["score"]
        assert 0 <= told["score"] <= 100
        assert told["severity"] == bands.severity(told["score"])
        families: dict[str, list[int]] = {}
        for item in told["evidence"]:
            assert item["text"]
            assert item["source"]
            families.setdefault(detect.CODES[item["code"]].family, []).append(item["points"])
        assert all(sum(points != 0 for points in held) <= 1 for held in families.values())
        assert told["bytes_out"]["high"] is None or told["bytes_out"]["low"] <= told["bytes_out"]["high"]


@settings(max_examples=3, deadline=None)
@given(traffic(), st.randoms(use_true_random=False))
def test_order_and_restriction_to_windows_change_nothing(rows: list[dict[str, Any]], random: Any) -> None:
    whole = [f.record() for f in findings(rows)]
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert [f.record() for f in findings(shuffled)] == whole
    con = channels_of(rows)
    days = [row[0] for row in con.execute("SELECT DISTINCT day FROM channel").fetchall()]
    parts = [f.record() for day in days for f in detect.score(con, INSIDE, [day])]
    assert sorted(parts, key=lambda r: r["id"]) == sorted(whole, key=lambda r: r["id"])


def test_cap_makes_up_the_difference() -> None:
    rows, score = record.capped([Evidence("volume", 1, "bytes", 1, 80, "x", "y"), Evidence("asymmetry", 1, "PCR", 1, 35, "x", "y")])
    assert (score, rows[-1].code, rows[-1].points) == (100, "cap", -15)
    rows, score = record.capped([Evidence("download", 1, "PCR", 1, -25, "x", "y")])
    assert (score, rows[-1].points) == (0, 25)


def test_every_code_has_an_example_and_stands_in_the_docs() -> None:
    page = (DOCS / "detection.md").read_text(encoding="utf-8")
    for code in detect.CODES.values():
        assert code.example, code.code
        assert re.search(rf"^\| `{code.code}` \|.+\|.+\|", page, re.M), code.code
        assert code.text.format(value="v", threshold="t", entity="e", protocol="p", low="l", high="h", hosts=1, chunks=1, days=1, minutes=1,
            collect_hours=1)


def test_every_threshold_stands_in_the_docs() -> None:
    from netexfil.defaults import THRESHOLDS

    page = (DOCS / "tuning.md").read_text(encoding="utf-8")
    for name in THRESHOLDS:
        assert f"`{name}`" in page, name


def test_queries_are_escaped() -> None:
    facts = {"id": "x", "host": HOST, "host_name": 'ws"1\\', "remote": OUT, "port": 443, "proto": "tcp", "first_ts": MONDAY, "last_ts": MONDAY,
        "uids": ["C1"],
             "source": "a b;rm.log", "packets": False, "image": r"C:\Temp\rclone.exe", "pid": 4, "hashes": "sha256=AB12,md5=x\"y"}
    text = "\n".join(step["text"] for step in next_steps(facts))
    assert "'a b;rm.log'" in text
    assert 'host="ws\\"1\\\\"' in text
    assert 'SHA256 == "AB12"' in text
    assert "x\"y" not in text
    assert quoted("a\x1b[31m\n") == '"a [31m "'


@pytest.mark.parametrize("budget", [0.01, 1, 3, 40])
def test_a_budget_that_looks_ahead_finds_the_same(budget: float) -> None:
    """Halvings counted several at once ask for the same volumes, so that parts of a fleet agree with one machine."""

    def counts(volumes: Sequence[float]) -> list[int]:
        return [int(2e7 / volume) + (7 if volume < 1e9 else 0) for volume in volumes]

    one, four = detect.search(INSIDE, budget, 3, counts), detect.search(INSIDE, budget, 3, counts, 4)
    assert one == four


def test_a_budget_is_kept() -> None:
    con = channels_of([*browsing(20, 2),
        *(session(MONDAY + k, f"10.0.0.{k + 1}", f"198.51.100.{k + 1}", 12_000_000 * (k + 1), 9_000) for k in range(12))])
    site, note = detect.budget(con, INSIDE, 2)
    remain = sum(f.is_alert for f in detect.score(con, site))
    assert remain <= 4
    assert site.threshold("outbound_volume") > INSIDE.threshold("outbound_volume")
    assert "alerts a day" in note.reason
    smaller = policy.build({"networks": {"inside": ["10.0.0.0/8"]}, "thresholds": {"outbound_volume": site.threshold("outbound_volume") * 0.8}})
    assert sum(f.is_alert for f in detect.score(con, smaller)) > remain


@pytest.mark.parametrize(("image", "name"), [
    (r"C:\Temp\rclone.exe", "rclone"), ("/usr/bin/scp", "scp/sftp"), (r"C:\x\WinSCP.exe", "WinSCP"), (r"C:\x\pscp64.exe", "PuTTY"),
    ("/usr/bin/ssh", "OpenSSH"),
    ("/usr/bin/curl", "curl"), ("/opt/rclone-v1.69.0", "rclone"), ("/usr/bin/curlew", None), (None, None), ("", None),
])
def test_tools_by_image(image: str | None, name: str | None) -> None:
    tool = tools.by_image(image)
    assert (tool.name if tool else None) == name


def test_outbound_sees_no_dns_as_upload() -> None:
    con = channels_of([session(MONDAY, HOST, OUT, 90_000_000, 5_000, 53, service="dns", proto="udp")])
    assert con.execute("SELECT count(*) FROM channel").fetchone() == (0,)
    assert outbound.sides(["198.51.100.1"], INSIDE).tolist() == [2]


@pytest.mark.parametrize(("source", "carved"), [
    ("/d/a.pcap", True), ("a.PCAPNG.gz", True), ("ring.pcap07", True), ("dump.pcap.1764000000", True), ("conn.log.gz", False), ("pcap/conn.log", False)])
def test_packets_are_carved_and_log_lines_searched(source: str, carved: bool) -> None:
    con = channels_of([session(MONDAY, HOST, OUT, 50_000_000, 9_000, source=source)])
    steps = [step["title"] for held in detect.score(con, INSIDE) for step in held.next_steps]
    assert ("The packets behind it" in steps, "The log lines behind it" in steps) == (carved, not carved)
