"""A finished session as a row: the columns of `tables.READ` that this engine knows."""

from __future__ import annotations

import base64
import hashlib
import struct
from ipaddress import ip_address
from typing import Any

from netexfil.read.portable.end import State
from netexfil.read.portable.outcome import conn_state
from netexfil.read.portable.packets import TCP
from netexfil.read.portable.session import Session
from netexfil.read.portable.side import Side


def row(session: Session) -> dict[str, Any]:
    """The columns of `tables.READ` that this engine knows."""
    lasted = session.last - session.start
    is_tcp = session.proto == TCP
    first, second = session.tcp.ends
    sizes = (first.size(second), second.size(first)) if is_tcp else tuple(side.octets for side in session.sides)
    orig, resp = session.sides
    state = conn_state(first, second, session.tcp.history) if is_tcp else _datagram_state(orig, resp)
    known_sizes = lasted > 0 and (not is_tcp or any(end.state != State.INACTIVE for end in (first, second)))
    known = {
        "ts": _seconds(session.start), "uid": _uid(session), "proto": "tcp" if is_tcp else "udp",
        "orig_h": str(ip_address(session.orig[0])), "orig_p": session.orig[1], "resp_h": str(ip_address(session.resp[0])), "resp_p": session.resp[1],
        "duration": _seconds(lasted) if lasted > 0 else None, "conn_state": state,
        "orig_bytes": sizes[0] if known_sizes else None, "resp_bytes": sizes[1] if known_sizes else None,
        "missed_bytes": session.tcp.missed, "history": session.tcp.history, "orig_pkts": orig.pkts, "orig_ip_bytes": orig.ip_bytes,
        "resp_pkts": resp.pkts, "resp_ip_bytes": resp.ip_bytes, "community_id": _community_id(session), "source": session.source,
        "hints": ",".join(sorted(_hints(session))) or None, **session.opening.facts(),
    }  # fmt: skip
    for name, index in (("orig", 0), ("resp", 1)):
        known.update(zip((f"{name}_low", f"{name}_high", f"{name}_quality"), _truth(session, index), strict=True))
    return known


def _seconds(nanos: int) -> float:
    return nanos // 1000 / 1e6 if nanos % 1000 == 0 else nanos / 1e9


def _datagram_state(orig: Side, resp: Side) -> str:
    return {(True, True): "SF", (True, False): "S0", (False, True): "SHR"}.get((orig.pkts > 0, resp.pkts > 0), "OTH")


def _hints(session: Session) -> set[str]:
    if session.proto != TCP:
        return session.marks
    states = [end.state for end in session.tcp.ends]
    ended = State.RESET in states or states == [State.CLOSED, State.CLOSED]
    seen = any(side.seen or side.pkts > 4 for side in session.sides)
    alone = seen and not all(side.pkts for side in session.sides)
    words = {"midstream": not any(side.syn for side in session.sides), "onesided": alone}
    return session.marks - {"headless"} - ({"open"} if ended else set()) | {word for word, holds in words.items() if holds}


def _truth(session: Session, index: int) -> tuple[int, int | None, str]:
    """Unique payload bytes of one side: no fewer than, no more than, and how sure."""
    side, peer = session.sides[index], session.sides[1 - index]
    seen = side.unique()
    if session.proto != TCP and side.pkts:
        high = None if "midstream" in session.marks else seen + side.doubtful
        return seen, high, "exact" if high == seen else "bounded"
    if session.proto != TCP:
        return 0, None, "unknown"
    proven = side.acknowledged()
    headless = "headless" in session.marks
    if headless and side.pkts:
        return max(seen, proven), None, "bounded"
    if side.pkts == 0:
        silent = not peer.seen and peer.pkts <= 4 and not headless
        if silent or session.tcp.ends[index].state == State.RESET:
            return 0, 0, "exact"
        end = session.tcp.ends[1 - index]
        whole = peer.syn and end.state == State.CLOSED and not headless  # did_close waits for payload that a snapshot length cut off
        return (max(proven - 1, 0), proven, "bounded") if whole else (max(proven - 1, 0), None, "unknown")
    if not side.syn and seen > 0:
        return max(seen, proven), None, "bounded"
    span = max(side.sent(), seen, proven)
    return (seen, seen, "exact") if span == seen else (max(seen, proven), span, "bounded")


def _community_id(session: Session) -> str:
    """Version 1 with seed 0 (github.com/corelight/community-id-spec)."""
    (first, one), (second, two) = sorted((session.orig, session.resp))
    text = struct.pack(">H", 0) + first + second + struct.pack(">BBHH", session.proto, 0, one, two)
    return "1:" + base64.b64encode(hashlib.sha1(text, usedforsecurity=False).digest()).decode()


def _uid(session: Session) -> str:
    """A name like Zeek's that is the same in every run: from the tuple and the start."""
    tuple_ = sorted((session.orig, session.resp))
    digest = hashlib.sha256(repr((tuple_, session.proto, session.start)).encode()).digest()
    return "C" + base64.b64encode(digest, altchars=b"xy").decode()[:17]
