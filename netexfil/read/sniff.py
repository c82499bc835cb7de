"""What a file is, told by its first bytes: a capture, a log (and which), or something else with the reason why it is refused."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from netexfil.read import exported, fields, rows, text

PEEK = 1 << 16

PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6), b"\xa1\xb2\xc3\xd4": (">", 1e-6), b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9), b"\x34\xcd\xb2\xa1": ("<", 1e-6), b"\xa1\xb2\xcd\x34": (">", 1e-6),
    b"\xcd\x34\xb2\xa1": ("<", 1e-6), b"\xa1\xb2\x34\xcd": (">", 1e-6), b"\x4d\x3c\x2b\xa1": ("<", 1e-6), b"\xa1\x2b\x3c\x4d": (">", 1e-6),
}  # fmt: skip
PCAPNG = b"\x0a\x0d\x0d\x0a"

# First bytes of what we know and do not read.
KNOWN: Mapping[bytes, str] = {
    b"BZh": "bzip2: unpack it first", b"\xfd7zXZ\0": "xz: unpack it first", b"\x04\x22\x4d\x18": "lz4: unpack it first",
    b"PK\x03\x04": "a zip archive: unpack it first", b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"snoop\0\0\0": "a snoop capture: convert it with editcap",
    b"ElfFile\0": "a Windows event log: give it to --join", b"SQLite format 3\0": "an SQLite file", b"PAR1": "a Parquet file",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Head:
    """What the first bytes say.

    kind: `capture`, `log` or `other` (then `reason` says what it is).
    dialect: for a log `tsv`, `json`, `eve` or `csv`. path: the log's name (`conn`, `ssl` …), empty where a JSON file names none or mixes several.
    wrap: `plain`, `gzip`, `zstd`. mark: files that may be copies of each other share it. first_ts: of a capture's first packet.
    """

    kind: str
    reason: str = ""
    dialect: str = ""
    path: str = ""
    wrap: str = "plain"
    mark: bytes = b""
    first_ts: float | None = None


def look(path: str) -> Head:
    """Read the first bytes of a file and say what it is.

    Raises:
        OSError: it cannot be opened or read.
    """
    with open(path, "rb") as handle:
        raw = handle.read(8)
    wrap = text.wrap_of(raw)
    peek = _head(path)
    if not raw:
        return Head("other", "empty")
    if not peek:
        return Head("other", f"damaged {wrap} file")
    for tell in (_capture, _known, _tsv, _json, _csv, _words):
        head = tell(path, peek, wrap)
        if head is not None:
            return head
    return Head("other", "binary data of no known kind")


def _head(path: str) -> bytes:
    try:
        from netexfil import _core
    except ImportError:
        return text.head(path, PEEK)
    opener: Callable[[str, int], bytes] | None = getattr(_core, "head", None)
    return opener(path, PEEK) if opener else text.head(path, PEEK)


def _mark(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).digest()


def _capture(path: str, peek: bytes, wrap: str) -> Head | None:
    magic = peek[:4]
    if magic in PCAP:
        order, unit = PCAP[magic]
        first = None
        if len(peek) >= 32:
            seconds, fraction = struct.unpack_from(order + "II", peek, 24)
            first = seconds + fraction * unit
        return Head("capture", wrap=wrap, mark=_mark(peek[:256]), first_ts=first)
    if magic == PCAPNG:
        return Head("capture", wrap=wrap, mark=_mark(peek[:256]), first_ts=_pcapng_first(peek))
    return None


def _pcapng_first(peek: bytes) -> float | None:
    """Time of the first packet that lies within the peeked bytes; None where there is none."""
    order = "<" if peek[8:12] == b"\x4d\x3c\x2b\x1a" else ">"
    units: list[float] = []
    at = 0
    while at + 28 <= len(peek):
        kind, length = struct.unpack_from(order + "II", peek, at)
        if length < 12:
            return None
        if kind == 1:
            units.append(_unit(peek[at + 16 : at + length - 4], order))
        elif kind in (2, 6):
            interface = struct.unpack_from(order + ("I" if kind == 6 else "H"), peek, at + 8)[0]
            high, low = struct.unpack_from(order + "II", peek, at + 12)
            return float((high << 32) + low) * (units[interface] if interface < len(units) else 1e-6)
        at += length + (-length) % 4
    return None


def _unit(options: bytes, order: str) -> float:
    """Seconds a tick of an interface: option 9 (if_tsresol), microseconds without."""
    at = 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from(order + "HH", options, at)
        if code == 0:
            break
        if code == 9 and length and at + 4 < len(options):
            value = options[at + 4]
            return 2.0 ** -(value & 0x7F) if value & 0x80 else 10.0**-value
        at += 4 + length + (-length) % 4
    return 1e-6


def _known(path: str, peek: bytes, wrap: str) -> Head | None:
    return next((Head("other", reason) for magic, reason in KNOWN.items() if peek.startswith(magic)), None)


def _tsv(path: str, peek: bytes, wrap: str) -> Head | None:
    """A Zeek TSV log begins with its own description: `#separator`, or at least `#fields`."""
    lines = peek.removeprefix(b"\xef\xbb\xbf").splitlines()
    if not lines or not re.match(rb"#(separator|set_separator|fields|path)\b", lines[0]):
        return None
    header = {key[0]: line for line in lines if (key := re.match(rb"#\w+", line))}
    if b"#fields" not in header:
        return Head("other", "a Zeek log without a #fields line")
    named = re.split(rb"[^\w.-]+", header.get(b"#path", b"#path").strip(b"\r\n"))
    rows = [line for line in lines if not line.startswith(b"#")]
    name = named[-1].decode("ascii", "replace") if len(named) > 2 or (len(named) == 2 and named[1]) else ""
    mark = _mark(header[b"#fields"], rows[0]) if rows else _mark(path.encode(errors="surrogateescape"))
    return Head("log", dialect="tsv", path=stem(name) if name and name != "-" else stem(path), wrap=wrap, mark=mark)


def _json(path: str, peek: bytes, wrap: str) -> Head | None:
    """JSON lines of which one belongs to a log that we know, or that names its log."""
    lines = [line for line in peek.removeprefix(b"\xef\xbb\xbf").splitlines() if line.strip()]
    if not lines or not lines[0].lstrip().startswith(b"{"):
        return None
    name, objects = stem(path), 0
    for line in lines:
        try:
            record = rows.parse(line)
        except rows.Refused:
            continue
        objects += 1
        if "event_type" in record and "flow_id" in record:
            return Head("log", dialect="eve", wrap=wrap, mark=_mark(lines[0]))
        if _is_log(rows.unwrap(record, name), name):
            return Head("log", dialect="json", path=name, wrap=wrap, mark=_mark(lines[0]))
    return Head("other", "JSON lines, not a Zeek log" if objects else "begins like JSON, but holds no complete JSON object on a line")


def _is_log(record: Mapping[str, Any], name: str) -> bool:
    timed = "ts" in record or "@timestamp" in record
    named = any(isinstance(record.get(key), str) for key in fields.NAMES[:3])
    signed = ("uid" in record or "fuid" in record or "id_orig_h" in record) and any(key in record for key, _ in fields.SIGNS)
    return timed and (named or signed or fields.log_of(name) in fields.LOGS or name in fields.OTHER)


def _csv(path: str, peek: bytes, wrap: str) -> Head | None:
    """An exported table with Zeek's names in its first line."""
    found = exported.header(peek)
    name = exported.log(found[1], stem(path)) if found else None
    return None if name is None else Head("log", dialect="csv", path=name, wrap=wrap, mark=_mark(*peek.split(b"\n", 2)[:2]))


def _words(path: str, peek: bytes, wrap: str) -> Head | None:
    """Text that is no log of ours."""
    control = sum(byte < 9 or 13 < byte < 32 for byte in peek[:4096])
    return Head("other", "text, not a Zeek log") if control == 0 else None


def stem(path: str) -> str:
    """The log's name that a file name or `#path` speaks of: `conn.00:00:00-01:00:00.log.gz`, `conn_20240419_10` -> `conn`."""
    name = PurePath(path).name.lower()
    name = re.split(r"[.:]|[-_](?=\d)", name, maxsplit=1)[0]
    return name


def beginning(one: str, other: str) -> str | None:
    """Of two files, the one whose whole decompressed content begins the other; None where they differ. Equal files: the second."""
    try:
        return _contained(one, other)
    except OSError:
        return None


def _contained(one: str, other: str) -> str | None:
    left, right = text.blocks(one, lambda reason: None), text.blocks(other, lambda reason: None)
    a, b = b"", b""
    while True:
        a = a or next(left, b"")
        b = b or next(right, b"")
        if not b:
            return other
        if not a:
            return one
        size = min(len(a), len(b))
        if a[:size] != b[:size]:
            return None
        a, b = a[size:], b[size:]
