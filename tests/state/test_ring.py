"""A ring buffer that has dropped the file in which a session began: nothing is counted twice, nothing that can be seen is lost."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from world import cut, run

from netexfil import read, state, tables
from netexfil.policy import Policy

PCAPS = Path(__file__).resolve().parent.parent.parent / "pcaps"


def sent(capture: Path) -> tuple[int, int]:
    """Payload bytes of all TCP sessions of a capture, out and in."""
    con = tables.connect()
    tables.create(con)
    read.sessions(con, [str(capture)], read.Options(), Policy())
    found = con.execute("SELECT sum(orig_bytes), sum(resp_bytes) FROM session WHERE proto = 'tcp'").fetchone()
    return found  # type: ignore[return-value]


def stored(file: Path) -> tuple[int, int, int, int]:
    con = duckdb.connect(str(file), read_only=True)
    found = con.execute("SELECT sum(orig_low), sum(orig_bytes), sum(resp_low), sum(resp_bytes) FROM told WHERE proto = 'tcp'").fetchone()
    con.close()
    return found  # type: ignore[return-value]


def rotate(folder: Path, parts: list[bytes], held: int, halves: bool) -> Path:
    """A run after each new file, of which only the last `held` are there; with `halves` also one while it is half written."""
    ring, file = folder / "ring", folder / "s.duckdb"
    ring.mkdir()
    for number, part in enumerate(parts):
        newest = ring / f"{number}.pcap"
        if halves:
            newest.write_bytes(whole_packets(part))
            run(file, [str(ring)])
        newest.write_bytes(part)
        (ring / f"{number - held}.pcap").unlink(missing_ok=True)
        run(file, [str(ring)])
    return file


def whole_packets(part: bytes) -> bytes:
    """The first half of a capture's packets."""
    at = 24
    while at < len(part) // 2:
        at += 16 + int.from_bytes(part[at + 8 : at + 12], "little")
    return part[:at]


@pytest.mark.parametrize(("case", "held", "halves"), [("test2-pscp", 1, True), ("test2-pscp", 1, False), ("test4-mega", 2, False)])
def test_sessions_whose_first_file_is_gone(tmp_path: Path, case: str, held: int, halves: bool) -> None:
    capture = PCAPS / f"{case}.pcap"
    out, back = sent(capture)
    file = rotate(tmp_path, cut(capture, 3), held, halves)
    out_low, out_seen, in_low, in_seen = stored(file)
    assert 0 < out_low <= out
    assert in_low <= back
    if not halves:  # else the file that has grown holds some of what was seen of a head
        assert out_low >= out * 0.6
        assert (out_seen, in_seen) == pytest.approx((out, back), rel=0.02)
    con = duckdb.connect(str(file), read_only=True)
    parts = con.execute("SELECT uid, hints FROM session WHERE contains(hints, 'continues=')").fetchall()
    ends = con.execute("SELECT count(*) FROM session WHERE list_contains(string_split(hints, ','), 'open') AND proto = 'tcp'").fetchone()
    con.close()
    assert parts
    assert ends == (0,) or case == "test4-mega"
    assert all(not finding.in_progress for finding in state.findings(file)) or case == "test4-mega"
