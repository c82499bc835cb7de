"""The `netexfil` rules: one TOML table, as SQL over the events and as Sigma rules (which the tests hold to be the same)."""

from __future__ import annotations

import base64
import re
import tomllib
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

SEVERITIES = ("info", "low", "medium", "high", "critical")
_NAMESPACE = uuid.UUID("8d2a5a0e-3f55-4a7a-9a51-6f1e7f0c5b1d")


@cache
def rules() -> tuple[Mapping[str, Any], ...]:
    """The table, in file order."""
    document = tomllib.loads((resources.files("netexfil.endpoint.rules") / "own.toml").read_text("utf-8"))
    return tuple(document["rule"])


# condition -> (column of `subject`, "names" or "found", whether it must hold)
_TESTS: Mapping[str, tuple[str, str, bool]] = {
    "program": ("program", "names", True), "not_program": ("program", "names", False),
    "parent": ("parent_program", "names", True), "not_parent": ("parent_program", "names", False),
    "original": ("original", "names", True),
    "words": ("words", "found", True), "not_words": ("words", "found", False),
    "parent_words": ("parent_command_line", "found", True), "not_parent_words": ("parent_command_line", "found", False),
    "target": ("target", "found", True), "name": ("coalesce(remote_host, target)", "found", True),
    "port": ("remote_p", "numbers", True),
}


def condition(when: Mapping[str, Any]) -> str:
    """SQL for one alternative of a rule over the view `subject`."""
    tests = []
    for key, value in when.items():
        column, form, wanted = _TESTS[key]
        if not value:
            continue
        if form == "names":
            test = f"coalesce({column} IN ({', '.join(quoted(name) for name in value)}), false)"
            tests.append(test if wanted else f"NOT {test}")
        elif form == "numbers":
            tests.append(f"coalesce({column} IN ({', '.join(map(str, value))}), false)")
        else:
            found = [f"coalesce(regexp_matches({column}, {quoted(pattern)}), false)" for pattern in value]
            tests.append(" AND ".join(found) if wanted else f"NOT ({' OR '.join(found)})")
    return "(" + " AND ".join(tests) + ")"


def quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def select(con: duckdb.DuckDBPyConnection) -> None:
    """Add one alert per event that a rule selects: that of the gravest rule, with the reasons of all."""
    _subject(con)
    parts = []
    for number, rule in enumerate(rules()):
        kinds = ", ".join(quoted(kind) for kind in rule["kinds"])
        alternatives = " OR ".join(condition(when) for when in rule["when"])
        parts.append(
            f"SELECT eid, {number} AS n, {SEVERITIES.index(rule['severity'])} AS grade, {quoted(rule['title'])} AS title, "
            f"{quoted(rule['confidence'])} AS confidence, {quoted(','.join(rule['technique']))} AS technique, "
            f"{quoted(rule['tool']) if 'tool' in rule else 'NULL'} AS tool, {quoted(rule['why'])} AS why "
            f"FROM subject WHERE kind IN ({kinds}) AND ({alternatives})"
        )
    parts.append(_SAME_HASH)
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE own_hit AS {' UNION ALL '.join(parts)};
        INSERT INTO alert
        SELECT h.eid, 'netexfil', arg_max(h.title, rank), {list(SEVERITIES)}[max(h.grade) + 1], arg_max(h.confidence, rank), arg_max(h.technique, rank),
          coalesce(any_value(t.tool), arg_max(h.tool, rank), any_value(s.program)), string_agg(h.why, '; ' ORDER BY h.rank DESC)
        FROM (SELECT *, grade * 1000 - n AS rank FROM own_hit) h LEFT JOIN tool_of t USING (eid)
        LEFT JOIN subject s USING (eid) GROUP BY h.eid"""
    )


# A program with the hash of a transfer tool that the same telemetry names, under another name.
_SAME_HASH = """
SELECT e.eid, 999 AS n, 4 AS grade, 'Transfer tool under another name (same hash)' AS title, 'high' AS confidence, 'T1036.003,T1048.002' AS technique,
  any_value(k.tool) AS tool, 'the file has the hash of ' || any_value(k.tool) || ', but is called otherwise' AS why
FROM subject e JOIN (
  SELECT DISTINCT digest, n.tool AS tool FROM (SELECT eid, unnest(string_split(hashes, ',')) AS digest FROM subject WHERE kind = 'process_start' AND hashes IS NOT NULL)
  JOIN tool_of USING (eid) JOIN tool_name n ON n.name = tool_of.name AND n.tool = tool_of.tool 
  WHERE (starts_with(digest, 'sha256=') OR starts_with(digest, 'md5='))
    AND digest NOT IN ('sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 'md5=d41d8cd98f00b204e9800998ecf8427e')  -- of nothing
) k ON list_contains(string_split(e.hashes, ','), k.digest)
LEFT JOIN tool_name own ON own.name = e.program
WHERE e.kind = 'process_start' AND own.tool IS NULL GROUP BY e.eid
"""

_ENCODED = re.compile(r"\s[-/–]e(?:nc|nco|ncod|ncode|ncoded|ncodedc\w*|c)?\s+[\"']?([A-Za-z0-9+/=]{16,})", re.I)


def _subject(con: duckdb.DuckDBPyConnection) -> None:
    """View `subject`: events with program names, and `words`: command line (with what PowerShell's -EncodedCommand hides) or script."""
    con.execute("CREATE OR REPLACE TEMP TABLE decoded (eid BIGINT, hidden VARCHAR)")
    found = con.execute(
        "SELECT eid, command_line FROM event WHERE kind = 'process_start' AND regexp_matches(command_line, '(?i)(powershell|pwsh).*\\s[-/–]e')"
    ).fetchall()
    rows = [(eid, hidden) for eid, line in found if (hidden := decoded(line))]
    if rows:
        con.executemany("INSERT INTO decoded VALUES (?, ?)", rows)
    con.execute(
        """CREATE OR REPLACE TEMP TABLE subject AS
        SELECT n.eid, kind, name AS program, original, parent_name AS parent_program, parent_command_line, target, remote_host, remote_p, hashes,
          CASE WHEN kind IN ('script', 'script_part') THEN target WHEN hidden IS NULL THEN command_line ELSE command_line || ' ' || hidden END AS words
        FROM named n LEFT JOIN decoded d ON d.eid = n.eid WHERE kind IN ('process_start', 'script', 'file_create', 'dns', 'net_conn')"""
    )


def decoded(line: str) -> str | None:
    """The script behind -EncodedCommand (UTF-16 in base64), or None."""
    match = _ENCODED.search(line)
    if not match:
        return None
    try:
        raw = base64.b64decode(match[1] + "=" * (-len(match[1]) % 4))
    except ValueError:
        return None
    return raw.decode("utf-16-le", "replace") if b"\0" in raw[:4] else raw.decode("utf-8", "replace")


# --- the same rules as Sigma ---------------------------------------------------------------------------------------------

_SOURCES: Mapping[str, str] = {"process_start": "process_creation", "script": "ps_script", "file_create": "file_event", "dns": "dns_query", "net_conn": "network_connection"}
_NAMES = {"program": "Image", "not_program": "Image", "parent": "ParentImage", "not_parent": "ParentImage", "original": "OriginalFileName"}
_LEVEL = {"info": "informational"}


def sigma(rule: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """One of our rules, for one kind of event, as a Sigma document."""
    words = {"process_start": "CommandLine", "script": "ScriptBlockText"}.get(kind, "CommandLine")
    name = {"dns": "QueryName", "net_conn": "DestinationHostname"}.get(kind, "QueryName")
    columns = {"words": words, "not_words": words, "parent_words": "ParentCommandLine", "not_parent_words": "ParentCommandLine", "target": "TargetFilename", "name": name}
    detection: dict[str, Any] = {}
    alternatives = []
    for number, when in enumerate(rule["when"], 1):
        positive: dict[str, Any] = {}
        negative: list[str] = []
        for key, value in when.items():
            if not value:
                continue
            field, form, wanted = _TESTS[key][0], _TESTS[key][1], _TESTS[key][2]
            entry = _entry(key, form, value, columns, wanted)
            if wanted:
                positive |= entry
            else:
                label = f"not_{number}_{len(negative) + 1}"
                detection[label] = entry
                negative.append(f"not {label}")
            del field
        if positive:
            detection[f"selection_{number}"] = positive
        alternatives.append(" and ".join(([f"selection_{number}"] if positive else []) + negative))
    logsource = {"category": _SOURCES[kind]} | ({"product": "windows"} if kind == "script" else {})
    return {
        "title": rule["title"] if len(rule["kinds"]) == 1 else f"{rule['title']} ({_SOURCES[kind]})",
        "id": str(uuid.uuid5(_NAMESPACE, f"{rule['name']}/{kind}")), "status": "experimental", "description": rule["why"][0].upper() + rule["why"][1:] + ".",
        "references": ["https://attack.mitre.org/techniques/T1048/002/"], "author": "netexfil", "date": "2026-11-22",
        "tags": ["attack.exfiltration", *dict.fromkeys(["attack.t1048.002", *(f"attack.{technique.lower()}" for technique in rule["technique"])])],
        "logsource": logsource, "detection": detection | {"condition": " or ".join(f"({part})" for part in alternatives) if len(alternatives) > 1 else alternatives[0]},
        "falsepositives": list(rule["false_positives"]), "level": _LEVEL.get(rule["severity"], rule["severity"]),
    }


def file_name(rule: Mapping[str, Any], kind: str) -> str:
    """The name of the Sigma file of one rule and kind, in Sigma's way of naming."""
    return f"netexfil_{rule['name']}{'' if len(rule['kinds']) == 1 else '_' + _SOURCES[kind]}.yml"


def document(rule: Mapping[str, Any], kind: str) -> str:
    """The Sigma file (YAML; needs the extra `sigma`)."""
    import yaml

    return str(yaml.safe_dump(sigma(rule, kind), sort_keys=False, allow_unicode=True, width=1000))


def _entry(key: str, form: str, value: Sequence[Any], columns: Mapping[str, str], wanted: bool) -> dict[str, Any]:
    if form == "numbers":
        return {"DestinationPort": list(value)}
    if form == "names":
        field = _NAMES[key]
        if key == "original":
            return {field: [spelled for name in value for spelled in (name, f"{name}.exe")]}
        return {f"{field}|endswith": [spelled for name in value for spelled in (f"\\{name}.exe", f"\\{name}.com", f"\\{name}", f"/{name}")]}
    field = columns[key]
    return {f"{field}|re|all" if wanted and len(value) > 1 else f"{field}|re": list(value) if len(value) > 1 else value[0]}
