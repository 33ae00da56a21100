"""What of a calendar's event holds (RFC 5545), and its times in one zone and type, before its comings are counted out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import icalendar

from scheduler.availability.files.calendar_times import listed, moment, named, refused

if TYPE_CHECKING:
    import zoneinfo

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
