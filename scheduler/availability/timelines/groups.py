"""Timelines of groups: instant by instant from those of their members, through a truth table or by counting."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scheduler.availability.history import Algebra, Group, Operator, Status
from scheduler.availability.timelines.algebra import DOWNTIME, FOLDED, of_group, table
from scheduler.availability.timelines.axis import END, Stretch, Whole
from scheduler.availability.timelines.timeline import (
    ARGO,
    CAUSE,
    CODE,
    NEVER,
    NOT_THERE,
    NOTICED,
    PENDING,
    States,
    Timeline,
    distinct,
    state_at,
    tidy,
)

if TYPE_CHECKING:
    from scheduler.availability.timelines.algebra import Table

_NOWHERE = np.int16(NOT_THERE | NOT_THERE << ARGO)
_WIDTH = 8
"""Of a table with PENDING and NOT_THERE beside the six statuses; both change nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """A member of a group."""

    timeline: Timeline
    stretches: Sequence[Stretch] | None
    """When it is a member; None: always."""
    weight: Fraction


def in_order(groups: Iterable[Group]) -> list[Group]:
    """Return groups so that each stands after those that are its members; a circle is refused."""
    known = {group.name: group for group in groups}
    made: dict[str, Group] = {}
    open_: list[str] = []

    def visit(name: str) -> None:
        if name in open_:
            raise ValueError(f"the group {name!r} would be a member of itself: {' > '.join([*open_, name])}")
        if name in made or name not in known:
            return
        open_.append(name)
        for member in known[name].members:
            visit(member.name)
        made[open_.pop()] = known[name]

    for name in known:
        visit(name)
    return list(made.values())


def of_members(group: Group, parts: Sequence[Part]) -> Timeline:
    """Return a group's timeline; its own downtimes and exclusions are not yet in it."""
    if not parts:
        return NEVER
    algebra = of_group(group)
    if group.operator in FOLDED and not _is_of_sets(algebra, group.operator):
        return _one_by_one(parts, table(algebra, group.operator))
    changes = _changes(parts)
    of_sets = _of_sets(algebra, group.operator) if group.operator in FOLDED else None
    codes = _decided(group, parts, changes, of_sets, 0)
    states = codes | codes << ARGO
    if ((changes.after >> ARGO & CODE) == DOWNTIME).any():
        seen = _decided(group, parts, changes, of_sets, ARGO)
        unnoticed = changes.count(lambda states: ((states >> ARGO & CODE) == DOWNTIME) & ((states & NOTICED) == 0))
        states = codes | seen << ARGO | np.where((seen == DOWNTIME) & (unnoticed == 0), NOTICED, 0).astype(np.int16)
    return tidy(changes.starts, states | _causes(changes, codes) << CAUSE)


@dataclass(frozen=True, slots=True)
class _Changes:
    """All changes of all members in the order of time; of those at one instant only what stands after the last one counts."""

    starts: Whole
    before: States
    after: States
    owners: npt.NDArray[np.intp]

    def count(self, which: Callable[[States], npt.NDArray[np.bool_]], weights: npt.NDArray[Any] | None = None) -> Whole:
        """Return after each change how many members, or what weight of them, are of a sort."""
        steps: npt.NDArray[Any] = which(self.after).astype(np.int8) - which(self.before).astype(np.int8)
        return np.cumsum(steps, dtype=np.int64) if weights is None else np.cumsum(steps * weights[self.owners])


def _changes(parts: Sequence[Part]) -> _Changes:
    lines = [part.timeline if part.stretches is None else _membership(part) for part in parts]
    starts = np.concatenate([line.starts for line in lines])
    after = np.concatenate([line.states for line in lines])
    after = np.where((after & CODE) == PENDING, _NOWHERE, after)
    before = np.concatenate([[_NOWHERE], after[:-1]]).astype(np.int16)
    counts = [len(line.starts) for line in lines]
    before[np.cumsum([0, *counts[:-1]])] = _NOWHERE
    ordered = np.argsort(starts, kind="stable")
    return _Changes(starts[ordered], before[ordered], after[ordered], np.repeat(np.arange(len(parts)), counts)[ordered])


def _membership(part: Part) -> Timeline:
    """Return the timeline of one that is not always a member; else it is not there."""
    sides = np.array(part.stretches, np.int64).ravel()
    starts = part.timeline.starts
    starts = distinct(np.concatenate((starts, sides[(sides > starts[0]) & (sides < END)])))
    outside = np.searchsorted(sides, starts, side="right") % 2 == 0
    return Timeline(starts, np.where(outside, _NOWHERE, state_at(part.timeline, starts)))


def _decided(
    group: Group, parts: Sequence[Part], changes: _Changes, of_sets: npt.NDArray[np.int16] | None, shift: int
) -> States:
    """Return the group's codes, of what was observed or of what `argo` sees, after each change."""

    def is_code(code: int) -> Callable[[States], npt.NDArray[np.bool_]]:
        return lambda states: (states >> shift & CODE) == code

    if of_sets is None:
        weights, scale = _weights(group, parts)
        return _counted(group, [changes.count(is_code(code), weights) for code in range(PENDING)], scale)
    present = np.zeros(len(changes.starts), np.int16)
    for code in {state >> shift & CODE for state in set(changes.after.tolist())}:
        if code < PENDING:
            present |= (changes.count(is_code(code)) > 0).astype(np.int16) << code
    return of_sets[present]


def _is_of_sets(algebra: Algebra, operator: Operator) -> bool:
    """Tell whether neither the order of members matters nor how many of them are the same."""
    of_two = table(algebra, operator)
    return not algebra.fold and bool((np.diag(of_two) == np.arange(len(of_two))).all())


@lru_cache(maxsize=64)
def _of_sets(algebra: Algebra, operator: Operator) -> npt.NDArray[np.int16]:
    """Return what a table makes of each set of codes."""
    of_two = table(algebra, operator)
    made = np.full(1 << PENDING, NOT_THERE, np.int16)
    for present in range(1, 1 << PENDING):
        codes = [code for code in range(PENDING) if present >> code & 1]
        made[present] = reduce(lambda a, b: int(of_two[a, b]), codes)
    return made


def _counted(group: Group, by_code: Sequence[npt.NDArray[Any]], scale: int) -> States:
    """Decide by what is needed, of members or of their weights.

    The order is that of the tables: enough up; perhaps enough; perhaps, of those nothing was heard of; but for a downtime.
    """
    there = sum(by_code[1:], by_code[0])
    need = _need(group, there)
    reached, made = there * 0, np.full(len(there), Status.CRITICAL, np.int16)
    undecided = np.ones(len(there), bool)
    for code in (Status.OK, Status.WARNING, Status.UNKNOWN, Status.MISSING, DOWNTIME):
        reached = reached + by_code[code] * scale
        enough = undecided & (reached >= need).astype(bool)
        made[enough] = code
        undecided &= ~enough
    return np.where(there == 0, np.int16(NOT_THERE), made)


def _need(group: Group, there: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return how many of the members that are there, or what part of their weights, must be up."""
    if group.operator is Operator.CAPACITY:
        return there * group.need.numerator
    return np.where(there > 2, there // 2 + 1, 1) if group.operator is Operator.QUORUM else there * 0 + group.k


def _weights(group: Group, parts: Sequence[Part]) -> tuple[npt.NDArray[Any] | None, int]:
    """Return whole weights, and by what the sum of those that are there is multiplied to be compared with the need."""
    if group.operator is not Operator.CAPACITY:
        return None, 1
    common, scale = math.lcm(*(part.weight.denominator for part in parts)), group.need.denominator
    weights = [int(part.weight * common) for part in parts]
    return np.array(weights, object if sum(weights) * scale >= 2**62 else np.int64), scale


def _causes(changes: _Changes, codes: States) -> States:
    """Return why the group is what it is: the first cause, in the order of `Cause`, of a member that is the same."""
    made = np.zeros(len(codes), np.int16)
    seen = {(state >> CAUSE, state & CODE) for state in set(changes.after.tolist())}
    for cause, code in sorted(seen, reverse=True):
        if cause and Status.WARNING <= code < PENDING:
            made[(codes == code) & (changes.count(_is(code, cause)) > 0)] = cause
    return made


def _is(code: int, cause: int) -> Callable[[States], npt.NDArray[np.bool_]]:
    return lambda states: ((states & CODE) == code) & (states >> CAUSE == cause)


def _one_by_one(parts: Sequence[Part], of_two: Table) -> Timeline:
    """Fold members from left to right, with a table for which the order matters."""
    wide = np.full((_WIDTH, _WIDTH), NOT_THERE, np.int16)
    wide[:PENDING, :PENDING] = of_two
    wide[:PENDING, PENDING:] = np.arange(PENDING)[:, None]
    wide[PENDING:, :PENDING] = np.arange(PENDING)
    changes = _changes(parts)
    starts = distinct(changes.starts)
    code, seen = np.full(len(starts), NOT_THERE, np.int16), np.full(len(starts), NOT_THERE, np.int16)
    unnoticed = np.zeros(len(starts), bool)
    for part in parts:
        states = state_at(part.timeline if part.stretches is None else _membership(part), starts)
        states = np.where((states & CODE) == PENDING, _NOWHERE, states)
        argo = states >> ARGO & CODE
        code, seen = wide[code, states & CODE], wide[seen, argo]
        unnoticed |= (argo == DOWNTIME) & ((states & NOTICED) == 0)
    last = np.searchsorted(changes.starts, starts, side="right") - 1
    causes = _causes(changes, np.repeat(code, np.diff(last, prepend=-1)))[last]
    noticed = np.where((seen == DOWNTIME) & ~unnoticed, NOTICED, 0).astype(np.int16)
    return tidy(starts, code | seen << ARGO | noticed | causes << CAUSE)
