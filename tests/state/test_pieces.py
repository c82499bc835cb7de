"""Captures as the files of a ring buffer, logs as they grow, with telemetry: the same findings as at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from world import START, cut

from netexfil import pipeline, policy, read, state, tables

PCAPS = Path(__file__).resolve().parent.parent.parent / "pcaps"
CORPUS = Path(os.environ.get("NETEXFIL_CORPUS", PCAPS.parent.parent / "shared" / "corpus"))
EVERY = int(os.environ.get("NETEXFIL_LAB_STEP", "0"))  # 1: every case of the lab, captures and logs
PARTS = 3


def job(source: Path, events: Path, rules: policy.Policy) -> pipeline.Job:
    return pipeline.Job(sources=[str(source)], join=[str(events)], policy=rules, options=read.Options(only_outbound=True))


def told(findings: object) -> list[tuple[object, ...]]:
    found = [(f.id, f.score, f.sessions, f.bytes_out["low"], f.tool["verdict"], len(f.links)) for f in findings]  # type: ignore[attr-defined]
    return sorted(found)


def at_once(source: Path, events: Path, rules: policy.Policy) -> list[tuple[object, ...]]:
    return told(pipeline.analyze(tables.connect(), job(source, events, rules)).findings)


def ring(capture: Path, events: Path, rules: policy.Policy, folder: Path) -> list[tuple[object, ...]]:
    """The capture's packets in some files, one more each run."""
    files = folder / "ring"
    files.mkdir()
    for number, part in enumerate(cut(capture, PARTS)):
        (files / f"{number}.pcap").write_bytes(part)
        state.run(folder / "s.duckdb", job(files, events, rules), START)
    return told(state.findings(folder / "s.duckdb"))


def growing(logs: Path, events: Path, rules: policy.Policy, folder: Path) -> list[tuple[object, ...]]:
    """Every log a part longer each run."""
    grown = folder / "logs"
    grown.mkdir()
    texts = {log.name: log.read_bytes().splitlines(keepends=True) for log in sorted(logs.iterdir()) if log.suffix == ".log"}
    for number in range(1, PARTS + 1):
        for name, lines in texts.items():
            head = sum(line.startswith(b"#") for line in lines)
            (grown / name).write_bytes(b"".join(lines[: head + -(-(len(lines) - head) * number // PARTS)]))
        state.run(folder / "s.duckdb", job(grown, events, rules), START)
    return told(state.findings(folder / "s.duckdb"))


@pytest.mark.parametrize("case", ["test1-rclone-sftp", "test4-mega"])
def test_a_ring_buffer_tells_what_the_capture_tells(tmp_path: Path, case: str) -> None:
    capture, events = PCAPS / f"{case}.pcap", PCAPS / "endpoint" / f"{case}.jsonl"
    want = at_once(capture, events, policy.Policy())
    assert want
    assert ring(capture, events, policy.Policy(), tmp_path) == want


def test_growing_logs_tell_what_the_logs_tell(tmp_path: Path) -> None:
    logs, events = PCAPS / "zeek-ftps", PCAPS / "endpoint" / "ftps.jsonl"
    want = at_once(logs, events, policy.Policy())
    assert want
    assert growing(logs, events, policy.Policy(), tmp_path) == want


def lab() -> list[Any]:
    cases = sorted(path.name.removesuffix(".truth.json") for path in (CORPUS / "lab").glob("*.truth.json")) if EVERY else []
    skipped = pytest.param("", marks=pytest.mark.skip(reason="NETEXFIL_LAB_STEP=1 plays the lab's cases, every one of them"))
    return cases[:: max(EVERY, 1)] or [skipped]


def rules(case: str, folder: Path) -> policy.Policy:
    truth = json.loads((CORPUS / "lab" / f"{case}.truth.json").read_text())
    inside = truth["internal_networks"] + ([f"{truth['capture']['nat']}/32"] if truth["capture"]["nat"] else [])
    (folder / "policy.toml").write_text(f"[networks]\ninside = {json.dumps(inside)}\n[thresholds]\noutbound_volume = 262144\n")
    return policy.load(folder / "policy.toml")


@pytest.mark.parametrize("form", ["packets", "logs"])
@pytest.mark.parametrize("case", lab())
def test_lab_in_pieces(tmp_path: Path, case: str, form: str) -> None:
    """`NETEXFIL_LAB_STEP=1 pytest tests/state/test_pieces.py` plays all of them."""
    truth, chosen = json.loads((CORPUS / "lab" / f"{case}.truth.json").read_text()), rules(case, tmp_path)
    capture, events = CORPUS / "lab" / truth["capture"]["file"], CORPUS / "lab" / truth["endpoint"]["file"]
    logs = CORPUS / "lab-zeek" / capture.name
    if form == "logs":
        if not logs.is_dir():
            pytest.skip("no logs of this case")
        assert growing(logs, events, chosen, tmp_path) == at_once(logs, events, chosen)
        return
    if capture.read_bytes()[:4] not in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"):
        pytest.skip("no little-endian pcap")
    assert ring(capture, events, chosen, tmp_path) == at_once(capture, events, chosen)
