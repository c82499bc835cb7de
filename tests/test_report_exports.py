"""ECS and OCSF records against the published schemas' own facts: names, types, required fields, allowed values."""

import io
import json
import re

import pytest
from report_cases import endpoint_only, finding, hostile

from netexfil import report
from netexfil.report import attack

CASES = [
    finding(),
    hostile(),
    finding(links=(), tool={"name": None, "verdict": "none"}, host={"ip": "2001:db8:30::1", "name": None}),
    endpoint_only(),
    finding(attack=({"technique": "T1567.002"}, {"technique": "T1030", "strategy": "DET0512"}, {"technique": "T9999.001"})),
]

# Elastic's published generated/csv/fields.csv (columns Field, Type, Normalization) of ECS 8.12.0-dev, the main branch after 8.11 was cut:
# field -> (type, several values allowed). Only fields that netexfil writes.
ECS = {
    "@timestamp": ("date", False),
    "message": ("match_only_text", False),
    "tags": ("keyword", True),
    "ecs.version": ("keyword", False),
    "event.kind": ("keyword", False),
    "event.category": ("keyword", True),
    "event.type": ("keyword", True),
    "event.id": ("keyword", False),
    "event.provider": ("keyword", False),
    "event.module": ("keyword", False),
    "event.dataset": ("keyword", False),
    "event.action": ("keyword", False),
    "event.severity": ("long", False),
    "event.risk_score": ("float", False),
    "event.start": ("date", False),
    "event.end": ("date", False),
    "event.duration": ("long", False),
    "event.reason": ("keyword", False),
    "source.ip": ("ip", False),
    "source.address": ("keyword", False),
    "source.domain": ("keyword", False),
    "source.bytes": ("long", False),
    "destination.ip": ("ip", False),
    "destination.address": ("keyword", False),
    "destination.domain": ("keyword", False),
    "destination.port": ("long", False),
    "destination.bytes": ("long", False),
    "network.transport": ("keyword", False),
    "network.protocol": ("keyword", False),
    "network.direction": ("keyword", False),
    "network.type": ("keyword", False),
    "network.bytes": ("long", False),
    "host.name": ("keyword", False),
    "host.ip": ("ip", True),
    "user.name": ("keyword", False),
    "user.domain": ("keyword", False),
    "process.name": ("keyword", False),
    "process.executable": ("keyword", False),
    "process.pid": ("long", False),
    "process.entity_id": ("keyword", False),
    "process.command_line": ("wildcard", False),
    "process.parent.executable": ("keyword", False),
    "process.parent.name": ("keyword", False),
    "process.parent.pid": ("long", False),
    "rule.id": ("keyword", False),
    "rule.name": ("keyword", False),
    "rule.category": ("keyword", False),
    "rule.ruleset": ("keyword", False),
    "threat.framework": ("keyword", False),
    "threat.tactic.id": ("keyword", True),
    "threat.tactic.name": ("keyword", True),
    "threat.tactic.reference": ("keyword", True),
    "threat.technique.id": ("keyword", True),
    "threat.technique.name": ("keyword", True),
    "threat.technique.reference": ("keyword", True),
    "threat.technique.subtechnique.id": ("keyword", True),
    "threat.technique.subtechnique.name": ("keyword", True),
    "threat.technique.subtechnique.reference": ("keyword", True),
    "observer.vendor": ("keyword", False),
    "observer.product": ("keyword", False),
    "observer.type": ("keyword", False),
    "related.ip": ("ip", True),
    "related.hosts": ("keyword", True),
    "related.user": ("keyword", True),
}
ECS_VALUES = {
    "event.kind": {"alert", "asset", "enrichment", "event", "metric", "state", "pipeline_error", "signal"},
    "event.category": {
        "api",
        "authentication",
        "configuration",
        "database",
        "driver",
        "email",
        "file",
        "host",
        "iam",
        "intrusion_detection",
        "library",
        "malware",
        "network",
        "package",
        "process",
        "registry",
        "session",
        "threat",
        "vulnerability",
        "web",
    },
    "event.type": {
        "access",
        "admin",
        "allowed",
        "change",
        "connection",
        "creation",
        "deletion",
        "denied",
        "end",
        "error",
        "group",
        "indicator",
        "info",
        "installation",
        "protocol",
        "start",
        "user",
    },
    "network.direction": {"ingress", "egress", "inbound", "outbound", "internal", "external", "unknown"},
}
KINDS = {"keyword": str, "match_only_text": str, "wildcard": str, "date": str, "ip": str, "long": int, "float": (int, float)}


def records(form):
    out = io.BytesIO()
    report.write(CASES, [], form, out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def flat(value, path=""):
    for name, part in value.items():
        where = f"{path}.{name}" if path else name
        if isinstance(part, dict):
            yield from flat(part, where)
        else:
            yield where, part


@pytest.mark.parametrize("number", range(len(CASES)))
def test_ecs(number):
    document = records("ecs")[number]
    del document["netexfil"]  # our own namespace, as ECS asks for custom fields
    fields = dict(flat(document))
    assert {"@timestamp", "ecs.version", "event.kind", "event.category", "event.type"} <= set(fields)
    for name, value in fields.items():
        kind, several = ECS[name]
        assert isinstance(value, list) is several, name
        for part in value if several else [value]:
            assert isinstance(part, KINDS[kind]), name
            assert not isinstance(part, bool), name
            if kind == "date":
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", part), name
            if kind == "ip":
                assert re.fullmatch(r"[0-9a-f.:]+", part), name
            if name in ECS_VALUES:
                assert part in ECS_VALUES[name], name
    assert (
        len(document["threat"]["technique"]["id"])
        == len(document["threat"]["technique"]["name"])
        == len(document["threat"]["technique"]["reference"])
    )


# OCSF 1.4.0 as published: events/findings/detection_finding.json with finding.json and base_event.json, and objects/*.json, types from dictionary.json.
# Attribute -> type or object; only attributes that netexfil writes.
TIME, TEXT, WHOLE, TRUTH, FREE = "time", str, int, bool, "free"
OCSF = {
    "detection_finding": {
        "activity_id": WHOLE,
        "activity_name": TEXT,
        "category_uid": WHOLE,
        "category_name": TEXT,
        "class_uid": WHOLE,
        "class_name": TEXT,
        "type_uid": WHOLE,
        "type_name": TEXT,
        "time": TIME,
        "start_time": TIME,
        "end_time": TIME,
        "duration": WHOLE,
        "count": WHOLE,
        "severity_id": WHOLE,
        "severity": TEXT,
        "status_id": WHOLE,
        "status": TEXT,
        "is_alert": TRUTH,
        "confidence_id": WHOLE,
        "confidence": TEXT,
        "risk_score": WHOLE,
        "risk_level_id": WHOLE,
        "risk_level": TEXT,
        "message": TEXT,
        "metadata": "metadata",
        "finding_info": "finding_info",
        "evidences": ["evidences"],
        "observables": ["observable"],
        "comment": TEXT,
        "unmapped": FREE,
    },
    "metadata": {"version": TEXT, "uid": TEXT, "product": "product"},
    "product": {"name": TEXT, "vendor_name": TEXT, "version": TEXT},
    "finding_info": {
        "uid": TEXT,
        "title": TEXT,
        "desc": TEXT,
        "types": [TEXT],
        "first_seen_time": TIME,
        "last_seen_time": TIME,
        "analytic": "analytic",
        "attacks": ["attack"],
        "related_events_count": WHOLE,
    },
    "analytic": {"type_id": WHOLE, "type": TEXT, "name": TEXT, "uid": TEXT},
    "attack": {"tactic": "tactic", "technique": "technique", "sub_technique": "technique", "version": TEXT},
    "tactic": {"uid": TEXT, "name": TEXT},
    "technique": {"uid": TEXT, "name": TEXT, "src_url": TEXT},
    "evidences": {"src_endpoint": "endpoint", "dst_endpoint": "endpoint", "connection_info": "connection", "process": "process", "data": FREE},
    "endpoint": {"ip": TEXT, "hostname": TEXT, "port": WHOLE},
    "connection": {"direction_id": WHOLE, "direction": TEXT, "protocol_name": TEXT, "protocol_num": WHOLE},
    "process": {"pid": WHOLE, "uid": TEXT, "name": TEXT, "cmd_line": TEXT, "file": "file", "user": "user"},
    "file": {"name": TEXT, "path": TEXT, "type_id": WHOLE},
    "user": {"name": TEXT},
    "observable": {"name": TEXT, "type_id": WHOLE, "value": TEXT},
}
REQUIRED = {
    "detection_finding": {"activity_id", "category_uid", "class_uid", "type_uid", "time", "severity_id", "metadata", "finding_info"},
    "metadata": {"product", "version"},
    "finding_info": {"uid"},
    "analytic": {"type_id"},
    "connection": {"direction_id"},
    "file": {"name", "type_id"},
    "observable": {"type_id"},
}
AT_LEAST_ONE = {
    "analytic": {"name", "uid"},
    "attack": {"tactic", "technique", "sub_technique"},
    "tactic": {"name", "uid"},
    "technique": {"name", "uid"},
    "endpoint": {"ip", "hostname"},
    "process": {"pid", "uid"},
    "file": {"name", "uid"},
    "user": {"account", "name", "uid"},
    "evidences": {"src_endpoint", "dst_endpoint", "process", "connection_info", "data"},
    "product": {"name", "uid"},
}
# The enumerations, with the captions that their text siblings (`severity` beside `severity_id`) must then have.
VALUES = {
    "class_uid": {2004: "Detection Finding"},
    "category_uid": {2: "Findings"},
    "activity_id": {0: "Unknown", 1: "Create", 2: "Update", 3: "Close"},
    "severity_id": {0: "Unknown", 1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical", 6: "Fatal"},
    "status_id": {0: "Unknown", 1: "New", 2: "In Progress", 3: "Suppressed", 4: "Resolved", 5: "Archived"},
    "confidence_id": {0: "Unknown", 1: "Low", 2: "Medium", 3: "High"},
    "risk_level_id": {0: "Info", 1: "Low", 2: "Medium", 3: "High", 4: "Critical"},
    "direction_id": {0: "Unknown", 1: "Inbound", 2: "Outbound", 3: "Lateral"},
}
SIBLINGS = {"class_uid": "class_name", "category_uid": "category_name", "activity_id": "activity_name"}
OBSERVABLES = {1: "hostname", 2: "ip", 4: "user.name", 9: "process.name"}  # type_id -> what an attribute of that type is called here


def check(value, kind, where):
    if isinstance(kind, list):
        assert isinstance(value, list), where
        for part in value:
            check(part, kind[0], where)
    elif kind == TIME:
        assert isinstance(value, int), where
        assert 10**12 < value < 10**13, f"{where} is in milliseconds"
    elif isinstance(kind, str) and kind != FREE:
        assert not REQUIRED.get(kind, set()) - set(value), where
        assert not AT_LEAST_ONE.get(kind) or AT_LEAST_ONE[kind] & set(value), where
        for name, part in value.items():
            check(part, OCSF[kind][name], f"{where}.{name}")
            if name in VALUES:
                assert value.get(SIBLINGS.get(name, name.removesuffix("_id")), VALUES[name][part]) == VALUES[name][part], where
        assert kind != "observable" or value["name"].endswith(OBSERVABLES[value["type_id"]]), where
    elif kind != FREE:
        assert isinstance(value, kind), where
        assert kind is bool or not isinstance(value, bool), where
        name = where.rpartition(".")[2]
        assert name not in VALUES or value in VALUES[name], where


@pytest.mark.parametrize("number", range(len(CASES)))
def test_ocsf(number):
    record = records("ocsf")[number]
    check(record, "detection_finding", "finding")
    assert record["type_uid"] == record["class_uid"] * 100 + record["activity_id"]
    assert [entry["status_id"] for entry in records("ocsf")][:2] == [1, 3]


def test_techniques_have_names():
    assert attack.named("T1048.002").sub_name == "Exfiltration Over Asymmetric Encrypted Non-C2 Protocol"
    assert attack.named("T1048.002").name == "Exfiltration Over Alternative Protocol"
    assert attack.url("T1048.002") == "https://attack.mitre.org/techniques/T1048/002/"
