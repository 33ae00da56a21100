"""The times of a calendar's events (RFC 5545): where a series ends, how long each coming lasts, what cannot be understood."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import prod
from typing import TYPE_CHECKING, Any

import icalendar
from icalendar.parser import Contentline, Contentlines

from environments.problems import ConfigurationError, Problem

if TYPE_CHECKING:
    import zoneinfo


_TOO_FAST = {"SECONDLY", "MINUTELY", "HOURLY"}
_WRITTEN = "X-AS-WRITTEN"
"""A parameter that we put to each duration: the library makes elapsed time of it and forgets which of it were days."""
_DURATION = re.compile(r"([+-]?)P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Length:
    """How long a coming lasts: days of the calendar first, then elapsed time."""

    days: int = 0
    exact: timedelta = timedelta()

    def after(self, start: datetime) -> datetime:
        """Return the end: days end at the same time of the local clock, in the zone of the start."""
        return (start + timedelta(days=self.days)).astimezone(UTC) + self.exact


@dataclass(frozen=True, slots=True)
class Lengths:
    """The lengths of one event's comings: of the series, and of those that were moved or given a length of their own."""

    usual: Length
    own: dict[datetime, Length]
    """By the instant of RECURRENCE-ID, else by start."""

    @classmethod
    def of(cls, parts: Iterable[Any], zone: zoneinfo.ZoneInfo) -> Lengths:
        """Read them from the components of one event."""
        usual, own = Length(), dict[datetime, Length]()
        for part in parts:
            if "RECURRENCE-ID" in part:
                own[moment(part["RECURRENCE-ID"].dt, zone).astimezone(UTC)] = _length(part, zone)
                continue
            usual = _length(part, zone)
            own |= dict(_periods(part, zone))
        return cls(usual, own)

    def end(self, event: Any, start: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
        """Return when a coming ends."""
        days = _days(event)
        if days is not None:
            return moment(event["DTSTART"].dt + timedelta(days=days), zone)
        coming = moment(event["RECURRENCE-ID"].dt, zone) if "RECURRENCE-ID" in event else start
        return self.own.get(coming.astimezone(UTC), self.usual).after(start)


def refused(file: str, message: str) -> ConfigurationError:
    """Make the error that refuses a file."""
    return ConfigurationError([Problem(file, 0, 0, "", message)])


def named(event: Any) -> str:
    """Name an event for people."""
    return f"the event {str(event.get('SUMMARY', event.get('UID', 'without a name')))!r}"


def listed(value: Any) -> list[Any]:
    """Return what stands under a key once, several times or not at all."""
    return value if isinstance(value, list) else [] if value is None else [value]


def starts(event: Any) -> Iterator[date | datetime]:
    """Yield an event's start and that of each further coming (RDATE), which may be earlier."""
    yield event["DTSTART"].dt
    for one in (each for several in listed(event.get("RDATE")) for each in several.dts):
        yield one.dt[0] if isinstance(one.dt, tuple) else one.dt


def moment(value: date | datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """Return a date's first instant, or a time, which is of `zone` where it names none."""
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), tzinfo=zone)
    return value if value.tzinfo is not None else value.replace(tzinfo=zone)


def with_written_durations(content: bytes | str) -> str:
    """Return the text of a calendar in which each duration says how it was written: P1D is a day, PT24H is not."""
    text = content.decode("utf-8-sig", "replace") if isinstance(content, bytes) else content
    lines: list[str] = Contentlines.from_ical(text)  # type: ignore[no-untyped-call]
    return "\r\n".join(_with_written(str(line)) for line in lines)


def _with_written(line: str) -> str:
    found = re.match(r"(DURATION|RDATE)[:;]", line, re.IGNORECASE)
    if not found:
        return line
    try:
        _, parameters, value = Contentline(line).parts()  # type: ignore[no-untyped-call]
    except ValueError:  # it is told when the calendar is read
        return line
    name, values = found[1], [str(value)]
    if name.upper() == "RDATE":
        if str(parameters.get("VALUE", "")).upper() != "PERIOD":
            return line
        values = [one.partition("/")[2] for one in str(value).split(",")]
    written = "|".join(re.sub(r"[^A-Za-z0-9+-]", "", one) for one in values)
    return f"{name};{_WRITTEN}={written}{line[len(name) :]}" if written else line


def check(event: Any, file: str) -> None:
    """Refuse an event whose times cannot be understood."""
    name = named(event)
    if "DTSTART" not in event:
        raise refused(file, f"{name} has no start (DTSTART)")
    for key in ("DTSTART", "DTEND", "DURATION", "CREATED", "DTSTAMP", "LAST-MODIFIED", "RECURRENCE-ID"):
        if key in event and not isinstance(event[key], (icalendar.vDDDTypes, icalendar.vDuration)):
            said = "stands there twice" if isinstance(event[key], list) else "cannot be understood"
            raise refused(file, f"{name}: its {key} {said}")
    for rule in listed(event.get("RRULE")):
        if not isinstance(rule, icalendar.vRecur):
            raise refused(file, f"{name}: its RRULE cannot be understood")
        if "FREQ" not in rule:
            raise refused(
                file, f"{name}: its RRULE does not say how often it comes: FREQ=DAILY, WEEKLY, MONTHLY or YEARLY is expected"
            )
        in_a_day = prod(len(listed(rule.get(part))) or 1 for part in ("BYHOUR", "BYMINUTE", "BYSECOND"))
        if in_a_day >= 24 or {str(part).upper() for part in rule.get("FREQ", ())} & _TOO_FAST:
            raise refused(file, f"{name} comes every hour or more often")
    start = event["DTSTART"].dt
    if "DTEND" in event and isinstance(start, datetime) != isinstance(event["DTEND"].dt, datetime):
        raise refused(file, f"{name} has a date at one end and a time at the other")
    if not isinstance(start, datetime) and "DURATION" in event and _duration(event).exact:
        raise refused(
            file, f"{name} begins on a date and lasts {event['DURATION'].to_ical().decode()}: whole days are expected"
        )
    for key in ("DTSTART", "DTEND", "RECURRENCE-ID"):
        written = event[key].params.get("TZID") if key in event else None
        if written and isinstance(event[key].dt, datetime) and event[key].dt.tzinfo is None:
            raise refused(file, f"{name} is in a time zone that nobody knows: {written}")


def _days(event: Any) -> int | None:
    """Return the length in whole days of an event that is given by dates; None: it is given by times."""
    start = event["DTSTART"].dt
    if isinstance(start, datetime):
        return None
    if "DTEND" in event:
        return int((event["DTEND"].dt - start).days)
    return _duration(event).days if "DURATION" in event else 1


def lasts(event: Any, zone: zoneinfo.ZoneInfo) -> bool:
    """Whether an event ends after it begins."""
    days = _days(event)
    if days is not None:
        return days > 0
    start = moment(event["DTSTART"].dt, zone)
    try:
        return _length(event, zone).after(start) > start.astimezone(UTC)
    except OverflowError:  # beyond the first or the last year: it is told where its comings are counted
        return True


def _length(event: Any, zone: zoneinfo.ZoneInfo) -> Length:
    """Return the length of an event that is given by times; DTEND gives an exact one (RFC 5545, 3.8.5.3)."""
    if not isinstance(event["DTSTART"].dt, datetime):
        return Length()
    if "DTEND" in event:
        ends = (moment(event[key].dt, zone).astimezone(UTC) for key in ("DTSTART", "DTEND"))
        start, end = ends
        return Length(exact=end - start)
    return _duration(event) if "DURATION" in event else Length()


def _duration(event: Any) -> Length:
    """Read a DURATION: weeks and days are days of the calendar, hours, minutes and seconds are elapsed time (3.3.6)."""
    given = event["DURATION"]
    return _written(str(given.params.get(_WRITTEN, ""))) or Length(exact=given.dt)


def _written(text: str) -> Length | None:
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups()[1:])
    sign = -1 if found[1] == "-" else 1
    return Length(sign * (7 * weeks + days), sign * timedelta(hours=hours, minutes=minutes, seconds=seconds))


def _periods(event: Any, zone: zoneinfo.ZoneInfo) -> Iterable[tuple[datetime, Length]]:
    """Yield the further comings that are given as periods (RDATE;VALUE=PERIOD), each with its length."""
    for one in listed(event.get("RDATE")):
        written = str(one.params.get(_WRITTEN, "")).split("|")
        for place, period in enumerate(each.dt for each in one.dts):
            if not isinstance(period, tuple):
                continue
            start = moment(period[0], zone).astimezone(UTC)
            if isinstance(period[1], timedelta):
                yield start, (_written(written[place]) if place < len(written) else None) or Length(exact=period[1])
            else:
                yield start, Length(exact=moment(period[1], zone).astimezone(UTC) - start)


# --- what of an event holds, and its times in one zone and type, before its comings are counted out -------------------

_SECOND = timedelta(seconds=1)


def newest(parts: Iterable[Any], file: str) -> list[Any]:
    """Return of the components of one event those that hold: of several about the same coming, or the series, the newest.

    Two that are equally new and say different things contradict each other: the event is refused.
    """
    told: dict[object, Any] = {}
    for part in parts:
        about = part["RECURRENCE-ID"].to_ical() if "RECURRENCE-ID" in part else None
        before = told.setdefault(about, part)
        if _age(part, file) == _age(before, file) and part.to_ical() != before.to_ical():
            raise refused(file, f"{named(part)} stands there twice, and differently")
        told[about] = max(before, part, key=lambda one: _age(one, file))
    return list(told.values())


def _age(part: Any, file: str) -> tuple[int, float]:
    number = part.get("SEQUENCE", 0)
    if not isinstance(number, int):
        raise refused(file, f"{named(part)}: its SEQUENCE is no number")
    return number, part["DTSTAMP"].dt.timestamp() if "DTSTAMP" in part and isinstance(part["DTSTAMP"].dt, datetime) else 0.0


def settle(event: Any, zone: zoneinfo.ZoneInfo, *, shown: bool) -> None:
    """Bring all times of an event into the zone and type of its start; UNTIL is the last instant that belongs to the series.

    Times without a zone are of the zone of the start, and the start of `zone`, that of the calendar. `shown`: the calendar says
    in which zone it is shown; then it is meant in it, its times in UTC too.
    """
    start = event["DTSTART"].dt
    own: Any = start.tzinfo if isinstance(start, datetime) else None
    if own is None or (shown and str(own) == "UTC"):
        own = zone
    for key in ("DTSTART", "DTEND", "RECURRENCE-ID"):
        if key in event and isinstance(event[key].dt, datetime):
            event[key].dt = moment(event[key].dt, own)
    for one in (each for key in ("EXDATE", "RDATE") for several in listed(event.get(key)) for each in several.dts):
        parts = one.dt if isinstance(one.dt, tuple) else (one.dt,)
        settled = tuple(_settled(part, own, dates=not isinstance(start, datetime)) for part in parts)
        one.dt = settled if isinstance(one.dt, tuple) else settled[0]
    for rule in listed(event.get("RRULE")):
        until = [_last(one, start, own) for one in listed(rule.get("UNTIL"))]
        rule.pop("UNTIL", None)
        if until:
            rule["UNTIL"] = until


def _settled(value: Any, own: Any, *, dates: bool) -> Any:
    """Return a further or excepted time in the zone of the start, and as a date where the event is given by dates."""
    if not isinstance(value, datetime):
        return value
    return moment(value, own).astimezone(own).date() if dates else moment(value, own)


def _last(until: date | datetime, start: date | datetime, own: Any) -> date | datetime:
    """Return UNTIL as the start is given; a date is the whole of that day where the series begins at a time."""
    if not isinstance(start, datetime):
        return moment(until, own).astimezone(own).date() if isinstance(until, datetime) else until
    if not isinstance(until, datetime):
        until = datetime.combine(until + timedelta(days=1), time()) - _SECOND
    return moment(until, own).astimezone(UTC)


def check_further(event: Any, file: str) -> None:
    """Refuse further and excepted times that cannot be understood."""
    name, days = named(event), not isinstance(event["DTSTART"].dt, datetime)
    if "EXRULE" in event:
        raise refused(file, f"{name} has a rule of exceptions (EXRULE), which is not understood: write EXDATE")
    if "DTEND" in event and "DURATION" in event:
        raise refused(file, f"{name} has an end (DTEND) and a DURATION: one of them is expected")
    for rule in listed(event.get("RRULE")):
        if any(isinstance(number, int) and number < 1 for key in ("INTERVAL", "COUNT") for number in listed(rule.get(key))):
            raise refused(file, f"{name}: the INTERVAL and COUNT of its RRULE are at least 1")
    for key in ("EXDATE", "RDATE"):
        for several in listed(event.get(key)):
            if not isinstance(several, icalendar.vDDDLists):
                raise refused(file, f"{name}: its {key} cannot be understood")
            times = [one.dt[0] if isinstance(one.dt, tuple) else one.dt for one in several.dts]
            zone = several.params.get("TZID")
            if zone and any(isinstance(one, datetime) and one.tzinfo is None for one in times):
                raise refused(file, f"{name}: its {key} is in a time zone that nobody knows: {zone}")
            if key == "RDATE" and not days and not all(isinstance(one, datetime) for one in times):
                raise refused(file, f"{name} begins at a time and comes again on a date (RDATE): a time is expected")
