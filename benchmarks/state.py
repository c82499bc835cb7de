"""What a state costs: the file after a month, a run over nothing new, and "add one hour of a busy sensor" over the age of the state.

    python benchmarks/state.py FOLDER --days 30 --sessions 1000000 --hour 1000000 --at 1,5,10,20,30

The sensor's days are made with NumPy and written as conn.log by DuckDB. Hosts have habits: nine sessions of ten go to the sixty sites that a
host uses on most days, one goes anywhere. Cost is CPU seconds of the whole command (user and system, all threads), with the program's start;
"reading" is the same lines read to sessions, without state, channels or findings.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np

START = 1_790_553_600  # a Monday, 00:00 UTC
HOSTS, SITES, HABITS = 2000, 20_000, 60
FIELDS = ("ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes conn_state missed_bytes history "
          "orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes").split()
TYPES = "time string addr port addr port enum string interval count count string count string count count count count".split()
HEADER = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#fields\t" + "\t".join(FIELDS) \
    + "\n#types\t" + "\t".join(TYPES) + "\n"
READ = ("import sys\nfrom netexfil import read, tables\nfrom netexfil.policy import Policy\ncon = tables.connect()\ntables.create(con)\n"
        "read.sessions(con, sys.argv[1:], read.Options(only_outbound=True), Policy())")


def write(path: Path, begin: float, seconds: float, count: int, seed: int) -> None:
    """One conn.log of `count` sessions that begin within `seconds` from `begin`."""
    rng = np.random.default_rng(seed)
    host = rng.integers(0, HOSTS, count)
    habit = (host * 7919 + (HABITS * rng.power(3, count)).astype(int) * 104_729) % SITES  # a habit's rank: the first are used most
    site = np.where(rng.random(count) < 0.9, habit, rng.integers(0, SITES, count))
    up = np.minimum(np.exp(rng.normal(7.6, 1.6, count)), 4e9).astype(np.int64)
    up = np.where(rng.random(count) < 2e-5, up * 20_000, up)  # a few uploads of tens of megabytes
    down = np.exp(rng.normal(9.5, 1.8, count)).astype(np.int64)
    ts = np.sort(begin + rng.random(count) * seconds)
    con = duckdb.connect()
    con.register("made", {"ts": ts, "a": rng.integers(0, 1 << 62, count), "b": rng.integers(0, 1 << 62, count), "host": host, "site": site,
                          "port": rng.integers(32768, 61000, count), "up": up, "down": down, "took": rng.exponential(20, count)})
    body = path.with_suffix(".body")
    con.execute(f"""COPY (SELECT printf('%.6f', ts), 'C' || to_base(a, 36, 10)[1:10] || to_base(b, 36, 7)[1:7],
        '10.1.' || host // 250 || '.' || host % 250 + 1, port, '52.' || site // 65536 % 256 || '.' || site // 256 % 256 || '.' || site % 256,
        443, 'tcp', 'ssl', printf('%.6f', took), up, down, 'SF', 0, 'ShADadFf', up // 1400 + 6, up + 52 * (up // 1400 + 6), down // 1400 + 6,
        down + 52 * (down // 1400 + 6) FROM made) TO '{body}' (FORMAT csv, DELIMITER '\t', HEADER false, QUOTE '')""")
    with path.open("wb") as out, body.open("rb") as rows:
        out.write(HEADER.encode())
        while block := rows.read(1 << 24):
            out.write(block)
    body.unlink()


def made(*what: object) -> Path:
    """`write` in a process of its own: a child's peak memory is never below that of the process that starts it."""
    child = multiprocessing.get_context("spawn").Process(target=write, args=what)
    child.start()
    child.join()
    return Path(str(what[0]))


def cost(words: list[str]) -> tuple[float, float]:
    """(CPU seconds, peak memory in MB) of a command that must succeed."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(words)}: exit {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--sessions", type=int, default=1_000_000, help="a day")
    parser.add_argument("--hour", type=int, default=1_000_000, help="sessions of the busy hour")
    parser.add_argument("--hours", type=int, default=3, help="busy hours of one day, one after the other, at the end")
    parser.add_argument("--at", default="1,5,10,20,30", help="ages of the state, in days")
    asked = parser.parse_args()
    ages = {int(age) for age in asked.at.split(",")}
    asked.folder.mkdir(parents=True, exist_ok=True)
    program, file = [sys.executable, "-m", "netexfil"], asked.folder / "state.duckdb"
    for day in range(asked.days):
        log = made(asked.folder / "conn.log", START + day * 86400, 86400, asked.sessions, day)
        used, peak = cost([*program, str(log), "--state", str(file), "--min-severity", "critical"])
        print(f"day {day + 1:2}: {used:6.2f} CPU s, {peak:5.0f} MB, state {file.stat().st_size / 1e6:7.1f} MB", flush=True)
        if day + 1 in ages:
            hours(asked, program, file, day + 1, 1)
    hours(asked, program, file, asked.days, asked.hours)
    before = file.stat().st_size
    cost([*program, "state", "vacuum", str(file)])
    print(f"vacuum: {before / 1e6:.1f} MB to {file.stat().st_size / 1e6:.1f} MB")
    for _ in range(3):
        bare, _ = cost([sys.executable, "-c", "import duckdb, click"])
        idle, peak = cost([*program, str(asked.folder / "conn.log"), "--state", str(file)])
        print(f"nothing new: {idle:.2f} CPU s, {peak:.0f} MB; import duckdb, click: {bare:.2f} CPU s; {idle / bare:.1f} x", flush=True)


def hours(asked: argparse.Namespace, program: list[str], file: Path, age: int, count: int) -> None:
    """Busy hours of the day that follows, on a copy of the state."""
    copy = asked.folder / "copy.duckdb"
    shutil.copyfile(file, copy)
    for number in range(count):
        log = made(asked.folder / "hour.log", START + age * 86400 + (8 + number) * 3600, 3600, asked.hour, 1000 + number)
        read, _ = cost([sys.executable, "-c", READ, str(log)])
        used, peak = cost([*program, str(log), "--state", str(copy), "--min-severity", "critical"])
        again, _ = cost([sys.executable, "-c", READ, str(log)])
        alone, _ = cost([*program, str(log), "--min-severity", "critical"])
        mean = (read + again) / 2
        print(f"age {age:2} days, hour {number + 1}: {used:6.2f} CPU s, {peak:4.0f} MB; reading {mean:.2f} s: {used / mean:.1f} x; "
              f"analysed without state {alone:.2f} s: {used / alone:.1f} x", flush=True)
    copy.unlink()


if __name__ == "__main__":
    main()
