"""What a state holds, read while others may be writing: health, findings, differences; and the few ways to change it by hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from netexfil import tables
from netexfil.errors import StateError
from netexfil.finding import ALERT_LINE, SEVERITIES, Finding, rank
from netexfil.state import store

if TYPE_CHECKING:
    import duckdb


def show(path: Path, now: float) -> dict[str, Any]:
    """Health: last run, lag behind the logs, lines refused, what is stored and how large the file is."""
    con = store.open_for_reading(path)
    with store.attached(con, path, read_only=True):
        store.check(con, path)
        last = con.execute("SELECT id, started, sessions, refused, findings, lag FROM state.run ORDER BY id DESC LIMIT 1").fetchone()
        held = {table: _count(con, table) for table in ("session", "event", "finding", "outbox", "log")}
        span = con.execute("SELECT min(ts), max(ts + coalesce(duration, 0)) FROM state.session").fetchone() or (None, None)
        alerts = con.execute("SELECT count(*) FROM state.finding WHERE NOT suppressed AND severity IN (SELECT unnest(?))", [_ALERTS]).fetchone()
        refused = con.execute("SELECT coalesce(sum(refused), 0) FROM state.run WHERE started > ?", [now - 86400]).fetchone()
        total = store.one(con, "SELECT coalesce(arg_max(refused_total, id), sum(refused)) FROM state.run")
    run = dict(zip(("run", "started", "sessions", "refused", "findings", "lag"), last, strict=True)) if last else None
    return {
        "last_run": run, "seconds_since_last_run": now - run["started"] if run else None, "refused_last_day": int(refused[0]) if refused else 0,
        "refused_total": total,
        "held": held, "alerts": alerts[0] if alerts else 0, "first_ts": span[0], "last_ts": span[1],
        "lag": now - span[1] if span[1] is not None else None, "bytes": path.stat().st_size,
    }


_ALERTS = list(SEVERITIES[SEVERITIES.index(ALERT_LINE) :])


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    row = con.execute(f"SELECT count(*) FROM state.{table}").fetchone()
    return int(row[0]) if row else 0


def findings(path: Path) -> list[Finding]:
    """The findings table as it stands, score descending."""
    con = store.open_for_reading(path)
    with store.attached(con, path, read_only=True):
        store.check(con, path)
        return _ranked(con.execute("SELECT record FROM state.finding").fetchall())


def _ranked(rows: list[tuple[str]]) -> list[Finding]:
    return sorted((Finding.from_record(orjson.loads(record)) for (record,) in rows), key=rank)


def diff(path: Path, since: float | None = None, other: Path | None = None) -> list[Finding]:
    """What is new or has grown: since a time (of the runs' clock), or against another state."""
    if other is not None:
        before = {finding.id: finding for finding in findings(other)}
        return [f for f in findings(path) if f.id not in before or _more(f, before[f.id])]
    con = store.open_for_reading(path)
    with store.attached(con, path, read_only=True):
        store.check(con, path)
        grown = "last_run IN (SELECT id FROM state.run WHERE started >= ?)"
        return _ranked(con.execute(f"SELECT record FROM state.finding WHERE {grown}", [since or 0.0]).fetchall())


def _more(new: Finding, old: Finding) -> bool:
    return new.score > old.score or (new.bytes_out.get("low") or 0) > (old.bytes_out.get("low") or 0)


def export(path: Path, folder: Path) -> list[Path]:
    """Every table as a Parquet file in `folder`, which is made."""
    con = store.open_for_reading(path)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with store.attached(con, path, read_only=True):
        store.check(con, path)
        for table in ("session", "name", "event", "finding", "run", "log"):
            target = folder / f"{table}.parquet"
            quoted = str(target).replace("'", "''")
            con.execute(f"COPY (FROM state.{'told' if table == 'session' else table}) TO '{quoted}' (FORMAT parquet)")
            written.append(target)
    return written


def forget(path: Path, before: float | None, now: float, after: float | None = None) -> dict[str, int]:
    """Drop whole days of event time, those before the day of `before` and from that of `after` on; what is left is scored anew by the next run."""
    limits = (("<", before), (">=", after))
    outside = " OR ".join(f"{{0}} {sign} {int(limit // 86400)}" for sign, limit in limits if limit is not None) or "FALSE"
    with store.locked(path, wait=False):
        con = tables.connect()
        store.migrate(con, path, now)
        with store.attached(con, path), store.transaction(con):
            return _drop(con, outside)


def _drop(con: duckdb.DuckDBPyConnection, outside: str) -> dict[str, int]:
    """Drop rows of the attached state by a condition on their day; how many, by table."""
    gone = {}
    for table, column in (("session", "day"), ("event", "day"), ("finding", "day"), ("fact", f"ts / {86400}"), ("name", f"last_ts / {86400}")):
        where = outside.format(f"floor({column})")
        gone[table] = store.one(con, f"SELECT count(*) FROM state.{table} WHERE {where}")
        if gone[table]:
            con.execute(f"DELETE FROM state.{table} WHERE {where}")
    con.execute("UPDATE state.run SET settings = NULL")  # the next run makes everything anew
    return gone


def vacuum(path: Path, now: float) -> tuple[int, int]:
    """Write the state anew without the room of deleted rows: (bytes before, bytes after). The new file replaces the old one at once."""
    with store.locked(path, wait=False):
        con = tables.connect()
        store.migrate(con, path, now)
        before, fresh = path.stat().st_size, path.with_name(path.name + ".vacuum")
        fresh.unlink(missing_ok=True)
        if shutil.disk_usage(path.parent).free < before:
            raise StateError(f"{path}: not enough free space beside it to write it anew ({before} bytes)")
        old_mask = os.umask(0o077)
        try:
            with store.attached(con, path, read_only=True):
                con.execute(f"ATTACH '{str(fresh).replace(chr(39), chr(39) * 2)}' AS fresh")
                con.execute("COPY FROM DATABASE state TO fresh")
                con.execute("DETACH fresh")
        finally:
            os.umask(old_mask)
        os.replace(fresh, path)
        return before, path.stat().st_size


def metrics(path: Path, target: Path, now: float) -> None:
    """Health as a Prometheus textfile, replaced at once (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
    body = "".join(_metric_lines(show(path, now)))
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.write_text(body, encoding="utf-8")
    draft.chmod(0o644)
    os.replace(draft, target)


def _metric_lines(health: Mapping[str, Any]) -> Iterator[str]:
    run = health["last_run"] or {}
    told = (
        ("last_run_timestamp_seconds", "Start of the last run.", run.get("started")),
        ("last_run_sessions", "Sessions that the last run took in.", run.get("sessions")),
        ("last_run_refused", "Lines that the last run refused.", run.get("refused")),
        ("refused_lines_total", "Lines refused since the state was made.", health["refused_total"]),
        ("lag_seconds", "How far the newest stored record lies behind the clock.", health["lag"]),
        ("alerts", "Alerts in the findings table.", health["alerts"]),
        ("findings", "Findings in the findings table.", health["held"]["finding"]),
        ("outbox", "Findings whose output has not been written yet.", health["held"]["outbox"]),
        ("sessions", "Sessions held.", health["held"]["session"]),
        ("state_bytes", "Size of the state file.", health["bytes"]),
    )
    for name, text, value in told:
        if value is not None:
            kind = "counter" if name.endswith("_total") else "gauge"
            yield f"# HELP netexfil_{name} {text}\n# TYPE netexfil_{name} {kind}\nnetexfil_{name} {value}\n"
