"""When and in what pieces: regular chunks, the same amount day after day, hours outside work.

Asks: are the uploads cut to one size (T1030), repeated in equal daily amounts, or sent when nobody works?
Why: people produce uneven traffic; scripts that split an archive do not.
Fooled by: agents that report every few minutes (volume is then small), log shipping, time zones (hours count only where the policy
names a zone, and are those of the day's largest upload).
"""

from __future__ import annotations

import datetime as dt
import zoneinfo

import numpy as np

from netexfil.detect.question import Candidates, Code, Mask, Reason, held
from netexfil.policy import Policy
from netexfil.schedule import schedule

CODES = (
    Code("regular_chunks", "timing", "MAD/median", "{chunks} uploads of nearly one size (spread {value}, regular below {threshold})",
         "Are there many uploads of one size?", "60 uploads of 333 kB, twelve minutes apart"),
    Code("steady_days", "timing", "ratio", "much the same amount on each of {days} days (spread {value}, steady below {threshold})",
         "Does the same amount leave day after day?", "1 MB on each of 8 days"),
    Code("hours", "hours", "local hour", "sent at {value} local time, outside working hours ({threshold})",
         "Was it sent when nobody works?", "03:06 on a Sunday"),
)


def regular(c: Candidates, policy: Policy) -> Mask:
    """Channels of many sessions whose sizes lie close together (median absolute deviation over the median)."""
    return (c.num("chunks") >= policy.threshold("chunk_count")) & (c.num("chunk_spread") <= policy.threshold("chunk_spread"))


def ask(c: Candidates, policy: Policy) -> list[Reason]:
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = c.num("dev7") / c.num("mean7")
    small = c.num("d1") < policy.threshold("outbound_volume")  # above the line a steady amount is a habit (prevalence.established)
    days = (c.num("days7") >= 5) & (deviation <= 0.25) & (c.num("leads") > 0) & small
    known = ~np.isnan(c.num("chunk_spread"))
    reasons = [
        held("regular_chunks", regular(c, policy) & known, c.num("chunk_spread").round(3), policy.threshold("chunk_spread"), 10),
        held("steady_days", days, np.nan_to_num(deviation).round(3), 0.25, 8, "7 days to the entity"),
    ]
    return [*reasons, _hours(c, policy)]


def _hours(c: Candidates, policy: Policy) -> Reason:
    """By the start of the session that sent most: a channel is a day long, and what else it carried may have begun at any hour."""
    off = np.zeros(c.size, bool)
    shown = np.array([""] * c.size, object)
    if policy.zone is not None:
        zone, hours = zoneinfo.ZoneInfo(policy.zone), schedule(policy.working_hours)
        begun = np.where(np.isnan(c.num("main_ts")), c.num("first_ts"), c.num("main_ts"))
        for index, moment in enumerate(begun):
            local = dt.datetime.fromtimestamp(moment, zone)
            off[index], shown[index] = not hours.holds(local), local.strftime("%a %H:%M")
    return held("hours", off & (c.num("bytes_low") >= policy.threshold("asymmetry_small")), shown, policy.working_hours, 4)
