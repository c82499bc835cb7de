"""Seconds since 1970 UTC from any form of time met in the field."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from netexfil.endpoint.plain import text

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
_NAMED = re.compile(r"([A-Z][a-z]{2}) (\d\d?), (\d{4})(?: @|,)? (\d\d?):(\d\d):(\d\d)([.,]\d+)?(?: ([AP]M))?$", re.I)  # Kibana's and Defender's pages
_DOTNET = re.compile(r"/Date\((\d{1,20})\)/$")  # Windows PowerShell's JSON: milliseconds
_AUDIT = re.compile(r"(\d+\.\d+):(\d+)")
_MONTHS = {name: n for n, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}


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
    base, zone = _parts(int(match[1]), match), _zone(match[9])
    return None if base is None or zone is None else base - zone


def _named(value: str) -> float | None:
    match = _NAMED.match(value.replace("\u202f", " "))
    return _parts(_MONTHS.get(match[1].title(), 0), match) if match else None


def _parts(month: int, match: re.Match[str]) -> float | None:
    """Seconds of a month and the groups 2 day, 3 year, 4 to 6 time, 7 fraction, 8 half of the day."""
    day, year, hour, minute, second = (int(match[n]) for n in range(2, 7))
    half = (match[8] or "").upper()
    hour = hour % 12 + 12 * (half == "PM") if half else hour
    base = _day(f"{year:04d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:02d}")
    return None if base is None else base + (float("0." + match[7][1:]) if match[7] else 0.0)


def _dotnet(value: str) -> float | None:
    match = _DOTNET.match(value)
    return epoch(int(match[1])) if match else None


def _ctime(value: str) -> float | None:
    match = _UNIX.match(value)
    if not match:
        return None
    base = _day(f"{match[6]}-{_MONTHS.get(match[1], 0):02d}-{int(match[2]):02d} {match[3]}:{match[4]}:{match[5]}")
    return None if base is None else float(base)


def _audit(value: str) -> float | None:
    match = _AUDIT.search(value)
    return epoch(float(match[1])) if match else None


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
_FORMS = (_iso, _american, _ctime, _named, _dotnet, _audit)


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
    if value.replace(".", "", 1).isdecimal():
        return epoch(int(value) if len(value) < 32 and "." not in value else float(value))
    for form in _FORMS:
        if (found := form(value)) is not None:
            return found
    return None
