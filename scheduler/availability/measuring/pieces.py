"""Pieces of a timeline: stretches of one state, by the wall clock: what a picture shows and an explanation goes through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.availability.history import Status, Window
from scheduler.availability.measuring.accounting import stretches
from scheduler.availability.timelines.axis import Elapsed, Stretch, wall_at
from scheduler.availability.timelines.prepared import Prepared, timeline_of
from scheduler.availability.timelines.timeline import (
    CAUSE,
    CAUSES,
    CODE,
    EXCLUDED,
    PENDING,
    SCHEDULED,
    UNSCHEDULED,
    distinct,
    state_at,
)
from scheduler.model.instants import Instant


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
