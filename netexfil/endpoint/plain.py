"""Converters of plain values: text, whole numbers, flags, ids. None for what cannot be read; nothing raises.

Whole numbers never pass through a float, so ids above 2^53 stay exact.
"""

from __future__ import annotations

from typing import Any

ABSENT = frozenset({"", "-", "(null)", "null", "NULL", "None", "none", "N/A", "n/a", "NaN", "nan", "<null>"})
_LIMIT = 2**63


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


def kept(value: Any) -> str | None:
    """Text exactly as it stands, for what we wrote ourselves."""
    return value if value.__class__ is str and value else None


def seconds(value: Any) -> float | None:
    """A number that is seconds since 1970 already."""
    return float(value) if value.__class__ is float or (value.__class__ is int and abs(value) < 2**53) else None


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


def guid(value: Any) -> str | None:
    """A GUID without braces, lower case; all zeros is absent."""
    found = value if value.__class__ is str else text(value)
    if not found or found in ABSENT:
        return None
    bare = found.strip("{} \t").lower()
    return bare if bare and bare != _ZERO else None


_ZERO = "00000000-0000-0000-0000-000000000000"


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


def unslashed(value: Any) -> str | None:
    """Text whose backslashes an exporter doubled."""
    found = text(value)
    return found.replace("\\\\", "\\") if found else None
