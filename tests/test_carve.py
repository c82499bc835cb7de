"""Carved packets are exactly a session's: against TShark's filter on the same tuple, with siblings, out of a compressed ring buffer."""

import collections
import gzip
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import packets as p
import pytest
from click.testing import CliRunner
from report_cases import finding

from netexfil import carve, read_sessions, tables
from netexfil.errors import NetexfilError, Unreadable
from netexfil.read import core_available
from netexfil.simulate import Options, simulate

pytestmark = pytest.mark.skipif(not core_available(), reason="the core is not built")
needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="no TShark on this machine (Debian: apt-get install tshark)")
LAB = Path(os.environ.get("NETEXFIL_CORPUS", Path(__file__).resolve().parent.parent.parent / "shared" / "corpus")) / "lab"


def frames(path, shown=None):
    """Each frame by time, lengths and hash, as TShark reads it."""
    words = ["tshark", "-n", "-o", "frame.generate_md5_hash:TRUE", "-r", path, "-T", "fields"]
    for field in ("frame.time_epoch", "frame.len", "frame.cap_len", "frame.md5_hash"):
        words += ["-e", field]
    done = subprocess.run(words + (["-Y", shown] if shown else []), capture_output=True, text=True, check=True)
    return collections.Counter(done.stdout.splitlines())


def tuple_filter(row):
    ip, proto = "ipv6" if ":" in row["id.orig_h"] else "ip", row["proto"]
    one, other = (row["id.orig_h"], row["id.orig_p"]), (row["id.resp_h"], row["id.resp_p"])
    ways = (f"({ip}.src=={a[0]} && {proto}.srcport=={a[1]} && {ip}.dst=={b[0]} && {proto}.dstport=={b[1]})" for a, b in ((one, other), (other, one)))
    return " || ".join(ways)


@needs_tshark
@pytest.mark.parametrize("name", ["test2-pscp", "ftps-explicit", "quic-h3", "ipv6"])
def test_equals_tshark_on_the_tuple(tmp_path, name):
    capture = simulate([name], tmp_path, Options(size=80_000, loss=0.02))[0]
    row = max(read_sessions([capture]), key=lambda row: row["orig_pkts"])
    out = tmp_path / "out.pcapng"
    cut = carve.carve([str(capture)], str(out), uids=[row["uid"]])
    assert frames(out) == frames(capture, tuple_filter(row))
    assert sum(frames(out).values()) == cut.frames > 50


@needs_tshark
@pytest.mark.skipif(not LAB.is_dir(), reason="the corpus is not beside this clone")
@pytest.mark.parametrize(
    "name", ["d04-scp-legacy.pcapng", "d05-scp-sftpmode-snap96.pcap", "d21-paramiko.pcap", "d23-https-download.pcap.gz", "d34-any-duplicates.pcap"]
)
def test_equals_tshark_on_recorded_captures(tmp_path, name):
    row = max(read_sessions([LAB / name]), key=lambda row: row["orig_pkts"] + row["resp_pkts"])
    out = tmp_path / "out.pcapng"
    carve.carve([str(LAB / name)], str(out), uids=[row["uid"]])
    assert frames(out) == frames(LAB / name, tuple_filter(row))


def split(capture, folder, parts):
    """A ring buffer of gzip files from one capture; records are split at their headers."""
    data = capture.read_bytes()
    head, rest, cuts, at = data[:24], data[24:], [0], 0
    while at < len(rest):
        at += 16 + int.from_bytes(rest[at + 8 : at + 12], "little")
        cuts.append(at)
    folder.mkdir()
    for number in range(parts):
        begin, end = cuts[number * len(cuts) // parts], cuts[min((number + 1) * len(cuts) // parts, len(cuts) - 1)]
        (folder / f"ring-{number:03d}.pcap.gz").write_bytes(gzip.compress(head + rest[begin:end]))


def test_a_finding_with_its_siblings_out_of_a_ring_buffer(tmp_path):
    capture = simulate(["ftps-explicit"], tmp_path, Options(size=90_000))[0]
    split(capture, tmp_path / "ring", 5)
    rows = [row for row in read_sessions([capture]) if row["id.resp_h"] == "203.0.113.21"]
    assert len(rows) == 4
    times = {"first_ts": rows[0]["ts"], "last_ts": rows[-1]["ts"] + 5}
    wanted = finding(7, session_uids=tuple(row["uid"] for row in rows), host={"ip": "10.20.30.41", "name": None}, **times)
    out = tmp_path / "out.pcapng"
    cut = carve.carve([str(tmp_path / "ring")], str(out), [wanted])
    assert {session.uid for session, count in cut.sessions if count} == {row["uid"] for row in rows}
    assert cut.frames == sum(row["orig_pkts"] + row["resp_pkts"] for row in rows)
    back = {row["uid"]: row["orig_bytes"] for row in read_sessions([out])}
    assert back == {row["uid"]: row["orig_bytes"] for row in rows}
    assert out.read_bytes().count(b"netexfil finding 0000000000000007") >= 5


def test_a_finding_of_another_sensor_is_found_by_its_channel(tmp_path):
    capture = simulate(["ftps-explicit"], tmp_path, Options(size=90_000))[0]
    rows = [row for row in read_sessions([capture]) if row["id.resp_h"] == "203.0.113.21"]
    place = {"ips": ["203.0.113.21"], "port": 21, "proto": "tcp", "name": None}
    other = finding(
        7,
        session_uids=("CzeekUid1",),
        host={"ip": "10.20.30.41", "name": None},
        destination=place,
        first_ts=rows[0]["ts"],
        last_ts=rows[-1]["ts"] + 5,
    )
    cut = carve.carve([str(capture)], str(tmp_path / "a.pcapng"), [other])
    assert rows[0]["uid"] in {session.uid for session, _ in cut.sessions}
    zeek = tmp_path / "zeek" / capture.name
    uids = tuple(row["uid"] for row in read_sessions([zeek]) if row["id.resp_h"] == "203.0.113.21")
    told = finding(7, session_uids=uids, host={"ip": "10.20.30.41", "name": None}, destination=place)
    cut = carve.carve([str(capture), str(zeek)], str(tmp_path / "b.pcapng"), [told])
    assert cut.frames == sum(row["orig_pkts"] + row["resp_pkts"] for row in rows)


def test_what_the_other_end_asked_of_the_host_is_no_part_of_an_upload():
    con = tables.connect()
    con.execute("CREATE TABLE known (uid VARCHAR, proto VARCHAR, orig_h VARCHAR, orig_p INT, resp_h VARCHAR, resp_p INT, ts DOUBLE, duration DOUBLE, "
                "control VARCHAR)")
    rows = [("out", "10.0.0.1", 22, "192.0.2.1"), ("web", "192.0.2.1", 80, "10.0.0.1"), ("pull", "192.0.2.1", 22, "10.0.0.1")]
    con.executemany("INSERT INTO known VALUES (?, 'tcp', ?, 40000, ?, ?, 5, 1, '')", [(uid, orig, resp, port) for uid, orig, port, resp in rows])
    upload = finding(host={"ip": "10.0.0.1", "name": None}, destination={"ips": ["192.0.2.1"], "port": 22, "proto": "tcp"}, first_ts=4.0, last_ts=9.0)
    assert carve._of_channels(con, [upload]) == {"out"}
    con.execute("DROP TABLE channel")
    assert carve._of_channels(con, [replace(upload, extra={"direction": "pull"})]) == {"pull"}


def test_what_cannot_be_carved_is_said(tmp_path):
    capture = simulate(["test2-pscp"], tmp_path, Options(size=5_000))[0]
    with pytest.raises(Unreadable, match="none of the wanted sessions"):
        carve.carve([str(capture)], str(tmp_path / "x"), uids=["Cnothing"])
    assert not (tmp_path / "x").exists()
    uid = next(iter(read_sessions([capture])))["uid"]
    before = capture.read_bytes()
    with pytest.raises(NetexfilError, match="one of the sources"):
        carve.carve([str(capture)], str(capture), uids=[uid])
    assert capture.read_bytes() == before
    with pytest.raises(Unreadable):
        carve.carve([str(tmp_path / "missing.pcap")], str(tmp_path / "x"), uids=[uid])


def test_command_takes_the_worst_finding(tmp_path):
    from netexfil.commands.carve import command

    capture = simulate(["test2-pscp"], tmp_path, Options(size=5_000))[0]
    row = max(read_sessions([capture]), key=lambda row: row["orig_pkts"])
    uid, host, times = row["uid"], {"ip": row["id.orig_h"], "name": None}, {"first_ts": row["ts"], "last_ts": row["ts"] + 9}
    lines = tmp_path / "f.jsonl"
    worst = finding(2, session_uids=(uid,), host=host, **times)
    lines.write_text("".join(json.dumps(f.record()) + "\n" for f in (finding(1, score=20.0, severity="low"), worst)))
    done = CliRunner().invoke(
        command, [str(capture), "--findings", str(lines), "--finding", "worst", "-o", str(tmp_path / "o.pcapng")], standalone_mode=False
    )
    assert done.return_value == 0, done.output
    assert uid in done.stdout
    assert b"finding 0000000000000002" in (tmp_path / "o.pcapng").read_bytes()
    assert CliRunner().invoke(command, [str(capture), "--findings", str(lines), "--finding", "00000", "-o", str(tmp_path / "o")]).exception


def test_inner_sessions_of_two_virtual_networks_are_told_apart(tmp_path):
    def vxlan(network, payload):
        inner = p.ethernet(p.ip4("10.1.0.1", "10.1.0.2", 6, payload))
        return p.ethernet(p.ip4("192.0.2.1", "192.0.2.2", 17, p.udp(50000, 4789, b"\x08\0\0\0" + network.to_bytes(3) + b"\0" + inner)))

    frames = [(0.1 * step, vxlan(network, segment)) for step in range(9) for network in (7, 8) for segment in [p.tcp(4000, 22, step, 1, p.ACK, b"a")]]
    frames = [(at + 0.01 * (number % 2), data) for number, (at, data) in enumerate(frames)]
    (tmp_path / "two.pcap").write_bytes(p.pcap(frames))
    rows = [row for row in read_sessions([tmp_path / "two.pcap"]) if row["id.orig_p"] == 4000 or row["id.resp_p"] == 4000]
    assert len(rows) == 2, "the same tuple in two networks"
    for row in rows:
        cut = carve.carve([str(tmp_path / "two.pcap")], str(tmp_path / "out.pcapng"), uids=[row["uid"]])
        assert cut.frames == 9
    assert carve.carve([str(tmp_path / "two.pcap")], str(tmp_path / "out.pcapng"), uids=[row["uid"] for row in rows]).frames == 18


def test_a_pipe_goes_by_once_and_progress_is_told(tmp_path):
    capture = simulate(["test2-pscp"], tmp_path, Options(size=20_000_000))[0]
    uid = max(read_sessions([capture]), key=lambda row: row["orig_pkts"])["uid"]
    words = [sys.executable, "-m", "netexfil", "carve", "-", "--session", uid, "-o", "-"]
    with subprocess.Popen(["gzip", "-1c", str(capture)], stdout=subprocess.PIPE) as gzip_:
        piped = subprocess.run(words, stdin=gzip_.stdout, capture_output=True, check=True).stdout
    told = []
    carve.carve([str(capture)], str(tmp_path / "file.pcapng"), uids=[uid], progress=lambda *words: told.append(words))
    assert piped == (tmp_path / "file.pcapng").read_bytes()
    assert [what for what, _, _ in told] == ["captures"] * len(told) != []
    assert all(0 < done <= total == capture.stat().st_size for _, done, total in told)
    with pytest.raises(ZeroDivisionError):
        carve.carve([str(capture)], str(tmp_path / "other.pcapng"), uids=[uid], progress=lambda *_: 1 / 0)
