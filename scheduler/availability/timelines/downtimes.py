"""Agreed downtimes: which instants one covers, and which of them had notice. The door to recurrence rules (dateutil)."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

from dateutil.rrule import rrulestr

from scheduler.availability.history import NOTICE, Downtime, Recurrence, Revision
from scheduler.availability.timelines.axis import BEGINNING, END, Stretch, common, united
from scheduler.model.instants import Instant, as_micro, as_time

_UNTIL = re.compile(r"UNTIL=(\d{8}T\d{6})Z", re.IGNORECASE)
_LAST_DAY = re.compile(r"(UNTIL=\d{8})(?=;|$)", re.IGNORECASE)
"""The end of a series as a date: the whole of that local day belongs to it, as the start is a time."""
_TOO_FAST = re.compile(r"FREQ=(SECONDLY|MINUTELY|HOURLY)", re.IGNORECASE)
_NO_STEP = re.compile(r"(INTERVAL|COUNT)=(?!\+?0*[1-9])", re.IGNORECASE)
_LOOKED_AT = 24
"""So many comings show whether a rule comes more often than every hour."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """One downtime on the wall clock: disjoint stretches, in order."""

    whole: list[Stretch]
    scheduled: list[Stretch]


def agreed(downtime: Downtime, until: Instant) -> Agreed:
    """Return which instants a downtime covers, and which of them had notice; of a recurring one, what begins before `until`."""
    revisions = sorted(downtime.revisions, key=lambda one: one.declared_at)
    whole = united([(revisions[-1].start, revisions[-1].end)]) if revisions else []
    scheduled = without(whole, united(list(_without_notice(revisions)))) if whole else []
    if downtime.recurrence is None:
        return Agreed(whole, scheduled)
    again = united(list(occurrences(downtime.recurrence, until)))
    declared = END - NOTICE if downtime.declared_at is None else downtime.declared_at
    noticed = common(again, [(declared + NOTICE, END)])
    return Agreed(united(whole + again), united(scheduled + noticed))


def occurrences(again: Recurrence, until: Instant) -> Iterator[Stretch]:
    """Yield a recurring window's stretches, each of its exact length, as far as they begin before `until`.

    The one that was open when the downtime was called off ends there: shortening ends the credit.
    """
    zone = zoneinfo.ZoneInfo(again.zone)
    ended = END if again.ended is None else again.ended
    end = min(until, ended, END if again.until is None else again.until)
    # Local time may run back by hours at a change of the clocks: what is searched for reaches a day further.
    last = as_time(end, again.zone).replace(tzinfo=None)
    for local in _rule(again):
        begin = as_micro(local.replace(tzinfo=zone))
        if begin < end:
            yield begin, min(begin + again.length, ended)
        elif (local - last).days > 0:
            return


def rule_problem(rule: str, start: str) -> str:
    """Say what is wrong with a recurrence rule and its first local time; empty: nothing."""
    if not re.search(r"\bFREQ=", rule, re.IGNORECASE):
        return "does not say how often it comes (FREQ)"
    if _TOO_FAST.search(rule):
        return "comes every hour or more often"
    if found := _NO_STEP.search(rule):
        return f"needs at least 1 as its {found[1].upper()}"
    try:
        made = rrulestr(_LAST_DAY.sub(r"\1T235959", _UNTIL.sub(r"UNTIL=\1", rule)), dtstart=datetime.fromisoformat(start))
        first = list(islice(made, _LOOKED_AT + 1))
    except (ValueError, TypeError, KeyError) as error:
        return f"is no rule of RFC 5545: {error}"
    return _coming_problem(first, start)


def _coming_problem(first: list[datetime], start: str) -> str:
    if not first:
        return "never comes"
    if len(first) > _LOOKED_AT and first[-1] - first[0] <= timedelta(days=1):
        return "comes every hour or more often"
    if first[0] != datetime.fromisoformat(start).replace(microsecond=0):  # a calendar counts its start; nobody means that here
        return f"does not come at its start {start}: it first comes at {first[0].isoformat()}"
    return ""


def without(some: list[Stretch], others: list[Stretch]) -> list[Stretch]:
    """Return what lies in the first and not in the second; both are disjoint and in order."""
    edges = [(BEGINNING * 2, BEGINNING * 2), *others, (END * 2, END * 2)]
    return common(some, [(end, start) for (_, end), (start, _) in pairwise(edges)])


def _rule(again: Recurrence) -> Iterator[datetime]:
    """Yield local times without zone: a rule speaks of the local calendar."""

    def local(found: re.Match[str]) -> str:
        moment = datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        return f"UNTIL={moment.astimezone(zoneinfo.ZoneInfo(again.zone)):%Y%m%dT%H%M%S}"

    if _NO_STEP.search(again.rule):  # a journal may hold one that is never over: it comes at its first time, again and again
        yield datetime.fromisoformat(again.start)
        return
    yield from rrulestr(_LAST_DAY.sub(r"\1T235959", _UNTIL.sub(local, again.rule)), dtstart=datetime.fromisoformat(again.start))


def _without_notice(revisions: list[Revision]) -> Iterator[Stretch]:
    """Yield the instants for which, some time in the 24 hours before, nothing or something else was declared."""
    yield BEGINNING * 2, revisions[0].declared_at + NOTICE
    for one, following in zip(revisions, [*revisions[1:], None], strict=True):
        if following is not None and following.declared_at == one.declared_at:
            continue
        begin, end = one.declared_at + 1, END * 2 if following is None else following.declared_at + NOTICE
        yield from without([(begin, end)], united([(one.start, one.end)]))
