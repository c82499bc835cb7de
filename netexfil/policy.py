"""What a site has set: home networks, ports, thresholds, working hours, allow entries. `settings.py` checks its file."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from netexfil import defaults, settings
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
    `process` with the whole path where one is given, else with its last part; another process or user that sent there too does not fit;
    `schedule` is `Mon-Fri 08:00-18:00` in the policy's zone (days, hours or both) and must hold every session from end to end;
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
    import tomllib

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
    given = settings.checked(document, where)
    return Policy(**given | {"name": where, "allow": tuple(Allow(**entry) for entry in given["allow"])})
