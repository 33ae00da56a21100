"""The on-call file `oncall.yaml`, read and checked as a whole, and turned into the rules that incidents follow."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from environments.checking import checked
from environments.names import is_plain_file, nearest, nearest_file, one_of
from environments.problems import ConfigurationError, KeyPath, Problem
from environments.reader import read, read_content
from scheduler.model import instants
from scheduler.model.instants import SECOND, Instant
from scheduler.oncall.hours import ResponseTimes
from scheduler.oncall.incident import Level, Quiet, Rules
from scheduler.oncall.rotation import Layer, Override, Roster, Swap
from scheduler.oncall.watch import Watching
from scheduler.oncall.written import Holiday, LayerSettings, OnCall

if TYPE_CHECKING:
    from environments.nodes import YamlNode
    from scheduler.availability.history import Span


@dataclass(frozen=True, slots=True)
class OnCallFile:
    """A checked on-call file."""

    path: Path
    settings: OnCall
    rules: Rules
    """Without downtimes, and without the holidays of iCalendar files."""

    def rules_until(self, until: Instant) -> Rules:
        """Return the rules with the holidays of the iCalendar files up to an instant."""
        spans = [span for name in self.settings.holiday_calendars for span in _closures(self, name, until)]
        return replace(self.rules, promise=replace(self.rules.promise, closures=tuple(spans))) if spans else self.rules


def _closures(found: OnCallFile, name: str, until: Instant) -> tuple[Span, ...]:
    from scheduler.availability.files import calendars

    path = found.path.parent / name
    return calendars.periods(calendars.read(read_content(path), str(path), until, found.settings.zone))


def load(path: Path) -> OnCallFile:
    """Read an on-call file; whatever is wrong with it is a ConfigurationError with all problems."""
    problems: list[Problem] = []
    found = understood(read(path), path, problems)
    if found is None or problems:
        raise ConfigurationError(problems)
    return found


def understood(node: YamlNode, path: Path, problems: list[Problem], above: KeyPath = ()) -> OnCallFile | None:
    """Check an on-call mapping that stands in `path` under the keys `above`; what is wrong is added to `problems`."""
    settings = checked(OnCall, node, problems, above, context={"zone": zone_of(node)}, onward=True)
    if settings is None:
        return None
    wrong = [*_people(settings, node), *_layers(settings, node), *_spans(settings, node), *_calendars(settings, node, path)]
    problems += [_below(problem, above) for problem in wrong]
    return None if wrong else OnCallFile(path, settings, rules_of(settings))


def zone_of(node: YamlNode) -> str:
    """Return the zone in which a mapping's local times are read: its own, when there is such a zone."""
    named = node.items.get("zone")
    known = named is not None and isinstance(named.value, str) and named.value in zoneinfo.available_timezones()
    return str(named.value) if known and named is not None else "UTC"


def rules_of(settings: OnCall, quiet: Iterable[Quiet] = ()) -> Rules:
    """Turn settings into what the arithmetic takes."""
    days = (day for holiday in settings.holidays for day in _dates(holiday))
    promise = ResponseTimes(
        zone=settings.zone,
        hours=settings.business_hours.weekly(),
        holidays=frozenset(days),
        business=settings.response.business_seconds * SECOND,
        other=settings.response.other_seconds * SECOND,
    )
    rotations = {name: tuple(_layer(layer, settings.zone) for layer in one.layers) for name, one in settings.rotations.items()}
    overrides = tuple(Override(one.rotation, one.person, one.start, one.end, one.reason) for one in settings.overrides)
    swaps = tuple(Swap(one.rotation, one.people[0], one.people[1], one.start, one.end) for one in settings.swaps)
    return Rules(
        promise=promise,
        roster=Roster(rotations, overrides, swaps),
        levels=tuple(Level(one.notify, one.wait_seconds * SECOND) for one in settings.escalation.levels),
        repeat=settings.escalation.repeat,
        reopen=settings.reopen_seconds * SECOND,
        quiet=tuple(quiet),
    )


def watching_of(settings: OnCall) -> Watching:
    """Return which statuses open incidents, and how."""
    return Watching(
        objects=settings.objects,
        confirm=settings.confirm_seconds * SECOND,
        together=settings.common_cause_objects,
        gather=settings.common_cause_seconds * SECOND,
    )


def _layer(layer: LayerSettings, zone: str) -> Layer:
    during = layer.during.weekly() if layer.during else None
    return Layer(layer.people, layer.start, layer.zone or zone, layer.handover, layer.shift_days, during, layer.end)


def _dates(holiday: Holiday) -> Iterator[date]:
    for days in range(((holiday.last or holiday.date) - holiday.date).days + 1):
        yield holiday.date + timedelta(days=days)


def _below(problem: Problem, above: KeyPath) -> Problem:
    return replace(problem, key=".".join([*map(str, above), problem.key])) if above else problem


# --- what does not fit together ---------------------------------------------------------------------------------------


def _people(settings: OnCall, node: YamlNode) -> Iterator[Problem]:
    """Find names of people and rotations that nobody bears."""
    people, rotations = settings.people, settings.rotations
    named: list[tuple[KeyPath, str]] = []
    for name, rotation in rotations.items():
        for number, layer in enumerate(rotation.layers):
            path: KeyPath = ("rotations", name, "layers", number, "people")
            named += [((*path, place), person) for place, person in enumerate(layer.people)]
    named += [(("overrides", i, "person"), one.person) for i, one in enumerate(settings.overrides)]
    named += [
        (("swaps", i, "people", k), person) for i, one in enumerate(settings.swaps) for k, person in enumerate(one.people)
    ]
    yield from (_nobody(node, path, person, people, "person") for path, person in named if person not in people)
    asked: list[tuple[KeyPath, str]] = [
        (("overrides", i, "rotation"), one.rotation) for i, one in enumerate(settings.overrides)
    ]
    asked += [(("swaps", i, "rotation"), one.rotation) for i, one in enumerate(settings.swaps)]
    yield from (_nobody(node, path, name, rotations, "rotation") for path, name in asked if name not in rotations)
    targets = {**people, **rotations}
    for i, level in enumerate(settings.escalation.levels):
        if level.notify not in targets:
            yield _nobody(node, ("escalation", "levels", i, "notify"), level.notify, targets, "rotation or person")
    for name in rotations:
        if name in people:
            message = f"{name!r} is the name of a person too"
            yield node.problem(("rotations", name), message, "a name of its own", key=True)


def _nobody(node: YamlNode, path: KeyPath, name: str, known: Mapping[str, object], what: str) -> Problem:
    near = nearest(name, known)
    return node.problem(path, f"there is no {what} {name!r}", "" if near else one_of(known), near)


def _layers(settings: OnCall, node: YamlNode) -> Iterator[Problem]:
    for name, rotation in settings.rotations.items():
        for key in ("during", "end"):
            if getattr(rotation.layers[0], key) is not None:
                message = "the lowest layer covers all time: somebody is always on call"
                yield node.problem(
                    ("rotations", name, "layers", 0, key), message, f"no `{key}` here; a layer above it", key=True
                )
        for number, layer in enumerate(rotation.layers):
            if layer.end is not None and layer.end <= layer.start:
                path: KeyPath = ("rotations", name, "layers", number, "end")
                yield node.problem(path, f"{layer.end} is not after the start ({layer.start})", "a later date")
    hours = settings.business_hours
    if hours.end <= hours.start:
        yield node.problem(("business_hours", "end"), "is not after the start", "a later time of the same day")
    for index, holiday in enumerate(settings.holidays):
        if holiday.last is not None and not 0 <= (holiday.last - holiday.date).days <= 366:
            message = f"{holiday.last} does not end a holiday that begins on {holiday.date}"
            yield node.problem(("holidays", index, "last"), message, "a date at most a year later")
    for name, person in settings.people.items():
        for index, address in enumerate(person.addresses):
            if (address.file is None) == (address.environment is None):
                yield node.problem(
                    ("people", name, "addresses", index), "an address stands in one place", "either `file` or `environment`"
                )


def _calendars(settings: OnCall, node: YamlNode, path: Path) -> Iterator[Problem]:
    for index, name in enumerate(settings.holiday_calendars):
        file = path.parent / name
        if not is_plain_file(file):
            place: KeyPath = ("holiday_calendars", index)
            yield node.problem(place, f"there is no file {file}", "an iCalendar file", nearest_file(file))


def _spans(settings: OnCall, node: YamlNode) -> Iterator[Problem]:
    """Find spans that end before they begin, overrides that overlap and swaps of one person with himself."""
    ends: list[tuple[KeyPath, bool]] = [
        (("overrides", i, "end"), one.start < one.end) for i, one in enumerate(settings.overrides)
    ]
    ends += [(("swaps", i, "end"), one.start < one.end) for i, one in enumerate(settings.swaps)]
    yield from (node.problem(path, "is not after the start", "a later instant") for path, right in ends if not right)
    yield from _overlapping(settings, node)
    for i, swap in enumerate(settings.swaps):
        if swap.people[0] == swap.people[1]:
            yield node.problem(("swaps", i, "people"), f"{swap.people[0]} swaps with nobody", "two people")


def _overlapping(settings: OnCall, node: YamlNode) -> Iterator[Problem]:
    """Find overrides that overlap; of each it is told once, with the one that reaches furthest."""
    reaching: dict[str, int] = {}
    for i, one in sorted(enumerate(settings.overrides), key=lambda numbered: numbered[1].start):
        k = reaching.setdefault(one.rotation, i)
        other = settings.overrides[k]
        if k != i and one.start < other.end:
            line = node.walk(("overrides", min(i, k)))[0].mark.line
            start = instants.write_instant(max(one.start, other.start), settings.zone)
            people = (settings.overrides[max(i, k)].person, settings.overrides[min(i, k)].person)
            message = f"from {start} on {people[0]} and {people[1]} (line {line}) would both be on call"
            yield node.problem(("overrides", max(i, k)), message, "overrides of one rotation that do not overlap")
        if one.end > other.end:
            reaching[one.rotation] = i
