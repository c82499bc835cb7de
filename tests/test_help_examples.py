"""Every example that a command's help shows is run, on files of the names it uses."""

from __future__ import annotations

import gzip
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from netexfil import cli

PCAPS = Path(__file__).parent.parent / "pcaps"
# What stands in the examples for something of the user's own.
SESSION, FINDING, LOGS = "CHhAvVGS1DHFjwGM9", "4d3be55cd7edad60", "/opt/zeek/logs"
ELSEWHERE = {"spark": "tests/test_spark.py starts a cluster", "simulate all": "tests/test_simulate.py makes and evaluates all"}


def examples():
    for name, (module, _) in cli.COMMANDS.items():
        text = importlib.import_module(module).command.help or ""
        for line in text[text.find("Examples:") :].splitlines():
            words = re.split(r"\s{3,}", line.strip())[0]
            if words.startswith("netexfil ") and not any(words.startswith(f"netexfil {other}") for other in ELSEWHERE):
                yield pytest.param(words, id=f"{name}: {words.removeprefix('netexfil ')[:50]}")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A directory with the files that examples name; and what stands for the ids in them."""
    desk = tmp_path_factory.mktemp("desk")
    for folder in ("ring", "falcon"):
        (desk / folder).mkdir()
    for name in ("capture.pcap", "capture.pcapng", "ring/1.pcap"):
        shutil.copy(PCAPS / "test1-rclone-sftp.pcap", desk / name)
    for name in ("sysmon.jsonl", "endpoint.jsonl", "falcon.jsonl", "falcon/1.jsonl"):
        shutil.copy(PCAPS / "endpoint" / "test1-rclone-sftp.jsonl", desk / name)
    shutil.copytree(PCAPS / "zeek-ftps", desk / "zeek-logs")
    (desk / "conn.00.log.gz").write_bytes(gzip.compress((PCAPS / "zeek-ftps" / "conn.log").read_bytes()))
    (desk / "inventory.csv").write_text("host,ip\nws041,10.20.30.41\n")
    (desk / "keys.log").touch()

    def run(*words):
        return subprocess.run([sys.executable, "-m", "netexfil", *words], cwd=desk, capture_output=True, text=True, check=True).stdout

    run("policy", "init", "-o", "site.toml")
    run("ring", "--join", "sysmon.jsonl", "--format", "jsonl", "-o", "findings.jsonl")
    for name in ("state", "today", "yesterday"):
        run("zeek-logs", "--state", f"{name}.duckdb", "--format", "jsonl")
    found = json.loads((desk / "findings.jsonl").read_text().splitlines()[0])
    return desk, {SESSION: found["session_uids"][0], FINDING: found["id"], LOGS: "zeek-logs"}


@pytest.mark.parametrize("words", list(examples()))
def test_an_example_of_the_help_runs(words, desk, monkeypatch, capsys):
    folder, stand = desk
    monkeypatch.chdir(folder)
    for shown, real in stand.items():
        words = words.replace(shown, real)
    given = [str(path) for word in shlex.split(words.split(" > ")[0])[1:] for path in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
    if "init" in given:
        given[-1] = "new.toml"  # it does not write over one that is there
    monkeypatch.setattr(sys, "argv", ["netexfil", *given])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert (end.value.code or 0) == 0, capsys.readouterr().err
