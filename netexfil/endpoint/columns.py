"""JSON lines by columns, through the core: lines of kinds met often are taken apart there, and each different value is converted once.

What a kind of record is and where its fields stand comes from the same specs as in `program`, with the same converters, so that both
ways give the same events (a test holds it). Kinds whose specs need more than that are left to `program`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from netexfil import tables
from netexfil.endpoint.convert import CONVERT, host
from netexfil.endpoint.dialect import Shape, dig, split
from netexfil.endpoint.program import DEFAULT, SIDE, Program, Writer, alternative_of, fields_of

if TYPE_CHECKING:
    import duckdb

    from netexfil._core import Rows, Telemetry

KEPT = 32 << 20  # bytes of values that wait in the core
TRIES = 4  # lines of a kind that are shown to the core until it takes one
# Converters whose usual form the core knows; what is of another form still comes to the converter.
_OWN: Mapping[str, str] = {"c_text": "text", "c_spaced": "text", "c_time": "time", "c_guid": "guid", "c_id": "id", "c_ip": "ip",
                             "c_port": "port", "c_pid": "pid"}
_TYPES: Mapping[str, str] = {**tables.EVENT, "src_p": "INTEGER", "dst_p": "INTEGER", "src_bytes": "BIGINT", "dst_bytes": "BIGINT"}
# Fields that become others in ways that columns do not go.
_ROWS_ONLY = frozenset((*SIDE, "folder", "born", "parent_born"))


class Unfit(Exception):
    """A kind of record that is not read by columns."""


@dataclass(frozen=True, slots=True)
class _Output:
    """A source's values converted: the name in SQL, the number of the source, the type and the converter."""

    name: str
    source: int
    kind: str
    convert: Callable[[Any], Any]
    words: bool  # the core hands out the different values, else only those of an odd form


@dataclass(slots=True)
class Plan:
    """How the lines of one kind become rows of `event`. In its SQL, outputs and literals stand in braces."""

    dialect: str
    constants: Mapping[str, Any]
    sources: dict[tuple[tuple[str, ...], str], int] = field(default_factory=dict)  # (path, what the core does) -> number
    outputs: list[_Output] = field(default_factory=list)
    literals: dict[str, tuple[str, Any]] = field(default_factory=dict)  # name -> type, value
    whole: list[list[str]] = field(default_factory=list)  # paths that must hold whole numbers
    picked: dict[str, str] = field(default_factory=dict)  # column of `event` -> SQL
    began: list[str] = field(default_factory=list)  # outputs and literals that say who began
    inbound: str = "false"
    turned: str = "false"

    @property
    def kind(self) -> str:
        return str(self.constants.get("kind", "other"))


class Columns:
    """The core's table of lines, and the plan of each kind that it takes."""

    def __init__(self, core: Telemetry) -> None:
        self._core = core
        self.plans: list[Plan] = []
        self.waiting = 0

    def learn(self, raw: bytes, record: Mapping[str, Any], shapes: Sequence[Shape], program: Program) -> None:
        """Have lines like this one taken; the record is of the last of the shapes, and of none before it."""
        program.shown += 1
        shape = shapes[-1]
        tested = [path for each in shapes for path in (*each.has, *each.absent, *(path for some in each.any for path in some))]
        try:
            plan = _Maker(shape, record).plan(program)
            there = [keys for keys in map(split, tested) if _leads(record, keys)]
            keys = list(_told_by(shape, record))
        except Unfit:
            program.shown = TRIES
            return
        if self._core.learn(raw, there, keys, plan.whole, [(list(path), how) for path, how in plan.sources]) is not None:
            self.plans.append(plan)

    def feed(self, block: bytes, at: int, line: int, eid: int) -> tuple[int, int]:
        """Take lines from byte `at` on, up to the first that is not known: where that one begins, and how many were taken."""
        at, taken = self._core.feed(block, at, line, eid)
        self.waiting += taken
        return at, taken

    def flush(self, con: duckdb.DuckDBPyConnection, file: str, least: int) -> Iterator[tuple[Plan, int]]:
        """Append the rows of every kind of which `least` wait, or of all where their values have grown large; tells how many of which."""
        least = 1 if self._core.kept() > KEPT else least
        for number, count in enumerate(self._core.waiting() if self.waiting else ()):
            if count >= least:
                _append(con, self.plans[number], self._core.take(number), file)
                self.waiting -= count
                yield self.plans[number], count


def _append(con: duckdb.DuckDBPyConnection, plan: Plan, rows: Rows, file: str) -> None:
    left = [orjson.loads(values) for values in rows.left()]
    outputs: list[tuple[str, int, str, list[Any]]] = []
    known = {name: (tables.EVENT[name], value) for name, value in {**plan.constants, "file": file}.items() if name in tables.EVENT}
    picked = {name: f"{{{name}}}" for name in known} | plan.picked | {"line": "line", "eid": "eid"}
    known |= plan.literals
    inbound = any(known[name][1] is False for name in plan.began if name in known)
    code = {}
    for output in plan.outputs:
        convert = output.convert
        values = [None if x is None or x == "-" else convert(x) for x in left[output.source]]
        inbound = inbound or (output.name in plan.began and False in values)
        if output.words and values.count(values[0]) == len(values):  # one value throughout (a host, a user): no column needed
            known[output.name] = (output.kind, values[0])
        else:
            outputs.append((output.name, output.source, output.kind, values))
            code[output.name] = output.name
    code |= {name: f"CAST(${name} AS {kind})" for name, (kind, _) in known.items()}
    code["inbound"] = plan.inbound.format_map(code) if inbound else "false"
    code["turned"] = plan.turned.format_map(code) if inbound else "false"
    chosen = ", ".join(sql.format_map(code) for sql in picked.values())
    used = {name: value for name, (_, value) in known.items() if f"CAST(${name} " in chosen}
    con.register("incoming_events", rows.stream(outputs))
    columns = ", ".join(f'"{name}"' for name in picked)
    con.execute(f"INSERT INTO event ({columns}) SELECT {chosen} FROM incoming_events", used)
    con.unregister("incoming_events")


def _leads(record: Mapping[str, Any], keys: Sequence[str]) -> bool:
    """Whether a path leads to a plain value or list; False where it leads nowhere, or to an object.

    Raises:
        Unfit: it leads through a value, which may be text that holds a record.
    """
    for key in keys[:-1]:
        if key not in record:
            return False
        record = record[key]
        if record.__class__ is not dict:
            raise Unfit
    return keys[-1] in record and record[keys[-1]].__class__ is not dict


def _told_by(shape: Shape, record: Mapping[str, Any]) -> Iterator[list[str]]:
    """The paths of the values by which the kind of this record was told."""
    for spec in shape.key:
        for keys in (split(part.strip()) for part in spec.split("|")):
            if _leads(record, keys):
                yield keys
            value = dig(record, keys)
            if value.__class__ is dict:
                raise Unfit
            if value:
                break


# What helper fields become, as SQL over the fields (compare _FINISH in `program`); `turned`: the host answered, so that the destination is its own.
_FINISH: Mapping[str, Mapping[str, str]] = {
    "src_ip": {
        "local_ip": "nullif(nullif(CASE WHEN {turned} THEN {dst_ip} ELSE {src_ip} END, '0.0.0.0'), '::')",
        "local_p": "CASE WHEN {turned} THEN {dst_p} ELSE {src_p} END",
        "remote_ip": "CASE WHEN {turned} THEN {src_ip} ELSE {dst_ip} END",
        "remote_p": "CASE WHEN {turned} THEN {src_p} ELSE {dst_p} END",
    },
    "dst_host": {"remote_host": "CASE WHEN {inbound} THEN {src_host} ELSE {dst_host} END"},
    "src_bytes": {
        "bytes_out": "CASE WHEN {inbound} THEN {dst_bytes} ELSE {src_bytes} END",
        "bytes_in": "CASE WHEN {inbound} THEN {src_bytes} ELSE {dst_bytes} END",
    },
    "user_domain": {
        "user": """CASE WHEN contains({user}, '\\') OR contains({user}, '@') OR {user_domain} IS NULL THEN {user}
            ELSE {user_domain} || '\\' || {user} END""",
    },
    "hash_sha256": {"hashes": "nullif(concat_ws(',', {hash_md5}, {hash_sha1}, {hash_sha256}), '')"},
}


class _Fields(dict[str, str]):
    """SQL of each field: the first of its parts that holds something."""

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}" if name in ("turned", "inbound") else f"CAST(NULL AS {_TYPES.get(name, 'VARCHAR')})"


class _Maker:
    """Makes the plan of one kind of record, from a record of its layout."""

    def __init__(self, shape: Shape, record: Mapping[str, Any]) -> None:
        self._shape, self._record = shape, record
        self._writer = Writer(shape, None)

    def plan(self, program: Program) -> Plan:
        """The plan that gives what the program gives.

        Raises:
            Unfit: a field needs more than columns give.
        """
        self._made = made = Plan(program.dialect, program.constants)
        merged, _ = fields_of(self._shape, program.specs)
        parts = {name: found for name, spec in merged.items() if (found := self._parts(name, spec))}
        if program.spread or _ROWS_ONLY & parts.keys():
            raise Unfit
        fields = _Fields({name: _first(list(found)) for name, found in parts.items()})
        made.picked = {name: sql for name, sql in fields.items() if name in tables.EVENT}
        for helper in _FINISH.keys() & merged.keys():
            made.picked |= {name: sql.format_map(fields) for name, sql in _FINISH[helper].items()}
        made.began = list(parts.get("initiated", ()))
        made.inbound = f"({fields['initiated']} IS NOT DISTINCT FROM false)"
        own = f"{fields['proto']} IS NOT DISTINCT FROM 'udp'" if program.constants.get("event_id") == "3" else "false"
        made.turned = f"({{inbound}} AND NOT ({own}))".replace("{inbound}", made.inbound)
        if "ts" in parts and "ts_field" not in parts:
            made.picked["ts_field"] = _case(parts["ts"], lambda path: "'" + path.lstrip("^").replace("`", "") + "'")
        if "host_raw" in parts:
            made.picked["host"] = _case(parts["host_raw"], lambda path: f"{{{self._output('host', path, 'c_host')}}}")
        return made

    def _parts(self, name: str, spec: str) -> dict[str, str]:
        """The outputs and literals that may give a field, in order, each with its path."""
        found: dict[str, str] = {}
        convert = ""
        for alternative in (part.strip() for part in spec.split("|")):
            if alternative.startswith("="):
                literal = f"v{len(self._made.literals)}"
                self._made.literals[literal] = (_TYPES.get(name, "VARCHAR"), CONVERT[DEFAULT.get(name, "text")](alternative[1:]))
                found[literal] = ""
                continue
            asked, place, label = alternative_of(name, alternative)
            path = self._path(place)
            if not path:
                continue
            if label:
                self._no_need(found, convert)
                break
            convert = self._writer.converter(asked)
            found[self._output(name, place, convert)] = place
        return found

    def _no_need(self, found: Mapping[str, str], convert: str) -> None:
        """A value that is looked for in a message's text where there is no other: have only lines taken that have the other."""
        if convert != "c_pid" or not found:
            raise Unfit
        self._made.whole.append(list(self._path(next(iter(found.values())))))

    def _path(self, place: str) -> tuple[str, ...]:
        """The names that lead to a place in the whole record; none where the record has no such place."""
        keys = split(place.lstrip("^"))
        if not place.startswith("^"):
            keys = [key[:1].lower() + key[1:] for key in keys] if self._shape.camel else keys
            keys = [*filter(None, self._shape.data.split(".")), *keys]
        if dig(self._record, keys).__class__ is dict:
            raise Unfit
        return tuple(keys) if _leads(self._record, keys) else ()

    def _output(self, name: str, place: str, convert: str) -> str:
        made = self._made
        how = "words" if name == "host_raw" else _OWN.get(convert, "words")
        source = made.sources.setdefault((self._path(place), how), len(made.sources))
        output = _Output(f"o{len(made.outputs)}", source, _TYPES.get(name, "VARCHAR"), self._writer.scope.get(convert, host), how == "words")
        made.outputs.append(output)
        return output.name


def _first(parts: Sequence[str]) -> str:
    return f"{{{parts[0]}}}" if len(parts) == 1 else "coalesce(" + ", ".join(f"{{{part}}}" for part in parts) + ")"


def _case(parts: Mapping[str, str], then: Callable[[str], str]) -> str:
    return "CASE " + " ".join(f"WHEN {{{part}}} IS NOT NULL THEN {then(path)}" for part, path in parts.items()) + " END"
