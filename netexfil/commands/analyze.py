"""The main job: findings from sources, joined with telemetry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netexfil.commands import common
from netexfil.finding import SEVERITIES, Severity, at_least

FORMATS = ("console", "jsonl", "csv", "parquet", "ecs", "ocsf", "html", "notice")


@click.command(name="analyze")
@common.sources_argument
@common.join_options
@common.reading_options
@click.option("--format", "form", type=click.Choice(FORMATS), default="console", show_default=True)
@common.output_option
@click.option("--min-severity", type=click.Choice(SEVERITIES), default="low", show_default=True, help="Leave out findings below this.")
@click.option("--fail-on", type=click.Choice(SEVERITIES), help="Exit 1 where an unsuppressed finding is at or above this.")
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), help="Alerts a day you can read; thresholds follow from this input.")
@click.option("-v", "--verbose", is_flag=True, help="Sessions, evidence and links of each finding.")
@click.option("--plain", is_flag=True, help="No colours, no boxes.")
def command(
    sources: tuple[str, ...], join: tuple[str, ...], policy_file: Path | None, form: str, output: Path | None, min_severity: Severity,
    fail_on: Severity | None, budget: float | None, verbose: bool, plain: bool, **more: Any,
) -> int:
    """Findings from captures and Zeek logs, joined with endpoint telemetry.

    A SOURCE is a capture, a Zeek log, or a directory of either.
    """
    from netexfil import pipeline, read, report, tables

    job = pipeline.Job(
        sources=sources, join=join, policy=common.load_policy(policy_file), window=more["window"], hosts=more["hosts"], sigma=more["sigma"],
        options=read.Options(engine=more["engine"], max_sessions=more["max_sessions"], only_outbound=True), budget=budget,
    )
    con = tables.connect()
    with common.Progress() as progress:
        result = pipeline.analyze(con, job, progress)
    common.refuse_if_nothing(con, result.notes)
    shown = [finding for finding in result.findings if at_least(finding.severity, min_severity)]
    report.write(shown, result.notes, form, output, report.Options(verbose=verbose, plain=plain))
    common.say(result.notes)
    if fail_on and any(f.suppressed is None and at_least(f.severity, fail_on) for f in shown):
        return common.EXIT_FINDINGS
    return common.exit_code(result.notes)
