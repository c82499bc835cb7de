"""What left at a glance: outbound sessions by channel, largest first."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from netexfil.commands import common


@click.command(name="channels")
@common.sources_argument
@common.reading_options
@click.option("--top", type=click.IntRange(min=0), help="Only so many channels; default: 20 in the table, else all.")
@click.option("--daily", is_flag=True, help="One channel for each UTC day.")
@click.option("--format", "form", type=click.Choice(["table", "jsonl", "csv", "parquet"]), default="table", show_default=True)
@common.output_option
def command(
    sources: tuple[str, ...], policy_file: Path | None, top: int | None, daily: bool, form: str, output: Path | None, **more: Any
) -> int:
    """Outbound sessions summed by inside host, destination, port and transport, those that sent most first.

    \b
    Examples:
      netexfil channels zeek-logs/
      netexfil channels conn.*.log.gz --daily --top 50
      netexfil channels zeek-logs/ --format parquet -o channels.parquet
    """
    from netexfil import read, summary
    from netexfil.report.sink import opened

    options = read.Options(engine=more["engine"], max_sessions=more["max_sessions"])
    shown = 20 if top is None and form == "table" else top
    with common.Progress() as progress:
        found = summary.channels(sources, options, common.load_policy(policy_file), shown, daily, more["memory"], progress)
    with opened(output) as stream:
        getattr(importlib.import_module("netexfil.report.channels"), form)(found, stream)
    common.say(found.notes)
    return common.exit_code(found.notes)
