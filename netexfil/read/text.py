"""Bytes of a file as they were before it was compressed, in blocks; a damaged end is told, the good part is handed out."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BLOCK = 1 << 18
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

Blocks = Iterator[bytes]
Damage = Callable[[str], None]


def wrap_of(head: bytes) -> str:
    """`gzip`, `zstd` or `plain`, from the first bytes of a file."""
    if head.startswith(GZIP):
        return "gzip"
    return "zstd" if head.startswith(ZSTD) or _skippable(head) else "plain"


def _skippable(head: bytes) -> bool:
    """A zstd file may begin with a skippable frame (pzstd writes them): 0x184D2A5? little endian."""
    return len(head) >= 4 and head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50


def blocks(path: str, damage: Damage, size: int = BLOCK) -> Blocks:
    """The decompressed content. `damage` is called with the reason when the file ends before its compression does.

    Raises:
        OSError: the file cannot be opened.
    """
    with Path(path).open("rb") as handle:
        first = handle.read(4)
        handle.seek(0)
        raw = iter(lambda: handle.read(size), b"")
        unwrap = {"gzip": _gunzip, "zstd": _unzstd, "plain": _plain}[wrap_of(first)]
        yield from filter(None, unwrap(raw, damage))


def _plain(raw: Blocks, damage: Damage) -> Blocks:
    try:
        yield from raw
    except OSError as error:
        damage(f"read error: {error.strerror}")


def _gunzip(raw: Blocks, damage: Damage) -> Blocks:
    """All members of a gzip file, each block bounded; what follows the last member and is no gzip is told."""
    inflater, fed = zlib.decompressobj(31), False
    try:
        for block in raw:
            while block:
                if not fed and not block.startswith(GZIP[:1]):
                    if block.strip(b"\0"):
                        damage("bytes after the end of the gzip data")
                    return
                fed = True
                yield inflater.decompress(block, BLOCK * 4)
                block = inflater.unconsumed_tail
                if inflater.eof:
                    block = inflater.unused_data
                    inflater, fed = zlib.decompressobj(31), False
        if fed:
            yield inflater.flush()
            damage("the compressed data ends too early")
    except (zlib.error, OSError) as error:
        damage(f"damaged gzip data ({error})")


def _unzstd(raw: Blocks, damage: Damage) -> Blocks:
    zstandard = zstd_module()
    if zstandard is None:
        damage("zstd needs the core, or the Python package zstandard")
        return
    unpack = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    inflater, fed = unpack.decompressobj(), False
    try:
        for block in raw:
            while block:
                fed = True
                yield inflater.decompress(block)
                block = inflater.unused_data
                if inflater.eof:
                    inflater, fed = unpack.decompressobj(), False
    except (zstandard.ZstdError, OSError) as error:
        damage(f"damaged zstd data ({error})")
        return
    if fed:
        damage("the compressed data ends too early")


def zstd_module() -> Any:
    """The package zstandard where it is installed, else None."""
    try:
        return importlib.import_module("zstandard")
    except ImportError:
        return None


def head(path: str, size: int) -> bytes:
    """The first `size` decompressed bytes (fewer where the file is shorter or damaged).

    Raises:
        OSError: the file cannot be opened.
    """
    parts, got = [], 0
    for block in blocks(path, lambda reason: None, 1 << 14):
        parts.append(block)
        got += len(block)
        if got >= size:
            break
    return b"".join(parts)[:size]
