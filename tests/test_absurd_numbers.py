"""Numbers that no session has: one such row is not to stop the analysis of all others."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from made import channels_of, session

from netexfil import pipeline, summary, tables
from netexfil.finding import iso
from netexfil.policy import Policy
from netexfil.read import Options
from tests.read_cases import ENGINES, conn, tsv, write

MOST = (1 << 63) - 1
NOW = 1_795_305_600.0
ALL = ("orig_bytes", "orig_pkts", "orig_ip_bytes", "resp_bytes", "resp_pkts", "resp_ip_bytes", "missed_bytes")
ABSURD: dict[str, list[dict[str, Any]]] = {
    "wrapped": [{"orig_bytes": (1 << 64) - 1}],
    "both": [dict.fromkeys(ALL, MOST)],
    "one-sided": [{"orig_bytes": MOST, "orig_ip_bytes": MOST, "orig_pkts": 1, "service": None}],
    "sums": [{"orig_bytes": MOST, "orig_ip_bytes": MOST, "orig_pkts": 1, "id.orig_p": 1024 + n} for n in range(1000)],
    "long": [{"duration": 1e300}], "lasting": [{"duration": 3e11}], "late": [{"ts": 1e300}, {"ts": 99_999_999_999.0, "duration": 1e12}],
}  # fmt: skip


def test_what_no_sensor_saw_is_no_number() -> None:
    con = channels_of([session(NOW + n, "10.0.0.1", "198.51.100.7", 50_000_000, 0, resp_quality="unknown", resp_low=None, uid=f"C{n}") for n in range(2)])
    assert con.execute("SELECT bytes_low, bytes_in, in_unknown FROM channel").fetchall() == [(100_000_000, None, 2)]


@pytest.mark.parametrize(("ts", "said"), [(253_402_300_799.9999, "9999-12-31T23:59:59.000Z"), (1e300, "9999-12-31T23:59:59.000Z"),
                                          (-1e300, "0001-01-01T00:00:00.000Z"), (NOW, "2026-11-22T00:00:00.000Z")])
def test_every_time_has_a_date(ts: float, said: str) -> None:
    assert iso(ts) == said


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ABSURD)
def test_the_upload_beside_it_is_found(tmp_path: pathlib.Path, name: str, engine: str) -> None:
    upload = {"orig_bytes": 50_000_000, "orig_ip_bytes": 52_000_000, "orig_pkts": 40_000, "id.resp_h": "198.51.100.77"}
    rows = [conn(number, **changed) for number, changed in enumerate([*ABSURD[name], upload], 1)]
    path = write(tmp_path, "conn.log", tsv(rows))
    found = pipeline.analyze(tables.connect(), pipeline.Job(sources=(str(path),), options=Options(engine=engine)))
    records = found.records()
    assert "198.51.100.77" in {record["destination"]["ips"][0] for record in records if record["destination"]}
    assert all(0 <= record["score"] <= 100 and record["last_time"] > record["first_time"][:10] for record in records)
    summed = summary.channels([str(path)], Options(engine=engine), Policy())
    assert any(row[2] == "198.51.100.77" and row[8] == 50_000_000 for row in summed.rows)
