"""Every Windows carrier gives the same facts: 8 kinds of record through 13 carriers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import endpoint_made as made
import pytest

from netexfil import endpoint, tables


def rows(path: Path) -> list[dict[str, Any]]:
    con = duckdb.connect()
    notes = endpoint.events(con, [str(path)])
    assert not [note for note in notes if note.loss], notes
    cursor = con.execute("SELECT * FROM event ORDER BY eid")
    names = [item[0] for item in cursor.description]
    assert names == list(tables.EVENT)
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


CASES = [(dialect, carrier, fact) for dialect, carriers in made.CARRIERS.items() for carrier in carriers for fact in made.FACTS]


@pytest.mark.parametrize(("dialect", "carrier", "fact"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_carrier(tmp_path: Path, dialect: str, carrier: Any, fact: str) -> None:
    provider, event, data, wanted = made.FACTS[fact]
    record = carrier(provider, event, data)
    path = tmp_path / "events"
    path.write_text((record if isinstance(record, str) else json.dumps(record)) + "\n", "utf-8")
    [got] = rows(path)
    for name, value in wanted.items():
        if name == "pid" and fact == "filtered" and dialect == "windows-flat":
            continue  # NXLog's own ProcessID hides the event's: tested with a message below
        assert got[name] == (pytest.approx(value, abs=1e-6) if name == "ts" else value), name
    assert (got["dialect"], got["host"], got["event_id"], got["line"]) == (dialect, "ws1", str(event), 1)
    assert got["ts"] is not None


@pytest.mark.parametrize("carrier", made.MESSAGES, ids=lambda value: value.__name__)
@pytest.mark.parametrize("fact", ["start", "connect", "accept", "written"])
def test_fields_that_stand_in_the_message_only(tmp_path: Path, carrier: Any, fact: str) -> None:
    provider, event, data, wanted = made.FACTS[fact]
    path = tmp_path / "events"
    path.write_text(json.dumps(carrier(provider, event, data), indent=2))
    [got] = rows(path)
    assert {name: got[name] for name in wanted} == {name: pytest.approx(value, abs=1e-6) if name == "ts" else value for name, value in wanted.items()}
    assert (got["dialect"], got["host"], got["event_id"], got["ts_rec"]) == ("windows-message", "ws1", str(event), pytest.approx(1772600768, abs=0.6))


def test_product_rule_goes_with_the_event(tmp_path: Path) -> None:
    for carrier, name in ((made.wazuh, "Upload tool"), (made.zircolite, "Upload"), (made.chainsaw, "Upload"), (made.aggregate, "Upload")):
        provider, event, data, _ = made.FACTS["connect"]
        path = tmp_path / carrier.__name__
        path.write_text(json.dumps(carrier(provider, event, data)) + "\n")
        [got] = rows(path)
        assert (got["rule_name"], got["severity"], got["technique"][:5]) == (name, 3, "T1048")


def test_process_id_hidden_by_nxlog_is_taken_from_the_message(tmp_path: Path) -> None:
    record = made.flat(made.SECURITY, 5156, made.FILTERED) | {"ProcessID": 4, "Message": "permitted\r\n\tProcess ID:\t\t1124\r\n\tApplication Name:\tx\r\n"}
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps(record))
    [got] = rows(path)
    assert got["pid"] == 1124


def test_the_source_of_what_came_in_over_udp_is_the_other_machine_but_in_sysmon(tmp_path: Path) -> None:
    came_in = made.FILTERED | {"Direction": "%%14592", "Protocol": "17", "SourceAddress": "172.18.39.5", "DestAddress": "172.18.38.5"}
    answered = made.CONNECT | {"Initiated": "false", "Protocol": "udp", "SourceIp": "172.18.38.5", "DestinationIp": "172.18.39.5"}
    path = tmp_path / "e.jsonl"
    lines = [json.dumps(made.flat(made.SECURITY, 5156, came_in)), json.dumps(made.flat(made.SYSMON, 3, answered))]
    path.write_text("\n".join(lines * 40) + "\n")
    got = rows(path)
    assert len(got) == 80
    assert {(row["local_ip"], row["remote_ip"]) for row in got} == {("172.18.38.5", "172.18.39.5")}


def test_event_3_of_another_provider_is_no_connection(tmp_path: Path) -> None:
    record = made.evtx(made.SYSMON, 3, made.CONNECT)
    record["Event"]["System"] |= {"Provider": {"#attributes": {"Name": "Microsoft-Windows-Bits-Client"}}, "Channel": "Microsoft-Windows-Bits-Client/Operational"}
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps(record))
    assert rows(path)[0]["kind"] == "other"


def test_script_parts_are_joined_in_order(tmp_path: Path) -> None:
    part = made.SCRIPT | {"MessageTotal": "3"}
    texts = {"3": "C", "1": "A", "2": "B"}
    path = tmp_path / "e.jsonl"
    path.write_text("".join(json.dumps(made.flat(made.SHELL, 4104, part | {"MessageNumber": number, "ScriptBlockText": value})) + "\n"
                            for number, value in texts.items()))
    got = rows(path)
    assert [(row["kind"], row["target"]) for row in got] == [("script_part", None), ("script", "ABC"), ("script_part", None)]


def test_cut_and_ill_formed_xml_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = made.xml(made.SYSMON, 3, made.CONNECT)
    path = tmp_path / "e.xml"
    path.write_text(whole.replace(made.CONNECT["Image"], "&lt unknown process&gt ") + "\n" + whole[: whole.index("<Data Name=\"DestinationHostname")] + "\n")
    got = rows(path)
    assert [(row["remote_ip"], row["local_p"]) for row in got] == [("192.0.2.1", 50123), ("192.0.2.1", 50123)]
    assert got[0]["image"].strip() == "< unknown process>"
