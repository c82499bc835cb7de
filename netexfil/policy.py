"""What a site may set (TOML): home networks, ports, thresholds, working hours, allow entries; read, checked and asked."""

from __future__ import annotations

import datetime as dt
import ipaddress
import math
import tomllib
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from netexfil import defaults
from netexfil.errors import PolicyError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Side = Literal["inside", "public", "other"]

WATCHED = defaults.WATCHED
INSIDE = defaults.INSIDE

# Not public by default: RFC 1918, loopback, link-local, RFC 6598, multicast, broadcast, unspecified, ULA.
# The documentation ranges are public.
NOT_PUBLIC = tuple(map(ipaddress.ip_network, (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10", "224.0.0.0/4",
    "255.255.255.255/32", "0.0.0.0/32", "::1/128", "::/128", "fe80::/10", "fc00::/7", "ff00::/8",
)))
# The seeds' test and nothing else: 10/8, 172.16/12, 192.168/16 and 127/8 are private, every other address is public.
NOT_PUBLIC_RFC1918 = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8")))


@dataclass(frozen=True, slots=True)
class Allow:
    """A transfer that the site sanctions. All named fields must fit; `reason` is required; what it hides is counted and listed.

    `host` and `destination` take an address, a CIDR or (destination) a domain suffix; `tool`, `process` and `user` compare without case,
    `process` with the whole path or its last part; `schedule` is `Mon-Fri 08:00-18:00` in the policy's zone (days, hours or both);
    `ceiling` is bytes sent in one window; `expires` is the first day on which the entry no longer holds.
    """

    reason: str
    host: str | None = None
    destination: str | None = None
    port: int | None = None
    tool: str | None = None
    process: str | None = None
    user: str | None = None
    schedule: str | None = None
    ceiling: int | None = None
    expires: dt.date | None = None


@dataclass(frozen=True)
class Policy:
    """All settings. A field's meaning and default: `defaults.py`, which also writes the commented file of `netexfil policy init`."""

    inside: Sequence[str] = INSIDE
    public: str = "default"
    watched: Sequence[int] = WATCHED
    thresholds: Mapping[str, float] = field(default_factory=dict)
    allow: Sequence[Allow] = ()
    zone: str | None = None
    working_hours: str = "Mon-Fri 06:00-22:00"
    certificate_issuer_denylist: Sequence[str] = ()
    binary_allowlist: Sequence[str] = ()
    connection_destination_scope: Sequence[str] = ()
    ssl_client_process_baseline: Sequence[str] = ()
    file_access_extension_list: Sequence[str] = defaults.EXTENSIONS
    file_sensitivity_context: Sequence[str] = ()
    tuning: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    keep_sessions_days: int = defaults.KEEP_SESSIONS_DAYS
    keep_days: int = defaults.KEEP_DAYS
    name: str = "built-in defaults"

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        return tuple(ipaddress.ip_network(text) for text in self.inside)

    @cached_property
    def private(self) -> tuple[Network, ...]:
        """Networks that are not public: what `public` says."""
        return NOT_PUBLIC if self.public == "default" else NOT_PUBLIC_RFC1918

    def threshold(self, name: str) -> float:
        """The site's value, else the default (which may scale with `outbound_volume`)."""
        if name in self.thresholds:
            return float(self.thresholds[name])
        default = defaults.THRESHOLDS[name]
        return default.value if default.share_of is None else default.value * self.threshold(default.share_of)

    def side(self, address: str) -> Side:
        """Where an address stands: inside, public, or other (private but not ours, or no unicast address). Not an address: other."""
        return side(address, self)


def side(address: str, policy: Policy) -> Side:
    """Inside, public or other. Inside wins over public; an IPv4-mapped IPv6 address is judged as its IPv4 form."""
    try:
        parsed: Any = ipaddress.ip_address(address)
    except ValueError:
        return "other"
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if any(parsed.version == network.version and parsed in network for network in policy.networks):
        return "inside"
    return "other" if any(parsed.version == network.version and parsed in network for network in policy.private) else "public"


def load(path: Path) -> Policy:
    """Read and validate a policy file.

    Raises:
        PolicyError: with file, key and reason.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PolicyError(f"{path}: {error}") from error
    return build(document, str(path))


def build(document: Mapping[str, Any], where: str = "policy") -> Policy:
    """A policy from the TOML document's tables.

    Raises:
        PolicyError: naming the key that is unknown or wrong.
    """
    settings: dict[str, Any] = {"name": where}
    for section, content in document.items():
        if section != "allow":
            settings |= _section(where, section, content)
    entries = document.get("allow", [])
    if not isinstance(entries, list):
        raise PolicyError(f"{where}: allow must be a list of tables: [[allow]]")
    settings["allow"] = tuple(_allow(where, number, entry) for number, entry in enumerate(entries, 1))
    return Policy(**settings)


def _section(where: str, section: str, content: Any) -> dict[str, Any]:
    """One section's settings by the Policy field they fill."""
    known = _SECTIONS.get(section)
    if known is None:
        raise PolicyError(f"{where}: unknown section [{section}]; known: {', '.join([*_SECTIONS, 'allow'])}")
    if not isinstance(content, Mapping):
        raise PolicyError(f"{where}: {section} must be a table: [{section}]")
    if section == "thresholds":
        return {"thresholds": {key: _number(where, f"thresholds.{key}", key, value) for key, value in content.items()}}
    if section == "tuning":
        return {"tuning": {knob: _knob(where, knob, wanted) for knob, wanted in content.items()}}
    for key in content:
        if key not in known:
            raise PolicyError(f"{where}: [{section}] does not know {key!r}; known: {', '.join(known)}")
    return {known[key][0]: _checked(where, f"{section}.{key}", known[key][1], value) for key, value in content.items()}


def _checked(where: str, key: str, check: Callable[[Any], Any], value: Any) -> Any:
    try:
        return check(value)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PolicyError(f"{where}: {key}: {error}") from error


def _number(where: str, key: str, name: str, value: Any) -> float:
    if name not in defaults.THRESHOLDS:
        raise PolicyError(f"{where}: unknown threshold {key}; known: {', '.join(defaults.THRESHOLDS)}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise PolicyError(f"{where}: {key} must be a number")
    if value < 0 or (value == 0 and name == "outbound_volume"):
        raise PolicyError(f"{where}: {key} must be above zero")
    return float(value)


def _knob(where: str, knob: str, wanted: Any) -> Mapping[str, Sequence[str]]:
    if knob not in defaults.TUNING:
        raise PolicyError(f"{where}: unknown knob [tuning.{knob}]; known: {', '.join(defaults.TUNING)}")
    if not isinstance(wanted, Mapping) or set(wanted) - set(defaults.TUNING_FIELDS):
        raise PolicyError(f"{where}: [tuning.{knob}] takes lists of {', '.join(defaults.TUNING_FIELDS)}")
    return {key: _checked(where, f"tuning.{knob}.{key}", _parts, value) for key, value in wanted.items()}


def _networks(value: Any) -> tuple[str, ...]:
    texts = _texts(value)
    for text in texts:
        ipaddress.ip_network(text)  # a host bit set is an error that names the network
    return texts


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError("must be a list of strings")
    return tuple(value)


def _parts(value: Any) -> tuple[str, ...]:
    """Texts that are looked for inside others: an empty one would be found in all."""
    found = _texts(value)
    if not all(text.strip() for text in found):
        raise ValueError("must not hold an empty string")
    return found


def _ports(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(isinstance(p, int) and not isinstance(p, bool) and 0 < p < 65536 for p in value):
        raise ValueError("must be a list of port numbers")
    return tuple(value)


def _public(value: Any) -> str:
    if value not in ("default", "rfc1918"):
        raise ValueError('must be "default" or "rfc1918"')
    return str(value)


def _zone(value: Any) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, TypeError, ValueError) as error:
        raise ValueError(f"no time zone {value!r}") from error
    return str(value)


def _schedule(value: Any) -> str:
    schedule(value)
    return str(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError("must be a whole number above zero")
    return value


_SECTIONS: Mapping[str, Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "networks": {"inside": ("inside", _networks), "public": ("public", _public)},
    "ports": {"watched": ("watched", _ports)},
    "time": {"zone": ("zone", _zone), "working_hours": ("working_hours", _schedule)},
    "det0512": {
        "certificate_issuer_denylist": ("certificate_issuer_denylist", _texts),
        "binary_allowlist": ("binary_allowlist", _texts),
        "connection_destination_scope": ("connection_destination_scope", _texts),
        "ssl_client_process_baseline": ("ssl_client_process_baseline", _texts),
        "file_access_extension_list": ("file_access_extension_list", _texts),
        "file_sensitivity_context": ("file_sensitivity_context", _texts),
    },
    "state": {"keep_sessions_days": ("keep_sessions_days", _whole), "keep_days": ("keep_days", _whole)},
    "thresholds": {},
    "tuning": {},
}


def _date(value: Any) -> dt.date:
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    return dt.date.fromisoformat(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text")
    return value.strip()


def _place(value: Any) -> str:
    text = _text(value)
    if "/" in text or text.replace(".", "").isdigit() or ":" in text:
        ipaddress.ip_network(text)
    return text.lower().lstrip("*").lstrip(".")


def _host(value: Any) -> str:
    text = _text(value)
    if "/" in text:
        ipaddress.ip_network(text)
    return text.lower()


_ALLOW: Mapping[str, Callable[[Any], Any]] = {
    "reason": _text, "host": _host, "destination": _place, "port": _whole, "tool": _text, "process": _text, "user": _text,
    "schedule": _schedule, "ceiling": _whole, "expires": _date,
}


def _allow(where: str, number: int, entry: Any) -> Allow:
    named = f"[[allow]] number {number}"
    if not isinstance(entry, Mapping):
        raise PolicyError(f"{where}: {named} must be a table")
    if unknown := sorted(set(entry) - set(_ALLOW)):
        raise PolicyError(f"{where}: {named} does not know {', '.join(map(repr, unknown))}; known: {', '.join(_ALLOW)}")
    if not entry.get("reason"):
        raise PolicyError(f"{where}: {named} needs a reason")
    if set(entry) <= {"reason", "expires"}:
        raise PolicyError(f"{where}: {named} would allow everything: name a destination, host, port, tool, process, user or schedule")
    return Allow(**{key: _checked(where, f"{named}: {key}", _ALLOW[key], value) for key, value in entry.items()})


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Weekdays (0 Monday) and a span of minutes after midnight; a span may pass midnight."""

    days: frozenset[int]
    start: int
    end: int

    def holds(self, moment: dt.datetime) -> bool:
        """Whether a local time lies within. After midnight a span belongs to the day on which it began."""
        minute = moment.hour * 60 + moment.minute
        if self.start <= self.end:
            return moment.weekday() in self.days and self.start <= minute < self.end
        if minute >= self.start:
            return moment.weekday() in self.days
        return minute < self.end and (moment.weekday() - 1) % 7 in self.days


def schedule(text: str) -> Schedule:
    """`Mon-Fri 08:00-18:00`, `Sat,Sun`, `22:00-06:00`: days, hours or both.

    Raises:
        ValueError: with the part that is no day and no span of hours.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError("must be a text like 'Mon-Fri 08:00-18:00'")
    days, start, end = frozenset(range(7)), 0, 1440
    for part in text.split():
        if ":" in part:
            begin, _, until = part.partition("-")
            start, end = _minute(begin), _minute(until)
        else:
            days = frozenset(day for span in part.split(",") for day in _days(span))
    return Schedule(days, start, end)


def _minute(text: str) -> int:
    hour, _, minute = text.partition(":")
    if not (hour.isdigit() and minute.isdigit() and int(minute) < 60 and int(hour) * 60 + int(minute) <= 1440):
        raise ValueError(f"{text!r} is no time of day (HH:MM)")
    return int(hour) * 60 + int(minute)


def _days(span: str) -> list[int]:
    first, _, last = span.lower().partition("-")
    names = (first[:3], (last or first)[:3])
    if any(name not in DAYS for name in names):
        raise ValueError(f"{span!r} is no day or span of days (Mon-Fri)")
    start, end = (DAYS.index(name) for name in names)
    return [(start + k) % 7 for k in range((end - start) % 7 + 1)]


ALLOW_FIELDS = tuple(f.name for f in fields(Allow))
