"""Timelines of groups: instant by instant from those of their members, through a truth table or by counting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from scheduler.availability.algebra import DOWNTIME, FOLDED, load
from scheduler.availability.axis import BEGINNING, END, Stretch
from scheduler.availability.history import Operator, Status
from scheduler.availability.timeline import ARGO, CAUSE, CODE, NOT_THERE, NOTICED, PENDING, Timeline, state_at, tidy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from scheduler.availability.axis import Whole
    from scheduler.availability.history import Group
    from scheduler.availability.timeline import States

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
    starts = np.unique(np.concatenate([np.array([BEGINNING]), *(_starts(part) for part in parts)]))
    downtimes = any(_has_downtime(part.timeline) for part in parts)
    codes = _fold(group, parts, starts, 0)
    states = codes | codes << ARGO
    if downtimes:
        seen = _fold(group, parts, starts, ARGO)
        states = codes | seen << ARGO | np.where((seen == DOWNTIME) & ~_any_unnoticed(parts, starts), NOTICED, 0)
    return tidy(starts, (states | _causes(parts, starts, codes) << CAUSE).astype(np.int16))


def _starts(part: Part) -> Whole:
    edges = [edge for stretch in part.stretches or () for edge in stretch if BEGINNING < edge < END]
    return np.concatenate((part.timeline.starts, np.array(edges, np.int64)))


def _has_downtime(timeline: Timeline) -> bool:
    return bool(((timeline.states >> ARGO & CODE) == DOWNTIME).any())


def _states(part: Part, starts: Whole) -> States:
    """Return a member's states; where it is pending or no member, it is not there."""
    states = state_at(part.timeline, starts)
    gone = (states & CODE) == PENDING
    if part.stretches is not None:
        sides = np.array(part.stretches, np.int64).ravel()
        gone |= np.searchsorted(sides, starts, side="right") % 2 == 0
    return np.where(gone, np.int16(NOT_THERE | NOT_THERE << ARGO), states)


def _fold(group: Group, parts: Sequence[Part], starts: Whole, shift: int) -> States:
    """Return the group's codes, of what was observed or of what `argo` sees."""
    if group.operator not in FOLDED:
        return _counted(group, parts, starts, shift)
    table = _extended(load(group.algebra).table(group.operator)).ravel()
    folded = np.full(len(starts), NOT_THERE, np.int16)
    for part in parts:
        folded = table[folded * _WIDTH + (_states(part, starts) >> shift & CODE)]
    return folded


def _extended(table: npt.NDArray[np.int8]) -> npt.NDArray[np.int16]:
    wide = np.full((_WIDTH, _WIDTH), NOT_THERE, np.int16)
    wide[:PENDING, :PENDING] = table
    wide[:PENDING, PENDING:] = np.arange(PENDING)[:, None]
    wide[PENDING:, :PENDING] = np.arange(PENDING)
    return wide


def _counted(group: Group, parts: Sequence[Part], starts: Whole, shift: int) -> States:
    """Count members, or their weights, by status; what is needed decides.

    The order is that of the tables: enough up; perhaps enough; perhaps, of those nothing was heard of; but for a downtime.
    """
    weights, scale = _weights(group, parts)
    by_code = np.zeros((_WIDTH, len(starts)), object if _is_large(weights, scale) else np.int64)
    for part, weight in zip(parts, weights, strict=True):
        codes = _states(part, starts) >> shift & CODE
        by_code[codes, np.arange(len(starts))] += weight
    there = by_code[:PENDING].sum(axis=0)
    need = np.full(len(starts), group.k) if group.operator is Operator.AT_LEAST else there * group.need.numerator
    reached, made = np.zeros_like(there), np.full(len(starts), Status.CRITICAL, np.int16)
    undecided = np.ones(len(starts), bool)
    for code in (Status.OK, Status.WARNING, Status.UNKNOWN, Status.MISSING, DOWNTIME):
        reached = reached + by_code[code] * scale
        enough = undecided & (reached >= need).astype(bool)
        made[enough] = code
        undecided &= ~enough
    return np.where(there == 0, np.int16(NOT_THERE), made)


def _weights(group: Group, parts: Sequence[Part]) -> tuple[list[int], int]:
    """Return whole weights, and by what the sum of those that are there is multiplied to be compared with the need."""
    if group.operator is Operator.AT_LEAST:
        return [1] * len(parts), 1
    common = math.lcm(*(part.weight.denominator for part in parts)) if parts else 1
    return [int(part.weight * common) for part in parts], group.need.denominator


def _is_large(weights: list[int], scale: int) -> bool:
    return sum(weights) * scale >= 2**62


def _any_unnoticed(parts: Sequence[Part], starts: Whole) -> npt.NDArray[np.bool_]:
    """Tell where a member is in a downtime that is not scheduled."""
    found = np.zeros(len(starts), bool)
    for states in _each(parts, starts):
        found |= ((states >> ARGO & CODE) == DOWNTIME) & ((states & NOTICED) == 0)
    return found


def _causes(parts: Sequence[Part], starts: Whole, codes: States) -> States:
    """Return why the group is what it is: the cause of the first member that is the same and has one."""
    causes = np.zeros(len(starts), np.int16)
    if not any((part.timeline.states >> CAUSE).any() for part in parts):
        return causes
    for states in _each(parts, starts):
        mine = (causes == 0) & ((states & CODE) == codes) & (codes != NOT_THERE)
        causes[mine] = states[mine] >> CAUSE
    return causes


def _each(parts: Sequence[Part], starts: Whole) -> Iterator[States]:
    return (_states(part, starts) for part in parts)
