"""Captures that are damaged, cut, no captures, or come over standard input: the good part counts, and the rest is told."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path

import packets as p
import pytest
from captured import sessions

pytest.importorskip("netexfil._core", reason="the core is not built")


def test_damage_is_told_and_the_rest_counts(tmp_path: Path) -> None:
    data = p.pcap(p.talk(), link=101)
    (tmp_path / "cut.pcap").write_bytes(data[:-10])
    rows, notes = sessions(tmp_path / "cut.pcap")
    assert rows[0]["history"] == "ShADdFf"
    assert [(note.kind, note.reason, note.place) for note in notes] == [("truncated", "ends inside a packet", len(data) - 56)]
    damaged = data[:24] + struct.pack("<IIII", 1, 1, 0xFFFFFF00, 0xFFFFFF00) + data[40:]
    (tmp_path / "bad.pcap").write_bytes(damaged)
    rows, notes = sessions(tmp_path / "bad.pcap")
    assert (rows[0]["history"], notes[0].kind, notes[0].place) == ("^hADdFf", "damaged", 24)
    (tmp_path / "half.pcap.gz").write_bytes(gzip.compress(data)[:-20])
    assert sessions(tmp_path / "half.pcap.gz")[1][0].kind in {"damaged", "truncated"}


def bursts(count: int = 60) -> list[tuple[float, bytes]]:
    """Datagrams of one session, of several sizes; each is a packet of its own in the counts."""
    return [(0.01 * n, p.ip4("10.0.0.1", "192.0.2.1", 17, p.udp(5000, 6000, bytes([n]) * (40 + n)), ident=n)) for n in range(count)]


HOLES = {
    "a length beyond reason": lambda record: record[:4] + b"\xff\xff\xff\xf0" * 2 + record[12:],
    "zeros": lambda record: bytes(len(record)),
    "noise": lambda record: bytes((7 * n * n + 131) % 251 + 4 for n in range(len(record))),
    "lost bytes": lambda record: record[:5] + record[30:],
    "more bytes": lambda record: b"\xfe" * 5001 + record,
}


@pytest.mark.parametrize("hole", HOLES)
@pytest.mark.parametrize("form", ["pcap", "big endian", "pcapng"])
def test_reading_goes_on_behind_a_damaged_record(tmp_path: Path, form: str, hole: str) -> None:
    """The frame in the hole is lost and told, the others count; nothing is counted that was not there."""
    frames, order = bursts(), ">" if form == "big endian" else "<"
    if form == "pcapng":
        interface = p.block(1, struct.pack("<HHI", 101, 0, 0))
        records = [
            p.block(6, struct.pack("<IIIII", 0, *divmod(int((p.START + at) * 1e6), 2**32), len(data), len(data)) + data) for at, data in frames
        ]
        head = p.section() + interface
    else:
        parts = [p.pcap([frame], link=101, order=order) for frame in frames]
        head, records = parts[0][:24], [part[24:] for part in parts]
    spoilt = HOLES[hole](records[30])
    (tmp_path / "hole").write_bytes(head + b"".join([*records[:30], spoilt, *records[31:]]))
    rows, notes = sessions(tmp_path / "hole")
    place = len(head) + sum(map(len, records[:30]))
    assert [(note.kind, note.place, note.loss) for note in notes] == [("damaged", place, True)]
    skipped = len(spoilt) - len(records[30]) if hole == "more bytes" else len(spoilt)
    assert f"{skipped} bytes were skipped" in notes[0].reason
    kept = [data for n, (_, data) in enumerate(frames) if n != 30 or hole == "more bytes"]
    assert [(row["orig_pkts"], row["orig_ip_bytes"]) for row in rows] == [(len(kept), sum(map(len, kept)))]


def test_a_hole_without_an_end_ends_the_file(tmp_path: Path) -> None:
    frames = bursts(20)
    (tmp_path / "hole").write_bytes(p.pcap(frames, link=101) + bytes(100_000))
    rows, notes = sessions(tmp_path / "hole")
    assert rows[0]["orig_pkts"] == 20
    assert [note.reason for note in notes] == ["a record header of zeros; the rest of the file is not read"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "is empty"), (b"no capture at all", "is no pcap"), (p.pcap([], link=220), "link type 220 (USB_LINUX_MMAPPED) is not read")],
    ids=["empty", "text", "usb"],
)
def test_what_is_no_capture_is_refused_by_name(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "x").write_bytes(data)
    rows, notes = sessions(tmp_path / "x")
    assert not rows
    assert [(note.kind, note.file) for note in notes] == [("unreadable", str(tmp_path / "x"))]
    assert reason in notes[0].reason


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "good.pcap").write_bytes(p.pcap(p.talk(), link=101))
    (tmp_path / "bad.pcap").write_bytes(b"nothing")
    rows, notes = sessions([tmp_path / "bad.pcap", tmp_path / "good.pcap", tmp_path / "missing.pcap"])
    assert [row["conn_state"] for row in rows] == ["SF"]
    assert sorted((note.kind, Path(note.file).name) for note in notes) == [("unreadable", "bad.pcap"), ("unreadable", "missing.pcap")]


def test_standard_input(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import duckdb; from netexfil import _core; c = duckdb.connect(); c.register('s', _core.capture(['-']))\n"
        "print(c.execute('select conn_state from s').fetchall())"
    )
    data = gzip.compress(p.pcap(p.talk(), link=101))
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert done.stdout.strip() == b"[('SF',)]"
