"""`python -m benchmarks`: generate, run interleaved, print and write the tables."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from benchmarks import inputs, measure, peers, report
from benchmarks.peers import Peer
from benchmarks.report import Line, Table

ROOT = Path(__file__).parent.parent
GROUPS = ("p1", "p2", "z1", "gz", "json", "job", "curve", "start")


@click.command()
@click.option("--scale", type=click.FloatRange(min=0.0005, max=2), default=0.02, show_default=True, help="1: the sizes of docs/performance.md.")
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True, help="Interleaved runs of each; medians are shown.")
@click.option("--only", help=f"Comma separated, of {','.join(GROUPS)}.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Keeps the generated inputs here.")
@click.option("--write", is_flag=True, help="Put the tables into docs/performance.md.")
def main(scale: float, runs: int, only: str | None, folder: Path | None, write: bool) -> None:
    """Ratios against the named peers, in one run, interleaved."""
    os.environ["PYTHONPATH"] = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    wanted = only.split(",") if only else list(GROUPS)
    with tempfile.TemporaryDirectory(prefix="netexfil-bench") as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        tables = [table for name in GROUPS if name in wanted for table in [BUILDERS[name](place, scale, runs)] if table]
    text = report.markdown(tables, scale, runs)
    click.echo(text)
    if write:
        report.store(ROOT / "docs" / "performance.md", text)
    if any(line.holds is False for table in tables for line in table.lines):
        click.echo("Some targets do not hold; see the table.", err=True)


def packets(what: str, title: str, place: Path, scale: float, runs: int) -> Table:
    big = inputs.make(place, what, scale)
    small = inputs.make(place, what, scale / 10)
    units = {big: inputs.packets(big), small: inputs.packets(small)}
    others = [replace(peer, target=peers.P2_TARGET) if what == "p2" and peer.name in peers.EXPORTERS else peer for peer in peers.PACKETS]
    return compare(title, "M packets", peers.SESSIONS, others, big, small, units, runs, 1e6)


def logs(place: Path, scale: float, runs: int) -> Table:
    big, small = inputs.make(place, "z1", scale), inputs.make(place, "z1", scale / 10)
    units = {big: inputs.rows(big), small: inputs.rows(small)}
    return compare("Z1, conn.log, plain", "M rows", peers.CHANNELS, peers.LOGS, big, small, units, runs, 1e6)


def packed(place: Path, scale: float, runs: int) -> Table:
    plain = inputs.make(place, "z1", scale, "--hourly")
    big = inputs.packed(plain)
    return compare("Z1, hourly files, gzip", "M rows", peers.CHANNELS, peers.PACKED, big, big, {big: inputs.rows(plain)}, runs, 1e6)


def json(place: Path, scale: float, runs: int) -> Table:
    plain, big = inputs.make(place, "z1", scale), inputs.make(place, "z1", scale, "--json")
    return compare("Z1, JSON", "M rows", peers.CHANNELS, peers.JSON, big, big, {big: inputs.rows(plain)}, runs, 1e6)


def job(place: Path, scale: float, runs: int) -> Table:
    """The whole job against reading alone: target 2.5 times at most."""
    big, events = inputs.make(place, "z1", scale), inputs.make(place, "e1", scale)
    rows = inputs.rows(big)
    reading = Peer("reading alone", "python:netexfil", peers.SESSIONS_OF_LOGS.command, target=1 / 2.5)
    findings = Peer("netexfil SOURCE", "python:netexfil", peers.netexfil("FILE", "--format", "jsonl"))
    joined = Peer("netexfil SOURCE --join", "python:netexfil", peers.netexfil("FILE", "--join", str(events), "--format", "jsonl"))
    return compare("The whole job: Z1 with E1, joined, scored, reported", "M rows", joined, (reading, findings), big, big, {big: rows}, runs, 1e6)


def curve(place: Path, scale: float, runs: int) -> Table:
    """Cost against size: the exponent of a straight line through the logarithms, 1.05 at most."""
    shares = (0.05, 0.1, 0.25, 0.5, 1.0)
    points = []
    for share in shares:
        folder = inputs.make(place, "z1", scale * share)
        cost = measure.median([measure.run(peers.netexfil("FILE", "--format", "jsonl")(folder)) for _ in range(runs)])
        points.append((inputs.rows(folder), cost))
    return report.growth(points)


def start(place: Path, scale: float, runs: int) -> Table:
    """Start to finish on a small capture, against importing duckdb and click: three times at most."""
    small = inputs.make(place, "p1", 0.0003)
    imports = Peer("python -c 'import duckdb, click'", "python:duckdb", lambda _: [sys.executable, "-c", "import duckdb, click"], target=1 / 3)
    ours = Peer("netexfil SOURCE", "python:netexfil", peers.netexfil("FILE"))
    return compare("Start to finish, capture of 1 MB", "run", ours, (imports,), small, small, {small: 1}, runs, 1)


BUILDERS = {
    "p1": lambda *a: packets("p1", "P1, mixed traffic with hellos", *a),
    "p2": lambda *a: packets("p2", "P2, small packets", *a),
    "z1": logs, "gz": packed, "json": json, "job": job, "curve": curve, "start": start,
}


def compare(
    title: str, unit: str, ours: Peer, others: Sequence[Peer], big: Path, small: Path, units: dict[Path, int], runs: int, each: float
) -> Table:
    """One table: every run of ours beside one of each peer, so that a noisy minute falls on all."""
    present = [peer for peer in others if not peer.missing()]
    costs: dict[str, list[measure.Cost]] = {}
    failed: dict[str, str] = {}
    for _ in range(runs):
        for peer in (ours, *present):
            if peer.name in failed:
                continue
            try:
                costs.setdefault(peer.name, []).append(measure.run(peer.command(small if peer.slow else big)))
            except measure.FailedRun as error:
                failed[peer.name] = str(error)
    lines = []
    for peer in (ours, *others):
        if peer.name in costs and peer.name not in failed:
            done = small if peer.slow else big
            lines.append(Line(peer.name, measure.median(costs[peer.name]), units[done] / each, peer.target, peer.slow))
        else:
            lines.append(Line(peer.name, None, 0, peer.target, peer.slow, failed.get(peer.name, "not installed")))
    return Table(title, unit, report.with_ratios(lines), f"{units[big]:,} {unit.removeprefix('M ')}s, {_size(big) / 1e9:.2f} GB".replace("ss,", "s,"))


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size


if __name__ == "__main__":
    main()
