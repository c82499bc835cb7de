"""Captures to sessions in pure Python, for machines without the core: slow, small, the core's second opinion in the tests.

Reads Ethernet, VLAN, Linux cooked and raw IP, TCP and UDP, with the core's tuples, times, packets, bytes, states and histories. Everything
else (other link types, tunnels, zstd) is refused by name. Of the first bytes it knows SSH banners and the TLS server name.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netexfil import tables
from netexfil.errors import Note

if TYPE_CHECKING:
    import duckdb

    from netexfil.read import Options
    from netexfil.read.portable.flows import Flows
    from netexfil.read.portable.frame import Frame
    from netexfil.read.portable.packets import Decoder

Progress = Callable[[str, int, int], None]

EMPTY = (
    "tls_version", "alpn", "ja3", "ja4", "cert_subject", "cert_issuer", "cert_fingerprint", "cert_self_signed", "hassh", "hassh_server", "tunnel",
)  # fmt: skip
REMARK = (
    "the portable engine is slow, reads only Ethernet, VLAN, Linux cooked and raw IP without tunnels, knows only the services ssh and ssl, "
    f"and leaves empty: {', '.join(EMPTY)}"
)
BATCH = 20_000
TICK = 5_000  # frames between two reports of progress


class _Notes:
    """What was lost: the same thing once, with a count and its first place."""

    def __init__(self) -> None:
        self.told: dict[tuple[str, str, str], tuple[int | None, int]] = {}

    def add(self, file: str, kind: str, reason: str, place: int | None = None) -> None:
        first, count = self.told.get((file, kind, reason), (place, 0))
        self.told[file, kind, reason] = (first, count + 1)

    def all(self) -> list[Note]:
        # A packet whose lengths contradict each other reached nobody: nothing is lost with it.
        return [Note(file, kind, reason, place, count, kind != "malformed") for (file, kind, reason), (place, count) in self.told.items()]


def read(con: duckdb.DuckDBPyConnection, paths: Sequence[str], options: Options, progress: Progress | None = None) -> list[Note]:
    """Append the sessions of `paths` to the table `session`.

    Returns:
        A remark on what this engine does not do, and what was lost: `unreadable` (the whole file), `truncated`, `damaged`, `link_type`,
        `tunnel`, `malformed`.
    """
    from netexfil.read.portable.flows import Flows
    from netexfil.read.portable.packets import Decoder

    notes, flows, decoder = _Notes(), Flows(options.max_sessions), Decoder()
    total = sum(Path(path).stat().st_size for path in paths if Path(path).exists())
    for number, (path, frame) in enumerate(_merged(paths, notes)):
        flows.tick(frame.time)
        _take(flows, decoder, path, frame, notes)
        if len(flows.done) >= BATCH:
            _insert(con, flows)
        if progress and number % TICK == 0:
            progress("captures", 0, total)
    flows.close()
    _insert(con, flows)
    if progress:
        progress("captures", total, total)
    return [Note(str(paths[0]) if paths else "", "engine", REMARK, loss=False), *notes.all()]


def _take(flows: Flows, decoder: Decoder, path: str, frame: Frame, notes: _Notes) -> None:
    from netexfil.read.portable.packets import Refused

    try:
        packet = decoder.packet(frame)
    except Refused as refused:
        kind, reason = refused.told
        notes.add(path, kind, reason)
        return
    if packet is not None:
        if packet.tunnel:
            notes.add(path, "tunnel", f"{packet.tunnel} is counted as it is; the sessions inside need the core engine")
        flows.add(packet, frame.time, path)


def _insert(con: duckdb.DuckDBPyConnection, flows: Flows) -> None:
    from netexfil.read.portable.rows import row

    columns = list(tables.READ)
    rows = [row(session) for session in flows.done]
    flows.done = []
    tables.insert(con, "session", [tuple(known.get(column) for column in columns) for known in rows], columns)


def _merged(paths: Sequence[str], notes: _Notes) -> Iterator[tuple[str, Frame]]:
    """The frames of all files: each file in its own order, the file whose next frame is the earliest first."""
    from netexfil.read.portable.frames import frames
    from netexfil.read.portable.input import Damage

    def one(path: str) -> Iterator[tuple[str, Frame]]:
        for found in frames(path):
            if isinstance(found, Damage):
                notes.add(path, found.kind, found.reason, found.place or None)
            else:
                yield path, found

    yield from heapq.merge(*(one(str(path)) for path in paths), key=lambda pair: pair[1].time)
