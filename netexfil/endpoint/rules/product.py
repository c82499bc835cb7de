"""The endpoint products' own alerts as endpoint alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_SQL = """
INSERT INTO alert
SELECT e.eid, e.dialect, coalesce(e.rule_name, e.rule_id), ['info', 'low', 'medium', 'high', 'critical'][coalesce(e.severity, 2) + 1],
  'medium', e.technique, t.tool, 'raised by the endpoint product' || coalesce(': ' || e.rule_name, '')
FROM event e LEFT JOIN tool_of t USING (eid)
WHERE e.rule_name IS NOT NULL OR e.rule_id IS NOT NULL
"""


def select(con: duckdb.DuckDBPyConnection) -> None:
    """One alert for each event that carries a product's rule; the rule is named by the dialect."""
    con.execute(_SQL)
