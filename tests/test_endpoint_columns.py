"""Lines read by columns through the core give what they give read one by one: the whole corpus, and lines that somebody damaged."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.endpoint import record
from netexfil import tables
from netexfil.endpoint import reading

CORPUS = Path(os.environ.get("NETEXFIL_CORPUS", Path(__file__).parents[2] / "shared/corpus")) / "endpoint"
pytest.importorskip("netexfil._core", reason="the core is not there, and with it the second way")


def read(path: Path, core: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """All rows, what the accounts say, and how many rows came by columns."""
    with monkeypatch.context() as patch:
        if not core:
            patch.setattr(reading, "columns", lambda: None)
        con = duckdb.connect()
        tables.create(con, ("event",))
        reader = reading.Reader(con)
        taken = 0

        def feed(*given: Any) -> tuple[int, int]:
            nonlocal taken
            at, count = plain_feed(*given)
            taken += count
            return at, count

        if reader.columns is not None:
            plain_feed = reader.columns.feed
            patch.setattr(reader.columns, "feed", feed)
        accounts = reader.read(path)
        said = [(a.lines, a.events, a.refused, a.first, a.dialects, a.unreadable) for a in accounts]
        return con.execute("SELECT * FROM event ORDER BY eid").fetchall(), said, taken


def same(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Compare both ways; gives how many rows came by columns."""
    one, other = read(path, False, monkeypatch), read(path, True, monkeypatch)
    assert other[1] == one[1], path
    for mine, theirs in zip(other[0], one[0], strict=True):
        assert mine == theirs, (path, mine, theirs)
    return int(other[2])


# Folders with exports of many products; lines are repeated, since few of these files are long enough for their layouts to be learned.
FOLDERS = ("alerts", "apt29_day1", "crowdstrike", "defender", "elastic_license_v1", "linux", "no_licence_reference", "panther_edr")


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real telemetry is not here")
@pytest.mark.parametrize("folder", FOLDERS)
def test_both_ways_give_the_same_for_the_corpus(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_OFTEN", 1)
    monkeypatch.setattr("netexfil.endpoint.cutting._CHUNK", 1500)
    paths = sorted((CORPUS / folder).rglob("*"))
    for number, path in enumerate(paths[:: 2 if len(paths) > 10 else 1]):
        if path.name.endswith((".jsonl", ".json", ".log", ".jsonl.gz", ".json.gz")):
            opener: Any = gzip.open if path.suffix == ".gz" else open
            with opener(path, "rb") as lines:
                repeated = b"".join(line * 3 for line in lines)
            (tmp_path / f"{number}.jsonl").write_bytes(repeated)
            same(tmp_path / f"{number}.jsonl", monkeypatch)


# What stands in place of some value: words for nothing, numbers in all forms, escapes, and what is no JSON.
_VALUES = (
    "null", '""', '"-"', '"(null)"', '" "', "true", "0", "-0", "-1", "12345678901234567890", "1e3", "1.5", "4.0", "01", '"4711.0"', '"0x1f"', "[]",
    '["a", "b"]', "{}", '{"a": 1}', '[{"a": [1, {"b": null}]}]', '"\\u0041\\u00e4bcdefgh"', '"\\ud800"', '"\\ud83d\\ude00"', '"a\\\\b\\/c\\n\\t\\"defg"',
    '"\\x"', '"ä ö ü é"', '"a\tb"', '"10.0.0.1"', '"::ffff:10.0.0.1"', '"0.0.0.0"', '"fe80::1%eth0"', '"2026-03-04 05:06:07.1234567"',
    '"2026-03-04T05:06:07.1Z"', '"2026-02-30 05:06:07.1"', '"2026-03-04T05:06:07.123+01:00"', '"2026-03-04 05:06:60.1"', '"0000-01-01 00:00:00.1"',
    '"2026-03-04T05:06:07Z"', '"2026-03-04 05:06:07.1234567890123456789"', "1772600767", '"{00000000-0000-0000-0000-000000000000}"',
    '"{ABCDEF01-0000-0000-0000-000000000000}"', '"false"', '"True"', '"udp"', '"6"', '"ws1.corp.example"', "NaN", "Infinity", "'a'", "tru", "-", "[1, ]",
    "[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]", "9223372036854775808", "18446744073709551616", '"99999"',
)


def damaged(line: str, chance: random.Random) -> str:
    """The line with one value, one name or some bytes replaced."""
    pairs = list(json.loads(line).items())
    place = chance.randrange(len(pairs))
    name, value = pairs[place]
    how = chance.randrange(8)
    if how < 5:
        old = f"{json.dumps(name)}: {json.dumps(value)}"
        return line.replace(old, f"{json.dumps(name)}: {chance.choice(_VALUES)}", 1)
    if how == 5:
        return line.replace(json.dumps(name), chance.choice(['"EventID"', '"Image"', '"\\u0049mage"', '"x"', '""', '"Event"', '"Details"']), 1)
    at = chance.randrange(len(line))
    return line[:at] + chance.choice(["", "\x00", "\x1f", "}", "{", ",", '"', "\\", " ", "\r", ":", "\ufeff", "}}"]) + line[at + chance.randrange(3) :]


def test_both_ways_give_the_same_for_damaged_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(7)
    lines = []
    for number in range(2500):
        made = record(number)
        if number % 3 == 0:
            made = {name: value for name, value in made.items() if name != "Message"}
        if number % 5 == 0:
            made["Initiated"] = chance.choice(["true", "false", "", True])
            made["Protocol"] = chance.choice(["tcp", "udp", "TCP", 6])
        line = json.dumps(made, ensure_ascii=bool(number % 2))
        lines.append(damaged(line, chance) if number % 3 == 2 else line)
    path = tmp_path / "sysmon.jsonl"
    path.write_text("\n".join(line for line in lines if line[:1] == "{"), encoding="utf-8")
    assert same(path, monkeypatch) > 500
    path.write_bytes("\r\n".join(lines).encode() + b"\n\xff\n")
    same(path, monkeypatch)


def test_nested_records_are_read_by_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Winlogbeat's form, with the connection turned where the host answered, and a user whose domain stands elsewhere."""
    path = tmp_path / "winlogbeat.jsonl"
    with path.open("w") as out:
        for number in range(1200):
            data = {"ProcessId": str(number), "Image": "C:\\Windows\\System32\\ssh.exe", "Protocol": "udp" if number % 5 == 0 else "tcp", "User": "CORP\\ada",
                    "Initiated": "false" if number % 3 else "true", "SourceIp": f"10.0.0.{number % 250}", "SourcePort": number, "DestinationIp": "0.0.0.0",
                    "DestinationPort": "22", "SourceHostname": "-", "DestinationHostname": "Files.Example.", "UtcTime": "2026-03-04 05:06:07.891"}
            start = {"NewProcessName": "C:\\a.exe", "NewProcessId": hex(number), "SubjectUserName": ["ada", "CORP\\ada", "ada@corp", "-"][number % 4],
                     "SubjectDomainName": ["CORP", ""][number % 2], "ProcessId": "0x4"}
            sysmon = {"channel": "Microsoft-Windows-Sysmon/Operational", "event_id": "3", "computer_name": "WS1.corp", "event_data": data, "record_id": number}
            security = {"channel": "Security", "event_id": 4688, "computer_name": "WS1.corp", "event_data": start, "record_id": str(number)}
            out.write(json.dumps({"@timestamp": "2026-03-04T05:06:07.000Z", "winlog": security if number % 2 else sysmon}) + "\n")
    assert same(path, monkeypatch) > 500


def test_a_block_of_long_values_is_stored_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that wait stay below a limit, however few their rows are."""
    monkeypatch.setattr("netexfil.endpoint.columns.KEPT", 1 << 20)
    path = tmp_path / "long.jsonl"
    with path.open("w") as out:
        for number in range(12_000):
            out.write(json.dumps({"EventID": 11, "Channel": "Microsoft-Windows-Sysmon/Operational", "Computer": "ws1", "UtcTime": "2026-03-04 05:06:07.891",
                                  "TargetFilename": f"C:\\{number}\\" + "a" * 500}) + "\n")
    con = duckdb.connect()
    tables.create(con, ("event",))
    reader = reading.Reader(con)
    assert reader.columns is not None
    plain, sizes = reader.columns.flush, []

    def flush(*given: Any) -> Iterator[Any]:
        for plan, count in plain(*given):
            sizes.append(count)
            yield plan, count

    monkeypatch.setattr(reader.columns, "flush", flush)
    [account] = reader.read(path)
    assert account.events == 12_000
    assert reader.columns.waiting == 0
    assert len(sizes) > 1
    assert max(sizes) < 12_000
