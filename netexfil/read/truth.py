"""How far a log row's byte counts can be believed: SQL over the columns of conn.log, the same for each side.

Zeek counts payload by sequence numbers, so a wild sequence number counts gigabytes (`REJ` with 3 packets) and a sensor that drops one
side (bad checksums from offload, asymmetric routes) counts 0. The bytes of the IP packets bound what was really seen:
payload <= ip_bytes - packets * smallest header, payload >= ip_bytes - packets * largest header.
"""

from __future__ import annotations

LARGEST_TCP = 60  # header with all options


def prepared(rows: str) -> str:
    """A query over conn rows with what both sides' expressions need, each computed once.

    `started`: the session's beginning was seen. `<side>_count`: payload bytes, 0 where the log has none. `<side>_counted`: packets and IP
    bytes are there (counters that are all zero beside payload were switched off). `<side>_most`, `<side>_least`: payload that the IP
    bytes allow. `<side>_seen`: some packet of that side was seen.
    """
    sides = ", ".join(
        f"""coalesce({me}_bytes, 0) AS {me}_count, {me}_pkts IS NOT NULL AND {me}_ip_bytes IS NOT NULL AND NOT idle AS {me}_counted,
        greatest({me}_ip_bytes - {me}_pkts * head, 0) AS {me}_most, greatest({me}_ip_bytes - {me}_pkts * (head + options), 0) AS {me}_least,
        CASE WHEN {me}_pkts IS NOT NULL AND {me}_ip_bytes IS NOT NULL AND NOT idle THEN {me}_pkts > 0
             WHEN letters = '' THEN true ELSE letters <> {fold}(letters) END AS {me}_seen"""
        for me, fold in (("orig", "lower"), ("resp", "upper"))
    )
    return f"""SELECT *, {sides} FROM (SELECT *, coalesce(history, '') AS letters, coalesce(missed_bytes, 0) AS gaps,
        coalesce(orig_pkts = 0 AND resp_pkts = 0 AND coalesce(orig_bytes, 0) + coalesce(resp_bytes, 0) > 0, false) AS idle,
        CASE WHEN contains(orig_h, ':') THEN 40 ELSE 20 END + CASE proto WHEN 'tcp' THEN 20 ELSE 8 END AS head,
        CASE proto WHEN 'tcp' THEN {LARGEST_TCP - 20} ELSE 0 END AS options,
        proto <> 'tcp' OR coalesce(history, '') = '' OR contains(lower(history), 's') OR contains(lower(history), 'h') AS started
        FROM {rows})"""


def side(me: str, other: str) -> dict[str, str]:
    """Expressions over `prepared` rows for one side: `low`, `high`, `quality`, and `lost` (true: the sensor did not see this side).

    The responder of a TCP session is missed only where the originator went on (A or D): an unanswered SYN has no other side.
    """
    count, most, least, counted = f"{me}_count", f"{me}_most", f"{me}_least", f"{me}_counted"
    data, bad = ("D", "C") if me == "orig" else ("d", "c")
    spoken = f"{other}_seen" if me == "orig" else "(proto = 'tcp' AND (contains(letters, 'A') OR contains(letters, 'D')))"
    lost = f"({count} = 0 AND (contains(letters, '{bad}') OR (NOT {me}_seen AND {spoken})))"
    within = f"(NOT {counted} OR {count} <= {most})"
    sound = f"({within} AND (gaps = 0 OR {count} = 0) AND started)"
    seen = f"CASE WHEN {counted} THEN least({count}, {least}) ELSE {count} END"
    return {
        "lost": lost,
        "quality": f"CASE WHEN {lost} THEN 'unknown' WHEN {sound} THEN 'exact' ELSE 'bounded' END",
        "low": (
            f"CASE WHEN {lost} THEN 0 WHEN {sound} OR ({within} AND gaps = 0) THEN {count} "
            f"WHEN {within} THEN greatest({count} - gaps, {seen}, 0) ELSE {seen} END"
        ),
        "high": (
            f"CASE WHEN {lost} THEN NULL WHEN {sound} THEN {count} WHEN NOT started THEN NULL "
            f"WHEN {within} OR contains(letters, '{data}') OR gaps >= {count} - {most} THEN {count} ELSE {most} END"
        ),
    }
