"""A link is told once, however many rules selected its event."""

import json
from pathlib import Path

from netexfil import api

PCAPS = Path(__file__).resolve().parent.parent / "pcaps"


def test_each_link_once_with_its_rules():
    result = api.analyze([PCAPS / "test2-pscp.pcap", PCAPS / "test3-webclient-loopback.pcap"], join=[PCAPS / "endpoint"])
    assert {finding.kind for finding in result.findings} == {"channel", "endpoint"}
    for finding in result.findings:
        told = [json.dumps([link.uid, link.match, link.event["file"], link.event["line"]]) for link in finding.links]
        assert len(told) == len(set(told))
    rules = [rule for link in result.findings[0].links for rule in link.event.get("alerts", ())]
    assert any("(logscale)" in rule for rule in rules)
    assert any("(splunk)" in rule for rule in rules)
