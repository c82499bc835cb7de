"""The user's Sigma rules (extra `sigma`): parsed by pySigma, asked as SQL over table `event`.

A rule that names a field or modifier that our events cannot answer is left out with a note; it is never taken as matching or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netexfil.endpoint.rules.own import SEVERITIES, quoted
from netexfil.errors import NetexfilError, Note

if TYPE_CHECKING:
    import duckdb

# Sigma log source category -> the kinds of events it reads, and what its fields are called there.
CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "process_creation": ("process_start",), "process_termination": ("process_end",), "network_connection": ("net_conn",),
    "dns_query": ("dns",), "dns": ("dns",), "file_event": ("file_create",), "ps_script": ("script", "script_part"),
    "ps_module": ("script",),
}

FIELDS: Mapping[str, str] = {
    "image": "image", "commandline": "command_line", "originalfilename": "original_file_name", "parentimage": "parent_image",
    "parentcommandline": "parent_command_line", "user": "\"user\"", "processid": "pid", "processguid": "guid", "hashes": "hashes",
    "newprocessname": "image", "processcommandline": "command_line", "parentprocessname": "parent_image",
    "targetfilename": "target", "queryname": "target", "query": "target", "queryresults": "answers", "scriptblocktext": "target",
    "payload": "target", "protocol": "proto", "destinationhostname": "remote_host",
    "destinationip": "CASE WHEN initiated IS FALSE THEN local_ip ELSE remote_ip END",
    "destinationport": "CASE WHEN initiated IS FALSE THEN local_p ELSE remote_p END",
    "sourceip": "CASE WHEN initiated IS FALSE THEN remote_ip ELSE local_ip END",
    "sourceport": "CASE WHEN initiated IS FALSE THEN remote_p ELSE local_p END",
    "initiated": "CASE WHEN initiated THEN 'true' WHEN initiated IS FALSE THEN 'false' END",
    "computer": "host_raw", "computername": "host_raw", "eventid": "event_id",
    "md5": "hashes", "sha1": "hashes", "sha256": "hashes", "imphash": "hashes",
}


class Unanswerable(Exception):
    """The rule asks for something our events do not hold."""


def select(con: duckdb.DuckDBPyConnection, directory: str) -> list[Note]:
    """Add one alert per event and rule of a directory; gives what was left out.

    Raises:
        NetexfilError: pySigma is not installed.
    """
    import duckdb

    notes: list[Note] = []
    for path in sorted(Path(directory).rglob("*.y*ml")) if Path(directory).is_dir() else [Path(directory)]:
        for rule in _parsed(path, notes):
            try:
                con.execute(_statement(rule))
            except Unanswerable as reason:
                notes.append(Note(str(path), "sigma", f"rule left out: {reason}"))
            except duckdb.Error as error:  # an expression that DuckDB's engine does not know (look-behind, back references)
                notes.append(Note(str(path), "sigma", f"rule left out: {str(error).partition(chr(10))[0]}"))
    return notes


def _parsed(path: Path, notes: list[Note]) -> list[Any]:
    try:
        from sigma.collection import SigmaCollection
        from sigma.exceptions import SigmaError
        from sigma.rule import SigmaRule
    except ImportError as error:
        raise NetexfilError("Sigma rules need the extra: pip install netexfil[sigma]") from error
    try:
        rules = SigmaCollection.from_yaml(path.read_text("utf-8"), collect_errors=True).rules
    except (SigmaError, OSError, UnicodeDecodeError, ValueError, AttributeError, TypeError) as error:
        notes.append(Note(str(path), "sigma", f"not a Sigma rule: {error}"))
        return []
    except Exception as error:  # YAML's own errors have no common base with pySigma's
        notes.append(Note(str(path), "sigma", f"not YAML: {type(error).__name__}"))
        return []
    good = []
    for rule in rules:
        if not isinstance(rule, SigmaRule):
            notes.append(Note(str(path), "sigma", "rule left out: correlations are not supported"))
        elif rule.errors:
            notes.append(Note(str(path), "sigma", f"rule left out: {rule.errors[0]}"))
        else:
            good.append(rule)
    return good


def _statement(rule: Any) -> str:
    from sigma.exceptions import SigmaError

    kinds = CATEGORIES.get(rule.logsource.category or "")
    if kinds is None and (rule.logsource.product or rule.logsource.service):
        raise Unanswerable(f"log source {rule.logsource.category or rule.logsource.service or rule.logsource.product}")
    try:
        where = " OR ".join(f"({condition(part.parsed)})" for part in rule.detection.parsed_condition)
    except SigmaError as error:
        raise Unanswerable(str(error)) from error
    level = rule.level.name.lower() if rule.level else "medium"
    techniques = ",".join(tag.name.upper() for tag in rule.tags if re.fullmatch(r"t\d{4}(\.\d{3})?", tag.name))
    chosen = f"kind IN ({', '.join(quoted(kind) for kind in kinds)}) AND " if kinds else ""
    severity = "info" if level == "informational" else level if level in SEVERITIES else "medium"
    return (
        f"INSERT INTO alert SELECT e.eid, {quoted('sigma:' + str(rule.id or rule.title))}, {quoted(rule.title)}, "
        f"{quoted(severity)}, 'medium', {quoted(techniques) if techniques else 'NULL'}, "
        f"t.tool, {quoted('selected by the Sigma rule ' + rule.title)} FROM event e LEFT JOIN tool_of t USING (eid) WHERE {chosen}({where})"
    )


def condition(node: Any) -> str:
    """SQL for a node of pySigma's condition tree."""
    from sigma import conditions

    joins = {conditions.ConditionAND: " AND ", conditions.ConditionOR: " OR "}
    if type(node) in joins:
        return "(" + joins[type(node)].join(condition(part) for part in node.args) + ")"
    if isinstance(node, conditions.ConditionNOT):
        return f"NOT coalesce({condition(node.args[0])}, false)"
    if isinstance(node, conditions.ConditionFieldEqualsValueExpression):
        column = FIELDS.get(node.field.lower())
        if column is None:
            raise Unanswerable(f"field {node.field}")
        return value(column, node.value, node.field)
    if isinstance(node, conditions.ConditionValueExpression):
        return "(" + " OR ".join(value(column, node.value, "") for column in ("command_line", "target", "image")) + ")"
    raise Unanswerable(type(node).__name__)


def value(column: str, wanted: Any, field: str) -> str:
    """SQL for one comparison."""
    if hasattr(wanted, "values") and type(wanted).__name__ == "SigmaExpansion":
        return "(" + " OR ".join(value(column, one, field) for one in wanted.values) + ")"
    maker = _VALUES.get(type(wanted).__name__)
    if maker is None:
        raise Unanswerable(f"modifier {type(wanted).__name__}")
    if field.lower() in ("md5", "sha1", "sha256", "imphash") and hasattr(wanted, "to_plain"):
        return f"coalesce(contains(hashes, {quoted(f'{field.lower()}={wanted.to_plain().lower()}')}), false)"
    return f"coalesce({maker(column, wanted)}, false)"


def _string(column: str, wanted: Any) -> str:
    from sigma.types import SpecialChars

    pattern = ""
    for part in wanted.s:
        pattern += {SpecialChars.WILDCARD_MULTI: "%", SpecialChars.WILDCARD_SINGLE: "_"}.get(part) or re.sub(r"([%_\x01])", "\x01\\1", str(part))
    like = "LIKE" if type(wanted).__name__ == "SigmaCasedString" else "ILIKE"
    return f"CAST({column} AS VARCHAR) {like} {quoted(pattern)} ESCAPE '\x01'"


def _regex(column: str, wanted: Any) -> str:
    flags = "".join(sorted(flag.name[0].lower() for flag in wanted.flags))
    prefix = f"(?{flags})" if flags else ""
    return f"regexp_matches(CAST({column} AS VARCHAR), {quoted(prefix + str(wanted.regexp))})"


def _cidr(column: str, wanted: Any) -> str:
    network = wanted.network
    if network.version == 4 and network.prefixlen and network.prefixlen % 8 == 0:
        kept = str(network.network_address).split(".")[: network.prefixlen // 8]
        return f"starts_with({column}, {quoted('.'.join(kept) + '.')})"
    if network.version == 4:
        number = "(list_reduce([TRY_CAST(x AS BIGINT) FOR x IN string_split(" + column + ", '.')], lambda a, b: a * 256 + b))"
        return f"({column} NOT LIKE '%:%' AND {number} BETWEEN {int(network.network_address)} AND {int(network.broadcast_address)})"
    raise Unanswerable("IPv6 networks")


_COMPARE = {"LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
_VALUES: Mapping[str, Callable[[str, Any], str]] = {
    "SigmaString": _string, "SigmaCasedString": _string, "SigmaRegularExpression": _regex, "SigmaCIDRExpression": _cidr,
    "SigmaNumber": lambda column, wanted: f"CAST({column} AS VARCHAR) = {quoted(str(wanted.number))}",
    "SigmaBool": lambda column, wanted: f"CAST({column} AS VARCHAR) = {quoted(str(wanted.boolean).lower())}",
    "SigmaNull": lambda column, _: f"({column} IS NULL)",
    "SigmaExists": lambda column, wanted: f"({column} IS {'NOT ' if wanted.exists else ''}NULL)",
    "SigmaCompareExpression": lambda column, wanted: f"TRY_CAST({column} AS DOUBLE) {_COMPARE[wanted.op.name]} {wanted.number.number}",
}
