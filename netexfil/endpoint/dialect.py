"""A dialect is a TOML file that says how to know a record and where each of our fields stands; how to know it
is compiled here, where its fields stand in `program`.

A field's place is a *spec*: alternatives separated by `|`, the first that holds something wins. An alternative is `path`,
`converter:path`, `=constant`, `map.NAME:path` (a value table of the file) or `path@@Label` (what follows `Label:` in a message).
A path is keys separated by dots (a key that has dots itself stands in backticks), looked up in the record's data part; `^path`
looks in the whole record. Text that holds JSON or event XML is opened on the way. The specs of one kind of record are turned
into one Python function, so that no TOML is looked at while lines are read.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, cast

from netexfil.endpoint.nested import sub
from netexfil.endpoint.plain import text

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """One dialect: how to know it, where its parts are, and the specs for each kind of its records."""

    name: str
    about: str
    tested: bool
    order: int
    has: Sequence[str]
    any: Sequence[Sequence[str]]
    absent: Sequence[str]
    data: str
    camel: bool
    unslash: bool
    key: Sequence[str]
    families: Mapping[str, str]
    fields: Mapping[str, str]
    events: Mapping[str, Mapping[str, str]]
    maps: Mapping[str, Mapping[str, Any]]

    @property
    def spread(self) -> bool:
        """Whether one record may give several events."""
        return any("spread" in specs for specs in self.events.values())


@cache
def shapes() -> tuple[Shape, ...]:
    """Every dialect of the package, in the order in which they are tried."""
    folder = resources.files("netexfil.endpoint") / "dialects"
    documents = {entry.name[:-5]: tomllib.loads(entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".toml")}
    found = [_shape(name, document, documents) for name, document in documents.items() if "know" in document]
    return tuple(sorted(found, key=lambda shape: (shape.order, shape.name)))


def _shape(name: str, document: Mapping[str, Any], documents: Mapping[str, Any]) -> Shape:
    content = documents.get(document.get("content", ""), {})
    know = document["know"]
    written = {**document.get("event", {}), **{key: specs for key, specs in content.get("event", {}).items() if key not in document.get("event", {})}}
    events = {key: _inherit(key, written) for key in written}
    return Shape(
        name=name, about=document["about"], tested=document.get("tested", False), order=document.get("order", 50),
        has=know.get("has", ()), any=[know[name] for name in ("any", "also") if name in know], absent=know.get("absent", ()),
        data=document.get("data", ""), camel=document.get("camel", False), unslash=document.get("unslash", False), key=document.get("key", ()),
        families=content.get("family", {}) | document.get("family", {}),
        fields=content.get("fields", {}) | document.get("fields", {}), events=events, maps=content.get("map", {}) | document.get("map", {}),
    )


def _inherit(key: str, events: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    own = events[key]
    base = _inherit(own["like"], events) if "like" in own else {}
    return {**base, **{name: spec for name, spec in own.items() if name != "like"}}


def split(path: str) -> list[str]:
    """The keys of a path; backticks keep a key with dots together."""
    return [quoted or plain for quoted, plain in re.findall(r"`([^`]+)`|([^.`]+)", path)]


def dig(record: Any, keys: Sequence[str]) -> Any:
    """The value at a path, or None."""
    for key in keys[:-1]:
        record = sub(record, key)
    return record.get(keys[-1]) if record.__class__ is dict else None


def knows(shape: Shape, names: frozenset[str]) -> Callable[[Record], bool] | None:
    """The test whether a record with these top-level names is of this dialect, as one compiled expression; None where it cannot be."""
    has, absent = [split(path) for path in shape.has], [split(path) for path in shape.absent]
    some = [[split(path) for path in group] for group in shape.any]
    if any(keys[0] not in names for keys in has) or any(not any(keys[0] in names for keys in group) for group in some):
        return None
    tests = [f"{_place(keys)} is not None" for keys in has]
    tests += ["(" + " or ".join(f"{_place(keys)} is not None" for keys in group if keys[0] in names) + ")" for group in some]
    tests += [f"{_place(keys)} is None" for keys in absent if keys[0] in names]
    scope = {"sub": sub}
    source = "lambda r: " + (" and ".join(tests) or "True")
    return cast("Callable[[Record], bool]", eval(compile(source, f"<dialect {shape.name}>", "eval"), scope))


def _place(keys: Sequence[str]) -> str:
    """Code for the value at a path of the record `r`."""
    code = "r"
    for key in keys[:-1]:
        code = f"sub({code}, {key!r})"
    return f"{code}.get({keys[-1]!r})"


def key_of(shape: Shape) -> Callable[[Record], tuple[Any, ...]]:
    """The raw values that tell the kinds of a dialect's records apart, the first that holds something of each spec."""
    specs = [" or ".join(_place(split(part.strip())) for part in spec.split("|")) for spec in shape.key]
    source = f"lambda r: ({', '.join([repr(shape.name), *specs])},)"
    return cast("Callable[[Record], tuple[Any, ...]]", eval(compile(source, f"<dialect {shape.name}>", "eval"), {"sub": sub}))


_OTHER: Mapping[str, str] = {"kind": "=other"}


def section(shape: Shape, parts: Sequence[Any]) -> Mapping[str, str]:
    """The specs for a record with this key; an unknown kind of record is an event of kind `other`."""
    words = [text(part) or "" for part in parts]
    if shape.families and words:  # the first of the words before the event's number that names a family
        found = (family for word in words[:-1] for family, pattern in shape.families.items() if re.search(pattern, word, re.I))
        words = [next(found, "other"), words[-1]]
    key = "/".join(words)
    if key in shape.events:
        return shape.events[key]
    return next((specs for pattern, specs in shape.events.items() if fnmatch.fnmatchcase(key.lower(), pattern.lower())), _OTHER)
