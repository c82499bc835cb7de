"""Captures of a ring buffer into the state: a session that is cut between two runs continues.

A session that was still open at the end of what an earlier run saw is read again from the file in which it began, as long as that file
is there: the same packets give the same uid, and the longer record takes the place of the shorter one. Where its first file is gone, the
new part is added to the stored one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from netexfil import pipeline, read
from netexfil.read import find, text
from netexfil.state import ingest, store

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
        sizes = dict(con.execute("SELECT identity, size FROM state.log WHERE kind = 'capture'").fetchall())
        open_since = con.execute(f"SELECT min(ts) FROM state.session WHERE {_word('open')}").fetchone()
    fresh = [capture for capture in there if sizes.get(capture.identity) != capture.size]
    if not fresh:
        return
    known = sorted((c for c in there if c.identity in sizes and c not in fresh), key=lambda c: c.first_ts)
    began = open_since[0] if open_since and open_since[0] is not None else None
    again = _from(known, began) if began is not None else []
    ingest.room(con, job)
    job = replace(job, options=replace(job.options, keep_facts=True))
    chosen = {capture.path for capture in (*again, *fresh)}
    tally.notes += read.sessions(con, [name for name in found.captures if name in chosen], job.options, job.policy)
    with store.attached(con, path):
        _settle(con, min(capture.first_ts for capture in fresh))
        ingest.prepare(con, tally)
        with store.transaction(con):
            ingest.push(con)
            if not again:
                _add(con)
            for capture in fresh:
                row = (capture.identity, "capture", "plain", capture.path, capture.size, capture.size, "", capture.first_ts, now)
                ingest.remember(con, row)
    for table in ("session", "fact", "name"):
        con.execute(f"DELETE FROM {table}")


IDLE_SECONDS = 300  # a TCP session that was idle for longer is another one (Zeek's tcp_inactivity_timeout)
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


def _from(known: Sequence[Capture], began: float) -> list[Capture]:
    """The files from the one in which a session began at `began`; all of them where that one is gone."""
    before = [index for index, capture in enumerate(known) if capture.first_ts <= began]
    return list(known[before[-1] if before else 0 :])


def _settle(con: duckdb.DuckDBPyConnection, fresh_ts: float) -> None:
    """Of what was read again keep what continues: the same uid (longer now), or what began in the new files.

    A row that began in an old file under a uid we do not know is the tail of a session that was stored whole, or of one whose first
    file is gone; the latter is added to the stored row, as far as it lies after what was stored.
    """
    con.execute(f"""CREATE OR REPLACE TEMP TABLE continuing AS
        WITH new AS (SELECT *, {_PAIR} AS pair FROM session WHERE {_word("midstream")} AND uid NOT IN (SELECT uid FROM state.session)),
             old AS (SELECT *, {_PAIR} AS pair, {_word("open")} AS still_open FROM state.session)
        SELECT new.uid, max(old.uid) AS head, bool_or(old.still_open) AS still_open FROM new JOIN old USING (proto, pair)
        WHERE new.ts > old.ts AND new.ts <= old.ts + coalesce(old.duration, 0) + {IDLE_SECONDS} GROUP BY new.uid""")
    con.execute("CREATE OR REPLACE TEMP TABLE tail AS SELECT s.*, c.head, c.still_open FROM session s JOIN continuing c USING (uid)")
    con.execute("DELETE FROM session WHERE uid IN (SELECT uid FROM tail)")
    con.execute("DELETE FROM session WHERE ts < ? AND uid NOT IN (SELECT uid FROM state.session)", [fresh_ts])


def _add(con: duckdb.DuckDBPyConnection) -> None:
    """Add tails to the stored sessions that they continue: counts and bytes are summed, the end is the later one."""
    sides = [f"{side}_{what}" for side in ("orig", "resp") for what in ("bytes", "pkts", "low")]
    sums = ", ".join(f"{name} = coalesce(h.{name}, 0) + coalesce(t.{name}, 0)" for name in sides)
    con.execute(f"""UPDATE state.session AS h SET {sums}, orig_high = h.orig_high + t.orig_high, resp_high = h.resp_high + t.resp_high,
            duration = t.ts + coalesce(t.duration, 0) - h.ts, hints = t.hints,
            history = h.history || t.history, orig_quality = 'bounded', resp_quality = 'bounded'
        FROM (FROM tail WHERE still_open) t WHERE h.uid = t.head""")
    con.execute("INSERT INTO state.stale (talk) SELECT DISTINCT talk FROM state.session WHERE uid IN (SELECT head FROM tail WHERE still_open)")
