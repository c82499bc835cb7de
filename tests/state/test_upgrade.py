"""A state of an earlier schema, and one whose keys another DuckDB made, go on as if nothing had been."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from world import START, Town, World, table, whole

from netexfil.state import keys, store, views


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path, Town(31).records(30), policy=Town.POLICY)
    made.append(20)
    made.run()
    return made


def aged(file: Path, schema: int) -> None:
    """Write the state as a program of an earlier schema would have left it: columns and tables of later ones are not there."""
    old = file.with_name("old.duckdb")
    con = duckdb.connect()
    con.execute(f"ATTACH '{file}' AS now (READ_ONLY)")
    con.execute(f"ATTACH '{old}' AS state")
    for _, sql in store.migrations()[:schema]:
        con.execute(sql)
    con.execute("INSERT INTO state.migration VALUES (?, 0)", [schema])
    there = con.execute("SELECT database_name, table_name, column_name FROM duckdb_columns() WHERE database_name IN ('now', 'state')").fetchall()
    columns: dict[tuple[str, str], set[str]] = {}
    for database, name, column in there:
        columns.setdefault((database, name), set()).add(f'"{column}"')
    for (database, name), mine in columns.items():
        if database == "state" and name not in ("migration", "dirty"):
            source = "told" if name == "session" else name
            both = ", ".join(sorted(mine & columns["now", source]))
            con.execute(f"INSERT INTO state.{name} ({both}) SELECT {both} FROM now.{source}")
    if '"entity"' in columns.get(("state", "pair"), ()):
        pairs = "SELECT DISTINCT inside_h, unnest([entity, '']) AS entity FROM now.channel"
        con.execute(f"UPDATE state.pair p SET entity = c.entity FROM ({pairs}) c WHERE p.pair = {keys.hashed('c.inside_h', 'c.entity')}")
    con.close()
    old.replace(file)


@pytest.mark.parametrize("schema", [number for number, _ in store.migrations()[:-1]])
def test_a_state_of_an_earlier_schema_goes_on(world: World, tmp_path: Path, schema: int) -> None:
    before = table(world.file)
    aged(world.file, schema)
    with pytest.raises(Exception, match=f"schema {schema}"):
        views.show(world.file, START)
    world.append(4)
    world.run()
    assert len(table(world.file)) >= len(before)
    world.append(len(world.coming))
    world.run()
    assert table(world.file) == whole(tmp_path, world.written, world.policy)


def test_keys_of_another_duckdb_are_made_anew(world: World, tmp_path: Path) -> None:
    """Only the uids' are asked before everything is scored anew, which another version asks for anyway."""
    con = duckdb.connect(str(world.file))
    con.execute("UPDATE session SET uid_key = -uid_key, talk = 7")
    con.execute("UPDATE pair SET owner = 7")
    con.execute("UPDATE run SET settings = 'of another version'")
    con.close()
    world.append(len(world.coming))
    for log in ("conn", "ssl"):
        world.copy(log)
        (world.logs / f"{log}.log").rename(world.logs / f"x-{log}.log")
        text = (world.logs / f"x-{log}.log").read_text().splitlines(keepends=True)
        head = [line for line in text if line.startswith("#")]
        (world.logs / f"x-{log}.log").write_text("".join(head + [line for line in text if not line.startswith("#")][::-1]))
    world.run()
    con = duckdb.connect(str(world.file), read_only=True)
    assert con.execute("SELECT count(*) - count(DISTINCT uid) FROM session").fetchall() == [(0,)]
    con.close()
    assert table(world.file) == whole(tmp_path, world.written, world.policy)
