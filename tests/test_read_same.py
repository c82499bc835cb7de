"""Sameness: core = portable, gzip = plain, TSV = JSON, any split and order = whole, and every row of the corpus accounted for."""

from __future__ import annotations

import gzip
import ipaddress
import json
import operator
import pathlib
import random
import tempfile
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from netexfil import read, tables
from netexfil.policy import Policy
from netexfil.read import find
from tests.read_cases import CONN, CORPUS, ENGINES, Read, conn, jsonl, tsv, write

core = pytest.mark.skipif(not read.core_available(), reason="the core is not built")
FOLDERS = sorted(path for path in (*(CORPUS / "network/zeek-logs").glob("*"), *(CORPUS / "network/join").glob("*/zeek")) if path.is_dir())
READABLE = [folder for folder in FOLDERS if folder.name != "rita-text_file"]
quick = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.reuse, Phase.generate))

counts = st.integers(0, 2**40) | st.none()
addresses = st.ip_addresses().map(str)
rows = st.builds(
    lambda number, **more: conn(number, **more),
    st.integers(1, 20_000), ts=st.integers(0, 2**37).map(lambda n: n / 64), orig_h=addresses, resp_h=addresses, resp_p=st.integers(0, 65535),
    proto=st.sampled_from(["tcp", "udp", "icmp"]), service=st.sampled_from([None, "ssl", "ssl,http", "-ssl,ftp"]),
    duration=st.none() | st.integers(0, 2**30).map(lambda n: n / 64), orig_bytes=counts, resp_bytes=counts, missed_bytes=st.integers(0, 9),
    history=st.sampled_from([None, "S", "ShADadFf", "^hadf", "Dd", "DA", "ShACad"]), orig_pkts=st.integers(0, 2**30), orig_ip_bytes=counts,
    resp_pkts=st.integers(0, 2**30), resp_ip_bytes=counts, local_orig=st.booleans() | st.none(), tunnel_parents=st.none() | st.just(["Ca", "Cb"]),
)  # fmt: skip
tables_of_rows = st.lists(rows, min_size=1, max_size=30, unique_by=lambda row: row["uid"])


def folder() -> Any:
    return tempfile.TemporaryDirectory()


@pytest.mark.parametrize("engine", ENGINES)
@quick
@given(tables_of_rows, st.randoms(use_true_random=False))
def test_any_split_order_wrapping_and_format_is_the_whole(engine: str, found: list[dict[str, Any]], chance: random.Random) -> None:
    with folder() as name:
        where = pathlib.Path(name)
        whole = Read(write(where, "whole/conn.log", tsv(found)), engine=engine)
        mixed = found[:]
        chance.shuffle(mixed)
        cut = chance.randrange(len(mixed) + 1)
        parts = where / "parts"
        write(parts, "conn.00.log.gz", tsv(mixed[:cut]))
        write(parts, "b/conn.log", tsv(mixed[cut:]) if chance.random() < 0.5 else jsonl(mixed[cut:]) or tsv([]))
        assert Read(parts, engine=engine).without("source", "hints") == whole.without("source", "hints") or _merged(found)
        assert Read(write(where, "j/conn.json", jsonl(found)), engine=engine).without("source") == whole.without("source")


def _merged(found: list[dict[str, Any]]) -> bool:
    """Rows of one tuple within a second, in different files, count as two sensors': then a split may well differ."""
    ends = [(r["id.orig_h"], r["id.orig_p"], r["id.resp_h"], r["id.resp_p"]) for r in found]
    return len(set(ends)) < len(ends)


@core
@quick
@given(tables_of_rows, st.booleans())
def test_core_is_portable(found: list[dict[str, Any]], only: bool) -> None:
    with folder() as name:
        for text, file in ((tsv(found), "conn.log"), (jsonl(found), "conn.json")):
            path = write(pathlib.Path(name), file, text)
            one, two = (Read(path, engine=engine, only_outbound=only) for engine in ("core", "portable"))
            assert one.sessions == two.sessions


@core
@quick
@given(tables_of_rows, st.randoms(use_true_random=False), st.booleans())
def test_core_is_portable_on_damaged_text(found: list[dict[str, Any]], chance: random.Random, as_json: bool) -> None:
    with folder() as name:
        text = bytearray((jsonl if as_json else tsv)(found).encode())
        begin = 0 if as_json else text.index(b"#types") + 200
        for _ in range(5):
            text[chance.randrange(min(begin, len(text) - 1), len(text))] = chance.choice(b'\x00\t\n\\"{}[],-.0e\xff')
        path = write(pathlib.Path(name), "conn.log", bytes(text))
        got = []
        for engine in ("core", "portable"):
            try:
                result = Read(path, engine=engine)
            except read.Unreadable as error:
                got.append(str(error))
                continue
            got.append((result.sessions, sorted(map(str, result.notes))))
        assert got[0] == got[1]


@core
@quick
@given(st.ip_addresses(), st.lists(st.ip_addresses().map(lambda a: str(ipaddress.ip_network((a, a.max_prefixlen // 4), strict=False))), max_size=3))
def test_rust_and_python_place_an_address_alike(address: Any, inside: list[str]) -> None:
    from netexfil import _core

    policy = Policy(inside=inside or Policy().inside)
    networks, private = [str(n) for n in policy.networks], [str(n) for n in policy.private]
    assert _core.Logs.side(str(address), networks, private) == policy.side(str(address))


@core
@pytest.mark.skipif(not FOLDERS, reason="no corpus")
@pytest.mark.parametrize("where", READABLE, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_row_of_the_corpus_is_taken_or_refused(where: pathlib.Path) -> None:
    """Rows counted another way: lines that are no header and not empty."""
    from netexfil.read import core_logs, fields, logs

    with find.sources([str(where)]) as found:
        con = tables.connect()
        for log in fields.LOGS:
            logs._empty(con, logs.columns(log), f"raw_{log}")
        for tally in core_logs.rows_of(con, found.logs, list(fields.LOGS), read.Options(), Policy(), None):
            path = pathlib.Path(tally.file)
            try:
                data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            except EOFError:
                continue
            present = sum(1 for line in data.split(b"\n") if line.strip() and not line.startswith(b"#"))
            assert tally.rows + tally.other + tally.refused == present, path
            assert sum(note.count for note in tally.notes if note.kind in ("refused", "unfinished")) == tally.refused
            assert tally.dropped == 0


def plain_count(where: pathlib.Path) -> int:
    """Sessions of a folder by a plain reading: distinct uid and tuple of every conn row whose values are sound."""
    seen = set()
    for path in sorted(where.rglob("*")):
        if not path.is_file() or "conn-summary" in path.name:
            continue
        try:
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        except EOFError:
            continue
        lines = data.decode(errors="replace").splitlines()
        names: list[str] = []
        conn_log = False
        for line in lines:
            if line.startswith("#path"):
                conn_log = line.split("\t")[1].startswith(("conn", "open_conn")) and "summary" not in line
            elif line.startswith("#fields"):
                names = line.split("\t")[1:]
            elif line.startswith("{"):
                try:
                    row = {key.replace(".", "_"): value for key, value in json.loads(line).items()}
                except ValueError:
                    continue
                if "conn_state" in row and int(row["id_orig_p"]) < 65536:
                    seen.add((row["uid"], row["id_orig_h"], row["id_orig_p"], row["id_resp_h"], row["id_resp_p"]))
            elif conn_log and line.count("\t") == len(names) - 1 and not line.startswith("#"):
                row = dict(zip(names, line.split("\t"), strict=True))
                seen.add((row["uid"], row["id.orig_h"], int(row["id.orig_p"]), row["id.resp_h"], int(row["id.resp_p"])))
    return len(seen)


@core
@pytest.mark.skipif(not FOLDERS, reason="no corpus")
@pytest.mark.parametrize("where", READABLE, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_sessions_of_the_corpus_are_those_of_a_plain_reading(where: pathlib.Path) -> None:
    found = Read(where, engine="core")
    second = sum((row["hints"] or "").count("sensor2=") for row in found.sessions)
    assert len(found.sessions) + second == plain_count(where)


@core
@pytest.mark.skipif(not FOLDERS, reason="no corpus")
@pytest.mark.parametrize("name", ["rita-proxy", "slips-test9-mixed-zeek-dir", "vast-corelight-json", "zat", "otrf-apt29-day1"])
def test_core_is_portable_on_the_corpus(name: str) -> None:
    one, two = (Read(CORPUS / "network/zeek-logs" / name, engine=engine, keep_facts=True) for engine in ("core", "portable"))
    assert one.sessions == two.sessions
    assert one.names == two.names
    assert one.facts == two.facts
    assert sorted(map(str, one.notes)) == sorted(map(str, two.notes))


@core
def test_a_large_file_in_parts(tmp_path: pathlib.Path) -> None:
    """Over the size at which a file is cut; the header changes in the middle; row and line numbers stay right."""
    text = tsv([conn(n, resp_h="10.0.0.9") for n in range(2000)])
    body = text[text.index("#types") :].partition("\n")[2]
    times = (80 << 20) // len(body)
    names = ("orig_bytes", "proto", "id.resp_p", "id.resp_h", "id.orig_p", "id.orig_h", "uid", "ts")
    path = tmp_path / "conn.log"
    with path.open("w") as handle:
        handle.write(text + body * (times // 2) + "broken\n" + tsv([conn(1)]).splitlines()[-1] + "\n" + body * (times // 2))
        handle.write(tsv([conn(9999)], fields={name: CONN[name] for name in names}) + "one\ttwo\n")
    found = Read(path, engine="core", only_outbound=True)
    assert [(row["uid"][-4:], row["orig_bytes"]) for row in found.sessions] == [("0001", 5000), ("9999", 5000)]
    half, all_ = 8 + 2000 * (1 + times // 2) + 1, 8 + 2000 * (1 + times // 2 * 2) + 2
    assert sorted((note.place, note.reason) for note in found.notes) == [
        (half, "1 columns where the header has 21"), (all_ + 10, "2 columns where the header has 8"),
    ]  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.skipif(not FOLDERS, reason="no corpus")
def test_eve_says_what_zeek_says(engine: str, tmp_path: pathlib.Path) -> None:
    """The same packets through Suricata and Zeek: the same sessions, and Zeek's bytes lie within Suricata's bounds."""
    truth = CORPUS / "network/pcap/vast/example.pcap.truth"
    zeek = Read(truth / "zeek-conn.log.gz", engine=engine)
    eve = Read(truth / "suricata-eve.json.gz", engine=engine)
    key = operator.itemgetter("orig_h", "orig_p", "resp_h", "resp_p")
    ends = {(key(row), round(row["ts"])): row for row in zeek.sessions}
    both = [(row, ends[key(row), round(row["ts"])]) for row in eve.sessions if (key(row), round(row["ts"])) in ends]
    assert len(both) >= 0.9 * len(eve.sessions)
    for mine, theirs in both:
        if mine["orig_pkts"] == theirs["orig_pkts"]:
            assert mine["orig_ip_bytes"] == theirs["orig_ip_bytes"]
            assert mine["orig_low"] <= (theirs["orig_bytes"] or 0) <= mine["orig_high"]


LABS = sorted(path for path in (CORPUS / "lab-zeek").glob("*") if (path / "conn.log").exists())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.skipif(not LABS, reason="no corpus")
@pytest.mark.parametrize("where", LABS[::12], ids=lambda path: path.name)
def test_the_sensors_own_log_gives_the_same_sessions(engine: str, where: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """netexfil.log alone = the full logs, for the sessions that it holds; beside them it adds nothing."""
    from tests.netexfil_log import compact

    short = write(tmp_path, "netexfil.log", compact(where))
    full = {row["uid"]: row for row in Read(where, engine=engine).sessions}
    alone = Read(short, engine=engine)
    left_out = ("source", "community_id", "cert_self_signed")
    for row in alone.sessions:
        assert {k: v for k, v in row.items() if k not in left_out} == {k: v for k, v in full[row["uid"]].items() if k not in left_out}
    both = Read(where, short, engine=engine)
    assert both.without(*left_out) == Read(where, engine=engine).without(*left_out)


@pytest.mark.parametrize("engine", ENGINES)
def test_progress_in_the_sensors_own_log(engine: str, tmp_path: pathlib.Path) -> None:
    fields = {"ts": "time", "kind": "string"} | {name: kind for name, kind in CONN.items() if name != "ts"} | {"address": "addr", "name": "string"}
    sizes = ((10.0, 1000), (20.0, 3000))
    running = [conn(1, duration=d, orig_bytes=b, conn_state=None, orig_ip_bytes=b + 520) | {"kind": "progress"} for d, b in sizes]
    name = {"ts": 5.0, "kind": "dns", "address": "203.0.113.9", "name": "drop.example"}
    path = write(tmp_path, "netexfil.log", tsv([*running, name], "netexfil", fields))
    found = Read(path, engine=engine)
    assert (found.one["orig_bytes"], found.one["hints"]) == (3000, "open")
    assert [row[:3] for row in found.names] == [("203.0.113.9", "drop.example", "dns")]
    path = write(tmp_path, "netexfil.log", tsv([*running, conn(1) | {"kind": "session"}, name], "netexfil", fields))
    assert (Read(path, engine=engine).one["orig_bytes"], Read(path, engine=engine).one["hints"]) == (5000, None)
