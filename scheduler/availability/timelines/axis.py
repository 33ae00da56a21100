"""Elapsed time: one axis on which nothing is ever negative, and where the wall clock stood on it.

The axis is in microseconds too and agrees with the wall clock up to the first jump. Of a history without jumps both are one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scheduler.model.instants import SECOND, Duration, Instant

if TYPE_CHECKING:
    from scheduler.availability.history import Span

Whole = npt.NDArray[np.int64]
Places = npt.NDArray[np.intp]
Elapsed = int
"""Microseconds on the axis."""
Stretch = tuple[Elapsed, Elapsed]
"""`[start, end)` on the axis."""

BEGINNING = -(2**62)
"""Before everything."""
END = 2**62
"""After everything: the end of what is still going on."""
ABSENT = -(2**63)
"""In a column of stamps or numbers: there is none."""
TOLERANCE: Duration = SECOND
"""Two clocks are read one after the other; what they differ by less than this is no jump."""
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Jump:
    """The wall clock was set."""

    elapsed: Elapsed
    before: Instant
    """What it would have shown."""
    after: Instant
    """What it showed."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Pieces of elapsed time on which the wall clock ran; from each to the next, the last without end."""

    starts: tuple[Elapsed, ...]
    walls: tuple[Instant, ...]
    """What the wall clock showed at the start of each piece."""
    now: Elapsed

    @property
    def jumps(self) -> tuple[Jump, ...]:
        """All jumps of the wall clock."""
        seams = zip(self.starts, self.walls, self.starts[1:], self.walls[1:], strict=False)
        return tuple(Jump(then, wall + then - start, after) for start, wall, then, after in seams)


def order(at: Whole, sequence: Whole | None) -> Places:
    """Return the order of results: by number; those without one stand after the last numbered one that is not later."""
    if sequence is None or (sequence == ABSENT).all():
        return np.argsort(at, kind="stable")
    numbered = np.flatnonzero(sequence != ABSENT)
    numbered = numbered[np.lexsort((at[numbered], sequence[numbered]))]
    if len(numbered) == len(at):
        return numbered
    others = np.flatnonzero(sequence == ABSENT)
    others = others[np.argsort(at[others], kind="stable")]
    # From each place on, the earliest instant that is still to come: the last numbered one not later than another's instant.
    to_come = np.minimum.accumulate(at[numbered][::-1])[::-1]
    after = np.searchsorted(to_come, at[others], side="right")
    return np.insert(numbered, after, others)


def chain(at: Whole, monotonic: Whole | None, boot: npt.NDArray[np.int32] | None) -> Whole:
    """Return the elapsed time of results that stand in their order.

    A stamp that is earlier than the one before it, of the same boot, says that the result was observed earlier.
    """
    if not len(at):
        return at
    steps = np.maximum(np.diff(at), 0)
    if monotonic is None or boot is None:
        return _summed(at[0], steps)
    boot = np.where(monotonic == ABSENT, np.int32(-1), boot)
    linked = (boot[1:] == boot[:-1]) & (boot[1:] >= 0)
    np.copyto(steps, np.diff(np.where(boot < 0, 0, monotonic)), where=linked)
    elapsed = _summed(at[0], steps)
    if not linked.all():
        stamped = np.flatnonzero(boot >= 0)
        if len(stamped):
            _link_over_unstamped(elapsed, monotonic, boot, stamped)
            _link_over_boots(elapsed, monotonic, boot, stamped)
    return elapsed


def build(at: Whole, elapsed: Whole) -> Axis:
    """Return the axis of results that stand in their order; it ends with the latest."""
    if not len(at):
        return Axis((BEGINNING,), (BEGINNING,), BEGINNING)
    if (elapsed[1:] < elapsed[:-1]).any():
        lived_in_order = np.argsort(elapsed, kind="stable")
        at, elapsed = at[lived_in_order], elapsed[lived_in_order]
    drift, starts, walls = at - elapsed, [BEGINNING], [BEGINNING]
    offset, place = int(drift[0]), 0
    while place < len(at):
        part = drift[place : place + _CHUNK]
        found = np.flatnonzero(np.abs(part - offset) > TOLERANCE)
        if not len(found):
            place += _CHUNK
            continue
        place += int(found[0])
        offset = int(drift[place])
        starts.append(int(elapsed[place]))
        walls.append(int(at[place]))
    return Axis(tuple(starts), tuple(walls), int(elapsed[-1]))


def lived(axis: Axis, start: Instant, end: Instant | None) -> list[Stretch]:
    """Return when the wall clock showed a time in `[start, end)`, in elapsed time."""
    found: list[Stretch] = []
    for begin, wall, then in zip(axis.starts, axis.walls, (*axis.starts[1:], END), strict=True):
        shift = begin - wall
        a = max(begin, start + shift)
        b = then if end is None else min(then, end + shift)
        if a < b:
            found.append((a, b))
    return united(found)


def reached(axis: Axis, instant: Instant) -> Elapsed:
    """Return when the wall clock first showed this instant or a later one."""
    return next((a for a, _ in lived(axis, instant, None)), axis.starts[-1])


def wall_at(axis: Axis, elapsed: Elapsed) -> Instant:
    """Return what the wall clock showed."""
    place = bisect_right(axis.starts, elapsed) - 1
    return axis.walls[place] + elapsed - axis.starts[place]


def all_lived(axis: Axis, spans: tuple[Span, ...]) -> list[Stretch]:
    """Return when the wall clock showed a time in one of the spans."""
    return united([stretch for span in spans for stretch in lived(axis, span.start, span.end)])


def united(stretches: list[Stretch]) -> list[Stretch]:
    """Unite stretches that overlap or touch; those that are empty vanish."""
    made: list[Stretch] = []
    for start, end in sorted(stretches):
        if start >= end:
            continue
        if made and start <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end))
        else:
            made.append((start, end))
    return made


def common(some: list[Stretch], others: list[Stretch]) -> list[Stretch]:
    """Return what lies in both."""
    return united(list(_pieces(some, others)))


def _pieces(some: list[Stretch], others: list[Stretch]) -> Iterator[Stretch]:
    i = j = 0
    while i < len(some) and j < len(others):
        yield max(some[i][0], others[j][0]), min(some[i][1], others[j][1])
        if some[i][1] < others[j][1]:
            i += 1
        else:
            j += 1


def _summed(first: np.int64, steps: Whole) -> Whole:
    elapsed = np.empty(len(steps) + 1, np.int64)
    elapsed[0] = first
    np.cumsum(steps, out=elapsed[1:])
    elapsed[1:] += first
    return elapsed


def _link_over_unstamped(elapsed: Whole, monotonic: Whole, boot: npt.NDArray[np.int32], stamped: Places) -> None:
    """Let a boot's clock say how long it was between two results with none of its stamps between; those are pressed into it."""
    pairs = (boot[stamped[1:]] == boot[stamped[:-1]]) & (np.diff(stamped) > 1)
    first, then = stamped[:-1][pairs], stamped[1:][pairs]
    moved = np.zeros(len(elapsed), np.int64)
    moved[then] = (monotonic[then] - monotonic[first]) - (elapsed[then] - elapsed[first])
    elapsed += np.cumsum(moved)
    between = np.flatnonzero(boot < 0)
    after = np.searchsorted(stamped, between)
    inner = (after > 0) & (after < len(stamped))
    between, after = between[inner], after[inner]
    left, right = stamped[after - 1], stamped[after]
    same = boot[left] == boot[right]
    limits = np.maximum(elapsed[left], elapsed[right])
    elapsed[between[same]] = np.minimum(elapsed[between], limits)[same]


def _link_over_boots(elapsed: Whole, monotonic: Whole, boot: npt.NDArray[np.int32], stamped: Places) -> None:
    """Do the same where results of another boot stand between."""
    changes = np.flatnonzero(np.diff(boot[stamped], prepend=-1))
    last: dict[int, int] = {}
    for begin, end in zip(stamped[changes], stamped[np.append(changes[1:], len(stamped)) - 1], strict=True):
        mine, before = int(boot[begin]), last.get(int(boot[begin]))
        if before is not None:
            due = elapsed[before] + monotonic[begin] - monotonic[before]
            between = elapsed[before + 1 : begin]
            np.minimum(between, max(due, elapsed[before]), out=between)
            elapsed[begin:] += due - elapsed[begin]
        last[mine] = int(end)
