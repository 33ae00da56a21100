"""When a report is published: at one wall-clock time of a zone, every day, one day a week, or on the first of the month.

Rules:
1. A day has one publication, whatever its clocks do: a time that a change skips is moved on by the gap, of two it is the first.
2. What lies at or before the last publication is over: a clock that is set back publishes nothing twice.
3. After a long absence the latest one alone is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from scheduler.model.instants import Instant, as_time, instant_of


class Every(StrEnum):
    """On which days a report is published."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"
    DAY = "day"
    MONTH = "month"
    """On its first day."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """On which days, and at which second of the day by the wall clock."""

    every: Every
    at_seconds: int


@dataclass(frozen=True, slots=True)
class Due:
    """A publication that has not been made."""

    at: Instant
    skipped: int
    """Earlier ones that were not made either, and will not be."""


def due(schedule: Schedule, last: Instant, now: Instant, zone: str) -> Due | None:
    """Return the latest publication after `last` and not after `now`; None: there is none."""
    passed = [at for at in _around(schedule, last, now, zone) if last < at <= now]
    return Due(passed[-1], len(passed) - 1) if passed else None


def _around(schedule: Schedule, first: Instant, last: Instant, zone: str) -> Iterator[Instant]:
    """Yield the publications of all days from that of one instant to that of another, in order."""
    day, end = as_time(first, zone).date() - timedelta(days=1), as_time(last, zone).date()
    while day <= end:
        if _publishes(schedule.every, day):
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - the zone is applied by instant_of
            yield instant_of(midnight + timedelta(seconds=schedule.at_seconds), zone)
        day += timedelta(days=1)


def _publishes(every: Every, day: date) -> bool:
    if every is Every.MONTH:
        return day.day == 1
    return every is Every.DAY or day.weekday() == list(Every).index(every)
