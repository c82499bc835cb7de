"""Joins inside the telemetry itself, after all files are read: Falcon's process keys, host and user inventories, scripts in parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

# A record that names its process only by key takes what the process's own record says. The command line stays with the start event:
# the seeds' queries do not see it on connections (docs/seed_rules.md L15).
_PROCESS = """
CREATE OR REPLACE TEMP TABLE process_key AS
SELECT host_id, guid, arg_max(image, ts) image, arg_max(pid, ts) pid, arg_max("user", ts) "user"
FROM event WHERE kind = 'process_start' AND guid IS NOT NULL AND host_id IS NOT NULL AND image IS NOT NULL GROUP BY ALL;
UPDATE event SET image = coalesce(event.image, p.image), pid = coalesce(event.pid, p.pid), "user" = coalesce(event."user", p."user")
FROM process_key p WHERE event.guid = p.guid AND event.host_id = p.host_id AND event.kind <> 'process_start'
  AND (event.image IS NULL OR event.pid IS NULL OR event."user" IS NULL);
UPDATE event SET parent_pid = coalesce(event.parent_pid, p.pid),
  parent_image = CASE WHEN event.parent_image IS NULL OR p.image ILIKE '%' || event.parent_image THEN p.image ELSE event.parent_image END
FROM process_key p WHERE event.parent_guid = p.guid AND event.host_id = p.host_id AND event.kind = 'process_start' AND event.dialect LIKE 'falcon%';
DROP TABLE process_key;
"""

_HOST = """
UPDATE event SET host = h.host, host_raw = h.host_raw
FROM (SELECT host_id, arg_max(host, ts_rec) host, arg_max(host_raw, ts_rec) host_raw FROM event
      WHERE kind = 'host_info' AND host IS NOT NULL AND host_id IS NOT NULL GROUP BY host_id) h
WHERE event.host IS NULL AND event.host_id = h.host_id;
"""

_USER = """
UPDATE event SET "user" = u.named
FROM (SELECT target, any_value("user") named FROM event WHERE event_id = 'userinfo' AND target IS NOT NULL AND "user" IS NOT NULL GROUP BY target) u
WHERE event."user" = u.target;
"""

_EVIDENCE = """
UPDATE event SET rule_name = a.rule_name, severity = a.severity, technique = coalesce(event.technique, a.technique)
FROM (SELECT rule_id, any_value(rule_name) rule_name, any_value(severity) severity, any_value(technique) technique FROM event
      WHERE dialect = 'defender-alert' GROUP BY rule_id) a
WHERE event.dialect = 'defender-evidence' AND event.rule_name IS NULL AND event.rule_id = a.rule_id;
"""


def complete(con: duckdb.DuckDBPyConnection, side: Sequence[tuple[Any, ...]]) -> None:
    """Run the joins that the data calls for."""
    needed = con.execute(
        """SELECT count(*) FILTER (kind IN ('net_conn', 'dns', 'file_create') AND image IS NULL AND guid IS NOT NULL AND host_id IS NOT NULL)
                , count(*) FILTER (kind = 'host_info'), count(*) FILTER (event_id = 'userinfo'),
                  count(*) FILTER (kind = 'process_start' AND dialect LIKE 'falcon%'), count(*) FILTER (dialect = 'defender-evidence') FROM event"""
    ).fetchall()[0]
    wanted = zip((_PROCESS, _HOST, _USER, _PROCESS, _EVIDENCE), needed, strict=False)
    for statement in dict.fromkeys(sql for sql, count in wanted if count):
        con.execute(statement)
    _scripts(con, side)


def _scripts(con: duckdb.DuckDBPyConnection, side: Sequence[tuple[Any, ...]]) -> None:
    """Script blocks logged in parts: the first part takes the whole text, the others become kind `script_part`."""
    import numpy as np

    groups: dict[str, dict[int, int]] = defaultdict(dict)
    for eid, script, part, total in side:
        if script and part and total and total > 1:
            groups[script].setdefault(part, eid)
    rows = [(by_part[part], by_part[min(by_part)], part) for by_part in groups.values() if len(by_part) > 1 for part in by_part]
    if not rows:
        return
    columns = zip(("eid", "head", "part"), zip(*rows, strict=True), strict=True)
    con.register("incoming", {name: np.array(column, np.int64) for name, column in columns})
    con.execute("""CREATE OR REPLACE TEMP TABLE script_part AS SELECT * FROM incoming;
        UPDATE event SET target = w.target FROM (SELECT head, coalesce(string_agg(target, '' ORDER BY part), '') AS target
            FROM script_part JOIN event USING (eid) GROUP BY head) w WHERE event.eid = w.head;
        UPDATE event SET kind = 'script_part', target = NULL WHERE eid IN (SELECT eid FROM script_part WHERE eid <> head);
        DROP TABLE script_part""")
    con.unregister("incoming")
