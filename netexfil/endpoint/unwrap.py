"""Wrappers around records (Splunk results, search hits, event hubs, log shippers): which they are and where the record stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netexfil.endpoint.nested import opened


@dataclass(frozen=True, slots=True)
class Wrapper:
    """`has`: keys a wrapper has; `into`: where the record, or the list of records, stands; `keep`: outer key -> key given to the record."""

    has: Sequence[str]
    into: str
    keep: Mapping[str, str]
    under: str = ""  # where the record is to stand in what is handed on


_RULE = {"title": "@rule_title", "id": "@rule_id", "rule_level": "@rule_level", "tags": "@rule_tags"}
WRAPPERS: Sequence[Wrapper] = (
    Wrapper(("result", "preview"), "result", {}),
    Wrapper(("result", "offset"), "result", {}),
    Wrapper(("results",), "results", {}),
    Wrapper(("Results", "Schema"), "Results", {}),
    Wrapper(("Results",), "Results", {}),
    Wrapper(("records",), "records", {}),
    Wrapper(("value", "@odata.context"), "value", {}),
    Wrapper(("hits",), "hits", {}),
    Wrapper(("_source",), "_source", {}),
    Wrapper(("fields", "_index"), "fields", {}),
    Wrapper(("matches", "rule_level"), "matches", _RULE),
    Wrapper(("documents", "group"), "documents", {"name": "@rule_title", "id": "@rule_id", "level": "@rule_level", "tags": "@rule_tags"}),
    Wrapper(("category", "properties"), "properties", {"category": "@table"}),
    *(Wrapper((table,), table, {}) for table in (
        "DeviceNetworkEvents", "DeviceProcessEvents", "DeviceFileEvents", "DeviceRegistryEvents", "DeviceEvents", "DeviceInfo", "DeviceNetworkInfo")),
    Wrapper(("snapshot", "name"), "snapshot", {name: name for name in ("name", "hostIdentifier", "unixTime", "decorations")}, "columns"),
    Wrapper(("unknown_payload",), "unknown_payload", {}),
    Wrapper(("_raw",), "_raw", {"host": "@host"}),
    Wrapper(("@rawstring",), "@rawstring", {}),
    Wrapper(("SyslogMessage",), "SyslogMessage", {"HostIP": "HostIP", "Computer": "Computer"}),
    Wrapper(("event", "p_log_type"), "event", {}),
    Wrapper(("event", "cid"), "event", {"aid": "aid", "cid": "cid"}),
    Wrapper(("message",), "message", {}),
    Wrapper(("Message",), "Message", {}),
    Wrapper(("MESSAGE", "__REALTIME_TIMESTAMP"), "MESSAGE", {}),
    Wrapper(("log",), "log", {}),
    Wrapper(("line",), "line", {}),
)


@dataclass(frozen=True, slots=True)
class Inner:
    """What stood in a wrapper: a record, or a text with the fields that go to the record that is read from it."""

    record: dict[str, Any] | str
    kept: Mapping[str, Any]


def unwrap(record: Mapping[str, Any]) -> Iterator[Inner]:
    """The records (or texts) inside a wrapper; nothing where the record is none."""
    for wrapper in WRAPPERS:
        if all(name in record for name in wrapper.has):
            kept = {inner: record[outer] for outer, inner in wrapper.keep.items() if outer in record}
            found = list(_inner(record[wrapper.into], kept, wrapper.under))
            if found:
                yield from found
                return


def _inner(value: Any, kept: Mapping[str, Any], under: str) -> Iterator[Inner]:
    if value.__class__ is dict:
        yield Inner({**({under: value} if under else value), **kept}, kept)
    elif value.__class__ is list:
        for item in value:
            if item.__class__ is dict or item.__class__ is str:
                yield from _inner(item, kept, under)
    elif value.__class__ is str and value.strip():
        found = opened(value) if value.lstrip()[:1] in "{[" else None
        yield Inner({**found, **kept} if found else value, kept)
