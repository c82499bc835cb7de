"""netexfil: exfiltration over encrypted non-C2 protocols, from captures and Zeek logs, joined with endpoint telemetry.

    result = netexfil.analyze(["capture.pcapng"], join=["endpoint.jsonl"])
    for finding in result.findings:
        print(finding.score, finding.host, finding.destination)

The flow stands in `netexfil.pipeline`. Names are imported when they are first used, so that `netexfil --help` stays quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netexfil.api import analyze, read_events, read_sessions
    from netexfil.finding import Evidence, Finding, Link
    from netexfil.policy import Policy

__version__ = "0.1.0"

__all__ = ["Evidence", "Finding", "Link", "Policy", "analyze", "read_events", "read_sessions"]

_HOME = {
    "analyze": "netexfil.api", "read_sessions": "netexfil.api", "read_events": "netexfil.api",
    "Finding": "netexfil.finding", "Evidence": "netexfil.finding", "Link": "netexfil.finding", "Policy": "netexfil.policy",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'netexfil' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)
