"""Zeek's ASCII log form: the header, escapes and unset marks that zeek-cut, RITA and Zeek's own input reader expect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Characters that Zeek writes as escapes: controls, the C1 set and the backslash. Also the two marks where they are meant literally.
ODD = r"[\x00-\x1f\x{7f}-\x{9f}\\]|\(empty\)"


def header(path: str, kinds: Mapping[str, str]) -> bytes:
    """The `#` lines for a log called `path`; `kinds` maps each column to its Zeek type."""
    lines = (
        "#separator \\x09",
        "#set_separator\t,",
        "#empty_field\t(empty)",
        "#unset_field\t-",
        f"#path\t{path}",
        "\t".join(("#fields", *kinds)),
        "\t".join(("#types", *kinds.values())),
    )
    return ("\n".join(lines) + "\n").encode()


def line(row: Mapping[str, Any], kinds: Mapping[str, str]) -> str:
    """One row, without its line end; columns in the order of `kinds`."""
    return "\t".join(_cell(row.get(name), kind) for name, kind in kinds.items())


def _cell(value: Any, kind: str) -> str:
    if value is None:
        return "-"
    if kind in ("time", "interval"):
        return f"{value:.6f}"
    if kind == "bool":
        return "T" if value else "F"
    if kind.startswith(("set[", "vector[")):
        return ",".join(escaped(str(part)).replace(",", "\\x2c") for part in value) or "(empty)"
    return escaped(str(value)) if kind in ("string", "enum") else str(value)


def escaped(text: str) -> str:
    """Zeek's escapes: `\\xNN` for controls (by UTF-8 byte), `\\\\` for a backslash; a literal `-` or `(empty)` is told from the mark."""
    if text in ("", "-", "(empty)"):
        return {"": "(empty)", "-": "\\x2d", "(empty)": "\\x28empty)"}[text]
    return "".join(_escape(c) for c in text)


def _escape(char: str) -> str:
    if char == "\\":
        return "\\\\"
    if char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff":
        return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
    return char
