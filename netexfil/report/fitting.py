"""Tables that keep to a width: columns that matter least are left out first, then cells are cut; what a table is about stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def fitted(
    rows: Sequence[Mapping[str, str]], room: int, spare: Sequence[str], shorter: Mapping[str, tuple[int, int]], gap: int = 2
) -> dict[str, int]:
    """The columns to show, each with its width.

    Args:
        rows: one at least, all with the same columns.
        room: characters of a line.
        spare: columns that may go, the first of them first.
        shorter: columns that may be cut, the first of them first: to how much rather than that another column goes, and to how much at all.
        gap: blanks between two columns.
    """
    wide = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    for name in spare:
        if sum(min(width, *shorter.get(name, (width,))[:1]) for name, width in wide.items()) + gap * (len(wide) - 1) <= room:
            break
        wide.pop(name, None)
    for name, (_, least) in shorter.items():
        over = sum(wide.values()) + gap * (len(wide) - 1) - room
        if over > 0 and name in wide:
            wide[name] = max(min(wide[name], least), wide[name] - over)
    return wide


def cut(text: str, width: int, tail: int = 0) -> str:
    """The text, with … where it is longer than the width; its last `tail` characters stay."""
    if len(text) <= width:
        return text
    keep = min(tail, width - 1)
    return text[: width - 1 - keep] + "…" + (text[-keep:] if keep else "")
