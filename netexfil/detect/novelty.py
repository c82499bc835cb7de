"""Is this new: for the network, for the host, for the protocol?

Asks: was this entity seen before in this network, was it used by this host, did this host ever speak this protocol outward? How many hosts use it?
Why: stolen data goes to places the company does not otherwise use, and servers that never spoke SSH outward suddenly do.
Fooled by: the first days of records, when everything is new (nothing is said then), a new supplier, a laptop new to the network.
"""

from __future__ import annotations

import numpy as np

from netexfil.detect.question import Candidates, Code, Reason, held
from netexfil.detect.timing import regular
from netexfil.policy import Policy

CODES = (
    Code("new_to_network", "novelty", "days", "nobody here used {entity} before; records reach back {value} days",
        "Is the entity new to the network?",
         "a server first seen the night it took 80 GB"),
    Code("new_to_host", "novelty", "days", "this host did not use {entity} before; records reach back {value} days", "Is the entity new to the host?",
         "a colleague's destination, used from a server for the first time"),
    Code("new_protocol", "novelty", "days", "this host did not send {protocol} outward before; records reach back {value} days",
         "Is the protocol new to the host?", "a file server that never spoke SSH to outside"),
    Code("seldom", "novelty", "hosts", "used by {value} of {hosts} active inside hosts (seldom: at most {threshold})",
        "Do hardly any hosts use the entity?",
         "1 of 300 hosts"),
)


def ask(c: Candidates, policy: Policy) -> list[Reason]:
    """Nothing is new on the first day of records."""
    out = (c.columns["direction"] == "out") & (c.num("bytes_low") >= policy.threshold("asymmetry_small"))
    day = c.num("day")
    history = np.nan_to_num(day - c.num("history_start"))
    old = history >= 1
    network = old & out & (c.num("born") == day)
    host = old & out & (c.num("first_day") == day)
    spoken = old & out & (c.num("protocol_since") == day) & ~np.isin(c.columns["protocol"], ("HTTPS", "QUIC"))
    users, fleet = np.nan_to_num(c.num("users")), np.nan_to_num(c.num("hosts"))
    habit = ~regular(c, policy) & (c.num("like_days") >= policy.threshold("established_days"))
    seldom = out & ~habit & (fleet >= policy.threshold("fleet")) & (users <= policy.threshold("rare_hosts"))
    days = history.astype(int)
    return [
        held("new_to_network", network, days, None, 10, "all channels of the network"),
        held("new_to_host", host & ~network, days, None, 4, "all channels of the host"),
        held("new_protocol", spoken, days, None, np.where(history >= 3, 10, 8), "all channels of the host"),
        held("seldom", seldom, users.astype(int), int(policy.threshold("rare_hosts")), 8, "all channels of the network"),
    ]
