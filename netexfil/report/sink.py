"""Where a report goes: a path, a stream or standard output becomes one binary stream that knows whether it is a terminal."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

Out = str | Path | IO[str] | IO[bytes] | None


class Sink:
    """A binary stream with what the console needs to know about it: encoding, terminal, columns."""

    def __init__(self, stream: IO[bytes] | None, text: IO[str] | None = None) -> None:
        self._stream, self._text = stream, text
        self.encoding: str = getattr(text, "encoding", None) or "utf-8"

    @property
    def terminal(self) -> bool:
        return (self._text or self._stream or io.BytesIO()).isatty()

    @property
    def columns(self) -> int:
        """Columns to use: COLUMNS, the terminal's, or 120 where there is none."""
        if os.environ.get("COLUMNS", "").isdigit():
            return max(40, int(os.environ["COLUMNS"]))
        try:
            return os.get_terminal_size((self._text or self._stream or io.BytesIO()).fileno()).columns
        except (OSError, ValueError, AttributeError):
            return 120

    def write(self, data: bytes) -> None:
        """Whole UTF-8 pieces only, so that a text stream can take them too."""
        if self._stream is not None:
            self._stream.write(data)
        elif self._text is not None:
            self._text.write(data.decode("utf-8"))

    def text(self, words: str) -> None:
        """Text in the stream's own encoding; what that cannot hold is shown as an escape."""
        if self._stream is not None:
            self._stream.write(words.encode(self.encoding, "backslashreplace"))
        elif self._text is not None:
            self._text.write(words)

    def flush(self) -> None:
        (self._stream or self._text or io.BytesIO()).flush()


@contextmanager
def opened(out: Out) -> Iterator[Sink]:
    """The sink for `out`; a path is created (or replaced) and closed, a stream is flushed and left open."""
    if isinstance(out, str | Path):
        with open(out, "wb") as file:
            yield Sink(file)
        return
    sink = _over(sys.stdout if out is None else out)
    yield sink
    sink.flush()


def _over(stream: IO[str] | IO[bytes]) -> Sink:
    if isinstance(stream, io.TextIOBase):
        stream.flush()
        return Sink(getattr(stream, "buffer", None), stream)
    return Sink(stream)  # type: ignore[arg-type]
