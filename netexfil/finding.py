"""The finding: one channel in one window with its evidence, links, score and verdict (contract: DESIGN `Findings`, schema 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Literal

SCHEMA = 1
Severity = Literal["critical", "high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high", "critical")
ALERT_LINE: Severity = "medium"
FIRST, LAST = -62_135_596_800.0, 253_402_300_799.0  # the years 1 to 9999
UNDATED = 0.0  # `first_ts` and `last_ts` of a finding of kind `endpoint` whose alerts carry no time; null in its record


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measured reason for (points above zero) or against (below). `source` is `file uid` or what it was summed over."""

    code: str
    value: float | int | str | None
    unit: str
    threshold: float | int | str | None
    points: float
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Link:
    """One session of the channel tied to one event; `event` is {kind host user image pid guid command_line file line …}."""

    match: str
    confidence: float
    candidates: int
    seconds_apart: float | None
    clock_offset: float | None
    event: Mapping[str, Any]
    uid: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What is printed, stored and shown, and nothing besides. Bytes are payload bytes, times are epoch seconds UTC."""

    id: str
    kind: Literal["channel", "endpoint"]
    score: float
    severity: Severity
    confidence: Literal["high", "medium", "low"]
    first_ts: float
    last_ts: float
    host: Mapping[str, Any]
    destination: Mapping[str, Any] | None
    protocol: str
    tool: Mapping[str, Any]
    bytes_out: Mapping[str, Any]
    bytes_in: int | None
    pcr: float | None
    sessions: int
    session_uids: tuple[str, ...]
    duration: float | None
    rate: float | None
    in_progress: bool
    evidence: tuple[Evidence, ...]
    links: tuple[Link, ...] = ()
    attack: tuple[Mapping[str, str], ...] = ({"technique": "T1048.002", "strategy": "DET0512"},)
    suppressed: Mapping[str, Any] | None = None
    window: str = ""
    next_steps: tuple[Mapping[str, str], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_alert(self) -> bool:
        """Severity medium or above, and not suppressed."""
        return self.suppressed is None and SEVERITIES.index(self.severity) >= SEVERITIES.index(ALERT_LINE)

    @property
    def dated(self) -> bool:
        """Its time is known; endpoint alerts may carry none."""
        return self.kind != "endpoint" or self.last_ts != UNDATED

    @property
    def pulled(self) -> bool:
        """The other end came and fetched it: the port is the inside host's."""
        return self.extra.get("direction") == "pull"

    def record(self) -> dict[str, Any]:
        """The contract's JSON object. What stands in its objects is the finding's own."""
        row = {"schema": SCHEMA, "kind": self.kind} | dict(zip(_SHOWN, _shown(self), strict=True))
        for name in _OBJECTS:
            row[name] = None if row[name] is None else dict(row[name])
        for name, fields_of in _LISTS.items():
            row[name] = tuple([fields_of(one) for one in row[name]])
        times: dict[str, str | None] = {"first_time": iso(self.first_ts), "last_time": iso(self.last_ts)}
        if not self.dated:
            times = dict.fromkeys(("first_ts", "last_ts", "first_time", "last_time"))
        return {**row, **times, **self.extra}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Finding:
        """The finding that `record` was made of.

        Raises:
            ValueError: another schema, or a field is missing.
        """
        if record.get("schema") != SCHEMA:
            raise ValueError(f"schema {record.get('schema')!r}, this netexfil knows {SCHEMA}")
        known = {f.name for f in fields(cls)} - {"extra"}
        values = {name: value for name, value in record.items() if name in known}
        values["extra"] = {n: v for n, v in record.items() if n not in known and n not in ("schema", "first_time", "last_time")}
        for name, kind in (("evidence", Evidence), ("links", Link)):
            values[name] = tuple(kind(**row) for row in record.get(name, ()))
        values |= {name: UNDATED for name in ("first_ts", "last_ts") if values.get(name, 0) is None}
        for name in ("session_uids", "attack", "next_steps"):
            values[name] = tuple(record.get(name, ()))
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(str(error)) from error


def _copied(kind: type) -> Callable[[Any], dict[str, Any]]:
    """A function that gives an object of a kind as a dictionary, much faster than `asdict`, which copies every value."""
    names = [one.name for one in fields(kind)]
    taken = attrgetter(*names)
    return lambda held: dict(zip(names, taken(held), strict=True))


_SHOWN = tuple(one.name for one in fields(Finding) if one.name not in ("kind", "extra"))
_shown = attrgetter(*_SHOWN)
_OBJECTS = ("host", "destination", "tool", "bytes_out", "suppressed")
_LISTS: Mapping[str, Callable[[Any], dict[str, Any]]] = {"evidence": _copied(Evidence), "links": _copied(Link), "attack": dict, "next_steps": dict}


def rank(finding: Finding) -> tuple[float, float, str]:
    """Sorts findings as they are told: score descending, then by time and id."""
    return -finding.score, finding.first_ts, finding.id


def iso(ts: float) -> str:
    """Epoch seconds as ISO 8601 UTC with milliseconds; what is no year of four digits as the nearest that is."""
    return datetime.fromtimestamp(min(max(ts, FIRST), LAST), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def at_least(severity: Severity, floor: Severity) -> bool:
    return SEVERITIES.index(severity) >= SEVERITIES.index(floor)
