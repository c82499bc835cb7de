"""Findings from the stored rows: of everything that is kept, or of what the new rows change. Both end in the same table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netexfil import channels, detect, outbound, pipeline, read, tables
from netexfil.errors import Note
from netexfil.finding import Finding
from netexfil.policy import Policy
from netexfil.state import afresh, depend, keys, pairs, parts
from netexfil.state import store as files

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Made:
    """Findings, and the condition on state.finding's rows that they take the place of. `kept`: bits of state.pair that hold."""

    how: str
    findings: Sequence[Finding] = ()
    notes: Sequence[Note] = ()
    judged: str = "FALSE"
    kept: int = 0


def plan(con: duckdb.DuckDBPyConnection, job: pipeline.Job, anew: bool) -> str:
    """`nothing`, `parts` (what is new), `afresh` (all of it, by days; a budget sets thresholds from all), or `everything` at once: where clocks
    are estimated from all sessions that are there.
    """
    mark = _mark(con)
    changed = parts.any_row(con, "state.stale") or parts.any_row(con, f"state.session WHERE batch > {mark}")
    there = parts.any_row(con, "state.session") or parts.any_row(con, "state.event")
    if not there or not (anew or changed):
        return "nothing"
    if not apart(con):
        return "everything"
    return "afresh" if anew or job.budget is not None else "parts"


def apart(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether days can be judged one by one. Not with telemetry, or where more days are there than bits tell apart."""
    if parts.any_row(con, "state.event"):
        return False
    return files.one(con, "SELECT max(day) - min(day) FROM state.session") <= pairs.LONGEST


def _mark(con: duckdb.DuckDBPyConnection) -> int:
    row = con.execute("SELECT coalesce(max(batch), 0) FROM state.run").fetchone()
    return int(row[0]) if row else 0


def _everything(con: duckdb.DuckDBPyConnection, job: pipeline.Job) -> Made:
    """All sessions and telemetry that are kept, with the channels of the days before them."""
    pairs.prepare(con)
    row = con.execute("SELECT min(day) FROM (SELECT day FROM state.session UNION ALL SELECT day FROM state.event)").fetchone()
    first = int(row[0]) if row and row[0] is not None else 0  # telemetry may be without any time
    _load(con, first)
    notes = list(outbound.turn(con, job.policy))
    if parts.any_row(con, "event"):
        notes += pipeline.alerts(con, job)
        notes += pipeline.link(con, job)
    held = "SELECT ts FROM session UNION ALL SELECT ts FROM event WHERE ts IS NOT NULL"
    days = [int(day) for (day,) in con.execute(f"SELECT DISTINCT floor(ts / {keys.DAY}) FROM ({held})").fetchall()]
    channels.assign(con)
    con.execute(f"CREATE OR REPLACE TEMP TABLE grouped AS {channels.GROUPED}")
    channels.name(con)
    channels.fleet(con, job.policy)
    findings, more = pipeline.judge(con, job, days)
    con.execute(f"CREATE OR REPLACE TEMP TABLE made AS {parts.stored(f'c.day >= {first}', 'c.cid IN (SELECT cid FROM cand)')}")
    parts.flag(con, job.policy, "TRUE", "flagged")
    return Made("everything", findings, [*notes, *more], f"day >= {first}")


def _load(con: duckdb.DuckDBPyConnection, first: int) -> None:
    """Sessions from a day on, the channels of the days before it, and everything that names or ties them."""
    names, facts, channel = ", ".join(tables.NAME), ", ".join(tables.FACT), ", ".join(tables.CHANNEL)
    con.execute(f"INSERT INTO session ({parts.READ}) SELECT {parts.READ} FROM state.told WHERE day >= ? ORDER BY ts, uid", [first])
    con.execute(f"INSERT INTO channel SELECT {channel} FROM state.channel WHERE day < ?", [first])
    con.execute(f"INSERT INTO name ({names}) SELECT {names} FROM state.name")
    con.execute(f"INSERT INTO fact ({facts}) SELECT {facts} FROM state.fact")
    read.merge(con)
    columns = ", ".join(f'"{name}"' for name in tables.EVENT if name != "eid")
    con.execute(f"""INSERT INTO event ({columns}, eid) SELECT {columns}, row_number() OVER (ORDER BY ts, file, line, key) - 1
                    FROM state.event ORDER BY ts, file, line, key""")


def _parts(con: duckdb.DuckDBPyConnection, job: pipeline.Job) -> Made:
    """What the new rows touch, and what depends on it."""
    kept = pairs.prepare(con)
    parts.build(con, job.policy, _mark(con))
    depend.find(con, job.policy, kept)
    depend.load(con)
    detect.select(con, job.policy, only="judged")
    parts.again(con, job.policy)
    findings: Sequence[Finding] = ()
    if parts.any_row(con, "cand"):
        from netexfil.detect import questions

        findings = questions.score(con, job.policy)
    con.execute("UPDATE made SET cand = cid IN (SELECT cid FROM cand)")
    return Made("parts", findings, (), "cid IN (SELECT cid FROM judged UNION SELECT cid FROM gone)", kept)


def _afresh(con: duckdb.DuckDBPyConnection, job: pipeline.Job) -> Made:
    policy, told = (job.policy, []) if job.budget is None else afresh.budget(con, job.policy, job.budget)
    findings, notes, first = afresh.judge(con, policy)
    return Made("afresh", findings, [*told, *notes], f"day >= {first}")


MAKE: Mapping[str, Callable[[duckdb.DuckDBPyConnection, pipeline.Job], Made]] = {
    "nothing": lambda con, job: Made("nothing"), "parts": _parts, "afresh": _afresh, "everything": _everything,
}


def store(con: duckdb.DuckDBPyConnection, policy: Policy, made: Made) -> None:
    """Channels and what is counted from them, as this run made them. Inside a transaction on the state."""
    if made.how == "nothing":
        return
    _STORE[made.how](con, policy, made)
    con.execute("DELETE FROM state.stale")


def _store_parts(con: duckdb.DuckDBPyConnection, policy: Policy, made: Made) -> None:
    _renew(con)
    con.execute("""UPDATE state.channel SET cand = cid IN (SELECT cid FROM cand)
        WHERE day IN (SELECT day FROM wanted) AND cid IN (SELECT cid FROM judged) AND cand <> (cid IN (SELECT cid FROM cand))""")
    con.execute(f"INSERT INTO state.channel ({_STORED}) SELECT {_STORED} FROM made WHERE cid NOT IN (SELECT cid FROM gone)")
    con.execute("INSERT INTO state.mixed SELECT address, day FROM flagged EXCEPT SELECT address, day FROM state.mixed")
    pairs.store(con, made.kept)
    depend.store(con)


def _store_everything(con: duckdb.DuckDBPyConnection, policy: Policy, made: Made) -> None:
    con.execute("DELETE FROM state.channel WHERE day >= (SELECT min(day) FROM made)")
    afresh.rekey(con)
    con.execute("DELETE FROM state.mixed")
    con.execute(f"INSERT INTO state.channel ({_STORED}) SELECT {_STORED} FROM made")
    con.execute("INSERT INTO state.mixed SELECT DISTINCT address, day FROM flagged")
    pairs.store_all(con, policy)
    depend.store_all(con)


def _store_afresh(con: duckdb.DuckDBPyConnection, policy: Policy, made: Made) -> None:
    con.execute("UPDATE state.channel SET cand = TRUE WHERE day IN (SELECT DISTINCT day FROM state.session) AND cid IN (FROM chosen)")


_STORED = ", ".join(parts.STORED)
_STORE = {"parts": _store_parts, "everything": _store_everything, "afresh": _store_afresh}


def _renew(con: duckdb.DuckDBPyConnection) -> None:
    """Channels of the state as `made` has them, in their places: a row that is deleted and stored again costs five times as much."""
    con.execute("""DELETE FROM state.channel WHERE day IN (SELECT day FROM gone)
        AND cid IN (SELECT cid FROM gone WHERE cid NOT IN (SELECT cid FROM made))""")
    seldom = ("server_name", "protocol", "ssh_client", "asked", "pair", "cand")
    other = " OR ".join(f"m.{name} IS DISTINCT FROM g.{name}" for name in seldom)
    for columns, where in ((parts.COUNTED, "TRUE"), ((*seldom, "entity"), other)):
        con.execute(f"""UPDATE state.channel AS c SET {", ".join(f"{name} = m.{name}" for name in columns)}
            FROM (SELECT m.* FROM made m JOIN gone g USING (cid) WHERE {where}) m WHERE c.day = m.day AND c.cid = m.cid""")


def retain(con: duckdb.DuckDBPyConnection, policy: Policy, horizon: float) -> None:
    """Drop from the attached state what the policy no longer keeps, counted from the newest day of event time, not from the clock.

    Args:
        horizon: what is dated later moves nothing: a sensor's broken clock must not cost the state its past.
    """
    row = con.execute("SELECT max(day) FROM state.session WHERE ts < ?", [horizon]).fetchone()
    if not row or row[0] is None:
        return
    sessions, everything = row[0] - policy.keep_sessions_days, row[0] - policy.keep_days
    if parts.any_row(con, f"state.channel WHERE day < {everything}"):
        pairs.forget(con, everything)
    for table, column, last in _RETAINED:
        limit = sessions if last == "sessions" else everything
        if parts.any_row(con, f"state.{table} WHERE {column} < {limit}"):
            con.execute(f"DELETE FROM state.{table} WHERE {column} < {limit}")


_RETAINED = (
    ("session", "day", "sessions"), ("event", "day", "sessions"), ("fact", "ts / 86400", "sessions"), ("mixed", "day", "sessions"),
    ("channel", "day", "all"), ("spoke", "day", "all"), ("finding", "day", "all"), ("name", "last_ts / 86400", "all"),
)
