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
    Wrapper(("unknown_payload",), "unknown_payload", {}),
    Wrapper(("_raw",), "_raw", {"host": "@host"}),
    Wrapper(("@rawstring",), "@rawstring", {}),
    Wrapper(("SyslogMessage",), "SyslogMessage", {"HostIP": "HostIP", "Computer": "Computer"}),
    Wrapper(("event", "p_log_type"), "event", {}),
    Wrapper(("message",), "message", {}),
    Wrapper(("Message",), "Message", {}),
    Wrapper(("log",), "log", {}),
    Wrapper(("line",), "line", {}),
)


def unwrap(record: Mapping[str, Any]) -> Iterator[dict[str, Any] | str]:
    """The records (or texts) inside a wrapper; nothing where the record is none."""
    for wrapper in WRAPPERS:
        if all(name in record for name in wrapper.has):
            kept = {inner: record[outer] for outer, inner in wrapper.keep.items() if outer in record}
            found = list(_inner(record[wrapper.into], kept))
            if found:
                yield from found
                return


def _inner(value: Any, kept: Mapping[str, Any]) -> Iterator[dict[str, Any] | str]:
    if value.__class__ is dict:
        yield {**value, **kept}
    elif value.__class__ is list:
        for item in value:
            if item.__class__ is dict or item.__class__ is str:
                yield from _inner(item, kept)
    elif value.__class__ is str and value.strip():
        found = opened(value) if value.lstrip()[:1] in "{[" else None
        yield {**found, **kept} if found else value
