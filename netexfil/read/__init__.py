"""STEP 1: files to sessions. Which reader opens a file is decided by its content, in the table `find.KINDS`.

Fills `session` (the READ columns) and `name`. Captures go to `capture` (core) or `portable` (dpkt), logs to `logs`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from netexfil.errors import Note, Unreadable

if TYPE_CHECKING:
    import duckdb

    from netexfil.policy import Policy

Progress = Callable[[str, int, int], None]  # what, done, all (bytes); called often, prints nothing itself
Turn = Callable[[str], str]  # a query that gives READ columns, `orig_side` and `resp_side` -> one that gives all columns of `session`
# What telemetry could be tied to, once names are known: addresses of its hosts, and a function that gives the outside addresses whose sessions
# may be tied whoever the inside host is, of those of its hosts that are met (None: all). None: it could be tied to any session.
Reach = Callable[["duckdb.DuckDBPyConnection"], tuple[list[str], Callable[[Collection[str] | None], list[str]]] | None]
# By format: given whether only outbound sessions are wanted, the pieces of the file that lists them. One of them may be asked for, once.
Files = Mapping[str, Callable[[bool], Iterable[bytes]]]
Use = Callable[[Files], None]


@dataclass(frozen=True, slots=True)
class Worth:
    """Bytes below which sessions can be no part of a finding: of a pair of hosts (`odd`: of one that spoke something odd or in clear), of a
    host to an entity on all days; an upload of an unknown kind counts from `silent` on. Conn logs below `size` bytes are read at once. `reach`:
    where telemetry is joined."""

    pair: int
    odd: int
    entity: int
    silent: int
    size: int = 64 << 20
    reach: Reach | None = None


@dataclass(slots=True)
class Sums:
    """What conn rows alone say of channels, summed by the core (`rust/src/zeek/sums.rs`).

    large: bytes from which a silent upload counts. watched: ports. served: ports that data is read from within. ranks: for each of the core's
    protocols what decides between two of which a channel's session sent as much. most: channels; of more none are summed.
    found: of the conn logs that were read, None where sessions came from elsewhere too: how many rows, the hosts and days that read from inside
    servers, a stream of channels.
    """

    large: int
    watched: Sequence[int]
    served: Sequence[int]
    ranks: Sequence[int]
    most: int = 500_000
    found: tuple[int, Sequence[tuple[str, int]], Any] | None = None


class Into(Protocol):
    """Takes the sessions of one conn log instead of the table `session`.

    stored: where they are: a table, a condition on it, and another for those whose originator's bytes are unknown. None until there are any.
    spoiled: other rows of the log were met, which belong to sessions that have been taken already.
    """

    stored: tuple[str, str, str] | None
    spoiled: bool

    def ready(self, con: duckdb.DuckDBPyConnection) -> bool:
        """Whether it does; asked once the other logs are read. May add to `fact_new` what is known of sessions besides."""

    def put(self, con: duckdb.DuckDBPyConnection, query: str) -> None:
        """Take the rows of a query, which can be asked once."""


@dataclass(frozen=True, slots=True)
class Options:
    """How sources are read.

    engine: `core`, `portable`, or None for the core where it is installed and the portable engine elsewhere.
    max_sessions: how many sessions may be open at once in a capture; beyond it the longest idle are handed out early.
    only_outbound: drop rows of logs that can be no part of a finding while they are read (docs/logs.md names what stays).
        Captures are small beside logs and are always read whole.
    since, until: keep sessions whose start lies in [since, until), seconds since 1970 UTC.
    threads: how many files, or parts of a file, are read at once.
    ranges: for a log named here only the complete lines of the bytes [start, end) of its decompressed text are read (end None: to the
        last newline); such a file is never left out as a copy of another. The state sets it.
    keep_facts: keep what other logs say of sessions in the table `fact`, so that a later run can add it to sessions that come late.
    hold: bytes of finished sessions that may be kept to be put in order for `use`.
    sift: leave out sessions that no finding will ask for (see `sift`), where the logs are large.
    sums: sum the rows of conn logs by channel while they are read, where the core does that.
    into: takes the sessions of a single conn log.
    """

    engine: str | None = None
    max_sessions: int | None = None
    only_outbound: bool = False
    since: float | None = None
    until: float | None = None
    threads: int = 2
    ranges: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    keep_facts: bool = False
    hold: int = 0
    sift: Worth | None = None
    sums: Sums | None = None
    into: Into | None = None


def core_available() -> bool:
    """True where the Rust core is installed."""
    from importlib.util import find_spec

    return find_spec("netexfil._core") is not None


def engine(options: Options) -> str:
    """`core` or `portable`: what the options say, or what is there.

    Raises:
        Unreadable: the core is asked for and not installed.
    """
    if options.engine == "core" and not core_available():
        raise Unreadable("the core is not installed here; use --engine portable")
    return options.engine or ("core" if core_available() else "portable")


def sessions(
    con: duckdb.DuckDBPyConnection, sources: Sequence[str], options: Options, policy: Policy, progress: Progress | None = None,
    turn: Turn | None = None, use: Use | None = None,
) -> list[Note]:
    """Read every source (file, directory, `-`) into the tables `session` and `name`.

    With `turn` rows that the core reads are stored turned, in one pass; those that are not have no `sid`. With `use` they are not stored
    but given to it as files, turned and by time and uid, where that can be: captures alone, none of them from a pipe, `options.hold` holds
    their sessions, and none of these runs between public addresses (whose network is home is to be found in the table).

    Returns:
        What was refused or lost. `kind` `unreadable`: that file was refused entirely.

    Raises:
        Unreadable: not one file of the sources could be read.
    """
    from netexfil.read import find

    with find.sources(sources, options.ranges) as found:
        notes = list(found.notes)
        if found.captures:
            notes += _captures(con, found.captures, options, policy, progress, turn, use if not (found.logs or found.shown) else None)
        if found.logs:
            from netexfil.read import logs

            notes += logs.read(con, found.logs, options, policy, progress, turn)
        read = set(found.captures) | {log.path for log in found.logs}
        notes = found.rename(con, notes)
    _keep_times(con, options)
    refused = {note.file: note.reason for note in notes if note.kind == "unreadable"}
    if not read - refused.keys():
        told = [f"{file}: {reason}" for file, reason in refused.items()]
        raise Unreadable("; ".join(told[:5]) or "no capture and no log in the sources")
    return notes


def merge(con: duckdb.DuckDBPyConnection) -> None:
    """Make `session` whole: facts added by uid, reports of one session and two sensors' rows made one. Idempotent."""
    from netexfil.read import merging

    merging.merge_facts(con)
    merging.merge(con)


def _captures(
    con: duckdb.DuckDBPyConnection, paths: Sequence[str], options: Options, policy: Policy, progress: Progress | None, turn: Turn | None,
    use: Use | None,
) -> list[Note]:
    if engine(options) == "core":
        from netexfil.read import capture

        return capture.read(con, paths, options, policy, progress, turn, use if options.since is None and options.until is None else None)
    from netexfil.read import portable

    return portable.read(con, paths, options, progress)


def _keep_times(con: duckdb.DuckDBPyConnection, options: Options) -> None:
    """Sessions outside [since, until) go; the readers of logs never kept them."""
    if options.since is not None:
        con.execute("DELETE FROM session WHERE ts < ?", [options.since])
    if options.until is not None:
        con.execute("DELETE FROM session WHERE ts >= ?", [options.until])
