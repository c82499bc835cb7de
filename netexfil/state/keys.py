"""Keys by which stored rows find each other, as SQL: 63 bits of a hash, so that millions are compared as whole numbers.

DuckDB's hash may change from one of its versions to the next; the settings of a run name the version, and a run with another one writes them anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from netexfil import tables

DAY = 86_400
# What the state keeps of a session: all that a finding or a join can ask for.
SESSION = tuple(name for name in tables.READ if name not in tables.LISTED)
# Of these many sessions have none, and most of the others the first three: they are stored as one list, cut where nothing follows.
SAID = ("server_name", "tls_version", "ja4", "cert_subject", "cert_issuer", "ssh_client", "ssh_server", "hassh", "cert_self_signed", "community_id")
OFTEN = 3
# Bounds of bytes follow from the bytes where they are exact, as most are; else they are stored as one list.
BOUNDS = ("orig_low", "orig_high", "orig_quality", "resp_low", "resp_high", "resp_quality")
QUALITIES = ("exact", "bounded", "unknown")
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


def _none(names: Iterable[str]) -> str:
    return " AND ".join(f"{name} IS NULL" for name in names)


def packed() -> dict[str, str]:
    """Columns of state.session as SQL over rows with the columns SESSION; `batch` is left out. The view state.told gives SESSION again."""
    often, seldom = SAID[:OFTEN], SAID[OFTEN:]
    said = f"""CASE WHEN {_none(seldom)} THEN CASE WHEN {_none(often)} THEN NULL ELSE [{", ".join(often)}] END
        ELSE [{", ".join(f"CAST({name} AS VARCHAR)" for name in SAID)}] END"""
    whole = "{0}_quality = 'exact' AND {0}_low = coalesce({0}_bytes, 0) AND {0}_high = {0}_low"
    exact = f"{whole.format('orig')} AND {whole.format('resp')}"
    number = f"CASE {{0}} {' '.join(f'WHEN {name!r} THEN {code}' for code, name in enumerate(QUALITIES, 1))} END"
    bounds = ", ".join(number.format(name) if name.endswith("quality") else name for name in BOUNDS)
    kept = {name: name for name in SESSION if name not in SAID and name not in BOUNDS}
    return kept | {"day": DAY_OF, "talk": talk(), "uid_key": UID, "said": said, "bounds": f"CASE WHEN {exact} THEN NULL ELSE [{bounds}] END"}
