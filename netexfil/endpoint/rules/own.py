"""The `netexfil` rules: one TOML table, as SQL over the events and as Sigma rules (which the tests hold to be the same)."""

from __future__ import annotations

import base64
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from netexfil import tables

if TYPE_CHECKING:
    import duckdb

SEVERITIES = ("info", "low", "medium", "high", "critical")


@cache
def rules() -> tuple[Mapping[str, Any], ...]:
    """The table, in file order."""
    document = tomllib.loads((resources.files("netexfil.endpoint.rules") / "own.toml").read_text("utf-8"))
    return tuple(document["rule"])


# condition -> (column of `subject`, "names" or "found", whether it must hold)
TESTS: Mapping[str, tuple[str, str, bool]] = {
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
        column, form, wanted = TESTS[key]
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
        SELECT h.eid, 'netexfil', arg_max(h.title, rank), {list(SEVERITIES)}[max(h.grade) + 1], arg_max(h.confidence, rank),
          arg_max(h.technique, rank), coalesce(any_value(t.tool), arg_max(h.tool, rank), any_value(s.program)),
          string_agg(h.why, '; ' ORDER BY h.rank DESC)
        FROM (SELECT *, grade * 1000 - n AS rank FROM own_hit) h LEFT JOIN tool_of t USING (eid)
        LEFT JOIN subject s USING (eid) GROUP BY h.eid"""
    )


# A program with the hash of a transfer tool that the same telemetry names, under another name.
_SAME_HASH = """
SELECT e.eid, 999 AS n, 4 AS grade, 'Transfer tool under another name (same hash)' AS title, 'high' AS confidence,
  'T1036.003,T1048.002' AS technique,
  any_value(k.tool) AS tool, 'the file has the hash of ' || any_value(k.tool) || ', but is called otherwise' AS why
FROM subject e JOIN (
  SELECT DISTINCT digest, n.tool AS tool
  FROM (SELECT eid, unnest(string_split(hashes, ',')) AS digest FROM subject WHERE kind = 'process_start' AND hashes IS NOT NULL)
  JOIN tool_of USING (eid) JOIN tool_name n ON n.name = tool_of.name AND n.tool = tool_of.tool
  WHERE (starts_with(digest, 'sha256=') OR starts_with(digest, 'md5='))
    AND digest NOT IN ('sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      'md5=d41d8cd98f00b204e9800998ecf8427e')  -- of nothing
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
        tables.insert(con, "decoded", rows, kinds={"eid": "BIGINT", "hidden": "VARCHAR"})
    con.execute(
        """CREATE OR REPLACE TEMP TABLE subject AS
        SELECT n.eid, kind, name AS program, original, parent_name AS parent_program, parent_command_line, target, remote_host, remote_p, hashes,
          CASE WHEN kind = 'script' THEN target WHEN hidden IS NULL THEN command_line ELSE command_line || ' ' || hidden END AS words
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
