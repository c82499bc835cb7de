"""Runs a command and says what it cost, its children included."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds (user and system, of the whole process tree), wall seconds, peak resident MB of its largest process."""

    cpu: float
    wall: float
    memory: float


class FailedRun(Exception):
    """A command that did not end well; its last words."""


def run(argv: Sequence[str]) -> Cost:
    """Run to the end; output goes to a file that is thrown away.

    Raises:
        FailedRun: exit code other than 0 and 3 (netexfil's "some input could not be read").
    """
    with tempfile.TemporaryDirectory(prefix="bench") as folder, (Path(folder) / "err").open("w+") as err:
        started = time.perf_counter()
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, cwd=folder)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in (0, 3):
            err.seek(0)
            raise FailedRun(f"exit {child.returncode}: {err.read()[-300:].strip()}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in ("cpu", "wall", "memory")))
