"""The first bytes of both sides: SSH banners and the name in a TLS ClientHello."""

from __future__ import annotations

import re
from typing import Any

import dpkt

KEPT = 16 * 1024  # bytes per side


class Opening:
    """What each side sent first, in order and without holes; early pieces wait."""

    __slots__ = ("sides", "waiting")

    def __init__(self) -> None:
        self.sides = [b"", b""]
        self.waiting: list[dict[int, bytes]] = [{}, {}]

    def flip(self) -> None:
        self.sides.reverse()
        self.waiting.reverse()

    def shift(self, orig: bool, by: int) -> None:
        """One side's stream begins this much before what was taken for its first byte."""
        index = int(not orig)
        if by:
            self.waiting[index] = {place + by: piece for place, piece in self.waiting[index].items()}
            self.waiting[index][by] = self.sides[index]
            self.sides[index] = b""

    def add(self, orig: bool, at: int, data: bytes) -> None:
        """Payload at its place in the stream of one side."""
        index = int(not orig)
        if not data or len(self.sides[index]) >= KEPT or at >= KEPT or len(self.waiting[index]) >= 32:
            return
        self.waiting[index].setdefault(at, data)
        for place, piece in sorted(self.waiting[index].items()):
            have = len(self.sides[index])
            if place > have:
                return
            self.sides[index] += piece[have - place :]
            del self.waiting[index][place]

    def is_ssh(self) -> bool:
        return any(side.startswith(b"SSH-") for side in self.sides)

    def facts(self) -> dict[str, Any]:
        """`service`, `server_name`, `ssh_client` and `ssh_server`, as far as they are known."""
        client, server = (_banner(side) for side in self.sides)
        if client or server:
            return {"service": "ssh", "ssh_client": client, "ssh_server": server}
        if self.sides[0][:2] == b"\x16\x03" and self.sides[0][5:6] == b"\x01":
            return {"service": "ssl", "server_name": _server_name(self.sides[0])}
        return {}


def _banner(side: bytes) -> str | None:
    if not side.startswith(b"SSH-"):
        return None
    line = side[:1024].split(b"\n")[0].split(b"\r")[0]
    return _text(line)


def _server_name(stream: bytes) -> str | None:
    """The name of the server_name extension (RFC 6066)."""
    handshake = b""
    while stream[:2] == b"\x16\x03" and len(stream) > 5:
        size = int.from_bytes(stream[3:5])
        handshake += stream[5 : 5 + size]
        stream = stream[5 + size :]
    try:
        hello = dpkt.ssl.TLSClientHello(handshake[4 : 4 + int.from_bytes(handshake[1:4])])
        names = [value for kind, value in hello.extensions if kind == 0]
        return _text(names[0][5 : 5 + int.from_bytes(names[0][3:5])]) or None
    except (dpkt.UnpackError, dpkt.ssl.SSL3Exception, IndexError, AttributeError, ValueError):
        return None


def _text(data: bytes) -> str:
    """UTF-8 where it is, replacement characters where it is not, control characters as `\\xNN`."""
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", data.decode("utf-8", "replace"))
