"""The program from outside: what it prints, where, and how it ends."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netexfil import cli

ROOT = Path(__file__).resolve().parent.parent
PCAPS = ROOT / "pcaps"
TEST1 = [str(PCAPS / "test1-rclone-sftp.pcap"), "--join", str(PCAPS / "endpoint" / "test1-rclone-sftp.jsonl")]


@pytest.fixture
def netexfil(monkeypatch, capsys):
    """Call the program: (exit code, stdout, stderr)."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["netexfil", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


def test_the_main_job_names_tool_process_and_bytes(netexfil):
    code, out, _ = netexfil(*TEST1, "--format", "jsonl")
    finding = json.loads(out.splitlines()[0])
    assert code == 0
    assert finding["tool"]["name"] == "rclone"
    assert finding["tool"]["verdict"] == "confirmed"
    assert finding["bytes_out"] == {"low": 1389625, "high": 1389625, "quality": "exact"}
    assert {link["match"] for link in finding["links"]} >= {"five_tuple", "process"}
    assert sum(row["points"] for row in finding["evidence"]) == pytest.approx(finding["score"])


def test_a_command_is_optional_and_options_may_come_first(netexfil):
    plain = netexfil(*TEST1, "--format", "jsonl")
    assert netexfil("analyze", *TEST1, "--format", "jsonl") == plain
    assert netexfil("--format", "jsonl", *TEST1) == plain


def test_fail_on_is_off_until_asked_for(netexfil):
    assert netexfil(*TEST1)[0] == 0
    assert netexfil(*TEST1, "--fail-on", "high")[0] == 1
    assert netexfil(*TEST1, "--fail-on", "critical")[0] in (0, 1)


@pytest.mark.parametrize("join", [[], ["--join", PCAPS / "endpoint" / "benign-git.jsonl"]])
def test_silence_where_there_is_nothing_to_say(netexfil, join):
    assert netexfil(PCAPS / "benign-git.pcap", *join, "--format", "jsonl") == (0, "", "")


@pytest.fixture
def odd(tmp_path):
    """Inputs that cannot be read, by name."""
    (tmp_path / "empty.pcap").touch()
    (tmp_path / "nothing").mkdir()
    (tmp_path / "conn.log").write_text("dear diary\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    (tmp_path / "locked.pcap").write_bytes((PCAPS / "benign-ssh-interactive.pcap").read_bytes())
    (tmp_path / "locked.pcap").chmod(0)
    return tmp_path


@pytest.mark.parametrize("name", ["missing.pcap", "empty.pcap", "nothing", "conn.log", "picture.png", "locked.pcap"])
def test_bad_input_is_one_clear_line(netexfil, odd, name):
    if name == "locked.pcap" and os.geteuid() == 0:
        pytest.skip("root may read every file")
    code, out, err = netexfil(odd / name, "--format", "jsonl")
    assert (code, out) == (4, "")
    assert err.count("\n") == 1
    assert str(odd / name) in err


@pytest.mark.parametrize("name", ["missing.pcap", "empty.pcap", "conn.log", "picture.png"])
def test_the_rest_is_analysed(netexfil, odd, name):
    code, out, err = netexfil(odd / name, *TEST1, "--format", "jsonl")
    assert code == 3
    assert name in err
    assert json.loads(out.splitlines()[0])["destination"]["ips"] == ["192.0.2.1"]


def test_a_truncated_gzip_counts_up_to_the_cut(netexfil, tmp_path):
    log = (PCAPS / "zeek-ftps" / "conn.log").read_bytes()
    whole = gzip.compress(log)
    (tmp_path / "conn.log.gz").write_bytes(whole[: len(whole) * 2 // 3])
    code, out, err = netexfil("sessions", tmp_path / "conn.log.gz", "--format", "jsonl")
    assert code == 3
    assert 0 < len(out.splitlines()) < 9
    assert "conn.log.gz" in err


def test_too_little_memory_is_one_clear_line(netexfil):
    code, out, err = netexfil(PCAPS / "zeek-ftps", "--memory", "1MB")
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert "--memory" in err


def test_an_output_that_cannot_be_written_is_one_clear_line(netexfil, tmp_path):
    for command in ((), ("sessions",), ("channels",)):
        code, out, err = netexfil(*command, TEST1[0], "--format", "jsonl", "-o", tmp_path / "none" / "f.jsonl")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "f.jsonl: No such file or directory" in err


def test_usage_errors(netexfil):
    assert netexfil("--no-such-option")[0] == 2
    assert netexfil("pcaps", "--window", "60,-300")[0] == 2
    assert netexfil("sessions")[0] == 2


def test_sessions_carry_the_contract(netexfil):
    from netexfil import tables

    code, out, _ = netexfil("sessions", TEST1[0], "--format", "jsonl")
    assert code == 0
    row = json.loads(out.splitlines()[0])
    assert list(row) == [tables.SHOWN.get(name, name) for name in tables.SESSION_OUTPUT]
    assert (row["id.resp_h"], row["id.resp_p"], row["service"], row["outbound"]) == ("192.0.2.1", 22, "ssh", True)


def test_an_output_file_holds_what_stdout_would(netexfil, tmp_path):
    _, out, _ = netexfil(*TEST1, "--format", "jsonl")
    assert netexfil(*TEST1, "--format", "jsonl", "-o", tmp_path / "f.jsonl")[1] == ""
    assert (tmp_path / "f.jsonl").read_text() == out


def test_help_of_every_command(netexfil):
    for name in cli.COMMANDS:
        code, out, err = netexfil(name, "--help")
        assert (code, err) == (0, ""), name
        assert "Usage" in out
        assert "Examples:" in out, name


def test_help_imports_click_and_nothing_heavy():
    probe = "import sys; sys.argv = ['netexfil', '--help']\nfrom netexfil import cli\ntry: cli.main()\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"duckdb", "numpy", "rich", "jinja2", "orjson"} & set(done.stdout.split())


def test_no_colours_where_nobody_looks(netexfil):
    code, out, _ = netexfil(*TEST1)
    assert code == 0
    assert "\x1b" not in out
