"""Numbers as a reader writes them: bytes in both units, rates, ratios."""

from __future__ import annotations

from typing import Any

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def size(value: float | int | None) -> str:
    """Bytes with decimal units, the exact number beside: `1.40 GB (1,404,223,111 bytes)`."""
    if value is None or value != value:
        return "an unknown number of bytes"
    if value < 1000:
        return f"{int(value):,} bytes"
    amount, unit = float(value), 0
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.3g} {_UNITS[unit]} ({int(value):,} bytes)"


def show(value: Any, unit: str) -> str:
    """A value in its unit."""
    if value is None:
        return "unknown"
    if unit == "bytes":
        return size(value)
    if unit == "bytes/s":
        return size(value).split(" (")[0] + "/s"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
