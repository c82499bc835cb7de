"""Files to pieces: decompressed, decoded, and cut into records with the line where each begins (from 1, in the decompressed text).

Which carrier a file is is seen from its first bytes, in tables; memory is bounded by one record (64 MiB).
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from netexfil.endpoint import cutting, rowfiles
from netexfil.endpoint.cutting import CarrierError, Piece, Run

_PEEK = 1 << 16


@dataclass(frozen=True, slots=True)
class Part:
    """One file, or one member of an archive."""

    name: str
    stream: IO[bytes]


def parts(path: Path) -> Iterator[Part]:
    """The file itself or, for a zip, its members; gzip and zstd are opened on the way, also inside each other."""
    with path.open("rb") as raw:
        yield from _opened(str(path), raw, 0)


def _opened(name: str, stream: Any, depth: int) -> Iterator[Part]:
    buffered = io.BufferedReader(stream, _PEEK) if not hasattr(stream, "peek") else stream
    magic = buffered.peek(8)[:8]
    opener = next((open_ for prefix, open_ in _COMPRESSED if magic.startswith(prefix)), None)
    if opener is None or depth > 3:
        yield Part(name, buffered)
    elif opener is _zip:
        yield from _zip(name, buffered, depth)
    else:
        yield from _opened(name, opener(buffered), depth + 1)


def _zip(name: str, stream: Any, depth: int) -> Iterator[Part]:
    try:
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    with archive.open(member) as inner:
                        yield from _opened(f"{name}!{member.filename}", io.BufferedReader(inner, _PEEK), depth + 1)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise CarrierError(f"zip: {error}") from error


def _gzip(stream: Any) -> Any:
    return io.BufferedReader(gzip.GzipFile(fileobj=stream), 1 << 18)


def _zstd(stream: Any) -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise CarrierError("zstd needs the package zstandard") from error
    return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True), 1 << 18)


_COMPRESSED: Sequence[tuple[bytes, Callable[..., Any]]] = ((b"\x1f\x8b", _gzip), (b"\x28\xb5\x2f\xfd", _zstd), (b"PK\x03\x04", _zip))

# Byte order marks, and UTF-16 without one (a `{`, `[` or `<` with a zero byte).
_ENCODINGS: Sequence[tuple[bytes, str, int]] = (
    (b"\xef\xbb\xbf", "utf-8", 3), (b"\xff\xfe", "utf-16-le", 2), (b"\xfe\xff", "utf-16-be", 2),
    (b"{\0", "utf-16-le", 0), (b"[\0", "utf-16-le", 0), (b"<\0", "utf-16-le", 0),
    (b"\0{", "utf-16-be", 0), (b"\0[", "utf-16-be", 0), (b"\0<", "utf-16-be", 0),
)


class _Recoded(io.RawIOBase):
    """A byte stream of another encoding as UTF-8, piece by piece."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        import codecs

        self._stream, self._decode, self._rest = stream, codecs.getincrementaldecoder(encoding)("replace").decode, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = self._stream.read(_PEEK)
            self._rest = self._decode(chunk, not chunk).encode("utf-8", "replace")
            if not chunk:
                break
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def pieces(part: Part) -> Iterator[Piece | Run]:
    """Cut one file into records.

    Raises:
        CarrierError: nothing of it can be read.
    """
    stream: Any = part.stream
    try:
        head = stream.peek(8)[:8]
        if head.startswith(b"ElfFile\0"):
            yield from rowfiles.evtx(stream)
            return
        for mark, encoding, skip in _ENCODINGS:
            if head.startswith(mark):
                stream.read(skip)
                stream = stream if encoding == "utf-8" else io.BufferedReader(_Recoded(stream, encoding), 1 << 18)
                break
        yield from _cut(stream)
    except (EOFError, OSError, zlib.error) as error:
        raise CarrierError(f"damaged: {error}") from error
    except Exception as error:
        if type(error).__name__ == "ZstdError":
            raise CarrierError(f"damaged: {error}") from error
        raise


def _cut(stream: Any) -> Iterator[Piece | Run]:
    head = stream.peek(_PEEK)[:_PEEK]
    first = head.lstrip()
    starter = first[:1]
    if starter == b"[" or (starter == b"{" and not cutting.is_jsonl(first)):
        yield from cutting.documents(stream)
    elif (delimiter := rowfiles.csv_delimiter(first)) is not None:
        yield from rowfiles.rows(stream, delimiter)
    elif b"\nLogName=" in first[:400].replace(b"\r", b""):
        yield from rowfiles.classic(stream)
    elif cutting.is_xml(first):
        yield from cutting.xml_events(stream)
    else:
        yield from cutting.lines(stream)
