"""Records of Zeek's logs that were turned into Elastic's Common Schema, turned back (`fields.ECS`); `rust/src/zeek/ecs.rs` does the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netexfil.read import fields

_FROM = "zeek."


def record(outer: Mapping[str, Any]) -> dict[str, Any] | None:
    """Under Zeek's names; None where a record (its keys flattened) does not say that it is of one of Zeek's logs."""
    datasets = (outer.get(key) for key in fields.DATASETS)
    dataset = next((name.removeprefix(_FROM) for name in datasets if isinstance(name, str) and name.startswith(_FROM)), None)
    if dataset is None:
        return None
    prefix = f"zeek_{dataset}_"
    found: dict[str, Any] = {"_path": fields.DATASET_LOGS.get(dataset, dataset)}
    for only, theirs, ours in fields.ECS:
        cell: Any = outer.get(theirs)
        if theirs == fields.EVENT_DURATION:
            cell = cell / 1e9 if type(cell) in (int, float) else None
        if only in ("", dataset) and cell is not None:
            found.setdefault(ours, cell)
    for key, kept in outer.items():
        if key.startswith(prefix):
            found.setdefault(key.removeprefix(prefix), kept)
    return found
