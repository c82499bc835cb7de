"""One foreign value in, one of our values (or None) out: the table of converters that the dialects name.

Exporters write the same value in many ways (numbers as text, hex process ids, "-" for nothing, five kinds of time). No converter
raises: what cannot be read is None.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from netexfil.endpoint.plain import ABSENT, flag, guid, joined, kept, pid, port, positive, scalar, seconds, spaced, text, unslashed, whole
from netexfil.endpoint.times import time

# What `ipaddress` takes for IPv4, and nothing else: by far the most frequent, and four times cheaper so.
_V4 = re.compile(r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}")


@lru_cache(maxsize=65536)
def canonical(value: str) -> str | None:
    """An address in its one canonical form; None for anything else."""
    if _V4.fullmatch(value):
        return value
    bare = value.strip().strip("[]").split("%", 1)[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def ip(value: Any) -> str | None:
    """A canonical address: IPv6 compressed, v4-mapped unwrapped, no scope id."""
    found = value if value.__class__ is str else text(value)
    return canonical(found) if found else None


_ADDRESS = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{0,45}[.:][0-9A-Fa-f:.]{1,45}(?![\w:])")


def ips(value: Any) -> str | None:
    """All addresses in a list or text, canonical, comma separated, in order, each once."""
    found = dict.fromkeys(address for item in _ADDRESS.findall(str(value or "")) if (address := local_ip(item)) is not None)
    return ",".join(found) or None


def local_ip(value: Any) -> str | None:
    """The monitored host's own address; the unspecified address says nothing."""
    address = ip(value)
    return None if address in ("0.0.0.0", "::") else address


@lru_cache(maxsize=16384)
def _host(value: str) -> str | None:
    name = value.strip().strip("\\").lower()
    short = name.split(".", 1)[0]
    return name if canonical(name) else short or None


def host(value: Any) -> str | None:
    """The short name in lower case (an address stays whole)."""
    found = value if value.__class__ is str else text(value)
    return _host(found) if found and found not in ABSENT else None


_PROTO = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmp6", "132": "sctp", "tcpv4": "tcp", "tcpv6": "tcp", "tcp6": "tcp", "tcp4": "tcp",
          "udpv4": "udp", "udpv6": "udp", "udp6": "udp", "ipv6-icmp": "icmp6", "icmpv6": "icmp6", "af_inet": None, "none": None}


def proto(value: Any) -> str | None:
    """tcp, udp … from names and IANA numbers."""
    found = text(value)
    lower = found.lower() if found else ""
    return _PROTO.get(lower, lower or None)


@lru_cache(maxsize=4096)
def _hashes(value: str) -> str | None:
    kept = []
    for part in value.split(","):
        name, _, digest = part.partition("=")
        if digest.strip("0 ") and digest.strip() not in ABSENT:
            kept.append(f"{name.strip().lower()}={digest.strip().lower()}")
    return ",".join(sorted(kept)) or None


def hashes(value: Any) -> str | None:
    """`sha256=…,md5=…` in lower case, sorted; all-zero hashes are absent."""
    if value.__class__ is dict:
        value = ",".join(f"{name}={digest}" for name, digest in value.items() if digest)
    elif value.__class__ is list:
        value = ",".join(f"{item.get('algorithm', item.get('algorithm_id'))}={item.get('value')}" for item in value if item.__class__ is dict)
    found = text(value)
    return _hashes(found.replace("sha-", "sha").replace("SHA-", "SHA")) if found else None


_ANSWER = re.compile(r"^\s*type:\s*(\d+)\s+(.*)$", re.I)


def answers(value: Any) -> str | None:
    """DNS answers as comma separated addresses and names, from Sysmon's `type:  5 x.y;::ffff:1.2.3.4;`, `a;b;` or a list."""
    items: list[Any] = value if value.__class__ is list else (text(value) or "").split(";")
    found = []
    for item in items:
        if item.__class__ is dict:
            item = item.get("data") or item.get("rdata") or item.get("name")
        name = text(item)
        if name:
            match = _ANSWER.match(name)
            name = (match[2] if match else name).strip()
            found.append(ip(name) or name.lower())
    return ",".join(dict.fromkeys(found)) or None


def name_of(value: Any) -> str | None:
    """The host of a name or URL, lower case."""
    found = value if value.__class__ is str else text(value)
    return _name(found) if found and found not in ABSENT else None


@lru_cache(maxsize=16384)
def _name(found: str) -> str | None:
    bare = re.sub(r"^[a-z][a-z0-9+.-]*://", "", found.strip(), flags=re.I).split("/", 1)[0].rsplit("@", 1)[-1]
    bare = re.sub(r":\d+$", "", bare) if bare.count(":") == 1 else bare
    return bare.rstrip(".").lower() or None


_LEVELS = {
    "informational": 0, "info": 0, "unspecified": 0, "debug": 0, "low": 1, "notice": 1, "medium": 2, "med": 2, "moderate": 2, "warning": 2, "warn": 2,
    "high": 3, "error": 3, "critical": 4, "crit": 4, "emergency": 4, "alert": 4, "e_low": 1, "e_medium": 2, "e_high": 3, "e_critical": 4,
}


def level(value: Any) -> int | None:
    """0 informational … 4 critical from a word."""
    return _LEVELS.get((text(value) or "").lower())


def grade(value: Any) -> int | None:
    """A severity that is 0 to 4 already."""
    number = whole(value)
    return number if number is not None and 0 <= number <= 4 else None


def _bands(*limits: float) -> Callable[[Any], int | None]:
    def banded(value: Any) -> int | None:
        number = whole(value)
        return None if number is None else sum(number >= limit for limit in limits)

    return banded


def falcon_severity(value: Any) -> int | None:
    """Falcon counts 1–5 in its older detections and 0–100 in the newer."""
    number = whole(value)
    return None if number is None else _FIVE(number) if number <= 5 else _HUNDRED(number)


_FIVE, _HUNDRED = _bands(2, 3, 4, 5), _bands(20, 40, 60, 80)
_TECHNIQUE = re.compile(r"\bT\d{4}(?:\.\d{3})?\b", re.I)


def technique(value: Any) -> str | None:
    """ATT&CK technique ids found anywhere in the value, comma separated."""
    if value.__class__ is str and "T1" not in value and "t1" not in value:
        return None
    found = dict.fromkeys(match.upper() for match in _TECHNIQUE.findall(str(value))) if value else {}
    return ",".join(found) or None


def digest(kind: str) -> Callable[[Any], str | None]:
    """A bare digest of a named kind."""

    def named(value: Any) -> str | None:
        found = text(value)
        return _hashes(f"{kind}={found}") if found else None

    return named


_ARROW = re.compile(r"^\[?([0-9A-Fa-f:.]+?)\]?:(\d+)->\[?([0-9A-Fa-f:.]+?)\]?:(\d+)$")


def arrow(group: int, convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """One part of `client:port->server:port`."""

    def picked(value: Any) -> Any:
        match = _ARROW.match(text(value) or "")
        return convert(match[group]) if match else None

    return picked


CONVERT: Mapping[str, Callable[[Any], Any]] = {
    "text": text, "joined": joined, "spaced": spaced, "whole": whole, "pid": pid, "port": port, "flag": flag, "ip": ip, "ips": ips,
    "local_ip": local_ip, "guid": guid, "host": host, "proto": proto, "time": time, "hashes": hashes, "answers": answers,
    "name": name_of, "level": level, "technique": technique, "id": scalar, "positive": positive, "grade": grade, "unslashed": unslashed,
    "kept": kept, "seconds": seconds,
    "arrow_ip_1": arrow(1, ip), "arrow_port_1": arrow(2, port), "arrow_ip_2": arrow(3, ip), "arrow_port_2": arrow(4, port),
    "falcon": falcon_severity, "hundred": _HUNDRED, "wazuh": _bands(4, 7, 10, 13), "ocsf": _FIVE,
    "sha256": digest("sha256"), "sha1": digest("sha1"), "md5": digest("md5"),
}
