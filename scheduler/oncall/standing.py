"""How objects and groups stand at one instant, and which member brought a group down. Pure.

A group's status is that of its truth table or count, of its members of now. Since when it has been so is said only as far as
the members' present statuses prove it: what they were before is taken to have been the contrary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from scheduler.availability.history import Group, Member, Status
from scheduler.availability.timelines.axis import BEGINNING
from scheduler.availability.timelines.groups import Part, in_order, of_members
from scheduler.availability.timelines.timeline import ARGO, CODE, PENDING, Timeline
from scheduler.model.instants import Instant

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
