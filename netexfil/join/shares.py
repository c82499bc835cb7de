"""What share of likely ties is right, measured on the input itself: cases whose owner is known are joined once more as if it were not.

| case | stands for | what is known |
|---|---|---|
| a session with a certain owner | sessions of the same hosts that went untold | its own event, which is hidden |
| an event that no session is tied to | the session that it tells of, at its own time less what that clock was seen to jitter | its process |

The second kind comes from the very events that are offered (of hosts without local ports, behind translators), so that a busy host teaches how often
chance puts another process's event nearer there. Each case is tried three ways: with its own event, without it (untold), and without all events of
its process and of others of its image (left out by the telemetry's rules). Behind an address that nobody is known by there may be hosts without
telemetry: what is near those by chance is seen by asking with one case's place at another's time. How often each of these is so
is not taken from elsewhere: the distances and the numbers of candidates (none, too) that the sessions of one host, or of one address, show are a
mixture of these, and its weights are found by expectation maximisation (`weigh`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netexfil.join.nearest import nearest

if TYPE_CHECKING:
    import duckdb

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

KEEP = 3  # links of one class that a session gets
LEARN = 50_000  # cases of each kind that are learned from
COARSE = 10  # times as many are drawn first, and of these the sample
PRIOR = 10.0  # measured cases that weigh as much as the usual share
LEAST = 0.02  # below this a link says nothing and is dropped
JITTER = 2.0  # seconds an event of an undecided clock may stand from its session
# Seconds within which what a process tells of one remote end, and of one five-tuple, is one event, told twice.
TWIN, REPEAT = 0.002, 5.0
LEVELS, ROUNDS = 20, 30  # steps of the weights of a mixture; rounds in which they are found

# Steps of candidates and of seconds apart (up to); a cell is one of each, at one place in the order of nearness.
CANDIDATES = (1, 2, 3, 5, 10, 30, 100, 300, 1000, 3000)
APART = (0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
SHAPE = (KEEP, len(CANDIDATES) + 1, len(APART) + 1)

# class -> share right at (one candidate and within 10 s, else one candidate, up to three, more); measured on generated networks.
USUAL = {
    "remote": (0.97, 0.9, 0.85, 0.8),
    "sibling": (0.95, 0.8, 0.8, 0.75),
    "nat": (0.95, 0.4, 0.6, 0.5),
    "served": (0.95, 0.9, 0.6, 0.5),
    "dns": (0.8, 0.5, 0.4, 0.3),
    "host": (0.75, 0.35, 0.25, 0.08),
}


def usual(name: str) -> Floats:
    """The share right in each cell where nothing is known yet."""
    close, alone, three, more = USUAL[name]
    table = np.full(SHAPE, more)
    table[:, :3] = three
    table[:, 0] = alone
    table[:, 0, :5] = close
    return table / np.arange(1, KEEP + 1)[:, None, None]


def blend(good: Floats, tried: Floats, prior: Floats) -> Floats:
    """Shares right of each cell: first a place in all, whose odds move those of `prior`; then all distances of a number of candidates together; then
    each by itself."""
    cases = tried.sum((-2, -1), keepdims=True)
    expected = np.clip(((tried * prior).sum((-2, -1), keepdims=True) + prior.mean((-2, -1), keepdims=True)) / (cases + 1), 0.001, 0.999)
    found = (good.sum((-2, -1), keepdims=True) + PRIOR * expected) / (cases + PRIOR)
    odds = prior / (1 - prior) * found / (1 - found) * (1 - expected) / expected
    prior = odds / (1 + odds)
    whole = (good.sum(-1, keepdims=True) + PRIOR * prior) / (tried.sum(-1, keepdims=True) + PRIOR)
    return np.asarray((good + PRIOR * whole) / (tried + PRIOR))


def mixed(tried: Floats, good: Floats, prior: Floats, weights: Floats) -> Floats:
    """Shares (w, *SHAPE) for each row of `weights` (w, m) of a mixture: `tried` and `good` (m, *SHAPE) are the cases of each part of it."""
    return blend(np.einsum("wm,mabc->wabc", weights, good), np.einsum("wm,mabc->wabc", weights, tried), prior)


def weigh(place: Ints, cell: Ints, count: Floats, tried: Floats, cases: float) -> Floats:
    """For each population (numbers from 0) the shares (p, m) of the parts (`tried`, as in `mixed`, of so many `cases`) that its sessions are a
    mixture of.

    Args:
        place: the population, cell: candidates and distance of the nearest event, or the number after the last for none; count: how many
        sessions; one row for each pair.

    Few sessions take the shares of all: those weigh as much as `PRIOR` of them.
    """
    parts = len(tried)
    first = tried[:, 0].reshape(parts, -1)
    first = np.concatenate((first, np.maximum(cases - first.sum(1, keepdims=True), 0)), 1)
    likely = (first + PRIOR * first.mean(0) / cases)[:, cell].T / cases
    pooled = np.full(parts, 1 / parts)
    for _ in range(ROUNDS):
        pooled = (count[:, None] * _shared(pooled, likely)).sum(0) / count.sum()
    size = np.bincount(place, weights=count)[:, None]
    share = np.repeat(pooled[None], len(size), 0)
    for _ in range(ROUNDS):
        mine = count[:, None] * _shared(share[place], likely)
        share = (np.stack([np.bincount(place, weights=column) for column in mine.T], 1) + PRIOR * pooled) / (size + PRIOR)
    return share


def _shared(weights: Floats, likely: Floats) -> Floats:
    joint = weights * likely
    return np.asarray(joint / np.maximum(joint.sum(1, keepdims=True), 1e-12))


def step(value: str, steps: tuple[float, ...]) -> str:
    """SQL: which step a value is in."""
    return "CASE " + " ".join(f"WHEN {value} <= {limit} THEN {i}" for i, limit in enumerate(steps)) + f" ELSE {len(steps)} END"


def known(con: duckdb.DuckDBPyConnection) -> None:
    """`join_case` (ref, kind, sid, own, hk, remote, rp, proto, ts, pid, base, key): sessions with a certain owner, a sample of about `LEARN`.

    `own`: seconds from the session to its own event. Busy hosts teach other things than quiet ones, so hosts are sorted into classes of size
    (`join_size`: hk, size, the power of two of the connections told of), each with its fair share of the sample; how much it counts is for
    the class of links to say.
    """
    con.execute(
        """
        CREATE TEMP TABLE join_size AS
        SELECT hk, floor(log2(count(*)))::INTEGER AS size FROM join_event WHERE r IS NOT NULL AND hk IS NOT NULL GROUP BY hk
        """
    )
    con.execute(
        f"""
        CREATE TEMP TABLE join_case AS
        WITH coarse AS (SELECT greatest(1, count(*) // {LEARN * COARSE}) AS n FROM join_tuple),
        owned AS (SELECT t.eid, t.sid, t.resid, s.h, s.a, s.proto, s.ts FROM coarse, join_tuple t
            JOIN (SELECT sid, h, a, proto, ts FROM join_session) s USING (sid) WHERE s.h % coarse.n = 0),
        sized AS (SELECT o.*, z.size, e.hk, e.l, e.r, e.rp, e.pid, e.base, e.key
            FROM owned o JOIN join_event e USING (eid) JOIN join_size z USING (hk) WHERE e.l IS NOT NULL AND e.pid IS NOT NULL),
        fair AS (SELECT size, greatest(1, count(*) * count(*) OVER () / {LEARN}) AS every FROM sized GROUP BY size)
        SELECT sid * 2 + (a <> l)::INTEGER AS ref, 'known' AS kind, sid, resid AS own, hk, r AS remote, rp, proto, ts, pid, base, key
        FROM sized JOIN fair USING (size) WHERE (h % 1000003) * every < 1000003
        QUALIFY row_number() OVER (PARTITION BY sid, hk ORDER BY eid) = 1
        """
    )
    con.execute("DELETE FROM join_case WHERE ref IN (SELECT ref FROM join_case GROUP BY ref HAVING count(*) > 1)")
    con.execute("CREATE TEMP TABLE join_told (ref BIGINT)")


def guess(con: duckdb.DuckDBPyConnection, name: str, events: str) -> None:
    """Add to `join_case` what `events` (a query of ids) tell of, a sample of about `LEARN`, each at a time that its clock may have put it.

    How far an event stands from its session is seen where both are nearest to each other (`join_tied`), within what the clock is known to do.
    """
    room = "coalesce(CASE WHEN e.proto = 6 THEN o.tcp_{0} ELSE o.udp_{0} END, {1})"
    con.execute(
        f"""
        INSERT INTO join_case
        WITH mutual AS (SELECT f.eid, f.dt, f.candidates, e.clock, e.proto
            FROM join_tied f JOIN join_event e USING (eid) LEFT JOIN join_offset o USING (clock)
            WHERE f.place = 1 AND f.dt BETWEEN -{room.format('lo', JITTER)} AND {room.format('hi', JITTER)}
            QUALIFY row_number() OVER (PARTITION BY f.eid ORDER BY abs(f.dt), f.sid) = 1),
        -- Where many are near, the nearest is seldom the own one.
        pairs AS (SELECT * FROM mutual QUALIFY percent_rank() OVER (PARTITION BY clock, proto ORDER BY candidates) <= 0.25),
        jitter AS (SELECT clock, coalesce(proto, 0) AS proto, dt, row_number() OVER (PARTITION BY clock, proto ORDER BY hash(eid)) - 1 AS i
            FROM pairs),
        sizes AS (SELECT clock, proto, count(*) AS many FROM jitter GROUP BY ALL),
        asked AS (SELECT DISTINCT id AS eid FROM ({events})),
        share AS (SELECT greatest(1, count(*) // {LEARN}) AS every FROM asked),
        drawn AS (SELECT e.*, row_number() OVER (PARTITION BY clock, proto ORDER BY hash(e.eid + 1)) AS i
            FROM share, asked JOIN join_event e USING (eid) WHERE hash(e.eid) % every = 0 AND e.pid IS NOT NULL AND e.t IS NOT NULL),
        turn AS (SELECT d.*, d.i % z.many AS k FROM drawn d JOIN sizes z ON z.clock = d.clock AND z.proto = coalesce(d.proto, 0))
        SELECT -2 * d.eid - {1 + (name != 'remote')}, '{name}', NULL, j.dt, d.hk, d.r, d.rp, coalesce(d.proto, 6), d.t - j.dt, d.pid, d.base, d.key
        FROM turn d JOIN jitter j ON j.clock = d.clock AND j.proto = coalesce(d.proto, 0) AND j.i = d.k
        """
    )


def tried(con: duckdb.DuckDBPyConnection, eid: str, order: str) -> None:
    """`join_found`: the places of the nearest events (`join_near`, of cases) with the case's own event (`hide` 0), without (1), and without all
    events of its process and image (2: what telemetry leaves out has only others' events near)."""
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE join_found AS
        WITH found AS (SELECT n.id AS ref, {eid} AS eid, -n.dt AS dt, n.candidates FROM join_near n),
        seen AS (SELECT f.*, e.hk, coalesce(c.hk = e.hk AND c.pid = e.pid, false) AS mine, mine AND c.base IS NOT DISTINCT FROM e.base AS good,
            mine OR coalesce(c.hk = e.hk AND c.base = e.base, false) AS kin,
            e.pid IS NOT NULL AS told,
            CASE WHEN e.key = c.key THEN {REPEAT} WHEN e.r IS NOT NULL THEN {TWIN} END AS room,
            x.sid IS NOT NULL OR coalesce(mine AND abs(f.dt - c.own) <= room, false) AS own
            FROM found f JOIN join_case c USING (ref) JOIN join_event e USING (eid) LEFT JOIN join_tuple x ON x.eid = f.eid AND x.sid = c.sid),
        one AS (SELECT *, CASE WHEN own THEN [0] WHEN kin THEN [0, 1] ELSE [0, 1, 2] END AS modes,
            count(*) FILTER (own) OVER (PARTITION BY ref) AS owned, count(*) FILTER (own OR kin) OVER (PARTITION BY ref) AS ours
            FROM seen QUALIFY row_number() OVER (PARTITION BY ref, eid ORDER BY abs(dt)) = 1),
        each AS (SELECT *, unnest(modes) AS hide FROM one)
        SELECT ref, eid, hk, hide, told, good, {step('candidates - CASE hide WHEN 0 THEN 0 WHEN 1 THEN owned ELSE ours END', CANDIDATES)} AS n,
            {step('abs(dt)', APART)} AS far, row_number() OVER (PARTITION BY ref, hide ORDER BY {order}, eid) AS place
        FROM each QUALIFY place <= {KEEP}
        """
    )


def strangers(con: duckdb.DuckDBPyConnection, cases: str, events: str, before: float, after: float) -> None:
    """Add to `join_found` (`hide` 3) what a host without telemetry finds near: the events at a case's place, at the time of another case."""
    moved = f"SELECT id, g, coalesce(lead(t) OVER w, first_value(t) OVER w) AS t FROM ({cases}) WINDOW w AS (ORDER BY hash(id))"
    nearest(con, moved, events, "join_near", KEEP, before, after)
    con.execute(
        f"""
        INSERT INTO join_found
        SELECT n.id, eid, hk, 3, pid IS NOT NULL, false, {step('candidates', CANDIDATES)}, {step('abs(dt)', APART)},
            row_number() OVER (PARTITION BY n.id ORDER BY abs(dt), eid) AS place
        FROM join_near n JOIN join_event e ON e.eid = n.other QUALIFY place <= {KEEP}
        """
    )


def cells(con: duckdb.DuckDBPyConnection, which: str = "true") -> tuple[Floats, Floats]:
    """Cases and right ones of each cell, for each value of `hide`: arrays (4, *SHAPE). `which`: SQL that chooses among `join_found`.

    Hosts of each size count as often as they do among the ties that are to be judged.
    """
    # Whole numbers are counted there and weighed here: the order in which threads come does not matter.
    rows = con.execute(
        f"""
        WITH wanted AS (
            SELECT size, count(*) AS n FROM join_tied JOIN join_event USING (eid) JOIN join_size USING (hk) WHERE place = 1 GROUP BY size),
        sized AS (SELECT * FROM join_found JOIN join_size USING (hk) WHERE {which}),
        had AS (SELECT hide, size, count(*) AS n FROM sized WHERE place = 1 GROUP BY hide, size),
        ratio AS (SELECT hide, size, w.n / h.n * sum(h.n) OVER (PARTITION BY hide) / sum(w.n) OVER (PARTITION BY hide) AS counts
            FROM wanted w JOIN had h USING (size))
        SELECT hide, place - 1 AS place, n, far, any_value(counts) AS counts, count(*) AS tried, count(*) FILTER (good) AS good
            FROM sized JOIN ratio USING (hide, size) WHERE told GROUP BY hide, place, n, far, size ORDER BY hide, place, n, far, size
        """
    ).fetchnumpy()
    tried, good = np.zeros((4, *SHAPE)), np.zeros((4, *SHAPE))
    index = tuple(np.asarray(rows[name], np.int64) for name in ("hide", "place", "n", "far"))
    for name, sums in (("tried", tried), ("good", good)):
        np.add.at(sums, index, np.asarray(rows["counts"], float) * np.asarray(rows[name], float))
    return tried, good


def store(con: duckdb.DuckDBPyConnection, tried: Floats, good: Floats, prior: Floats, asked: str, cases: float) -> None:
    """`join_level` (pop, level): the populations of `join_tied`, by their mixture of the parts; `join_share` (level, place, n, far, share) of each.

    Args:
        asked: a query of (pop, n): sessions that looked for events. cases: how many cases did.
    """
    none = SHAPE[1] * SHAPE[2]
    rows = con.execute(
        f"""
        WITH near AS (SELECT pop, n * {SHAPE[2]} + far AS cell, count(*) AS count FROM join_tied WHERE place = 1 GROUP BY ALL),
        found AS (SELECT pop, sum(count) AS found FROM near GROUP BY pop)
        SELECT * FROM near UNION ALL SELECT pop, {none}, greatest(n - found, 0) FROM ({asked}) JOIN found USING (pop)
        """
    ).fetchnumpy()
    pops, place = np.unique(np.asarray(rows["pop"], np.int64), return_inverse=True)
    weights = np.ones((len(pops), 1))
    if len(tried) > 1 and len(pops):
        weights = weigh(place, np.asarray(rows["cell"], np.int64), np.asarray(rows["count"], float), tried, max(cases, 1.0))
    steps, level = np.unique(np.round(weights * LEVELS), axis=0, return_inverse=True)
    share = mixed(tried, good, prior, steps / np.maximum(steps.max(1, keepdims=True), 1))
    con.register("incoming", {"pop": pops, "level": np.asarray(level, np.int64).reshape(-1)})
    con.execute("CREATE OR REPLACE TEMP TABLE join_level AS SELECT * FROM incoming")
    con.unregister("incoming")
    which, rank, n, far = np.indices(share.shape)
    con.register("incoming", {"level": which.ravel(), "place": rank.ravel() + 1, "n": n.ravel(), "far": far.ravel(), "share": share.ravel()})
    con.execute("CREATE OR REPLACE TEMP TABLE join_share AS SELECT * FROM incoming")
    con.unregister("incoming")
