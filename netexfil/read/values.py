"""One cell of a log to one value: the rules by which both engines read times, addresses, ports and numbers."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

LARGEST = 10**16  # more than any session moves; sums and products of such counts still fit in 63 bits
AGE = 1e11  # seconds, three thousand years: a date can be made of every time below, and of a time and how long a session took
BETWEEN = "\x1f"  # between the elements of a list


class Bad(ValueError):
    """A cell that is not what its column must be; the message says what was expected."""


_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", re.ASCII)


def _float(cell: Any) -> float | None:
    """A number zero or above, written in digits; else None."""
    if isinstance(cell, str):
        cell = float(cell) if _NUMBER.fullmatch(cell) else None
    if isinstance(cell, bool) or not isinstance(cell, int | float) or not 0 <= cell <= sys.float_info.max:
        return None
    return float(cell)


def time(cell: Any) -> float:
    """Seconds since 1970: a number (milli- and microseconds are told by their size) or ISO 8601, UTC where no zone is named."""
    number = _float(cell)
    if number is None:
        return _iso(cell)
    seconds = number / next((unit for limit, unit in ((1e17, 1e9), (1e14, 1e6), (AGE, 1e3)) if number >= limit), 1.0)
    if seconds >= AGE:
        raise Bad("not a time")
    return seconds


_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?", re.ASCII)


def _iso(text: Any) -> float:
    """Only `YYYY-MM-DDThh:mm:ss[.fraction][zone]`; the fraction is cut to microseconds."""
    match = _ISO.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise Bad("not a time")
    *parts, fraction, zone = match.groups()
    try:
        stamp = dt.datetime(*(int(part) for part in parts), tzinfo=dt.UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        raise Bad("not a time") from None
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    whole = int((stamp - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)).total_seconds())
    if zone and zone != "Z":
        sign = -1 if zone[0] == "-" else 1
        whole -= sign * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)
    if whole < 0:
        raise Bad("not a time")
    return (whole * 1_000_000 + micros) / 1e6


@lru_cache(maxsize=65536)
def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        raise Bad("not an address") from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise Bad("not an address")
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
    return str(address)


def addr(cell: Any) -> str:
    """Canonical text: IPv6 compressed and lower case, IPv4-mapped as IPv4."""
    if not isinstance(cell, str):
        raise Bad("not an address")
    return _address(cell)


def whole(cell: Any) -> int:
    """A count; a JSON number with a zero fraction counts as whole; beyond LARGEST it stays there."""
    if isinstance(cell, int) and not isinstance(cell, bool):
        number = cell
    else:
        text = str(cell)
        if re.fullmatch(r"\d{1,30}", text, re.ASCII):
            number = int(text)
        elif re.fullmatch(r"\d{1,15}\.0+", text, re.ASCII):
            number = int(text.partition(".")[0])
        else:
            raise Bad("not a count")
    if number < 0:
        raise Bad("not a count")
    return min(number, LARGEST)


def port(cell: Any) -> int:
    """0 to 65535; `443/tcp` as very old logs write it is 443."""
    if isinstance(cell, str):
        cell = cell.partition("/")[0]
    try:
        number = whole(cell)
    except Bad:
        raise Bad("not a port") from None
    if number > 65535:
        raise Bad("not a port")
    return number


def number(cell: Any) -> float:
    """How long something took: a finite number, zero or more; beyond AGE it stays there."""
    value = _float(cell)
    if value is None:
        raise Bad("not a number")
    return min(value, AGE)


def flag(cell: Any) -> bool:
    """T/F, true/false, 1/0."""
    text = str(cell).lower()
    if text in ("t", "true", "1"):
        return True
    if text in ("f", "false", "0"):
        return False
    raise Bad("not T or F")


def proto(cell: Any) -> str:
    """The transport's name in lower case."""
    return words(cell).lower()


def words(cell: Any) -> str:
    if isinstance(cell, list):
        return ",".join(words(part) for part in cell)
    if isinstance(cell, bool):
        return "T" if cell else "F"
    return cell if isinstance(cell, str) else "" if isinstance(cell, dict) or cell is None else str(cell)


def parts(cell: Any) -> str:
    """The elements of a set or vector, with a separator that no log text holds between them."""
    return BETWEEN.join(words(part) for part in cell) if isinstance(cell, list) else words(cell)


READ: Mapping[str, Callable[[Any], Any]] = {
    "time": time, "addr": addr, "port": port, "int": whole, "float": number, "bool": flag, "proto": proto, "str": words, "list": parts,
}  # fmt: skip

# DuckDB's type for each kind.
TYPES: Mapping[str, str] = {
    "time": "DOUBLE", "float": "DOUBLE", "addr": "VARCHAR", "port": "INTEGER", "int": "BIGINT", "bool": "BOOLEAN", "proto": "VARCHAR",
    "str": "VARCHAR", "list": "VARCHAR",
}  # fmt: skip
