"""The main job: findings from sources, joined with telemetry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netexfil.commands import common
from netexfil.finding import SEVERITIES, Finding, Severity, at_least

if TYPE_CHECKING:
    from netexfil import pipeline
    from netexfil.errors import Note

FORMATS = ("console", "jsonl", "csv", "parquet", "ecs", "ocsf", "html", "notice")


@click.command(name="analyze")
@common.sources_argument
@common.join_options
@common.reading_options
@common.time_options
@click.option("--format", "form", type=click.Choice(FORMATS), default="console", show_default=True)
@common.output_option
@click.option("--min-severity", type=click.Choice(SEVERITIES), default="low", show_default=True, help="Leave out findings below this.")
@click.option("--fail-on", type=click.Choice(SEVERITIES), help="Exit 1 where an unsuppressed finding is at or above this.")
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), help="Alerts a day you can read; thresholds follow from this input.")
@click.option("--state", type=click.Path(dir_okay=False, path_type=Path), help="Remember what was read and found: each line counts once.")
@click.option("--wait", is_flag=True, help="With --state: wait for a run that is at work, instead of exit 5.")
@click.option("--metrics", type=click.Path(dir_okay=False, path_type=Path), help="With --state: a Prometheus textfile, replaced at once.")
@click.option("-v", "--verbose", is_flag=True, help="Sessions, evidence and links of each finding.")
@click.option("--plain", is_flag=True, help="No colours, no boxes.")
def command(
    form: str, output: Path | None, min_severity: Severity, fail_on: Severity | None, verbose: bool, plain: bool, **asked: Any
) -> int:
    """Findings from captures and Zeek logs, joined with endpoint telemetry.

    A SOURCE is a capture, a Zeek log, or a directory of either.

    \b
    Examples:
      netexfil zeek-logs/ --join sysmon.jsonl
      netexfil capture.pcapng --format html -o report.html
      netexfil /opt/zeek/logs --state netexfil.duckdb --format jsonl -o findings.jsonl
    """
    from netexfil import report

    findings, notes, nothing = _with_state(asked) if asked["state"] else _at_once(asked)
    shown = [finding for finding in findings if at_least(finding.severity, min_severity)]
    options = report.Options(verbose=verbose, plain=plain)
    if asked["state"]:
        _hand_out(shown, findings, notes, form, output, options, asked["state"])
    else:
        report.write(shown, notes, form, output, options)
    common.say(notes, anything_found=bool(shown))
    if fail_on and any(f.suppressed is None and at_least(f.severity, fail_on) for f in shown):
        return common.EXIT_FINDINGS
    return common.EXIT_NOTHING if nothing else common.exit_code(notes)


def _job(asked: dict[str, Any]) -> pipeline.Job:
    from netexfil import pipeline, read

    options = read.Options(
        engine=asked["engine"], max_sessions=asked["max_sessions"], only_outbound=True, since=asked["since"], until=asked["until"]
    )
    return pipeline.Job(
        sources=asked["sources"], join=asked["join"], policy=common.load_policy(asked["policy_file"]), options=options,
        window=asked["window"], hosts=asked["hosts"], sigma=asked["sigma"], budget=asked["budget"], memory=asked["memory"],
    )


def _at_once(asked: dict[str, Any]) -> tuple[Sequence[Finding], Sequence[Note], bool]:
    from netexfil import pipeline, tables

    con = tables.connect(memory=asked["memory"])
    with common.Progress() as progress:
        result = pipeline.analyze(con, _job(asked), progress)
    return result.findings, result.notes, False


def _with_state(asked: dict[str, Any]) -> tuple[Sequence[Finding], Sequence[Note], bool]:
    import time

    from netexfil import state

    now = time.time()
    done = state.run(asked["state"], _job(asked), now, asked["wait"])
    if asked["metrics"]:
        state.metrics(asked["state"], asked["metrics"], now)
    return done.findings, done.notes, done.nothing_readable


def _hand_out(
    shown: Sequence[Finding], findings: Sequence[Finding], notes: Sequence[Note], form: str, output: Path | None, options: Any, state: Path
) -> None:
    """Write what a run over a state has to tell, and only then forget that it was to be told.

    A file is appended to in one piece; where the disk is full it is cut back to what it was, and the next run tells it again.
    """
    import io

    from netexfil import report
    from netexfil.state import delivered

    if shown:
        if output is None:
            report.write(shown, notes, form, None, options)
        else:
            buffer = io.BytesIO()
            report.write(shown, notes, form, buffer, options)
            _append(output, buffer.getvalue())
    delivered(state, findings)


def _append(path: Path, data: bytes) -> None:
    import contextlib
    import os

    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        before = os.fstat(handle).st_size
        try:
            if os.write(handle, data) != len(data):
                raise OSError(28, "No space left on device", str(path))
            os.fsync(handle)
        except OSError as error:
            with contextlib.suppress(OSError):  # a device has no length to go back to
                os.ftruncate(handle, before)
            raise click.ClickException(f"{path}: {error.strerror}; the findings are kept and told by the next run") from error
    finally:
        os.close(handle)
