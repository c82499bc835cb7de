"""Everything that is kept made anew, some days at a time: another policy, option or version, or a state that is new.

Channels of a window follow from its own sessions, what is said of them from pairs and ledgers, so that no more sessions are held at once than
`PART` and those of the channels that are judged. Killed on the way it begins anew: the settings of the last run are forgotten first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netexfil import detect, outbound, tables
from netexfil.errors import Note
from netexfil.finding import Finding
from netexfil.policy import Policy
from netexfil.state import depend, keys, pairs, parts, store, summing

if TYPE_CHECKING:
    import duckdb

PART = 2_000_000  # sessions whose days are made together
AHEAD = 2  # halvings of a budget's search that are counted while a part is loaded


def days(con: duckdb.DuckDBPyConnection) -> list[tuple[int, int]]:
    """First and last day of each part of the kept sessions, ascending."""
    found: list[tuple[int, int]] = []
    held = 0
    for day, count in con.execute("SELECT day, count(*) FROM state.session GROUP BY day ORDER BY day").fetchall():
        if found and held + count <= PART:
            found[-1], held = (found[-1][0], int(day)), held + count
        else:
            found.append((int(day), int(day)))
            held = count
    return found


def rekey(con: duckdb.DuckDBPyConnection) -> None:
    """Keys as this DuckDB makes them. Inside a transaction on the state."""
    con.execute(f"UPDATE state.channel SET pair = {keys.pair()} WHERE pair IS DISTINCT FROM {keys.pair()}")
    con.execute(f"""UPDATE state.session SET talk = {keys.talk()}, batch = coalesce(batch, 0)
        WHERE talk IS DISTINCT FROM {keys.talk()} OR batch IS NULL""")


def build(con: duckdb.DuckDBPyConnection, path: Path, policy: Policy) -> None:
    """All channels of the days whose sessions are kept, and what is counted from channels, into the state; none is a candidate yet."""
    with store.attached(con, path):
        pairs.prepare(con)
        made = days(con)
        with store.transaction(con):
            con.execute("UPDATE state.run SET settings = NULL")
            rekey(con)
            con.execute(f"DELETE FROM state.channel WHERE day >= {made[0][0]} AND day NOT IN (SELECT DISTINCT day FROM state.session)")
            con.execute("DELETE FROM state.mixed")
        columns = ", ".join(parts.STORED)
        for first, last in made:
            parts.build_days(con, policy, first, last)
            with store.transaction(con):
                con.execute(f"DELETE FROM state.channel WHERE day BETWEEN {first} AND {last}")
                con.execute(f"INSERT INTO state.channel ({columns}) SELECT {columns} FROM made")
                con.execute("INSERT INTO state.mixed SELECT address, day FROM flagged")
        with store.transaction(con):
            pairs.store_all(con, policy)
            depend.store_all(con)
    summing.begin(con)


def judge(con: duckdb.DuckDBPyConnection, policy: Policy) -> tuple[list[Finding], list[Note], int]:
    """The findings of those days, what the policy lacks, and the first of the days. Leaves `chosen`: the candidates."""
    con.execute("CREATE OR REPLACE TEMP TABLE chosen (cid BIGINT)")
    _nothing_new(con)
    findings: list[Finding] = []
    made = days(con)
    for first, last in made:
        findings += _judged(con, policy, first, last)
    opened = f"SELECT inside_h, CAST(sum(sessions) AS BIGINT) FROM state.channel WHERE direction = 'out' AND day >= {made[0][0]} GROUP BY inside_h"
    return findings, outbound.advice(con, policy, opened, "SELECT min(source) FROM state.session WHERE orig_h = ?"), made[0][0]


def _nothing_new(con: duckdb.DuckDBPyConnection) -> None:
    """What `depend.load` and `pairs.fleet` look at beside the state: nothing here, it has all."""
    for name, like in (("made", "channel"), ("gone", "channel"), ("pair_sum", "pair"), ("pair_now", "pair"), ("spoke_now", "spoke"),
                       ("spoke_more", "spoke")):
        con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM state.{like} LIMIT 0")
    con.execute("CREATE OR REPLACE TEMP TABLE mixed AS SELECT DISTINCT address, day FROM state.mixed")
    con.execute("CREATE OR REPLACE TEMP TABLE whole (talk BIGINT)")


def budget(con: duckdb.DuckDBPyConnection, policy: Policy, alerts_per_day: float) -> tuple[Policy, list[Note]]:
    """The policy that leaves so many alerts a day of the days whose sessions are kept (`detect.budget`), which are counted one part at a time.

    What any of the volumes asked for can make a candidate is one at the least of them: a part is loaded for that one, and counted at all.
    """
    from netexfil.detect import budgeting

    _nothing_new(con)
    made = days(con)

    def counts(volumes: Sequence[float]) -> list[int]:
        found = [0] * len(volumes)
        for first, last in made:
            if _loaded(con, budgeting.at_volume(policy, min(volumes)), first, last):
                scored = (detect.score(con, budgeting.at_volume(policy, volume), only="judged") for volume in volumes)
                found = [before + sum(finding.is_alert for finding in more) for before, more in zip(found, scored, strict=True)]
        return found

    held = store.one(con, "SELECT count(DISTINCT day) FROM state.session")
    chosen, note = detect.search(policy, alerts_per_day, held, counts, ahead=AHEAD)
    return chosen, [note]


def _judged(con: duckdb.DuckDBPyConnection, policy: Policy, first: int, last: int) -> Sequence[Finding]:
    if not _loaded(con, policy, first, last):
        return ()
    from netexfil.detect import questions

    con.execute("INSERT INTO chosen SELECT cid FROM cand")
    return questions.score(con, policy)


def _loaded(con: duckdb.DuckDBPyConnection, policy: Policy, first: int, last: int) -> bool:
    """Everything that judging some days needs, and `cand`; False where nothing is to be judged."""
    window = f"day BETWEEN {first} AND {last}"
    pairs.look(con, range(first, last + 1))
    con.execute(f"CREATE OR REPLACE TEMP VIEW touched AS SELECT *, TRUE AS now FROM state.channel WHERE {window}")
    depend.hot(con, policy, "state.pair")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE wanted AS SELECT DISTINCT {depend.COLUMNS} FROM state.channel c
        WHERE {window} AND ({detect.alone(policy)} OR pair IN (FROM hot))""")
    depend.load(con)
    detect.select(con, policy, only="judged")
    parts.again(con, policy)
    return tables.some(con, "cand")
