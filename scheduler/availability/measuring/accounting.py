"""Figures of a window: how long each object and group was what, by one of the profiles, and what became of objectives.

Rules of the weighted figure of a group, which part of its members' capacity was there of all that should have been:
1. Instant by instant the capacity that is up is the sum of the weights of the members that are; over a window it is
   weight x time. The figure is that of what was up over that of what counts, as an exact fraction: no ratio is averaged.
2. Each member counts as a group of that member alone would: its own status, and the downtimes and exclusions of the group. One
   on the member alone does not excuse the group. What is unknown of a member is left out with its weight, as by every profile.
3. Members count while they are members. Two that stand in a group twice count twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from scheduler.availability.history import History, Measure, Objective, ObjectiveVerdict, Operator, Span, Status, Window
from scheduler.availability.measuring.profiles import MEASURED, PAIRS, lost, masks
from scheduler.availability.timelines import windows
from scheduler.availability.timelines.axis import Elapsed, Stretch, all_lived, common, lived, wall_at
from scheduler.availability.timelines.groups import Part, of_members
from scheduler.availability.timelines.prepared import Prepared, prepare, timeline_of
from scheduler.availability.timelines.strips import strips, sums, sums_of
from scheduler.availability.timelines.timeline import (
    CAUSE,
    CAUSES,
    CODE,
    EXCLUDED,
    PENDING,
    SCHEDULED,
    UNSCHEDULED,
    distinct,
    overlaid,
    state_at,
)
from scheduler.model.instants import Instant

_FIGURES = tuple(f"{name} {side}" for name in PAIRS for side in ("above", "below"))
_COLUMNS = (*MEASURED, *_FIGURES, *(lost(cause) for cause in CAUSES))
_FIRST_CAUSE = len(MEASURED) + len(_FIGURES)


@dataclass(frozen=True, slots=True)
class MeasureTable:
    """All rows of one window by one profile, in whole microseconds; a row becomes a `Measure` when it is asked for."""

    window: Window
    profile: str
    places: dict[str, int]
    lengths: npt.NDArray[np.int64]
    """A row for each object and group, a column for each state."""
    weights: npt.NDArray[np.int64]
    """A row for each duration, part of a figure and cause: which states it sums up."""
    of_hosts: npt.NDArray[np.int64]
    """The same for hosts."""
    hosts: frozenset[int]

    def of(self, name: str) -> Measure:
        """Return the measure of one object or group."""
        place = self.places[name]
        return self._measure(name, ((self.of_hosts if place in self.hosts else self.weights) @ self.lengths[place]).tolist())

    def all(self) -> dict[str, Measure]:
        """Return the measures of all objects and groups."""
        hosts = [place in self.hosts for place in range(len(self.lengths))]
        rows = np.einsum("ik,jk->ij", self.lengths, self.weights)
        rows[hosts] = np.einsum("ik,jk->ij", self.lengths[hosts], self.of_hosts)
        return {name: self._measure(name, rows[place].tolist()) for name, place in self.places.items()}

    def _measure(self, name: str, row: list[int]) -> Measure:
        figures = iter(row[len(MEASURED) : _FIRST_CAUSE])
        pairs = [Fraction(above, below) if below else None for above, below in zip(figures, figures, strict=True)]
        causes = {str(cause): length for cause, length in zip(CAUSES, row[_FIRST_CAUSE:], strict=True) if length}
        values: dict[str, Any] = dict(zip((*MEASURED, *PAIRS), (*row[: len(MEASURED)], *pairs), strict=True))
        return Measure(name, self.window, self.profile, lost=causes, **values)


def measure(history: History | Prepared, window: Window, profile: str) -> dict[str, Measure]:
    """Return what a window measured of each object and group."""
    return tabulate(_ready(history), window, profile).all()


def tabulate(
    prepared: Prepared, window: Window, profile: str, within: Iterable[Span] | None = None, names: Sequence[str] | None = None
) -> MeasureTable:
    """Measure a window, or what of it lies in some periods: all objects and groups, or only those of some `names`."""
    clipped = windows.between(window.start, window.end, prepared.history.now, window.name)
    lived_in = stretches(prepared, clipped, within)
    if names is None:
        found, places, rows = sums(prepared.strips, lived_in), prepared.places, prepared.rows
    else:
        places = {name: place for place, name in enumerate(names)}
        rows = tuple(prepared.rows[prepared.places[name]] for name in names)
        found = sums_of(prepared.strips, lived_in, [prepared.places[name] for name in names])
    kinds = found.kinds.tobytes()
    weights, of_hosts = (_weights(profile, kinds, is_host=is_host) for is_host in (False, True))
    hosts = frozenset(place for place, row in enumerate(rows) if row.is_host)
    return MeasureTable(clipped, profile, places, found.lengths, weights, of_hosts, hosts)


@lru_cache(maxsize=64)
def _weights(profile: str, kinds: bytes, *, is_host: bool) -> npt.NDArray[np.int64]:
    """Return which of some states each column sums up: the same for as long as no new kind of state comes."""
    by_name = masks(profile, np.frombuffer(kinds, np.int16), is_host=is_host)
    return np.array([by_name[name] for name in _COLUMNS], np.int64)


def stretches(prepared: Prepared, window: Window, within: Iterable[Span] | None = None) -> list[Stretch]:
    """Return the elapsed time that a window, or what of it lies in some periods, was lived."""
    axis = prepared.axis
    found = common(lived(axis, window.start, window.end), [(axis.starts[0], axis.now)])
    return found if within is None else common(found, all_lived(axis, tuple(within)))


def judge(history: History | Prepared, objective: Objective) -> tuple[Measure, ObjectiveVerdict]:
    """Measure what an objective promises, in its own window, zone and periods, and compare."""
    prepared = _ready(history)
    zone = objective.zone or prepared.history.zone
    window = windows.named(objective.window, prepared.history.now, zone)
    found = tabulate(prepared, window, objective.profile, objective.applies).of(objective.object)
    return found, verdict(found, objective.target)


def verdict(found: Measure, target: Fraction) -> ObjectiveVerdict:
    """Compare exactly: with all that is unknown taken as bad, and taken as up."""
    lowest, highest = found.lowest, found.highest
    if lowest is None and highest is None:
        return ObjectiveVerdict.NOT_APPLICABLE
    if lowest is not None and lowest >= target:
        return ObjectiveVerdict.PASS
    if highest is not None and highest < target:
        return ObjectiveVerdict.FAIL
    return ObjectiveVerdict.UNDECIDED


def _ready(history: History | Prepared) -> Prepared:
    return prepare(history) if isinstance(history, History) else history


@dataclass(frozen=True, slots=True)
class Capacity:
    """Parts of a group's capacity in a window, exactly; None: nothing counts."""

    figure: Fraction | None
    """By the profile."""
    availability: Fraction | None
    """A of `argo`."""
    reliability: Fraction | None
    """R of `argo`."""
    lowest: Fraction | None
    """If all that is unknown had been bad."""
    highest: Fraction | None
    """If all that is unknown had been up."""


def capacity(prepared: Prepared, name: str, window: Window, profile: str) -> Capacity | None:
    """Return the weighted figure of a group whose members have weights; None: it is no group that counts capacity."""
    row = prepared.rows[prepared.places[name]]
    group = row.group
    if group is None or group.operator is not Operator.CAPACITY:
        return None
    lines, weights = [], []
    for (place, stretched), member in zip(row.members, group.members, strict=True):
        if place < 0 or not member.weight:
            continue
        alone = replace(group, operator=Operator.OR, members=(member,))
        part = Part(timeline_of(prepared, member.name), stretched, member.weight)
        lines.append(overlaid(of_members(alone, [part]), row.overlay))
        weights.append(member.weight)
    if not lines:
        return Capacity(None, None, None, None, None)
    clipped = windows.between(window.start, window.end, prepared.history.now, window.name)
    found = sums(strips(lines), stretches(prepared, clipped))
    counted = masks(profile, found.kinds, is_host=False)
    common = math.lcm(*(weight.denominator for weight in weights))
    whole = [int(weight * common) for weight in weights]
    pairs = []
    for pair in PAIRS:
        above, below = (
            sum(weight * int(length) for weight, length in zip(whole, found.lengths @ counted[f"{pair} {side}"], strict=True))
            for side in ("above", "below")
        )
        pairs.append(Fraction(above, below) if below else None)
    return Capacity(*pairs)


# --- pieces of a timeline: what a picture shows and an explanation goes through ---------------------------------------


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one state of an object or group."""

    start: Instant
    end: Instant
    state: str
    """OK, WARNING, CRITICAL, UNKNOWN, MISSING, pending."""
    overlay: str = ""
    """scheduled downtime, unscheduled downtime, excluded; "" when none."""
    cause: str = ""
    """Why it was bad."""


def pieces(prepared: Prepared, name: str, window: Window) -> tuple[Piece, ...]:
    """Return the pieces of a window in which an object or group existed."""
    found = []
    for start, end, state in packed(prepared, name, stretches(prepared, window)):
        code = state & CODE
        if code > PENDING:
            continue
        begin = wall_at(prepared.axis, start)
        cause = str(CAUSES[state >> CAUSE]) if code == Status.CRITICAL else ""
        said = "pending" if code == PENDING else Status(code).name
        found.append(Piece(begin, begin + end - start, said, _overlay(state), cause))
    return tuple(found)


def packed(prepared: Prepared, name: str, within: Sequence[Stretch]) -> Iterator[tuple[Elapsed, Elapsed, int]]:
    """Yield start, end and packed state of what something was in some stretches, cut where the wall clock was set."""
    timeline, seams = timeline_of(prepared, name), prepared.axis.starts
    for begin, end in within:
        inner = [seam for seam in seams if begin < seam < end]
        low, high = np.searchsorted(timeline.starts, (begin, end))
        starts = distinct(np.concatenate((np.array([begin, *inner], np.int64), timeline.starts[low:high])))
        yield from zip(starts.tolist(), (*starts[1:].tolist(), end), state_at(timeline, starts).tolist(), strict=True)


def _overlay(state: int) -> str:
    if state & EXCLUDED:
        return "excluded"
    return "scheduled downtime" if state & SCHEDULED else "unscheduled downtime" if state & UNSCHEDULED else ""
