"""Sources to pieces of work: groups of files of about the same size, large plain logs in parts, files elsewhere fetched by the task."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from netexfil.errors import Note

SIZE = 256 * 2**20  # bytes that one task reads: at some 100 MB/s a few seconds, and a lost one is soon read again
BLOCK = 2**16


@dataclass(frozen=True, slots=True)
class Piece:
    """What one task reads. `ranges`: file -> bytes [start, end) of it. `captures`: whether the files are packets."""

    files: tuple[str, ...]
    ranges: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    captures: bool = False


def pieces(sources: Sequence[str], size: int = SIZE) -> tuple[list[Piece], list[Note]]:
    """The work that sources hold, in groups of about `size` bytes.

    The captures of a folder are one piece, as sessions run on from file to file of a ring buffer. Plain logs above `size` are cut at
    line ends. Files that are not on a local path (`s3://`, `hdfs://`, `gs://` …) are listed, and looked into by the task.
    """
    from netexfil.read import find

    near = [name for name in sources if "://" not in name]
    far = [file for name in sources if "://" in name for file in listed(name)]
    made, notes = _grouped([Piece((path,)) for path, _ in far], [length for _, length in far], size), []
    if near:
        with find.sources(near) as found:
            made += _captures(found.captures)
            cut = [piece for log in found.logs for piece in _cut(log.path, size)]
            made += _grouped(cut, [_length(piece) for piece in cut], size)
            notes = list(found.notes)
    return made, notes


def _captures(paths: Sequence[str]) -> list[Piece]:
    folders: dict[str, list[str]] = {}
    for path in paths:
        folders.setdefault(os.path.dirname(path), []).append(path)
    return [Piece(tuple(held), captures=True) for held in folders.values()]


def _cut(path: str, size: int) -> Iterator[Piece]:
    """A plain text log in parts that end with a line; a compressed or small one as it is."""
    length = os.path.getsize(path)
    with open(path, "rb") as file:
        if length <= size or file.read(4)[:2] == b"\x1f\x8b" or _packed(file):
            yield Piece((path,))
            return
        start = 0
        while start < length:
            end = min(start + size, length)
            if end < length:
                file.seek(end)
                file.readline()
                end = file.tell()
            yield Piece((path,), {path: (start, end if end < length else None)})
            start = end


def _packed(file: object) -> bool:
    """Whether the first bytes are those of zstd, bzip2 or xz."""
    file.seek(0)  # type: ignore[attr-defined]
    head = file.read(6)  # type: ignore[attr-defined]
    return bool(head.startswith((b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")))


def _length(piece: Piece) -> int:
    path = piece.files[0]
    start, end = piece.ranges.get(path, (0, None))
    return (os.path.getsize(path) if end is None else end) - start


def _grouped(found: Sequence[Piece], lengths: Sequence[int], size: int) -> list[Piece]:
    """Small pieces together, in their order, until they are `size` bytes; two parts of one file are never together."""
    groups: list[list[Piece]] = []
    held = size
    for piece, length in zip(found, lengths, strict=True):
        same = bool(groups) and any(set(piece.files) & set(other.files) for other in groups[-1])
        if held + length > size or same:
            groups.append([])
            held = 0
        groups[-1].append(piece)
        held += length
    return [
        Piece(tuple(file for piece in group for file in piece.files), {name: cut for piece in group for name, cut in piece.ranges.items()})
        for group in groups
    ]


def listed(url: str) -> list[tuple[str, int]]:
    """Files below a URL with their sizes, by Arrow's file systems (S3, GCS, HDFS, Azure, file)."""
    from pyarrow import fs

    system, path = fs.FileSystem.from_uri(url)
    scheme = url.split("://", 1)[0]
    root = system.get_file_info(path)
    infos = [root] if root.is_file else system.get_file_info(fs.FileSelector(path, recursive=True))
    prefix = f"{scheme}://{url.split('://', 1)[1].split('/', 1)[0]}" if scheme == "hdfs" else f"{scheme}://"
    return [(f"{prefix}{info.path}", info.size or 0) for info in sorted(infos, key=lambda info: str(info.path)) if info.is_file]


@contextmanager
def at_hand(piece: Piece) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The piece's files on local paths, and what each path stands for; copies go when the block ends."""
    if not any("://" in name for name in piece.files):
        yield list(piece.files), {}
        return
    from pyarrow import fs

    with tempfile.TemporaryDirectory(prefix="netexfil-") as folder:
        shown: dict[str, str] = {}
        for name in piece.files:
            system, path = fs.FileSystem.from_uri(name)
            target = Path(folder, path.lstrip("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            with system.open_input_stream(path, compression=None) as source, target.open("wb") as out:
                while block := source.read(BLOCK * 16):
                    out.write(block)
            shown[str(target)] = name
        yield list(shown), shown
