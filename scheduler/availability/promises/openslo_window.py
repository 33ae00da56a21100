"""Windows as OpenSLO writes them and as reports name them, and periods from a file: iCalendar, or YAML with start and end."""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from environments.checking import checked
from environments.names import nearest
from environments.nodes import YamlNode
from environments.problems import ConfigurationError, KeyPath, Problem
from environments.reader import documents, read_content
from scheduler.availability.files.reading import exact
from scheduler.availability.files.written import WrittenSpan, Zone
from scheduler.availability.history import Span

if TYPE_CHECKING:
    from scheduler.availability.promises.openslo_model import TimeWindow
    from scheduler.model.instants import Instant


class _Periods(BaseModel):
    """A file of periods."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    zone: Zone = ""
    """Zone of times without an offset."""
    periods: tuple[WrittenSpan, ...] = Field(min_length=1)
    """A list of start and end."""


def read(path: Path, until: Instant, zone: str) -> tuple[Span, ...]:
    """Read the periods of a file, as far as they begin before `until`; `zone` is that of times that name none."""
    content = read_content(path)
    if path.suffix in {".ics", ".ical"}:
        from scheduler.availability.files import calendars  # late: few sites have such a file, and all have the daemon

        return calendars.periods(calendars.read(content, str(path), until, zone))
    return of_yaml(content, str(path), zone)


def of_yaml(content: bytes | str, file: str, zone: str) -> tuple[Span, ...]:
    """Read periods from YAML: a list of start and end, alone or under `periods` with a `zone` beside it."""
    node, problems = documents(content, file)[0], list[Problem]()
    top = YamlNode({"periods": node}, node.mark) if isinstance(node.value, tuple) else node
    data = exact(top)
    if isinstance(data.get("periods"), list):
        data["periods"] = [_renamed(one) for one in data["periods"]]
    written = checked(_Periods, top, problems, data=data, context={"zone": data.get("zone") or zone})
    if written is None or problems:
        raise ConfigurationError(problems)
    for index, one in enumerate(written.periods):
        if one.end is not None and one.end <= one.start:
            problems.append(top.problem(("periods", index), "ends before it begins", "an end after its start"))
    if problems:
        raise ConfigurationError(problems)
    return tuple(Span(one.start, one.end) for one in written.periods)


def _renamed(one: object) -> object:
    """Accept `from` and `to` for start and end."""
    names = {"from": "start", "to": "end"}
    return {names.get(key, key): value for key, value in one.items()} if isinstance(one, dict) else one


CALENDAR = {"1d": "today", "1w": "this-week", "1M": "month", "1Q": "quarter", "1Y": "year"}
PAST = {"yesterday": "1d", "past-week": "1w", "past-month": "1M", "past-quarter": "1Q", "past-year": "1Y"}
"""Windows that ended last; OpenSLO knows the running one only, so an annotation names them."""
DURATIONS = {**{name: duration for duration, name in CALENDAR.items()}, **PAST}
SAME = {"this-day": "today", "past-day": "yesterday", "week": "this-week"} | {
    f"this-{name}": name for name in ("month", "quarter", "year")
}
"""Other names of the same windows."""
STARTS = dict.fromkeys(CALENDAR, "2026-01-01 00:00:00") | {"1w": "2026-01-05 00:00:00"}
"""A start on which our windows of the calendar begin."""
UTC = "Etc/UTC"
"""OpenSLO's schema wants a region and a city."""


@dataclass(slots=True)
class PromiseError(Exception):
    """Something in an objective that cannot be, where, and what would be right."""

    path: KeyPath
    message: str
    expected: str = ""
    nearest: str = ""


def window_name(window: TimeWindow, named: str = "", zone: str = "") -> tuple[str, str]:
    """Return the name of a window and its zone ("": the history's); `named` and `zone` are our annotations."""
    if window.isRolling:
        return _rolling(window, named), zone
    name = CALENDAR.get(window.duration)
    if name is None:
        fixed = ", ".join(CALENDAR)
        message = f"{window.duration} is no window of the calendar"
        raise PromiseError(("duration",), message, f"one of {fixed}, or isRolling: true", nearest(window.duration, CALENDAR))
    if named and DURATIONS.get(named) != window.duration:
        expected = f"one of: {', '.join(key for key, duration in DURATIONS.items() if duration == window.duration)}"
        message = f"{window.duration} is not the window {named} of the annotation"
        raise PromiseError(("duration",), message, expected, nearest(named, DURATIONS))
    if window.calendar is None:
        example = f'startTime: "{STARTS[window.duration]}" and timeZone: Europe/Rome'
        raise PromiseError((), "a window of the calendar needs to know where it begins", f"calendar: {example}")
    written = window.calendar.timeZone
    if written not in zoneinfo.available_timezones():
        close = nearest(written, zoneinfo.available_timezones())
        raise PromiseError(
            ("calendar", "timeZone"), f"no time zone is called {written!r}", "an IANA zone, e.g. Europe/Rome", close
        )
    _check_start(window.duration, window.calendar.startTime)
    return named or name, "UTC" if written == UTC else written


def _rolling(window: TimeWindow, named: str) -> str:
    unit, count = window.duration[-1], int(window.duration[:-1])
    if named:
        raise PromiseError(("isRolling",), f"the window {named} of the annotation is one of the calendar", "isRolling: false")
    if window.calendar is not None:
        raise PromiseError(("calendar",), "a rolling window ends now, it begins at no date", "no calendar, or isRolling: false")
    if unit not in "dw":
        message = f"a rolling {window.duration} " + ("has no fixed length" if unit in "MQY" else "is no number of days")
        raise PromiseError(("duration",), message, "days: 30d, 90d, 365d; or a window of the calendar")
    return f"{7 * count}d" if unit == "w" else window.duration


def _check_start(duration: str, written: str) -> None:
    """Refuse a start on which our windows never begin: an objective would silently be measured in another window."""
    path, example = ("calendar", "startTime"), STARTS[duration]
    try:
        start = datetime.fromisoformat(written)
    except ValueError as error:
        raise PromiseError(path, f"{written!r} is no date and time: {error}", example) from error
    wrong = {
        "1d": False,
        "1w": start.weekday() != 0,
        "1M": start.day != 1,
        "1Q": start.day != 1 or start.month not in {1, 4, 7, 10},
        "1Y": start.day != 1 or start.month != 1,
    }[duration]
    if wrong or start.time().isoformat() != "00:00:00":
        begins = {"1d": "a midnight", "1w": "a Monday, 00:00", "1M": "the first of a month", "1Q": "the first of a quarter"}
        raise PromiseError(path, f"windows begin on {begins.get(duration, '1 January')}", f'like "{example}"')
