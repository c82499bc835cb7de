"""Look into a state file, and the few ways to change it by hand."""

from __future__ import annotations

from pathlib import Path

import click

from netexfil.commands import common

_PATH = click.argument("state", type=click.Path(dir_okay=False, path_type=Path))
_FORMATS = ("console", "jsonl", "csv", "parquet", "ecs", "ocsf", "html", "notice")


@click.group(name="state")
def command() -> None:
    """What a state holds: health, findings, size; forget, vacuum, export.

    \b
    Examples:
      netexfil state show state.duckdb
      netexfil state forget state.duckdb --before 2026-08-01
    """


@command.command()
@_PATH
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def show(state: Path, form: str) -> int:
    """Health: the last run, the lag behind the logs, what was refused. Answers while a run writes."""
    import json
    import time

    from netexfil import state as states
    from netexfil.finding import iso

    health = states.show(state, time.time())
    if form == "json":
        click.echo(json.dumps(health))
        return 0
    run, held = health["last_run"], health["held"]
    if run is None:
        click.echo("no run yet")
        return 0
    click.echo(f"last run    {run['run']} at {iso(run['started'])}, {health['seconds_since_last_run']:.0f} s ago")
    click.echo(f"took in     {run['sessions']:,} sessions, {run['refused']:,} lines refused ({health['refused_last_day']:,} in the last day)")
    if health["last_ts"] is not None:
        click.echo(f"holds       {held['session']:,} sessions from {iso(health['first_ts'])} to {iso(health['last_ts'])}, {held['event']:,} events")
        click.echo(f"lag         {health['lag']:.0f} s behind the clock")
    click.echo(f"findings    {held['finding']:,}, of them {health['alerts']:,} alerts; {held['outbox']:,} not written out yet")
    click.echo(f"file        {health['bytes']:,} bytes, {held['log']:,} logs known")
    return 0


@command.command()
@_PATH
@click.option("--format", "form", type=click.Choice(_FORMATS), default="console", show_default=True)
@common.output_option
def findings(state: Path, form: str, output: Path | None) -> int:
    """The findings as they stand."""
    from netexfil import report
    from netexfil import state as states

    report.write(states.findings(state), (), form, output)
    return 0


@command.command()
@_PATH
@click.option("--before", callback=common.parse_time, metavar="TIME", help="Drop the days before this time's (ISO or epoch).")
@click.option("--after", callback=common.parse_time, metavar="TIME", help="Drop the days from this time's on: what a broken clock dated.")
def forget(state: Path, before: float | None, after: float | None) -> int:
    """Drop sessions, events and findings of whole days before a time, or from one on."""
    import time

    from netexfil import state as states

    if before is None and after is None:
        raise click.UsageError("say --before or --after")
    gone = states.forget(state, before, time.time(), after)
    click.echo(", ".join(f"{count:,} {table} rows" for table, count in gone.items()) + " dropped")
    return 0


@command.command()
@_PATH
def vacuum(state: Path) -> int:
    """Write the file anew without the room of dropped rows."""
    import time

    from netexfil import state as states

    before, after = states.vacuum(state, time.time())
    click.echo(f"{before:,} bytes before, {after:,} after")
    return 0


@command.command()
@_PATH
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def export(state: Path, folder: Path) -> int:
    """Every table as a Parquet file."""
    from netexfil import state as states

    for written in states.export(state, folder):
        click.echo(str(written))
    return 0
