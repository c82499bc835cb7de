"""Capture files to frames: pcap and pcapng, plain or gzip. dpkt's own readers drop the length on the wire and all interfaces but the first."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

from netexfil.read.portable.frame import Frame
from netexfil.read.portable.input import Damage, Input, Unreadable
from netexfil.read.portable.pcap import pcap
from netexfil.read.portable.pcapng import SECTION, pcapng


def frames(path: str) -> Iterator[Frame | Damage]:
    """Every frame of one file, and what of it could not be read."""
    try:
        with open(path, "rb") as raw:
            magic = raw.peek(4)
            if magic[:4] == b"\x28\xb5\x2f\xfd":
                raise Unreadable(Damage("unreadable", 0, "zstd needs the core engine"))
            packed = magic[:2] == b"\x1f\x8b"
            source = Input(gzip.GzipFile(fileobj=raw) if packed else raw)
            if not source.ensure(4):
                raise Unreadable(Damage("unreadable", 0, source.trouble or "is too short to be a capture"))
            yield from pcapng(source) if source.view(0, 4) == SECTION else pcap(source)
    except Unreadable as error:
        yield error.args[0]
    except OSError as error:
        yield Damage("unreadable", 0, error.strerror or str(error))
