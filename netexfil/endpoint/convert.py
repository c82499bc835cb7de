"""One foreign value in, one of our values (or None) out: the table of converters that the dialects name.

Exporters write the same value in many ways (numbers as text, hex process ids, "-" for nothing, five kinds of time). No converter
raises: what cannot be read is None. Whole numbers never pass through a float, so ids above 2^53 stay exact.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

ABSENT = frozenset({"", "-", "(null)", "null", "NULL", "None", "none", "N/A", "n/a", "NaN", "nan", "<null>"})
_LIMIT = 2**63
_EPOCH = dt.datetime(1970, 1, 1)
_FILETIME = 11_644_473_600  # seconds between 1601 (Windows FILETIME) and 1970

# Abbreviations that name one offset everywhere an exporter uses them; hours.
ZONES: Mapping[str, float] = {
    "Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3,
    "JST": 9, "AEST": 10, "AEDT": 11, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
}

_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)([.,]\d+)? ?(Z|[A-Z]{2,5}|[+-]\d\d:?\d\d)?(?: m=\S+)?$")
_US = re.compile(r"(\d\d?)/(\d\d?)/(\d{4}),? (\d\d?):(\d\d):(\d\d)([.,]\d+)? ?([AP]M)? ?(Z|UTC|GMT|[+-]\d\d:?\d\d)?$", re.I)
_UNIX = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) +(\d\d?) (\d\d):(\d\d):(\d\d) (\d{4})(?: (UTC|GMT))?$")
_AUDIT = re.compile(r"(\d+\.\d+):(\d+)")
_MONTHS = {name: n for n, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}


def text(value: Any) -> str | None:
    """Text as it stands; a list gives its first value, `{"#text": …}` its text, nothing-words None."""
    if value.__class__ is str:
        return None if len(value) < 8 and (value in ABSENT or not value.strip()) else value
    if value is None or value.__class__ is dict:
        return text(value.get("#text", value.get("Value"))) if value else None
    if value.__class__ is bool:
        return "true" if value else "false"
    if value.__class__ is list:
        return next((found for item in value if (found := text(item)) is not None), None)
    return str(value)


def joined(value: Any) -> str | None:
    """Every value of a list, comma separated."""
    if value.__class__ is list:
        return ",".join(found for item in value if (found := text(item)) is not None) or None
    return text(value)


def spaced(value: Any) -> str | None:
    """An argument list as one command line."""
    if value.__class__ is list:
        return " ".join(found for item in value if (found := text(item)) is not None) or None
    return text(value)


def whole(value: Any) -> int | None:
    """A whole number: int, decimal text, 0x hex, or a float export of a small int (`8984.0`)."""
    if value.__class__ is int:
        return int(value) if -_LIMIT <= value < _LIMIT else None
    if value.__class__ is str:
        try:
            number = int(value)
        except ValueError:
            return _whole_text(value)
        return number if -_LIMIT <= number < _LIMIT else None
    if value.__class__ is float:
        return int(value) if value == value and abs(value) < 2**53 and value.is_integer() else None
    if value.__class__ is list or value.__class__ is dict:
        return whole(text(value))
    return None


def _whole_text(value: str) -> int | None:
    value = value.strip()
    try:
        number = int(value, 16) if value[:2].lower() == "0x" else int(value[:-2] if value.endswith(".0") else value.replace("\u202f", ""))
    except ValueError:
        return None
    return number if -_LIMIT <= number < _LIMIT else None


def pid(value: Any) -> int | None:
    """A process id; 0 stays 0 (the idle process, or "unknown" in some products)."""
    if value.__class__ is str and value.isdecimal() and len(value) < 19:
        return int(value)
    number = whole(value)
    return number if number is not None and number >= 0 else None


def port(value: Any) -> int | None:
    """A port 1–65535; 0 means "not known" in every product that writes it."""
    number = int(value) if value.__class__ is str and value.isdecimal() and len(value) < 6 else whole(value)
    return number if number is not None and 0 < number < 65536 else None


def flag(value: Any) -> bool | None:
    """true/True/"1"/1 and false/"0"/0."""
    if value.__class__ is bool:
        return bool(value)
    return _FLAGS.get(value if value.__class__ is str and value in _FLAGS else str(text(value)).lower())


_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@lru_cache(maxsize=65536)
def canonical(value: str) -> str | None:
    """An address in its one canonical form; None for anything else."""
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


_ADDRESS = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]*[.:][0-9A-Fa-f:.]+(?![\w:])")


def ips(value: Any) -> str | None:
    """All addresses in a list or text, canonical, comma separated, in order, each once."""
    found = dict.fromkeys(address for item in _ADDRESS.findall(str(value or "")) if (address := local_ip(item)) is not None)
    return ",".join(found) or None


def local_ip(value: Any) -> str | None:
    """The monitored host's own address; the unspecified address says nothing."""
    address = ip(value)
    return None if address in ("0.0.0.0", "::") else address


def guid(value: Any) -> str | None:
    """A GUID without braces, lower case; all zeros is absent."""
    found = value if value.__class__ is str else text(value)
    if not found or found in ABSENT:
        return None
    bare = found.strip("{} \t").lower()
    return bare if bare and bare != _ZERO else None


_ZERO = "00000000-0000-0000-0000-000000000000"


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


@lru_cache(maxsize=65536)
def _day(stamp: str) -> int | None:
    try:
        if stamp[10] not in " T":
            return None
        return round((dt.datetime.fromisoformat(stamp) - _EPOCH).total_seconds())
    except ValueError:
        return None


_TENTHS = [10.0**n for n in range(32)]


def _zone(found: str | None) -> float | None:
    """Seconds east of UTC; no zone means UTC, an abbreviation that is not in ZONES is not guessed."""
    if not found:
        return 0.0
    if found[0] in "+-":
        hours, minutes = int(found[1:3]), int(found[-2:])
        return (-1 if found[0] == "-" else 1) * (hours * 3600.0 + minutes * 60.0)
    offset = ZONES.get(found.upper())
    return None if offset is None else offset * 3600.0


def _iso(value: str) -> float | None:
    match = _ISO.match(value)
    if not match:
        return None
    base, zone = _day(value[:10] + " " + value[11:19]), _zone(match[8])
    if base is None or zone is None:
        return None
    return base - zone + (float("0." + match[7][1:]) if match[7] else 0.0)


def _american(value: str) -> float | None:
    match = _US.match(value.replace("\u202f", " "))
    if not match:
        return None
    month, day, year, hour, minute, second = (int(match[n]) for n in range(1, 7))
    half = (match[8] or "").upper()
    hour = hour % 12 + 12 * (half == "PM") if half else hour
    base, zone = _day(f"{year:04d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:02d}"), _zone(match[9])
    return None if base is None or zone is None else base - zone + (float("0." + match[7][1:]) if match[7] else 0.0)


def _ctime(value: str) -> float | None:
    match = _UNIX.match(value)
    if not match:
        return None
    base = _day(f"{match[6]}-{_MONTHS.get(match[1], 0):02d}-{int(match[2]):02d} {match[3]}:{match[4]}:{match[5]}")
    return None if base is None else float(base)


def _audit(value: str) -> float | None:
    match = _AUDIT.search(value)
    return float(match[1]) if match else None


def epoch(value: float) -> float | None:
    """Seconds from a number in s, ms, µs, ns or 100 ns ticks since 1601, told apart by size (valid from 1973 to 2255)."""
    for low, high, scale, shift in _SCALES:
        if low <= value < high:
            return value / scale - shift
    return None


_SCALES = (
    (1e8, 9e9, 1.0, 0), (1e11, 9e12, 1e3, 0), (1e14, 9e15, 1e6, 0),
    (1e17, 2.1e17, 1e7, _FILETIME), (2.1e17, 9e18, 1e9, 0),
)
_FORMS = (_iso, _american, _ctime, _audit)


def time(value: Any) -> float | None:
    """Seconds since 1970 UTC from any time form met in the field; without a zone UTC is taken."""
    if value.__class__ is str:
        if value[19:20] == "." and value[4] == "-":  # `2023-08-16 00:33:51.685` and `…T…Z`, by far the most frequent
            digits = value[20:-1] if value[-1] == "Z" else value[20:]
            if digits.isdecimal() and len(digits) < 32 and (base := _day(value[:19])) is not None:
                return base + int(digits) / _TENTHS[len(digits)]
        return _time_text(value.strip())
    if value.__class__ is int or value.__class__ is float:
        return epoch(value)
    return time(text(value)) if value else None


def _time_text(value: str) -> float | None:
    if value.replace(".", "", 1).isdigit():
        return epoch(float(value) if "." in value else int(value))
    for form in _FORMS:
        if (found := form(value)) is not None:
            return found
    return None


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


def scalar(value: Any) -> str | None:
    """Text for ids: integers exactly, floats of whole numbers without the `.0`."""
    if value.__class__ is int:
        return str(value)
    number = whole(value) if value.__class__ is float else None
    return text(value) if number is None else str(number)


def positive(value: Any) -> int | None:
    """A whole number above zero; 0 is "not known"."""
    number = whole(value)
    return number if number else None


_ARROW = re.compile(r"^\[?([0-9A-Fa-f:.]+?)\]?:(\d+)->\[?([0-9A-Fa-f:.]+?)\]?:(\d+)$")


def arrow(group: int, convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """One part of `client:port->server:port`."""

    def picked(value: Any) -> Any:
        match = _ARROW.match(text(value) or "")
        return convert(match[group]) if match else None

    return picked


def unslashed(value: Any) -> str | None:
    """Text whose backslashes an exporter doubled."""
    found = text(value)
    return found.replace("\\\\", "\\") if found else None


CONVERT: Mapping[str, Callable[[Any], Any]] = {
    "text": text, "joined": joined, "spaced": spaced, "whole": whole, "pid": pid, "port": port, "flag": flag, "ip": ip, "ips": ips,
    "local_ip": local_ip, "guid": guid, "host": host, "proto": proto, "time": time, "hashes": hashes, "answers": answers,
    "name": name_of, "level": level, "technique": technique, "id": scalar, "positive": positive, "number": whole, "unslashed": unslashed,
    "arrow_ip_1": arrow(1, ip), "arrow_port_1": arrow(2, port), "arrow_ip_2": arrow(3, ip), "arrow_port_2": arrow(4, port),
    "falcon": falcon_severity, "hundred": _HUNDRED, "wazuh": _bands(4, 7, 10, 13), "ocsf": _FIVE,
    "sha256": digest("sha256"), "sha1": digest("sha1"), "md5": digest("md5"),
}
