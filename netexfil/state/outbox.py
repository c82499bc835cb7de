"""The findings table, and what of it is worth telling: new findings, and those that have grown since they were told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson

from netexfil import channels, tables
from netexfil.finding import Finding
from netexfil.state import keys

if TYPE_CHECKING:
    import duckdb

# A finding is handed out again when its score rose by so many points or its bytes by this factor, or when its severity or
# suppression changed.
GROWN_POINTS, GROWN_BYTES = 10.0, 1.5

_ROW = {
    "id": "VARCHAR", "day": "BIGINT", "record": "VARCHAR", "score": "DOUBLE", "severity": "VARCHAR", "bytes_low": "BIGINT", "suppressed": "BOOLEAN",
    "kind": "VARCHAR", "host": "VARCHAR", "remote": "VARCHAR", "port": "BIGINT", "proto": "VARCHAR", "way": "VARCHAR", "window_day": "BIGINT",
}


def replace(con: duckdb.DuckDBPyConnection, findings: Sequence[Finding], judged: str, number: int) -> None:
    """The findings table as scored; what was handed out of each stays known, and what is worth telling goes to the outbox.

    Args:
        judged: a condition on the rows of state.finding that these findings take the place of.
        number: of this run.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE before AS FROM state.finding WHERE {judged}")
    con.execute(f"DELETE FROM state.finding WHERE {judged}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE scored ({', '.join(f'{name} {kind}' for name, kind in _ROW.items())})")
    tables.insert(con, "scored", [_values(finding) for finding in findings], kinds=_ROW)
    cid = channels.cid("host", "remote", "port", "proto", "window_day", "way")
    con.execute(f"""INSERT INTO state.finding
        SELECT s.id, s.day, s.record, s.score, s.severity, s.bytes_low, s.suppressed,
            coalesce(b.first_run, $run), CASE WHEN b.record = s.record THEN b.last_run ELSE $run END,
            b.emitted_score, b.emitted_severity, b.emitted_bytes, b.emitted_suppressed, CASE WHEN kind = 'channel' THEN {cid} END
        FROM scored s LEFT JOIN before b USING (id)""", {"run": number})
    con.execute(f"CREATE OR REPLACE TEMP TABLE told AS SELECT id, record FROM state.finding WHERE {_WORTH_TELLING}")
    con.execute("DELETE FROM state.outbox WHERE id IN (SELECT id FROM told)")
    con.execute("INSERT INTO state.outbox SELECT $run, id, record FROM told", {"run": number})
    con.execute("""UPDATE state.finding SET emitted_score = score, emitted_severity = severity, emitted_bytes = bytes_low,
                   emitted_suppressed = suppressed WHERE id IN (SELECT id FROM told)""")


_WORTH_TELLING = f"""emitted_score IS NULL OR score >= emitted_score + {GROWN_POINTS} OR severity <> emitted_severity
    OR bytes_low > emitted_bytes * {GROWN_BYTES} OR suppressed <> emitted_suppressed"""


def _values(finding: Finding) -> tuple[object, ...]:
    destination = finding.destination or {}
    return (
        finding.id, int(finding.first_ts // keys.DAY) if finding.dated else None, orjson.dumps(finding.record()).decode(), finding.score,
        finding.severity,
        int(finding.bytes_out.get("low") or 0), finding.suppressed is not None, finding.kind, finding.host.get("ip"),
        next(iter(destination.get("ips") or ()), None), destination.get("port"), destination.get("proto"),
        "pull" if finding.extra.get("direction") == "pull" else "true", _day(finding.window),
    )


def _day(window: str) -> int | None:
    """A window's date as days since 1970; None where no time is known."""
    from datetime import date

    return (date.fromisoformat(window) - date(1970, 1, 1)).days if window else None
