"""Captures that are damaged, cut, no captures, or come over standard input: the good part counts, and the rest is told."""

from __future__ import annotations

import gzip
import os
import struct
import sys
import threading
from pathlib import Path

import packets as p
import pytest
from captured import sessions

from netexfil import read, tables
from netexfil.policy import Policy
from netexfil.read import find, sniff

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


@pytest.mark.parametrize("engine", ["core", "portable"])
def test_packets_of_no_known_interface_are_told(tmp_path: Path, engine: str) -> None:
    from netexfil.read import capture, portable

    frames = [p.enhanced(int(p.START * 1e6) + n, data, index) for n, ((_, data), index) in enumerate(zip(bursts(4), (0, 1, 7, 0), strict=True))]
    (tmp_path / "some.pcapng").write_bytes(p.section() + p.interface(101) + b"".join(frames))
    con = tables.connect()
    tables.create(con)
    options, paths = read.Options(), [str(tmp_path / "some.pcapng")]
    notes = capture.read(con, paths, options, Policy()) if engine == "core" else portable.read(con, paths, options)
    assert con.execute("SELECT sum(orig_pkts) FROM session").fetchone() == (2,)
    lost = [note for note in notes if note.kind == "damaged"]
    assert {note.reason for note in lost} == {"a packet of an interface that was not described"}
    assert sum(note.count for note in lost) == 2


def test_notes_of_very_many_kinds_are_bounded_and_counted(tmp_path: Path) -> None:
    interfaces = b"".join(p.interface(link) for link in range(300, 12_300))
    frames = b"".join(p.enhanced(int(p.START * 1e6), b"x", n) for n in (*range(12_000), 5))
    (tmp_path / "links.pcapng").write_bytes(p.section() + interfaces + frames)
    _, notes = sessions(tmp_path / "links.pcapng")
    assert (len(notes), notes[5].count, notes[-1].reason, notes[-1].count) == (10_001, 2, "for more reasons than are told", 2000)


def test_a_named_pipe_is_read_and_one_in_a_directory_is_left_alone(tmp_path: Path) -> None:
    data, pipe, folder = p.pcap(p.talk(), link=101), tmp_path / "pipe", tmp_path / "folder"
    folder.mkdir()
    for path in (pipe, folder / "pipe"):
        os.mkfifo(path)
    (folder / "a.pcap").write_bytes(data)
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    for source, wanted in ((pipe, pipe), (folder, folder / "a.pcap")):
        con = tables.connect()
        tables.create(con)
        notes = read.sessions(con, [str(source)], read.Options(), Policy())
        assert con.execute("SELECT source, conn_state FROM session").fetchall() == [(str(wanted), "SF")]
        assert not [note for note in notes if note.loss]
    writer.join()


def test_a_named_pipe_that_may_not_be_opened_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise PermissionError(13, "Permission denied")

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.pcap").write_bytes(p.pcap(p.talk(), link=101))
    monkeypatch.setattr(find, "_spool", refuse)
    with find.sources([str(tmp_path / "pipe"), str(tmp_path / "a.pcap")]) as found:
        assert [(note.kind, note.file, note.reason) for note in found.notes] == [("unreadable", str(tmp_path / "pipe"), "Permission denied")]
        assert found.captures == [str(tmp_path / "a.pcap")]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34, 0xA1B234CD, 0xA12B3C4D])
def test_every_kind_of_pcap_that_the_core_reads_is_taken_for_one(tmp_path: Path, magic: int, order: str) -> None:
    (tmp_path / "x").write_bytes(p.pcap(p.talk(), link=101, magic=magic, order=order))
    assert sniff.look(str(tmp_path / "x")).kind == "capture"
