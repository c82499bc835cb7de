"""Any interleaving of append, rotate, gzip, rename, copy, truncate, run and crash ends in the findings table of one run over everything."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from world import HEADS, Town, World, records, table, whole

from netexfil.errors import Unreadable
from netexfil.state import store

HISTORIES = int(os.environ.get("NETEXFIL_HISTORIES", "12"))


class Crash(Exception):
    """Stands for a kill in the middle of a run: nothing after it happens."""


class Sensor(RuleBasedStateMachine):
    """`NETEXFIL_HISTORIES=2000 pytest tests/state` plays as many."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="netexfil-world-"))
        self.world = World(self.root, [])
        self.begun = False

    @precondition(lambda self: not self.begun)
    @rule(seed=st.integers(0, 9999), town=st.booleans())
    def begin(self, seed: int, town: bool) -> None:
        self.begun = True
        self.world.coming = Town(seed).records(24) if town else records(seed, 24)
        self.world.policy = Town.POLICY if town else None

    @rule(count=st.integers(1, 20))
    def append(self, count: int) -> None:
        self.world.append(count)

    @rule()
    def half_line(self) -> None:
        self.world.half_line()

    @rule(log=st.sampled_from(sorted(HEADS)), how=st.sampled_from(["rename", "gzip", "copytruncate"]))
    def rotate(self, log: str, how: str) -> None:
        self.world.rotate(log, how)

    @rule(log=st.sampled_from(sorted(HEADS)))
    def copy(self, log: str) -> None:
        self.world.copy(log)

    @rule()
    def move(self) -> None:
        self.world.move()

    @rule()
    def compress(self) -> None:
        for path in sorted(self.world.logs.glob("*.0*.log"))[:1]:
            self.world.compress(path)

    @rule()
    def run(self) -> None:
        try:
            self.world.run()
        except Unreadable:
            assert not self.world.written

    @rule(survive=st.integers(0, 6))
    def crash(self, survive: int) -> None:
        """The run is cut off before its n-th commit."""
        left = [survive]
        real = store.transaction.__wrapped__

        def cut(con):  # type: ignore[no-untyped-def]
            if left[0] == 0:
                raise Crash
            left[0] -= 1
            yield from real(con)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "transaction", contextlib.contextmanager(cut))
            with contextlib.suppress(Crash, Unreadable):
                self.world.run()

    def teardown(self) -> None:
        try:
            if self.begun:
                self.world.append(len(self.world.coming))
                self.world.run()
                assert table(self.world.file) == whole(self.root, self.full(), self.world.policy)
        finally:
            shutil.rmtree(self.root)

    def full(self) -> list[tuple[str, str]]:
        """Every line whole, whatever pieces it was written in."""
        lines: dict[str, str] = {}
        for path in self.world.logs.iterdir():
            text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
            text = text[: text.rfind("\n") + 1]  # a half line in a copy is no line
            log = next(name for name in HEADS if name in path.name)
            lines |= {line: log for line in text.splitlines() if line and not line.startswith("#")}
        return [(log, line) for line, log in sorted(lines.items())]


def test_any_history_equals_one_run() -> None:
    run_state_machine_as_test(
        Sensor, settings=settings(max_examples=HISTORIES, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck))
    )
