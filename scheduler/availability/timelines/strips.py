"""All timelines of a history side by side, in one pair of arrays; new ends are kept apart until there are many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from scheduler.availability.timelines.axis import END, Elapsed, Places, Stretch, Whole
from scheduler.availability.timelines.timeline import KINDS, States, Timeline, since, tidy

_BLOCK = 1 << 17
"""So many pieces are summed at a time: it bounds the memory."""
_MANY = 200
"""New ends are merged when there are so many."""


@dataclass(frozen=True, slots=True)
class Strips:
    """One timeline for each row."""

    starts: Whole
    """Row after row; each row is closed by END."""
    states: States
    rows: Places
    """Where each row begins, and where the last one ends."""
    cuts: Whole
    """Of each row: from when on its new end holds."""
    ends: dict[int, Timeline]
    """New ends; each begins at its row's cut."""
    kinds: States
    """All states there are."""


@dataclass(frozen=True, slots=True)
class Sums:
    """How long each row was in each state."""

    kinds: States
    lengths: npt.NDArray[np.int64]
    """A row for each row, a column for each kind."""


def strips(timelines: Sequence[Timeline]) -> Strips:
    """Lay timelines side by side."""
    counts = [len(one.starts) + 1 for one in timelines]
    rows = np.concatenate(([0], np.cumsum(counts, dtype=np.intp))).astype(np.intp)
    starts, states = np.empty(rows[-1], np.int64), np.zeros(rows[-1], np.int16)
    for one, begin, end in zip(timelines, rows, rows[1:], strict=False):
        starts[begin : end - 1], starts[end - 1] = one.starts, END
        states[begin : end - 1] = one.states
    kinds = np.flatnonzero(np.bincount(states, minlength=KINDS)).astype(np.int16)
    return Strips(starts, states, rows, np.full(len(timelines), END), {}, kinds)


def timeline(laid: Strips, row: int, begin: Elapsed | None = None) -> Timeline:
    """Return the timeline of a row, or its part from an instant on."""
    end = laid.ends.get(row)
    if end is not None and begin is not None and begin >= end.starts[0]:
        return since(end, begin)
    low, high = laid.rows[row], laid.rows[row + 1] - 1
    starts, states = laid.starts[low:high], laid.states[low:high]
    if end is None:
        whole = Timeline(starts, states)
        return whole if begin is None else since(whole, begin)
    cut = int(end.starts[0])
    kept = int(np.searchsorted(starts, cut))
    whole = tidy(np.concatenate((starts[:kept], end.starts)), np.concatenate((states[:kept], end.states)))
    return whole if begin is None else since(whole, begin)


def with_ends(laid: Strips, ends: dict[int, Timeline]) -> Strips:
    """Return strips on which some rows go on differently, each from the first start of its new end."""
    made, cuts = dict(laid.ends), laid.cuts.copy()
    for row, end in ends.items():
        begin, old = int(end.starts[0]), made.get(row)
        if old is not None and old.starts[0] < begin:
            kept = int(np.searchsorted(old.starts, begin))
            made[row] = Timeline(
                np.concatenate((old.starts[:kept], end.starts)), np.concatenate((old.states[:kept], end.states))
            )
        else:
            made[row], cuts[row] = end, begin
    kinds = np.union1d(laid.kinds, np.concatenate([end.states for end in ends.values()])) if ends else laid.kinds
    new = replace(laid, ends=made, cuts=cuts, kinds=kinds)
    return strips([timeline(new, row) for row in range(len(cuts))]) if len(made) > _MANY else new


def sums(laid: Strips, stretches: Sequence[Stretch]) -> Sums:
    """Return how long each row was in each state during disjoint stretches."""
    count = len(laid.kinds)
    places = np.zeros(KINDS, np.intp)
    places[laid.kinds] = np.arange(count)
    lengths = np.zeros(len(laid.cuts) * count, np.int64)
    for stretch in stretches:
        for rows, states, durations in _pieces(laid, *stretch):
            np.add.at(lengths, rows * count + places[states], durations)
    return Sums(laid.kinds, lengths.reshape(len(laid.cuts), count))


def sums_of(laid: Strips, stretches: Sequence[Stretch], rows: Sequence[int]) -> Sums:
    """Return how long each of a few rows was in each state; no other row is looked at."""
    places = np.zeros(KINDS, np.intp)
    places[laid.kinds] = np.arange(len(laid.kinds))
    lengths = np.zeros((len(rows), len(laid.kinds)), np.int64)
    for length, row in zip(lengths, rows, strict=True):
        for begin, end in stretches:
            line = timeline(laid, row, begin)
            edges = np.minimum(np.append(line.starts, END), end)
            np.add.at(length, places[line.states], edges[1:] - edges[:-1])
    return Sums(laid.kinds, lengths)


def _pieces(laid: Strips, begin: Elapsed, end: Elapsed) -> Iterator[tuple[Places, States, Whole]]:
    ends = np.minimum(laid.cuts, end)
    # The piece that an instant lies in begins before the first start that is after it.
    after_begin, past = _bisect(laid, np.stack((np.full(len(ends), begin + 1), ends)))
    first = after_begin - 1
    past = np.where(ends > begin, past, first)
    counts = past - first
    reach = np.cumsum(counts)
    low = 0
    while low < len(counts):
        done = reach[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(reach, done + _BLOCK, side="right")))
        rows = np.repeat(np.arange(low, high), counts[low:high])
        within = np.arange(len(rows)) - np.repeat(reach[low:high] - counts[low:high] - done, counts[low:high])
        places = within + first[rows]
        durations = np.minimum(laid.starts[places + 1], ends[rows]) - np.maximum(laid.starts[places], begin)
        yield rows, laid.states[places], durations
        low = high
    if laid.ends:
        late = laid.ends.values()
        counts = np.array([len(one.starts) for one in late])
        starts = np.concatenate([one.starts for one in late])
        until = np.append(starts[1:], END)
        until[np.cumsum(counts) - 1] = END
        durations = np.maximum(np.minimum(until, end) - np.maximum(starts, begin), 0)
        yield np.repeat(list(laid.ends), counts), np.concatenate([one.states for one in late]), durations


def _bisect(laid: Strips, sought: Whole) -> Places:
    """Return in each row the place of the first start that is not before an instant; a row of instants for each answer."""
    low = np.broadcast_to(laid.rows[:-1], sought.shape).copy()
    high = np.broadcast_to(laid.rows[1:] - 1, sought.shape).copy()
    for _ in range(int(np.max(high - low, initial=0)).bit_length()):
        middle = (low + high) >> 1
        lower = (laid.starts[middle] < sought) & (low < high)
        low = np.where(lower, middle + 1, low)
        high = np.where(lower, high, middle)
    return low
