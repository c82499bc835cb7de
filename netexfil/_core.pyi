"""The Rust core: bytes to one Arrow stream of sessions."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

__version__: str

class CaptureError(ValueError):
    """A file that is no capture, or of a kind that is not read."""

class Stream:
    """An Arrow stream, read once: columns `netexfil.tables.READ`, and `orig_side`, `resp_side` (0 other, 1 inside, 2 public).

    DuckDB and pyarrow take it without copying.
    """

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any: ...
    @property
    def bytes_read(self) -> int: ...
    @property
    def notes(self) -> list[dict[str, Any]]: ...
    @property
    def unplaced(self) -> bool:
        """Whether a session that is held runs between public addresses, by the `networks` given."""
    def hold(self, limit: int) -> bool:
        """Read all that there is and keep it, so that it comes in the order of `ts` and `uid`; False where that takes more than `limit`
        bytes: then it comes as it was read."""

    def file(
        self, form: str, networks: tuple[Sequence[str], Sequence[str]], watched: Sequence[int], large: int, outbound_only: bool = False
    ) -> Iterator[bytes]:
        """What is held as a file with the columns `netexfil.tables.SESSION_OUTPUT`, in pieces; turned by the rules of `outbound.turned`.

        Args:
            form: one of `parquet`, `jsonl`, `csv`, `zeek`.
            networks: those inside, and those that are not public (CIDR).
            watched: ports.
            large: a one-sided upload of an unknown kind counts from so many bytes on.
            outbound_only: leave out sessions whose `outbound` is null.
        """

def capture(
    paths: Sequence[str], *, max_sessions: int | None = None, hello_bytes: int | None = None,
    networks: tuple[Sequence[str], Sequence[str]] | None = None, threads: int = 1, least: int | None = None, portion: int | None = None,
) -> Stream:
    """Sessions of captures that follow on from each other.

    Args:
        paths: files, `-` for standard input.
        max_sessions: open sessions at once; beyond it those nearest to their timeout are handed out early.
        hello_bytes: first bytes kept per direction; 0 turns the hellos off.
        networks: those inside, and those that are not public (CIDR): for the columns `orig_side` and `resp_side`, null without them.
        threads: how many read together; the sessions are the same, in another order.
        least: bytes below which one reads alone (4 MiB; standard input counts as more).
        portion: frames that are handed over together, at most.

    Raises:
        OSError: not one of the files could be opened.
        CaptureError: not one of them is a capture.
    """

def carve_tuples(
    paths: Sequence[str],
    sessions: Sequence[tuple[int, tuple[str, int], tuple[str, int], tuple[float, float], str]],
    comment: str,
    out: str,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    """Cut the frames of sessions, known by tuple and time, out of captures into the new pcapng file `out`; nothing found, nothing written.

    Args:
        paths: captures, as for `capture`.
        sessions: protocol number, both ends, first and last time (seconds since 1970), comment at the first frame.
        comment: of the whole file.
        progress: is told the bytes read so far.

    Returns:
        `frames` and `bytes` written, `found` (frames by session), `notes`.

    Raises:
        OSError: not one of the captures could be opened, or `out` cannot be written.
        CaptureError: not one of them is a capture.
        ValueError: an address that is none.
    """

def carve_uids(
    paths: Sequence[str],
    sessions: Sequence[tuple[str, str]],
    comment: str,
    out: str,
    hosts: Sequence[str] = (),
    until: float | None = None,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    """The same in one pass for sessions of which only the uid is known, each with what its comment is to say.

    Args:
        hosts: only sessions of these hosts are looked at; all where there are none.
        until: the last second at which one of them can have a packet.

    Returns:
        As `carve_tuples`, and `ends`: (protocol, originator, responder) of each session, None where it was not found.
    """

class Logs:
    """Reads log files in threads of its own; `netexfil/read/core_logs.py` is its only caller."""

    def __init__(
        self,
        files: Sequence[tuple[str, bool, str, int, int | None]],
        logs: Sequence[tuple[str, Sequence[tuple[str, str, Sequence[str], bool, bool]]]],
        names: dict[str, Any],
        networks: tuple[Sequence[str], Sequence[str]],
        watched: Sequence[int] | None = None,
        threads: int = 2,
        hot: tuple[Sequence[str], Sequence[str], Sequence[str], bool] | None = None,
        summed: tuple[int, Sequence[int], Sequence[int], Sequence[int], int] | None = None,
    ) -> None: ...
    def next(self) -> tuple[str, Stream] | None: ...
    def stream(self) -> Stream: ...
    def sums(self) -> tuple[int, list[tuple[str, int]], Stream] | None: ...
    @staticmethod
    def protocols() -> list[str]: ...
    def done(self) -> int: ...
    def tallies(self) -> list[dict[str, Any]]: ...
    @staticmethod
    def side(address: str, inside: Sequence[str], private: Sequence[str]) -> str: ...

class Channels:
    """Outbound sessions of conn logs summed by channel; `netexfil/summary.py` is its only user."""

    def __init__(
        self,
        found: Sequence[tuple[str, bool, str, int, int | None]],
        fields: Sequence[tuple[str, str, Sequence[str], bool, bool]],
        names: dict[str, Any],
        networks: tuple[Sequence[str], Sequence[str]],
        watched: Sequence[int],
        large: int,
        daily: bool = False,
        threads: int = 2,
    ) -> None: ...
    def run(self, top: int | None) -> tuple[int, int, int, int]: ...
    def next(self, count: int) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]: ...
    def lines(self, count: int) -> bytes: ...
    def doubtful(self) -> bool: ...
    def done(self) -> int: ...
    def tallies(self) -> list[dict[str, Any]]: ...

class Sieve:
    """Which conn rows an analysis must see one by one; `netexfil/read/sift.py` is its only user."""

    def __init__(
        self,
        found: Sequence[tuple[str, bool, str, int, int | None]],
        fields: Sequence[tuple[str, str, Sequence[str], bool, bool]],
        names: dict[str, Any],
        networks: tuple[Sequence[str], Sequence[str]],
        watched: Sequence[int],
        limits: tuple[int, int, int, int],
        bits: int,
        families: bytes,
        special: Sequence[str],
        reach: tuple[Sequence[str], Sequence[str]] | None,
        threads: int = 2,
    ) -> None: ...
    def run(self) -> None: ...
    def addresses(self) -> tuple[list[str], list[str]]: ...
    def spoken(self) -> list[str]: ...
    def families(self) -> list[int]: ...
    def days(self) -> tuple[list[tuple[str, int]], list[str], bool]: ...
    def reached(self) -> tuple[list[str], list[str], list[str], int, list[float | None]] | None: ...
    def counts(self) -> list[tuple[str, int, int]]: ...
    def trouble(self) -> tuple[bool, bool]: ...
    def done(self) -> int: ...
    def tallies(self) -> list[dict[str, Any]]: ...

def head(path: str, size: int) -> bytes:
    """The first bytes of a file's decompressed text.

    Raises:
        OSError: it cannot be opened.
    """

def object_lines(block: bytes) -> int:
    """The number of lines of a block of which each begins with a brace; 0 where one does not."""

class Telemetry:
    """JSON lines of layouts that were learned, collected by columns; see `netexfil/endpoint/columns.py`."""

    def learn(
        self, line: bytes, there: Sequence[Sequence[str]], keys: Sequence[Sequence[str]], whole: Sequence[Sequence[str]],
        wanted: Sequence[tuple[Sequence[str], str]],
    ) -> int | None:
        """Take lines like this one from now on: with the same names in the same order, and the same of `there` null.

        Args:
            keys: paths whose values must be the same, as they are written.
            whole: paths that must hold whole numbers.
            wanted: paths of the columns, and what is done with the values (words, time, guid, text, id, ip, port, pid).

        Returns:
            The number of their kind, counted from 0; None where such lines cannot be taken.
        """
    def feed(self, block: bytes, at: int, line: int, eid: int) -> tuple[int, int]:
        """Take the lines of `block` from byte `at` on, up to the first that was not learned: where that one begins, and how many were taken."""
    def waiting(self) -> list[int]:
        """Rows that wait, by kind."""
    def kept(self) -> int:
        """Bytes of values that wait."""
    def take(self, kind: int) -> Rows:
        """The rows of one kind."""

class Rows:
    """The rows of one kind, taken."""

    def left(self) -> list[bytes]:
        """For each column a JSON array: of its different values or, where the core converted it, of the values it left."""
    def stream(self, outputs: Sequence[tuple[str, int, str, list[Any]]]) -> Stream:
        """Columns `line`, `eid` and one for each of (name, number of the column, DuckDB type, the values of `left` converted); once."""
