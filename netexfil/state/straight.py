"""Sessions of a conn log straight into the state, in the transaction that records the place reached: most meet nothing that is stored.

Where some do (a uid that is stored, or twice in the log; days that are no longer kept) the transaction is undone and the log read once more, into
memory, where rows are merged (`ingest.prepare`). Whether facts are met is known before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netexfil import tables
from netexfil.state import keys

if TYPE_CHECKING:
    import duckdb


class Met(Exception):
    """Rows that were taken are to be merged with others."""


class Straight:
    """`read.Into` for a state that is attached and in a transaction; `number` is that of the batch."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.which = f"batch = {number}"
        self.stored: tuple[str, str, str] | None = None
        self.spoiled = False

    def ready(self, con: duckdb.DuckDBPyConnection) -> bool:
        """Not where the new facts speak of stored sessions, or of data channels. What is stored of sessions that may come is added to `fact_new`."""
        stored = tables.some(con, "state.fact")
        if any(tables.some(con, f"{table} WHERE kind = 'ftp'") for table in ("fact_new", *(["state.fact"] if stored else []))):
            return False
        if tables.some(con, "fact_new"):
            logins = "UNION ALL SELECT uid FROM state.fact WHERE uid IS NOT NULL AND fuid IN (SELECT fuid FROM fact_new WHERE uid IS NULL)"
            told = f"SELECT uid FROM fact_new WHERE uid IS NOT NULL {logins if stored else ''}"
            if tables.some(con, f"state.session WHERE uid_key IN (SELECT {keys.UID} FROM ({told}))"):
                return False
        if stored:
            facts = ", ".join(tables.FACT)
            con.execute(f"INSERT INTO fact_new ({facts}) SELECT {facts} FROM state.fact")
        return True

    def put(self, con: duckdb.DuckDBPyConnection, query: str) -> None:
        packed = keys.packed() | {"batch": str(self.number)}
        con.execute(f"INSERT INTO state.session ({', '.join(packed)}) SELECT {', '.join(packed.values())} FROM ({query})")
        self.stored = ("state.session", self.which, "bounds[3] = 3")

    def check(self, con: duckdb.DuckDBPyConnection) -> None:
        """Raises:
            Met: what was taken cannot stand as it is.
        """
        ours, others = f"state.session WHERE {self.which}", f"state.session WHERE batch < {self.number}"
        again = f"(SELECT 1 FROM {ours} GROUP BY uid_key HAVING count(*) > 1)"
        known = f"{others} AND uid_key IN (SELECT uid_key FROM {ours})"
        late = f"{ours} AND day <= (SELECT max(day) FROM state.channel WHERE day < (SELECT min(day) FROM {others}))"
        if self.spoiled or tables.some(con, "session") or any(tables.some(con, rows) for rows in (again, known, late)):
            raise Met

    def settle(self, con: duckdb.DuckDBPyConnection) -> None:
        """Facts of the new sessions leave the state; the new ones that may serve later sessions come into it."""
        facts, ours = ", ".join(tables.FACT), f"(SELECT uid FROM state.session WHERE {self.which})"
        if tables.some(con, "state.fact"):
            con.execute(f"DELETE FROM state.fact WHERE fuid IS NULL AND uid IN {ours}")
        if tables.some(con, "fact"):
            con.execute(f"""INSERT INTO state.fact ({facts}) SELECT {facts} FROM fact WHERE uid IS NULL OR fuid IS NOT NULL OR uid NOT IN {ours}
                EXCEPT SELECT {facts} FROM state.fact""")
