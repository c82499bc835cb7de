"""What adds up over days although no single day was large.

Asks: how much went to this entity within 7 and 30 days, and does it come in regular pieces or day after day?
Why: a drip below every daily threshold is the published way around volume rules (T1030, Darktrace "Low and Slow").
Fooled by: telemetry and sync clients that a whole fleet runs (prevalence speaks against), a site's own backup (allow entry).
"""

from __future__ import annotations

import numpy as np

from netexfil import features
from netexfil.detect.question import Candidates, Code, Reason, held
from netexfil.detect.timing import regular
from netexfil.policy import Policy

CODES = (
    Code("ledger_7d", "volume", "bytes", "{value} left for {entity} within 7 days, no day of them above the line; the weekly line is {threshold}",
         "Do small daily uploads pass the line within a week?", "2 MB a day for 6 days"),
    Code("ledger_30d", "volume", "bytes", "{value} left for {entity} within 30 days, no day of them above the line; the monthly line is {threshold}",
         "Do small daily uploads pass twice the line within a month?", "700 kB a day for a month"),
    Code("ledger_steady", "volume", "bytes",
         "{value} left for {entity} within 7 days in regular pieces or day after day; the line for such drips is {threshold}",
         "Do regular pieces, or uploads on most days, pass half the line within a week?", "1 MB a day in 40 chunks for 8 days"),
)


def ask(c: Candidates, policy: Policy) -> list[Reason]:
    line = policy.threshold("outbound_volume")
    week, month, steady = (policy.threshold(name) for name in ("ledger_7d", "ledger_30d", "ledger_steady"))
    d7, d30 = c.num("d7"), c.num("d30")
    calm = (c.num("leads") > 0) & (c.num("d1") < line)
    out = (features.pcr(d7, features.net(c.num("in7"), c.num("n7"), policy.threshold("handshake_in"))) >= 0.5) & calm
    slow7 = out & (d7 >= week) & (c.num("max7") < line)
    slow30 = out & (d30 >= month) & (c.num("max30") < line)
    drip = out & (d7 >= steady) & ((regular(c, policy) & (c.num("days7") >= 2)) | ((c.num("days7") >= 4) & (c.num("n7") >= 12)))
    return [
        held("ledger_7d", slow7, d7, week, np.minimum(20 + 7.5 * features.decades(d7, week), 35), "7 days to the entity"),
        held("ledger_30d", slow30, d30, month, np.minimum(20 + 7.5 * features.decades(d30, month), 35), "30 days to the entity"),
        held("ledger_steady", drip & (c.num("max7") < line), d7, steady, 20, "7 days to the entity"),
    ]
