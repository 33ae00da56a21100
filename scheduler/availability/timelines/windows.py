"""Windows by name, cut in a time zone; none reaches beyond now."""

from __future__ import annotations

import importlib.resources
import re
import zoneinfo
from datetime import date, datetime, time, timedelta
from pathlib import Path

from environments.checking import named_error
from environments.names import nearest
from scheduler.availability.history import Window
from scheduler.model.instants import CALENDAR_BEGINS, CALENDAR_ENDS, Instant, as_micro, as_time

PERIODS = {"day": "today", "week": "this-week", "month": "month", "quarter": "quarter", "year": "year"}
"""Periods of the calendar, and the name of the window that is one of them to date."""
NAMES = (*PERIODS.values(), "yesterday", *(f"past-{period}" for period in PERIODS), "7d", "30d", "90d", "365d")
_TRAILING = re.compile(r"([1-9]\d{0,4})d")
_TO_DATE = {**{name: period for period, name in PERIODS.items()}, "this-day": "day", "week": "week"} | {
    f"this-{period}": period for period in PERIODS
}


def named(name: str, now: Instant, zone: str) -> Window:
    """Return a window by its name.

    A trailing one begins at the same local time so many days ago;
    a change of the clocks in it makes it an hour longer or shorter.
    """
    today, trailing = as_time(now, zone).date(), _TRAILING.fullmatch(name)
    past = "day" if name == "yesterday" else name.removeprefix("past-") if name.startswith("past-") else ""
    if trailing:
        return Window(name, days_later(now, -int(trailing[1]), zone), now)
    if past in PERIODS:
        end = _begin(today, past)
        start = _begin(end - timedelta(days=1), past)
        while midnight(start, zone) == midnight(end, zone):  # a day that a zone has left out is none that has passed
            start = _begin(start - timedelta(days=1), past)
        return Window(name, midnight(start, zone), midnight(end, zone))
    if name in _TO_DATE:
        return Window(name, midnight(_begin(today, _TO_DATE[name]), zone), now)
    expected = f"one of: {', '.join(NAMES)}, or days like 14d"
    raise named_error(f"no window is called {name!r}", expected, nearest(name, NAMES))


def period_end(name: str, now: Instant, zone: str) -> Instant | None:
    """Return when the period of the calendar is over of which this window is the part so far; None: it is no such window."""
    period = _TO_DATE.get(name)
    if period is None:
        return None
    try:
        following = _next(_begin(as_time(now, zone).date(), period), period)
    except OverflowError:  # the last period of the calendar
        return max(now, CALENDAR_ENDS)
    return max(now, midnight(following, zone))


def days_later(start: Instant, days: int, zone: str) -> Instant:
    """Return the same local time so many days of the calendar later; one that a change of the clocks skips is moved on.

    Where the calendar ends before, so do the days.
    """
    local = as_time(start, zone)
    try:
        later = (local.replace(tzinfo=None) + timedelta(days=days)).replace(fold=local.fold)
    except OverflowError:
        return CALENDAR_BEGINS if days < 0 else CALENDAR_ENDS
    return max(CALENDAR_BEGINS, min(as_micro(later.replace(tzinfo=zoneinfo.ZoneInfo(zone))), CALENDAR_ENDS))


def between(start: Instant, end: Instant, now: Instant, name: str = "") -> Window:
    """Return the window between two instants, as far as it is not in the future."""
    return Window(name, min(start, now), max(min(start, now), min(end, now)))


def midnight(day: date, zone: str) -> Instant:
    """Return the first instant of a day: midnight, or where a change of the clocks skips it, the change."""
    found = as_micro(datetime.combine(day, time(), tzinfo=zoneinfo.ZoneInfo(zone)))
    if as_time(found, zone).replace(tzinfo=None) == datetime.combine(day, time()):
        return found
    before, after = found - 2 * 86_400_000_000, found + 2 * 86_400_000_000
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if as_time(middle, zone).date() < day else (before, middle)
    return after


def zone_data() -> str:
    """Return the version of the time zones' data that windows are cut with."""
    for directory in zoneinfo.TZPATH:
        file = Path(directory, "tzdata.zi")
        if file.is_file():
            with file.open(encoding="utf-8") as opened:
                found = re.match(r"# version (\S+)", opened.readline())
            return found[1] if found else "unknown"
        if Path(directory, "UTC").exists() or Path(directory, "Etc/UTC").exists():
            return "of the system"
    try:
        package = importlib.resources.files("tzdata")
        return re.search(r'IANA_VERSION = "(\w+)"', package.joinpath("__init__.py").read_text())[1]  # type: ignore[index]
    except (ModuleNotFoundError, TypeError):
        return "unknown"


def _begin(day: date, period: str) -> date:
    """Return the first day of the period that a day lies in."""
    if period == "day":
        return day
    if period == "week":
        return day - timedelta(days=day.weekday())
    month = {"month": day.month, "quarter": day.month - (day.month - 1) % 3, "year": 1}[period]
    return day.replace(month=month, day=1)


def _next(begin: date, period: str) -> date:
    """Return the first day of the period after the one that begins on a day."""
    if period in {"day", "week"}:
        return begin + timedelta(days=1 if period == "day" else 7)
    months = {"month": 1, "quarter": 3, "year": 12}[period]
    return (begin + timedelta(days=31 * months)).replace(day=1)
