"""Several reports of one session made one."""

from __future__ import annotations

from netexfil import tables
from netexfil.read import merging


def test_repeated_uids_are_found_by_parts(monkeypatch):
    """A large table is asked for a share of its uids at a time: a session told twice is one in whatever share it falls."""
    monkeypatch.setattr(merging, "AT_ONCE", 3)
    for twice in range(20):
        con = tables.connect()
        tables.create(con)
        rows = [(f"C{number}", float(number), "10.0.0.1", 1, "192.0.2.1", 443, "tcp") for number in [*range(20), twice]]
        tables.insert(con, "session", rows, ["uid", "ts", "orig_h", "orig_p", "resp_h", "resp_p", "proto"])
        assert merging.once(con) == 1
        assert con.execute("SELECT count(*), count(DISTINCT uid) FROM session").fetchone() == (20, 20)
        assert merging.once(con) == 0
