"""Names of addresses into the state: each once, with its whole time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netexfil import tables

if TYPE_CHECKING:
    import duckdb


def prepare(con: duckdb.DuckDBPyConnection) -> None:
    """Temp table `named`: names of addresses, each with its whole time; `renamed`: addresses of which something else is known now."""
    names = ", ".join(tables.NAME)
    con.execute(f"CREATE OR REPLACE TEMP TABLE named AS SELECT DISTINCT {names} FROM name")
    first = "SELECT address, arg_min(name, (first_ts, name)) AS name, min(first_ts) AS first_ts FROM {0} WHERE kind = 'dns' {1} GROUP BY address"
    old = first.format("state.name", "AND address IN (SELECT address FROM named)")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE renamed AS
        SELECT n.address FROM ({first.format("named", "")}) n LEFT JOIN ({old}) o USING (address)
        WHERE o.address IS NULL OR coalesce((n.first_ts, n.name) < (o.first_ts, o.name), TRUE) UNION
        SELECT address FROM (SELECT {names} FROM named WHERE kind = 'host' EXCEPT SELECT {names} FROM state.name WHERE kind = 'host')""")
    con.execute(f"INSERT INTO named SELECT {names} FROM state.name o WHERE {_SAME_NAME}")


_SAME_NAME = "(o.address, o.name, o.kind, o.source) IN (SELECT (address, name, kind, source) FROM named)"


def push(con: duckdb.DuckDBPyConnection) -> None:
    """What `prepare` made takes the place of what was there. Inside a transaction on the state."""
    con.execute("INSERT INTO state.stale (address) SELECT DISTINCT address FROM renamed")
    con.execute(f"DELETE FROM state.name o WHERE {_SAME_NAME}")
    con.execute("""INSERT INTO state.name (address, name, kind, first_ts, last_ts, source)
        SELECT address, name, kind, min(first_ts), max(last_ts), source FROM named GROUP BY ALL""")
