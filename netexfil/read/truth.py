"""How far a log row's byte counts can be believed: SQL over the columns of conn.log, one expression for each side.

Zeek counts payload by sequence numbers, so a wild sequence number counts gigabytes (`REJ` with 3 packets) and a sensor that drops one
side (bad checksums from offload, asymmetric routes) counts 0. The bytes of the IP packets bound what was really seen:
payload <= ip_bytes - packets * smallest header, payload >= ip_bytes - packets * largest header.
"""

from __future__ import annotations

LARGEST_TCP = 60  # header with all options
USUAL_IP = "CASE WHEN contains(orig_h, ':') THEN 40 ELSE 20 END"


def side(me: str, other: str) -> dict[str, str]:
    """Expressions for one side: `low`, `high`, `quality`, and `lost` (true: the sensor did not see this side)."""
    upper = me == "orig"
    data, ack, bad = ("D", "A", "C") if upper else ("d", "a", "c")
    count, bytes_, packets, ip = f"coalesce({me}_bytes, 0)", f"{me}_bytes", f"{me}_pkts", f"{me}_ip_bytes"
    said = f"contains(coalesce(history, ''), '{data}')"
    # counters that are all zero beside payload were switched off
    counted = f"({packets} IS NOT NULL AND {ip} IS NOT NULL AND NOT (orig_pkts = 0 AND resp_pkts = 0 AND coalesce(orig_bytes, 0) + coalesce(resp_bytes, 0) > 0))"
    smallest = f"({USUAL_IP} + CASE proto WHEN 'tcp' THEN 20 ELSE 8 END)"
    largest = f"({USUAL_IP} + CASE proto WHEN 'tcp' THEN {LARGEST_TCP} ELSE 8 END)"
    most = f"greatest({ip} - {packets} * {smallest}, 0)"
    least = f"greatest({ip} - {packets} * {largest}, 0)"
    absent = f"CASE WHEN {counted} THEN {packets} = 0 ELSE NOT regexp_matches(coalesce(history, 'Xx'), '[{'A-Z' if upper else 'a-z'}]') END"
    spoken = (
        f"coalesce(CASE WHEN {counted} THEN {other}_pkts > 0 ELSE regexp_matches(history, '[a-z]') END, false)"
        if upper
        else "proto = 'tcp' AND regexp_matches(coalesce(history, ''), '[AD]')"
    )
    dropped = f"(contains(coalesce(history, ''), '{bad}') AND {count} = 0)"
    lost = f"(({count} = 0 AND ({absent}) AND {spoken}) OR {dropped})"
    started = "(proto <> 'tcp' OR history IS NULL OR regexp_matches(history, '[SsHh]'))"
    gaps = "coalesce(missed_bytes, 0)"
    within = f"(NOT {counted} OR {count} <= {most})"
    sound = f"({within} AND ({gaps} = 0 OR {count} = 0) AND {started})"
    seen = f"CASE WHEN {counted} THEN least({count}, {least}) ELSE {count} END"
    return {
        "lost": lost,
        "quality": f"CASE WHEN {lost} THEN 'unknown' WHEN {sound} THEN 'exact' ELSE 'bounded' END",
        "low": (
            f"CASE WHEN {lost} THEN 0 WHEN {sound} THEN {count} "
            f"WHEN {within} AND NOT {started} AND {gaps} = 0 THEN {count} "
            f"WHEN {within} THEN greatest({count} - {gaps}, {seen}, 0) ELSE {seen} END"
        ),
        "high": (
            f"CASE WHEN {lost} THEN NULL WHEN {sound} THEN {count} WHEN NOT {started} THEN NULL "
            f"WHEN {within} OR {said} OR {gaps} >= {count} - {most} THEN {count} ELSE {most} END"
        ),
        "bytes": bytes_,
        "ack": ack,
    }
