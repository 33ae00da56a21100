"""Whose downtime keeps whom quiet, by way of groups and objectives. Pure.

Rules:
1. A downtime of a group keeps a member quiet that serves no group outside downtimes: a host of two services goes on paging
   for the other one.
2. A group is quiet while every bad object that makes it bad is in a downtime.
3. An alert on an error budget is quiet while what the promise is about is: the object, the group, or - while the group is
   not bad, so that the alert tells of what was - any member of it.
Figures know nothing of this: who is paged and what is counted are two questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from scheduler.availability.history import EVERYTHING, Group, Status
from scheduler.availability.timelines.axis import Stretch, common, united
from scheduler.oncall.incident import Quiet
from scheduler.oncall.standing import ObjectStanding, Structure, below, culprits, members_at

if TYPE_CHECKING:
    from scheduler.model.instants import Instant


def spread(
    quiet: Iterable[Quiet], structure: Structure, standing: Mapping[str, ObjectStanding], names: Iterable[str], at: Instant
) -> Iterator[Quiet]:
    """Yield the spans in which `names` are quiet by groups and objectives, as these stand at an instant."""
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
