"""What is known of sessions that a reader left out, where telemetry is joined with those that it kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netexfil import tables

if TYPE_CHECKING:
    import duckdb

NAMED = 5  # hosts that are told by name as those that sent most (`join/gaps.py`)
CLOSE = 1e-3  # seconds; times are rounded


@dataclass(frozen=True, slots=True)
class Bounds:
    """Sessions that were left out start after the first of the moments `outer` and before the second, end before the third (None: none was left
    out), and no host sent `line` bytes with them. Telemetry is of hosts with the addresses `mine`, and could be tied to sessions with `theirs`."""

    outer: tuple[float | None, ...]
    line: int
    mine: Sequence[str]
    theirs: Sequence[str]

    def unsure(self, con: duckdb.DuckDBPyConnection) -> str:
        """What the kept sessions do not surpass; nothing where all is well. Where one session stands in several rows, it may be another."""
        first, last, end = con.execute("SELECT min(ts), max(ts), max(ts + coalesce(duration, 0)) FROM session").fetchall()[0]
        for bound, kept, sign in zip(self.outer, (first, last, end), (1, -1, -1), strict=True):
            if bound is not None and (kept is None or (bound - kept) * sign <= CLOSE):
                return "the first or last session is not known"
        if tables.some(con, "away") and self._most(con) < NAMED:
            return "the hosts that sent most are not known"
        return ""

    def _most(self, con: duckdb.DuckDBPyConnection) -> int:
        """How many hosts to whose sessions nothing can be tied sent as much as none that was left out."""
        row = con.execute("""SELECT count(*) FROM (SELECT 1 FROM session WHERE outbound IN ('true', 'pull')
            AND inside_h NOT IN (SELECT unnest(?::VARCHAR[])) AND remote_h NOT IN (SELECT unnest(?::VARCHAR[]))
            GROUP BY inside_h HAVING sum(bytes_out_low) >= ?)""", [[*self.mine], [*self.theirs], self.line]).fetchone()
        return int(row[0]) if row else 0
