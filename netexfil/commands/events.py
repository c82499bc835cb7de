"""`netexfil events`: telemetry as normalised events, or what a rule selects."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netexfil.errors import Unreadable

if TYPE_CHECKING:
    import duckdb

_BATCH = 2000


@click.command("events")
@click.argument("files", nargs=-1, required=True, type=click.Path())
@click.option("--rule", type=click.Choice(["logscale", "splunk", "netexfil"]),
              help="Only what this rule selects, newest first, with its query's columns.")
@click.option("--sigma", type=click.Path(exists=True), help="Only what the Sigma rules in this directory select (extra `sigma`).")
@click.option("--explain", is_flag=True, help="What each file was read as, and the lines that no dialect knows, instead of events.")
@click.option("--policy", "policy_file", type=click.Path(exists=True), help="Policy file (TOML) with tuning knobs.")
@click.option("--format", "form", type=click.Choice(["jsonl", "table"]), default="table", show_default=True)
def command(files: Sequence[str], rule: str | None, sigma: str | None, explain: bool, policy_file: str | None, form: str) -> int:
    """Endpoint telemetry as normalised events, or what a rule selects.

    \b
    Examples:
      netexfil events sysmon.jsonl --explain        which dialect took which line
      netexfil events falcon/ --format jsonl
    """
    import tempfile

    import duckdb

    with tempfile.TemporaryDirectory(prefix="netexfil-") as spill, duckdb.connect() as con:
        con.execute("SET memory_limit = '400MB'; SET preserve_insertion_order = false")
        con.execute(f"SET temp_directory = '{spill.replace(chr(39), chr(39) * 2)}'")
        return _run(con, files, rule, sigma, explain, policy_file, form)


def _run(
    con: duckdb.DuckDBPyConnection, files: Sequence[str], rule: str | None, sigma: str | None, explain: bool, policy_file: str | None, form: str
) -> int:
    from netexfil import endpoint, tables
    from netexfil.commands import common
    from netexfil.endpoint import reading
    from netexfil.endpoint.inside import complete

    tables.create(con, ("event", "alert"))
    reader = reading.Reader(con)
    paths, notes = endpoint.distinct(endpoint.files(files))
    for path in paths:
        reader.read(path)
    complete(con, reader.side)
    notes += [note for account in reader.accounts for note in account.notes()]
    if common.exit_code(notes) and not reader.eid and not explain:
        raise Unreadable("; ".join(f"{note.file}: {note.reason}" for note in notes[:5]))
    rows = _explained(reader.accounts) if explain else _rows(con, rule, sigma, policy_file)
    _write(rows, form)
    if not explain:
        for note in notes:
            place = f" (first: line {note.place})" if note.place else ""
            click.echo("netexfil: " + common.visible(f"{note.file}: {note.count} × {note.reason}{place}"), err=True)
    return common.exit_code(notes)


def _rows(con: duckdb.DuckDBPyConnection, rule: str | None, sigma: str | None, policy_file: str | None) -> Iterator[Mapping[str, Any]]:
    from netexfil import policy as settings
    from netexfil import tables
    from netexfil.endpoint import rules

    if rule is not None and rule in rules.SEEDS:
        query, columns = rules.SEEDS[rule]
        yield from _fetch(con, query, columns)
        return
    columns = tuple(name for name in tables.EVENT if name != "eid")
    if rule is None and sigma is None:
        yield from _fetch(con, "SELECT * FROM event ORDER BY eid", columns)
        return
    for note in rules.select(con, settings.load(Path(policy_file)) if policy_file else settings.Policy(), sigma):
        click.echo(f"netexfil: {note.file}: {note.reason}", err=True)
    alert = ("rule", "title", "severity", "confidence", "technique", "tool", "reason")
    picked = ", ".join([f'a."{name}"' for name in alert] + [f'e."{name}"' for name in columns if name not in alert])
    which = "a.rule = 'netexfil'" if sigma is None else "starts_with(a.rule, 'sigma:')"
    yield from _fetch(con, f"SELECT {picked} FROM alert a JOIN event e USING (eid) WHERE {which} ORDER BY e.ts DESC NULLS LAST, e.eid DESC",
                      (*alert, *(name for name in columns if name not in alert)))


def _fetch(con: duckdb.DuckDBPyConnection, query: str, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    cursor = con.execute(query)
    names = [item[0] for item in cursor.description or ()]
    places = [names.index(name) for name in columns]
    while batch := cursor.fetchmany(_BATCH):
        for row in batch:
            yield {name: row[place] for name, place in zip(columns, places, strict=True)}


def _explained(accounts: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    """One row per file and dialect, per refusal, and per file in all."""
    for account in accounts:
        base = {"file": account.file, "what": "read", "dialect": None, "kind": None, "count": 0, "line": None, "reason": None}
        for (dialect, kind), count in sorted(account.dialects.items()):
            yield base | {"dialect": dialect, "kind": kind, "count": count}
        for reason, count in account.refused.items():
            yield base | {"what": "refused", "count": count, "line": account.first[reason], "reason": reason}
        said = account.unreadable or f"{account.events} events, {account.refused.total()} lines refused"
        yield base | {"what": "unreadable" if account.unreadable else "all", "count": account.lines, "reason": said}


def _write(rows: Iterator[Mapping[str, Any]], form: str) -> None:
    if form == "jsonl":
        import orjson

        out = sys.stdout.buffer
        for row in rows:
            out.write(orjson.dumps(row) + b"\n")
        out.flush()
        return
    _table(list(rows))


# Columns that a terminal has room for; all of them stand in the JSON lines.
_SHORT = ("ts", "kind", "host", "user", "image", "pid", "local_ip", "local_p", "remote_ip", "remote_p", "target", "command_line", "line")


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not rows:
        click.echo("nothing selected")
        return
    shown = [name for name in rows[0] if "guid" not in rows[0] or name in _SHORT or name in ("severity", "title", "tool", "reason")]
    names = [name for name in shown if any(row[name] is not None for row in rows)]
    table = Table(*names, box=None)
    for row in rows:
        table.add_row(*(escape(_plain(row[name])) for name in names))
    Console(width=None if sys.stdout.isatty() else 1000).print(table)


def _plain(value: Any) -> str:
    """A value without control characters (a hostile command line must not drive the terminal)."""
    return "" if value is None else "".join(char if char.isprintable() else "·" for char in str(value))[:200]
