"""Days and hours of a week: `Mon-Fri 08:00-18:00`."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Weekdays (0 Monday) and a span of minutes after midnight; a span may pass midnight."""

    days: frozenset[int]
    start: int
    end: int

    def holds(self, moment: dt.datetime) -> bool:
        """Whether a local time lies within. After midnight a span belongs to the day on which it began."""
        minute = moment.hour * 60 + moment.minute
        if self.start <= self.end:
            return moment.weekday() in self.days and self.start <= minute < self.end
        if minute >= self.start:
            return moment.weekday() in self.days
        return minute < self.end and (moment.weekday() - 1) % 7 in self.days

    def covers(self, first: dt.datetime, last: dt.datetime) -> bool:
        """Whether all of the time between two local moments lies within: it ends at midnight or at `end`, and after eight days nothing is new."""
        midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
        edges = (midnight + dt.timedelta(days=day, minutes=minute) for day in range(9) for minute in (0, self.end))
        return self.holds(first) and self.holds(last) and all(self.holds(edge) for edge in edges if first < edge < last)


def schedule(text: str) -> Schedule:
    """`Mon-Fri 08:00-18:00`, `Sat,Sun`, `22:00-06:00`: days, hours or both.

    Raises:
        ValueError: with the part that is no day and no span of hours.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError("must be a text like 'Mon-Fri 08:00-18:00'")
    days, start, end = frozenset(range(7)), 0, 1440
    for part in text.split():
        if ":" in part:
            begin, _, until = part.partition("-")
            start, end = _minute(begin), _minute(until)
        else:
            days = frozenset(day for span in part.split(",") for day in _days(span))
    return Schedule(days, start, end)


def _minute(text: str) -> int:
    hour, _, minute = text.partition(":")
    if not (hour.isdigit() and minute.isdigit() and int(minute) < 60 and int(hour) * 60 + int(minute) <= 1440):
        raise ValueError(f"{text!r} is no time of day (HH:MM)")
    return int(hour) * 60 + int(minute)


def _days(span: str) -> list[int]:
    first, _, last = span.lower().partition("-")
    names = (first[:3], (last or first)[:3])
    if any(name not in DAYS for name in names):
        raise ValueError(f"{span!r} is no day or span of days (Mon-Fri)")
    start, end = (DAYS.index(name) for name in names)
    return [(start + k) % 7 for k in range((end - start) % 7 + 1)]
