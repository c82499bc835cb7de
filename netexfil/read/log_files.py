"""Which log files hold sessions, told by their heads, for who wants nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from netexfil.read import fields

if TYPE_CHECKING:
    from netexfil.read.find import Log

_SESSIONS = frozenset({"conn", "netexfil"})
OURS = frozenset({"eve", "csv"})  # dialects that only the portable engine reads


def plain_conn(log: Log) -> bool:
    """Zeek's conn log of finished sessions, by its header or name; a JSON file may still hold other logs."""
    name = log.head.path.lower().strip()
    return log.head.dialect not in OURS and fields.log_of(name) == "conn" and name not in fields.OPEN


def holds_sessions(log: Log) -> bool:
    """A log of sessions, finished or not, or a file that may hold several logs."""
    name = fields.log_of(log.head.path)
    return log.head.dialect == "eve" or name in _SESSIONS or (log.head.dialect != "tsv" and name not in fields.LOGS)


def session_logs(names: Iterable[str]) -> bool:
    """Whether one of the logs that were met between others holds sessions."""
    return any(fields.log_of(name) in _SESSIONS for name in names)
