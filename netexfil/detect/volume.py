"""How much left, held against the site's one scale (`outbound_volume`).

Asks: did this host send more to this address, or to this entity over several addresses, than people usually send in a day?
Why: it is what every published case has in common, whatever the tool (80 GB, 718 GB, 5 GB).
Fooled by: slow drips (see `ledger`), many destinations (see `host_day`), anything that legitimately sends much (prevalence, history and
allow entries speak against).
"""

from __future__ import annotations

import numpy as np

from netexfil import features
from netexfil.detect.question import Candidates, Code, Reason, held
from netexfil.policy import Policy

CODES = (
    Code("volume", "volume", "bytes", "{value} left on this channel; the line is {threshold}",
         "Did one channel carry more than the line in one window?", "80.5 GB to one SFTP server in one night"),
    Code("volume_entity", "volume", "bytes", "{value} left for {entity} over several addresses; the line is {threshold}",
         "Did several channels to the same entity together pass the line?", "eight S3 addresses took 4 MB each"),
    Code("volume_small", "volume", "bytes", "{value} left, below the line of {threshold}",
         "Is it a noticeable amount below the line?", "4 MB by an unknown tool"),
    Code("volume_possible", "volume", "bytes", "between {low} and {high} left: the sensor cannot say, the line is {threshold}",
         "Could it be more than the line, given what the sensor missed?", "a capture cut at 64 bytes a packet"),
    Code("host_day", "volume", "bytes",
        "this host sent {value} to seldom used destinations that day, this one took the most; the line is {threshold}",
         "Did one host spread an upload over many rare destinations?", "120 MB in 2 MB pieces to sixty addresses"),
)
BASE, STEP, MOST = 25, 7.5, 45  # at the line, for each decade above, at most


def ask(c: Candidates, policy: Policy) -> list[Reason]:
    """Points grow with the logarithm: ten times the line counts 7.5 more, so that nothing drowns the other reasons."""
    line, small = policy.threshold("outbound_volume"), policy.threshold("small_volume")
    low, high, entity = c.num("bytes_low"), c.num("bytes_high"), c.num("d1")
    leads = c.num("leads") > 0
    large = low >= line
    together = leads & (entity >= line) & ~large
    doubtful = ~large & ~together & (c.num("quality") > 0) & (np.nan_to_num(high, nan=np.inf) >= line) & (low > 0)
    some = ~large & ~together & (low >= small)
    day = host_day(c, policy)
    return [
        held("volume", large, low, line, grown(low, line)),
        held("volume_entity", together, entity, line, grown(entity, line), "all channels to the entity that day"),
        held("volume_small", some, low, line, np.floor(6 * (1 + features.decades(low, line)))),
        # the middle of the interval on the volume scale: above the line it is more likely than not
        held("volume_possible", doubtful, low, line, np.where(np.sqrt(low * np.nan_to_num(high)) >= line, BASE, 15)),
        held("host_day", (day >= policy.threshold("host_day")) & ~large, day, policy.threshold("host_day"), 22, "all channels of the host that day"),
    ]


def grown(value: np.ndarray, line: float) -> np.ndarray:
    """25 at the line, 7.5 more for each decade above it, 45 at most."""
    return np.minimum(BASE + STEP * features.decades(value, line), MOST)


def host_day(c: Candidates, policy: Policy) -> np.ndarray:
    """Uploads of a host to rarely used entities that day, at the candidate that took most of them; NaN elsewhere."""
    rare = (np.nan_to_num(c.num("users"), nan=0) <= policy.threshold("rare_hosts")) & (c.columns["direction"] == "out")
    result = np.full(c.size, np.nan)
    if not rare.any():
        return result
    amount = np.where(rare, np.nan_to_num(c.num("push_low")), 0.0)
    keys = np.array([f"{host}|{int(day)}" for host, day in zip(c.text("inside_h"), c.num("day"), strict=True)])
    names, inverse = np.unique(keys, return_inverse=True)
    sums, counts = np.bincount(inverse, amount, len(names)), np.bincount(inverse, amount > 0, len(names))
    order = np.lexsort((np.arange(c.size), -amount))
    first = np.full(len(names), -1)
    for position in order[::-1]:
        first[inverse[position]] = position
    several = (counts >= 3) & (first >= 0)
    result[first[several]] = sums[several]
    return result
