"""The rule sets in a table, and what they select as rows of table `alert`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from netexfil.endpoint.rules import logscale, splunk
from netexfil.errors import Note
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb

# name -> (SQL that gives the query's own rows, newest first; its columns)
SEEDS: Mapping[str, tuple[str, tuple[str, ...]]] = {"logscale": (logscale.SELECT, logscale.COLUMNS), "splunk": (splunk.SELECT, splunk.COLUMNS)}


def select(con: duckdb.DuckDBPyConnection, policy: Policy, sigma: str | None) -> list[Note]:
    """Fill table `alert`: one row per event and rule set."""
    from netexfil.endpoint.rules import own, product, tools, tuning, user

    con.execute("DELETE FROM alert")
    tools.register(con)
    for statement in (logscale.ALERT, splunk.ALERT):
        con.execute(
            f"""INSERT INTO alert SELECT a.eid, rule, title, a.severity, confidence, a.technique, t.tool, reason
            FROM ({statement}) a LEFT JOIN tool_of t USING (eid)"""
        )
    own.select(con)
    product.select(con)
    notes = user.select(con, sigma) if sigma else []
    tuning.apply(con, policy)
    return notes
