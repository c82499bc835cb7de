"""How a TCP conversation went, in Zeek's word (conn_state)."""

from __future__ import annotations

import re

from netexfil.read.portable.end import End, State

ABORTED = re.compile(r"^\^?S[^HAFGIQ]*R")


def conn_state(orig: End, resp: End, history: str) -> str:
    """`S0`, `SF`, `REJ`, … by the states of both ends; `history` tells a start that was given up by a RST of its own side."""
    started = orig.state not in (State.INACTIVE, State.PARTIAL)
    answered = resp.state not in (State.INACTIVE, State.PARTIAL)
    if resp.state == State.RESET:
        empty = orig.state == State.RESET and orig.size(resp) == 0 and resp.size(orig) == 0
        if empty or orig.state in (State.SYN_SENT, State.SYN_ACK_SENT):
            return "REJ"
        return "RSTR" if started else "RSTRH"
    if orig.state == State.RESET:
        return "RSTO" if answered else "RSTOS0" if ABORTED.match(history) else "OTH"
    if orig.state == State.CLOSED:
        return "SF" if resp.state == State.CLOSED else "S2" if answered else "SH"
    if resp.state == State.CLOSED:
        return "S3" if started else "SHR"
    return {(State.SYN_SENT, State.INACTIVE): "S0", (State.ESTABLISHED, State.ESTABLISHED): "S1"}.get((orig.state, resp.state), "OTH")
