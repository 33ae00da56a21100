"""What is wrong between the parts of a history: unknown names, two of one name, circles of groups, ends before starts."""

from __future__ import annotations

import heapq
import zoneinfo
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from environments.names import nearest
from scheduler.availability.files.contradictions import contradictions, unheeded, unused
from scheduler.availability.files.strategies import instances_of
from scheduler.availability.history import EVERYTHING, Operator
from scheduler.availability.timelines import windows
from scheduler.availability.timelines.downtimes import rule_problem
from scheduler.model.instants import write_instant

if TYPE_CHECKING:
    from environments.nodes import YamlNode
    from environments.problems import KeyPath, Problem
    from scheduler.availability.files.written import WrittenDowntime, WrittenGroup, WrittenHistory, WrittenMember, WrittenSpan


MOST_HINTED = 100
"""Of so many unknown names in events, at most, the nearest known one is looked for."""


@cache
def is_zone(name: str) -> bool:
    """Tell whether a time zone of this name is known here."""
    return name in zoneinfo.available_timezones()


def problems(written: WrittenHistory, node: YamlNode, *, whole: bool = True) -> Iterator[Problem]:
    """Return all that is wrong between the parts of a history; `whole`: its events are all there, and in their places."""
    objects = {one.name for one in written.objects}
    names = objects | {one.name for one in written.groups}
    names |= {instances_of(one.name) for one in written.groups if one.address}
    yield from _twice(written, node)
    yield from contradictions(written, node)
    yield from _unknown_events(written, node, objects, names)
    yield from _existence(written, node)
    yield from _groups(written, node, names)
    if whole:  # a bundle of before these were refused stays readable
        yield from _confirmed_first(written, node)
        yield from (wrong for index, group in enumerate(written.groups) for wrong in unused(group, node, ("groups", index)))
    yield from _downtimes(written, node, names)
    yield from _exclusions(written, node, names)
    unknown = [(i, one.object) for i, one in enumerate(written.corrections) if one.object not in objects]
    for index, name in unknown:
        yield _unknown(node, ("corrections", index, "object"), name, objects)
    if whole and not unknown:
        yield from unheeded(written, node)
    for index, gap in enumerate(written.gaps):
        yield from _ends_first(gap, node, ("gaps", index))
    yield from _objectives(written, node, names)


def _twice(written: WrittenHistory, node: YamlNode) -> Iterator[Problem]:
    seen: dict[str, KeyPath] = {}
    named = [("objects", i, one.name) for i, one in enumerate(written.objects)]
    named += [("groups", i, one.name) for i, one in enumerate(written.groups)]
    named += [("groups", i, instances_of(one.name)) for i, one in enumerate(written.groups) if one.address]
    for kind, index, name in named:
        if name == EVERYTHING:
            yield node.problem((kind, index, "name"), f"{name!r} means everything", "another name")
        if name in seen:
            line = node.walk(seen[name])[0].mark.line
            message = f"{name!r} is the name of two things: first in line {line}"
            yield node.problem((kind, index, "name"), message, "each name once among objects and groups")
        seen.setdefault(name, (kind, index, "name"))
    for listed, ids in (
        ("downtimes", [one.id for one in written.downtimes]),
        ("exclusions", [one.id for one in written.exclusions]),
        ("corrections", [one.id for one in written.corrections]),
        ("objectives", [one.name for one in written.objectives]),
    ):
        for index, one in enumerate(ids):
            if one and one in ids[:index]:
                key = "name" if listed == "objectives" else "id"
                yield node.problem((listed, index, key), f"{one!r} stands here twice", "each once")


def _unknown(node: YamlNode, path: KeyPath, name: str, known: set[str], *, hint: bool = True) -> Problem:
    expected = f"one of: {', '.join(heapq.nsmallest(12, known))}" if known else "a name from `objects`"
    return node.problem(path, f"no object or group is called {name!r}", expected, nearest(name, known) if hint else "")


def _unknown_events(written: WrittenHistory, node: YamlNode, objects: set[str], names: set[str]) -> Iterator[Problem]:
    unknown = 0
    for index, event in enumerate(written.events):
        if event.object in objects:
            continue
        unknown += 1
        if event.object in names:
            message = f"{event.object!r} is a group: its status follows from its members"
            yield node.problem(("events", index, "object"), message, "the name of an object")
        else:
            yield _unknown(node, ("events", index, "object"), event.object, objects, hint=unknown <= MOST_HINTED)


def _confirmed_first(written: WrittenHistory, node: YamlNode) -> Iterator[Problem]:
    for index, event in enumerate(written.events):
        if event.confirmed is not None and event.confirmed < event.at:
            message = f"{write_instant(event.confirmed)} lies before `at` ({write_instant(event.at)})"
            yield node.problem(("events", index, "confirmed"), message, "the last of its repetitions: `at` or later")


def _existence(written: WrittenHistory, node: YamlNode) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for event in written.events:
        first[event.object] = min(event.at, first.get(event.object, event.at))
    for index, one in enumerate(written.objects):
        for number, span in enumerate(one.exists):
            start = first.get(one.name) if span.start is None else span.start
            if start is not None and span.end is not None and span.end <= start:
                message = "ends before it begins" if span.start is not None else "ends before its first event"
                yield node.problem(("objects", index, "exists", number, "end"), message, "an instant after it")


def _ends_first(span: WrittenSpan, node: YamlNode, path: KeyPath) -> Iterator[Problem]:
    if span.end is not None and span.end <= span.start:
        yield node.problem((*path, "end"), "ends before it begins", "an instant after its start")


def _groups(written: WrittenHistory, node: YamlNode, names: set[str]) -> Iterator[Problem]:
    below = {group.name: [group.address, *(member.name for member in group.members)] for group in written.groups}
    for index, group in enumerate(written.groups):
        for number, member in enumerate(group.members):
            path = ("groups", index, "members", number)
            if member.name not in names:
                yield _unknown(node, (*path, "name"), member.name, names)
            elif _reaches(member.name, group.name, below):
                yield node.problem((*path, "name"), f"{group.name!r} would be a member of itself", "groups without a circle")
            if member.start is not None and member.end is not None and member.end <= member.start:
                yield node.problem((*path, "end"), "ends before it begins", "an instant after its start")
            if any(other.name == member.name and _meet(other, member) for other in group.members[:number]):
                yield node.problem(
                    (*path, "name"), f"{member.name!r} is a member twice at once", "each member once at any time"
                )
        yield from _operator(group, node, ("groups", index), names)
        if group.operator is Operator.CAPACITY and group.members and not sum(one.weight for one in group.members):
            yield node.problem(("groups", index, "members"), "weigh nothing together", "a weight above 0")


def _meet(one: WrittenMember, other: WrittenMember) -> bool:
    return all(a.end is None or b.start is None or b.start < a.end for a, b in ((one, other), (other, one)))


def _operator(group: WrittenGroup, node: YamlNode, path: KeyPath, names: set[str]) -> Iterator[Problem]:
    if group.operator is None and not group.strategy:
        yield node.problem((*path, "operator"), "is missing", f"one of: {', '.join(Operator)}; or a strategy")
    if group.address and (group.operator is not None or not group.strategy):
        yield node.problem((*path, "address"), "needs a strategy, and no operator", "strategy: active/standby")
    if group.address and group.address not in names:
        yield _unknown(node, (*path, "address"), group.address, names)


def _reaches(start: str, goal: str, below: dict[str, list[str]]) -> bool:
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            waiting += below.get(name, [])
    return False


def _targets(node: YamlNode, path: KeyPath, objects: tuple[str, ...], names: set[str]) -> Iterator[Problem]:
    for number, name in enumerate(objects):
        if name != EVERYTHING and name not in names:
            yield _unknown(node, (*path, "objects", number), name, names)


def _downtimes(written: WrittenHistory, node: YamlNode, names: set[str]) -> Iterator[Problem]:
    for index, downtime in enumerate(written.downtimes):
        path: KeyPath = ("downtimes", index)
        yield from _targets(node, path, downtime.objects, names)
        yield from _form(downtime, node, path)
        for number, revision in enumerate(downtime.revisions):
            place = (*path, "revisions", number)
            if revision.end < revision.start:
                yield node.problem((*place, "end"), "ends before it begins", "an instant not before its start")
            above = downtime.revisions[number - 1] if number else None
            if above and revision.declared < above.declared:
                yield node.problem((*place, "declared"), "was declared before the one above", "revisions in their order")
            if above and revision.declared == above.declared and (revision.start, revision.end) != (above.start, above.end):
                message = "was declared at the instant of the one above, and says another span"
                yield node.problem((*place, "declared"), message, "one of them, or when each was said")
        if downtime.start is not None and downtime.end is not None and downtime.end < downtime.start:
            yield node.problem((*path, "end"), "ends before it begins", "an instant not before its start")
        if downtime.recurring is not None:
            yield from _recurring(downtime, node, (*path, "recurring"))


def _form(downtime: WrittenDowntime, node: YamlNode, path: KeyPath) -> Iterator[Problem]:
    """Say where a downtime is not told in one of three ways, or not wholly."""
    plain = {"start": downtime.start, "end": downtime.end}
    given = [key for key, value in plain.items() if value is not None]
    ways = [bool(given), bool(downtime.revisions), downtime.recurring is not None]
    if sum(ways) != 1:
        message = "is told in two ways" if any(ways) else "has no time"
        yield node.problem(path, message, "start, end and declared; or revisions; or recurring with declared")
        return
    needed = {**plain, "declared": downtime.declared} if given else {"declared": downtime.declared}
    for key, value in needed.items():
        if value is None and not downtime.revisions:
            yield node.problem((*path, key), "is missing", "without it nobody can tell whether there was notice")
    if downtime.revisions and downtime.declared is not None:
        yield node.problem((*path, "declared"), "does not belong beside revisions", "each revision says when it was declared")


def _recurring(downtime: WrittenDowntime, node: YamlNode, path: KeyPath) -> Iterator[Problem]:
    again = downtime.recurring
    assert again is not None
    if again.length == 0:
        yield node.problem((*path, "length"), "is nothing", "an amount above 0")
    try:
        datetime.fromisoformat(again.start)
    except ValueError as error:
        yield node.problem((*path, "start"), f"is no local time: {error}", "2026-03-03T09:00:00")
        return
    if wrong := rule_problem(again.rule, again.start.replace(" ", "T")):
        yield node.problem((*path, "rule"), wrong, "an RRULE like FREQ=WEEKLY;BYDAY=TU")


def _exclusions(written: WrittenHistory, node: YamlNode, names: set[str]) -> Iterator[Problem]:
    for index, exclusion in enumerate(written.exclusions):
        yield from _targets(node, ("exclusions", index), exclusion.objects, names)
        if exclusion.end <= exclusion.start:
            yield node.problem(("exclusions", index, "end"), "ends before it begins", "an instant after its start")


def _objectives(written: WrittenHistory, node: YamlNode, names: set[str]) -> Iterator[Problem]:
    for index, one in enumerate(written.objectives):
        if one.object not in names:
            yield _unknown(node, ("objectives", index, "object"), one.object, names)
        try:
            windows.named(one.window, 0, "UTC")
        except PydanticCustomError as error:
            said = error.context or {}
            yield node.problem(("objectives", index, "window"), error.message(), said["expected"], said["nearest"])
        for number, span in enumerate(one.applies or ()):
            yield from _ends_first(span, node, ("objectives", index, "applies", number))
