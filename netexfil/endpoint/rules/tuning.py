"""The seeds' tuning items as policy knobs: what fits an item is kept as an alert of severity `info` that names the item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from netexfil.defaults import TUNING as KNOBS
from netexfil.policy import Policy

if TYPE_CHECKING:
    import duckdb

# policy field -> column of `event`; a value fits when it stands somewhere in the column, whatever the case.
FIELDS: Mapping[str, str] = {
    "users": "\"user\"", "hosts": "host_raw", "processes": "image", "parents": "parent_image", "commands": "command_line",
    "destinations": "concat_ws(' ', remote_ip, remote_host, command_line)",
}


def apply(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Lower what the policy's knobs sanction to `info`; every named field of a knob must fit."""
    settings: Mapping[str, Mapping[str, Sequence[str]]] = policy.tuning
    for knob, wanted in settings.items():
        tests = [(column, list(wanted[name])) for name, column in FIELDS.items() if wanted.get(name)]
        if knob in KNOBS and tests:
            _lower(con, knob, tests)


def _lower(con: duckdb.DuckDBPyConnection, knob: str, tests: Sequence[tuple[str, list[str]]]) -> None:
    where = " AND ".join(f"list_has_any([true], [contains(lower(coalesce({column}, '')), lower(v)) FOR v IN ?])" for column, _ in tests)
    con.execute(
        f"""UPDATE alert SET severity = 'info', reason = reason || ?
        WHERE rule IN ('logscale', 'splunk', 'netexfil') AND eid IN (SELECT eid FROM event WHERE {where})""",
        [f" (sanctioned by the policy: tuning.{knob})", *(values for _, values in tests)],
    )
