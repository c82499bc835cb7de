"""Which machine an event is of: hosts as numbers, where names are shared, missing, or told by an agent's id alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

# Who an event is of, where names are not enough: its sensor's id, else its full name; where there is nothing at all, the file it stands in.
IDENT = """coalesce({0}host_id, CASE WHEN {0}host IS NULL THEN concat('file ', {0}file)
    WHEN contains({0}host_raw, '.') AND rtrim(lower({0}host_raw), '.') <> {0}host THEN rtrim(lower({0}host_raw), '.') END)"""

# Addresses that name no host: unspecified, loopback, link-local IPv4, multicast, broadcast (also of a /24).
NOBODY = r"^(0\.|127\.|169\.254\.|22[4-9]\.|23[0-9]\.|255\.)|\.255$|^(::|::1|ff[0-9a-f]{2}:.*)$"


def build(con: duckdb.DuckDBPyConnection) -> None:
    """Hosts by name; an agent's id stands for the name that some event gives with it. Machines that share a name are told apart (`_namesakes`);
    where there is neither name nor id, a file is a host."""
    con.execute(
        f"""
        CREATE TEMP TABLE join_said AS
        WITH said AS (SELECT host, {IDENT.format("")} AS ident, any_value(host_id) AS host_id, dialect FROM event GROUP BY host, ident, dialect),
        named AS (SELECT host_id, min(host) AS host FROM said WHERE host IS NOT NULL AND host_id IS NOT NULL GROUP BY host_id)
        SELECT said.host, ident, dialect, said.host_id IS NOT NULL AS numbered, coalesce(said.host, named.host, said.host_id, '') AS name
            FROM said LEFT JOIN named USING (host_id)
        """
    )
    _namesakes(con)
    con.execute(
        """
        CREATE TEMP TABLE join_host AS
        WITH whole AS (SELECT DISTINCT host, ident, name, CASE WHEN name = '' THEN ident WHEN one IS NOT NULL THEN one
                WHEN name IN (SELECT name FROM join_namesake) THEN coalesce(ident, '') ELSE '' END AS part
            FROM join_said LEFT JOIN join_namesake USING (name, ident))
        SELECT host, ident, name, (dense_rank() OVER (ORDER BY name, part))::INTEGER AS hk, name NOT IN (SELECT name FROM join_namesake) AS alone
            FROM whole
        """
    )
    con.execute("DROP TABLE join_said")
    con.execute("DROP TABLE join_namesake")


def _namesakes(con: duckdb.DuckDBPyConnection) -> None:
    """`join_namesake` (name, ident, one): names that several machines have at a time, and which identities are `one` of them.

    That they are several shows in one product's ids (or, without those, in full names) that have addresses, and none in common; or that are used
    at the same time, where no addresses are known. Several agents of one machine have its addresses, so has one that was set up again.
    """
    con.execute("CREATE TEMP TABLE join_namesake (name VARCHAR, ident VARCHAR, one VARCHAR)")
    several = "SELECT name, dialect, numbered FROM join_said WHERE ident IS NOT NULL AND name <> '' GROUP BY ALL HAVING count(DISTINCT ident) > 1"
    if not con.execute(f"{several} LIMIT 1").fetchall():
        return
    con.execute(
        f"""
        INSERT INTO join_namesake
        WITH asked AS (SELECT s.* FROM join_said s JOIN ({several}) USING (name, dialect, numbered) WHERE ident IS NOT NULL),
        mine AS (SELECT a.name, a.dialect, a.numbered, a.ident, e.ts, e.local_ip, e.host_ips FROM (SELECT *, {IDENT.format("")} AS ident FROM event) e
            JOIN asked a ON a.ident = e.ident AND a.host IS NOT DISTINCT FROM e.host AND a.dialect IS NOT DISTINCT FROM e.dialect),
        used AS (SELECT name, dialect, numbered, ident, min(ts) AS t0, max(ts) AS t1 FROM mine GROUP BY ALL),
        told AS (SELECT DISTINCT name, dialect, numbered, ident, concat_ws(',', local_ip, host_ips) AS addresses FROM mine),
        had AS (SELECT DISTINCT name, dialect, numbered, ident, trim(unnest(string_split_regex(addresses, '[,; ]+'))) AS address FROM told),
        first AS (SELECT *, min(ident) OVER (PARTITION BY name, dialect, numbered, address) AS least FROM had
            WHERE address <> '' AND NOT regexp_matches(address, '{NOBODY}')),
        one AS (SELECT u.*, coalesce(min(least), any_value(u.ident)) AS one, min(least) IS NOT NULL AS placed FROM used u LEFT JOIN first f
            ON f.name = u.name AND f.dialect IS NOT DISTINCT FROM u.dialect AND f.numbered = u.numbered AND f.ident = u.ident GROUP BY ALL),
        spans AS (SELECT name, dialect, numbered, one, bool_or(placed) AS placed, min(t0) AS t0, max(t1) AS t1 FROM one GROUP BY ALL),
        at_once AS (SELECT *, count(*) FILTER (placed) OVER w AS places, max(t1) OVER (w ORDER BY t0, one ROWS BETWEEN UNBOUNDED PRECEDING
            AND 1 PRECEDING) AS busy FROM spans WINDOW w AS (PARTITION BY name, dialect, numbered))
        SELECT name, ident, min(one) FROM one WHERE name IN (SELECT name FROM at_once WHERE t0 <= busy OR places > 1) GROUP BY name, ident
        """
    )
