"""Timelines: of one object or group the states that it was in, as starts and packed states; each lasts until the next start.

A state packs what was observed, what a downtime makes of it under `argo`, its downtime, whether it is excluded, and why it
is lost. Observed is a code of `Status`, or PENDING, or NOT_THERE.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scheduler.availability.history import Cause, Status
from scheduler.availability.timelines.algebra import DOWNTIME
from scheduler.availability.timelines.axis import BEGINNING, END, Elapsed, Stretch, Whole

if TYPE_CHECKING:
    from scheduler.model.instants import Duration

States = npt.NDArray[np.int16]
PENDING = 6
NOT_THERE = 7
CODE = 0b111
ARGO = 3
"""By how many bits what `argo` sees is shifted: a status or DOWNTIME."""
UNSCHEDULED = 1 << 6
SCHEDULED = 1 << 7
EXCLUDED = 1 << 8
NOTICED = 1 << 9
"""What `argo` sees as DOWNTIME is scheduled."""
CAUSE = 10
KINDS = 1 << 14
"""There are fewer packed states."""
CAUSES = (Cause.UNKNOWN, *(cause for cause in Cause if cause is not Cause.UNKNOWN))
CAUSE_CODES = {"": 0} | {cause.value: code for code, cause in enumerate(CAUSES)}
_NOWHERE = NOT_THERE | NOT_THERE << ARGO


@dataclass(frozen=True, slots=True)
class Timeline:
    """Starts grow strictly, and neighbours differ. A whole one starts at BEGINNING."""

    starts: Whole
    states: States


@dataclass(frozen=True, slots=True)
class Findings:
    """Results of one object in their order, on the elapsed axis."""

    at: Whole
    status: npt.NDArray[np.int8]
    cause: npt.NDArray[np.int8]
    until: Whole
    """The last repetition of each."""


NEVER = Timeline(np.array([BEGINNING], np.int64), np.array([_NOWHERE], np.int16))


def of_results(
    found: Findings, freshness: Duration | None, gaps: Sequence[Elapsed], existence: Sequence[Stretch] | None
) -> Timeline:
    """Return what was observed of one object.

    `gaps` are the starts of the monitor's own gaps; existence None: from the first result on.
    """
    parts: list[tuple[Whole, States]] = [(NEVER.starts, NEVER.states)]
    spans = existence if existence is not None else [(int(found.at[0]), END)] if len(found.at) else []
    for start, end in spans:
        low, high = np.searchsorted(found.at, (start, end))
        inside = Findings(found.at[low:high], found.status[low:high], found.cause[low:high], found.until[low:high])
        parts.append((np.array([start], np.int64), np.array([_seen(PENDING)], np.int16)))
        parts += _observed(inside, freshness, gaps, end)
        if end < END:
            parts.append((np.array([end], np.int64), NEVER.states))
    return tidy(np.concatenate([starts for starts, _ in parts]), np.concatenate([states for _, states in parts]))


def overlaid(timeline: Timeline, overlays: Iterable[tuple[Sequence[Stretch], int]]) -> Timeline:
    """Mark what lies in a downtime or an exclusion; `argo` sees DOWNTIME there."""
    flags = [over for over in overlays if over[0]]
    if not flags:
        return timeline
    edges = np.array([edge for stretches, _ in flags for stretch in stretches for edge in stretch], np.int64)
    inner = edges[(edges > timeline.starts[0]) & (edges < END)]
    starts = distinct(np.concatenate((timeline.starts, inner)))
    states = state_at(timeline, starts).copy()
    for stretches, flag in flags:
        sides = np.array(stretches, np.int64).ravel()
        states[np.searchsorted(sides, starts, side="right") % 2 == 1] |= flag
    there = (states & CODE) < PENDING
    down = there & ((states & (SCHEDULED | UNSCHEDULED)) != 0)
    states[down] = (states[down] & ~(CODE << ARGO)) | (DOWNTIME << ARGO)
    states[there & ((states & SCHEDULED) != 0)] |= NOTICED
    states[~there] &= CODE | CODE << ARGO
    return tidy(starts, states)


def distinct(instants: Whole) -> Whole:
    """Return instants in order, each once; quick where they come as a few sorted runs."""
    ordered = np.sort(instants, kind="stable")
    return ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))] if len(ordered) else ordered


def state_at(timeline: Timeline, instants: Whole) -> States:
    """Return the state at each of some instants."""
    return timeline.states[np.searchsorted(timeline.starts, instants, side="right") - 1]


def tidy(starts: Whole, states: States) -> Timeline:
    """Drop what lasted no time (of several at one instant the last holds) and what repeats its neighbour."""
    if len(starts) > 1:
        ends = starts[1:] > starts[:-1]
        if not ends.all():
            lasting = np.concatenate((ends, [True]))
            starts, states = starts[lasting], states[lasting]
        changes = states[1:] != states[:-1]
        if not changes.all():
            news = np.concatenate(([True], changes))
            starts, states = starts[news], states[news]
    return Timeline(starts, states)


def since(timeline: Timeline, begin: Elapsed) -> Timeline:
    """Return the part of a timeline from an instant on, as one that begins there."""
    place = int(timeline.starts.searchsorted(begin, side="right")) - 1
    starts = timeline.starts[place:].copy()
    starts[0] = begin
    return Timeline(starts, timeline.states[place:])


def _seen(code: int) -> int:
    return code | code << ARGO


def _observed(found: Findings, freshness: Duration | None, gaps: Sequence[Elapsed], end: Elapsed) -> list[tuple[Whole, States]]:
    """Return the states of one existence; what runs out of freshness or into a gap of the monitor is MISSING until the next."""
    if not len(found.at):
        return []
    codes = found.status.astype(np.int16)
    states = codes | codes << ARGO | found.cause.astype(np.int16) << CAUSE
    following = np.append(found.at[1:], end)
    repeated = np.minimum(found.until, following)
    known_until = np.full(len(found.at), END) if freshness is None else repeated + freshness
    again: list[tuple[Elapsed, int]] = []
    for gap in gaps:
        place = int(np.searchsorted(found.at, gap, side="right")) - 1
        if place < 0 or gap >= min(following[place], known_until[place]):
            continue
        back = int(repeated[place])
        if back > gap:
            again.append((gap, _seen(Status.MISSING)))
            if back < following[place]:
                again.append((back, int(states[place])))
        else:
            known_until[place] = gap
    lost = known_until < following
    missing = np.full(np.count_nonzero(lost), _seen(Status.MISSING), np.int16)
    # Of several at one instant the last one here holds: what is lost then is lost, though it was found again then.
    starts = np.concatenate((found.at, np.array([start for start, _ in again], np.int64), known_until[lost]))
    all_states = np.concatenate((states, np.array([state for _, state in again], np.int16), missing))
    ordered = np.argsort(starts, kind="stable")
    return [(starts[ordered], all_states[ordered])]
