"""Tables of results as Markdown, and their place in docs/performance.md."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.measure import Cost

BEGIN, END = "<!-- measured -->", "<!-- /measured -->"


@dataclass(frozen=True, slots=True)
class Line:
    """One program. `ratio`: CPU it needs for each unit, over ours. `slow`: measured on a tenth of the input."""

    name: str
    cost: Cost | None
    units: float
    target: float | None = None
    slow: bool = False
    why: str = ""
    ratio: float | None = None

    @property
    def holds(self) -> bool | None:
        return None if self.ratio is None or self.target is None else self.ratio >= self.target


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    unit: str
    lines: tuple[Line, ...]
    note: str = ""


def with_ratios(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Ratios to the first line."""
    first = lines[0]
    if first.cost is None:
        return tuple(lines)
    own = first.cost.cpu / first.units
    return (first, *(replace(line, ratio=line.cost.cpu / line.units / own) if line.cost else line for line in lines[1:]))


def growth(points: Sequence[tuple[int, Cost]]) -> Table:
    """CPU against rows; the slope of the least-squares line through the logarithms. The cost of starting, included, flattens small inputs."""
    xs = [math.log(rows) for rows, _ in points]
    ys = [math.log(cost.cpu) for _, cost in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum((x - mean_x) ** 2 for x in xs)
    lines = [Line(f"{rows:,} rows", cost, rows / 1e6) for rows, cost in points]
    return Table("Cost against size, netexfil SOURCE", "M rows", tuple(lines), f"exponent {slope:.2f} (target: 1.05 at most)")


def markdown(tables: Sequence[Table], scale: float, runs: int) -> str:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    parts = [f"Scale {scale:g}, medians of {runs} interleaved runs; {machine}; load {os.getloadavg()[0]:.1f}."]
    for table in tables:
        parts.append(f"### {table.title}\n\n{table.note}\n\n" + _rows(table))
    return "\n\n".join(parts) + "\n"


def _rows(table: Table) -> str:
    head = f"| program | CPU s | wall s | {table.unit}/CPU s | peak MB | CPU × ours | target |\n|---|---|---|---|---|---|---|\n"
    return head + "\n".join(_row(line) for line in table.lines)


def _row(line: Line) -> str:
    name = line.name + (" (a tenth)" if line.slow else "")
    if line.cost is None:
        return f"| {name} | {line.why[:80].replace('|', '/')} | | | | | |"
    rate = f"{line.units / line.cost.cpu:.3g}" if line.cost.cpu else ""
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
    target = "" if line.target is None else f"{line.target:.3g}" + ("" if line.holds else ", not met")
    return f"| {name} | {line.cost.cpu:.2f} | {line.cost.wall:.2f} | {rate} | {line.cost.memory:.0f} | {ratio} | {target} |"


def store(path: Path, text: str) -> None:
    """Replace what stands between the two marks."""
    page = path.read_text()
    before, rest = page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
