"""The neighbours in time of each row, in near-linear time: ranks instead of a cross product.

Both sides are cut into groups (a five-tuple, a process, a host …). The right side is put in order of group and time once, as whole numbers
(number of the group, rank of the time); where a left row, and the ends of its window, fall among them is found by bisection. So the
neighbours cost `2 k` lookups, and the number of rows inside the window three bisections, however many they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

BATCH = 1_000_000  # left rows looked up at a time


def nearest(con: duckdb.DuckDBPyConnection, left: str, right: str, out: str, k: int, before: float, after: float) -> None:
    """Fill temporary table `out` (id, other, dt, candidates) with the neighbours of each left row.

    Args:
        left: a query of (id, g, t): the rows that look for neighbours. g: a whole number of up to 64 bits.
        right: a query of (id, g, t): the neighbours.
        k: at most this many neighbours on each side in time.
        before, after: a neighbour counts where t - before <= its t <= t + after (seconds).

    `dt` is left t - right t, `candidates` the number of neighbours inside the window.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE {out} (id BIGINT, other BIGINT, dt DOUBLE, candidates INTEGER)")
    con.execute(f"CREATE OR REPLACE TEMP TABLE join_left AS SELECT id, g, t FROM ({left}) WHERE g IS NOT NULL AND t IS NOT NULL")
    found = con.execute(f"SELECT id, g, t FROM ({right}) WHERE t IS NOT NULL AND g IN (SELECT g FROM join_left)").fetchnumpy()
    if len(found["id"]):
        ordered = _Ordered(found["id"], found["g"], found["t"])
        asked = con.execute("SELECT id, g, t FROM join_left").fetchnumpy()
        for first in range(0, len(asked["id"]), BATCH):
            part = {name: asked[name][first : first + BATCH] for name in ("id", "g", "t")}
            con.register("incoming", ordered.near(part["id"], part["g"], part["t"], k, before, after))
            con.execute(f"INSERT INTO {out} SELECT id, other, dt, candidates FROM incoming")
            con.unregister("incoming")
    con.execute("DROP TABLE join_left")


class _Ordered:
    """Rows by group and time (rows of one time by id); `key` = number of the group, rank of the time."""

    def __init__(self, ids: NDArray[Any], groups: NDArray[Any], times: NDArray[np.float64]) -> None:
        import numpy as np

        order = np.argsort(ids, kind="stable") if (np.diff(ids) < 0).any() else np.arange(len(ids))
        order = order[np.argsort(times[order], kind="stable")]
        self.times = times[order]
        self.names, number = np.unique(groups[order], return_inverse=True)
        keys = number.reshape(-1) * (len(order) + 1) + np.arange(1, len(order) + 1)
        within = np.argsort(keys, kind="stable")
        self.key, self.id, self.t = keys[within], ids[order][within], self.times[within]

    def near(
        self, ids: NDArray[Any], groups: NDArray[Any], times: NDArray[np.float64], k: int, before: float, after: float
    ) -> dict[str, NDArray[Any]]:
        """Columns of the table that `nearest` fills."""
        import numpy as np

        number = np.minimum(np.searchsorted(self.names, groups), len(self.names) - 1)
        known = np.flatnonzero(self.names[number] == groups)
        # What is looked up in order is found in the cache: by time first, then by group and time.
        known = known[np.argsort(times[known], kind="stable")]
        now = np.searchsorted(self.times, times[known], "right")
        begin, end = np.searchsorted(self.times, times[known] - before), np.searchsorted(self.times, times[known] + after, "right")
        base = number[known] * (len(self.key) + 1)
        order = np.argsort(base, kind="stable")
        known, base = known[order], base[order]
        ids, t = ids[known], times[known]
        # The last row of the group at or before the moment, as its place plus one.
        last, low, high = (np.searchsorted(self.key, base + rank[order], "right") for rank in (now, begin, end))
        begin, end = np.maximum(low, last - k), np.minimum(high, last + k)
        many = np.maximum(end - begin, 0)
        row = np.repeat(np.arange(len(ids)), many)
        place = np.arange(len(row)) - np.repeat(np.cumsum(many) - many - begin, many)
        return {"id": ids[row], "other": self.id[place], "dt": t[row] - self.t[place], "candidates": (high - low)[row]}
