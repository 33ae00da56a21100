"""How objects and groups stand at one instant, and which member brought a group down. Pure.

A group's status is that of its truth table or count, of its members of now. Since when it has been so is said only as far as
the members' present statuses prove it: what they were before is taken to have been the contrary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from scheduler.availability.history import EVERYTHING, Group, Member, Status
from scheduler.availability.timelines.axis import BEGINNING, Stretch, common, united
from scheduler.availability.timelines.groups import Part, in_order, of_members
from scheduler.availability.timelines.timeline import ARGO, CODE, PENDING, Timeline
from scheduler.model.instants import Instant
from scheduler.oncall.incident import Quiet

UP = frozenset({Status.OK, Status.WARNING})


@dataclass(frozen=True, slots=True)
class ObjectStanding:
    """How one object or group stands."""

    status: Status
    since: Instant
    exists: bool = True
    """False: it was retired, or is a group without a member now."""


@dataclass(frozen=True, slots=True)
class Structure:
    """What belongs together: the site's groups, and what something is promised of."""

    groups: tuple[Group, ...] = ()
    promised: Mapping[str, str] = field(default_factory=dict)
    """How the names of an objective's alerts begin -> the object or group that it is about."""

    @property
    def by_name(self) -> dict[str, Group]:
        """The groups by name."""
        return {group.name: group for group in self.groups}


def with_groups(standing: Mapping[str, ObjectStanding], groups: Sequence[Group], at: Instant) -> dict[str, ObjectStanding]:
    """Add how the groups stand at an instant."""
    found = dict(standing)
    for group in in_order(groups):
        there = [(found[one.name], one) for one in members_at(group, at) if one.name in found and found[one.name].exists]
        found[group.name] = _of_group(group, there, at)
    return found


def members_at(group: Group, at: Instant) -> list[Member]:
    """Return a group's members at an instant."""
    return [one for one in group.members if (one.start is None or one.start <= at) and (one.end is None or at < one.end)]


def below(group: Group, groups: Mapping[str, Group], at: Instant) -> frozenset[str]:
    """Return the names of all objects in a group and in the groups in it."""
    names: set[str] = set()
    for one in members_at(group, at):
        names |= below(groups[one.name], groups, at) if one.name in groups else {one.name}
    return frozenset(names)


def ill(group: Group, groups: Mapping[str, Group], standing: Mapping[str, ObjectStanding], at: Instant) -> frozenset[str]:
    """Return what is not up in a group: objects, and groups in it that are not up though all their objects are.

    A group in it that is CRITICAL without a CRITICAL member is one of them too: it is its own root.
    """
    found: set[str] = set()
    for name in (one.name for one in members_at(group, at) if one.name in standing):
        within = ill(groups[name], groups, standing, at) if name in groups else frozenset()
        status = standing[name].status if standing[name].exists else Status.OK
        own = name in groups and status is Status.CRITICAL and not _critical(groups[name], standing, at)
        found |= within | ({name} if own or (not within and status not in UP) else set())
    return frozenset(found)


def culprits(group: Group, groups: Mapping[str, Group], standing: Mapping[str, ObjectStanding], at: Instant) -> Iterator[str]:
    """Yield the objects that are CRITICAL in a group, or in a group in it that is CRITICAL itself."""
    for name in _critical(group, standing, at):
        if name in groups:
            yield from culprits(groups[name], groups, standing, at)
        else:
            yield name


def root(name: str, groups: Mapping[str, Group], standing: Mapping[str, ObjectStanding], at: Instant) -> str:
    """Return the object that brought a CRITICAL group down: the last that went bad before the group did.

    An object is its own root, and so is a group that is bad without a bad member (too few are left).
    """
    while name in groups:
        bad = _critical(groups[name], standing, at)
        before = [one for one in bad if standing[one].since <= standing[name].since] or bad
        if not before:
            return name
        name = max(before, key=lambda one: standing[one].since)
    return name


def _critical(group: Group, standing: Mapping[str, ObjectStanding], at: Instant) -> list[str]:
    names = [one.name for one in members_at(group, at) if one.name in standing and standing[one.name].exists]
    return [name for name in names if standing[name].status is Status.CRITICAL]


def _of_group(group: Group, there: Sequence[tuple[ObjectStanding, Member]], at: Instant) -> ObjectStanding:
    status, since = _folded(group, there, Status.OK)
    if status in UP:
        _, since = _folded(group, there, Status.CRITICAL)
    if status is None:
        return ObjectStanding(Status.MISSING, at, exists=False)
    return ObjectStanding(status, max((one.since for one, _ in there), default=at) if since <= BEGINNING else since)


def _folded(group: Group, there: Sequence[tuple[ObjectStanding, Member]], before: Status) -> tuple[Status | None, Instant]:
    """Return a group's status and since when, taking its members to have been `before` before; None: it is not there."""
    made = of_members(group, [Part(_line(one, before), None, member.weight) for one, member in there])
    code = int(made.states[-1] & CODE)
    return (None if code >= PENDING else Status(code)), int(made.starts[-1])


def _line(one: ObjectStanding, before: Status) -> Timeline:
    codes = [before, one.status] if one.status is not before else [before]
    starts = [BEGINNING, one.since][: len(codes)]
    return Timeline(np.array(starts, np.int64), np.array([code | code << ARGO for code in codes], np.int16))


# --- whose downtime keeps whom quiet ----------------------------------------------------------------------------------


def spread(
    quiet: Iterable[Quiet], structure: Structure, standing: Mapping[str, ObjectStanding], names: Iterable[str], at: Instant
) -> Iterator[Quiet]:
    """Yield the spans in which `names` are quiet by groups and objectives, as these stand at an instant.

    Rules:
    1. A downtime of a group keeps a member quiet that serves no group outside downtimes: a host of two services goes on paging
       for the other one.
    2. A group is quiet while every bad object that makes it bad is in a downtime.
    3. An alert on an error budget is quiet while what the promise is about is: the object, the group, or - while the group is
       not bad, so that the alert tells of what was - any member of it.

    Figures know nothing of this: who is paged and what is counted are two questions.
    """
    agreed = _Agreed(quiet, structure, standing, at)
    for name in sorted(set(names)) if agreed.own else ():
        for start, end in agreed.of(name):
            yield Quiet(frozenset({name}), start, end)


class _Agreed:
    """All agreed downtimes by name, with the groups in which each name is."""

    def __init__(
        self, quiet: Iterable[Quiet], structure: Structure, standing: Mapping[str, ObjectStanding], at: Instant
    ) -> None:
        self.own: dict[str, list[Stretch]] = {}
        for one in quiet:
            start = one.start if one.declared_at is None else max(one.start, one.declared_at)
            for name in one.objects:
                self.own.setdefault(name, []).append((start, one.end))
        self._groups = structure.by_name
        self._promised = structure.promised
        self._standing = standing
        self._at = at
        self._above: dict[str, list[Group]] = {}
        for group in structure.groups:
            for member in members_at(group, at):
                self._above.setdefault(member.name, []).append(group)

    def of(self, name: str) -> list[Stretch]:
        """Return when a name is quiet, its own downtimes included."""
        about = next((target for alert, target in self._promised.items() if name.startswith(alert)), name)
        if about not in self._groups:
            return self._declared(about)
        group, found = self._groups[about], self._declared(about)
        bad = list(culprits(group, self._groups, self._standing, self._at))
        if bad:
            found += _all([self._declared(one) for one in bad])
        elif about != name and self._standing[about].status is not Status.CRITICAL:
            found += [stretch for member in below(group, self._groups, self._at) for stretch in self._declared(member)]
        return united(found)

    def _declared(self, name: str) -> list[Stretch]:
        """Return when something is in a downtime of its own, or in those of all the groups that it is in."""
        mine = united([*self.own.get(EVERYTHING, ()), *self.own.get(name, ())])
        above = self._above.get(name, ())
        if not above:
            return mine
        return united(mine + _all([self._declared(group.name) for group in above]))


def _all(spans: list[list[Stretch]]) -> list[Stretch]:
    """Return what lies in all of them."""
    found, *others = spans
    for one in others:
        found = common(found, one)
    return found
