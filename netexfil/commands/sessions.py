"""The card's table: sessions with direction, PCR, volume and rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netexfil.commands import common


@click.command(name="sessions")
@common.sources_argument
@common.reading_options
@click.option("--outbound", "outbound_only", is_flag=True, help="Only the flagged ones: from inside to a public address on a watched port.")
@click.option("--format", "form", type=click.Choice(["table", "jsonl", "csv", "parquet", "zeek"]), default="table", show_default=True)
@common.output_option
def command(sources: tuple[str, ...], policy_file: Path | None, outbound_only: bool, form: str, output: Path | None, **more: Any) -> int:
    """Sessions of captures and Zeek logs, under Zeek's own column names.

    \b
    Examples:
      netexfil sessions capture.pcapng --outbound
      netexfil sessions ring/ --format zeek -o conn.log
      netexfil sessions zeek-logs/ --format parquet -o sessions.parquet
    """
    from netexfil import pipeline, read, report, tables

    options = read.Options(
        engine=more["engine"], max_sessions=more["max_sessions"], only_outbound=outbound_only, hold=tables.size(more["memory"]) // 2
    )
    con = tables.later(("session", "name"), more["memory"])
    written = []

    def straight(files: read.Files) -> None:
        report.write_pieces(files[form](outbound_only), output)
        written.append(form)

    with common.Progress() as progress:
        job = pipeline.Job(sources=sources, policy=common.load_policy(policy_file), options=options)
        notes = pipeline.load(con, job, progress, straight if form != "table" else None)
    if not written:
        report.write_sessions(con, form, output, outbound_only)
    common.say(notes)
    return common.exit_code(notes)
