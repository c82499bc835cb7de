"""Leaving out sessions while a large conn log is read changes nothing that is told: findings, evidence and notes are those of all sessions."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from netexfil import detect, pipeline, read, tables
from netexfil import policy as policies
from netexfil.read import sift
from tests.read_cases import CORPUS, SSL, conn, jsonl, tsv, write

pytestmark = pytest.mark.skipif(not read.core_available(), reason="the core is not built")
quick = settings(max_examples=int(os.environ.get("NETEXFIL_SIFTED", "8")), deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.reuse, Phase.generate))
SITE = policies.build({"thresholds": {"outbound_volume": 100_000, "asymmetry_small": 4_000, "finding_floor": 1, "fleet": 2, "clients": 2}})
DAY, START = 86_400, 1_700_006_400
INSIDE, REMOTE = tuple(f"10.0.0.{n}" for n in range(1, 6)), tuple(f"203.0.113.{n}" for n in range(1, 9))
NAMES = ("a.example.com", "b.example.com", "x.example.co.uk", "y.example.co.uk", "u.s3.amazonaws.com", "dav.example.org", "Example.NET.", "one")
SSH = {"ts": "time", "uid": "string", "client": "string", "server": "string"}
FTP = {"ts": "time", "uid": "string", "data_channel.resp_h": "addr", "data_channel.resp_p": "port"}
DNS = {"ts": "time", "query": "string", "answers": "vector[string]"}

amounts = st.integers(0, 3_000) | st.integers(3_000, 40_000) | st.integers(40_000, 400_000) | st.none()
sessions = st.builds(
    lambda number, ends, sent, **more: conn(
        number, orig_h=ends[0], resp_h=ends[1], orig_bytes=sent, orig_pkts=20, orig_ip_bytes=800 + (sent or 0), resp_ip_bytes=2**30, **more),
    st.integers(1, 20_000), ts=st.tuples(st.integers(0, 4), st.integers(0, DAY * 64 - 1)).map(lambda both: START + both[0] * DAY + both[1] / 64),
    ends=st.tuples(st.sampled_from(INSIDE), st.sampled_from(REMOTE)) | st.tuples(st.sampled_from((*INSIDE, *REMOTE)), st.sampled_from((*REMOTE, *INSIDE))),
    sent=amounts, resp_bytes=amounts, resp_p=st.sampled_from([443, 443, 443, 22, 80, 21, 990, 587, 5000, 40000]),
    service=st.sampled_from(["ssl", "ssl", None, "ssh", "http", "ftp", "ftp,ssl", "quic", "ftp-data", "smtp"]), proto=st.sampled_from(["tcp", "tcp", "tcp", "udp"]),
    history=st.sampled_from(["ShADadFf", "ShADadFf", "ShADadFf", "DadA", "Dd"]), missed_bytes=st.sampled_from([0, 0, 0, 500]),
    duration=st.none() | st.integers(0, 600).map(float), local_orig=st.sampled_from([True, None]),
)  # fmt: skip
logs = st.lists(sessions, min_size=1, max_size=40, unique_by=lambda row: row["uid"])
# For each session what other logs say of it, if anything.
said = st.lists(st.sampled_from(["", "", "ssl", "ssl", "ssh", "ftp", "quic"]).flatmap(lambda log: st.tuples(st.just(log), st.sampled_from(NAMES))), min_size=40, max_size=40)
answers = st.lists(st.tuples(st.sampled_from(REMOTE), st.sampled_from(NAMES), st.integers(0, 4 * DAY)), max_size=6)


def told(folder: pathlib.Path, size: int, site: policies.Policy = SITE, monkey: list[int] | None = None) -> Any:
    """Findings and notes. `size` 0: sessions are left out; very large: none is."""
    con = tables.connect()
    worth = read.Worth(*detect.worth(site), silent=int(site.threshold("outbound_volume")), size=size)
    job = pipeline.Job(sources=[str(folder)], policy=site, options=read.Options(only_outbound=True, sift=worth))
    made = pipeline.analyze(con, job)
    if monkey is not None:
        monkey += [row[0] for row in con.execute("SELECT count(*) FROM session").fetchall()]
    return [finding.record() for finding in made.findings], sorted((note.kind, note.file, str(note.place), note.reason, note.count) for note in made.notes)


def written(folder: pathlib.Path, rows: Sequence[dict[str, Any]], words: Sequence[tuple[str, str]], dns: Sequence[tuple[str, str, int]]) -> None:
    by_log: dict[str, list[dict[str, Any]]] = {}
    for row, (log, name) in zip(rows, words, strict=False):
        more = {"server_name": name, "version": "TLSv13", "client": f"SSH-2.0-{name}", "server": "SSH-2.0-x",
                "data_channel.resp_h": REMOTE[len(name) % 8], "data_channel.resp_p": 40000}
        by_log.setdefault(log, []).append({**{key: row[key] for key in list(SSL)[:6]}, **more})
    for log, fields in {"ssl": SSL, "ssh": SSH, "ftp": FTP, "quic": dict(list(SSL.items())[:8])}.items():
        if log in by_log:
            write(folder, f"{log}.log", tsv(by_log[log], log, fields))
    if dns:
        write(folder, "dns.log", tsv([{"ts": START + ts, "query": name, "answers": [address]} for address, name, ts in dns], "dns", DNS))


@quick
@given(logs, said, answers, st.booleans())
def test_what_is_told_does_not_depend_on_what_was_left_out(
    rows: list[dict[str, Any]], words: list[tuple[str, str]], dns: list[tuple[str, str, int]], as_json: bool,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write(folder, "conn.log", jsonl(rows) if as_json else tsv(rows))
        written(folder, rows, words, dns)
        assert told(folder, 0) == told(folder, 1 << 60)


@pytest.mark.parametrize("name", ["vast-m57", "rita-open_conns", "zat", "slips-test18-ctu-sme-11-labeled", "rita-json_with_all_fields"])
def test_on_recorded_logs(name: str) -> None:
    folder = CORPUS / "network/zeek-logs" / name
    if not folder.is_dir():
        pytest.skip("the recorded logs are not here")
    low = policies.build({"thresholds": {"outbound_volume": 200_000, "asymmetry_small": 5_000}})
    for site in (policies.Policy(), low):
        assert told(folder, 0, site) == told(folder, 1 << 60, site)


def busy(folder: pathlib.Path, bad: str = "") -> pathlib.Path:
    """A hundred small sessions of twenty hosts, and one upload of 1 MB."""
    rows = [conn(n, orig_h=f"10.0.1.{n % 20}", resp_h=f"198.51.100.{n}", orig_bytes=900, orig_ip_bytes=2000) for n in range(1, 101)]
    rows += [conn(200, orig_bytes=1_000_000, orig_pkts=900, orig_ip_bytes=1_100_000)]
    write(folder, "conn.log", tsv(rows) + bad)
    return folder


def test_small_sessions_are_left_out_and_their_hosts_counted(tmp_path: pathlib.Path) -> None:
    kept: list[int] = []
    with_all, without = told(busy(tmp_path), 1 << 60, monkey=kept), told(tmp_path, 0, monkey=kept)
    assert kept == [101, 1]
    assert with_all == without
    assert "1 of 21 active inside hosts" in str(without)


@pytest.mark.parametrize("bad", ["1700000050.5\tCbad\t10.0.1.2\t40001\t198.51.100.7\t443\ttcp\tssl\tlong\t" + "-\t" * 11 + "-\n",
                                 "1700000050.5\tCbad\t10.0.1.2\t40001\t198.51.100.7\t443\ttcp\tssl\t1.0\t9\t9\tSF\tmaybe\tF\t0\tS\t1\t50\t1\t50\t-\n",
                                 "1700000050.5\tCbad\n"])
def test_refused_rows_are_told_of_as_ever(tmp_path: pathlib.Path, bad: str) -> None:
    with_all = told(busy(tmp_path, bad), 1 << 60)
    assert with_all[1]
    assert told(tmp_path, 0) == with_all


def test_everything_is_read_where_a_sensor_may_have_dropped_packets(tmp_path: pathlib.Path) -> None:
    rows = [conn(n, resp_h=f"198.51.100.{n}", history="^hadf", orig_bytes=0, orig_pkts=0, orig_ip_bytes=0) for n in range(1, 30)]
    write(tmp_path, "conn.log", tsv(rows))
    assert told(tmp_path, 0) == told(tmp_path, 1 << 60)
    assert "bad checksums" in str(told(tmp_path, 0)[1])


def test_memory_is_taken_as_far_as_it_is_needed_and_allowed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    tried: list[float] = []

    def once(job: sift.Job, *rest: Any) -> Any:
        tried.append(tables.size(job.con.execute("SELECT current_setting('memory_limit')").fetchall()[0][0].replace(" ", "")) / 1e6)
        if len(tried) < 6:
            raise duckdb.OutOfMemoryException("too little")
        return real(job, *rest)

    real = sift.read
    monkeypatch.setattr(sift, "read", once)
    with pytest.raises(duckdb.OutOfMemoryException):
        told(busy(tmp_path), 0)
    assert tried == pytest.approx([80, 160, 320, 640, 1000], rel=0.01)
    assert told(tmp_path, 0) == told(tmp_path, 1 << 60)


