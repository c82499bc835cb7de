"""The five-tuple of every record of the corpus, taken out a second way: a walk over the raw record that knows no dialect."""

from __future__ import annotations

import gzip
import ipaddress
import json
import os
import re
from collections.abc import Iterator
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


def records(path: Path) -> Iterator[tuple[int, Any]]:
    """(line, record) of a file of JSON lines; nothing of any other."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield number, record


def files(folder: str) -> list[Path]:
    return sorted(path for path in (CORPUS / folder).rglob("*") if re.search(r"\.(jsonl|json|log)(\.gz)?$", path.name)
                  and "zeek" not in str(path) and path.name != "vectors.jsonl")


def check(line: int, record: Any, rows: list[Any]) -> int:
    """Compare the events of one record with what the walk finds; gives how many tuples were compared."""
    raw = ends(record)
    compared = 0
    for local, local_p, remote, remote_p, initiated, proto in rows:
        if None in (local, local_p, remote, remote_p) or len(raw) < 2:
            continue
        compared += 1
        assert {(local, local_p), (remote, remote_p)} <= set().union(*raw.values()), (line, rows, raw)
        mine = "local" if "local" in raw else "dst" if initiated is False and proto != "udp" else "src"
        assert (local, local_p) in raw.get(mine, {(local, local_p)}), (line, rows, raw)
    both = {"src", "dst"} <= raw.keys() or {"local", "remote"} <= raw.keys()
    nobody = any(host in ("0.0.0.0", "::") for found in raw.values() for host, _ in found)
    assert not both or nobody or not rows or any(None not in row[:4] for row in rows), (line, rows, raw)
    return compared


# Folder -> tuples there are at least. (The recordings of same_run_pairs have a truth of their own: test_endpoint_carriers.)
FOLDERS = {"alerts": 0, "apt29_day1": 0, "crowdstrike": 1, "defender": 1, "elastic_license_v1": 0, "linux": 0, "no_licence_reference": 20,
           "panther_edr": 0, "sigma_regression": 0}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_five_tuple_of_the_corpus(folder: str) -> None:
    seen = 0
    for path in files(folder):
        con = duckdb.connect()
        tables.create(con, ("event",))
        reading.Reader(con).read(path)
        got: dict[int, list[Any]] = {}
        for line, *rest in con.execute("SELECT line, local_ip, local_p, remote_ip, remote_p, initiated, proto FROM event").fetchall():
            got.setdefault(line, []).append(rest)
        seen += sum(check(line, record, got.get(line, [])) for line, record in records(path))
    assert seen >= FOLDERS[folder]
