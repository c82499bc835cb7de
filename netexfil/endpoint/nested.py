"""Records inside records: sub-objects, JSON text and event XML opened on the way."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from xml.etree import ElementTree

import orjson

EMPTY: dict[str, Any] = {}

# None of them looks beyond the next element for what closes one: ill-formed XML may have any length.
_DATA = re.compile(r"<Data(?:\s+Name=[\"']([^\"'<]*)[\"'])?\s*+(?:/>|>([^<]*+(?:<(?!/?Data\b)[^<]*+)*+)</Data>)")
_SIMPLE = re.compile(r"<(EventID|EventRecordID|Channel|Computer|Level|Task)\b[^<>]*>([^<]*)<")
_ATTRIBUTE = re.compile(r"<(Provider|TimeCreated|Execution)\b([^<>]*)>")
_PAIR = re.compile(r"(?<!\w)(\w++)=[\"']([^\"']*)[\"']")


def sub(record: Any, key: str) -> dict[str, Any]:
    """The sub-record at `key`: an object, the first object of a list, or text that holds one; else an empty one."""
    value = record.get(key)
    kind = value.__class__
    if kind is dict:
        return value  # type: ignore[no-any-return]
    if kind is list:
        return next((item for item in value if item.__class__ is dict), EMPTY)
    return opened(value) if kind is str else EMPTY


def opened(value: str) -> dict[str, Any]:
    """The object that a text holds as JSON or event XML, else an empty one."""
    start = value.lstrip()[:1]
    if start == "{" or start == "[":
        return _json(value)
    if start == "<":
        found = event_xml(value)
        return found.get("EventData", found) if found else EMPTY
    if " ¦ " in value:  # Hayabusa's CSV: `Proto: tcp ¦ SrcIP: 10.0.0.1`
        return {key.strip(): rest.strip() for key, _, rest in (part.partition(":") for part in value.split(" ¦ "))}
    return EMPTY


def _json(value: str) -> dict[str, Any]:
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return EMPTY
    if found.__class__ is list:
        found = next((item for item in found if item.__class__ is dict), EMPTY)
    return _named(found) if found.__class__ is dict else EMPTY


def _named(record: dict[str, Any]) -> dict[str, Any]:
    """EventData as EvtxECmd writes it (`{"Data": [{"@Name": "Image", "#text": "…"}]}`) with its names as keys; anything else as it is."""
    data = sub(record, "EventData").get("Data") if "EventData" in record else None
    if data.__class__ is dict:
        data = [data]
    if data.__class__ is not list or not all(item.__class__ is dict and item.get("@Name").__class__ is str for item in data):
        return record
    return {**record, "EventData": {item["@Name"]: item.get("#text") for item in data}}


def nest(record: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys as objects: `{"a.b": 1}` to `{"a": {"b": 1}}`; what cannot be nested keeps its key."""
    made: dict[str, Any] = {}
    for key, value in record.items():
        place = made
        *parents, last = key.split(".")
        for parent in parents:
            inner = place.setdefault(parent, {})
            if inner.__class__ is not dict:
                inner = place = {}
                break
            place = inner
        old = place.get(last)
        place[last] = {**nest(old), **nest(value)} if old.__class__ is dict and value.__class__ is dict else value
    return made


def event_xml(source: str) -> dict[str, Any] | None:
    """A Windows event in XML as `{"System": …, "EventData": …}` with the names of evtx_dump.

    Cut or ill-formed XML (old Sysmon for Linux cuts lines and breaks entities) is read by pattern as far as it goes; a document
    type is never expanded. None where there is no event at all.
    """
    if "<!" not in source.replace("<![CDATA[", ""):
        try:
            found = _tree(ElementTree.fromstring(source))
        except ElementTree.ParseError:
            found = None
        if found is not None:
            return found
    return _patterns(source)


def _tree(root: ElementTree.Element) -> dict[str, Any] | None:
    names = {"Event": "Event", "EventData": "EventData", "UserData": "UserData"}
    top = _local(root.tag)
    if top == "EventData":
        return {"EventData": _data(root)}
    if top not in names:
        return None
    system: dict[str, Any] = {}
    made: dict[str, Any] = {"System": system, "EventData": {}}
    for child in root:
        name = _local(child.tag)
        if name == "System":
            for item in child:
                attributes = {"#attributes": dict(item.attrib)} if item.attrib else {}
                system[_local(item.tag)] = {**attributes, "#text": item.text} if attributes else item.text
        elif name == "EventData":
            made["EventData"] = _data(child)
        elif name == "UserData":
            made["UserData"] = {_local(item.tag): item.text for item in child.iter() if item.text}
        elif name == "RenderingInfo":
            made["Message"] = next((item.text for item in child if _local(item.tag) == "Message"), None)
    return made


def _data(element: ElementTree.Element) -> dict[str, Any]:
    return {item.get("Name") or f"Data{n}": item.text or "" for n, item in enumerate(element)}


def _local(tag: str) -> str:
    return tag.rsplit("}", 1)[-1]


def _patterns(source: str) -> dict[str, Any] | None:
    system: dict[str, Any] = {name: unescape(value) for name, value in _SIMPLE.findall(source)}
    for name, attributes in _ATTRIBUTE.findall(source):
        system[name] = {"#attributes": {key: unescape(value) for key, value in _PAIR.findall(attributes)}}
    data = {name: unescape(value).strip() for name, value in _DATA.findall(source) if name}
    if not data and "EventID" not in system:
        return None
    return {"System": system, "EventData": data}
