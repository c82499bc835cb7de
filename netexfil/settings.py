"""A policy file (TOML) checked key by key, so that a mistake is told by its name and never passed over."""

from __future__ import annotations

import datetime as dt
import ipaddress
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netexfil import defaults, schedule
from netexfil.errors import PolicyError


def checked(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of `policy.Policy` that the TOML document's tables set; `allow`: those of each `policy.Allow`.

    Raises:
        PolicyError: naming the key that is unknown or wrong.
    """
    given: dict[str, Any] = {}
    for section, content in document.items():
        if section != "allow":
            given |= _section(where, section, content)
    entries = document.get("allow", [])
    if not isinstance(entries, list):
        raise PolicyError(f"{where}: allow must be a list of tables: [[allow]]")
    given["allow"] = [_allow(where, number, entry) for number, entry in enumerate(entries, 1)]
    return given


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
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, OSError, TypeError, ValueError) as error:  # OSError: a folder of zones
        raise ValueError(f"no time zone {value!r}") from error
    return str(value)


def _schedule(value: Any) -> str:
    schedule.schedule(value)
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
        "certificate_issuer_denylist": ("certificate_issuer_denylist", _parts),
        "binary_allowlist": ("binary_allowlist", _texts),
        "connection_destination_scope": ("connection_destination_scope", _texts),
        "ssl_client_process_baseline": ("ssl_client_process_baseline", _texts),
        "file_access_extension_list": ("file_access_extension_list", _parts),
        "file_sensitivity_context": ("file_sensitivity_context", _parts),
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
    text = _host(value).lstrip("*").lstrip(".")
    if not text:
        raise ValueError("must be an address, a CIDR or a domain")
    return text


def _host(value: Any) -> str:
    text = _text(value)
    if "/" in text or text.replace(".", "").isdigit() or ":" in text:
        ipaddress.ip_network(text)  # written like an address, it is to be one
    return text.lower()


ALLOW: Mapping[str, Callable[[Any], Any]] = {
    "reason": _text, "host": _host, "destination": _place, "port": lambda value: _ports([value])[0], "tool": _text, "process": _text, "user": _text,
    "schedule": _schedule, "ceiling": _whole, "expires": _date,
}


def _allow(where: str, number: int, entry: Any) -> dict[str, Any]:
    named = f"[[allow]] number {number}"
    if not isinstance(entry, Mapping):
        raise PolicyError(f"{where}: {named} must be a table")
    if unknown := sorted(set(entry) - set(ALLOW)):
        raise PolicyError(f"{where}: {named} does not know {', '.join(map(repr, unknown))}; known: {', '.join(ALLOW)}")
    if not entry.get("reason"):
        raise PolicyError(f"{where}: {named} needs a reason")
    if set(entry) <= {"reason", "expires"}:
        raise PolicyError(f"{where}: {named} would allow everything: name a destination, host, port, tool, process, user or schedule")
    return {key: _checked(where, f"{named}: {key}", ALLOW[key], value) for key, value in entry.items()}
