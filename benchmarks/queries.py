"""The log query as each peer does it best: outbound sessions on watched ports, grouped by channel, bytes and sessions of each.

    python -m benchmarks.queries netexfil|duckdb|duckdb-json|polars|pandas|zat FILE…

Prints the number of channels and the sum of their bytes, which must be the same for all.
"""

from __future__ import annotations

import sys
from typing import Any

PORTS = (22, 443, 465, 587, 990, 993, 8443, 21)
COLUMNS = {
    "ts": "DOUBLE", "uid": "VARCHAR", "id.orig_h": "VARCHAR", "id.orig_p": "INTEGER", "id.resp_h": "VARCHAR", "id.resp_p": "INTEGER",
    "proto": "VARCHAR", "service": "VARCHAR", "duration": "DOUBLE", "orig_bytes": "BIGINT", "resp_bytes": "BIGINT", "conn_state": "VARCHAR",
    "local_orig": "VARCHAR", "local_resp": "VARCHAR", "missed_bytes": "BIGINT", "history": "VARCHAR", "orig_pkts": "BIGINT",
    "orig_ip_bytes": "BIGINT", "resp_pkts": "BIGINT", "resp_ip_bytes": "BIGINT",
}
USED = ("ts", "id.orig_h", "id.resp_h", "id.resp_p", "proto", "orig_bytes")


def netexfil(files: list[str]) -> tuple[int, int]:
    from netexfil import pipeline, read, tables

    con = tables.connect()
    tables.create(con)
    pipeline.load(con, pipeline.Job(files, options=read.Options(only_outbound=True)))
    return _one(
        con,
        "SELECT count(*), sum(bytes) FROM (SELECT sum(coalesce(orig_bytes, 0)) bytes FROM session "
        "WHERE outbound = 'true' GROUP BY inside_h, remote_h, remote_p, proto)",
    )


def duckdb(files: list[str]) -> tuple[int, int]:
    types = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
    names = ", ".join(f"'{name}'" for name in files)
    settings = "delim='\t', header=false, comment='#', nullstr='-', quote='', escape='', auto_detect=false"
    return _duckdb(f"read_csv([{names}], {settings}, columns={{{types}}})")


def duckdb_json(files: list[str]) -> tuple[int, int]:
    types = ", ".join(f"'{name}': '{COLUMNS[name]}'" for name in USED)
    names = ", ".join(f"'{name}'" for name in files)
    return _duckdb(f"read_json([{names}], format='newline_delimited', columns={{{types}}})")


def _duckdb(source: str) -> tuple[int, int]:
    import duckdb as engine

    query = f"""SELECT count(*), sum(bytes) FROM (SELECT sum(coalesce(orig_bytes, 0)) bytes, count(*), min(ts) FROM {source}
        WHERE "id.resp_p" IN {PORTS} AND ("id.orig_h" LIKE '10.%' OR "id.orig_h" LIKE 'fd%')
          AND NOT ("id.resp_h" LIKE '10.%' OR "id.resp_h" LIKE 'fd%')
        GROUP BY "id.orig_h", "id.resp_h", "id.resp_p", proto)"""
    return _one(engine.connect(), query)


def _one(con: Any, query: str) -> tuple[int, int]:
    row = con.execute(query).fetchone()
    return int(row[0]), int(row[1])


def polars(files: list[str]) -> tuple[int, int]:
    import polars as pl

    kinds = {"DOUBLE": pl.Float64, "VARCHAR": pl.String, "INTEGER": pl.Int32, "BIGINT": pl.Int64}
    schema = {name: kinds[kind] for name, kind in COLUMNS.items()}
    scan = pl.scan_csv(files, separator="\t", has_header=False, comment_prefix="#", null_values="-", quote_char=None, schema=schema)
    inside = lambda name: pl.col(name).str.starts_with("10.") | pl.col(name).str.starts_with("fd")  # noqa: E731
    out = (
        scan.filter(pl.col("id.resp_p").is_in(PORTS) & inside("id.orig_h") & ~inside("id.resp_h"))
        .group_by("id.orig_h", "id.resp_h", "id.resp_p", "proto")
        .agg(pl.col("orig_bytes").sum(), pl.len(), pl.col("ts").min())
        .collect(engine="streaming")
    )
    return out.height, int(out["orig_bytes"].sum())


def pandas(files: list[str]) -> tuple[int, int]:
    import pandas as pd

    names = list(COLUMNS)
    frame = pd.concat(
        pd.read_csv(name, sep="\t", names=names, usecols=list(USED), comment="#", na_values="-", quoting=3, engine="c") for name in files
    )
    return _frame(frame)


def zat(files: list[str]) -> tuple[int, int]:
    import pandas as pd
    from zat.log_to_dataframe import LogToDataFrame

    return _frame(pd.concat(LogToDataFrame().create_dataframe(name, ts_index=False, usecols=list(USED)) for name in files))


def _frame(frame: Any) -> tuple[int, int]:
    orig, resp = frame["id.orig_h"].astype(str), frame["id.resp_h"].astype(str)
    kept = frame[frame["id.resp_p"].isin(PORTS) & orig.str.startswith(("10.", "fd")) & ~resp.str.startswith(("10.", "fd"))]
    out = kept.groupby(["id.orig_h", "id.resp_h", "id.resp_p", "proto"], observed=True)["orig_bytes"].sum()
    return len(out), int(out.sum())


if __name__ == "__main__":
    print(*globals()[sys.argv[1].replace("-", "_")](sys.argv[2:]))
