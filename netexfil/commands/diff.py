"""What is new or grown, since a time or between two states."""

from __future__ import annotations

from pathlib import Path

import click

from netexfil.commands import common


@click.command(name="diff")
@click.argument("state", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("other", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--since", callback=common.parse_time, metavar="TIME", help="Findings that runs since this time made or changed.")
@click.option("--format", "form", type=click.Choice(["console", "jsonl", "csv"]), default="console", show_default=True)
@common.output_option
def command(state: Path, other: Path | None, since: float | None, form: str, output: Path | None) -> int:
    """Findings of STATE that are new or have grown: since a time, or against OTHER.

    \b
    Examples:
      netexfil diff state.duckdb --since 2026-11-22T06:00Z
      netexfil diff today.duckdb yesterday.duckdb
    """
    from netexfil import report
    from netexfil import state as states

    if other is None and since is None:
        raise click.UsageError("give --since TIME or a second state")
    report.write(states.diff(state, since, other), (), form, output)
    return 0
