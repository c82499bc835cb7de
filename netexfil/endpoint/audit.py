"""Linux audit lines: key=value text to records, and the lines of one audit event (same serial) merged into one.

The first line of an event carries the merged record; its other lines stay as records of their own (`@audit_part`), so that every line
of the file is accounted for.
"""

from __future__ import annotations

import ipaddress
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from netexfil.endpoint.cutting import Piece, Run

_HEAD = re.compile(r"(?:node=(\S+) )?type=(\w+) (?:msg=)?audit\((\d+(?:\.\d+)?):(\d+)\):? ?")
# Each word is tried once, and a bracket is not looked for without end: a line may have any length.
_PAIR = re.compile(r"""(?<![\w-])-*(\w[\w-]*+)=("[^"]*"|'[^']*'|\[[^\]]{0,4096}\]|\([^)]{0,4096}\)|[^\s\x1d]*)""")
_HEX = re.compile(r"(?:[0-9A-F]{2})+$")
_OPEN = 64  # audit events that may interleave
_PARTS = 1000  # lines of one event

# arch -> number -> name; from the kernel's tables, the calls that start programs or open connections.
_CALLS: Mapping[str, Mapping[str, str]] = {
    "c000003e": {"59": "execve", "322": "execveat", "42": "connect", "44": "sendto", "43": "accept", "288": "accept4", "49": "bind"},
    "40000003": {"11": "execve", "358": "execveat", "362": "connect", "102": "socketcall", "364": "accept4", "361": "bind"},
    "c00000b7": {"221": "execve", "281": "execveat", "203": "connect", "206": "sendto", "202": "accept", "242": "accept4", "200": "bind"},
}


def record(line: str) -> dict[str, Any] | None:
    """One audit line as a record, or None."""
    match = _HEAD.search(line)
    if not match:
        return None
    fields = pairs(line[match.end() :])
    made: dict[str, Any] = {"@audit": {"type": match[2], "time": float(match[3]), "serial": match[4]}, "node": match[1] or fields.get("node")}
    kind = match[2]
    call = fields.get("SYSCALL") or _CALLS.get(fields.get("arch", ""), {}).get(fields.get("syscall", ""), fields.get("syscall"))
    reader = _READERS.get(kind)
    made |= reader(fields) if reader else fields
    if call and kind in ("SYSCALL", "AUOMS_SYSCALL", "AUOMS_EXECVE", "AUDIT_SYSCALL"):
        made["syscall"] = call
    return made


def pairs(source: str) -> dict[str, str]:
    """key=value pairs; quotes removed, hex (audit's form for text with blanks) decoded where the key is known to be text."""
    made = {}
    for key, value in _PAIR.findall(source):
        quoted = value[:1] in "\"'" and len(value) > 1
        bare = value[1:-1] if quoted else value
        made[key] = bare if quoted or key not in _TEXTS else unhex(bare)
    return made


_TEXTS = frozenset({"exe", "comm", "name", "cwd", "cmd", "acct", "proctitle", "key"})


def unhex(value: str) -> str:
    """Audit writes text with blanks or control characters as hex; NULs separate arguments."""
    if len(value) < 4 or not _HEX.match(value):
        return value
    return bytes.fromhex(value).rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")


def _execve(fields: Mapping[str, str]) -> dict[str, Any]:
    arguments = sorted((int(key[1:]), value) for key, value in fields.items() if re.fullmatch(r"a[0-9]{1,6}", key))
    return {"argv": [unhex(value) for _, value in arguments]} if arguments else {}


def _sockaddr(fields: Mapping[str, str]) -> dict[str, Any]:
    return sockaddr(fields.get("saddr", ""))


def sockaddr(value: str) -> dict[str, Any]:
    """Address and port of a `struct sockaddr` in hex (family in the host's byte order, the rest in the network's)."""
    try:
        raw = bytes.fromhex(value)
    except ValueError:
        return {}
    family = int.from_bytes(raw[:2], "little")
    sizes = {2: (4, 4), 10: (8, 16)}  # AF_INET: address at 4, 4 bytes; AF_INET6: at 8, 16 bytes
    if family not in sizes or len(raw) < sum(sizes[family]):
        return {}
    start, size = sizes[family]
    return {"saddr_ip": str(ipaddress.ip_address(raw[start : start + size])), "saddr_port": int.from_bytes(raw[2:4], "big")}


def _path(fields: Mapping[str, str]) -> dict[str, Any]:
    return {"created": fields.get("name")} if fields.get("nametype") == "CREATE" else {}


_READERS: Mapping[str, Callable[[Mapping[str, str]], dict[str, Any]]] = {
    "EXECVE": _execve, "SOCKADDR": _sockaddr, "PATH": _path,
    "CWD": lambda fields: {"cwd": fields.get("cwd")}, "PROCTITLE": lambda fields: {"proctitle": fields.get("proctitle")}, "EOE": lambda _: {},
}
_MERGED = frozenset({"SYSCALL", "EXECVE", "SOCKADDR", "PATH", "CWD", "PROCTITLE", "EOE", "SOCKETCALL", "FD_PAIR"})


def grouped(source: Iterable[Piece | Run]) -> Iterator[Piece | Run]:
    """Pass pieces on; audit lines of one serial are merged."""
    open_: OrderedDict[tuple[str, float, str], _Group] = OrderedDict()
    for piece in source:
        if isinstance(piece, Run):
            yield piece
            continue
        found = record(piece.text) if piece.text is not None and "audit(" in piece.text else None
        if found is None:
            yield piece
            continue
        if found["@audit"]["type"] not in _MERGED:
            yield Piece(piece.line, record=found)
            continue
        key = (found["node"] or "", found["@audit"]["time"], found["@audit"]["serial"])
        if key in open_:
            group = open_[key]
            _merge(group.head, found)
            group.parts.append(Piece(piece.line, record={"@audit_part": found["@audit"]["type"], "@audit": found["@audit"], "node": found["node"]}))
        else:
            open_[key] = _Group(piece.line, found)
        if len(open_) > _OPEN or len(open_[key].parts) > _PARTS:
            yield from open_.popitem(last=False)[1].pieces()
    while open_:
        yield from open_.popitem(last=False)[1].pieces()


@dataclass(slots=True)
class _Group:
    """The lines of one audit event so far: the first with what all of them say, the others."""

    line: int
    head: dict[str, Any]
    parts: list[Piece] = field(default_factory=list)

    def pieces(self) -> Iterator[Piece]:
        yield Piece(self.line, record=self.head)
        yield from self.parts


def _merge(head: dict[str, Any], more: Mapping[str, Any]) -> None:
    call = more["@audit"]["type"] == "SYSCALL"
    for key, value in more.items():
        if value is not None and (key not in head or head[key] is None or (call and key != "node")):
            head[key] = value


def after_header(line: str) -> dict[str, Any] | None:
    """The JSON object after a syslog header, or None."""
    place = line.find("{")
    if place <= 0 or not line.rstrip().endswith("}"):
        return None
    try:
        found = orjson.loads(line[place:])
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
