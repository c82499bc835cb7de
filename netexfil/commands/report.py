"""Saved findings, or those of a state, in any format: first of all as a page."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from netexfil.commands import common
from netexfil.errors import Note
from netexfil.finding import SEVERITIES, Finding, Severity, at_least
from netexfil.report import FORMATS


@click.command(name="report")
@click.argument("findings", type=click.Path(dir_okay=False, path_type=Path), metavar="FINDINGS|STATE")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="html", show_default=True)
@common.output_option
@click.option("--title", default="netexfil report", show_default=True, help="Head of the page.")
@click.option("--min-severity", type=click.Choice(SEVERITIES), default="info", show_default=True, help="Leave out findings below this.")
@click.option("-v", "--verbose", is_flag=True, help="Console: sessions, evidence and links of each finding.")
@click.option("--plain", is_flag=True, help="Console: no colours, no boxes, one line a finding.")
def command(findings: Path, form: str, output: Path | None, title: str, min_severity: Severity, verbose: bool, plain: bool) -> int:
    """A page (or any other format) from findings that were saved with --format jsonl, or from a state file.

    \b
    Examples:
      netexfil capture.pcapng --format jsonl -o findings.jsonl
      netexfil report findings.jsonl -o report.html
      netexfil report state.duckdb --format csv -o findings.csv
    """
    from netexfil import report

    if output is None and form in ("html", "parquet") and sys.stdout.isatty():
        raise click.UsageError(f"{form} is not for a terminal: give -o FILE")
    found, notes = load(findings)
    shown = [finding for finding in found if at_least(finding.severity, min_severity)]
    report.write(shown, notes, form, output, report.Options(verbose=verbose, plain=plain, title=title))
    common.say(notes)
    return common.exit_code(notes)


def load(path: Path) -> tuple[list[Finding], list[Note]]:
    """A state file is told by DuckDB's mark at byte 8, anything else is JSON lines."""
    from netexfil.report import saved

    try:
        with path.open("rb") as file:
            is_state = file.read(12)[8:] == b"DUCK"
    except OSError:
        is_state = False
    if not is_state:
        return saved.findings(path)
    from netexfil import state

    return state.findings(path), []
