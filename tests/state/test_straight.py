"""Sessions that go straight into the state, and sums that the core makes of them: the same rows as through memory and SQL."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from world import HEADS, START, Town, World, header, job, run, table, whole

from netexfil import read, tables
from netexfil.policy import Policy
from netexfil.state import ingest, store, summing
from netexfil.state.straight import Met, Straight

SEEDS = range(int(os.environ.get("NETEXFIL_SUMS", "3")))  # so many random logs are summed both ways
TABLES = {
    "told": ("ts, uid", "batch, source"), "fact": ("ALL", ""), "name": ("ALL", ""), "channel": ("cid", ""), "pair": ("pair", ""), "spoke": ("ALL", ""),
    "mixed": ("ALL", ""),
}  # fmt: skip


def held(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """What a state knows, without the numbers of batches."""
    con = tables.connect()
    with store.attached(con, file, read_only=True):
        return {
            name: con.execute(f"SELECT * {f'EXCLUDE ({less})' if less else ''} FROM state.{name} ORDER BY {order}").fetchall()
            for name, (order, less) in TABLES.items()
        }


def lines(seed: int, count: int) -> list[str]:
    """Rows of conn.log of every kind: services, ports, sides, counts that contradict each other, one-sided, unfinished, without counts."""
    rng, made = random.Random(seed), []
    ends = ["10.0.0.1", "10.0.0.2", "fd00::1", "203.0.113.1", "203.0.113.2", "2001:db8::1", "198.51.100.7", "192.168.1.1", "::ffff:203.0.113.1"]
    for number in range(count):
        orig, resp = rng.sample(ends, 2)
        sent, got = (rng.choice(["-", 0, 700, 20_000, 30_000_000, 2**41, 10**15]) for _ in "ab")
        pkts = [rng.choice(["-", 0, 3, 900]) for _ in "ab"]
        ip_bytes = [rng.choice(["-", 0, 900, 40_000_000, 2**42]) for _ in "ab"]
        row = (f"{START + rng.choice([1.5, 7.25, 86400.0, 172800.123456]):.6f}", rng.choice(["-", f"Cs{seed}n{number}"]), orig, 1024 + number, resp,
               rng.choice([21, 22, 53, 80, 443, 445, 465, 989, 990, 8443, 5000]), rng.choice(["tcp", "tcp", "udp"]),
               rng.choice(["-", "ssl", "tls", "ssh", "ftp", "ftp,ssl", "ftp-data", "http", "dns", "quic,ssl", "-ssl", "-gssapi,ssl"]),
               rng.choice(["-", "0.000001", "12.5", "90000.000000"]), sent, got, "SF", rng.choice([0, 0, 0, 500, "-"]),
               rng.choice(["ShADadFf", "DadA", "S", "^dA", "ShAdDCc", "-", "C", "Sh"]), pkts[0], ip_bytes[0], pkts[1], ip_bytes[1])  # fmt: skip
        made.append("\t".join(map(str, row)))
    return made


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_core_sums_what_sql_sums(tmp_path: Path, seed: int, named: bool) -> None:
    folder, rows = tmp_path, lines(seed, 400)
    (folder / "conn.log").write_text(header("conn") + "\n".join(rows) + "\n")
    if named:  # some of the sessions have a name besides
        said = ["\t".join([*row.split("\t")[:6], "TLSv12", f"drop{number % 3}.example", "-"]) for number, row in enumerate(rows[::3]) if "\t-\t" not in row[:40]]
        (folder / "ssl.log").write_text(header("ssl") + "\n".join(said) + "\n")
    made = {}
    for core in (True, False):
        con = tables.connect()
        sums = summing.asked(con, Policy()) if core else None
        asked = job([str(folder)], None)
        summing.begin(con)
        ingest.room(con, asked)
        read.sessions(con, asked.sources, replace(asked.options, keep_facts=True, sums=sums), Policy(), None, ingest.unturned)
        con.execute("CREATE TEMP TABLE taken (uid VARCHAR)")
        ingest.sum_up(con, Policy(), ingest.Tally(summed=True), "session", 1, sums)
        made[core] = [sorted(con.execute(f"SELECT DISTINCT * FROM {name}").fetchall(), key=repr) for name in ("sums", "reads")]
        assert not core or (sums and sums.found), "the core has made sums"
    assert made[True] == made[False]


@pytest.mark.parametrize("seed", SEEDS[:1])
def test_straight_and_through_memory_end_in_the_same_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    taken, met = [], []
    put, check = Straight.put, Straight.check
    monkeypatch.setattr(Straight, "put", lambda self, con, query: taken.append(1) or put(self, con, query))

    def checked(self, con):  # type: ignore[no-untyped-def]
        try:
            check(self, con)
        except Met:
            met.append(1)
            raise

    monkeypatch.setattr(Straight, "check", checked)
    coming = [(log, line) for log, line in Town(seed).records(30) if log not in ("ftp", "twin")]
    for name, single in (("straight", ingest._single), ("memory", lambda *_: False)):
        monkeypatch.setattr(ingest, "_single", single)
        world = World(tmp_path / name, list(coming), policy=Town.POLICY)
        for count in (30, 30):
            world.append(count)
            world.run()
        shown = world.logs / "again.log"  # rows that are stored, and one that tells more of a session
        rows = [line for log, line in world.written if log == "conn"]
        shown.write_text(header("conn") + "\n".join([rows[-1], rows[0].replace("SF", "S1").replace("30000000", "31000000")]) + "\n")
        world.run()
        shown.unlink()
        world.append(len(world.coming))
        world.run()
    assert len(taken) >= 2, "rows went straight"
    assert met, "and were taken back"
    assert held(tmp_path / "straight/state.duckdb") == held(tmp_path / "memory/state.duckdb")


def test_what_was_taken_and_cannot_stand_is_read_once_more(tmp_path: Path) -> None:
    """A uid twice in one log, rows of another log in its midst, days that are no longer kept."""
    row = "\t".join(f"{START + 1:.6f} C1 10.0.0.1 40000 203.0.113.1 443 tcp ssl 5.0 {{}} 500 SF 0 ShADadFf 30000 {{}} 10 1000".split(" "))
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "conn.log").write_text(header("conn") + row.format(30_000_000, 32_000_000) + "\n" + row.format(40_000_000, 42_000_000) + "\n")
    assert run(tmp_path / "twice.duckdb", [str(logs)]).sessions == 1
    (found,) = table(tmp_path / "twice.duckdb")
    assert found["bytes_out"] == {"low": 40_000_000, "high": 40_000_000, "quality": "exact"}

    told = dict(zip(HEADS["conn"][0], row.format(40_000_000, 42_000_000).split("\t"), strict=True))
    ends = {name: told[name] for name in HEADS["conn"][0][:6]}
    said = ends | {"_path": "ssl", "version": "TLSv12", "server_name": "drop1.example"}
    (logs / "conn.log").write_text("".join(json.dumps(one) + "\n" for one in (told | {"_path": "conn"}, said)))
    run(tmp_path / "mixed.duckdb", [str(logs)])
    assert [one["destination"]["name"] for one in table(tmp_path / "mixed.duckdb")] == ["drop1.example"]

    late = tmp_path / "late.duckdb"
    days = [row.format(30_000_000, 32_000_000).replace("C1", f"C{day}").replace(f"{START + 1:.6f}", f"{START + day * 86400:.6f}") for day in (2, 12, 0)]
    for line in days:
        (logs / "conn.log").write_text(header("conn") + line + "\n")
        notes = run(late, [str(logs)], START + 12 * 86400).notes
    assert [note.kind for note in notes] == ["late"]


def test_a_sensor_that_drops_one_side_is_told_of_rows_that_went_straight(tmp_path: Path) -> None:
    rows = [f"{START + n:.6f}\tC{n}\t10.0.0.1\t{40000 + n}\t203.0.113.1\t443\ttcp\tssl\t5.0\t0\t500\tSF\t0\tdA\t0\t0\t10\t1000" for n in range(9)]
    world = World(tmp_path, [("conn", row) for row in rows])
    world.append(9)
    assert [note.kind for note in world.run().notes if note.kind == "offload"] == ["offload"]
    con = tables.connect()
    with store.attached(con, world.file, read_only=True):
        assert con.execute("SELECT DISTINCT hints FROM state.session").fetchall() == [("midstream,offload,onesided",)]
    assert table(world.file) == whole(tmp_path, world.written)
