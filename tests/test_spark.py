"""Spark gives what the local run gives: pieces and payloads by themselves, then whole jobs on local threads and on a cluster."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from netexfil import pipeline, read, tables
from netexfil.errors import Unreadable
from netexfil.policy import Policy

pytest.importorskip("pyspark", reason="pyspark is not installed (extra `spark`)")
pytest.importorskip("pyarrow")

from packets import ethernet, pcap, talk

from netexfil import spark
from netexfil.spark import payload, pieces

ROOT = Path(__file__).parent.parent
PCAPS = ROOT / "pcaps"
WARNINGS = pytest.mark.filterwarnings("ignore")  # pyspark's own
JAVA = pytest.mark.skipif(shutil.which("java") is None, reason="no java on the PATH: nothing was run on Spark")
CLUSTER = pytest.mark.skipif(not os.environ.get("NETEXFIL_SPARK_CLUSTER"), reason="NETEXFIL_SPARK_CLUSTER is not set: no cluster was started")
HERE = {
    "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.executorEnv.PYTHONPATH": str(ROOT),
    "spark.driver.memory": "1g",
}


def job(*sources: Path, join: bool = False) -> pipeline.Job:
    policy = Policy(thresholds={"outbound_volume": 200_000})
    join_files = sorted(str(path) for path in (PCAPS / "endpoint").iterdir()) if join else ()
    return pipeline.Job(sources=[str(path) for path in sources], join=join_files, policy=policy, options=read.Options(only_outbound=True))


def same(one: pipeline.Result, other: pipeline.Result) -> None:
    assert [json.dumps(record) for record in one.records()] == [json.dumps(record) for record in other.records()]
    assert set(one.notes) == set(other.notes)


# --- pieces and payloads


def conn_log(path: Path, rows: int, first: int = 0) -> None:
    head = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
    names = "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes conn_state".split()
    kinds = "time string addr port addr port enum string interval count count string".split()
    body = "".join(
        f"{1.7e9 + i * 60:.6f}\tC{i:017d}\t10.0.{i % 7}.{i % 50 + 1}\t{40000 + i % 20000}\t198.51.100.{i % 40 + 1}\t443\ttcp\tssl\t2.5\t"
        f"{90000 + i * 37 % 300000}\t{2000 + i % 999}\tSF\n"
        for i in range(first, first + rows)
    )
    path.write_text(head + "#fields\t" + "\t".join(names) + "\n#types\t" + "\t".join(kinds) + "\n" + body)


def test_large_logs_are_cut_at_line_ends(tmp_path):
    conn_log(tmp_path / "conn.log", 3000)
    work, notes = pieces.pieces([str(tmp_path)], size=50_000)
    text = (tmp_path / "conn.log").read_bytes()
    cuts = [piece.ranges[str(tmp_path / "conn.log")] for piece in work]
    assert len(cuts) > 4
    assert notes == []
    assert cuts[0][0] == 0
    assert cuts[-1][1] is None
    assert all(a[1] == b[0] for a, b in pairwise(cuts))
    assert all(text[end - 1 : end] == b"\n" for _, end in cuts[:-1])


def test_small_logs_go_together_and_captures_by_folder(tmp_path):
    for number, name in enumerate("abc"):
        conn_log(tmp_path / f"conn.{name}.log", 10, first=100 * number)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copy(PCAPS / "test2-pscp.pcap", tmp_path / folder / "x.pcap")
        with (tmp_path / folder / "x.pcap").open("ab") as file:
            file.write(folder.encode() * 4)
    work, _ = pieces.pieces([str(tmp_path)])
    assert sorted(len(piece.files) for piece in work if not piece.captures) == [3]
    assert sum(piece.captures for piece in work) == 2


def test_payload_keeps_types_and_nulls():
    con = tables.connect()
    tables.create(con)
    row = dict.fromkeys(tables.READ, None) | {"ts": 1.5, "uid": "C1", "orig_p": 7, "orig_bytes": 2**60, "cert_self_signed": True}
    tables.insert(con, "session", [tuple(row.values())], list(row))
    other = tables.connect()
    tables.create(other)
    for _, tag, data in payload.split(con, "session", "SELECT 3, * FROM session"):
        payload.fill(other, tag, data)
    assert other.execute("SELECT * FROM session").fetchall() == con.execute("SELECT * FROM session").fetchall()
    assert pickle.loads(next(payload.things("note", [1, None]))[2]) == [1, None]
    assert list(payload.things("note", [])) == []


def test_files_by_url(tmp_path):
    """Other file systems come through Arrow; `file://` stands for them here."""
    conn_log(tmp_path / "conn.log", 20)
    work, _ = pieces.pieces([f"file://{tmp_path}"])
    assert [Path(name).name for piece in work for name in piece.files] == ["conn.log"]
    with pieces.at_hand(work[0]) as (files, shown):
        assert Path(files[0]).read_bytes() == (tmp_path / "conn.log").read_bytes()
        assert files[0] in shown
    assert not Path(files[0]).exists()


# --- whole jobs


@pytest.fixture(scope="module")
def threads():
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    session = spark.session("local[2]", HERE)
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@JAVA
@WARNINGS
def test_captures_and_telemetry(threads):
    wanted = job(PCAPS, join=True)
    local = pipeline.analyze(tables.connect(), wanted)
    assert len(local.findings) >= 3
    assert any(finding.links for finding in local.findings)
    same(local, spark.analyze(threads, wanted, parts=3))


def unfinished(port: int, after: float, service: bytes = b"x" * 400_000, server: int = 443) -> list[tuple[float, bytes]]:
    """A conversation without its last packets, some seconds after the start of all."""
    sent = [service[at : at + 1400] for at in range(0, len(service), 1400)]
    return [(after + time, ethernet(data)) for time, data in talk(sent, port=port, server=server)[:-4]]


@JAVA
@WARNINGS
def test_folders_of_captures_end_together(threads, tmp_path):
    """What one folder leaves open is in progress only where the packets of the others do not go on for longer than its silence may last."""
    for number, (port, server) in enumerate([(40000, 443), (40001, 22), (40002, 8443)]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "x.pcap").write_bytes(pcap(unfinished(port, 400.0 * (number == 2), server=server)))
    wanted = job(tmp_path)
    local = pipeline.analyze(tables.connect(), wanted)
    assert sorted(finding.destination["port"] for finding in local.findings if finding.in_progress) == [22, 8443]
    same(local, spark.analyze(threads, wanted, parts=2))


@JAVA
@WARNINGS
def test_logs_in_parts(threads, tmp_path):
    """One log in a dozen parts: fleet-wide counts and sums over days come out as in one run."""
    conn_log(tmp_path / "conn.log", 3000)
    wanted = job(tmp_path)
    local = pipeline.analyze(tables.connect(), wanted)
    assert len(local.findings) > 20
    same(local, spark.analyze(threads, wanted, parts=4, size=40_000))


@JAVA
@WARNINGS
def test_a_budget_finds_the_same_thresholds(threads, tmp_path):
    conn_log(tmp_path / "conn.log", 400)
    wanted = replace(job(tmp_path), budget=2.0)
    local, parts = pipeline.analyze(tables.connect(), wanted), spark.analyze(threads, wanted, parts=2)
    same(local, parts)
    told = [[note.reason for note in result.notes if note.kind == "budget"] for result in (local, parts)]
    assert told[0] == told[1]
    assert "alerts a day" in told[0][0]


@JAVA
@WARNINGS
def test_nothing_to_read_is_said(threads, tmp_path):
    with pytest.raises(Exception, match="no capture and no log"):
        spark.analyze(threads, job(tmp_path))
    (tmp_path / "conn.log").write_text("#separator \\x09\n#path\tconn\n#fields\tts\tuid\n#types\ttime\tstring\n1.0\tC1\n")
    with pytest.raises(Unreadable, match=r"conn\.log"):
        spark.analyze(threads, job(tmp_path))


@JAVA
@WARNINGS
@CLUSTER
def test_command_on_two_workers(tmp_path):
    """`netexfil spark --master local-cluster[…]`: workers are processes of their own."""
    from netexfil.cli import group

    out = tmp_path / "findings.jsonl"
    conf = [word for name, value in HERE.items() for word in ("--conf", f"{name}={value}")]
    words = ["spark", str(PCAPS / "zeek-ftps"), "--master", "local-cluster[2,1,1024]", *conf]
    words += ["--format", "jsonl", "-o", str(out), "--min-severity", "info"]
    done = subprocess.run([sys.executable, "-m", "netexfil", *words], cwd=ROOT, env=_env(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    local = CliRunner().invoke(group, [str(PCAPS / "zeek-ftps"), "--format", "jsonl", "--min-severity", "info"])
    assert out.read_text() == local.stdout


def _env() -> dict[str, str]:
    return os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}


def _port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _daemon(kind: str, *words: str) -> subprocess.Popen[bytes]:
    import pyspark

    script = Path(pyspark.__file__).parent / "bin" / "spark-class"
    return subprocess.Popen(
        [script, f"org.apache.spark.deploy.{kind}", *words], env=_env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


@pytest.fixture
def cluster():
    """A standalone master and two workers, each a process of its own."""
    port, ui = _port(), _port()
    started = [_daemon("master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(ui))]
    _wait(port)
    for _ in range(2):
        words = ("--host", "127.0.0.1", "--cores", "1", "--memory", "1g", "--webui-port", str(_port()), f"spark://127.0.0.1:{port}")
        started.append(_daemon("worker.Worker", *words))
    yield f"spark://127.0.0.1:{port}", started[1:]
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(port: int) -> None:
    for _ in range(240):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise TimeoutError(f"nothing listens on port {port}")


KILLED = """
import json, os, signal, sys, threading, time
from dataclasses import replace
from netexfil import pipeline, read, spark
from netexfil.policy import Policy

master, source, worker, settings = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
session = spark.session(master, settings)
tracker = session.sparkContext.statusTracker()

def kill():
    done = 0
    while done < 4:
        done = sum(tracker.getStageInfo(stage).numCompletedTasks for job in tracker.getJobIdsForGroup() for stage in tracker.getJobInfo(job).stageIds
                   if tracker.getStageInfo(stage))
        time.sleep(0.05)
    os.killpg(worker, signal.SIGKILL)
    print("killed", file=sys.stderr)

thread = threading.Thread(target=kill)
thread.start()
policy = Policy(thresholds={"outbound_volume": 200_000})
result = spark.analyze(session, pipeline.Job(sources=[source], policy=policy, options=read.Options(only_outbound=True)), 4, 20_000)
thread.join()
print(json.dumps(result.records()))
session.stop()
"""


@JAVA
@CLUSTER
def test_a_worker_is_killed_half_way(cluster, tmp_path):
    master, workers = cluster
    conn_log(tmp_path / "conn.log", 3000)
    settings = HERE | {"spark.executor.memory": "512m", "spark.executor.cores": "1", "spark.task.maxFailures": "8"}
    words = [sys.executable, "-c", KILLED, master, str(tmp_path), str(workers[0].pid), json.dumps(settings)]
    done = subprocess.run(words, cwd=ROOT, env=_env(), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "killed" in done.stderr
    assert workers[0].wait(10) == -signal.SIGKILL
    local = pipeline.analyze(tables.connect(), job(tmp_path))
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(json.dumps(local.records()))
