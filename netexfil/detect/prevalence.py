"""Is this what many hosts do, or what this host does every day?

Asks: how many inside hosts send to the same entity, and did this host send a like amount there on earlier days?
Why: company mail, cloud storage, meetings and partners are used by many or daily; stolen data leaves once, from one host.
Fooled by: theft through the company's own cloud storage (the endpoint or a rate far above the others must tell), a thief who first builds a habit.
"""

from __future__ import annotations

import numpy as np

from netexfil.detect.question import Candidates, Code, Reason, held
from netexfil.detect.timing import regular
from netexfil.policy import Policy

CODES = (
    Code("common", "prevalence", "hosts", "{value} of {hosts} active inside hosts send to {entity}; from {threshold} on it is common",
         "Do many hosts send to the entity?", "the company's cloud storage"),
    Code("shared", "prevalence", "hosts", "{value} of {hosts} active inside hosts use {entity}", "Do some other hosts use the entity?",
        "a team's supplier"),
    Code("established", "history", "days", "this host sent amounts of this order to {entity} on {value} earlier days", "Is it this host's habit?",
         "the nightly delivery to a partner"),
)


def ask(c: Candidates, policy: Policy) -> list[Reason]:
    """A tenth of the fleet sending there outweighs any volume; a handful outweighs some; a habit outweighs a moderate upload."""
    out = c.columns["direction"] == "out"
    senders, users, fleet = (np.nan_to_num(c.num(name)) for name in ("senders", "users", "hosts"))
    many, share = policy.threshold("common_hosts"), policy.threshold("common_share")
    enough = out & (fleet >= policy.threshold("fleet"))
    business = enough & (senders >= many) & (senders >= share * fleet)
    common = enough & (senders >= many)
    shared = enough & ~common & ((senders >= 3) | (users >= many))
    # of one order: earlier days with a tenth or more of today, and today not above five times the largest of them
    habit = out & (c.num("like_days") >= policy.threshold("established_days")) & (c.num("d1") <= 5 * np.nan_to_num(c.num("max_before")))
    script = regular(c, policy) & (users <= policy.threshold("rare_hosts"))
    drip = (c.num("d1") < policy.threshold("outbound_volume")) & (c.num("d7") >= policy.threshold("ledger_steady"))
    return [
        held("common", common, senders.astype(int), int(many), np.where(business, -35, -22), "all channels of the network"),
        held("shared", shared, np.maximum(senders, users).astype(int), 3, -10, "all channels of the network"),
        # a drip, and a script that cuts its uploads to one size for a destination of its own, are habits that speak for theft
        held("established", habit & ~drip & ~script, c.num("like_days"), int(policy.threshold("established_days")), -25, "the host's days before"),
    ]
