"""The bytes of a capture file: looked at before they are taken, stepped over where they are damaged."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gzip import GzipFile
    from io import BufferedReader

STEP = 256 * 1024  # bytes read at once, and looked through before they are let go
LONGEST = 16 * 1024 * 1024  # no writer makes a longer record
DISTANCE = 64 * 1024 * 1024  # skipped at most; a hole that is larger ends the file


@dataclass(frozen=True, slots=True)
class Damage:
    """What could not be read. `kind` is `truncated`, `damaged` or `unreadable`; `place` is an offset in the decompressed file."""

    kind: str
    place: int
    reason: str


class Unreadable(Exception):
    """The file cannot be read on; the argument is a `Damage`."""


class Input:
    """A stream and the place reached in it."""

    def __init__(self, file: BufferedReader | GzipFile) -> None:
        self.file = file
        self.buffer, self.at, self.passed = b"", 0, 0
        self.trouble = ""

    @property
    def place(self) -> int:
        return self.passed + self.at

    def ensure(self, size: int) -> bool:
        """Can this many bytes be looked at?"""
        missing = size - (len(self.buffer) - self.at)
        if missing <= 0:
            return True
        parts = [self.buffer[self.at :]]
        while missing > 0 and (more := self._more()):
            parts.append(more)
            missing -= len(more)
        self.passed, self.at, self.buffer = self.place, 0, b"".join(parts)
        return missing <= 0

    def _more(self) -> bytes:
        try:
            return b"" if self.trouble else self.file.read1(STEP)
        except (OSError, EOFError, zlib.error) as error:
            self.trouble = str(error)
            return b""

    def available(self) -> int:
        return len(self.buffer) - self.at

    def view(self, at: int, size: int) -> bytes:
        """Bytes from here on; fewer where they were not ensured."""
        return self.buffer[self.at + at : self.at + at + size]

    def consume(self, size: int) -> None:
        """Step over bytes that were ensured."""
        self.at += size

    def skip(self, size: int) -> bool:
        """Step over bytes, however many; False where there are not so many."""
        while size > 0 and self.ensure(1):
            step = min(size, self.available())
            self.consume(step)
            size -= step
        return size == 0

    def cut(self, what: str, begun: int | None = None) -> Unreadable:
        """The stream ended inside something, which began at `begun` or begins here."""
        place = self.place if begun is None else begun
        if self.trouble:
            return Unreadable(Damage("damaged", place, f"cannot be read on: {self.trouble}"))
        return Unreadable(Damage("truncated", place, f"ends inside {what}"))

    def damaged(self, what: str, follows: Callable[[int], bool], begun: int | None = None) -> Damage:
        """Step to the first place behind this one of which `follows` holds, asked with the distance from here. What is damaged began at `begun`.

        Raises:
            Unreadable: where there is no such place within reach.
        """
        here, at = self.place, 1
        place = here if begun is None else begun
        while self.place - here < DISTANCE and self.ensure(at + 1):
            if follows(at):
                self.consume(at)
                return Damage("damaged", place, f"{what}; {self.place - place} bytes were skipped, up to the next record that fits")
            at += 1
            if at > STEP:
                self.consume(at - 1)
                at = 1
        raise Unreadable(Damage("damaged", place, f"{what}; the rest of the file is not read"))
