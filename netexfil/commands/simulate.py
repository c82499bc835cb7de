"""A drill: captures, logs and events of uploads that never happened."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="simulate")
@click.argument("scenarios", nargs=-1, metavar="SCENARIO...|all")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Directory to write to.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option("--size", type=click.IntRange(min=1000), default=1_200_000, show_default=True, help="Bytes of each upload.")
@click.option("--skew", default=0.0, show_default=True, help="Seconds that the endpoint's clock is ahead.")
@click.option("--rtt", type=click.FloatRange(min=0), default=0.02, show_default=True, help="Round trip in seconds.")
@click.option("--loss", type=click.FloatRange(0, 0.5), default=0.0, show_default=True, help="Share of data packets that are sent twice.")
@click.option("--nat", is_flag=True, help="The sensor stands outside a router that translates addresses.")
@click.option("--list", "listing", is_flag=True, help="Name the scenarios and stop.")
def command(
    scenarios: tuple[str, ...], output: Path | None, seed: int, size: int, skew: float, rtt: float, loss: float, nat: bool, listing: bool
) -> int:
    """Captures, Zeek logs, endpoint events and their truth for known uploads, to prove a pipeline end to end. Nothing is sent.

    For each scenario: NAME.pcap, NAME.endpoint.jsonl, NAME.truth.json, and Zeek's logs in zeek/NAME.pcap/.

    \b
    Examples:
      netexfil simulate test1-rclone-sftp -o drill --skew 3600
      netexfil simulate all -o drill && netexfil evaluate drill
    """
    from netexfil import simulate

    if listing:
        for name, scenario in simulate.SCENARIOS.items():
            click.echo(f"{name:26s}{scenario.title}")
        return 0
    if not scenarios or output is None:
        raise click.UsageError("name scenarios (or all) and a directory: netexfil simulate all -o DIR; --list names them")
    options = simulate.Options(seed=seed, size=size, skew=skew, nat=nat, loss=loss, rtt=rtt)
    for capture in simulate.simulate(scenarios, output, options):
        click.echo(str(capture))
    return 0
