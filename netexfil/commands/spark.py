"""The main job on Apache Spark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netexfil.commands import common
from netexfil.finding import SEVERITIES, Severity, at_least

FORMATS = ("console", "jsonl", "csv", "parquet", "ecs", "ocsf", "html")


@click.command(name="spark")
@common.sources_argument
@common.join_options
@common.reading_options
@common.time_options
@click.option("--master", default="local[*]", show_default=True, help="spark://HOST:PORT, yarn, k8s://URL, local[N].")
@click.option("--conf", multiple=True, metavar="KEY=VALUE", help="A Spark setting; may be given again.")
@click.option("--parts", type=click.IntRange(min=2), help="Partitions of hosts; default: three for each core.")
@click.option("--piece", default=256, show_default=True, type=click.IntRange(min=1), help="Megabytes that one task reads.")
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), help="Alerts a day you can read; thresholds follow from this input.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="console", show_default=True)
@common.output_option
@click.option("--min-severity", type=click.Choice(SEVERITIES), default="low", show_default=True, help="Leave out findings below this.")
@click.option("--fail-on", type=click.Choice(SEVERITIES), help="Exit 1 where an unsuppressed finding is at or above this.")
def command(
    master: str, conf: tuple[str, ...], parts: int | None, piece: int, form: str, output: Path | None, min_severity: Severity,
    fail_on: Severity | None, **asked: Any,
) -> int:
    """The main job on a cluster: findings as on one machine, from an archive that does not fit one.

    A SOURCE is a path that all workers see, or a URL (s3://, gs://, hdfs://). docs/scale.md says how to size and submit.

    \b
    Examples:
      netexfil spark zeek-logs/ --join sysmon.jsonl
      netexfil spark s3://archive/zeek/2026-11/ --master spark://head:7077 --format parquet -o findings.parquet
    """
    from netexfil import pipeline, read, report, spark

    settings = dict(_setting(word) for word in conf)
    options = read.Options(
        engine=asked["engine"], max_sessions=asked["max_sessions"], only_outbound=True, since=asked["since"], until=asked["until"]
    )
    job = pipeline.Job(
        sources=asked["sources"], join=asked["join"], policy=common.load_policy(asked["policy_file"]), options=options,
        window=asked["window"], hosts=asked["hosts"], sigma=asked["sigma"], budget=asked["budget"],
    )
    session = spark.session(master, settings)
    try:
        result = spark.analyze(session, job, parts, piece * 2**20)
    finally:
        session.stop()
    shown = [finding for finding in result.findings if at_least(finding.severity, min_severity)]
    report.write(shown, result.notes, form, output, report.Options())
    common.say(result.notes)
    if fail_on and any(finding.suppressed is None and at_least(finding.severity, fail_on) for finding in shown):
        return common.EXIT_FINDINGS
    return common.exit_code(result.notes)


def _setting(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise click.BadParameter(f"{word}: KEY=VALUE", param_hint="--conf")
    return name, value
