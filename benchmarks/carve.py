"""Carve against TShark's filter on the same tuple, packet for packet, over captures of a folder; and its speed on one large capture.

python -m benchmarks.carve FOLDER [COUNT]        equality on COUNT captures (default 50), chosen by a fixed shuffle
python -m benchmarks.carve --speed CAPTURE       seconds and MB/s to cut the largest session out of it
"""

from __future__ import annotations

import collections
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from netexfil import carve
from netexfil.errors import NetexfilError

SUFFIXES = (".pcap", ".pcapng", ".cap", ".trace", ".pcap.gz")
LARGEST = 6_000_000  # bytes of a capture; TShark needs a second a megabyte


TSHARK = ["tshark", "-n", "-2", "-o", "tcp.desegment_tcp_streams:FALSE"]


def frames(path: Path) -> collections.Counter[str]:
    """Time, lengths and hash of each frame."""
    words = [*TSHARK, "-o", "frame.generate_md5_hash:TRUE", "-r", str(path), "-T", "fields"]
    for field in ("frame.time_epoch", "frame.len", "frame.cap_len", "frame.md5_hash"):
        words += ["-e", field]
    return collections.Counter(subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines())


def filtered(path: Path, shown: str, out: Path) -> Path:
    """What TShark writes for a filter; in two passes (`-2`) the fragments that a shown packet was made of go with it."""
    subprocess.run([*TSHARK, "-r", str(path), "-Y", shown, "-w", str(out)], capture_output=True, check=False)
    return out


def largest(path: Path) -> tuple[str, list[str]] | None:
    """TShark's filter for the tuple with the most packets, and the uids of its sessions; None where there is no plain TCP or UDP."""
    import duckdb

    from netexfil import _core

    con = duckdb.connect()
    con.register("c", _core.capture([str(path)]))
    columns = "uid, proto, orig_h, orig_p, resp_h, resp_p, orig_pkts + resp_pkts AS pkts"
    con.execute(f"CREATE TABLE s AS SELECT {columns} FROM c WHERE proto IN ('tcp', 'udp') AND tunnel IS NULL")
    found = con.execute("SELECT proto, orig_h, orig_p, resp_h, resp_p FROM s ORDER BY pkts DESC LIMIT 1").fetchone()
    if found is None:
        return None
    proto, a, ap, b, bp = found
    same = "proto = ? AND ((orig_h = ? AND orig_p = ? AND resp_h = ? AND resp_p = ?) OR (orig_h = ? AND orig_p = ? AND resp_h = ? AND resp_p = ?))"
    uids = [uid for (uid,) in con.execute(f"SELECT uid FROM s WHERE {same}", [proto, a, ap, b, bp, b, bp, a, ap]).fetchall()]
    ip = "ipv6" if ":" in a else "ip"
    ways = ((a, ap, b, bp), (b, bp, a, ap))
    return " || ".join(f"({ip}.src=={w} && {proto}.srcport=={x} && {ip}.dst=={y} && {proto}.dstport=={z})" for w, x, y, z in ways), uids


def equality(folder: Path, count: int) -> int:
    captures = sorted(p for p in folder.rglob("*") if p.is_file() and p.name.endswith(SUFFIXES) and p.stat().st_size < LARGEST)
    random.Random(4).shuffle(captures)
    equal = held = 0
    for path in captures:
        if held == count:
            break
        try:
            found = largest(path)
        except (OSError, ValueError):
            continue
        if found is None:
            continue
        held += 1
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "out.pcapng"
            carve.carve([str(path)], str(out), uids=found[1])
            same = frames(out) == frames(filtered(path, found[0], Path(scratch) / "tshark.pcapng"))
        equal += same
        if not same:
            print(f"differs: {path}")
    print(f"{equal} of {held} captures equal, packet for packet")
    return int(equal != held)


def speed(path: Path) -> int:
    found = largest(path)
    if found is None:
        raise NetexfilError(f"{path}: no session")
    with tempfile.TemporaryDirectory() as scratch:
        begin = time.perf_counter()
        cut = carve.carve([str(path)], f"{scratch}/out.pcapng", uids=found[1][:1])
        seconds = time.perf_counter() - begin
    read = path.stat().st_size / 1e6
    print(f"{cut.frames:,} packets cut in {seconds:.2f} s: {read / seconds:.0f} MB/s read")
    return 0


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(speed(Path(words[1])) if words[:1] == ["--speed"] else equality(Path(words[0]), int(words[1]) if len(words) > 1 else 50))
