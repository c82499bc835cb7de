"""Made-up cases are real enough: TShark reads them without complaint, they are the same twice, and the analysis agrees with their truth."""

import json
import shutil
import subprocess

import pytest

from netexfil import evaluate
from netexfil.errors import NetexfilError
from netexfil.read import core_available
from netexfil.simulate import SCENARIOS, Options, aes, simulate

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="no TShark on this machine (Debian: apt-get install tshark)")
needs_core = pytest.mark.skipif(not core_available(), reason="the core is not built")
SMALL = Options(size=600_000)


def test_aes_against_its_standards():
    assert (
        aes.block(aes.schedule(bytes(range(16))), bytes.fromhex("00112233445566778899aabbccddeeff")).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"
    )  # FIPS 197, C.1
    key, iv = bytes.fromhex("feffe9928665731c6d6a8f9467308308"), bytes.fromhex("cafebabefacedbaddecaf888")
    plain = bytes.fromhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")
    extra = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    assert aes.seal(key, iv, plain, extra)[-16:].hex() == "5bc94fbc3221a5db94fae95ae7121a47"  # GCM specification, test case 4


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    names = ["test1-rclone-sftp", "ftps-explicit", "quic-h3"]
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(names, tmp_path / folder, Options(size=50_000, seed=seed, loss=0.05))
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) >= 3 * 5
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    assert (tmp_path / "a" / "quic-h3.pcap").read_bytes() != (tmp_path / "c" / "quic-h3.pcap").read_bytes()


def test_unknown_scenario_is_named(tmp_path):
    with pytest.raises(NetexfilError, match="no scenario nosuch"):
        simulate(["nosuch"], tmp_path, SMALL)


@needs_core
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test1-rclone-sftp", Options(size=600_000, skew=3600, seed=3)),
        ("test5-smtp-powershell", Options(size=600_000, nat=True, loss=0.02, skew=-41.0)),
        ("backup-and-rogue", SMALL),
    ],
)
def test_evaluate_agrees_with_the_truth(tmp_path, name, options):
    simulate([name], tmp_path, options)
    score = evaluate.evaluate(tmp_path, 262_144, None)
    assert (score.recall, score.stray) == ((2, 2), [])


@needs_core
def test_zeek_logs_say_the_same_as_the_capture(tmp_path):
    from netexfil import read_sessions

    for capture in simulate(["test2-pscp", "https-upload", "ftps-implicit"], tmp_path, Options(size=100_000, loss=0.01)):
        logs = {row["id.orig_p"]: row for row in read_sessions([tmp_path / "zeek" / capture.name])}
        packets = {row["id.orig_p"]: row for row in read_sessions([capture])}
        assert logs.keys() == packets.keys()
        for port, row in packets.items():
            for column in ("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts", "orig_ip_bytes", "resp_ip_bytes", "server_name", "ssh_client"):
                assert row[column] == logs[port][column], (capture.name, port, column)


@needs_tshark
def test_tshark_finds_no_fault(tmp_path):
    for capture in simulate(["test1-rclone-sftp", "https-altport", "ipv6", "quic-h3"], tmp_path, Options(size=60_000)):
        told = subprocess.run(
            [
                "tshark",
                "-n",
                "-o",
                "ip.check_checksum:TRUE",
                "-o",
                "tcp.check_checksum:TRUE",
                "-o",
                "udp.check_checksum:TRUE",
                "-r",
                capture,
                "-Y",
                "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || tcp.analysis.lost_segment",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout == "", capture.name
    name = subprocess.run(
        ["tshark", "-n", "-r", capture, "-Y", "quic && tls.handshake.type == 1", "-T", "fields", "-e", "tls.handshake.extensions_server_name"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert name.stdout.strip() == "h3.partner.example", "the Initial is sealed as RFC 9001 says"


def test_truth_names_every_process_and_flow(tmp_path):
    for capture in simulate(["all"], tmp_path, Options(size=3_000)):
        truth = json.loads(capture.with_suffix(".truth.json").read_text())
        pids = {process["pid"] for process in truth["processes"]}
        assert {flow["pid"] for flow in truth["flows"]} <= pids
        events = [json.loads(line) for line in (tmp_path / truth["endpoint"]["file"]).read_text().splitlines()]
        assert len(events) == truth["endpoint"]["events"]
        assert {flow["pid"] for flow in truth["flows"]} <= {event["ProcessId"] for event in events}
    assert {json.loads(path.read_text())["family"] for path in tmp_path.glob("*.truth.json")} == {scenario.family for scenario in SCENARIOS.values()}
