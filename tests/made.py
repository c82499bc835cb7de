"""Sessions made by hand for the tests of judgement: a few words in, full rows out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb

from netexfil import channels, detect, outbound, policy, tables
from netexfil.finding import Finding

MONDAY = 1_790_553_600.0  # 2026-09-28 00:00 UTC
DAY = 86_400.0
INSIDE = policy.build({"networks": {"inside": ["10.0.0.0/8"]}})
SSH = {"port": 22, "service": "ssh", "ssh_client": "SSH-2.0-OpenSSH_9.6", "ssh_server": "SSH-2.0-OpenSSH_9.2p1"}


def session(ts: float, host: str, remote: str, up: int, down: int, port: int = 443, **more: Any) -> dict[str, Any]:
    """One exact TCP session, TLS unless said otherwise; any READ column may be given."""
    row: dict[str, Any] = {
        "ts": ts, "uid": more.pop("uid", f"C{ts:.3f}-{host}-{remote}-{port}-{more.get('orig_p', 0)}-{up}"), "orig_h": host, "orig_p": 40_000,
        "resp_h": remote, "resp_p": port, "proto": "tcp", "service": "ssl", "duration": max((up + down) / 4e6, 0.05), "conn_state": "SF",
        "history": "ShADadFf", "orig_bytes": up, "resp_bytes": down, "source": "conn.log",
    }
    row |= more
    for side in ("orig", "resp"):
        row.setdefault(f"{side}_low", row[f"{side}_bytes"])
        row.setdefault(f"{side}_high", row[f"{side}_bytes"])
        row.setdefault(f"{side}_quality", "exact")
    return row


def fill(rows: Iterable[Mapping[str, Any]]) -> duckdb.DuckDBPyConnection:
    """A connection whose table `session` holds the rows as a reader would leave them."""
    con = tables.connect()
    tables.create(con)
    add(con, rows)
    return con


def add(con: duckdb.DuckDBPyConnection, rows: Iterable[Mapping[str, Any]]) -> None:
    names = list(tables.READ)
    tables.insert(con, "session", [[row.get(name) for name in names] for row in rows], names)


def channels_of(rows: Iterable[Mapping[str, Any]], site: policy.Policy = INSIDE) -> duckdb.DuckDBPyConnection:
    con = fill(rows)
    outbound.turn(con, site)
    channels.build(con, site)
    return con


def findings(rows: Iterable[Mapping[str, Any]], site: policy.Policy = INSIDE) -> list[Finding]:
    return detect.score(channels_of(rows, site), site)


def event(eid: int, **more: Any) -> list[Any]:
    """A row of table `event`."""
    row = {"kind": "net_conn", "ts": MONDAY, "host": "ws1", "eid": eid, "file": "events.jsonl", "line": eid + 1} | more
    return [row.get(name) for name in tables.EVENT]


def join(con: duckdb.DuckDBPyConnection, links: Sequence[Mapping[str, Any]], events: Sequence[list[Any]], alerts: Sequence[list[Any]] = ()) -> None:
    """Fill link, event and alert; links name the session by uid."""
    sids = dict(con.execute("SELECT uid, sid FROM session").fetchall())
    rows = [[sids[link["uid"]], link["eid"], link.get("match", "five_tuple"), link.get("confidence", 0.99), 1, 0.0, 0.0] for link in links]
    tables.insert(con, "link", rows)
    tables.insert(con, "event", events)
    tables.insert(con, "alert", alerts)


def browsing(hosts: int, days: int, entity: str = "intranet-cloud.example", up: int = 300_000) -> list[dict[str, Any]]:
    """A small company: every host uses one cloud service every day."""
    return [
        session(MONDAY + day * DAY + 36_000 + host, f"10.0.0.{host + 1}", "198.51.100.7", up, 40_000, server_name=f"api.{entity}")
        for day in range(days) for host in range(hosts)
    ]


def codes(finding: Finding) -> dict[str, int | float]:
    """Code -> points."""
    return {item.code: item.points for item in finding.evidence}
