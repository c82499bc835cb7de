"""Families of addresses: what names of one entity have in common, or more (temporary tables `family`, `family_many`, `family_hot`; see `sift`)."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from netexfil import tables
from netexfil.entity import SECOND_LEVEL, SHARED

if TYPE_CHECKING:
    import duckdb

# What the cleaned name of a family is: three labels where the owner of an entity has three or more, else two.
_CLEAN = "trim(lower(name), ' .')"
_THREE = r"\.(" + "|".join(suffix.replace(".", r"\.") for suffix in SHARED) + r")$|\.(" + "|".join(sorted(SECOND_LEVEL)) + r")\.[^.]{2}$"
_FAMILY = rf"""CASE WHEN regexp_matches(clean, '{_THREE}') AND regexp_matches(clean, '[^.]+\.[^.]+\.[^.]+$')
    THEN regexp_extract(clean, '[^.]+\.[^.]+\.[^.]+$') ELSE regexp_extract(clean, '[^.]*\.?[^.]+$') END"""
_HOT = {"address": "VARCHAR", "number": "INTEGER"}


def group(con: duckdb.DuckDBPyConnection) -> None:
    """Table `family` of (address, name) becomes one of (address, family), and `family_many` numbers those that several addresses share."""
    con.execute(f"""CREATE OR REPLACE TEMP TABLE family AS SELECT DISTINCT address, {_FAMILY} AS family FROM
        (SELECT address, {_CLEAN} AS clean FROM family) WHERE clean <> ''""")
    con.execute("""CREATE OR REPLACE TEMP TABLE family_many AS SELECT family, CAST(row_number() OVER () AS INTEGER) AS number
        FROM family GROUP BY family HAVING count(*) > 1""")


def packed(con: duckdb.DuckDBPyConnection) -> bytes:
    """The families that several addresses share, as the core takes them: 16 bytes of the address, 4 of the family's number."""
    found = con.execute("SELECT f.address, m.number FROM family f JOIN family_many m USING (family)")
    return b"".join(_packed(found))


def _packed(found: duckdb.DuckDBPyConnection) -> Iterator[bytes]:
    while rows := found.fetchmany(65_536):
        packed = bytearray()
        for address, number in rows:
            try:
                bare = socket.inet_pton(socket.AF_INET6, address if ":" in address else f"::ffff:{address}")
            except (OSError, ValueError):
                continue  # what DNS calls an address may be none
            packed += bare + number.to_bytes(4, "big")
        yield bytes(packed)


def kin(con: duckdb.DuckDBPyConnection, addresses: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """All addresses that share a family with one of these, and those of the families with these numbers."""
    con.execute("CREATE OR REPLACE TEMP TABLE family_hot (address VARCHAR, number INTEGER)")
    tables.insert(con, "family_hot", [(address, None) for address in addresses], kinds=_HOT)
    tables.insert(con, "family_hot", [(None, number) for number in numbers], kinds=_HOT)
    found = con.execute("""SELECT DISTINCT address FROM family WHERE family IN (SELECT family FROM family WHERE address IN
        (SELECT address FROM family_hot WHERE address IS NOT NULL) UNION SELECT family FROM family_many JOIN family_hot USING (number))""")
    return [row[0] for row in found.fetchall()]
