"""What the commands share: options, the connection, progress on a terminal, notes on stderr, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from netexfil.errors import Note

F = TypeVar("F", bound=Callable[..., Any])

EXIT_FINDINGS, EXIT_PARTLY, EXIT_NOTHING = 1, 3, 4


def sources_argument(function: F) -> F:
    return click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")(function)


def _memory(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    import re

    if not re.fullmatch(r"\d+(\.\d+)?\s*[KMGT]i?B", value, re.IGNORECASE):
        raise click.BadParameter("a size such as 500MB or 2GB")
    return value


def reading_options(function: F) -> F:
    """--policy, --engine, --max-sessions, --memory: what every command takes that reads captures or logs."""
    for option in (
        click.option("--memory", default="1GB", show_default=True, callback=_memory, help="Tables in memory; what is more goes to disk."),
        click.option("--max-sessions", type=click.IntRange(min=1000), help="Open sessions kept in memory; the idlest go first."),
        click.option("--engine", type=click.Choice(["core", "portable"]), help="Packet engine; default: core where it is installed."),
        click.option("--policy", "policy_file", type=click.Path(dir_okay=False, path_type=Path), help="Site policy; see `policy init`."),
    ):
        function = option(function)
    return function


def time_options(function: F) -> F:
    """--since and --until: ISO times (UTC where no zone is named) or epoch seconds."""
    for option in (
        click.option("--until", callback=parse_time, metavar="TIME", help="Only sessions that began before this."),
        click.option("--since", callback=parse_time, metavar="TIME", help="Only sessions that began at or after this (ISO or epoch)."),
    ):
        function = option(function)
    return function


def parse_time(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """An option's value as epoch seconds."""
    if value is None:
        return None
    from datetime import UTC, datetime

    try:
        return float(value)
    except ValueError:
        pass
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("an ISO time such as 2026-11-22T14:00:00Z, or epoch seconds") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def output_option(function: F) -> F:
    return click.option("-o", "--output", type=click.Path(path_type=Path), help="Write results here instead of stdout.")(function)


def join_options(function: F) -> F:
    for option in (
        click.option("--sigma", type=click.Path(exists=True), help="Directory of your own Sigma rules (needs the extra `sigma`)."),
        click.option("--hosts", type=click.Path(exists=True, dir_okay=False), help="CSV or JSON map of host names to addresses."),
        click.option("--window", default="-300,60", show_default=True, callback=_window, help="Seconds around a session, for host events."),
        click.option("--join", "join", multiple=True, metavar="FILE", help="Endpoint telemetry or alerts; may be given again."),
    ):
        function = option(function)
    return function


def _window(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[float, float]:
    try:
        before, after = (float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter("two numbers of seconds, e.g. -300,60") from None
    if before > after:
        raise click.BadParameter("the first number must not be above the second")
    return before, after


def load_policy(path: Path | None) -> Any:
    from netexfil import policy

    return policy.load(path) if path else policy.Policy()


class Progress:
    """A bar on a terminal; nothing in cron. Called with (what, done, total) in bytes."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.tasks: dict[str, Any] = {}

    def __enter__(self) -> Callable[[str, int, int], None] | None:
        if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            return None
        from rich import progress
        from rich.console import Console

        self.bar = progress.Progress(
            progress.TextColumn("{task.description}"), progress.BarColumn(), progress.DownloadColumn(), progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(), console=Console(stderr=True), transient=True,
        )
        self.bar.start()
        return self.tell

    def tell(self, what: str, done: int, total: int) -> None:
        if what not in self.tasks:
            self.tasks[what] = self.bar.add_task(what, total=total)
        self.bar.update(self.tasks[what], completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()


TROUBLE = ("networks", "offload", "budget", "ahead")  # remarks that ask for something to be done, though nothing was lost


def say(notes: Iterable[Note], anything_found: bool = True) -> None:
    """Each note as one line on stderr: file, place, reason.

    Where nothing was found and nobody looks on, plain remarks (a copy counted once, a clock's offset) are left out: cron mails what it hears.
    """
    chatty = anything_found or sys.stderr.isatty()
    for note in notes:
        if not (chatty or note.loss or note.kind in TROUBLE):
            continue
        place = f":{note.place}" if note.place is not None else ""
        times = f" ({note.count} times)" if note.count > 1 else ""
        where = f"{note.file}{place}: " if note.file else ""
        click.echo("netexfil: " + visible(f"{where}{note.reason}{times}"), err=True)


def visible(text: str) -> str:
    """The text with every control or direction character as an escape: foreign strings stand in these lines."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def exit_code(notes: Sequence[Note]) -> int:
    """0, or 3 where some input was lost. Where nothing at all could be read, the reader has raised Unreadable (4)."""
    return EXIT_PARTLY if any(note.loss for note in notes) else 0
