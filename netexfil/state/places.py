"""How far each log has been consumed: a log is known by its content, not by its path.

`identity` is a hash of the log's kind and first record, so a renamed, copied or gzipped log is the same log. What was consumed of it is
verified by a hash of the last bytes before that place; where they differ (truncated and written anew, or another log with the same first
record) it is read from the beginning, and uids keep its rows from being counted twice.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from netexfil.read import text

if TYPE_CHECKING:
    import duckdb

TAIL = 4096
FIRST = 1 << 20  # a first record longer than this is known by its first megabyte


@dataclass(frozen=True, slots=True)
class Place:
    """What the state remembers of a log: bytes consumed of its decompressed text, and a hash of the last of them."""

    consumed: int
    tail: str


@dataclass(frozen=True, slots=True)
class Part:
    """Complete lines [start, end) of a log's decompressed text that no run has read; `tail` is the hash of what stands before `end`."""

    path: str
    kind: str
    wrap: str
    identity: str
    start: int
    end: int
    tail: str

    @property
    def size(self) -> int:
        return self.end - self.start


def remembered(con: duckdb.DuckDBPyConnection) -> dict[str, Place]:
    """identity -> place, from the attached state."""
    rows = con.execute("SELECT identity, consumed, tail FROM state.log").fetchall()
    return {identity: Place(consumed, tail) for identity, consumed, tail in rows}


def listing(sources: Sequence[str]) -> str:
    """A hash of names, sizes and times of every file of the sources: equal means that nothing was written since."""
    digest = hashlib.blake2b(digest_size=16)
    for source in sources:
        for path in _walk(source):
            try:
                status = os.stat(path)
            except OSError as error:
                digest.update(f"{path}\0{error.errno}\n".encode(errors="surrogateescape"))
                continue
            told = f"{path}\0{status.st_dev}\0{status.st_ino}\0{status.st_size}\0{status.st_mtime_ns}\n"
            digest.update(told.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _walk(source: str) -> Iterator[str]:
    if not Path(source).is_dir():
        yield source
        return
    for root, folders, files in os.walk(source, followlinks=True):
        folders.sort()
        yield from (os.path.join(root, name) for name in sorted(files))


def unread(path: str, kind: str, wrap: str, known: Mapping[str, Place]) -> Part | None:
    """What of this log no run has read; None where there is nothing.

    Args:
        wrap: `plain`, `gzip` or `zstd`.

    Raises:
        OSError: the file cannot be read.
    """
    first = _first_record(path)
    if first is None:
        return None
    identity = hashlib.blake2b(kind.encode() + b"\0" + first, digest_size=16).hexdigest()
    place = known.get(identity)
    measure = _measure_plain if wrap == "plain" else _measure_wrapped
    end, same, tail = measure(path, place)
    start = place.consumed if place and same else 0
    return Part(path, kind, wrap, identity, start, end, tail) if end > start else None


def _first_record(path: str) -> bytes | None:
    """The first line that is no header, without its newline; None where there is no complete one."""
    buffer = b""
    for block in text.blocks(path, lambda reason: None):
        buffer += block
        while (at := buffer.find(b"\n")) >= 0:
            line, rest = buffer[:at].rstrip(b"\r"), buffer[at + 1 :]
            if line.strip() and not line.removeprefix(b"\xef\xbb\xbf").startswith(b"#"):
                return line
            buffer = rest
        if len(buffer) > FIRST:
            return buffer[:FIRST]
    return None


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _measure_plain(path: str, place: Place | None) -> tuple[int, bool, str]:
    """(end of the last complete line, whether the consumed part still stands there, hash of what is before the end)."""
    with open(path, "rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        end = _last_newline(handle.fileno(), size)
        if size - end <= FIRST and _whole(os.pread(handle.fileno(), size - end, end)):
            end = size
        same = place is not None and place.consumed <= size and _tail(handle.fileno(), place.consumed) == place.tail
        return end, same, _tail(handle.fileno(), end)


def _whole(rest: bytes) -> bool:
    """Whether a last line without its newline is all there: a JSON object says so itself, a line of fields cannot."""
    if not rest.lstrip().startswith(b"{"):
        return False
    try:
        orjson.loads(rest)
    except orjson.JSONDecodeError:
        return False
    return True


def _tail(handle: int, end: int) -> str:
    start = max(0, end - TAIL)
    return _hash(os.pread(handle, end - start, start))


def _last_newline(handle: int, size: int) -> int:
    """Offset after the last newline; 0 where there is none."""
    at = size
    while at > 0:
        start = max(0, at - (1 << 16))
        found = os.pread(handle, at - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0


def _measure_wrapped(path: str, place: Place | None) -> tuple[int, bool, str]:
    """As `_measure_plain`, in one pass over the decompressed text; a damaged end counts up to its last complete line."""
    damaged: list[str] = []
    read, window, same, end, tail = 0, b"", False, 0, _hash(b"")
    for block in text.blocks(path, damaged.append):
        if place and read < place.consumed <= read + len(block):
            upto = window + block[: place.consumed - read]
            same = _hash(upto[-TAIL:]) == place.tail
        if (found := block.rfind(b"\n")) >= 0:
            end, tail = read + found + 1, _hash((window + block[: found + 1])[-TAIL:])
        read += len(block)
        window = (window + block)[-TAIL:]
    if not damaged and 0 < read - end <= TAIL and _whole(window[-(read - end) :]):
        end, tail = read, _hash(window)
    return end, same, tail


def pieces(part: Part, most: int) -> list[Part]:
    """A large plain part cut into pieces of about `most` bytes at line ends; each can be committed by itself."""
    if part.size <= most:
        return [part]
    found, start = [], part.start
    with open(part.path, "rb") as handle:
        while part.end - start > most:
            handle.seek(start + most)
            handle.readline()
            cut = min(handle.tell(), part.end)
            found.append(replace(part, start=start, end=cut, tail=_tail(handle.fileno(), cut)))
            start = cut
    return [*found, replace(part, start=start)] if start < part.end else found
