"""Rows of extractors to table `event`: columns by batch through NumPy, constants as SQL literals, so that empty columns cost nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from netexfil import tables
from netexfil.endpoint.program import Program

if TYPE_CHECKING:
    import duckdb

_NUMPY = {"DOUBLE": np.float64, "BIGINT": np.int64, "INTEGER": np.int32, "BOOLEAN": np.bool_}


class Transaction:
    """One transaction around many batches (seven times cheaper than one each), renewed as it grows: what is not committed is
    held outside DuckDB's memory limit. Within a caller's own transaction it changes nothing."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con, self._own = con, False

    def __enter__(self) -> Transaction:
        import duckdb

        try:
            self._con.begin()
            self._own = True
        except duckdb.TransactionException:
            pass
        return self

    def renew(self) -> None:
        """Commit and begin again."""
        if self._own:
            self._con.commit()
            self._con.begin()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._own:
            self._con.commit() if kind is None else self._con.rollback()


def flush(con: duckdb.DuckDBPyConnection, programs: Iterable[Program], file: str, side: list[tuple[Any, ...]], least: int = 1) -> int:
    """Append the rows of every program that has collected `least`; gives their number.

    An insert costs about 2 ms before its first row, so small groups wait. Script parts go to `side` as (eid, script, part, parts).
    """
    written = 0
    for program in programs:
        if len(program.rows) >= least:
            written += len(program.rows)
            _append(con, program, file, side)
            program.rows.clear()
    return written


def _append(con: duckdb.DuckDBPyConnection, program: Program, file: str, side: list[tuple[Any, ...]]) -> None:
    columns = dict(zip(program.columns, zip(*program.rows, strict=True), strict=True))
    if "script" in columns:
        absent = (None,) * len(program.rows)
        side.extend(zip(columns["eid"], *(columns.pop(name, absent) for name in ("script", "part", "parts")), strict=True))
    constants: dict[str, Any] = {name: value for name, value in program.constants.items() if name in tables.EVENT and value is not None}
    arrays: dict[str, Any] = {}
    for name, values in columns.items():
        first = values[0]
        if values[-1] == first and values.count(first) == len(values):  # one value throughout (a host, a user): no column needed
            if first is not None:
                constants[name] = first
        else:
            arrays[name] = array(tables.EVENT[name], values)
    constants["file"] = file
    names = ", ".join(f'"{name}"' for name in (*arrays, *constants))
    picked = ", ".join([f'"{name}"' for name in arrays] + [f"CAST(? AS {tables.EVENT[name]})" for name in constants])
    source = " FROM incoming_events" if arrays else ""
    con.register("incoming_events", arrays or {"eid": np.zeros(1)})
    con.execute(f"INSERT INTO event ({names}) SELECT {picked}{source}", list(constants.values()))
    con.unregister("incoming_events")


def array(kind: str, values: Sequence[Any]) -> Any:
    """A NumPy column that DuckDB reads without guessing, masked where a value is missing."""
    dtype = _NUMPY.get(kind)
    if dtype is None:
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    if None not in values:
        return np.array(values, dtype=dtype)
    missing = np.array([value is None for value in values])
    return np.ma.masked_array(np.array([dtype() if value is None else value for value in values], dtype=dtype), missing)
