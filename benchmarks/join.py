"""The join at 10^5, 10^6, 10^7 sessions: time, memory, wrong sure links, calibration of the likely ones.

    python benchmarks/join.py --sizes 100000,1000000          the curve, each size in its own process
    python benchmarks/join.py --sizes 1000000 --calibrate     what share of each class of likely links is right

The generated network: hosts with clocks off by up to two hours and drifting, time zones written as UTC, addresses that change hands,
translated addresses, ports used again, pids used again, processes that never connect, lost events, lost sessions, sessions joined in
the middle, telemetry without local ports, telemetry without GUIDs and late. The truth is which process owned each session.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from netexfil import join, tables
from netexfil.policy import Policy

START = 1_700_000_000.0
IMAGES = 40
PORTS = np.array([443, 443, 443, 22, 80, 53, 8443, 990, 587, 993])
SURE = "('five_tuple', 'community_id', 'process')"


@dataclass(frozen=True, slots=True)
class Mix:
    """What the generated network is made of: numbers of hosts (0: one for 2,000 sessions), ports, remote ends, sessions of a process; days;
    shares of all the rest. Few `hosts`, `ports` and `remotes` make a small world as dense as a large one: ports are used again all the time."""

    hosts: int = 0
    ports: int = 16383
    remotes: int = 5000
    each: int = 10
    days: float = 3.0
    uneven: float = 1.2  # of the Pareto law of hosts: most are quiet, a few carry most of the traffic; the smaller the fewer
    again: float = 0.06  # neighbours in a host's list of sessions that use one port towards one end
    untold: float = 0.10  # sessions without their event
    lost: float = 0.05  # sessions that the sensor lost
    cut: float = 0.02  # sessions joined in the middle
    no_start: float = 0.10  # processes whose start, and as many whose end, was lost
    skewed: float = 0.5  # clocks off by up to two hours, or by whole hours
    drifting: float = 0.3  # clocks that gain or lose up to `ppm` parts in a million; all others 20 at most
    ppm: float = 500.0
    guid: float = 0.7  # hosts whose processes have GUIDs; half of the others write times late
    no_port: float = 0.1  # hosts that do not tell the local port
    nat: float = 0.1  # hosts behind a translator
    moves: float = 0.1  # hosts that take the address of a neighbour
    twice: float = 0.0  # connection events told twice, by another collector a moment later
    sensors: float = 0.0  # sessions that a second sensor saw too
    blind: float = 0.0  # hosts without telemetry
    silent: float = 0.0  # programs that telemetry is told to leave out
    unlike: float = 0.0  # how far hosts differ in what goes untold
    served: float = 0.0  # programs that are connected to from outside, through a port that the translator forwards where there is one


def generate(con: duckdb.DuckDBPyConnection, sessions: int, seed: int, **mix: Any) -> None:
    """Fill `session`, `event` and the truth (`truth_session`: sid, proc; `truth_event`: eid, proc); `mix` as in `Mix`."""
    tables.create(con)
    world = _world(np.random.default_rng(seed), sessions, Mix(**mix))
    _store_sessions(con, world)
    _store_events(con, world)


def _world(rng: np.random.Generator, n: int, mix: Mix) -> dict[str, Any]:
    """Numbers only: hosts, processes, sessions, and what is lost."""
    procs, hosts, span, ports, remotes = max(12, n // mix.each), mix.hosts or max(6, n // 2000), mix.days * 86400.0, mix.ports, mix.remotes
    w: dict[str, Any] = {"rng": rng, "hosts": hosts, "mix": mix} | _hosts(rng, hosts, mix)
    # Half of the processes connect.
    busy = rng.pareto(mix.uneven, hosts) + 0.05
    w["p_host"] = rng.choice(hosts, 2 * procs, p=busy / busy.sum())
    w["p_start"] = START - 3600 + rng.random(2 * procs) * (span + 3000)
    w["p_life"] = rng.exponential(1800, 2 * procs) + 1
    w["p_image"] = rng.integers(0, IMAGES, 2 * procs)
    w["p_pid"] = _pids(w["p_host"], w["p_start"], w["p_life"])
    w["no_start"], w["no_end"] = rng.random(2 * procs) < mix.no_start, rng.random(2 * procs) < mix.no_start
    proc = np.sort(rng.integers(0, procs, n))
    host, life = w["p_host"][proc], w["p_life"][proc]
    ts = w["p_start"][proc] + np.where(rng.random(n) < 0.5, np.minimum(rng.exponential(7, n), life), rng.random(n) * life)
    w |= {"proc": proc, "host": host, "ts": ts, "dur": rng.exponential(20, n), "port": rng.integers(49152, 49152 + ports, n)}
    # Where to: mostly to the process's own place, or to one that its image always uses, or to what everybody uses.
    own, usual = (proc * 2654435761) % remotes, (w["p_image"][proc] * 131 + host % 7) % remotes
    w["remote"] = np.choose(rng.choice(3, n, p=[0.4, 0.3, 0.3]), [own, usual, (remotes * rng.random(n) ** 4).astype(np.int64)])
    w["rport"] = PORTS[(w["remote"] * 7919) % len(PORTS)]
    w["udp"] = w["rport"] == 53
    w["inward"] = (w["p_image"][proc] * 104729) % IMAGES < mix.served * IMAGES
    _use_again(rng, w, mix.again)
    _one_at_a_time(rng, w, ports)
    w["lost"], w["cut"], w["untold"] = rng.random(n) < mix.lost, rng.random(n) < mix.cut, rng.random(n) < mix.untold
    w["untold"] |= (rng.random(n) < (rng.random(hosts) * mix.unlike)[host]) | ((w["p_image"][proc] * 7919) % IMAGES < mix.silent * IMAGES)
    blind = rng.random(hosts) < mix.blind
    w["untold"] |= blind[host]
    w["no_start"], w["no_end"] = w["no_start"] | blind[w["p_host"]], w["no_end"] | blind[w["p_host"]]
    return w


def _pids(host: Any, start: Any, life: Any) -> Any:
    """Pids in turn, 2,000 of them per host; none is given again while its process lives (lives are cut for that)."""
    order = np.lexsort((start, host))
    first = np.searchsorted(host[order], host[order])
    rank = np.arange(len(order)) - first
    later = np.minimum(np.arange(len(order)) + 2000, len(order) - 1)
    free = np.where(host[order][later] == host[order], start[order][later] - start[order] - 60, np.inf)
    life[order] = np.minimum(life[order], np.maximum(free, 1))
    pid = np.empty(len(order), np.int64)
    pid[order] = 4 + 4 * (rank % 2000)
    return pid


def _hosts(rng: np.random.Generator, hosts: int, mix: Mix) -> dict[str, Any]:
    kind, number = rng.random(hosts), np.arange(hosts)
    skew = np.where(kind < 1 - 0.4 * mix.skewed, rng.uniform(-7200, 7200, hosts), 3600.0 * rng.integers(-12, 13, hosts))
    guid = rng.random(hosts) < mix.guid
    moves = (number % max(2, round(1 / max(mix.moves, 1e-9))) == 0) & (number + 1 < hosts) & (mix.moves > 0)  # takes the address that its neighbour has left ten minutes before
    when = np.where(moves, START + rng.uniform(0.2, 0.8, hosts) * mix.days * 86400, np.inf)
    when[1:] = np.where(moves[:-1], when[:-1] - 600, when[1:])
    return {
        "skew": np.where(kind < 1 - mix.skewed, rng.normal(0, 2, hosts), skew), "guid": guid, "late": ~guid & (rng.random(hosts) < 0.5),
        "drift": np.where(rng.random(hosts) < mix.drifting, rng.uniform(-mix.ppm, mix.ppm, hosts) * 1e-6, rng.uniform(-20e-6, 20e-6, hosts)),
        "no_port": rng.random(hosts) < mix.no_port, "nat": (rng.random(hosts) < mix.nat) & ~np.isfinite(when), "moved": when,
        "next": np.where(moves, number + 1, number + hosts),
    }


def _use_again(rng: np.random.Generator, w: dict[str, Any], share: float) -> None:
    """Half of a `share` of ports are used again by another process of the host towards the same end, at least two minutes later."""
    order = np.lexsort((rng.random(len(w["host"])), w["host"]))
    a, b = order[:-1], order[1:]
    first, second = np.where(w["ts"][a] < w["ts"][b], a, b), np.where(w["ts"][a] < w["ts"][b], b, a)
    free = w["ts"][second] > w["ts"][first] + w["dur"][first] + 120
    chosen = np.flatnonzero((w["host"][a] == w["host"][b]) & free & (rng.random(len(a)) < share))[::2]
    for name in ("port", "remote", "rport", "udp"):
        w[name][second[chosen]] = w[name][first[chosen]]


def _one_at_a_time(rng: np.random.Generator, w: dict[str, Any], ports: int) -> None:
    """A five-tuple has one connection at a time: what would begin before the last one ended, or within a second of that, gets another port."""
    for _ in range(50):
        tuple_ = ((w["host"] * 100_000 + w["remote"]) * 65536 + w["port"]) * 2 + w["udp"]
        order = np.lexsort((w["ts"], tuple_))
        a, b = order[:-1], order[1:]
        clash = b[(tuple_[a] == tuple_[b]) & (w["ts"][b] <= w["ts"][a] + w["dur"][a] + 1)]
        if not len(clash):
            return
        w["port"][clash] = rng.integers(49152, 49152 + ports, len(clash))
    raise ValueError("too few ports for so many sessions")


def _store_sessions(con: duckdb.DuckDBPyConnection, w: dict[str, Any]) -> None:
    rng, host = w["rng"], w["host"]
    w["inner"] = np.where(w["ts"] < w["moved"][host], host, w["next"][host])
    seen = np.flatnonzero(~w["lost"])
    again = seen[rng.random(len(seen)) < w["mix"].sensors] if w["mix"].sensors else seen[:0]
    second = np.arange(len(seen) + len(again)) >= len(seen)
    seen = np.concatenate((seen, again))
    cut, nat = w["cut"][seen], w["nat"][host[seen]]
    con.register("incoming", {
        "sid": np.arange(len(seen)), "ts": w["ts"][seen] + np.where(cut, rng.exponential(0.3, len(seen)), 0) + 0.0136 * second, "nat": nat,
        "home": w["inner"][seen], "gate": host[seen] % 20, "inward": w["inward"][seen],
        "port": np.where(nat & ~w["inward"][seen], rng.integers(1024, 65535, len(seen)), w["port"][seen]), "remote": w["remote"][seen], "rport": w["rport"][seen], "udp": w["udp"][seen], "dur": w["dur"][seen], "cut": cut, "proc": w["proc"][seen],
    })
    con.execute(
        f"""
        INSERT INTO session (sid, ts, uid, orig_h, orig_p, resp_h, resp_p, proto, duration, history, outbound)
        SELECT sid, ts, concat('C', sid), CASE WHEN inward THEN far ELSE near END, port, CASE WHEN inward THEN near ELSE far END, rport, CASE WHEN udp THEN 'udp' ELSE 'tcp' END, dur,
            CASE WHEN udp THEN 'Dd' WHEN cut THEN 'DdAFf' ELSE 'ShADadFf' END, 'true'
        FROM (SELECT *, CASE WHEN nat THEN concat('100.64.0.', 1 + gate) ELSE {_inside('home')} END AS near, {_outside('remote')} AS far FROM incoming)
        """
    )
    con.execute("CREATE TABLE truth_session AS SELECT sid::BIGINT AS sid, proc::BIGINT AS proc FROM incoming")
    con.unregister("incoming")


def _inside(number: str) -> str:
    return f"concat('10.', {number} // 62500, '.', {number} // 250 % 250, '.', 1 + {number} % 250)"


def _outside(number: str) -> str:
    return f"concat('198.', 18 + {number} // 62500, '.', {number} // 250 % 250, '.', 1 + {number} % 250)"


def _store_events(con: duckdb.DuckDBPyConnection, w: dict[str, Any]) -> None:
    """Connections, starts, ends, and files written near connections."""
    rng = w["rng"]
    told = np.flatnonzero(~w["untold"])
    late = np.where(w["late"][w["host"][told]], rng.random(len(told)) ** 3 * 2, rng.normal(0, 0.003, len(told)))
    con.execute("CREATE TABLE truth_event (eid BIGINT, proc BIGINT)")
    first = _put(con, w, 0, "net_conn", w["proc"][told], w["ts"][told] + late, told)
    if w["mix"].twice:
        more = rng.random(len(told)) < w["mix"].twice
        first = _put(con, w, first, "net_conn", w["proc"][told[more]], (w["ts"][told] + late)[more] + rng.choice([0, 0.001, 0.4], more.sum()), told[more])
    starts = np.flatnonzero(~w["no_start"])
    first = _put(con, w, first, "process_start", starts, w["p_start"][starts] - 0.02)
    ends = np.flatnonzero(~w["no_end"])
    first = _put(con, w, first, "process_end", ends, w["p_start"][ends] + w["p_life"][ends] + 40)
    near = rng.integers(0, len(w["proc"]), len(w["proc"]) // 20)
    _put(con, w, first, "file_create", w["proc"][near], w["ts"][near] - rng.exponential(20, len(near)))


def _put(con: duckdb.DuckDBPyConnection, w: dict[str, Any], first: int, kind: str, proc: Any, ts: Any, conn: Any = None) -> int:
    """Store events of one kind, numbered from `first`; gives the next number. The host's clock writes their times."""
    host, none = w["p_host"][proc], np.zeros(len(proc), np.int64)
    net = conn is not None
    con.register("incoming", {
        "eid": np.arange(first, first + len(proc)), "ts": ts + w["skew"][host] + w["drift"][host] * (ts - START), "host": host, "proc": proc,
        "pid": w["p_pid"][proc], "image": w["p_image"][proc], "guid": w["guid"][host], "local": w["inner"][conn] if net else none,
        "port": w["port"][conn] if net else none, "hides": w["no_port"][host], "remote": w["remote"][conn] if net else none,
        "rport": w["rport"][conn] if net else none, "udp": w["udp"][conn] if net else none > 0, "inward": w["inward"][conn] if net else none > 0,
    })
    ends = "NULL, NULL, NULL, NULL, NULL, NULL"
    if net:
        mine = "CASE WHEN NOT hides THEN CASE WHEN inward THEN rport ELSE port END END"
        ends = f"{_inside('local')}, {mine}, {_outside('remote')}, CASE WHEN inward THEN port ELSE rport END, CASE WHEN udp THEN 'udp' ELSE 'tcp' END, NOT inward"
    con.execute(
        f"""
        INSERT INTO event (eid, kind, ts, ts_field, host, guid, pid, image, local_ip, local_p, remote_ip, remote_p, proto, initiated, dialect,
            event_id, file, line)
        SELECT eid, '{kind}', ts, CASE WHEN guid THEN 'UtcTime' ELSE 'TimeCreated' END, concat('h', host), CASE WHEN guid THEN concat('g', proc) END,
            pid, concat('/opt/p', image), {ends}, 'made', '{kind}', 'made', eid + 1 FROM incoming
        """
    )
    con.execute("INSERT INTO truth_event SELECT eid, proc FROM incoming")
    con.unregister("incoming")
    return first + len(proc)


def judge(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Links by kind with how many are right, sure ones that are wrong, and the share right at each tenth of confidence: said, links, mean said,
    share right, how far that may be off by chance (a standard error; the links of one process are right or wrong together), processes."""
    right = "FROM link l JOIN truth_session s USING (sid) JOIN truth_event e USING (eid)"
    kinds = con.execute(f"SELECT match, count(*), count(*) FILTER (s.proc = e.proc) {right} GROUP BY 1 ORDER BY 1").fetchall()
    bands = con.execute(
        f"""
        WITH process AS (SELECT round(confidence, 1) AS said, count(*) AS n, sum(confidence) AS sure, sum((s.proc = e.proc)::INTEGER) AS good {right}
            WHERE match NOT IN {SURE} GROUP BY said, s.proc)
        SELECT said, sum(n)::BIGINT, round(sum(sure) / sum(n), 3), round(sum(good) / sum(n), 3), round(sqrt(sum((good - sure) ** 2)) / sum(n), 3), count(*)
            FROM process GROUP BY said ORDER BY said
        """
    ).fetchall()
    row = con.execute(f"SELECT count(*) {right} WHERE match IN {SURE} AND s.proc <> e.proc").fetchone()
    owned = con.execute(f"SELECT count(DISTINCT sid) FROM link WHERE match IN {SURE}").fetchone()
    return {"wrong_sure": row[0] if row else None, "kinds": kinds, "likely": bands, "sessions_owned": owned[0] if owned else 0}


def mixed(words: str) -> dict[str, Any]:
    """`hosts=40,nat=0.5` as arguments of `Mix`."""
    kinds = {field.name: int if field.type == "int" else float for field in fields(Mix)}
    pairs = [word.partition("=") for word in words.split(",") if word]
    return {name: kinds[name](value) for name, _, value in pairs}


def one(sessions: int, seed: int, limit: str, calibrate: bool, mix: str = "") -> dict[str, Any]:
    """Generate in another process, join here, judge."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.duckdb"
        subprocess.run([sys.executable, __file__, "--make", str(path), "--sizes", str(sessions), "--seed", str(seed), "--mix", mix], check=True)
        con = duckdb.connect(str(path))
        con.execute(f"SET memory_limit = '{limit}'")
        con.execute(f"SET temp_directory = '{folder}/spill'")
        con.execute("SET preserve_insertion_order = false")
        counts = [con.execute(f"SELECT count(*) FROM {name}").fetchone() for name in ("session", "event")]
        if calibrate:
            _keep_working_tables()
        begin, cpu = time.monotonic(), time.process_time()
        join.link(con, Policy())
        measured = {
            "sessions": counts[0], "events": counts[1], "seconds": round(time.monotonic() - begin, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1), "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }
        if calibrate:
            print(table(con))
        judged = judge(con)
        con.close()
        return measured | judged


def _keep_working_tables() -> None:
    from netexfil.join import prepare

    forget = prepare.clear
    prepare.clear = lambda con, keep=(): None if keep else forget(con)


def table(con: duckdb.DuckDBPyConnection) -> str:
    """Shares right by class, place, candidates and seconds apart: what `weak.CALIBRATION` is written from."""
    rows = con.execute(
        """
        SELECT class, place, CASE WHEN candidates <= 3 THEN candidates WHEN candidates <= 5 THEN 5 WHEN candidates <= 10 THEN 10
                WHEN candidates <= 30 THEN 30 ELSE 999 END AS n,
            CASE WHEN abs(dt) <= 0.1 THEN 0.1 WHEN abs(dt) <= 1 THEN 1 WHEN abs(dt) <= 5 THEN 5 WHEN abs(dt) <= 30 THEN 30 ELSE 999 END AS far,
            count(*), round(avg((s.proc = e.proc)::INTEGER), 3)
        FROM join_weak l JOIN truth_session s USING (sid) JOIN truth_event e USING (eid) GROUP BY ALL ORDER BY ALL
        """
    ).fetchall()
    return "\n".join("  ".join(str(cell) for cell in row) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100000,1000000,10000000")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", default="2500MB", help="DuckDB's memory; the process needs about half as much again")
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--mix", default="", help="what to change in the network: name=number, several with commas; names: "
                        + ", ".join(field.name for field in fields(Mix)))
    asked = parser.parse_args()
    sizes = [int(float(size)) for size in asked.sizes.split(",")]
    if asked.make:
        con = duckdb.connect(asked.make)
        generate(con, sizes[0], asked.seed, **mixed(asked.mix))
        con.close()
    elif len(sizes) == 1:
        print(json.dumps(one(sizes[0], asked.seed, asked.limit, asked.calibrate, asked.mix)), flush=True)
    else:
        for size in sizes:  # a process each: the peak memory is its own
            words = ["--sizes", str(size), "--seed", str(asked.seed), "--limit", asked.limit, "--mix", asked.mix, *(["--calibrate"] if asked.calibrate else [])]
            subprocess.run([sys.executable, __file__, *words], check=True)


if __name__ == "__main__":
    main()
