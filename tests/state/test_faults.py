"""Disks that are full or fail, logs that cannot be read or never end: a run ends with a word, and the next one has everything."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from world import table, whole

from netexfil import read
from netexfil.errors import Unreadable
from netexfil.state import ingest, places

ROOT = Path(__file__).resolve().parent.parent.parent


def finish(world):
    world.append(len(world.coming))
    world.run()
    assert table(world.file) == whole(world.root, world.written)


def test_a_full_disk_for_the_state(world):
    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    words = [sys.executable, "-m", "netexfil", str(world.logs), "--state", str(world.file)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False, preexec_fn=small)
    assert done.returncode == 4
    assert "what was not stored is read again by the next run" in done.stderr
    assert "Traceback" not in done.stderr
    finish(world)


def test_a_read_error_in_the_middle(world, monkeypatch):
    real, calls = read.sessions, []

    def failing(con, sources, *more):
        calls.append(sources)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error", sources[0])
        return real(con, sources, *more)

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "BATCH_BYTES", 600)
        patch.setattr(read, "sessions", failing)
        with pytest.raises(OSError, match="Input/output"):
            world.run()
    finish(world)


def test_permission_lost_and_given_back(world, monkeypatch):
    world.run()
    world.append(8)

    def refused(path, *more):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    with monkeypatch.context() as patch:
        patch.setattr(places, "unread", refused)
        outcome = world.run()
    assert [note.reason for note in outcome.notes if note.kind == "unreadable"] == ["Permission denied"] * len(list(world.logs.iterdir()))
    finish(world)


def test_a_log_that_is_written_faster_than_it_is_read(world, monkeypatch):
    """A run takes what was there when it came to a log, however much is added meanwhile."""
    real = ingest.commit

    def busy(*given):
        world.append(1)
        real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "BATCH_BYTES", 600)
        patch.setattr(ingest, "commit", busy)
        world.run()
    assert world.coming
    finish(world)


def test_a_state_cut_short_is_named_and_left_alone(world):
    world.run()
    data = world.file.read_bytes()
    world.file.write_bytes(data[: len(data) // 2])
    done = subprocess.run([sys.executable, "-m", "netexfil", "state", "show", str(world.file)], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == Unreadable("").exit_code
    assert str(world.file) in done.stderr
    assert "Traceback" not in done.stderr
    assert world.file.read_bytes() == data[: len(data) // 2]
