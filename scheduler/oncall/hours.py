"""Local time, business hours and response deadlines. Instants and durations are microseconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from scheduler.availability.history import Span
from scheduler.model.instants import SECOND, Duration, Instant, as_time

MINUTE: Duration = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Weekly:
    """Hours of the week by the wall clock: `start <= t < end`; an end not after the start lies on the next day."""

    days: frozenset[int]
    """Monday is 0; the day on which the hours begin."""
    start_seconds: int
    """Of the day, 0 to 86400."""
    end_seconds: int

    def covers(self, local: datetime) -> bool:
        """Whether a wall-clock time lies in these hours."""
        of_day = timedelta(hours=local.hour, minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        start, end = timedelta(seconds=self.start_seconds), timedelta(seconds=self.end_seconds)
        today = local.weekday() in self.days
        if self.start_seconds < self.end_seconds:
            return today and start <= of_day < end
        return (today and of_day >= start) or ((local.weekday() - 1) % 7 in self.days and of_day < end)


OFFICE = Weekly(frozenset(range(5)), 8 * 3600, 17 * 3600)
"""Monday to Friday, 08:00 <= t < 17:00."""


class ResponseClass(StrEnum):
    """How soon a person must answer; fixed when the incident opens."""

    BUSINESS = "business hours"
    OTHER = "other hours"


@dataclass(frozen=True, slots=True)
class ResponseTimes:
    """Within which time an incident is acknowledged."""

    zone: str = "UTC"
    hours: Weekly = OFFICE
    holidays: frozenset[date] = frozenset()
    """Local dates that hold no business hours."""
    closures: tuple[Span, ...] = ()
    """Timed holidays (the afternoon of Christmas Eve): no business hours either."""
    business: Duration = 15 * MINUTE
    other: Duration = 60 * MINUTE

    def response_class(self, opened: Instant) -> ResponseClass:
        """Return the class of an incident that opens at an instant."""
        local = as_time(opened, self.zone)
        closed = any(one.start <= opened and (one.end is None or opened < one.end) for one in self.closures)
        office = self.hours.covers(local) and local.date() not in self.holidays and not closed
        return ResponseClass.BUSINESS if office else ResponseClass.OTHER

    def limit(self, of: ResponseClass) -> Duration:
        """Return the elapsed time from opening to deadline."""
        return self.business if of is ResponseClass.BUSINESS else self.other
