"""Clock offsets (event clock minus capture clock) from differences between events and the sessions of the same five-tuple.

NumPy over arrays of differences, all clocks at once; no I/O. The offset of a clock is where its differences agree best: the densest
bin, the narrowest width first. Chance agreement (a port used again in another recording) is spread evenly, so a bin must hold
more than chance would put there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

WIDTHS = (0.05, 0.25, 1.0, 5.0, 30.0, 120.0)  # seconds; measured: connection clocks agree within 0.05 s, record clocks within 60 s
AGREEING = 3  # tuples that decide an offset by themselves
NEAR = 600.0  # seconds round the offset in which drift and jitter are looked for
HOURLY = 2.0  # seconds: what a clock drifts in an hour (500 ppm), and a little
JITTER = 150.0  # seconds round the (drifting) offset that count for its tolerance
SMALL = 7230.0  # with one or two matches: an offset within 2 h …
HOUR, HOUR_SLACK, ZONES = 3600.0, 120.0, 86400.0  # … or a whole hour (late records: 2 min) within a day
HALF_DAY = 43200.0
SOON = 2.0  # seconds after its event in which a session joined in the middle still says that the clock stands on the hour
SPREAD = 10.0  # widths of a bin over which events of sessions joined in the middle must spread, for their agreement to be more than one moment's
REACH = 366 * 86400.0  # no clock is believed to be wrong by more
CHANCE = (1e-6, 0.05)  # accepted probability that a bin fills by chance: any offset; a plausible one

MICRO, SPAN, BATCH = 1_000_000, 1 << 46, 1 << 16  # time as whole microseconds, each clock in its own span: one sort serves up to BATCH clocks


@dataclass(frozen=True, slots=True)
class Offsets:
    """One row per clock that has an offset. `how`: `agreeing` (>= 3), `few` (1 or 2 plausible matches), `least` (the
    matches are sessions joined in the middle: the offset is this or more). `extra` is a second offset
    relative to the first (a 12-hour clock), NaN where there is none. `lo`/`hi`: seconds an event may come before / after its session's
    start, by protocol (tcp, udp)."""

    clock: Ints
    offset: Floats
    support: Ints
    width: Floats
    how: NDArray[np.str_]
    extra: Floats
    lo: tuple[Floats, Floats]
    hi: tuple[Floats, Floats]


@dataclass(frozen=True, slots=True)
class Segments:
    """Drift: from event time `start` on (per clock), offset = base + slope * (time - origin)."""

    clock: Ints
    start: Floats
    origin: Floats
    base: Floats
    slope: Floats


def plausible(offset: Floats) -> Bools:
    """An offset that clocks really have: within 2 h, or near a whole hour within a day (zones, 12-hour clocks)."""
    hours = np.abs(offset - HOUR * np.round(offset / HOUR))
    return (np.abs(offset) <= SMALL) | ((hours <= HOUR_SLACK) & (np.abs(offset) <= ZONES + HOUR_SLACK))


def densest(clock: Ints, delta: Floats, width: float) -> tuple[Ints, Ints, Floats, Ints]:
    """For each clock: its number, how many differences lie in its densest bin of `width` seconds, their median, and how many it has.

    Ties go to the bin nearest to zero.
    """
    order = np.lexsort((delta, clock))
    names, number = np.unique(clock[order], return_inverse=True)
    if len(names) > BATCH:
        half = names[len(names) // 2]
        parts = [densest(clock[side], delta[side], width) for side in (clock < half, clock >= half)]
        names, counts, middle, sizes = (np.concatenate(column) for column in zip(*parts, strict=True))
        return names, counts, middle, sizes
    clock, delta = number.astype(np.int64), delta[order]
    keys = clock * SPAN + np.round((delta + REACH) * MICRO).astype(np.int64)
    ends = np.searchsorted(keys, keys + int(width * MICRO), side="right")
    counts = ends - np.arange(len(keys))
    _, starts, sizes = np.unique(clock, return_index=True, return_counts=True)
    middle = delta[(np.arange(len(keys)) + ends - 1) // 2]
    best = np.lexsort((np.abs(middle), -counts, clock))[starts]
    return names, counts[best], middle[best], sizes


def by_chance(found: Ints, total: Ints, width: float, reach: Floats) -> Floats:
    """Log of a bound on the probability that some bin of `width` holds `found` of `total` differences spread evenly over `reach` seconds."""
    rate = np.maximum((total - found) * width / np.maximum(reach, width), 1e-12)
    factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, int(found.max(initial=1)) + 1)))))
    return np.asarray(np.log(np.maximum(total, 1)) + (found - 1) * np.log(rate) - factorial[found - 1])


def agree(clock: Ints, delta: Floats, loose: bool = True) -> tuple[Ints, Floats, Ints, Floats]:
    """Clocks whose differences agree (>= 3 in a bin, more than chance): number, offset, support, width of the bin.

    A plausible offset needs less proof, unless not `loose` (pairs that share no more than a remote end agree by chance far oftener).
    """
    found: dict[int, tuple[float, int, float]] = {}
    left = np.ones(len(clock), bool)
    for width in WIDTHS:
        if not left.any():
            break
        names, counts, middles, sizes = densest(clock[left], delta[left], width)
        reach = _reach(clock[left], delta[left])
        limit = np.where(plausible(middles) & loose, np.log(CHANCE[1]), np.log(CHANCE[0]))
        good = (counts >= AGREEING) & (by_chance(counts, sizes, width, reach) < limit)
        found |= {int(n): (float(m), int(c), width) for n, m, c in zip(names[good], middles[good], counts[good], strict=True)}
        left &= ~np.isin(clock, names[good])
    names = np.array(sorted(found), np.int64)
    rows = [found[int(n)] for n in names]
    return names, np.array([r[0] for r in rows], float), np.array([r[1] for r in rows], np.int64), np.array([r[2] for r in rows], float)


def few(clock: Ints, delta: Floats, preferred: Bools, clean: Bools) -> tuple[Ints, Floats, Ints, NDArray[np.str_]]:
    """Clocks with one or two matches of unique tuples: the plausible difference nearest to zero, and `how`. Of sessions whose start was seen
    first, and of those `preferred` ones (TCP)."""
    # Where a session was joined in the middle, the event came before its first packet: the offset is at least the difference.
    whole = HOUR * np.ceil(delta / HOUR)
    taken = ~clean & (whole - delta <= SOON)
    delta, least = np.where(taken, whole, delta), ~clean & ~taken
    good = plausible(delta)
    clock, delta, preferred, least, clean = clock[good], delta[good], preferred[good], least[good], clean[good]
    order = np.lexsort((np.abs(delta), ~preferred, ~clean, clock))
    names, first = np.unique(clock[order], return_index=True)
    offset = delta[order][first]
    position = np.searchsorted(names, clock)
    near = np.abs(delta - offset[position]) <= WIDTHS[3] if len(names) else np.zeros(0, bool)
    how = np.where(least[order][first], "least", "few")
    return names, offset, np.bincount(position[near], minlength=len(names)).astype(np.int64), how


def lookup(names: Ints, values: Floats, clock: Ints) -> Floats:
    """`values` of each clock, NaN where the clock is not among the sorted `names`."""
    if not len(names):
        return np.full(len(clock), np.nan)
    place = np.minimum(np.searchsorted(names, clock), len(names) - 1)
    return np.where(names[place] == clock, values[place], np.nan)


def half_day(clock: Ints, delta: Floats, names: Ints, offset: Floats) -> Floats:
    """The second offset of clocks that also agree exactly twelve hours away (>= 3, and more than chance): +43200, -43200, or NaN."""
    rest = delta - lookup(names, offset, clock)
    best, size = np.full(len(names), np.nan), np.zeros(len(names), np.int64)
    if not len(names):
        return best
    known = np.isin(clock, names)
    order = np.argsort(clock[known], kind="stable")
    reach = _reach(clock[known][order], delta[known][order])  # of each of `names` that has pairs: all have
    others = known & (np.abs(rest) > JITTER)
    total = np.bincount(np.searchsorted(names, clock[others]), minlength=len(names))
    for sign in (1.0, -1.0):
        hits = np.abs(rest - sign * HALF_DAY) <= JITTER
        counts = np.bincount(np.searchsorted(names, clock[hits]), minlength=len(names))
        chance = by_chance(np.maximum(counts, 1), total, 2 * JITTER, reach)
        better = (counts >= AGREEING) & (counts > size) & (chance < np.log(CHANCE[0]))
        best[better], size[better] = sign * HALF_DAY, counts[better]
    return best


def quantile(group: Ints, value: Floats, share: float, groups: int) -> Floats:
    """The `share` quantile (an existing value, the outer one) of each group; NaN for empty groups. Groups are numbers below `groups`."""
    out = np.full(groups, np.nan)
    if not len(group):
        return out
    order = np.lexsort((value, group))
    names, starts, sizes = np.unique(group[order], return_index=True, return_counts=True)
    step = np.floor(share * (sizes - 1)) if share < 0.5 else np.ceil(share * (sizes - 1))
    out[names] = value[order][starts + step.astype(np.int64)]
    return out


def drift(clock: Ints, time: Floats, rest: Floats, loose: bool = True) -> Segments:
    """Clocks that run fast or slow: medians of each hour (>= 3 matches), joined by lines, kept where they halve the scatter.

    Where most pairs are chance (not `loose`): the densest seconds of each hour, kept where half as many pairs again come to agree.
    """
    hour = np.floor(time / HOUR).astype(np.int64)
    bucket = np.unique(np.stack((clock, hour), 1), axis=0, return_inverse=True) if len(clock) else (np.zeros((0, 2), np.int64), np.zeros(0, np.int64))
    names, index = bucket[0], np.asarray(bucket[1]).reshape(-1)
    sizes = np.bincount(index, minlength=len(names))
    enough, middle = sizes >= AGREEING, quantile(index, rest, 0.5, len(names))
    if not loose and len(index):
        _, counts, middle, sizes = densest(index, rest, HOURLY)
        enough = (counts >= AGREEING) & (by_chance(counts, sizes, HOURLY, np.full(len(counts), 2 * NEAR)) < np.log(CHANCE[1]))
    at, middle = quantile(index, time, 0.5, len(names))[enough], middle[enough]
    owner = names[enough, 0]
    whole, counts = np.unique(owner, return_counts=True)
    keep = np.isin(owner, whole[counts > 1])
    owner, at, middle = owner[keep], at[keep], middle[keep]
    segments = _lines(owner, at, middle)
    inside = np.isin(clock, owner)
    flat, bent = np.abs(rest[inside]), np.abs(rest[inside] - evaluate(segments, clock[inside], time[inside]))
    size = int(clock.max(initial=0)) + 1
    before, after = quantile(clock[inside], flat, 0.5, size), quantile(clock[inside], bent, 0.5, size)
    worth = np.flatnonzero((before > 0.02) & (after < 0.5 * before))
    if not loose:
        agreed = [np.bincount(clock[inside][part <= HOURLY / 2], minlength=size) for part in (flat, bent)]
        worth = np.flatnonzero(agreed[1] > 1.5 * agreed[0])
    chosen = np.isin(segments.clock, worth)
    return Segments(segments.clock[chosen], segments.start[chosen], segments.origin[chosen], segments.base[chosen], segments.slope[chosen])


def _lines(owner: Ints, at: Floats, middle: Floats) -> Segments:
    """Lines through the knots of each clock; the first reaches back and the last forward without end."""
    if len(owner) < 2:
        none = np.zeros(0)
        return Segments(np.zeros(0, np.int64), none, none, none, none)
    order = np.lexsort((at, owner))
    owner, at, middle = owner[order], at[order], middle[order]
    same = owner[1:] == owner[:-1]
    slope = (middle[1:] - middle[:-1]) / np.maximum(at[1:] - at[:-1], 1.0)
    first = np.concatenate(([True], owner[1:] != owner[:-1]))[:-1]
    start = np.where(first, -np.inf, at[:-1])
    return Segments(owner[:-1][same], start[same], at[:-1][same], middle[:-1][same], slope[same])


def evaluate(segments: Segments, clock: Ints, time: Floats) -> Floats:
    """The drift of each (clock, event time), 0 for clocks without."""
    names = np.unique(segments.clock)
    rows = np.flatnonzero(np.isin(clock, names))
    out = np.zeros(len(clock))
    if not len(rows):
        return out
    # Segments and rows in one order of (clock, time): the segment of a row is the last one before it.
    owner = np.concatenate((segments.clock, clock[rows]))
    order = np.lexsort((np.arange(len(owner)) >= len(segments.clock), np.concatenate((segments.start, time[rows])), owner))
    place = np.empty(len(owner), np.int64)
    place[order] = np.maximum.accumulate(np.where(order < len(segments.clock), order, 0))
    mine = place[len(segments.clock) :]
    out[rows] = segments.base[mine] + segments.slope[mine] * (time[rows] - segments.origin[mine])
    return out


def _reach(clock: Ints, delta: Floats) -> Floats:
    """Seconds between the smallest and largest difference of each clock (sorted clocks)."""
    names, index = np.unique(clock, return_inverse=True)
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    np.minimum.at(low, index, delta)
    np.maximum.at(high, index, delta)
    return np.asarray(high - low)


def estimate(
    clock: Ints, time: Floats, delta: Floats, tcp: Bools, clean: Bools, unique: Bools, loose: bool = True
) -> tuple[Offsets, Segments]:
    """Offsets and drift of all clocks.

    Args:
        clock: number of the clock, one row per candidate pair (event, session of the same tuple).
        time: the event's own time; delta: event time - session start, both in seconds.
        tcp: TCP rows decide first (a UDP session may start with its reply); clean: the session's start was seen;
        unique: the tuple belongs to one session only;
        loose: False where pairs are no more than a remote end in common.
    """
    rest, parts = np.ones(len(clock), bool), []
    for ground in (tcp & clean, tcp, np.ones(len(clock), bool)):
        parts.append(agree(clock[rest & ground], delta[rest & ground], loose))
        rest &= ~np.isin(clock, parts[-1][0])
    single = few(clock[rest & unique], delta[rest & unique], (tcp & clean)[rest & unique], clean[rest & unique])
    sure = [np.concatenate(column) for column in zip(*parts, strict=True)]
    how = np.concatenate((np.where(_bounded(clock, time, delta, clean, sure[0], sure[1], sure[3]), "least", "agreeing"), single[3]))
    names, offset = np.concatenate((sure[0], single[0])), np.concatenate((sure[1], single[1]))
    support, width = np.concatenate((sure[2], single[2])), np.concatenate((sure[3], np.full(len(single[0]), WIDTHS[3])))
    order = np.argsort(names)
    names, offset, support, width, how = names[order], offset[order], support[order], width[order], how[order]
    extra = half_day(clock, delta, names, offset)
    residual = delta - lookup(names, offset, clock)
    near = np.abs(residual) <= NEAR
    ground = near & tcp & clean
    few_tcp = ~np.isin(clock, np.unique(clock[ground]))
    ground |= near & few_tcp
    segments = drift(clock[ground], time[ground], residual[ground], loose)
    residual = residual - evaluate(segments, clock, time)
    lo, hi = _tolerance(clock, residual, tcp, names, support)
    return Offsets(names, offset, support, width, how, extra, lo, hi), segments


def _bounded(clock: Ints, time: Floats, delta: Floats, clean: Bools, names: Ints, offset: Floats, width: Floats) -> Bools:
    """Which of the clocks `names` are agreed on only by sessions joined in the middle that were opened at one moment (a page's connections, older
    than the capture): what they agree on is when the capture began, which only bounds the clock."""
    order = np.argsort(names)
    where = order[np.minimum(np.searchsorted(names[order], clock), len(names) - 1)] if len(names) else np.zeros(len(clock), np.int64)
    mine = np.isin(clock, names)
    mine[mine] = np.abs(delta[mine] - offset[where[mine]]) <= width[where[mine]]
    seen = np.bincount(where[mine & clean], minlength=len(names)) > 0
    first, last = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    np.minimum.at(first, where[mine], time[mine])
    np.maximum.at(last, where[mine], time[mine])
    return np.asarray(~seen & (last - first < SPREAD * np.maximum(width, 1.0)))


BASE = {True: (1.0, 1.0), False: (15.0, 20.0)}  # tcp, udp: seconds before and after; measured -0.8…+0.3 and -10.4…+16.4
LOOSE = 5.0  # seconds, while fewer than five matches say how much a clock jitters


def _tolerance(clock: Ints, residual: Floats, tcp: Bools, names: Ints, support: Ints) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Half as much again as the outermost matches show (2 % and 98 %), not below `BASE`."""
    low, high = [], []
    index = np.searchsorted(names, clock)
    known = np.isin(clock, names) & (np.abs(residual) <= JITTER)
    floor = np.where(support < 5, LOOSE, 0.0)
    for kind in (True, False):
        mine = known & (tcp == kind)
        down = np.nan_to_num(-quantile(index[mine], residual[mine], 0.02, len(names)))
        up = np.nan_to_num(quantile(index[mine], residual[mine], 0.98, len(names)))
        low.append(np.maximum(np.maximum(1.5 * down + 0.1, BASE[kind][0]), floor))
        high.append(np.maximum(np.maximum(1.5 * up + 0.1, BASE[kind][1]), floor))
    return (low[0], low[1]), (high[0], high[1])
