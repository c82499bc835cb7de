"""Sources to files: what each file is, told by its first bytes, each counted once.

In: paths, directories, `-`. Out: captures in the order of their first packet, logs, and notes on what is neither.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from netexfil.errors import Note
from netexfil.read import sniff

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Log:
    """A log file. `path` is where it is, `head` what its first bytes say."""

    path: str
    head: sniff.Head


@dataclass(slots=True)
class Found:
    """What the sources hold. `shown` maps a path that we made ourselves (stdin) to the user's word for it."""

    captures: list[str] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    shown: dict[str, str] = field(default_factory=dict)

    def rename(self, con: duckdb.DuckDBPyConnection, notes: Sequence[Note]) -> list[Note]:
        """Say `-` where a path of ours stood, in notes and sessions."""
        for path, shown in self.shown.items():
            con.execute("UPDATE session SET source = ? WHERE source = ?", [shown, path])
        return [replace(note, file=self.shown.get(note.file, note.file)) for note in notes]


@contextlib.contextmanager
def sources(names: Sequence[str], keep: Collection[str] = ()) -> Iterator[Found]:
    """Find the files of the sources; those in `keep` are never left out as copies.

    What stdin or a pipe brought is kept in a temporary file until the end of the block.
    """
    found = Found()
    with contextlib.ExitStack() as stack:
        heads: list[tuple[str, sniff.Head]] = []
        seen: set[tuple[int, int]] = set()
        for name in dict.fromkeys(names):
            if name == "-" or Path(name).is_fifo():
                try:
                    path = _spool(stack, name)
                except OSError as error:
                    found.notes.append(_unreadable(error, name))
                    continue
                found.shown[path] = name
                _named(found, heads, seen, path)
            elif Path(name).is_dir():
                _directory(found, heads, seen, name)
            else:
                _named(found, heads, seen, name)
        _sort(found, _once(found, heads, keep))
        yield found


def _spool(stack: contextlib.ExitStack, name: str) -> str:
    """Standard input (`-`) or a pipe as a file that can be read twice: itself where it is one, else a copy on disk."""
    with contextlib.suppress(OSError):
        if name == "-":
            os.pread(0, 1, 0)
            return "/dev/stdin"
    import tempfile

    handle = stack.enter_context(tempfile.NamedTemporaryFile(prefix="netexfil-stdin-"))  # noqa: SIM115 (the stack closes it)
    source = stack.enter_context(open(0 if name == "-" else name, "rb", buffering=0, closefd=name != "-"))  # noqa: SIM115
    while block := source.read(1 << 20):
        handle.write(block)
    handle.flush()
    return handle.name


def _named(found: Found, heads: list[tuple[str, sniff.Head]], seen: set[tuple[int, int]], path: str) -> None:
    """A file that the user named: what it is not, is an error."""
    head = _look(found, seen, path)
    if head is None:
        return
    if head.kind == "other":
        found.notes.append(Note(path, "unreadable", head.reason))
    else:
        heads.append((path, head))


def _directory(found: Found, heads: list[tuple[str, sniff.Head]], seen: set[tuple[int, int]], name: str) -> None:
    """Everything below a directory, in the order of the names; hidden files and folders are left alone."""
    skipped: list[tuple[str, str]] = []
    before = len(heads)
    _new_folder(seen, Path(name))
    for root, folders, files in os.walk(name, followlinks=True, onerror=lambda error: found.notes.append(_unreadable(error))):
        folders[:] = sorted(folder for folder in folders if not folder.startswith(".") and _new_folder(seen, Path(root, folder)))
        for file in sorted(file for file in files if not file.startswith(".")):
            path = str(Path(root, file))
            head = _look(found, seen, path)
            if head is not None and head.kind == "other":
                skipped.append((path, head.reason))
            elif head is not None:
                heads.append((path, head))
    if skipped:
        found.notes.append(_merged(name, skipped))
    if len(heads) == before and not any(note.kind == "duplicate" for note in found.notes):
        found.notes.append(Note(name, "unreadable", "no capture and no log in this directory"))


def _merged(name: str, skipped: Sequence[tuple[str, str]]) -> Note:
    """One remark for everything in a directory that is no input."""
    told = ", ".join(f"{os.path.relpath(path, name)} ({reason})" for path, reason in skipped[:3])
    more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return Note(name, "skipped", f"not a capture or log: {told}{more}", count=len(skipped), loss=False)


def _look(found: Found, seen: set[tuple[int, int]], path: str) -> sniff.Head | None:
    """The head of a file that was not seen yet under another name; None for one that was, or that cannot be opened."""
    try:
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in seen:
            found.notes.append(Note(path, "duplicate", "the same file under another name, counted once", loss=False))
            return None
        seen.add((status.st_dev, status.st_ino))
        if not stat.S_ISREG(status.st_mode):
            return sniff.Head("other", "not a regular file")
        return sniff.look(path)
    except OSError as error:
        found.notes.append(_unreadable(error, path))
        return None


def _unreadable(error: OSError, path: str | None = None) -> Note:
    return Note(str(error.filename or path), "unreadable", error.strerror or str(error))


def _new_folder(seen: set[tuple[int, int]], path: Path) -> bool:
    """False for a folder that a symbolic link brings us to a second time."""
    try:
        status = path.stat()
    except OSError:
        return False
    fresh = (status.st_dev, status.st_ino) not in seen
    seen.add((status.st_dev, status.st_ino))
    return fresh


def _once(found: Found, heads: Sequence[tuple[str, sniff.Head]], keep: Collection[str]) -> list[tuple[str, sniff.Head]]:
    """Files without copies of another: a file whose text is the beginning of another's (plain, gzip or zstd) is left out."""
    groups: dict[bytes, list[tuple[str, sniff.Head]]] = {}
    for path, head in (item for item in heads if item[0] not in keep):
        groups.setdefault(head.mark, []).append((path, head))
    dropped: set[str] = set()
    for group in groups.values():
        if len(group) > 1:
            dropped |= _copies(found, group)
    return [(path, head) for path, head in heads if path not in dropped]


def _copies(found: Found, group: Sequence[tuple[str, sniff.Head]]) -> set[str]:
    """Within files that begin alike: those that are wholly contained in another, each noted."""
    dropped: set[str] = set()
    for index, (path, _) in enumerate(group):
        for other, _ in group[index + 1 :]:
            if path in dropped or other in dropped:
                continue
            shorter = sniff.beginning(path, other)
            if shorter is not None:
                longer = other if shorter == path else path
                dropped.add(shorter)
                found.notes.append(Note(shorter, "duplicate", f"a copy of {longer}, counted once", loss=False))
    return dropped


def _sort(found: Found, heads: Sequence[tuple[str, sniff.Head]]) -> None:
    captures = [(head.first_ts, path) for path, head in heads if head.kind == "capture"]
    found.captures = [path for _, path in sorted(captures, key=lambda item: (item[0] is None, item[0] or 0.0, item[1]))]
    found.logs = [Log(path, head) for path, head in heads if head.kind == "log"]
