"""The door to iCalendar (RFC 5545): periods of data taking, downtimes and holidays, each occurrence as a span of instants."""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import icalendar
import recurring_ical_events

from environments.problems import ConfigurationError, Problem
from scheduler.availability.history import Instant, Span
from scheduler.availability.instants import as_micro

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAXIMUM_OCCURRENCES = 20_000
_TOO_FAST = {"SECONDLY", "MINUTELY", "HOURLY"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One coming of an event of a calendar."""

    uid: str
    start: Instant
    end: Instant
    created: Instant | None
    """CREATED, else DTSTAMP: when it was written down."""
    modified: Instant | None
    """LAST-MODIFIED."""
    summary: str
    names: tuple[str, ...]
    """What it concerns: CATEGORIES, RESOURCES and LOCATION."""
    by: str
    """ORGANIZER."""


def read(content: bytes | str, file: str, until: Instant, zone: str = "UTC") -> tuple[Occurrence, ...]:
    """Return what comes before `until`, in order of start; `zone` is that of dates and of times that name none.

    A recurring event keeps its exact length (RFC 5545, 3.8.5.3); a local time that a DST change skips is moved on by the gap.
    """
    calendar = _calendar(content, file)
    written: list[Any] = list(calendar.walk("VEVENT"))
    for event in written:
        _check(event, file)
    events = [event for event in written if not _cancelled(event)]
    if not events:
        return ()
    default = zoneinfo.ZoneInfo(str(calendar.get("X-WR-TIMEZONE", zone)) if _known(calendar) else zone)
    first = min(_moment(event["DTSTART"].dt, default) for event in events)
    if as_micro(first) >= until:
        return ()
    try:
        found = _expanded(calendar, first, until)
    except (ValueError, TypeError, OverflowError) as error:  # what recurrences make of rules that mean nothing
        raise _refused(file, f"has a recurrence that cannot be understood: {error}") from error
    if len(found) > MAXIMUM_OCCURRENCES:
        raise _refused(file, f"its events come more than {MAXIMUM_OCCURRENCES} times")
    lengths = dict(_lengths(events, default))
    made = (_occurrence(event, default, lengths) for event in found)
    taken = [one for one in made if one is not None and one.start < until]
    return tuple(sorted(taken, key=lambda one: (one.start, one.end, one.uid)))


def uids(content: bytes | str, file: str) -> frozenset[str]:
    """Return the UIDs of all events of a calendar, of cancelled ones too."""
    return frozenset(str(event.get("UID", "")) for event in _calendar(content, file).walk("VEVENT"))


def _calendar(content: bytes | str, file: str) -> Any:
    try:
        return icalendar.Calendar.from_ical(content)
    except ValueError as error:
        raise _refused(file, f"is not an iCalendar file: {error}") from error


def _expanded(calendar: Any, first: datetime, until: Instant) -> list[Any]:
    """Return all comings of all events; they are searched by local dates: a day more on either side cuts off no zone."""
    day, last = timedelta(days=1), _EPOCH + timedelta(microseconds=until)
    return list(recurring_ical_events.of(calendar, skip_bad_series=False).between(first - day, last + day))


def periods(occurrences: Iterable[Occurrence]) -> tuple[Span, ...]:
    """Unite occurrences into disjoint spans."""
    united: list[list[Instant]] = []
    for one in sorted(occurrences, key=lambda one: one.start):
        if united and one.start <= united[-1][1]:
            united[-1][1] = max(united[-1][1], one.end)
        else:
            united.append([one.start, one.end])
    return tuple(Span(start, end) for start, end in united)


def _refused(file: str, message: str) -> ConfigurationError:
    return ConfigurationError([Problem(file, 0, 0, "", message)])


def _known(calendar: Any) -> bool:
    return str(calendar.get("X-WR-TIMEZONE", "")) in zoneinfo.available_timezones()


def _cancelled(event: Any) -> bool:
    return str(event.get("STATUS", "")).upper() == "CANCELLED"


def _check(event: Any, file: str) -> None:
    """Refuse an event whose times cannot be understood."""
    name = str(event.get("SUMMARY", event.get("UID", "an event")))
    if "DTSTART" not in event:
        raise _refused(file, f"the event {name!r} has no start (DTSTART)")
    for key in ("DTSTART", "DTEND", "DURATION", "CREATED", "DTSTAMP", "LAST-MODIFIED", "RECURRENCE-ID"):
        if key in event and not isinstance(event[key], (icalendar.vDDDTypes, icalendar.vDuration)):
            said = "stands there twice" if isinstance(event[key], list) else "cannot be understood"
            raise _refused(file, f"the event {name!r}: its {key} {said}")
    for rule in _listed(event.get("RRULE")):
        if not isinstance(rule, icalendar.vRecur):
            raise _refused(file, f"the event {name!r}: its RRULE cannot be understood")
        if {str(part).upper() for part in rule.get("FREQ", ())} & _TOO_FAST:
            raise _refused(file, f"the event {name!r} comes every hour or more often")
    start = event["DTSTART"].dt
    if "DTEND" in event and isinstance(start, datetime) != isinstance(event["DTEND"].dt, datetime):
        raise _refused(file, f"the event {name!r} has a date at one end and a time at the other")
    for key in ("DTSTART", "DTEND"):
        written = event[key].params.get("TZID") if key in event else None
        if written and isinstance(event[key].dt, datetime) and event[key].dt.tzinfo is None:
            raise _refused(file, f"the event {name!r} is in a time zone that nobody knows: {written}")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _moment(value: date | datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), tzinfo=zone)
    return value if value.tzinfo is not None else value.replace(tzinfo=zone)


def _days(event: Any) -> int | None:
    """Return the length in whole days of an event that is given by dates; None: it is given by times."""
    start = event["DTSTART"].dt
    if isinstance(start, datetime):
        return None
    if "DTEND" in event:
        return int((event["DTEND"].dt - start).days)
    return int(event["DURATION"].dt.days) if "DURATION" in event else 1


def _length(event: Any, zone: zoneinfo.ZoneInfo) -> timedelta:
    """Return the elapsed length of an event that is given by times."""
    if "DTEND" in event:
        return _moment(event["DTEND"].dt, zone).astimezone(UTC) - _moment(event["DTSTART"].dt, zone).astimezone(UTC)
    return event["DURATION"].dt if "DURATION" in event else timedelta()


def _lengths(events: Iterable[Any], zone: zoneinfo.ZoneInfo) -> Iterator[tuple[tuple[str, datetime | None], timedelta]]:
    for event in events:
        if _days(event) is None:
            moved = _moment(event["DTSTART"].dt, zone).astimezone(UTC) if "RECURRENCE-ID" in event else None
            yield (str(event.get("UID", "")), moved), _length(event, zone)


def _occurrence(
    event: Any, zone: zoneinfo.ZoneInfo, lengths: dict[tuple[str, datetime | None], timedelta]
) -> Occurrence | None:
    if _cancelled(event):
        return None
    uid, start = str(event.get("UID", "")), _moment(event["DTSTART"].dt, zone)
    days = _days(event)
    if days is not None:
        begun = event["DTSTART"].dt
        end = _moment(begun + timedelta(days=days), zone)
    else:
        own = lengths.get((uid, start.astimezone(UTC)))
        end = start.astimezone(UTC) + (lengths.get((uid, None), timedelta()) if own is None else own)
    if as_micro(end) <= as_micro(start):
        return None
    stamps = [event[key].dt if key in event else None for key in ("CREATED", "DTSTAMP", "LAST-MODIFIED")]
    created, stamp, modified = (None if moment is None else as_micro(_moment(moment, zone)) for moment in stamps)
    names = tuple(name for key in ("CATEGORIES", "RESOURCES", "LOCATION") for name in _texts(event.get(key)))
    by = str(event.get("ORGANIZER", "")).removeprefix("mailto:").removeprefix("MAILTO:")
    written = created if created is not None else stamp
    return Occurrence(
        uid, as_micro(start), as_micro(end), written, modified, str(event.get("SUMMARY", "")), tuple(dict.fromkeys(names)), by
    )


def _texts(value: Any) -> Iterator[str]:
    for part in _listed(value):
        parts = part.cats if hasattr(part, "cats") else str(part).split(",")
        yield from (text for one in parts if (text := str(one).strip()))
