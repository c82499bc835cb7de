"""The smallest upload per host class that would be found here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netexfil.commands import common


@click.command(name="power")
@common.sources_argument
@common.reading_options
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), help="Alerts a day you can read; thresholds follow from this input first.")
def command(sources: tuple[str, ...], policy_file: Path | None, budget: float | None, **more: Any) -> int:
    """Inject synthetic uploads of rising size and slowness into the sessions of SOURCE and say which would be found.

    \b
    Examples:
      netexfil power zeek-logs/ --policy site.toml
    """
    from netexfil import channels, detect, pipeline, power, read, tables

    site = common.load_policy(policy_file)
    con = tables.connect(memory=more["memory"])
    tables.create(con)
    options = read.Options(engine=more["engine"], max_sessions=more["max_sessions"])
    with common.Progress() as progress:
        notes = pipeline.load(con, pipeline.Job(sources=sources, policy=site, options=options), progress)
    channels.build(con, site)
    if budget is not None:
        site, note = detect.budget(con, site, budget)
        notes.append(note)
    rows = list(power.power(con, site))
    if not rows:
        click.echo("no outbound sessions: nothing to inject into")
    else:
        click.echo(power.table(rows) + "\n\n" + power.plot(rows))
    common.say(notes)
    return common.exit_code(notes)
