"""The site policy: write one with every default, or check one."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(name="policy")
def command() -> None:
    """Write a commented policy with every setting at its default, or check one.

    \b
    Examples:
      netexfil policy init -o site.toml
      netexfil policy check site.toml
    """


@command.command(name="init")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write here instead of stdout; never overwrites.")
def init(output: Path | None) -> int:
    """A policy file (TOML) with every setting, its default, meaning and source."""
    from netexfil.defaults import template

    if output is None:
        click.echo(template(), nl=False)
        return 0
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(template())
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from error
    return 0


@command.command(name="check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(file: Path) -> int:
    """Validate FILE; names the key that is wrong (exit 2)."""
    from netexfil import defaults, policy, settings

    site = policy.load(file)
    click.echo(f"inside     {', '.join(site.inside)}")
    click.echo(f"watched    {', '.join(map(str, site.watched))}")
    for name in defaults.THRESHOLDS:
        if name in site.thresholds:
            click.echo(f"threshold  {name} = {site.threshold(name):g} {defaults.THRESHOLDS[name].unit}")
    for entry in site.allow:
        named = ", ".join(f"{key} {getattr(entry, key)}" for key in settings.ALLOW if key != "reason" and getattr(entry, key) is not None)
        click.echo(f"allow      {named} ({entry.reason})")
    return 0
