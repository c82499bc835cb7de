"""A dialect is a TOML file that says how to know a record and where each of our fields stands; here it becomes compiled functions.

A field's place is a *spec*: alternatives separated by `|`, the first that holds something wins. An alternative is `path`,
`converter:path`, `=constant`, `map.NAME:path` (a value table of the file) or `path@@Label` (what follows `Label:` in a message). A path is keys separated by dots (a key that has
dots itself stands in backticks), looked up in the record's data part; `^path` looks in the whole record. Text that holds JSON or
event XML is opened on the way. The specs of one kind of record are turned into one Python function, so that no TOML is looked at
while lines are read.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from netexfil.endpoint.convert import CONVERT, text
from netexfil.endpoint.nested import EMPTY, sub

Record = Mapping[str, Any]

# The converter of a field where its spec names none.
DEFAULT: Mapping[str, str] = {
    "ts": "time", "ts_rec": "time", "host_ips": "ips", "pid": "pid", "parent_pid": "pid", "guid": "guid", "parent_guid": "guid",
    "hashes": "hashes", "hash_sha256": "sha256", "hash_sha1": "sha1", "hash_md5": "md5", "local_ip": "local_ip", "remote_ip": "ip",
    "src_ip": "ip", "dst_ip": "ip", "local_p": "port", "remote_p": "port", "src_p": "port", "dst_p": "port", "remote_host": "name",
    "src_host": "name", "dst_host": "name", "proto": "proto", "initiated": "flag", "bytes_out": "whole", "bytes_in": "whole",
    "src_bytes": "whole", "dst_bytes": "whole", "answers": "answers", "severity": "level", "technique": "technique", "raw_id": "id",
    "part": "whole", "parts": "whole", "command_line": "spaced", "parent_command_line": "spaced",
}

# Helper fields: what they become is said in _FINISH.
HELPERS = ("src_ip", "src_p", "dst_ip", "dst_p", "src_host", "dst_host", "src_bytes", "dst_bytes", "user_domain", "folder",
           "hash_sha256", "hash_sha1", "hash_md5", "born", "parent_born")

# Columns that an extractor may give beside those of tables.EVENT: the parts of a script that was logged in pieces.
SIDE = ("script", "part", "parts")


@dataclass(frozen=True, slots=True)
class Shape:
    """One dialect: how to know it, where its parts are, and the specs for each kind of its records."""

    name: str
    about: str
    tested: bool
    order: int
    has: Sequence[str]
    any: Sequence[str]
    absent: Sequence[str]
    match: Mapping[str, str]
    data: str
    camel: bool
    unslash: bool
    key: Sequence[str]
    families: Mapping[str, str]
    fields: Mapping[str, str]
    events: Mapping[str, Mapping[str, str]]
    maps: Mapping[str, Mapping[str, Any]]


@dataclass(slots=True)
class Program:
    """The extractor for one kind of record of one dialect: `extract(record, data, line, eid)` gives a row of `columns`."""

    dialect: str
    kind: str
    columns: tuple[str, ...]
    constants: Mapping[str, Any]
    extract: Callable[[Record, Record, int, int], tuple[Any, ...]]
    source: str
    specs: Mapping[str, str]
    spread: str | None = None
    rows: list[tuple[Any, ...]] = field(default_factory=list)


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
        has=know.get("has", ()), any=know.get("any", ()), absent=know.get("absent", ()), match=know.get("match", {}),
        data=document.get("data", ""), camel=document.get("camel", False), key=document.get("key", ()), families=content.get("family", {}) | document.get("family", {}), unslash=document.get("unslash", False),
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


def knows(shape: Shape) -> Callable[[Record], bool]:
    """The test whether a record is of this dialect."""
    has = [split(path) for path in shape.has]
    some = [split(path) for path in shape.any]
    absent = [split(path) for path in shape.absent]
    match = [([split(path.strip()) for path in spec.split("|")], re.compile(pattern)) for spec, pattern in shape.match.items()]

    def test(record: Record) -> bool:
        return (
            all(dig(record, keys) is not None for keys in has)
            and (not some or any(dig(record, keys) is not None for keys in some))
            and not any(dig(record, keys) is not None for keys in absent)
            and all(any(pattern.search(text(dig(record, keys)) or "") for keys in paths) for paths, pattern in match)
        )

    return test


def section(shape: Shape, parts: Sequence[Any]) -> Mapping[str, str]:
    """The specs for a record with this key; an unknown kind of record is an event of kind `other`."""
    words = [text(part) or "" for part in parts]
    if shape.families and words:
        words[0] = next((family for family, pattern in shape.families.items() if re.search(pattern, words[0], re.I)), "other")
    key = "/".join(words)
    if key in shape.events:
        return shape.events[key]
    found = next((specs for pattern, specs in shape.events.items() if fnmatch.fnmatchcase(key.lower(), pattern.lower())), None)
    return found if found is not None else {"kind": "=other"}


def _after(search: Callable[[str], re.Match[str] | None], message: Any) -> str | None:
    found = search(message) if message.__class__ is str else None
    return found[1] if found else None


class _Writer:
    """Collects the lines of one extractor; a sub-record that several paths pass through is fetched once."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.lines: list[str] = []
        self.scope: dict[str, Any] = {"sub": sub, "EMPTY": EMPTY}
        self.roots: dict[tuple[str, ...], str] = {("^",): "r", (): "d"}

    def labelled(self, fetched: str, label: str) -> str:
        """`path@@Label`: the value after `Label:` in a message."""
        if not label:
            return fetched
        name = f"m{len(self.scope)}"
        self.scope[name] = re.compile(rf"^[ \t]*{re.escape(label)}:[ \t]*([^\r\n]*)", re.M | re.I).search
        self.scope["after"] = _after
        return f"after({name}, {fetched})"

    def fetch(self, path: str) -> str:
        root: tuple[str, ...] = ("^",) if path.startswith("^") else ()
        keys = split(path.lstrip("^"))
        if self.shape.camel and not root:
            keys = [key[:1].lower() + key[1:] for key in keys]
        for key in keys[:-1]:
            longer = (*root, key)
            if longer not in self.roots:
                name = f"s{len(self.roots)}"
                self.lines.insert(self._top(), f"    {name} = sub({self.roots[root]}, {key!r})")
                self.roots[longer] = name
            root = longer
        return f"{self.roots[root]}.get({keys[-1]!r})"

    def _top(self) -> int:
        return sum(1 for line in self.lines if re.match(r"    s\d+ = sub\(", line))

    def converter(self, name: str) -> str:
        safe = "c_" + name.replace(".", "_")
        if name.startswith("map."):
            table = {key.lower(): value for key, value in self.shape.maps[name[4:]].items()}
            self.scope[safe] = lambda value: table.get((text(value) or "").lower(), table.get("*"))
        else:
            self.scope[safe] = CONVERT["unslashed" if self.shape.unslash and name in ("text", "spaced") else name]
        return safe

    def field(self, name: str, spec: str) -> None:
        indent = "    "
        for n, alternative in enumerate(part.strip() for part in spec.split("|")):
            if alternative.startswith("="):
                value = repr(CONVERT[DEFAULT.get(name, "text")](alternative[1:]))
            else:
                head, colon, path = alternative.partition(":")
                named = head in CONVERT or head.startswith("map.")
                convert, place = (head, path) if colon and named else (DEFAULT.get(name, "text"), alternative)
                place, _, label = place.partition("@@")
                value = f"{self.converter(convert)}({self.labelled(self.fetch(place), label)})"
            if n:
                self.lines.append(f"{indent}if v_{name} is None:")
                indent += "    "
            self.lines.append(f"{indent}v_{name} = {value}")
            if name == "ts":
                self.lines.append(f"{indent}v_ts_field = {alternative.split(':')[-1].lstrip('^').strip('`')!r}")


# What helper fields become, when the named ones are given: code over the locals `v_…`.
_FINISH: Sequence[tuple[tuple[str, ...], tuple[str, ...], str]] = (
    (("src_ip",), ("local_ip", "local_p", "remote_ip", "remote_p"), """
    if v_initiated is False and v_proto != "udp":
        v_local_ip, v_local_p, v_remote_ip, v_remote_p = v_dst_ip, v_dst_p, v_src_ip, v_src_p
    else:
        v_local_ip, v_local_p, v_remote_ip, v_remote_p = v_src_ip, v_src_p, v_dst_ip, v_dst_p
    if v_local_ip == "0.0.0.0" or v_local_ip == "::":
        v_local_ip = None"""),
    (("dst_host",), ("remote_host",), "    v_remote_host = v_src_host if v_initiated is False else v_dst_host"),
    (("src_bytes",), ("bytes_out", "bytes_in"), """
    v_bytes_out, v_bytes_in = (v_dst_bytes, v_src_bytes) if v_initiated is False else (v_src_bytes, v_dst_bytes)"""),
    (("user_domain",), (), """
    if v_user is not None and v_user_domain is not None and "\\\\" not in v_user and "@" not in v_user:
        v_user = v_user_domain + "\\\\" + v_user"""),
    (("folder",), (), """
    if v_image is not None and v_folder is not None and "\\\\" not in v_image and "/" not in v_image:
        v_image = v_folder if v_folder.lower().endswith(v_image.lower()) else v_folder.rstrip("\\\\/") + ("/" if "/" in v_folder else "\\\\") + v_image"""),
    (("hash_sha256",), ("hashes",), """
    v_hashes = ",".join(h for h in (v_hash_md5, v_hash_sha1, v_hash_sha256) if h) or None"""),
    (("born", "pid"), ("guid",), """
    v_guid = f"{v_pid}@{v_born}" if v_pid and v_born is not None else None"""),
    (("parent_born", "parent_pid"), ("parent_guid",), """
    v_parent_guid = f"{v_parent_pid}@{v_parent_born}" if v_parent_pid and v_parent_born is not None else None"""),
    (("host_raw",), ("host",), "    v_host = c_host(v_host_raw)"),
)
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "src_ip": ("src_p", "dst_ip", "dst_p", "initiated", "proto"), "dst_host": ("src_host", "initiated"),
    "src_bytes": ("dst_bytes", "initiated"), "user_domain": ("user",), "folder": ("image",), "hash_sha256": ("hash_sha1", "hash_md5"),
}


def compile_program(shape: Shape, specs: Mapping[str, str], event_id: str | None) -> Program:
    """Turn the specs of one kind of record into a Program."""
    merged = {name: spec for name, spec in {**shape.fields, **specs}.items() if spec}
    constants: dict[str, Any] = {"dialect": shape.name, "event_id": event_id}
    for name in [name for name, spec in merged.items() if spec.startswith("=") and "|" not in spec]:
        if name not in ("initiated", "proto"):
            constants[name] = merged.pop(name)[1:]
    writer = _Writer(shape)
    writer.converter("host")
    for name, spec in merged.items():
        writer.field(name, spec)
    columns = dict.fromkeys(name for name in merged if name not in HELPERS)
    if "ts" in merged:
        columns["ts_field"] = None
    for given, made, code in _FINISH:
        if all(name in merged for name in given):
            writer.lines.extend(f"    v_{name} = None" for name in _NEEDS.get(given[0], ()) if name not in merged)
            writer.lines.extend(code.strip("\n").split("\n"))
            columns.update(dict.fromkeys(made))
    names = ("line", "eid", *columns)
    returned = ", ".join(["line", "eid", *(f"v_{name}" for name in columns)])
    source = "def extract(r, d, line, eid):\n" + "\n".join(writer.lines) + f"\n    return ({returned})\n"
    exec(compile(source, f"<dialect {shape.name}>", "exec"), writer.scope)  # the source is made from the package's own TOML
    spread = constants.pop("spread", None)
    return Program(shape.name, constants.get("kind", "other"), names, constants, writer.scope["extract"], source, specs, spread)
