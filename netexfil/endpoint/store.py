"""Rows of extractors to table `event`: columns by batch through NumPy, constants as SQL literals, so that empty columns cost nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from netexfil import tables
from netexfil.endpoint.dialect import Program

if TYPE_CHECKING:
    import duckdb

_NUMPY = {"DOUBLE": np.float64, "BIGINT": np.int64, "INTEGER": np.int32, "BOOLEAN": np.bool_}


def flush(con: duckdb.DuckDBPyConnection, programs: Iterable[Program], file: str, side: list[tuple[Any, ...]]) -> int:
    """Append the collected rows of every program; gives their number. Script parts go to `side` as (eid, script, part, parts)."""
    written = 0
    for program in programs:
        if program.rows:
            written += len(program.rows)
            _append(con, program, file, side)
            program.rows.clear()
    return written


def _append(con: duckdb.DuckDBPyConnection, program: Program, file: str, side: list[tuple[Any, ...]]) -> None:
    columns = dict(zip(program.columns, zip(*program.rows, strict=True), strict=True))
    if "script" in columns:
        side.extend(zip(*(columns.pop(name, [None] * len(program.rows)) for name in ("eid", "script", "part", "parts")), strict=True))
        columns["eid"] = tuple(row[program.columns.index("eid")] for row in program.rows)
    arrays = {name: array(tables.EVENT[name], values) for name, values in columns.items() if name in tables.EVENT}
    arrays = {name: values for name, values in arrays.items() if values is not None}
    constants = {name: value for name, value in program.constants.items() if name in tables.EVENT and value is not None} | {"file": file}
    names = ", ".join(f'"{name}"' for name in (*arrays, *constants))
    picked = ", ".join([f'"{name}"' for name in arrays] + [f"CAST(? AS {tables.EVENT[name]})" for name in constants])
    con.register("incoming_events", arrays)
    con.execute(f"INSERT INTO event ({names}) SELECT {picked} FROM incoming_events", list(constants.values()))
    con.unregister("incoming_events")


def array(kind: str, values: Sequence[Any]) -> Any:
    """A NumPy column that DuckDB reads without guessing, masked where a value is missing; None where all are."""
    dtype = _NUMPY.get(kind)
    if dtype is None:
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column if any(value is not None for value in values) else None
    if None not in values:
        return np.array(values, dtype=dtype)
    missing = np.array([value is None for value in values])
    if missing.all():
        return None
    return np.ma.masked_array(np.array([dtype() if value is None else value for value in values], dtype=dtype), missing)
