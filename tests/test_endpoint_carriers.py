"""Carriers, damage and sameness: what a file is wrapped in does not change what is read, and every line is accounted for."""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import endpoint_made as made
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from netexfil import tables
from netexfil.endpoint import convert, dialect, inside, program, reading

RECORDS = [made.flat(provider, event, data) for provider, event, data, _ in made.FACTS.values()]
LINES = "".join(json.dumps(record) + "\n" for record in RECORDS)
SHOWN = [name for name in tables.EVENT if name not in ("file", "line", "eid")]


def read(path: Path) -> tuple[list[tuple[Any, ...]], list[reading.Account]]:
    con = duckdb.connect()
    tables.create(con, ("event",))
    reader = reading.Reader(con)
    accounts = reader.read(path)
    inside.complete(con, reader.side)
    assert [eid for (eid,) in con.execute("SELECT eid FROM event ORDER BY eid").fetchall()] == list(range(reader.eid))
    return con.execute(f"SELECT {', '.join(f'{chr(34)}{name}{chr(34)}' for name in SHOWN)} FROM event ORDER BY eid").fetchall(), accounts


@pytest.fixture
def plain(tmp_path: Path) -> list[tuple[Any, ...]]:
    path = tmp_path / "plain.jsonl"
    path.write_text(LINES)
    return read(path)[0]


def zipped(path: Path, body: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/events.jsonl", body)


WRAPS = {
    "gz": lambda path, body: path.write_bytes(gzip.compress(body)),
    "zst": lambda path, body: path.write_bytes(zstandard.compress(body)),
    "zip": zipped,
    "zip of gz": lambda path, body: zipped(path, gzip.compress(body)),
    "bom": lambda path, body: path.write_bytes(b"\xef\xbb\xbf" + body),
    "utf-16": lambda path, body: path.write_bytes(body.decode().encode("utf-16")),
    "utf-16 without a mark": lambda path, body: path.write_bytes(body.decode().encode("utf-16-le")),
    "crlf": lambda path, body: path.write_bytes(body.replace(b"\n", b"\r\n")),
    "no last line end": lambda path, body: path.write_bytes(body.rstrip(b"\n")),
    "syslog header, no last line end": lambda path, body: path.write_text("\n".join(f"<13>Mar  4 05:06:07 ws1 nx: {json.dumps(record)}" for record in RECORDS)),
    "array": lambda path, body: path.write_text(json.dumps(RECORDS)),
    "array, pretty": lambda path, body: path.write_text(json.dumps(RECORDS, indent=2)),
    "array, an object a line": lambda path, body: path.write_text("[\n" + ",\n".join(json.dumps(record) for record in RECORDS) + "\n]\n"),
    "pretty objects": lambda path, body: path.write_text("\n".join(json.dumps(record, indent=4) for record in RECORDS)),
    "search hits": lambda path, body: path.write_text("".join(json.dumps({"_index": "i", "_source": record}) + "\n" for record in RECORDS)),
    "records": lambda path, body: path.write_text(json.dumps({"records": RECORDS})),
    "shipper": lambda path, body: path.write_text("".join(json.dumps({"message": json.dumps(record)}) + "\n" for record in RECORDS)),
    "syslog header": lambda path, body: path.write_text("".join(f"<13>Mar  4 05:06:07 ws1 nx: {json.dumps(record)}\n" for record in RECORDS)),
}


@pytest.mark.parametrize("wrap", WRAPS)
def test_the_wrapping_changes_nothing(tmp_path: Path, plain: list[tuple[Any, ...]], wrap: str) -> None:
    path = tmp_path / "wrapped"
    WRAPS[wrap](path, LINES.encode())
    got, accounts = read(path)
    assert got == plain
    assert not any(account.refused or account.unreadable for account in accounts)


EVENTS = [made.xml(provider, event, data) for provider, event, data, _ in made.FACTS.values()]
DECLARED = '<?xml version="1.0" encoding="utf-8" standalone="yes"?>'
DOCUMENTS = {
    "saved by the event viewer: all in one line": DECLARED + "\r\n<Events>" + "".join(EVENTS) + "</Events>",
    "wevtutil with /e": "<Events>\n" + "\n".join(EVENTS) + "\n</Events>\n",
    "events in one line": "".join(EVENTS),
    "over many lines": DECLARED + "\n<Events>\n" + "\n".join(event.replace("><", ">\n  <") for event in EVENTS) + "\n</Events>\n",
}


@pytest.mark.parametrize("layout", DOCUMENTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_of_xml_events_is_as_many_events(tmp_path: Path, layout: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from netexfil.endpoint import cutting

    monkeypatch.setattr(cutting, "_CHUNK", 100)
    (tmp_path / "lines.xml").write_text("\n".join(EVENTS))
    (tmp_path / "document.xml").write_text(DOCUMENTS[layout], encoding, newline="")
    plain, _ = read(tmp_path / "lines.xml")
    got, [account] = read(tmp_path / "document.xml")
    assert (got, account.lines, account.refused.total()) == (plain, len(EVENTS), 0)


def test_a_damaged_document_of_xml_events_costs_the_damaged_event(tmp_path: Path) -> None:
    path = tmp_path / "e.xml"
    path.write_text(DECLARED + "\n<Events>\nwhat is this\n" + EVENTS[1][:-300] + ">\n" + EVENTS[0] + EVENTS[1] + EVENTS[0][:60])
    got, [account] = read(path)
    assert [row[SHOWN.index("event_id")] for row in got] == [str(made.FACTS[name][1]) for name in ("connect", "start", "connect")]
    assert account.first == {"no dialect knows this line": 3}


def test_journald_wraps_what_sysmon_for_linux_says(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    path.write_text(json.dumps({"__REALTIME_TIMESTAMP": "1772600768500000", "_HOSTNAME": "ws1", "SYSLOG_IDENTIFIER": "sysmon", "MESSAGE": EVENTS[1]}) + "\n")
    [got], _ = read(path)
    assert (got[SHOWN.index("kind")], got[SHOWN.index("local_p")]) == ("net_conn", 50123)


def test_csv_is_read_as_the_same_rows(tmp_path: Path) -> None:
    import csv

    record = RECORDS[1]
    path = tmp_path / "e.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.DictWriter(out, list(record))
        writer.writeheader()
        writer.writerow(record | {"Image": 'C:\\a "b"\n,c.exe'})
        writer.writerow(record)
    got, _ = read(path)
    image, remote, port = SHOWN.index("image"), SHOWN.index("remote_ip"), SHOWN.index("local_p")
    assert [(row[image], row[remote], row[port]) for row in got] == [('C:\\a "b"\n,c.exe', "192.0.2.1", 50123), (record["Image"], "192.0.2.1", 50123)]


def test_one_broken_line_of_ten_costs_one_line(tmp_path: Path) -> None:
    lines = [json.dumps(RECORDS[1])] * 10
    lines[6] = lines[6][:50]
    path = tmp_path / "e.jsonl"
    path.write_text("\n".join(lines))
    got, [account] = read(path)
    assert (len(got), account.lines, dict(account.refused), account.first) == (9, 10, {"broken JSON": 1}, {"broken JSON": 7})
    note = account.notes()[0]
    assert (note.place, note.count, note.loss) == (7, 1, True)


def test_broken_object_in_an_array_costs_one_object(tmp_path: Path) -> None:
    objects = [json.dumps(RECORDS[1])] * 4
    objects[1] = '{"EventID": 3, "x": }'
    path = tmp_path / "e.json"
    path.write_text("[\n" + ",\n".join(objects) + "\n]")
    got, [account] = read(path)
    assert (len(got), account.refused["broken JSON"], account.first["broken JSON"]) == (3, 1, 3)


def test_long_lines_deep_nests_and_big_numbers(tmp_path: Path) -> None:
    long = made.flat(made.SYSMON, 1, made.START | {"CommandLine": "x" * 10_000_000})
    deep: Any = None
    for _ in range(200):
        deep = {"a": deep, "b": [None, deep]} if deep is None else {"a": deep}
    path = tmp_path / "e.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in (
        long, RECORDS[1] | {"x": deep, "User": None, "Image": {"a": None}, "ProcessGuid": [None]},
        {"event_simpleName": "ProcessRollup2", "aid": "a", "TargetProcessId": 18446744073709551615, "RawProcessId": 9007199254740993})))
    got, [account] = read(path)
    command, image, guid, pid = (SHOWN.index(name) for name in ("command_line", "image", "guid", "pid"))
    assert not account.refused
    assert len(got[0][command]) == 10_000_000
    assert (got[1][image], got[1][guid]) == (None, None)
    assert (got[2][guid], got[2][pid]) == ("18446744073709551615", 9007199254740993)


def test_depth_and_control_characters_harm_nothing(tmp_path: Path) -> None:
    deep = "[" * 900 + "]" * 900
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps(RECORDS[0] | {"Image": "a\0b\x1b[2J"}) + "\n" + '{"results": ' + deep + "}\n"
                    + json.dumps(RECORDS[0])[:-1] + ', "Image": ' + deep + "}\n" + '{"EventID": 1, "Channel": "Security", "x": "\\ud800"}\n' + json.dumps(RECORDS[0]))
    got, [account] = read(path)
    assert account.lines == 5
    assert account.events + account.refused.total() == 5
    assert got[0][SHOWN.index("image")] == "a\0b\x1b[2J"


def test_a_line_longer_than_a_record_may_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from netexfil.endpoint import cutting

    monkeypatch.setattr(cutting, "MAX_RECORD", 4 << 20)
    good = json.dumps(RECORDS[1]).encode() + b"\n"
    path = tmp_path / "e.jsonl"
    path.write_bytes(good + b'{"a": "' + b"x" * (9 << 20) + b'"}\n' + good)
    got, [account] = read(path)
    assert (len(got), account.lines, account.first) == (2, 3, {"longer than 4 MiB": 2})


TORN = {
    "JSON": (json.dumps(RECORDS[1]) + "\n", json.dumps(RECORDS[0])), "JSON alone": ("", json.dumps(RECORDS[0])),
    "XML": (made.xml(made.SYSMON, 3, made.CONNECT) + "\n", made.xml(made.SYSMON, 1, made.START)),
    "CSV": ("Timestamp,DeviceName,ActionType,DeviceId\n2026-03-04T05:06:08Z,ws1,ConnectionSuccess,a\n", "2026-03-04T05:06:08Z,ws1,Connection"),
}


@pytest.mark.parametrize("carrier", TORN)
def test_a_last_line_that_is_still_being_written_is_told_and_no_loss(tmp_path: Path, carrier: str) -> None:
    before, last = TORN[carrier]
    path = tmp_path / "e"
    path.write_text(before + last[:-20])
    got, [account] = read(path)
    assert len(got) == before.count("\n") - (carrier == "CSV")
    assert [(note.kind, note.reason, note.place, note.loss) for note in account.notes()] == [
        ("unfinished", "the last line is not complete", before.count("\n") + 1, False)]
    path.write_text(before + last[:-20] + "\n" + before)
    assert carrier == "XML" or [note.loss for note in read(path)[1][0].notes()] == [True]  # XML is cut by programs that write it, too


def test_rows_of_any_length_are_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from netexfil.endpoint import cutting

    monkeypatch.setattr(cutting, "MAX_RECORD", 1000)
    path = tmp_path / "e.csv"
    good = "2026-03-04T05:06:08Z,ws1,ConnectionSuccess,a\n"
    path.write_text("Timestamp,DeviceName,ActionType,DeviceId\n" + good + "x" * 5000 + "\n" + good + '"' + "x\n" * 400 + '"\n' + '"x","\n' * 400 + good)
    got, [account] = read(path)
    assert len(got) >= 2
    assert account.first["broken CSV"] == 3


def test_an_event_log_is_read_some_chunks_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    from netexfil.endpoint import rowfiles

    monkeypatch.setattr(rowfiles, "_EVTX_READ", 2 * 65536)
    sizes: list[int] = []

    class Parser:
        def __init__(self, log: Any) -> None:
            self.log = log.read()
            sizes.append(len(self.log))
            assert self.log.startswith(b"ElfFile\0")

        def records_json(self) -> Any:
            for place in range(4096, len(self.log) - 65535, 65536):
                yield {"data": self.log[place : place + 65536].rstrip(b"\0").decode()}

    monkeypatch.setitem(sys.modules, "evtx", types.SimpleNamespace(PyEvtxParser=Parser))
    path = tmp_path / "e.evtx"
    chunks = [json.dumps(made.evtx(made.SYSMON, 3, made.CONNECT)).encode().ljust(65536, b"\0") for _ in range(5)]
    path.write_bytes(b"ElfFile\0".ljust(4096, b"\0") + b"".join(chunks))
    got, [account] = read(path)
    assert (len(got), sizes, account.lines, account.refused) == (5, [135168, 135168, 69632], 5, {})
    path.write_bytes(path.read_bytes()[:-1])
    got, [account] = read(path)
    assert (len(got), account.first) == (4, {"the last chunk of the log is cut": 5})


def test_a_copy_is_read_once(tmp_path: Path) -> None:
    from netexfil import endpoint

    for name, body in {"a": LINES, "b": LINES, "c": LINES.replace("WS1", "WS2"), "d": ""}.items():
        (tmp_path / name).write_text(body)
    (tmp_path / "e").symlink_to(tmp_path / "c")
    con = duckdb.connect()
    notes = endpoint.events(con, [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "none")])
    assert con.execute("SELECT count(*) FROM event").fetchone() == (2 * len(RECORDS),)
    told = [(Path(note.file).name, note.kind, note.loss) for note in notes]
    assert told == [("b", "duplicate", False), ("e", "duplicate", False), ("a", "duplicate", False), ("none", "unreadable", True)]


def test_mixed_sources_and_unknown_lines_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "e.log"
    path.write_text("\n".join([
        json.dumps(RECORDS[0]), made.xml(made.SYSMON, 3, made.CONNECT), "", "what is this", json.dumps({"no": "one"}),
        'type=SYSCALL msg=audit(1772600767.000:8): arch=c000003e syscall=59 success=yes pid=1 exe="/bin/x"']) + "\n")
    got, [account] = read(path)
    assert [row[SHOWN.index("dialect")] for row in got] == ["windows-flat", "evtx", "auditd"]
    assert (account.lines, account.events, dict(account.refused), account.first) == (5, 3, {"no dialect knows this line": 2}, {"no dialect knows this line": 4})


@pytest.mark.parametrize("cut", [30, -40])
def test_a_damaged_archive_keeps_what_was_read(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "e.gz"
    body = gzip.compress((LINES * 500).encode(), compresslevel=1)
    path.write_bytes(body[:cut])
    _, [account] = read(path)
    assert account.unreadable or account.refused


def test_entities_are_never_expanded(tmp_path: Path) -> None:
    path = tmp_path / "e.xml"
    path.write_text('<!DOCTYPE x [<!ENTITY a "' + "x" * 100 + '">]>' + made.xml(made.SYSMON, 1, made.START | {"User": "&a;&a;"}).replace("&amp;", "&"))
    got, _ = read(path)
    assert "xxx" not in str(got)


@settings(max_examples=80, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8))
def test_no_converter_raises(value: Any) -> None:
    for converter in convert.CONVERT.values():
        converter(value)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(RECORDS), st.data())
def test_a_program_made_for_a_layout_gives_what_the_general_one_gives(record: dict[str, Any], data: st.DataObject) -> None:
    names = data.draw(st.sets(st.sampled_from(sorted(record)))) | {"EventID", "Channel"}
    record = {name: value for name, value in record.items() if name in names}
    shape = next(shape for shape in dialect.shapes() if shape.name == "windows-flat")
    specs = dialect.section(shape, [record["Channel"], str(record["EventID"])])
    general, special = (program.compile_program(shape, specs, "1", layout) for layout in (None, frozenset(record)))
    one, other = (dict(zip(made_.columns, made_.extract(record, record, 1, 2), strict=True)) for made_ in (general, special))
    assert {name: value for name, value in one.items() if value is not None and (name != "ts_field" or one["ts"] is not None)} == {
        name: value for name, value in other.items() if value is not None and (name != "ts_field" or other["ts"] is not None)}


TIMES = {
    "2023-08-16 00:33:51.685": 1692146031.685, "2022-05-13T08:54:05.1230000Z": 1652432045.123, "2019-07-30 06:33:20.711 +09:00": 1564436000.711,
    "1687509721.669": 1687509721.669, "1687509722190": 1687509722.19, 1700059736377: 1700059736.377, 1736776100.7457056: 1736776100.7457056,
    133027667360825182: 1658293136.0825182, "5/25/2023, 4:32:49.469 AM": 1684989169.469, "07/18/2023 01:32:02 PM": 1689687122.0,
    "Thu Dec 28 14:40:08 2017 UTC": 1514472008.0, "audit(1485893834.891:188)": 1485893834.891, "2026-10-08 13:48:34.000 GMT": 1791467314.0,
    "Mar 4, 2026 @ 05:06:08.123": 1772600768.123, "Mar 4, 2026 5:06:08 PM": 1772643968.0, "Mar 4, 2026, 12:06:08\u202fAM": 1772582768.0,
    "/Date(1772600768123)/": 1772600768.123, "Xyz 4, 2026 5:06:08": None,
    "2026-10-08 13:48:34 CEST": 1791460114.0, "2026-10-08 13:48:34 XYZ": None, "2026-13-41 00:00:00": None, "": None, "-": None, None: None,
}


@pytest.mark.parametrize(("value", "wanted"), TIMES.items())
def test_time(value: Any, wanted: float | None) -> None:
    assert convert.time(value) == (None if wanted is None else pytest.approx(wanted, abs=1e-6))


CORPUS = Path(os.environ.get("NETEXFIL_CORPUS", Path(__file__).parents[2] / "shared/corpus"))
NOT_TELEMETRY = (".cap.gz", ".pcap", ".pcapng.gz", ".md", "join_truth.jsonl.gz", ".yaml", "metadata.json", "process_list.csv", "vectors.jsonl")


# Folder -> lines that no dialect can know (damaged, or no telemetry at all).
FOLDERS = {"alerts": 0, "apt29_day1": 0, "crowdstrike": 2, "defender": 0, "elastic_license_v1": 1, "evtx": 0, "linux": 0, "no_licence_reference": 40,
           "panther_edr": 0, "same_run_pairs": 0, "sigma_regression": 0}


@pytest.mark.skipif(not (CORPUS / "endpoint").is_dir(), reason="the corpus of real telemetry is not here")
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_corpus_file_is_read_and_accounted_for(folder: str) -> None:
    lost = 0
    for path in sorted((CORPUS / "endpoint" / folder).rglob("*")):
        if path.is_file() and not path.name.endswith(NOT_TELEMETRY) and "zeek" not in path.parts and "zeek_OTHER_RUN" not in path.parts:
            con = duckdb.connect()
            tables.create(con, ("event",))
            for account in reading.Reader(con).read(path):
                read_lines = con.execute("SELECT count(DISTINCT line) FROM event").fetchone()
                assert not account.unreadable, path
                assert read_lines == (account.lines - account.refused.total(),), path
                lost += account.refused.total()
    assert lost <= FOLDERS[folder]


@pytest.mark.skipif(not (CORPUS / "endpoint").is_dir(), reason="the corpus of real telemetry is not here")
def test_every_recorded_tuple_is_right() -> None:
    for truth in sorted((CORPUS / "endpoint/same_run_pairs").glob("*/join_truth.jsonl.gz")):
        events = truth.with_name("host_events.jsonl.gz")
        if not events.exists():
            continue
        con = duckdb.connect()
        tables.create(con, ("event",))
        reading.Reader(con).read(events)
        got = {row[0]: row[1:] for row in con.execute("SELECT line, local_ip, local_p, remote_ip, remote_p, pid, image, proto FROM event").fetchall()}
        with gzip.open(truth, "rt") as lines:
            for wanted in [json.loads(line) for line in lines][1:]:
                local, local_p, remote, remote_p, pid, image, proto = got[wanted["line"] + 1]
                if wanted["proto"] in ("tcp", "udp"):
                    assert {(local or "0.0.0.0", local_p), (remote, remote_p)} == {_address(wanted["src"]), _address(wanted["dst"])}, (truth, wanted)
                    assert proto == wanted["proto"]
                assert (str(pid), image) == (wanted["pid"], wanted["image"]), (truth, wanted)


def _address(value: str) -> tuple[str, int | None]:
    address, port = value.rsplit(":", 1)
    return convert.ip(address) or "", int(port) or None
