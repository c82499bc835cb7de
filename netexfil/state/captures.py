"""Captures of a ring buffer into the state: a session that is cut between two runs continues.

A session that was still open at the end of what an earlier run saw is read again from the file in which it began, as long as that file
is there: the same packets give the same uid, and the longer record takes the place of the shorter one. Where that file is gone, what the
new files hold of it is a session of its own, that names the one it continues (hint `continues=UID`): its packets are in no other record, a
file that grows brings the same uid again, and nothing is ever added to what is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from netexfil import pipeline, read, tables
from netexfil.errors import Note
from netexfil.read import find, merging, text
from netexfil.state import ingest, keys, store

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Capture:
    path: str
    identity: str
    size: int
    first_ts: float


def take_in(con: duckdb.DuckDBPyConnection, path: Path, job: pipeline.Job, found: find.Found, now: float, tally: ingest.Tally) -> None:
    """Everything of the captures that no run has read yet, in one transaction."""
    there = [_look(name) for name in found.captures]
    with store.attached(con, path, read_only=True):
        known = con.execute("SELECT identity, size FROM state.log WHERE kind = 'capture' ORDER BY first_ts").fetchall()
        starts = [ts for (ts,) in con.execute(f"SELECT ts FROM state.session WHERE {_word('open')}").fetchall()]
    sizes = dict(known)
    fresh = [capture for capture in there if sizes.get(capture.identity) != capture.size]
    if not fresh:
        return
    again = _again(_unbroken([identity for identity, _ in known], there, fresh), starts)
    job = replace(job, options=replace(job.options, keep_facts=True))
    ingest.room(con, job)
    tally.notes += _read(con, job, found, (*again, *fresh))
    with store.attached(con, path, read_only=True):
        orphans = _settle(con, min(capture.first_ts for capture in fresh))
    if orphans:
        _continue(con, job, found, fresh if again else [])
    _bound(con)
    with store.attached(con, path):
        ingest.prepare(con, tally)
        with store.transaction(con):
            ingest.push(con)
            _hand_over(con)
            for capture in fresh:
                row = (capture.identity, "capture", "plain", capture.path, capture.size, capture.size, "", capture.first_ts, now)
                ingest.remember(con, row)
    for table in ("session", "fact", "name"):
        con.execute(f"DELETE FROM {table}")


IDLE_SECONDS = 300  # a TCP session that was idle for longer is another one (Zeek's tcp_inactivity_timeout)
# What may be on its way when one file ends and the next begins, and be sent again in the latter: Linux' largest send buffer (tcp_wmem) where
# something was sent again or is missing, else the largest segment that a network card hands over.
IN_FLIGHT, SEGMENT = 4 << 20, 65_535
_PAIR = "row(least((orig_h, orig_p), (resp_h, resp_p)), greatest((orig_h, orig_p), (resp_h, resp_p)))"


def _word(word: str) -> str:
    """SQL: whether the session's hints hold this word."""
    return f"list_contains(string_split(coalesce(hints, ''), ','), '{word}')"


def _look(path: str) -> Capture:
    """A capture is known by its header and first packet; a file that grows keeps them."""
    from netexfil.read import sniff

    head = sniff.look(path)
    identity = hashlib.blake2b(b"capture\0" + text.head(path, 256), digest_size=16).hexdigest()
    return Capture(path, identity, Path(path).stat().st_size, head.first_ts or 0.0)


def _read(con: duckdb.DuckDBPyConnection, job: pipeline.Job, found: find.Found, chosen: Sequence[Capture]) -> list[Note]:
    paths = {capture.path for capture in chosen}
    return read.sessions(con, [name for name in found.captures if name in paths], job.options, job.policy)


def _unbroken(known: Sequence[str], there: Sequence[Capture], fresh: Sequence[Capture]) -> list[Capture]:
    """Those of the known captures that are there, from the newest back to the first that is gone: what is cut out cannot be read again.

    Args:
        known: identities by the time of the first packet.
    """
    present = {capture.identity: capture for capture in there}
    found: list[Capture] = []
    for identity in reversed(known):
        if identity not in present:
            break
        found.append(present[identity])
    return [capture for capture in reversed(found) if capture not in fresh]


def _again(held: Sequence[Capture], starts: Sequence[float]) -> list[Capture]:
    """The captures from the one in which the first of the open sessions began; sessions that began before all of them count for nothing."""
    began = [ts for ts in starts if held and ts >= held[0].first_ts]
    if not began:
        return []
    before = [index for index, capture in enumerate(held) if capture.first_ts <= min(began)]
    return list(held[before[-1] :])


def _settle(con: duckdb.DuckDBPyConnection, fresh_ts: float) -> bool:
    """Of what was read again keep what continues: the same uid (longer now), or what began in the new files.

    A row that began amid a session, under a uid we do not know, is the tail of a session that was stored whole, or of one whose first file was
    not read. Leaves `tail` (of the latter), `head` (what they continue), and `continues` (uid, head: rows that were stored as such).

    Returns:
        Whether there are such.
    """
    con.execute("""CREATE OR REPLACE TEMP TABLE continues AS SELECT uid, regexp_extract(hints, 'continues=([^,]+)', 1) AS head
        FROM state.session WHERE contains(hints, 'continues=')""")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE continuing AS
        WITH new AS (SELECT *, {_PAIR} AS pair FROM session WHERE {_word("midstream")} AND uid NOT IN (SELECT uid FROM state.session)),
             old AS (SELECT *, {_PAIR} AS pair, {_word("open")} AS still_open FROM state.told
                     WHERE row(orig_h, resp_h) IN (SELECT unnest([row(orig_h, resp_h), row(resp_h, orig_h)]) FROM new))
        SELECT new.uid, proto, pair, arg_max(old.uid, (still_open, old.ts, old.uid)) AS head, bool_or(still_open) AS still_open
        FROM new JOIN old USING (proto, pair)
        WHERE new.ts <= old.ts + coalesce(old.duration, 0) + {IDLE_SECONDS} AND old.ts <= new.ts + coalesce(new.duration, 0)
        GROUP BY new.uid, proto, pair""")
    con.execute("CREATE OR REPLACE TEMP TABLE head AS SELECT proto, pair, max(head) AS uid FROM continuing WHERE still_open GROUP BY proto, pair")
    con.execute("""CREATE OR REPLACE TEMP TABLE known_head AS SELECT uid, orig_h, orig_p, coalesce(orig_low, 0) AS orig_low,
        coalesce(resp_low, 0) AS resp_low, ts + coalesce(duration, 0) AS until FROM state.told
        WHERE uid IN (SELECT uid FROM head UNION SELECT head FROM continues)""")
    con.execute("CREATE OR REPLACE TEMP TABLE tail AS SELECT s.* FROM session s WHERE uid IN (SELECT uid FROM continuing WHERE still_open)")
    con.execute("DELETE FROM session WHERE uid IN (SELECT uid FROM continuing)")
    con.execute("DELETE FROM session WHERE ts < ? AND uid NOT IN (SELECT uid FROM state.session)", [fresh_ts])
    return tables.some(con, "tail")


def _continue(con: duckdb.DuckDBPyConnection, job: pipeline.Job, found: find.Found, fresh: Sequence[Capture]) -> None:
    """Add to `session` what the new files hold of sessions whose first file was not read, and to `continues` what each continues.

    Args:
        fresh: what is to be read for it; nothing where `tail` was made from the new files alone.
    """
    if fresh:
        con.execute("ALTER TABLE session RENAME TO read_again")
        ingest.room(con, job)
        _read(con, job, found, fresh)
        con.execute(f"CREATE OR REPLACE TEMP TABLE tail AS SELECT * FROM session WHERE {_word('midstream')}")
        con.execute("DROP TABLE session")
        con.execute("ALTER TABLE read_again RENAME TO session")
    columns = ", ".join(name for name in tables.stored(con) if name in keys.SESSION)
    con.execute(f"""CREATE OR REPLACE TEMP TABLE tail AS SELECT t.*, h.uid AS head
        FROM (SELECT *, {_PAIR} AS pair FROM tail WHERE uid NOT IN (SELECT uid FROM session)) t JOIN head h USING (proto, pair)""")
    con.execute(f"INSERT INTO session BY NAME SELECT {columns} FROM tail")
    con.execute("INSERT INTO continues SELECT uid, head FROM tail WHERE uid <> head AND uid NOT IN (SELECT uid FROM continues)")


def _bound(con: duckdb.DuckDBPyConnection) -> None:
    """What continues another session says so, and the least that it sent is made less by what its head may have counted too.

    What was sent before the border may be sent again after it, as far as it was on its way. `low` counts what was answered here and sent
    before: that is the head's. Where the head was read from the beginning of a file that has grown since, all of it is.
    """
    same, sides = "s.orig_h = h.orig_h AND s.orig_p = h.orig_p", []
    for side, other, signs in (("orig", "resp", "[TG]"), ("resp", "orig", "[tg]")):
        flying = f"CASE WHEN regexp_matches(coalesce(s.history, ''), '{signs}') THEN {IN_FLIGHT} ELSE {SEGMENT} END"
        shared = f"CASE WHEN coalesce(s.ts > h.until, TRUE) THEN 0 WHEN {same} THEN h.{side}_low ELSE h.{other}_low END"
        sides.append(f"{side}_low = greatest(least(s.{side}_low, s.{side}_bytes) - {flying} - {shared}, 0)")
        sides.append(f"{side}_quality = CASE s.{side}_quality WHEN 'exact' THEN 'bounded' ELSE s.{side}_quality END")
    con.execute(f"""UPDATE session AS s SET hints = {merging.words("s.hints", "'continues=' || c.head")}, {", ".join(sides)}
        FROM continues c LEFT JOIN known_head h ON h.uid = c.head WHERE c.uid = s.uid""")


def _hand_over(con: duckdb.DuckDBPyConnection) -> None:
    """A session that another row continues is not open any more: its end is told there. Inside a transaction on the state."""
    con.execute(f"""CREATE OR REPLACE TEMP TABLE over AS SELECT talk, uid FROM state.session
        WHERE uid IN (SELECT head FROM continues WHERE uid IN (SELECT uid FROM session)) AND {_word('open')}""")
    left = "list_filter(string_split(hints, ','), lambda w: w <> 'open')"
    con.execute(f"UPDATE state.session SET hints = nullif(array_to_string({left}, ','), '') WHERE uid IN (SELECT uid FROM over)")
    con.execute("INSERT INTO state.stale (talk) SELECT DISTINCT talk FROM over")
