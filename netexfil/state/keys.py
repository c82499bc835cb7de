"""Keys by which stored rows find each other, as SQL: 63 bits of a hash, so that millions are compared as whole numbers.

DuckDB's hash may change from one of its versions to the next; the settings of a run name the version, and a run with another one writes them anew.
"""

from __future__ import annotations

from netexfil import tables

DAY = 86_400
# What the state keeps of a session: all that a finding or a join can ask for.
SESSION = tuple(name for name in tables.READ if name not in tables.LISTED)
DAY_OF = f"CAST(floor(ts / {DAY}) AS BIGINT)"


def hashed(*columns: str) -> str:
    return f"CAST(hash({', '.join(columns)}) >> 1 AS BIGINT)"


def talk(one: str = "orig_h", other: str = "resp_h", day: str = DAY_OF) -> str:
    """All that two addresses had with each other in one window."""
    return hashed(f"least({one}, {other})", f"greatest({one}, {other})", f"CAST({day} AS BIGINT)")


# Compared before texts are.
UID = hashed("uid")


def pair(entity: str = "entity") -> str:
    """An inside host and an entity; the entity '' is the host itself."""
    return hashed("inside_h", entity)


def owner(entity: str = "entity") -> str:
    """An entity."""
    return hashed(entity)


HOST = owner("''")
