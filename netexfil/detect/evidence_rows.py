"""The sessions and names of the channels that become findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netexfil.detect.links import SURE, Tie
from netexfil.detect.question import Candidates
from netexfil.detect.record import Sessions
from netexfil.entity import is_address

if TYPE_CHECKING:
    import duckdb

MOST = 20_000  # sessions fetched for one channel, the largest first


def sessions_of(con: duckdb.DuckDBPyConnection, cids: NDArray[np.int64]) -> dict[int, Sessions]:
    """The sessions of each channel named, by time; of very many the largest."""
    con.register("incoming_cid", {"cid": np.asarray(cids, np.int64)})
    rows = con.execute(f"""
        SELECT cid, uid, ts, coalesce(bytes_out_low, 0), source, ts + coalesce(duration, 0) FROM session WHERE cid IN (SELECT cid FROM incoming_cid)
        QUALIFY row_number() OVER (PARTITION BY cid ORDER BY bytes_out_low DESC, ts, uid) <= {MOST}
        ORDER BY cid, ts, uid""").fetchall()
    con.unregister("incoming_cid")
    grouped: dict[int, list[tuple[Any, ...]]] = {int(cid): [] for cid in cids.tolist()}
    for row in rows:
        grouped[row[0]].append(row)
    return {cid: _sessions(held) for cid, held in grouped.items()}


def _sessions(rows: Sequence[tuple[Any, ...]]) -> Sessions:
    if not rows:
        return Sessions((), (), (), (), "", "")
    largest = max(rows, key=lambda row: (row[3], row[1] or ""))
    times, ends, sizes = ([row[place] for row in rows] for place in (2, 5, 3))
    return Sessions([row[1] or "" for row in rows], times, ends, sizes, largest[1] or "", largest[4] or "")


def names_of(
    con: duckdb.DuckDBPyConnection, c: Candidates, chosen: NDArray[np.int64], found: Mapping[int, Sequence[Tie]],
) -> dict[int, dict[str, Any]]:
    """{host, remote} names by candidate: of the host from what is known at that time, else from a linked event; of the destination its name."""
    known: dict[str, list[tuple[Any, ...]]] = {}
    for row in con.execute("SELECT address, name, first_ts, last_ts FROM name WHERE kind = 'host' AND name IS NOT NULL ORDER BY ALL").fetchall():
        known.setdefault(row[0], []).append(row)
    result = {}
    for index in chosen.tolist():
        moment = float(c.columns["first_ts"][index])
        host = _host_name(known.get(c.columns["inside_h"][index], ()), moment)
        ties = found.get(int(c.columns["cid"][index]), ())
        host = host or next((tie.link.event.get("host") for tie in ties if tie.link.match in SURE), None)
        remote = c.columns["server_name"][index]
        result[index] = {"host": host, "remote": remote if remote and not is_address(remote) else None}
    return result


def _host_name(rows: Sequence[tuple[Any, ...]], moment: float) -> str | None:
    """The name whose time of validity holds the moment; else the one that lies nearest before it; else the first."""
    if not rows:
        return None
    within = [row for row in rows if (row[2] is None or row[2] <= moment) and (row[3] is None or moment <= row[3])]
    before = [row for row in rows if row[2] is not None and row[2] <= moment]
    best = within or sorted(before, key=lambda row: row[2])[-1:] or rows
    return str(best[0][1])
