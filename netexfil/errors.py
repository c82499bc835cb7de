"""What the user is told when something cannot be done: one class per exit code."""

from __future__ import annotations

from dataclasses import dataclass


class NetexfilError(Exception):
    """A clear message for the user. `exit_code` is what the program returns."""

    exit_code = 2


class Unreadable(NetexfilError):
    """Nothing of the input could be read (exit 4)."""

    exit_code = 4


class PolicyError(NetexfilError):
    """The policy file is wrong; the message names the key (exit 2)."""


class Busy(NetexfilError):
    """Another run holds the state (exit 5)."""

    exit_code = 5


class StateError(NetexfilError):
    """The state file is of another version, damaged or not ours (exit 4)."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was skipped or is known to be missing; the good rest was still read.

    `place` is a byte offset (captures) or a 1-based line (logs, telemetry) in the decompressed file.
    `kind` is a short word to count by. A note of kind `unreadable` means the whole file was refused.
    `loss` is False for a remark that lost nothing (an advice, a duplicate file counted once).
    """

    file: str
    kind: str
    reason: str
    place: int | None = None
    count: int = 1
    loss: bool = True
