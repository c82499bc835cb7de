"""The Zeek package: parses, is formatted, documents what it offers; its own btests where a Zeek is installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import netexfil_log

PACKAGE = Path(__file__).parent.parent / "zeek_scripts"
SCRIPTS = sorted(PACKAGE.glob("*.zeek")) + sorted((PACKAGE / "testing" / "tests").glob("*.zeek"))


@pytest.fixture(scope="module")
def zeekscript():
    return pytest.importorskip("zeekscript", reason="zeekscript is not installed (extra `test`)")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_parses(zeekscript, path):
    script = zeekscript.Script(path)
    assert script.parse(), script.get_error()
    assert not script.has_error(), script.get_error()


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.zeek")), ids=lambda path: path.name)
def test_is_formatted(zeekscript, path, tmp_path):
    copy = Path(shutil.copy(path, tmp_path))
    subprocess.run(["zeek-format", "-i", copy], check=True, capture_output=True, env=os.environ | {"PATH": _path()})
    assert copy.read_text() == path.read_text()


def _path() -> str:
    import sys

    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def test_every_option_is_documented():
    options = re.findall(r"^\toption (\w+)", (PACKAGE / "options.zeek").read_text(), re.MULTILINE)
    table = (PACKAGE / "README.md").read_text()
    assert len(options) > 15
    assert [name for name in options if f"`{name}`" not in table] == []


def test_every_notice_is_documented():
    declared = re.search(r"redef enum Notice::Type \+= \{(.*?)\n\t\};", (PACKAGE / "upload.zeek").read_text(), re.DOTALL)
    assert declared
    names = re.findall(r"^\t\t(\w+),?$", declared.group(1), re.MULTILINE)
    table = (PACKAGE / "README.md").read_text()
    assert names == ["Large_Upload", "Slow_Upload", "Protocol_Port_Mismatch", "Transfer_Tool"]
    assert all(f"`NetExfil::{name}`" in table for name in names)


def test_columns_of_the_log():
    """The record in netexfil_log.zeek has the columns that the tests write and the README names."""
    record = re.search(r"type Info: record \{(.*?)\n\t\};", (PACKAGE / "netexfil_log.zeek").read_text(), re.DOTALL)
    assert record
    fields = re.findall(r"^\t\t(\w+): ([\w\[\]]+)", record.group(1), re.MULTILINE)
    types = {"conn_id": None, "conn_uid": "string", "transport_proto": "enum"}
    written: dict[str, str] = {}
    for name, kind in fields:
        if kind == "conn_id":
            written |= {"id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr", "id.resp_p": "port"}
        else:
            written[name] = types.get(kind) or kind
    assert written == netexfil_log.COLUMNS
    readme = (PACKAGE / "README.md").read_text()
    assert [name for name in written if name not in readme] == []


def test_every_loaded_script_is_there():
    loaded = re.findall(r"^@load \./(\w+)", (PACKAGE / "__load__.zeek").read_text(), re.MULTILINE)
    assert {f"{name}.zeek" for name in loaded} | {"__load__.zeek", "session.zeek"} == {path.name for path in PACKAGE.glob("*.zeek")}


def test_cron_script(tmp_path):
    """A run that finds another one at work is silent; trouble is passed on; the policy is used where there is one."""
    stand_in = tmp_path / "netexfil"
    stand_in.write_text('#!/bin/sh\necho "$@" > "$SEEN"\nexit "$CODE"\n')
    stand_in.chmod(0o755)
    policy = tmp_path / "policy.toml"
    policy.touch()
    env = {
        "PATH": f"{tmp_path}:/usr/bin:/bin", "SEEN": str(tmp_path / "seen"), "NETEXFIL_LOGS": "/logs", "NETEXFIL_POLICY": str(policy),
        "NETEXFIL_STATE": str(tmp_path / "s" / "state.duckdb"), "NETEXFIL_OUT": str(tmp_path / "o" / "findings.jsonl"),
    }
    codes = {}
    for code in (0, 3, 5):
        done = subprocess.run(["sh", PACKAGE / "cron" / "netexfil-cron"], env=env | {"CODE": str(code)}, capture_output=True, text=True)
        assert done.stdout + done.stderr == ""
        codes[code] = done.returncode
    assert codes == {0: 0, 3: 3, 5: 0}
    seen = (tmp_path / "seen").read_text().split()
    assert seen[0] == "/logs"
    assert seen[seen.index("--policy") + 1] == str(policy)
    assert (tmp_path / "o").is_dir()


@pytest.mark.skipif(not (shutil.which("zeek") and shutil.which("zeek-cut")), reason="no zeek on the PATH: the btests of the package did not run")
def test_btests():
    env = os.environ | {"PATH": _path()}
    done = subprocess.run(["btest", "-c", "btest.cfg", "-d"], cwd=PACKAGE / "testing", capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


def _findings(source: Path) -> list[dict[str, object]]:
    """Findings without the names of the files that they came from."""
    from netexfil import pipeline, read, tables
    from netexfil.policy import Policy

    policy = Policy(thresholds={"outbound_volume": 200_000})
    job = pipeline.Job(sources=[str(source)], policy=policy, options=read.Options(only_outbound=True))
    text = json.dumps(pipeline.analyze(tables.connect(), job).records()).replace(f"{source}/", "")
    found: list[dict[str, object]] = json.loads(re.sub(r"\b(conn|netexfil)\.log\b", "LOG", text))
    return found


LAB = Path(os.environ.get("NETEXFIL_CORPUS", PACKAGE.parent.parent / "shared" / "corpus")) / "lab-zeek"
# one of each kind: FTPS with its data sessions, certificates, QUIC, low and slow, one-sided, SSH on 443, several hosts behind NAT
CASES = ["d01", "d08", "d11", "d12", "d19", "d20", "d24", "d28", "d30", "d36", "d37", "d38", "v10"]


@pytest.mark.skipif(not LAB.is_dir(), reason="the corpus is not beside the repository")
@pytest.mark.parametrize("case", CASES)
def test_findings_from_the_compact_log(case, tmp_path):
    """netexfil.log alone gives the findings of the full logs, evidence and all."""
    (full,) = LAB.glob(f"{case}-*")
    (tmp_path / "netexfil.log").write_text(netexfil_log.compact(full))
    wanted = _findings(full)
    assert wanted or case in ("d24",)
    assert _findings(tmp_path) == wanted


def test_findings_from_the_compact_log_of_the_shipped_logs(tmp_path):
    full = PACKAGE.parent / "pcaps" / "zeek-ftps"
    (tmp_path / "netexfil.log").write_text(netexfil_log.compact(full))
    assert len(_findings(full)) == 1
    assert _findings(tmp_path) == _findings(full)
