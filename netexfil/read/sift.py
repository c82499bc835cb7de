"""Large conn logs in two readings: the first keeps no row and learns which matter, the second takes only those.

Nearly all sessions of a large log move too little to be part of a finding. The core adds up what each pair of hosts moved, and what each
host sent to all addresses of a family of names (`rust/src/zeek/channel/sieve.rs`). Kept are all sessions

- with the outside addresses of pairs that moved enough, whoever the inside host is, and with all addresses that share a family with them, so
  that every entity that may be judged is there as a whole: who used it, when, and how much;
- of hosts that enough was taken from; between public addresses; inside; of hosts of which conn.log alone does not say that they sent anything;
- on several days, with addresses to which something else than HTTPS and QUIC was spoken: whether that is new to a host is asked later.

Of the others only the hosts and days stay (table `active`). A family is what names of one entity have in common, or more: too much may be
kept, never too little. Where something does not allow it, everything is read as ever.

Where telemetry is joined (`Worth.reach`), all sessions are kept as well that it could be tied to: of its hosts, and with the outside addresses
that those of them told of whose own address no session has. Their pairs count from `Worth.odd` on, as a link makes them candidates. What the join
asks of all sessions is answered by few: the first and last moments by the hosts of the outermost rows, and which hosts without telemetry sent most by
all sessions of those that may have; the others are counted (table `away`). Both answers are held against the kept sessions at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from netexfil import tables
from netexfil.read import core_logs, families, fields, merging, names
from netexfil.read.bounds import Bounds
from netexfil.read.logs import Tally, columns

if TYPE_CHECKING:
    import duckdb

    from netexfil.policy import Policy
    from netexfil.read import Options, Progress, Turn, Worth
    from netexfil.read.find import Log

ROW = 64  # bytes of a row of a conn log, at least: as many slots as there may be rows to outside
AT_ONCE = 122_880  # rows; one of DuckDB's groups of rows
MOST = 1 << 20  # addresses; more are not worth it
# Logs of which only the rows of kept sessions are wanted; certificates are tied to what those say.
LATER, CERTIFICATES = ("ssl", "quic", "http"), ("x509", "files")
# A sensor with this share of TCP sessions whose originator it did not see may be one that drops packets: that is asked of all sessions.
LOST_SHARE = 0.01
# TLS on these ports is odd.
_ODD = "(22, 80, 53, 21)"


class Unfit(Exception):
    """Everything must be read."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the steps below share."""

    con: duckdb.DuckDBPyConnection
    by_log: Mapping[str, Sequence[Log]]
    options: Options
    policy: Policy
    progress: Progress | None

    @property
    def worth(self) -> Worth:
        assert self.options.sift is not None
        return self.options.sift

    def stream(self, log: str, use: Callable[[str], None], hot: core_logs.Hot | None = None) -> list[Tally]:
        """Rows of one log, as `core_logs.stream`."""
        return core_logs.stream(self.con, self.by_log[log], log, self.options, self.policy, self.progress, use, hot)


def fits(by_log: Mapping[str, Sequence[Log]], options: Options) -> bool:
    """Whether the logs are large, of one kind each, and asked for without conditions."""
    worth = options.sift
    if worth is None or min(worth.pair, worth.odd, worth.entity) <= 0 or not options.only_outbound:
        return False
    if options.keep_facts or options.ranges or options.since is not None or options.until is not None:
        return False
    conn = by_log.get("conn", ())
    if not conn or not by_log.keys() <= fields.LOGS.keys() | {""} or "netexfil" in by_log:
        return False
    return _size(conn) >= worth.size


def _size(logs: Sequence[Log]) -> int:
    """Bytes of text, about."""
    return sum(os.path.getsize(log.path) * (8 if log.path.endswith((".gz", ".zst")) else 1) for log in logs)


def read(job: Job, others: Callable[[Mapping[str, Sequence[Log]]], list[Tally]], turn: Turn | None) -> list[Tally]:
    """Fill `session` (each once), `name`, `active`; `others` reads the logs that are small. `fact_new` and `checksum_weird` are there and empty.

    Raises:
        Unfit: as where anything else fails, nothing is left of the attempt.
    """
    con, before = job.con, _files(job)
    try:
        told = {log.file: log for log in others({log: files for log, files in job.by_log.items() if log not in (*LATER, *CERTIFICATES, "conn")})}
        special, tallies = _named(job)
        counts, hot, bounds = _learn(job, special)
        later = [log for log in (*LATER, *CERTIFICATES) if log in job.by_log]
        # Of much that is said little may be of kept sessions, so that these come first where memory is spared.
        frugal = later and not bounds
        tallies += _sessions(job, hot) + _facts(job, later, hot) if frugal else _facts(job, later, hot) + _at_once(job, hot, turn)
        told |= {tally.file: tally for tally in tallies}
        if any({fields.log_of(name) for name in tally.passed} & fields.LOGS.keys() for tally in told.values()):
            raise Unfit("files that hold several logs")
        if frugal:
            _parts(con, turn)
        elif not bounds:  # telemetry may know the others, too
            _forget(con, "session")
        merging.announce(con, "fact_new")
        _sound(con, counts)
        merging.merge(con)
        if bounds and (unsure := bounds.unsure(con)):
            raise Unfit(unsure)
        if _files(job) != before:
            raise Unfit("a file was changed between the readings")
    except Exception:
        for table in ("session", "name", "active", "away", "fact_new", "checksum_weird"):
            con.execute(f"DELETE FROM {table}")
        raise
    finally:
        for table in ("asked", "family", "family_many", "family_hot", "raw_conn", "said"):
            con.execute(f"DROP TABLE IF EXISTS {table}")
    return [told[file.path] for files in job.by_log.values() for file in files if file.path in told]


def _files(job: Job) -> list[tuple[int, int]]:
    """What the files are now: a log that is rotated between the readings is another."""
    found = [os.stat(file.path) for files in job.by_log.values() for file in files]
    return [(one.st_dev, one.st_ino) for one in found]


def _named(job: Job) -> tuple[list[str], list[Tally]]:
    """Names of addresses to `name`, their families to `family`; the uids of sessions that other logs may make odd or outbound."""
    con = job.con
    con.execute("CREATE OR REPLACE TEMP TABLE family (address VARCHAR, name VARCHAR)")
    special: list[str] = []
    told: list[Tally] = []
    if "ssl" in job.by_log:
        told += _asked(job, "ssl", special)
        con.execute("""INSERT INTO name SELECT address, rtrim(name, '.'), 'dns', min(first_ts), max(last_ts), 'ssl' FROM asked
            WHERE rtrim(name, '.') <> '' GROUP BY ALL""")
    con.execute("INSERT INTO family SELECT DISTINCT address, name FROM name WHERE kind = 'dns'")
    if "quic" in job.by_log:
        told += _asked(job, "quic", special)
        con.execute("INSERT INTO family SELECT address, name FROM asked")
    con.execute("DROP TABLE IF EXISTS asked")
    if "http" in job.by_log:
        told += job.stream("http", lambda rows: names.fill(con, "http", rows))
        con.execute("INSERT INTO family SELECT address, name FROM name WHERE source = 'http'")
    families.group(con)
    said = con.execute("SELECT DISTINCT uid FROM fact_new WHERE kind IN ('ssh', 'ftp') AND uid IS NOT NULL").fetchall()
    return [*special, *(row[0] for row in said)], told


def _asked(job: Job, log: str, special: list[str]) -> list[Tally]:
    """Names that clients asked for, by address, to the temporary table `asked`; the uids of those on odd ports to `special`."""
    def use(rows: str) -> None:
        job.con.execute(f"""CREATE OR REPLACE TEMP TABLE asked AS SELECT resp_h AS address, lower(server_name) AS name, min(ts) AS first_ts,
            max(ts) AS last_ts, list(uid) FILTER (resp_p IN {_ODD}) AS odd, bool_or(resp_p IS NULL) AS lost FROM {rows} GROUP BY 1, 2""")

    told = job.stream(log, use)
    if tables.some(job.con, "asked WHERE address IS NULL OR lost"):
        raise Unfit("names without an address")
    odd = job.con.execute("SELECT unnest(odd) FROM asked WHERE odd IS NOT NULL").fetchall()
    job.con.execute("DELETE FROM asked WHERE name IS NULL OR name = ''")
    special += [row[0] for row in odd if row[0] is not None]
    return told


def _learn(job: Job, special: Sequence[str]) -> tuple[Mapping[str, tuple[int, int]], core_logs.Hot, Bounds | None]:
    """The first reading: counts of files, and what the second is to take. Fills `active` and `away`."""
    con = job.con
    sieve, reach = _sieved(job, special)
    refused, lost = sieve.trouble()
    met = [tally for tally in core_logs.tallies(sieve) if {fields.log_of(name) for name in tally.passed} & fields.LOGS.keys()]
    if lost or met:
        raise Unfit("too much to be told apart")
    remotes, servers = sieve.addresses()
    active, hosts, several = sieve.days()
    tables.insert(con, "active", active)
    ends = con.execute("SELECT DISTINCT fuid FROM fact_new WHERE kind = 'ftp' AND fuid IS NOT NULL").fetchall()
    announced = [row[0].rsplit(" ", 1)[0] for row in ends]
    found = {*remotes, *servers, *announced, *families.kin(con, [*remotes, *servers, *announced], sieve.families())}
    if several:
        dav = con.execute("SELECT DISTINCT address FROM name WHERE kind = 'dns' AND (starts_with(name, 'dav.') OR starts_with(name, 'webdav.'))")
        found |= {*sieve.spoken(), *(row[0] for row in dav.fetchall())}
    for table in ("family", "family_many", "family_hot"):
        con.execute(f"DROP TABLE {table}")
    bounds = None
    if reach:
        mine, theirs = reach
        _, whole, away, line, outer = sieve.reached()
        tables.insert(con, "away", [(host,) for host in away])
        found, hosts, bounds = found | {*theirs}, [*hosts, *whole, *mine], Bounds(tuple(outer), line, mine, theirs)
    if len(found) > MOST:
        raise Unfit("too many addresses")
    return {path: (tcp, unseen) for path, tcp, unseen in sieve.counts()}, (list(found), [*hosts, *announced], servers, refused), bounds


def _sieved(job: Job, special: Sequence[str]) -> tuple[Any, tuple[list[str], list[str]] | None]:
    """The sieve, and what telemetry could be tied to: addresses of its hosts, and outside addresses. Read once more where some of its hosts are not
    met: the ends that those told of are wanted, too."""
    conn, grouped = job.by_log["conn"], families.packed(job.con)
    bits = min(max((_size(conn) // ROW).bit_length(), 10), 21)
    asked = job.worth.reach(job.con) if job.worth.reach else None
    if job.worth.reach and asked is None:
        raise Unfit("telemetry that could be tied to any session")
    reach = (asked[0], [*asked[0], *asked[1](None)]) if asked else None
    while True:
        sieve = core_logs.sieve(conn, job.worth, bits, grouped, special, reach, job.options, job.policy)
        with core_logs.telling(sieve, conn, job.progress):
            sieve.run()
        if asked is None or reach is None:
            return sieve, None
        more = set(asked[1](sieve.reached()[0]))
        if more <= set(reach[1]):
            return sieve, reach
        reach = (reach[0], [*reach[0], *more])


def _sessions(job: Job, hot: core_logs.Hot) -> list[Tally]:
    """The second reading: the rows that matter to `raw_conn`."""
    kept = columns("conn") | tables.SIDES
    job.con.execute(f"CREATE OR REPLACE TEMP TABLE raw_conn ({', '.join(f'{name} {kind}' for name, kind in kept.items())})")
    told = job.stream("conn", lambda rows: _store(job.con, kept, rows), hot)
    _forget(job.con, "raw_conn")
    return told


def _forget(con: duckdb.DuckDBPyConnection, sessions: str) -> None:
    """Names of addresses with which no session is left. A table written anew gives its memory back."""
    con.execute(f"""CREATE OR REPLACE TABLE name AS SELECT * FROM name WHERE kind <> 'dns'
        OR address IN (SELECT orig_h FROM {sessions} UNION SELECT resp_h FROM {sessions})""")


def _store(con: duckdb.DuckDBPyConnection, kept: Mapping[str, str], rows: str) -> None:
    con.execute(f"INSERT INTO raw_conn SELECT {', '.join(kept)} FROM {rows}")


def _at_once(job: Job, hot: core_logs.Hot, turn: Turn | None) -> list[Tally]:
    """The second reading where all that other logs say of its rows is known: straight to `session`."""
    return job.stream("conn", lambda rows: _together(job.con, rows, turn), hot)


def _facts(job: Job, logs: Sequence[str], hot: core_logs.Hot) -> list[Tally]:
    """What the logs that are left say of the kept sessions, to `fact_new`; their rows have been told of but those of certificates."""
    told: list[Tally] = []
    for log in logs:
        if log in LATER:
            job.stream(log, partial(merging.facts, job.con, log, into="fact_new"), (*hot[:3], False))
        else:
            told += job.stream(log, partial(_certificates, job.con, log))
    return told


def _certificates(con: duckdb.DuckDBPyConnection, log: str, rows: str) -> None:
    tied = "fuid IN (SELECT fuid FROM fact_new WHERE kind NOT IN ('ftp', 'x509', 'files'))"
    merging.facts(con, log, f"(SELECT * FROM {rows} WHERE {tied})", "fact_new")


def _parts(con: duckdb.DuckDBPyConnection, turn: Turn | None) -> None:
    """`session` from `raw_conn` and `fact_new`, some rows at a time: what is said of them is to fit in memory."""
    row = con.execute("SELECT count(*) FROM raw_conn").fetchone()
    for start in range(0, row[0] if row else 0, AT_ONCE):
        rows = f"raw_conn WHERE rowid >= {start} AND rowid < {start + AT_ONCE}"
        con.execute(f"CREATE OR REPLACE TEMP TABLE said AS SELECT * FROM fact_new WHERE uid IS NULL OR uid IN (SELECT uid FROM {rows})")
        _together(con, f"(SELECT * FROM {rows})", turn, "said")


def _together(con: duckdb.DuckDBPyConnection, rows: str, turn: Turn | None, facts: str = "fact_new") -> None:
    """`session` from conn rows and what is said of them."""
    merging.gather(con, facts, "gathered")
    merging.sessions(con, rows, "gathered", turn)
    merging.forget(con, "gathered")


def _sound(con: duckdb.DuckDBPyConnection, counts: Mapping[str, tuple[int, int]]) -> None:
    """Sensors that may have dropped packets are asked about with all their sessions at hand."""
    folders: dict[str, tuple[int, int]] = {}
    inner = con.execute("""SELECT source, count(*), count(*) FILTER (orig_quality = 'unknown') FROM session
        WHERE proto = 'tcp' AND remote_h IS NULL GROUP BY source""").fetchall()
    for path, tcp, lost in [*((path, *both) for path, both in counts.items()), *inner]:
        folder = path[: path.rfind("/") + 1]
        before = folders.get(folder, (0, 0))
        folders[folder] = (before[0] + tcp, before[1] + lost)
    if any(lost and lost >= LOST_SHARE * tcp for tcp, lost in folders.values()):
        raise Unfit("a sensor that may have dropped packets")
