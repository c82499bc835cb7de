"""What the site sanctions: the first allow entry that fits a channel, all of whose named fields must hold."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from netexfil.detect import tools
from netexfil.detect.destination import under
from netexfil.detect.question import Candidates, Mask
from netexfil.policy import Allow, Policy
from netexfil.schedule import schedule


def suppressed(facts: Mapping[str, Any], policy: Policy) -> dict[str, Any] | None:
    """`{by, reason, expires}` of the first entry that fits, or None.

    Args:
        facts: host (address), host_name, remote, names (destination names), port, tool, images, users, bytes,
            first_ts, last_ts (None where no time is known: then no entry for some time fits), spans (of each session, where they are known).
    """
    for number, entry in enumerate(policy.allow, 1):
        if fits(entry, facts, policy):
            said = ", ".join(f"{key} {getattr(entry, key)}" for key in _CHECKS if getattr(entry, key) is not None)
            return {"by": f"allow {number}: {said}", "reason": entry.reason, "expires": entry.expires.isoformat() if entry.expires else None}
    return None


def fits(entry: Allow, facts: Mapping[str, Any], policy: Policy) -> bool:
    """Whether every field that the entry names holds. Times are the traffic's own, never the clock's."""
    if facts["last_ts"] is None and (entry.expires is not None or entry.schedule is not None):
        return False
    if entry.expires is not None and _local(facts["last_ts"], policy).date() >= entry.expires:
        return False
    return all(check(entry, facts, policy) for key, check in _CHECKS.items() if getattr(entry, key) is not None)


def in_scope(c: Candidates, policy: Policy) -> Mask:
    """Channels to destinations that the policy judges; all where it names none."""
    scope = policy.connection_destination_scope
    rows = zip(c.text("remote_h"), c.text("server_name"), strict=True)
    return np.array([not scope or any(_place(text, address, [name]) for text in scope) for address, name in rows], bool)


def _local(ts: float, policy: Policy) -> dt.datetime:
    return dt.datetime.fromtimestamp(ts, zoneinfo.ZoneInfo(policy.zone or "UTC"))


def _address(text: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(text)
    except ValueError:
        return False


def _place(text: str, address: str | None, names: Sequence[str | None]) -> bool:
    return bool(address and _address(text, address)) or any(under(name, (text,)) for name in names if name)


def _program(text: str, values: Sequence[str | None]) -> bool:
    """Whether the only programs known to have sent are the one named: by its path, where one is given, else by its file name."""
    plain = _path if re.search(r"[\\/]", text) else tools.base
    return _only(values, lambda value: plain(value) == plain(text))


_ROOT = re.compile(r"^(\\device\\harddiskvolume\d+|[a-z]:)(?=\\)")


def _path(image: str) -> str:
    """A path as any telemetry may write it: without case, drive or device."""
    return _ROOT.sub("", image.strip().lower().replace("/", "\\"))


def _user(text: str, values: Sequence[str | None]) -> bool:
    wanted = text.lower()
    return _only(values, lambda value: wanted in (value.lower(), value.lower().rsplit("\\", 1)[-1]))


def _only(values: Sequence[str | None], fits: Callable[[str], bool]) -> bool:
    """Whether something is known and all that is known fits: who may send does not hide who else sent to the same place."""
    known = [value for value in values if value]
    return bool(known) and all(map(fits, known))


def _within(entry: Allow, facts: Mapping[str, Any], policy: Policy) -> bool:
    """The whole upload lies within the schedule: every session from its first to its last moment."""
    hours = schedule(str(entry.schedule))
    spans = facts.get("spans") or [(facts["first_ts"], facts["last_ts"])]
    return all(hours.covers(_local(first, policy), _local(last, policy)) for first, last in spans)


_CHECKS: Mapping[str, Callable[[Allow, Mapping[str, Any], Policy], bool]] = {
    "host": lambda e, f, p: _place(str(e.host), f["host"], [f.get("host_name")]) or str(e.host).lower() == str(f.get("host_name") or "").lower(),
    "destination": lambda e, f, p: _place(str(e.destination), f["remote"], f["names"]),
    "port": lambda e, f, p: f["port"] == e.port,
    "tool": lambda e, f, p: str(e.tool).lower() == str(f.get("tool") or "").lower(),
    "process": lambda e, f, p: _program(str(e.process), f["images"]),
    "user": lambda e, f, p: _user(str(e.user), f["users"]),
    "schedule": _within,
    "ceiling": lambda e, f, p: f["bytes"] <= (e.ceiling or 0),
}
