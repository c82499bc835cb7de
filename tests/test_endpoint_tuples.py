"""The five-tuple of every record of the corpus, taken out a second way: a walk over the raw record that knows no dialect."""

from __future__ import annotations

import csv
import gzip
import io
import ipaddress
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest

from netexfil import tables
from netexfil.endpoint import reading

CORPUS = Path(os.environ.get("NETEXFIL_CORPUS", Path(__file__).parents[2] / "shared/corpus")) / "endpoint"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real telemetry is not here")

# The ends of the names of addresses and ports; what is before them says whose they are.
_ADDRESS = re.compile(r"(?:[ ._-]?(?:ip|ip4|ip6|ipv4|ipv6|addr|address|addressip4|addressip6|addressstring))+$", re.I)
_PORT = re.compile(r"[ ._-]?port$", re.I)
_SIDE = {"source": "src", "src": "src", "s": "src", "l": "local", "local": "local", "destination": "dst", "dest": "dst", "dst": "dst", "d": "dst",
         "r": "remote", "remote": "remote", "src_endpoint": "src", "dst_endpoint": "dst"}
_PAIR = re.compile(r"<Data Name=[\"'](\w+)[\"']>([^<]*)<")


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every plain value of a record with the names that lead to it; text that holds JSON or event XML is walked too."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, *str(name).split(".")))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, (*path, str(number)) if isinstance(inner, dict) else path)
    elif isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            yield from leaves(json.loads(value), path)
        except ValueError:
            yield path, value
    elif isinstance(value, str) and "<Data Name=" in value:
        yield from (((*path, name), text) for name, text in _PAIR.findall(value))
    elif value is not None:
        yield path, str(value)


def address(text: str) -> str | None:
    try:
        found: Any = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return str(getattr(found, "ipv4_mapped", None) or found)


def side(path: tuple[str, ...], ending: re.Pattern[str]) -> str | None:
    """Whose address or port a name means: `SourceIp`, `source.ip`, `LocalAddressIP4`, `dst_endpoint.port`."""
    last = path[-1]
    stem = ending.sub("", last) or (path[-2] if len(path) > 1 else "")
    return _SIDE.get(stem.lower().rstrip("_")) if ending.search(last) else None


def ends(record: Any) -> dict[str, set[tuple[str, int]]]:
    """Each side of a record with the (address, port) it gives; names at one place only are put together."""
    hosts: dict[tuple[tuple[str, ...], str], str] = {}
    ports: dict[tuple[tuple[str, ...], str], int] = {}
    for path, text in leaves(record):
        if not path:
            continue
        for ending, into, convert in ((_ADDRESS, hosts, address), (_PORT, ports, lambda text: int(text) if text.isdecimal() else None)):
            whose, value = side(path, ending), convert(text)
            if whose and value and (value.__class__ is str or 0 < int(value) < 65536):
                place = path[:-1] if path[-1].lower() not in ("ip", "port", "address") else path[:-2]
                into.setdefault((place, whose), value)
    found: dict[str, set[tuple[str, int]]] = {}
    for key in hosts.keys() & ports.keys():
        found.setdefault(key[1], set()).add((hosts[key], ports[key]))
    return found


def of_lines(text: bytes) -> Iterator[tuple[int, Any]]:
    """JSON lines, and lines with event XML in them."""
    for number, line in enumerate(text.split(b"\n"), 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = {"xml": line.decode("utf-8", "replace")} if b"<Event" in line else None
        if isinstance(record, dict):
            yield number, record


def of_csv(text: bytes) -> Iterator[tuple[int, Any]]:
    rows = csv.reader(io.StringIO(text.decode("utf-8-sig", "replace"), newline=""))
    header = [name.split(" [")[0] for name in next(rows)]
    before = rows.line_num
    for row in rows:
        yield before + 1, dict(zip(header, row, strict=False))
        before = rows.line_num


def of_evtx(data: bytes) -> Iterator[tuple[int, Any]]:
    """The records as XML, where the reader takes them as JSON."""
    found = iter(pytest.importorskip("evtx", reason="the extra evtx is not installed").PyEvtxParser(io.BytesIO(data)).records())
    for number in count(1):
        try:
            yield number, {"xml": next(found)["data"]}
        except StopIteration:
            return
        except RuntimeError:
            continue  # a damaged record or chunk; the reader refuses it


WAYS: Mapping[str, Callable[[bytes], Iterator[tuple[int, Any]]]] = {
    "jsonl": of_lines, "json": of_lines, "log": of_lines, "xml": of_lines, "csv": of_csv, "evtx": of_evtx,
}
_ENDING = re.compile(rf"\.({'|'.join(WAYS)})(\.gz)?$")


def records(path: Path) -> Iterator[tuple[int, Any]]:
    """(line, record) of a file, by what its name says it is."""
    way = _ENDING.search(path.name)
    assert way
    data = path.read_bytes()
    yield from WAYS[way[1]](gzip.decompress(data) if path.suffix == ".gz" else data)


def files(folder: str) -> list[Path]:
    return sorted(path for path in (CORPUS / folder.partition(":")[0]).rglob("*") if _ENDING.search(path.name) and "zeek" not in str(path)
                  and path.name != "vectors.jsonl" and folder.partition(":")[2] in path.name)


def check(line: int, record: Any, rows: list[Any]) -> int:
    """Compare the events of one record with what the walk finds; gives how many tuples were compared."""
    raw = ends(record)
    compared = 0
    for local, local_p, remote, remote_p, initiated, proto in rows:
        if None in (local, local_p, remote, remote_p) or len(raw) < 2:
            continue
        compared += 1
        assert {(local, local_p), (remote, remote_p)} <= set().union(*raw.values()), (line, rows, raw)
        if proto == "udp" and initiated is False and "local" not in raw:
            continue  # whose the source is differs between Sysmon and the others: tests of their own
        mine = "local" if "local" in raw else "dst" if initiated is False else "src"
        assert (local, local_p) in raw.get(mine, {(local, local_p)}), (line, rows, raw)
    both = {"src", "dst"} <= raw.keys() or {"local", "remote"} <= raw.keys()
    nobody = any(host in ("0.0.0.0", "::") for found in raw.values() for host, _ in found)
    assert not both or nobody or not rows or any(None not in row[:4] for row in rows), (line, rows, raw)
    return compared


# Folder -> tuples there are at least. (The recordings of same_run_pairs have a truth of their own: test_endpoint_carriers.)
FOLDERS = {"evtx": 100, "same_run_pairs:evtx": 18, "alerts": 0, "apt29_day1": 0, "crowdstrike": 1, "defender": 1, "elastic_license_v1": 0, "linux": 0, "no_licence_reference": 50,
           "panther_edr": 0, "sigma_regression": 0}


def compared(path: Path) -> int:
    """Hold what the reader makes of a file against the walk over its records; gives how many tuples were compared."""
    con = duckdb.connect()
    tables.create(con, ("event",))
    reading.Reader(con).read(path)
    got: dict[int, list[Any]] = {}
    for line, *rest in con.execute("SELECT line, local_ip, local_p, remote_ip, remote_p, initiated, proto FROM event").fetchall():
        got.setdefault(line, []).append(rest)
    return sum(check(line, record, got.get(line, [])) for line, record in records(path))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_five_tuple_of_the_corpus(folder: str) -> None:
    seen = sum(compared(path) for path in files(folder))
    assert seen >= FOLDERS[folder], seen


def as_lines(events: list[str]) -> str:
    return "".join(re.sub(r">\s+<", "><", event).replace("\r", "").replace("\n", " ") + "\n" for event in events)


def as_csv(events: list[str]) -> str:
    rows = []
    for event in events:
        system = {name: found[1] for name in ("EventID", "Channel", "Computer") if (found := re.search(rf"<{name}[^>]*>([^<]*)<", event))}
        rows.append(system | dict(_PAIR.findall(event)))
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize(("name", "write"), [("lines.xml", as_lines), ("table.csv", as_csv)])
def test_every_five_tuple_of_the_event_logs_in_other_carriers(tmp_path: Path, name: str, write: Callable[[list[str]], str]) -> None:
    """The same records as one line of XML each, and as a table with a column for each name."""
    for path in files("evtx")[::2]:
        (tmp_path / name).write_text(write([record["xml"] for _, record in records(path)]), "utf-8")
        assert compared(tmp_path / name) == compared(path), path
