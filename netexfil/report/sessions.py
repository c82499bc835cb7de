"""Sessions as a table, JSON lines, CSV, Parquet or a Zeek conn.log. DuckDB makes each line in parallel; only finished lines pass here.

`rows` is the rest of a query: FROM what, which rows, in which order.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from netexfil.report import fitting, words, zeeklog
from netexfil.tables import SESSION, SESSION_OUTPUT, SHOWN

if TYPE_CHECKING:
    import duckdb

    from netexfil.report import Options
    from netexfil.report.sink import Sink

BATCH = 20_000  # lines fetched at once: a few megabytes
TABLE_ROWS = 2_000  # a person reads no more; the rest is counted


def _shown(column: str) -> str:
    return SHOWN.get(column, column)


def _batches(con: duckdb.DuckDBPyConnection, query: str) -> Iterator[list[tuple[Any, ...]]]:
    found = con.execute(query)
    while rows := found.fetchmany(BATCH):
        yield rows


def jsonl(con: duckdb.DuckDBPyConnection, out: Sink, rows: str, _options: Options) -> None:
    """One object a line; `outbound` is true, false or "pull".

    The two truth values lose their quotes here: as a JSON value inside the query they made it four times slower. Text cannot
    be mistaken for the key, its quotes are escaped.
    """
    parts = ", ".join(f"'{_shown(name)}': {_finite(name)}" for name in SESSION_OUTPUT)
    for batch in _batches(con, f"SELECT to_json({{{parts}}})::VARCHAR {rows}"):
        lines = "\n".join(row[0] for row in batch) + "\n"
        out.write(lines.replace('"outbound":"true"', '"outbound":true').replace('"outbound":"false"', '"outbound":false').encode())


def _finite(column: str) -> str:
    """Infinity and not-a-number have no JSON; they become null."""
    return f"CASE WHEN isfinite({column}) THEN {column} END" if SESSION[column] == "DOUBLE" else column


def csv(con: duckdb.DuckDBPyConnection, out: Sink, rows: str, _options: Options) -> None:
    """RFC 4180 with a header; a text cell that a spreadsheet would run gets an apostrophe."""
    out.write((",".join(map(_shown, SESSION_OUTPUT)) + "\r\n").encode())
    line = _joined(",", map(_cell, SESSION_OUTPUT))
    for batch in _batches(con, f"SELECT {line} {rows}"):
        out.write(("\r\n".join(row[0] for row in batch) + "\r\n").encode())


def _joined(between: str, cells: Iterable[str]) -> str:
    """SQL for one line; `concat` measured four times faster than a chain of `||`."""
    glue = f", '{between}', "
    return f"concat({glue.join(cells)})"


# As `words.defused` has it, in the words of RE2, whose blanks are fewer.
_FORMULA = r"^([\t\r\n]|[\s\pZ\x0b\x1c-\x1f\x{85}\x{200b}\x{2060}\x{feff}]*[=+\-@＝＋－＠])"


def _cell(column: str) -> str:
    """SQL for one CSV cell."""
    if SESSION[column] != "VARCHAR":
        return f"coalesce(CAST({column} AS VARCHAR), '')"
    safe = f"CASE WHEN regexp_matches({column}, '{_FORMULA}') THEN '''' || {column} ELSE {column} END"
    quoted = f"""'"' || replace({safe}, '"', '""') || '"'"""
    bare = f"regexp_matches({column}, '^([A-Za-z0-9.:/_][A-Za-z0-9.:/_ +=()-]*)?$')"
    return f"CASE WHEN {column} IS NULL THEN '' WHEN {bare} THEN {column} ELSE {quoted} END"


def parquet(con: duckdb.DuckDBPyConnection, out: Sink, rows: str, _options: Options) -> None:
    """Zstandard-compressed Parquet, column types of `tables.SESSION`."""
    columns = ", ".join(f'{name} AS "{_shown(name)}"' for name in SESSION_OUTPUT)
    copy_parquet(con, f"SELECT {columns} {rows}", out)


def quoted(path: Path) -> str:
    """A path as an SQL string."""
    return "'" + str(path).replace("'", "''") + "'"


def copy_parquet(con: duckdb.DuckDBPyConnection, query: str, out: Sink) -> None:
    """DuckDB writes Parquet to a file only: to a temporary one, passed on in pieces. Level 1 takes an eighth less time for 1 % more bytes."""
    with tempfile.TemporaryDirectory(prefix="netexfil-") as folder:
        path = Path(folder) / "rows.parquet"
        con.execute(f"COPY ({query}) TO {quoted(path)} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                out.write(piece)


# Zeek's types of our columns where the DuckDB type does not decide.
_ZEEK_TYPES = {
    "ts": "time",
    "duration": "interval",
    "orig_h": "addr",
    "resp_h": "addr",
    "orig_p": "port",
    "resp_p": "port",
    "proto": "enum",
    "pcr": "double",
    "rate_out": "double",
}
_ZEEK_KINDS = {"BIGINT": "count", "INTEGER": "count", "BOOLEAN": "bool", "VARCHAR": "string", "DOUBLE": "double"}
# Zeek's own first columns of conn.log, then the rest in our order.
_ZEEK_CELLS = {"time": "printf('%.6f', {0})", "interval": "printf('%.6f', {0})", "bool": "CASE WHEN {0} THEN 'T' WHEN NOT {0} THEN 'F' END"}


def zeek(con: duckdb.DuckDBPyConnection, out: Sink, rows: str, _options: Options) -> None:
    """A conn.log as Zeek's ASCII writer makes it, with our columns behind Zeek's own.

    Lines with a character that needs escaping are made again from their JSON by `zeeklog`; all others come finished from DuckDB.
    """
    kinds = {name: _ZEEK_TYPES.get(name) or _ZEEK_KINDS[SESSION[name]] for name in SESSION_OUTPUT}
    out.write(zeeklog.header("conn", {_shown(name): kind for name, kind in kinds.items()}))
    cells = (f"coalesce({_ZEEK_CELLS.get(kind, 'CAST({0} AS VARCHAR)').format(name)}, '-')" for name, kind in kinds.items())
    line = _joined("\t", cells)
    strings = [name for name, kind in kinds.items() if kind in ("string", "enum")]
    odd = f"regexp_matches(concat_ws(' ', {', '.join(strings)}), '{zeeklog.ODD}')" + "".join(f" OR {name} IN ('', '-')" for name in strings)
    raw = ", ".join(f"'{name}': {_finite(name)}" for name in SESSION_OUTPUT)
    query = f"SELECT CASE WHEN {odd} THEN NULL ELSE {line} END, CASE WHEN {odd} THEN to_json({{{raw}}})::VARCHAR END {rows}"
    for batch in _batches(con, query):
        lines = [done if done is not None else zeeklog.line(orjson.loads(json), kinds) for done, json in batch]
        out.write(("\n".join(lines) + "\n").encode())


_CARD = (
    "ts",
    "orig_h",
    "resp_h",
    "resp_p",
    "proto",
    "protocol",
    "outbound",
    "server_name",
    "bytes_out_low",
    "bytes_out_high",
    "byte_quality",
    "bytes_in",
    "pcr",
    "rate_out",
    "duration",
    "conn_state",
    "inside_h",
    "remote_h",
    "remote_p",
    "orig_bytes",
    "resp_bytes",
)


def table(con: duckdb.DuckDBPyConnection, out: Sink, rows: str, options: Options) -> None:
    """The card's table for people: direction, PCR, volume, rate. At most TABLE_ROWS rows; the rest is counted below."""
    from netexfil.report.console import show, terminal

    total = con.execute(f"SELECT count(*) FROM (SELECT ts, uid {rows})").fetchone()
    shown = con.execute(f"SELECT {', '.join(_CARD)} {rows} LIMIT {TABLE_ROWS}").fetchall()
    if not shown:
        return
    console = terminal(out, options)
    console.print(_card([dict(zip(_CARD, row, strict=True)) for row in shown], console.width))
    if total and total[0] > len(shown):
        console.print(f"… {total[0] - len(shown):,} more sessions: use --format jsonl, csv, parquet or zeek for all")
    show(console, out)


_RIGHT = frozenset({"out", "in", "PCR", "rate/s", "lasted"})
# Columns that a narrow terminal does without, the least needed first; and those whose cells are cut rather than left out.
_SPARE = ("rate/s", "lasted", "in", "PCR", "dir", "protocol", "time (UTC)")
_SHORTER = {"protocol": (8, 8), "from": (15, 15), "to": (39, 25)}  # 192.168.100.100:65535/tcp has 25 characters
NARROW = 116
_GAP = 3  # between two columns; a line begins and ends with a blank


def _card(rows: list[dict[str, Any]], width: int) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = [{title: words.visible(cell) for title, cell in _card_row(row, width < NARROW).items()} for row in rows]
    wide = fitting.fitted(cells, width - 2, _SPARE, _SHORTER, _GAP)
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for title, room in wide.items():
        shown.add_column(title, justify="right" if title in _RIGHT else "left", no_wrap=True, width=room)
    for row in cells:
        tails = {"to": len(row["to"]) - row["to"].rfind(":")}  # of a long name its port stays
        shown.add_row(*(Text(fitting.cut(row[title], room, tails.get(title, 0))) for title, room in wide.items()))
    return shown


def _card_row(row: dict[str, Any], narrow: bool) -> dict[str, str]:
    """Turned so that `out` is away from the inside host; a session that has none is shown as Zeek has it. `narrow`: times without a year."""
    from netexfil.finding import iso

    turned = row["inside_h"] is not None
    near, far, port = (row["inside_h"], row["remote_h"], row["remote_p"]) if turned else (row["orig_h"], row["resp_h"], row["resp_p"])
    amount = {"low": row["bytes_out_low"], "high": row["bytes_out_high"], "quality": row["byte_quality"]}
    out_bytes = words.size(amount) if amount["low"] is not None else words.units(row["orig_bytes"])
    far_name = f"{row['server_name']} ({far})" if row["server_name"] else f"[{far}]" if ":" in str(far) else str(far)
    direction = {"true": "out", "pull": "pull"}.get(row["outbound"] or "", "")
    return {
        "time (UTC)": iso(row["ts"])[5 if narrow else 0 : 19].replace("T", " "), "from": str(near), "to": f"{far_name}:{port}/{row['proto']}",
        "protocol": row["protocol"] or "", "out": out_bytes, "in": words.units(row["bytes_in"] if turned else row["resp_bytes"]),
        "PCR": words.signed(row["pcr"]), "rate/s": "" if row["rate_out"] is None else words.units(row["rate_out"]),
        "lasted": "" if row["duration"] is None else words.span(row["duration"]), "dir": direction,
    }  # fmt: skip
