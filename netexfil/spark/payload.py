"""Rows on their way through Spark: each is (part, tag, data), where data is a small table as an Arrow stream, or a pickled list of notes.

Spark moves these rows and looks at `part` alone; what is in them is DuckDB's business on both ends, so no type is converted twice.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

SCHEMA = "part INT, tag STRING, data BINARY"
ROWS = 100_000  # rows of a table in one cell: some ten MB

Row = tuple[int, str, bytes]


def split(con: duckdb.DuckDBPyConnection, tag: str, query: str) -> Iterator[Row]:
    """The rows of a query whose first column is the part they go to, as payloads (without that column)."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE outgoing AS {query}")
    (first,) = [row[0] for row in con.execute("DESCRIBE outgoing").fetchall()][:1]
    for (part,) in con.execute(f'SELECT DISTINCT "{first}" FROM outgoing ORDER BY 1').fetchall():
        reader = con.sql(f'SELECT * EXCLUDE ("{first}") FROM outgoing WHERE "{first}" = {int(part)}').to_arrow_reader(ROWS)
        for batch in reader:
            if batch.num_rows:
                yield int(part), tag, encode(batch)
    con.execute("DROP TABLE outgoing")


def encode(batch: Any) -> bytes:
    """A record batch as an Arrow stream."""
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, batch.schema, options=pyarrow.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def fill(con: duckdb.DuckDBPyConnection, table: str, data: bytes) -> None:
    """Append a payload's rows to a table, by name."""
    import pyarrow

    con.register("arriving", pyarrow.ipc.open_stream(data).read_all())
    con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM arriving")
    con.unregister("arriving")


def things(tag: str, found: Sequence[Any], part: int = 0) -> Iterator[Row]:
    """Python objects (notes, findings) as one payload; nothing where there are none."""
    if found:
        yield part, tag, pickle.dumps(list(found))


def rows(batches: Iterable[Any]) -> Iterator[Row]:
    """The rows of the batches that Spark hands to a task."""
    for batch in batches:
        yield from zip(*(batch.column(index).to_pylist() for index in range(3)), strict=True)


def batches(found: Iterable[Row]) -> Iterator[Any]:
    """Rows as batches for Spark, one row a batch: a cell may hold megabytes."""
    import pyarrow

    schema = pyarrow.schema([("part", pyarrow.int32()), ("tag", pyarrow.string()), ("data", pyarrow.binary())])
    for part, tag, data in found:
        yield pyarrow.RecordBatch.from_pylist([{"part": part, "tag": tag, "data": data}], schema=schema)


def load(found: Iterable[Row], tables: Mapping[str, str], con: duckdb.DuckDBPyConnection) -> list[Row]:
    """Put payloads of these tags into these tables; the others are returned."""
    others = []
    for part, tag, data in found:
        if tag in tables:
            fill(con, tables[tag], data)
        else:
            others.append((part, tag, data))
    return others
