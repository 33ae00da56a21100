"""The door to iCalendar (RFC 5545): periods of data taking, downtimes and holidays, each occurrence as a span of instants."""

from __future__ import annotations

import threading
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import icalendar
import recurring_ical_events
from icalendar.timezone import tzp

from environments.problems import ConfigurationError, Problem
from scheduler.availability.files import calendar_times as times
from scheduler.availability.history import Span
from scheduler.model.instants import Instant, as_micro, as_time

MAXIMUM_OCCURRENCES = 20_000
_ZONES = threading.Lock()
"""Held while the library's table of time zones is in use."""


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


@dataclass(frozen=True, slots=True)
class Events:
    """What a calendar says, event by event."""

    occurrences: tuple[Occurrence, ...]
    """In order of start."""
    wrong: tuple[tuple[str, Problem], ...]
    """Events that cannot be understood, by UID ("": it has none). Nothing of such an event is among the occurrences."""
    uids: frozenset[str]
    """Of all events, of cancelled and of wrong ones too."""
    changed: Mapping[str, Instant]
    """When an event was changed last, by UID, as far as the calendar says it (LAST-MODIFIED)."""
    empty: tuple[str, ...] = ()
    """Events, for people, that end as they begin or before: they are no periods."""


def read(content: bytes | str, file: str, until: Instant, zone: str = "UTC") -> tuple[Occurrence, ...]:
    """Return what comes before `until`, in order of start; `zone` is that of dates and of times that name none.

    One event that cannot be understood refuses the file. A recurring event keeps its exact length (RFC 5545, 3.8.5.3), or so
    many days of the calendar where its DURATION names days; a local time that a DST change skips is moved on by the gap.
    """
    found = events(content, file, until, zone)
    if found.wrong:
        raise ConfigurationError([problem for _, problem in found.wrong])
    return found.occurrences


def events(content: bytes | str, file: str, until: Instant, zone: str = "UTC") -> Events:
    """Return what comes before `until`, and which events cannot be understood: these stop no other."""
    # The library keeps the zones that calendars define (VTIMEZONE) in one table of the process, and the first definition of a
    # name stays. A calendar is read with an empty table, so that it means the same whatever was read before it.
    with _ZONES:
        tzp.use_default()
        try:
            return _events(_calendar(content, file), file, until, zone)
        finally:
            tzp.use_default()


def _events(calendar: Any, file: str, until: Instant, zone: str) -> Events:
    """Read each event by itself: the components of one UID are one event with its exceptions."""
    shown_in = str(calendar.get("X-WR-TIMEZONE", ""))
    usual = zoneinfo.ZoneInfo(shown_in if _known(calendar) else zone)
    found: list[Occurrence] = []
    wrong: list[tuple[str, Problem]] = []
    changed: dict[str, Instant] = {}
    empty: list[str] = []
    for uid, together in _by_uid(calendar):
        try:
            for part in together:
                times.check(part, file)
                times.check_further(part, file)
            parts = times.newest(together, file) if uid else together
            for part in parts:
                times.settle(part, usual, shown=bool(shown_in))
            found += _comings(_alone(calendar, parts), parts, (file, until, usual))
            empty += [times.named(part) for part in parts if not _cancelled(part) and not times.lasts(part, usual)]
            stamps = [as_micro(times.moment(part["LAST-MODIFIED"].dt, usual)) for part in parts if "LAST-MODIFIED" in part]
            if stamps:
                changed[uid] = max(stamps)
        except ConfigurationError as error:
            wrong += [(uid, problem) for problem in error.problems]
        if len(found) > MAXIMUM_OCCURRENCES:
            raise times.refused(file, f"its events come more than {MAXIMUM_OCCURRENCES} times")
    ordered = tuple(sorted(found, key=lambda one: (one.start, one.end, one.uid)))
    return Events(ordered, tuple(wrong), frozenset(uid for uid, _ in _by_uid(calendar)), changed, tuple(empty))


def _calendar(content: bytes | str, file: str) -> Any:
    try:
        calendar = icalendar.Calendar.from_ical(times.with_written_durations(content))
    except ValueError as error:
        raise times.refused(file, f"is not an iCalendar file: {error}") from error
    defined: dict[str, bytes] = {}
    for one in calendar.walk("VTIMEZONE"):
        name, text = str(one.get("TZID", "")), one.to_ical()
        if defined.setdefault(name, text) != text:
            raise times.refused(file, f"defines the time zone {name} twice, and differently")
    return calendar


def _by_uid(calendar: Any) -> list[tuple[str, list[Any]]]:
    """Group the events by UID; each one without is by itself."""
    grouped: dict[tuple[str, int], list[Any]] = {}
    for place, event in enumerate(calendar.walk("VEVENT")):
        uid = str(event.get("UID", ""))
        grouped.setdefault((uid, -1 if uid else place), []).append(event)
    return [(uid, parts) for (uid, _), parts in grouped.items()]


def _alone(calendar: Any, parts: list[Any]) -> Any:
    """Return a calendar of these events alone, in the zone of the whole one."""
    alone = icalendar.Calendar()
    if "X-WR-TIMEZONE" in calendar:
        alone["X-WR-TIMEZONE"] = calendar["X-WR-TIMEZONE"]
    for part in parts:
        alone.add_component(part)
    return alone


def _comings(calendar: Any, parts: list[Any], asked: tuple[str, Instant, zoneinfo.ZoneInfo]) -> list[Occurrence]:
    """Return what comes of one event before an instant; nothing of it that is cancelled."""
    file, until, usual = asked
    kept = [part for part in parts if not _cancelled(part)]
    first = min((times.moment(one, usual) for part in kept for one in times.starts(part)), default=None)
    if first is None or as_micro(first) >= until:
        return []
    try:
        lengths = times.Lengths.of(kept, usual)
        made = [_occurrence(event, usual, lengths) for event in _expanded(calendar, first, until)[: MAXIMUM_OCCURRENCES + 1]]
    except (ValueError, TypeError, OverflowError) as error:  # what recurrences make of rules that mean nothing
        raise times.refused(file, f"{times.named(kept[0])} has a recurrence that cannot be understood: {error}") from error
    return [one for one in made if one is not None and one.start < until]


def _expanded(calendar: Any, first: datetime, until: Instant) -> list[Any]:
    """Return all comings of all events; they are searched by local dates: a day more on either side cuts off no zone."""
    day, last = timedelta(days=1), as_time(until)
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


def _known(calendar: Any) -> bool:
    return str(calendar.get("X-WR-TIMEZONE", "")) in zoneinfo.available_timezones()


def _cancelled(event: Any) -> bool:
    return str(event.get("STATUS", "")).upper() == "CANCELLED"


def _occurrence(event: Any, zone: zoneinfo.ZoneInfo, lengths: times.Lengths) -> Occurrence | None:
    if _cancelled(event):
        return None
    start = times.moment(event["DTSTART"].dt, zone)
    end = lengths.end(event, start, zone)
    if as_micro(end) <= as_micro(start):
        return None
    stamps = [event[key].dt if key in event else None for key in ("CREATED", "DTSTAMP", "LAST-MODIFIED")]
    created, stamp, modified = (None if moment is None else as_micro(times.moment(moment, zone)) for moment in stamps)
    names = tuple(name for key in ("CATEGORIES", "RESOURCES", "LOCATION") for name in _texts(event.get(key)))
    by = str(event.get("ORGANIZER", "")).removeprefix("mailto:").removeprefix("MAILTO:")
    return Occurrence(
        uid=str(event.get("UID", "")),
        start=as_micro(start),
        end=as_micro(end),
        created=created if created is not None else stamp,
        modified=modified,
        summary=str(event.get("SUMMARY", "")),
        names=tuple(dict.fromkeys(names)),
        by=by,
    )


def _texts(value: Any) -> Iterator[str]:
    for part in times.listed(value):
        parts = part.cats if hasattr(part, "cats") else str(part).split(",")
        yield from (text for one in parts if (text := str(one).strip()))
