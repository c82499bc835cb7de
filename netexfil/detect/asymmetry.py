"""Which way the data went: out, in, or both ways.

Asks: of all bytes beyond the handshakes, how many went out (producer-consumer ratio of sums)?
Why: an upload sends twenty to five hundred bytes for each it receives; browsing, calls, downloads and shells do not.
Fooled by: a channel that also downloads (so the pushing sessions are judged by themselves when they alone pass the line), sensors that see one
side only (then the other side is unknown, never zero; where some sessions' answers were seen, those alone are weighed).
"""

from __future__ import annotations

import numpy as np

from netexfil import features
from netexfil.detect.question import Candidates, Code, Reason, held
from netexfil.policy import Policy

CODES = (
    Code("asymmetry", "asymmetry", "PCR", "{value} of -1…1 beyond handshakes: nearly all bytes went out (line {threshold})",
         "Did nearly all bytes go out?", "4 MB out, 9 kB in: 0.996"),
    Code("asymmetry_partly", "asymmetry", "PCR", "{value} of -1…1 beyond handshakes: most bytes went out (line {threshold})",
         "Did most bytes go out?", "three out for each in: 0.5"),
    Code("asymmetry_onesided", "asymmetry", "bytes", "{value} went out; the sensor saw nothing of what came back",
         "Did much go out while the answers were not seen?", "a tap on one fibre"),
    Code("two_way", "asymmetry", "PCR", "{value} of -1…1: bytes went both ways (an upload has {threshold} or more)",
         "Did it go both ways?", "a video call: -0.02"),
    Code("download", "asymmetry", "PCR", "{value} of -1…1: mostly a download", "Was it a download?", "8 MB in, 60 kB out: -0.98"),
)


def net_pcr(c: Candidates, policy: Policy) -> np.ndarray:
    """PCR of the bytes beyond handshakes; of the pushing sessions alone where they pass the line by themselves."""
    out, back = policy.threshold("handshake_out"), policy.threshold("handshake_in")
    (low, answered), push = _answered(c), c.num("push_low")
    alone = push >= policy.threshold("outbound_volume")
    sent = np.where(alone, push, low)
    received = np.where(alone, c.num("push_in"), c.num("bytes_in"))
    sessions = np.where(alone, c.num("push_sessions"), answered)
    return features.pcr(features.net(sent, sessions, out), features.net(received, sessions, back))


def _answered(c: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """Bytes and number of the sessions whose answers were seen: only these can be set against what came in."""
    low, unknown = c.num("bytes_low"), c.num("in_unknown")
    return np.where((unknown > 0) & ~np.isnan(c.num("answered_low")), c.num("answered_low"), low), c.num("sessions") - unknown


def ask(c: Candidates, policy: Policy) -> list[Reason]:
    line, least = policy.threshold("asymmetry"), policy.threshold("asymmetry_small")
    low, value = c.num("bytes_low"), net_pcr(c, policy)
    mostly = (c.num("in_unknown") > 0) & (_answered(c)[0] < np.minimum(least, low))
    unseen = (c.num("in_unknown") >= c.num("sessions")) | np.isnan(c.num("bytes_in")) | mostly
    enough = (low >= least) & ~unseen & ~np.isnan(value)
    most = enough & (value >= 0.5) & (value < line)
    # many times the line with an eighth coming back is content in both directions: sync, calls, mirrors
    much = low >= 3 * policy.threshold("outbound_volume")
    known = ~unseen & ~np.isnan(value)
    # Over TCP and QUIC somebody acknowledged what left; of any other stream of datagrams the half that is seen may be half a call.
    stream = (c.columns["proto"] == "udp") & (c.columns["protocol"] == "Unknown")
    return [
        held("asymmetry", enough & (value >= line), value.round(3), line, 15),
        held("asymmetry_partly", most, value.round(3), line, np.where(much, 3, 8 + 7 * (np.nan_to_num(value) - 0.5) / 0.3)),
        held("asymmetry_onesided", unseen & (low >= least), low, None, np.where(stream, 5, 15)),
        held("two_way", known & (value >= -0.2) & (value < 0.5), value.round(3), line, -15),
        held("download", known & (value < -0.2), value.round(3), None, -25),
    ]
