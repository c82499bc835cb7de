"""How a value is said to a reader: bytes, ratios, names, times, and foreign text made harmless. Used by every format for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netexfil.finding import iso

if TYPE_CHECKING:
    from netexfil.finding import Evidence, Finding, Link

# Best tie first; the same order as the join tries them (DESIGN "Join").
MATCHES = ("five_tuple", "community_id", "process", "remote_time", "host_time")
# Readers drop blanks and marks of no width before they look for a formula.
_FORMULA = re.compile(r"[\t\r\n]|[\s\u200b\u2060\ufeff]*[=+\-@＝＋－＠]")


def visible(text: object) -> str:
    """The text with every control, direction or invisible character as an escape (`\\x1b`, `\\u202e`).

    Foreign strings (SNI, banner, command line, file name) pass here before a terminal or a page shows them.
    """
    words = str(text)
    if words.isprintable():
        return words
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in words)


def defused(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe before = + - @ (behind blanks too), tab or line end (OWASP CSV injection)."""
    return f"'{text}" if _FORMULA.match(text) else text


def clean(value: Any) -> Any:
    """The value with lone surrogates (bytes of a file name that are no UTF-8) as escapes, so that it can be encoded."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {str(key): clean(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [clean(part) for part in value]
    return value


def units(count: float | None) -> str:
    """Bytes with three digits and a decimal unit: 1.30 MB."""
    if count is None:
        return "?"
    if abs(count) < 1000:
        return f"{count:.0f} B"
    amount, unit = float(count), 0
    while abs(amount) >= 999.5 and unit < 4:
        amount, unit = amount / 1000, unit + 1
    digits = 2 if abs(amount) < 9.995 else 1 if abs(amount) < 99.95 else 0
    return f"{amount:.{digits}f} {('B', 'kB', 'MB', 'GB', 'TB')[unit]}"


def size(amount: Mapping[str, Any]) -> str:
    """Bytes out with what is known of them: `1.30 MB`, `1.2 to 1.4 MB`, `at least 1.2 MB`, `unknown`."""
    low, high, quality = amount.get("low"), amount.get("high"), amount.get("quality")
    if quality == "unknown" and not low:
        return "unknown"
    if high is None:
        return f"≥ {units(low)}"
    return units(low) if low == high or units(low) == units(high) else f"{units(low)} – {units(high)}"


def exact(amount: Mapping[str, Any]) -> str:
    """The same to the byte: `1,301,419 B`, `1,200,000 – 1,400,000 B`."""
    low, high = amount.get("low"), amount.get("high")
    if low is None:
        return "unknown"
    if high is None:
        return f"≥ {low:,} B"
    return f"{low:,} B" if low == high else f"{low:,} – {high:,} B"


def signed(ratio: float | None) -> str:
    """A PCR: -1 only in, 0 both, +1 only out."""
    return "" if ratio is None else f"{ratio:+.2f}"


UNDATED = "no time"


def when(finding: Finding) -> str:
    """Its first and last moment, or that none is known."""
    return f"{iso(finding.first_ts)} – {iso(finding.last_ts)}" if finding.dated else UNDATED


def span(seconds: float | None) -> str:
    """A duration: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds is None:
        return "?"
    if abs(seconds) < 60:
        return f"{seconds:.1f} s" if abs(seconds) < 10 else f"{seconds:.0f} s"
    whole = round(abs(seconds))
    sign = "-" if seconds < 0 else ""
    for big, small, divisor, unit in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= divisor:
            return f"{sign}{whole // divisor} {big} {whole % divisor // unit} {small}"
    return f"{sign}{whole} s"


def host(finding: Finding) -> str:
    """`10.0.0.14 (ws-14)`, or whichever is known."""
    return _both(finding.host.get("ip"), finding.host.get("name"))


def destination(finding: Finding) -> str:
    """`files.example.net (192.0.2.1):22`; of a pull `192.0.2.1, pulling from port 22`; `session not seen` for an endpoint finding without one."""
    place = finding.destination
    if not place:
        return "session not seen"
    ips = list(place.get("ips") or ())
    address = str(ips[0]) if ips else ""
    name = place.get("name")
    shown = f"[{address}]" if ":" in address and not name else address
    label = f"{name} ({address})" if name and address and name != address else str(name or shown)
    more = f" +{len(ips) - 1}" if len(ips) > 1 else ""
    port, udp = place.get("port"), "/udp" if place.get("proto") == "udp" else ""
    if finding.pulled:
        return f"{label}{more}, pulling from port {port}{udp}"
    return f"{label}{more}" + (f":{port}" if port is not None else "") + udp


def ends(finding: Finding) -> tuple[dict[str, Any], dict[str, Any]]:
    """Client and server as the sessions ran, each {ip, name, port, bytes that it sent}; of a pull the outside is the client."""
    place = finding.destination or {}
    near = {"ip": finding.host.get("ip"), "name": finding.host.get("name"), "port": None, "bytes": finding.bytes_out.get("low")}
    far = {"ip": next(iter(place.get("ips") or ()), None), "name": place.get("name"), "port": None, "bytes": finding.bytes_in}
    client, server = (far, near) if finding.pulled else (near, far)
    return client, {**server, "port": place.get("port")}


def _both(first: Any, second: Any) -> str:
    if first and second and first != second:
        return f"{first} ({second})"
    return str(first or second or "?")


def sentence(finding: Finding) -> str:
    """The finding in one line: `10.0.0.14 (ws-14) sent 1.30 MB to files.example.net (192.0.2.1):22 over SFTP/SCP`.

    Of a pull: `192.0.2.1 fetched 1.30 MB from port 22 of 10.0.0.14 (ws-14) over SFTP/SCP`.
    """
    if finding.destination is None:
        return f"Endpoint alert on {host(finding)}, its session was not seen"
    if finding.pulled:
        verb = "is fetching" if finding.in_progress else "fetched"
        return f"{destination(finding).replace(', pulling', f' {verb} {size(finding.bytes_out)}')} of {host(finding)} over {finding.protocol}"
    verb = "is sending" if finding.in_progress else "sent"
    return f"{host(finding)} {verb} {size(finding.bytes_out)} to {destination(finding)} over {finding.protocol}"


def tool(finding: Finding) -> str:
    """`rclone (confirmed)`; empty where nothing names one."""
    name, verdict = finding.tool.get("name"), finding.tool.get("verdict")
    if not name:
        return ""
    return f"{name} ({verdict})" if verdict and verdict != "none" else str(name)


def best_links(finding: Finding) -> list[Link]:
    """Links, the surest first."""
    rank = {name: place for place, name in enumerate(MATCHES)}
    return sorted(finding.links, key=lambda link: (rank.get(link.match, len(rank)), -link.confidence))


def base_name(image: object) -> str:
    """The program's file name of a Windows or Unix path."""
    return re.split(r"[\\/]", str(image))[-1] or str(image)


def owner(finding: Finding) -> tuple[str, str]:
    """(process, user) of the surest link that names them."""
    process = user = ""
    for link in best_links(finding):
        image, pid = link.event.get("image"), link.event.get("pid")
        if not process and image:
            process = base_name(image) + (f" [{pid}]" if pid is not None else "")
            user = str(link.event.get("user") or "")
        if process and not user:
            user = str(link.event.get("user") or "")
        if process and user:
            break
    return process, user


def reasons(finding: Finding, count: int = 2) -> list[Evidence]:
    """The strongest reasons for; where none is above zero, the strongest at all."""
    ranked: Sequence[Evidence] = sorted(finding.evidence, key=lambda e: -e.points)
    positive = [e for e in ranked if e.points > 0 and e.code != "cap"]
    return list(positive or [e for e in ranked if e.code != "cap"])[:count]


def points(value: float) -> str:
    """Signed points without needless digits: +12, -3.5."""
    return f"{value:+.1f}".removesuffix(".0") if value else "0"


def suppression(finding: Finding) -> str:
    """`allowed: authorised backup (expires 2027-01-01)`, or nothing."""
    entry = finding.suppressed
    if not entry:
        return ""
    until = f" (expires {entry['expires']})" if entry.get("expires") else ""
    return f"allowed: {entry.get('reason')}{until}"
