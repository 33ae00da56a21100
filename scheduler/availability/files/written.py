"""The history file as its author writes it: the documented format of `ambienti report --history`, checked key by key."""

from __future__ import annotations

import re
import zoneinfo
from fractions import Fraction
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from environments.checking import named_error
from environments.environment import Frozen
from environments.names import nearest
from environments.text import in_lines, in_one_line
from scheduler.availability.files.strategies import Strategy
from scheduler.availability.history import Cause, ObjectKind, Operator, Status
from scheduler.availability.measuring.profiles import PROFILES
from scheduler.availability.timelines.algebra import shipped
from scheduler.model import instants

CODES = {str(code): Status(code) for code in range(4)}
"""Exit codes of Nagios plug-ins."""
STATUSES = {status.name: status for status in Status} | {
    "UP": Status.OK,
    "DOWN": Status.CRITICAL,
    "WARN": Status.WARNING,
    "CRIT": Status.CRITICAL,
}
OPERATORS = {operator.value: operator for operator in Operator} | {"all": Operator.AND, "any": Operator.OR}

_NUMBER_OR_TEXT = [{"type": "number"}, {"type": "string"}]


def _zone_of(info: ValidationInfo) -> str:
    return str(info.context["zone"]) if info.context else "UTC"


def _instant(value: object, info: ValidationInfo) -> object:
    return instants.read_instant(value, _zone_of(info)) if isinstance(value, str) else value


def _duration(value: object) -> object:
    return instants.read_duration(value) if isinstance(value, str) else value


def _ratio(value: object) -> object:
    return instants.read_ratio(value) if isinstance(value, str) else value


def _need(value: object) -> object:
    share = _share(value)
    if share == 0:
        raise named_error(f"{value!r} needs nothing", "a ratio above 0")
    return share


def _share(value: object) -> object:
    share = _ratio(value)
    if isinstance(share, Fraction) and not 0 <= share <= 1:
        raise named_error(f"{value!r} is not between 0 and 1", "a ratio like 99.9%, 0.999 or 999/1000")
    return share


def _status(value: object) -> object:
    if not isinstance(value, str):
        return value
    known = {**STATUSES, **CODES}
    if value.strip().upper() not in known:
        expected = "OK, WARNING, CRITICAL, UNKNOWN, MISSING, or a plug-in's exit code 0-3"
        raise named_error(f"{value!r} is not a status", expected, nearest(value.upper(), STATUSES))
    return known[value.strip().upper()]


def _operator(value: object) -> object:
    if not isinstance(value, str):
        return value
    written = re.sub(r"[ _]+", "-", value.strip().lower())
    if written not in OPERATORS:
        raise named_error(f"{value!r} is not an operator", f"one of: {', '.join(Operator)}", nearest(written, OPERATORS))
    return OPERATORS[written]


def _one_of(known: tuple[str, ...], what: str) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, str) and value not in known:
            raise named_error(f"{value!r} is not {what}", f"one of: {', '.join(filter(None, known))}", nearest(value, known))
        return value

    return BeforeValidator(check)


_zones = cache(zoneinfo.available_timezones)


def _zone(value: object) -> object:
    if isinstance(value, str):
        zones = _zones()
        if value and value not in zones:
            raise named_error(f"no time zone is called {value!r}", "an IANA zone, e.g. Europe/Rome", nearest(value, zones))
    return value


def _algebra(value: object, info: ValidationInfo) -> object:
    own = info.context.get("algebras", ()) if info.context else ()
    versions = (*own, *shipped())
    known = (*versions, *dict.fromkeys(name.rpartition("-")[0] for name in versions))
    if isinstance(value, str) and value and value not in known:
        raise named_error(f"there is no truth table {value}", f"one of: {', '.join(known)}", nearest(value, known))
    return value


When = Annotated[
    int,
    BeforeValidator(_instant),
    WithJsonSchema({"anyOf": _NUMBER_OR_TEXT, "examples": [instants.EXAMPLE_INSTANT], "x-is": "instant"}),
]
Length = Annotated[
    int,
    BeforeValidator(_duration),
    WithJsonSchema({"anyOf": _NUMBER_OR_TEXT, "examples": [instants.EXAMPLE_DURATION], "x-is": "length of time"}),
]
Weight = Annotated[
    Fraction, BeforeValidator(_ratio), WithJsonSchema({"anyOf": _NUMBER_OR_TEXT, "examples": ["2"], "x-is": "ratio"})
]
Share = Annotated[
    Fraction, BeforeValidator(_share), WithJsonSchema({"anyOf": _NUMBER_OR_TEXT, "examples": ["99.9%"], "x-is": "ratio"})
]
Need = Annotated[
    Fraction, BeforeValidator(_need), WithJsonSchema({"anyOf": _NUMBER_OR_TEXT, "examples": ["80%"], "x-is": "ratio"})
]
WrittenStatus = Annotated[
    Status,
    BeforeValidator(_status),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["CRITICAL"], "x-is": "status"}),
]
WrittenOperator = Annotated[
    Operator, BeforeValidator(_operator), WithJsonSchema({"enum": [*Operator, *(one.upper() for one in Operator)]})
]
Zone = Annotated[str, BeforeValidator(_zone), WithJsonSchema({"type": "string", "examples": ["Europe/Rome"], "x-is": "zone"})]
WrittenCause = Annotated[
    str, _one_of(("", *Cause), "a cause of lost time"), WithJsonSchema({"enum": ["", *(cause.value for cause in Cause)]})
]
Profile = Annotated[str, _one_of(PROFILES, "a profile"), WithJsonSchema({"enum": list(PROFILES)})]
NamedAlgebra = Annotated[str, BeforeValidator(_algebra)]
OwnAlgebra = Annotated[Any, WithJsonSchema({"type": ["string", "object"], "examples": ["tables/board-1.yaml"]})]
Text = Annotated[str, in_lines, Field(max_length=10_000)]
Told = Annotated[str, in_lines, Field(min_length=1, max_length=10_000)]
"""Something that must be said."""
Named = Annotated[str, in_one_line, Field(min_length=1, max_length=200)]
Said = Annotated[str, in_one_line, Field(max_length=10_000)]
"""A text of one line."""
Names = Annotated[tuple[Named, ...], Field(min_length=1)]


class WrittenSpan(Frozen):
    """`[start, end)`: the end does not belong to it. Also `from` and `to`."""

    start: When
    """Its first instant."""
    end: When | None = None
    """The first instant after it; left out: it is still going on."""


class Existence(Frozen):
    """A stretch in which the object was declared to exist."""

    start: When | None = None
    """From when on; left out: from its first event on."""
    end: When | None = None
    """Until when; left out: it still exists."""


class WrittenObject(Frozen):
    """Something that is watched: a service, a host, an address."""

    name: Named
    """How events, groups and downtimes call it."""
    kind: ObjectKind = ObjectKind.SERVICE
    """For `icinga` UNKNOWN is a problem of a service, not of a host."""
    exists: tuple[Existence, ...] = ()
    """When it was declared to exist; the time before its first event is pending. Left out: from its first event."""
    freshness: Length | None = None
    """With no event for so long the object is MISSING; left out: a status is believed until the next."""


class WrittenEvent(Frozen):
    """One result of a check, or a status that somebody set. It lasts until the next one of its object."""

    at: When
    """When it was observed."""
    object: Named
    """Of which object."""
    status: WrittenStatus
    """OK, WARNING, CRITICAL, UNKNOWN, MISSING in any case (UP is OK, DOWN is CRITICAL), or a plug-in's exit code 0-3."""
    sequence: Annotated[int, Field(ge=-(2**62), le=2**62)] | None = None
    """Its number in the monitor's order; with it the order is kept through a jump of the clock."""
    monotonic: Length | None = None
    """The monitor's monotonic clock at `at`, in seconds: durations follow it where both ends have one of the same boot."""
    boot: Said = ""
    """Which boot of the monitor `monotonic` belongs to."""
    id: Said = ""
    """Events of one id are one event."""
    received: When | None = None
    """When it reached the log, where that was later."""
    cause: WrittenCause = ""
    """Why seconds are lost while it lasts."""
    text: Text = ""
    """What the check said."""
    confirmed: When | None = None
    """The last of its repetitions, where the same was found again and again: freshness runs from then."""


class WrittenMember(Frozen):
    """Membership of an object or a group, for a time."""

    name: Named
    """Of an object or of another group."""
    start: When | None = None
    """From when on; left out: from the beginning."""
    end: When | None = None
    """When it retired; it counts until then."""
    weight: Weight = Fraction(1)
    """Its part of the capacity."""


class WrittenGroup(Frozen):
    """Objects that are one service together."""

    name: Named
    """Objects and groups share one set of names."""
    operator: WrittenOperator | None = None
    """`and`: all members; `or`: one is enough; `at-least`: `k` of them; `quorum`: of those that are there
    the majority, of two one; `capacity`: the part `need` of their weights. Left out: that of the strategy."""
    members: tuple[WrittenMember, ...] = ()
    """Names, or mappings with name, start, end and weight."""
    k: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """For `at-least`: how many members."""
    need: Need = Fraction(1)
    """For `capacity`: which part of the weights (80%)."""
    strategy: Annotated[str, _one_of(("", *Strategy), "a strategy")] = ""
    """The high-availability strategy it stands for: independent, native, active/standby, active/active, replicated database,
    segmented pools."""
    address: Said = ""
    """With a strategy: the object that is watched at the service's address. The service is measured there; its members are
    the group `<name> instances`."""
    algebra: NamedAlgebra = ""
    """Its truth table: kleene-1, argo-2, one of your own; without a number the newest. Left out: that of the whole file."""


class WrittenRevision(Frozen):
    """What was declared of a downtime, and when."""

    declared: When
    """When it was said."""
    start: When
    """As it was said then."""
    end: When
    """As it was said then."""
    by: Said = ""
    """Who said it."""


class WrittenRecurrence(Frozen):
    """A window that comes back."""

    rule: Named
    """An RRULE of RFC 5545: `FREQ=WEEKLY;BYDAY=TU`."""
    start: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?$")]
    """The first one, in local time: 2026-03-03T09:00:00."""
    length: Length
    """How long each lasts, in elapsed time."""
    zone: Zone = ""
    """Zone of the local time; left out: the history's."""
    until: When | None = None
    """None begins at or after this instant."""
    ended: When | None = None
    """It was called off: nothing of it holds from this instant on."""


class WrittenDowntime(Frozen):
    """An agreed downtime: start, end and declared; or all its revisions; or a recurring window."""

    id: Said = ""
    """Left out: numbered."""
    objects: Names
    """Objects and groups; `*` is all of them. Also `object` for one."""
    start: When | None = None
    """When it begins."""
    end: When | None = None
    """The first instant after it."""
    declared: When | None = None
    """When it was declared: scheduled is only what had 24 hours of notice."""
    by: Said = ""
    """Who declared it."""
    revisions: tuple[WrittenRevision, ...] = ()
    """Instead of start, end and declared: everything that was said, in order (extended, shortened)."""
    recurring: WrittenRecurrence | None = None
    """Instead of start and end: a window that comes back."""
    reason: Text = ""
    """Why."""


class WrittenExclusion(Frozen):
    """Bad time that does not count, once somebody accepted it."""

    id: Said = ""
    """Left out: numbered."""
    objects: Names
    """Objects and groups; `*` is all of them. An exclusion of a member excuses nothing of its group."""
    start: When
    """When it begins."""
    end: When
    """The first instant after it."""
    cause: Named
    """building, network, power, excused downtime..."""
    author: Named
    """Who asks for it."""
    reason: Told
    """Why."""
    accepted_by: Said = ""
    """Who accepted it; left out: it is proposed and excuses nothing."""
    accepted_at: When | None = None
    """When it was accepted."""


class WrittenCorrection(Frozen):
    """A result that came when its time had been told of already. An accepted one stands among the events too, or is refused."""

    id: Text = ""
    """Left out: numbered."""
    object: Named
    """Of which object."""
    at: When
    """When it was observed."""
    status: WrittenStatus
    """As in an event."""
    received: When
    """When it was reported."""
    by: Told
    """Who reported it."""
    text: Text = ""
    """What the check said."""
    accepted_by: Text = ""
    """Who accepted it; left out: it is proposed and changes nothing."""
    accepted_at: When | None = None
    """When it was accepted."""


class WrittenObjective(Frozen):
    """A promise on an object or a group."""

    name: Named
    """How the report calls it."""
    object: Named
    """The object or group it is on."""
    target: Share
    """99.9%, 0.999 or 999/1000; kept exactly."""
    window: Named
    """this-week, past-week, month, quarter, year, today, 7d, 30d, 90d, 365d."""
    zone: Zone = ""
    """Zone of the window; left out: the history's."""
    profile: Profile = "excuse"
    """The accounting profile that decides."""
    applies: tuple[WrittenSpan, ...] | None = None
    """The periods in which it applies (data taking); left out: always."""


class WrittenHistory(Frozen):
    """Everything a report is computed from.

    Instants are ISO 8601, local time of `zone`, or seconds since 1970; they are kept to the microsecond.
    """

    now: When
    """The instant the report is made for: nothing after it counts."""
    zone: Zone = "UTC"
    """IANA zone in which weeks, months and years are cut, and of times without an offset."""
    objects: tuple[WrittenObject, ...] = ()
    """What is watched: names, mappings with a name, or a mapping by name."""
    events: tuple[WrittenEvent, ...] = ()
    """Results of checks, in any order."""
    groups: tuple[WrittenGroup, ...] = ()
    """A list, or a mapping by name."""
    downtimes: tuple[WrittenDowntime, ...] = ()
    """Agreed downtimes."""
    exclusions: tuple[WrittenExclusion, ...] = ()
    """What is to be excused."""
    corrections: tuple[WrittenCorrection, ...] = ()
    """What was corrected of the past, or is to be; told in the report."""
    gaps: tuple[WrittenSpan, ...] = ()
    """When the monitor itself was not there."""
    objectives: tuple[WrittenObjective, ...] = ()
    """What was promised."""
    algebras: tuple[OwnAlgebra, ...] = ()
    """Truth tables of your own: files with name and version, relative to this one, or the tables themselves."""
    algebra: NamedAlgebra = "kleene"
    """The truth table of groups that name none."""
    monotonic_now: Length | None = None
    """The monitor's monotonic clock at `now`, in seconds."""
    boot: Said = ""
    """Which boot of the monitor `monotonic_now` belongs to."""
