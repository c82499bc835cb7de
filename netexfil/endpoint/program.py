"""The specs of one kind of record of a dialect, compiled into one Python function that gives a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netexfil.endpoint.convert import CONVERT, canonical
from netexfil.endpoint.dialect import Record, Shape, split
from netexfil.endpoint.nested import sub
from netexfil.endpoint.plain import text

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
    special: bool = False  # made for one layout
    shown: int = 0  # how often lines of it were shown to the core
    rows: list[tuple[Any, ...]] = field(default_factory=list)


def _after(search: Callable[[str], re.Match[str] | None], message: Any) -> str | None:
    found = search(message) if message.__class__ is str else None
    return found[1] if found else None


# The form that nearly all values of a converter have, without a call; everything else is the converter's.
_INLINE: Mapping[str, str] = {
    "c_pid": "int(x) if x.__class__ is str and len(x) < 19 and x.isdecimal() else {code}(x)",
    "c_flag": 'True if x == "true" else {code}(x)',
    "c_proto": '"tcp" if x == "tcp" else {code}(x)',
    "c_ip": "canonical(x) if x.__class__ is str else {code}(x)",
}


def alternative_of(name: str, alternative: str) -> tuple[str, str, str]:
    """The converter, the path and (mostly empty) the label of one alternative of a spec."""
    head, colon, path = alternative.partition(":")
    named = bool(colon) and (head in CONVERT or head.startswith("map."))
    convert, place = (head, path) if named else (DEFAULT.get(name, "text"), alternative)
    place, _, label = place.partition("@@")
    return convert, place, label


def fields_of(shape: Shape, specs: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The specs of all fields of one kind of record, and apart from them those fields that are the same for all."""
    merged = {name: spec for name, spec in {**shape.fields, **specs}.items() if spec}
    fixed = [name for name, spec in merged.items() if spec.startswith("=") and "|" not in spec and name not in ("initiated", "proto")]
    return merged, {name: merged.pop(name)[1:] for name in fixed}


class Writer:
    """Collects the lines of one extractor; a sub-record that several paths pass through is fetched once."""

    def __init__(self, shape: Shape, names: frozenset[str] | None) -> None:
        self.shape, self.names = shape, names
        self.lines: list[str] = []
        self.scope: dict[str, Any] = {"sub": sub, "canonical": canonical}
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
        top = root == ("^",) or (not root and not self.shape.data)
        return f"{self.roots[root]}[{keys[-1]!r}]" if top and self.names is not None else f"{self.roots[root]}.get({keys[-1]!r})"

    def possible(self, alternative: str) -> bool:
        """Whether a record of the layout at hand can hold this alternative."""
        if self.names is None or alternative.startswith("="):
            return True
        place = alternative_of("", alternative)[1]
        first = split(place.lstrip("^"))[0]
        return first in self.names if place.startswith("^") or not self.shape.data else True

    def _top(self) -> int:
        return sum(1 for line in self.lines if re.match(r"    s\d+ = sub\(", line))

    def converter(self, name: str) -> str:
        if self.shape.unslash and name in ("text", "spaced"):
            name = "unslashed"
        if name == "spaced":
            name = "text" if not self.shape.data and self.shape.families else name  # Windows' command lines are never lists
        safe = "c_" + name.replace(".", "_")
        if name.startswith("map."):
            table = {key.lower(): value for key, value in self.shape.maps[name[4:]].items()}
            self.scope[safe] = lambda value: table.get((text(value) or "").lower(), table.get("*"))
        else:
            self.scope[safe] = CONVERT[name]
        return safe

    def field(self, name: str, spec: str) -> bool:
        """The code of one field; False where no alternative is possible."""
        alternatives = [part.strip() for part in spec.split("|") if self.possible(part.strip())]
        for number, alternative in enumerate(alternatives):
            code, place = self._alternative(name, alternative)
            indent = "    "
            if number:
                self.lines.append(f"    if v_{name} is None:")
                indent = "        "
            if place and code == "c_text":  # most values are text of some length: no call for those
                self.lines.append(f"{indent}v_{name} = x = {place}")
                self.lines.append(f"{indent}if x.__class__ is not str or len(x) < 8: v_{name} = None if x is None or x == '-' else c_text(x)")
            elif place:
                call = _INLINE.get(code, "{code}(x)").format(code=code)
                self.lines += [f"{indent}x = {place}", f'{indent}v_{name} = None if x is None or x == "-" else {call}']
            else:
                self.lines.append(f"{indent}v_{name} = {code}")
            if name == "ts":
                field = alternative.split(":")[-1].lstrip("^").replace("`", "")
                self.lines.append(f"{indent}v_ts_field = {field!r}")
        if name == "ts" and alternatives:
            self.lines.append("    if v_ts is None: v_ts_field = None")
        return bool(alternatives)

    def _alternative(self, name: str, alternative: str) -> tuple[str, str]:
        """The converter and the code of the place; or a constant and no place."""
        if alternative.startswith("="):
            return repr(CONVERT[DEFAULT.get(name, "text")](alternative[1:])), ""
        convert, place, label = alternative_of(name, alternative)
        return self.converter(convert), self.labelled(self.fetch(place), label)


# What helper fields become, when the named ones are given: code over the locals `v_…`. The source of a connection began it; only in
# Sysmon's event 3 of UDP it is the host itself, whoever began.
_FINISH: Sequence[tuple[tuple[str, ...], tuple[str, ...], str]] = (
    (("src_ip",), ("local_ip", "local_p", "remote_ip", "remote_p"), """
    if v_initiated is False and not (v_proto == "udp" and v_event_id == "3"):
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
        if v_folder.lower().endswith(v_image.lower()):
            v_image = v_folder
        else:
            v_image = v_folder.rstrip("\\\\/") + ("/" if "/" in v_folder else "\\\\") + v_image"""),
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


def compile_program(shape: Shape, specs: Mapping[str, str], event_id: str | None, names: frozenset[str] | None = None) -> Program:
    """Turn the specs of one kind of record into a Program; with the top-level names of a layout, one for that layout only."""
    merged, fixed = fields_of(shape, specs)
    constants: dict[str, Any] = {name: value for name, value in {"dialect": shape.name, "event_id": event_id, **fixed}.items() if name not in merged}
    writer = Writer(shape, names)
    writer.converter("host")
    writer.lines.append(f"    v_event_id = {event_id!r}")
    given = {name for name, spec in merged.items() if writer.field(name, spec)}
    columns = dict.fromkeys(name for name in merged if name in given and name not in HELPERS)
    if "ts" in given:
        columns["ts_field"] = None
    for helpers, made, code in _FINISH:
        if all(name in merged for name in helpers):
            needed = (*helpers, *_NEEDS.get(helpers[0], ()))
            writer.lines.extend(f"    v_{name} = None" for name in needed if name not in given)
            writer.lines.extend(code.strip("\n").split("\n"))
            columns.update(dict.fromkeys(made))
    listed = ("line", "eid", *columns)
    returned = ", ".join(["line", "eid", *(f"v_{name}" for name in columns)])
    source = "def extract(r, d, line, eid):\n" + "\n".join(writer.lines) + f"\n    return ({returned})\n"
    exec(compile(source, f"<dialect {shape.name}>", "exec"), writer.scope)  # the source is made from the package's own TOML
    spread = constants.pop("spread", None)
    return Program(shape.name, constants.get("kind", "other"), listed, constants, writer.scope["extract"], source, specs, spread, names is not None)
