"""The on-call file as its author writes it: business hours, holidays, people, rotations, overrides, swaps, escalation."""

from __future__ import annotations

import datetime as dt
import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from environments.checking import named_error
from environments.environment import Frozen, Name, Seconds
from environments.names import nearest
from environments.text import OneLine
from scheduler.availability.files.written import When, Zone
from scheduler.model.instants import TimeOfDay
from scheduler.oncall.hours import Weekly


class Weekday(StrEnum):
    """A day of the week."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


_DAYS = tuple(Weekday)
_OFFICE = _DAYS[:5]


def _day_name(value: object) -> object:
    written = value.strip().lower() if isinstance(value, str) else ""
    if isinstance(value, str) and written not in {*Weekday, *_LONG}:
        raise named_error(
            f"{value!r} is no day of the week", f"one of: {', '.join(Weekday)}", nearest(written, [*Weekday, *_LONG])
        )
    return written[:3] if written else value


def _date(value: object) -> object:
    if not isinstance(value, (str, int)):
        return value
    try:
        day = dt.date.fromisoformat(str(value).strip())
    except ValueError:
        raise named_error(f"{str(value)!r} is no date of the calendar", _EXPECTED_DATE) from None
    if not 1970 <= day.year <= 2199:  # to lay out turns from so far away would take for ever, or run past the calendar
        raise named_error(f"{str(value)!r} is not within the years 1970 to 2199", _EXPECTED_DATE)
    return day


def _holiday(value: object) -> object:
    return {"date": value} if isinstance(value, str) else value


_LONG = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
_EXPECTED_DATE = "year, month and day, like 2026-03-02"
Date = Annotated[dt.date, BeforeValidator(_date)]
HandOver = Annotated[TimeOfDay, Field(lt=24 * 3600)]
Day = Annotated[Weekday, BeforeValidator(_day_name)]
Moment = Annotated[When, BeforeValidator(lambda v: str(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else v)]


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise named_error(
            "is not the name of an environment variable", "a name like PAGE_ANNA; the address itself stays out of here"
        )
    return name


class HoursSettings(Frozen):
    """Hours of the week by the wall clock; the end does not belong to them."""

    days: Annotated[tuple[Day, ...], Field(min_length=1)] = _OFFICE
    """On which weekdays they begin."""
    start: TimeOfDay = 8 * 3600
    """`08:00`."""
    end: TimeOfDay = 17 * 3600
    """`17:00`; an end not after the start lies on the next day."""

    def weekly(self) -> Weekly:
        """Return the hours as the arithmetic takes them."""
        return Weekly(frozenset(_DAYS.index(day) for day in self.days), self.start, self.end)


class ResponseSettings(Frozen):
    """Within which elapsed time an incident is acknowledged."""

    business_seconds: Annotated[Seconds, Field(gt=0)] = 900
    """When it opens in business hours."""
    other_seconds: Annotated[Seconds, Field(gt=0)] = 3600
    """When it opens outside them."""


class Holiday(Frozen):
    """A local date, or the dates from one to another, without business hours."""

    date: Date
    """The day, or the first of them: 2026-12-25."""
    last: Date | None = None
    """The last of them."""
    name: OneLine = ""
    """What is celebrated."""


class Address(Frozen):
    """Where a person is reached: an Apprise URL, which holds secrets and therefore stands in a file or the environment."""

    file: OneLine | None = None
    """File whose first line is the URL, relative to this one."""
    environment: Annotated[str, AfterValidator(_variable)] | None = None
    """Environment variable that holds the URL."""


class Person(Frozen):
    """Somebody who can be on call."""

    name: OneLine = ""
    """Full name, for reports."""
    addresses: tuple[Address, ...] = ()
    """All are used for each page."""


class LayerSettings(Frozen):
    """People who take turns."""

    people: Annotated[tuple[Name, ...], Field(min_length=1)]
    """In the order of their turns."""
    start: Date
    """Local date of the hand-over to the first of them; before it the turns go on backwards."""
    handover: HandOver = 9 * 3600
    """Local time of the hand-over."""
    shift_days: Annotated[int, Field(ge=1, le=366)] = 7
    """Days from hand-over to hand-over."""
    zone: Zone | None = None
    """Zone of the hand-over; by default that of the file."""
    during: HoursSettings | None = None
    """Of a layer above the lowest: the hours it takes over."""
    end: Date | None = None
    """Of a layer above the lowest: the local date on which it gives back, at the time of the hand-over."""


class RotationSettings(Frozen):
    """Who is on call: layers, the lowest first; it covers all time, the others take over from their start on."""

    layers: Annotated[tuple[LayerSettings, ...], Field(min_length=1)]
    """At least one."""


class OverrideSettings(Frozen):
    """One person for a rotation in `[start, end)`, whoever's turn it is."""

    rotation: Name
    """Which rotation."""
    person: Name
    """Who is on call instead."""
    start: Moment
    """2026-03-10 09:00 in the file's zone, or with an offset."""
    end: Moment
    """The first instant after it."""
    reason: OneLine = ""
    """Why."""


class SwapSettings(Frozen):
    """Two people of a rotation do each other's turns in `[start, end)`."""

    rotation: Name
    """Which rotation."""
    people: Annotated[tuple[Name, ...], Field(min_length=2, max_length=2)]
    """The two."""
    start: Moment
    """2026-03-10 09:00 in the file's zone, or with an offset."""
    end: Moment
    """The first instant after it."""


class LevelSettings(Frozen):
    """One level of the escalation: exactly one person at any instant."""

    notify: Name
    """A rotation, or a person."""
    wait_seconds: Annotated[Seconds, Field(gt=0)] = 600
    """How long that person has before the next level is paged."""


class EscalationSettings(Frozen):
    """Who is paged when nobody answers."""

    levels: Annotated[tuple[LevelSettings, ...], Field(min_length=1)]
    """From the first on."""
    repeat: Annotated[int, Field(ge=0, le=1000)] = 2
    """How many more times the levels are gone through."""


class OnCall(Frozen):
    """The on-call file."""

    zone: Zone = "UTC"
    """IANA zone of business hours, holidays and times without an offset."""
    business_hours: HoursSettings = HoursSettings()
    """Monday to Friday, 08:00 <= t < 17:00."""
    response: ResponseSettings = ResponseSettings()
    """15 minutes in business hours, else 60."""
    holidays: tuple[Annotated[Holiday, BeforeValidator(_holiday)], ...] = ()
    """Dates without business hours: 2026-12-25, or a mapping with `date`, `last` and `name`."""
    holiday_calendars: tuple[OneLine, ...] = ()
    """iCalendar files with further holidays, relative to this file; an event of some hours takes those hours only."""
    people: Annotated[dict[Name, Person], Field(min_length=1)]
    """Everybody who can be on call, by a short name."""
    rotations: dict[Name, RotationSettings] = {}
    """By name."""
    overrides: tuple[OverrideSettings, ...] = ()
    """They beat turns and swaps; two of one rotation do not overlap."""
    swaps: tuple[SwapSettings, ...] = ()
    """In the order given."""
    escalation: EscalationSettings
    """Levels, waits and repetitions."""
    objects: tuple[OneLine, ...] = ("*",)
    """Which objects and groups open incidents when they are CRITICAL: names or patterns (`se-*`, `workers/*`)."""
    confirm_seconds: Seconds = 0
    """An object opens an incident once it has been CRITICAL for so long."""
    common_cause_objects: Annotated[int, Field(ge=0)] = 3
    """So many objects that go bad at once are one incident of a common cause; 0: each is its own."""
    common_cause_seconds: Seconds = 60
    """What goes bad within this time of the first belongs to it too."""
    reopen_seconds: Seconds = 900
    """The same cause within this time of an incident's end reopens it; later it is a new incident."""


class Happening(StrEnum):
    """What can happen to an incident from outside."""

    BAD = "bad"
    RECOVERED = "recovered"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
