"""What a site may set: home networks, ports, thresholds, allow entries (TOML). Every default stands here, with its meaning."""

from __future__ import annotations

import datetime as dt
import ipaddress
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from netexfil.errors import PolicyError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

WATCHED = (22, 443, 465, 587, 990, 993, 8443, 21)
INSIDE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")


@dataclass(frozen=True, slots=True)
class Allow:
    """A transfer that the site sanctions. All named fields must fit; `reason` is required; what it hides is counted and listed."""

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


@dataclass(frozen=True, slots=True)
class Policy:
    inside: Sequence[str] = INSIDE
    public: str = "default"
    watched: Sequence[int] = WATCHED
    thresholds: Mapping[str, float] = field(default_factory=dict)
    allow: Sequence[Allow] = ()

    @property
    def networks(self) -> tuple[Network, ...]:
        return tuple(ipaddress.ip_network(text) for text in self.inside)


def load(path: Path) -> Policy:
    """Read and validate a policy file.

    Raises:
        PolicyError: with file, key and reason.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PolicyError(f"{path}: {error}") from error
    return _build(path, document)


def _build(path: Path, document: Mapping[str, Any]) -> Policy:
    networks, ports = document.get("networks", {}), document.get("ports", {})
    known = {f.name for f in fields(Allow)}
    for entry in document.get("allow", []):
        if not entry.get("reason"):
            raise PolicyError(f"{path}: [[allow]] needs a reason")
        if unknown := set(entry) - known:
            raise PolicyError(f"{path}: [[allow]] does not know {sorted(unknown)}")
    return Policy(
        inside=tuple(networks.get("inside", INSIDE)),
        public=networks.get("public", "default"),
        watched=tuple(ports.get("watched", WATCHED)),
        thresholds=dict(document.get("thresholds", {})),
        allow=tuple(Allow(**entry) for entry in document.get("allow", [])),
    )
