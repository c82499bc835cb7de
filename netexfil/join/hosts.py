"""Which host had which address, and when: a ledger with time bounds.

Sources: what the sensor on the host says of itself (`host_ips`), the local side of its connection events, names in the network's own logs
(DHCP, NTLM, Kerberos, known hosts), and a map given by the user. An address that changes hands belongs to each host from half-way to
its last holder till half-way to the next, and not while its holder had another one instead; one that two hosts use in turn all the
time (a VPN pool, a container bridge) belongs to nobody.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netexfil.errors import NetexfilError, Note
from netexfil.join.machines import NOBODY
from netexfil.join.prepare import canonical

if TYPE_CHECKING:
    import duckdb

FOREVER = 1e12
SHARED = 3  # an address that goes back and forth more often than this per host is shared


def given(file: str | None) -> list[tuple[str, str, float, float]]:
    """(host, address, since, until) of the user's map, in the forms that the join knows.

    Raises:
        NetexfilError: it cannot be read.
    """
    rows = read_map(Path(file)) if file else iter(())
    return [(host.partition(".")[0].lower(), canonical(address), since, until) for host, address, since, until in rows]


def ledger(con: duckdb.DuckDBPyConnection, file: str | None, rows: Sequence[tuple[str, str, float, float]]) -> list[Note]:
    """Fill `host_address` (hk, id of the address, since, until), times in capture time. Needs the working tables.

    Args:
        file: the name of the user's map; rows: what it says (`given`).
    """
    _sightings(con)
    notes = _given(con, file, rows) if file else []
    con.execute(
        """
        CREATE TEMP TABLE join_runs AS WITH turned AS (SELECT *, hk IS DISTINCT FROM lag(hk) OVER (PARTITION BY id ORDER BY t0, t1)
          AS fresh FROM join_sight WHERE NOT given),
        counted AS (SELECT *, sum(fresh::INTEGER) OVER (PARTITION BY id ORDER BY t0, t1 ROWS UNBOUNDED PRECEDING) AS run FROM
          turned)
        SELECT id, run, any_value(hk) AS hk, min(t0) AS t0, max(t1) AS t1 FROM counted GROUP BY id, run
        """
    )
    con.execute(
        f"""
        CREATE TEMP TABLE join_shared AS
        SELECT id, count(DISTINCT hk) AS hosts FROM join_runs GROUP BY id HAVING hosts > 1 AND count(*) > {SHARED} * hosts
        """
    )
    con.execute(
        f"""
        CREATE TEMP TABLE host_address AS
        WITH runs AS (SELECT r.*, six FROM join_runs r JOIN (SELECT DISTINCT id, contains(form, ':') AS six FROM join_addr) USING (id)),
        -- What it had before and after, where it did not have both at once: it came from there, and went there.
        placed AS (SELECT r.*, b.t1 AS came, a.t0 AS went FROM runs r
            ASOF LEFT JOIN runs b ON r.hk = b.hk AND r.six = b.six AND r.t0 > b.t1
            ASOF LEFT JOIN runs a ON r.hk = a.hk AND r.six = a.six AND r.t1 < a.t0)
        SELECT hk, id, t0 AS since, t1 AS until FROM join_sight WHERE given UNION ALL
        SELECT hk, id, greatest((t0 + lag(t1) OVER w) / 2, came, -{FOREVER}), least((t1 + lead(t0) OVER w) / 2, went, {FOREVER}) FROM placed
        WHERE id NOT IN (SELECT id FROM join_shared) AND id NOT IN (SELECT id FROM join_sight WHERE given) WINDOW w AS (PARTITION BY
          id ORDER BY t0)
        """
    )
    notes += _conflicts(con)
    for table in ("join_sight", "join_runs", "join_shared"):
        con.execute(f"DROP TABLE {table}")
    return notes


def _sightings(con: duckdb.DuckDBPyConnection) -> None:
    """`join_sight`: (hk, id, t0, t1, given), an hour of one source each."""
    con.execute(
        f"""
        CREATE TEMP TABLE join_sight AS
        WITH own AS (SELECT DISTINCT h.hk, floor(h.t / 3600) AS hour, e.host_ips, h.t FROM event e JOIN join_event h USING (eid)
        WHERE e.host_ips IS NOT NULL AND e.host_ips <> ''),
        spelled AS (SELECT hk, trim(unnest(string_split_regex(host_ips, '[,; ]+'))) AS address, min(t) AS t0, max(t) AS t1 FROM own
          GROUP BY hk, hour, host_ips),
        seen AS (SELECT hk, l AS id, min(t) AS t0, max(t) AS t1 FROM join_event WHERE l IS NOT NULL AND t IS NOT NULL
          GROUP BY hk, l, floor(t / 3600)),
        named AS (SELECT h.hk, a.id, coalesce(n.first_ts, n.last_ts) AS t0, coalesce(n.last_ts, n.first_ts) AS t1 FROM name n
        JOIN (SELECT DISTINCT hk, name FROM join_host WHERE alone) h ON h.name = lower(split_part(n.name, '.', 1)) JOIN join_addr a ON a.address
          = n.address
        WHERE n.kind = 'host' AND t0 IS NOT NULL),
        every AS (SELECT hk, id, t0, t1 FROM seen UNION ALL SELECT s.hk, a.id, t0, t1 FROM spelled s JOIN join_addr a USING
          (address) UNION ALL SELECT * FROM named)
        SELECT hk, id, t0, t1, false AS given FROM every WHERE hk IN (SELECT hk FROM join_host WHERE name <> '')
        AND id IN (SELECT id FROM join_addr WHERE NOT regexp_matches(form, '{NOBODY}'))
        """
    )


def _conflicts(con: duckdb.DuckDBPyConnection) -> list[Note]:
    rows = con.execute(
        "SELECT a.form, s.hosts FROM join_shared s JOIN (SELECT DISTINCT id, form FROM join_addr) a USING (id) ORDER BY s.hosts DESC, a.form LIMIT 20"
    ).fetchall()
    text = "{} is used by {} hosts in turn: it names none of them"
    return [Note("hosts", "address_shared", text.format(*row), loss=False) for row in rows]


def _given(con: duckdb.DuckDBPyConnection, file: str, rows: Sequence[tuple[str, str, float, float]]) -> list[Note]:
    """The user's map wins over everything that was seen."""
    bad = 0
    for name, address, since, until in rows:  # a map made by hand: hundreds of lines at most
        done = con.execute(
            "INSERT INTO join_sight SELECT h.hk, a.id, ?, ?, true FROM (SELECT DISTINCT hk, name FROM join_host) h, "
            "(SELECT DISTINCT id, form FROM join_addr WHERE here OR told) a WHERE h.name = ? AND a.form = ? RETURNING 1",
            [since, until, name, address],
        ).fetchall()
        bad += not done
    return [Note(file, "hosts_unused", f"{bad} of {len(rows)} lines name a host or address that does not occur", loss=False)] if bad else []


def read_map(path: Path) -> Iterator[tuple[str, str, float, float]]:
    """(host, address, since, until) of a CSV (`host,address[,from,to]`, with or without that header) or JSON map.

    JSON: `{"ws041": ["10.0.0.1"]}`, or a list of objects with the CSV's names. Times are epoch seconds or ISO 8601 (UTC where no zone is given).

    Raises:
        NetexfilError: unreadable, or a line has no host or address.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = list(_json_rows(json.loads(text)) if text.lstrip()[:1] in ("{", "[") else _csv_rows(text))
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise NetexfilError(f"{path}: not a host map: {error}") from error
    for number, row in enumerate(rows, 1):
        host, address = str(row.get("host") or "").strip(), str(row.get("address") or "").strip()
        if not host or not address:
            raise NetexfilError(f"{path}: entry {number}: needs host and address")
        try:
            yield host, address, _time(row.get("from"), -FOREVER), _time(row.get("to"), FOREVER)
        except ValueError as error:
            raise NetexfilError(f"{path}: entry {number}: {error}") from error


def _json_rows(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict):
        for host, addresses in document.items():
            for address in [addresses] if isinstance(addresses, str) else addresses:
                yield {"host": host, "address": address}
    else:
        yield from (dict(row) for row in document)


def _csv_rows(text: str) -> Iterator[dict[str, Any]]:
    names = ["host", "address", "from", "to"]
    lines = [line for line in csv.reader(text.splitlines()) if line and not line[0].lstrip().startswith("#")]
    if lines and "address" in [cell.strip().lower() for cell in lines[0]]:
        names = [cell.strip().lower() for cell in lines.pop(0)]
    for line in lines:
        yield dict(zip(names, line, strict=False))


def _time(value: Any, otherwise: float) -> float:
    if value in (None, ""):
        return otherwise
    try:
        return float(value)
    except ValueError:
        moment = datetime.fromisoformat(str(value).strip())
        return (moment if moment.tzinfo else moment.fromisoformat(f"{value.strip()}+00:00")).timestamp()
