"""A history made ready: all timelines once, for any window and profile; one more result changes only what it touches."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scheduler.availability.history import EVERYTHING, Group, History, Monitored, ObjectKind, Result
from scheduler.availability.timelines import axis as axes
from scheduler.availability.timelines.axis import ABSENT, BEGINNING, END, Axis, Elapsed, Stretch, Whole, lived, reached, united
from scheduler.availability.timelines.columns import Columns, columns, joined, picked
from scheduler.availability.timelines.downtimes import agreed, without
from scheduler.availability.timelines.groups import Part, in_order, of_members
from scheduler.availability.timelines.strips import Strips, strips, timeline
from scheduler.availability.timelines.timeline import EXCLUDED, SCHEDULED, UNSCHEDULED, Findings, Timeline, of_results, overlaid
from scheduler.model.instants import SECOND, Duration, Instant

if TYPE_CHECKING:
    Overlay = tuple[tuple[Sequence[Stretch], int], ...]

HORIZON = 400 * 24 * 3600 * SECOND
"""Recurring downtimes are known so far beyond now; a history that goes on for longer is to be prepared anew."""


@dataclass(frozen=True, slots=True)
class PreparedRow:
    """An object or a group: what its timeline is made of."""

    name: str
    is_host: bool
    overlay: Overlay
    existence: tuple[Stretch, ...] | None = None
    """Of an object; None: from its first result on."""
    freshness: int | None = None
    group: Group | None = None
    members: tuple[tuple[int, tuple[Stretch, ...] | None], ...] = ()
    """Of a group, in its order: row, and when it is a member."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A reading of a boot's clock."""

    elapsed: Elapsed
    monotonic: Duration
    boot: str


@dataclass(frozen=True, slots=True)
class LastResult:
    """Where the results end, by all clocks."""

    at: Instant
    elapsed: Elapsed
    is_numbered: bool
    number: int | None
    """The highest."""
    stamp: Stamp | None
    """The last."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A history with its timelines; objects come first, then groups, each after its members."""

    history: History
    """Without its results."""
    results: Columns
    """In their order."""
    added: tuple[Result, ...]
    """Results that came after, in their order."""
    last: LastResult | None
    """Of the last result; None: there is none, or some are left out as later than now."""
    axis: Axis
    past: Axis
    """Without now."""
    gaps: tuple[Elapsed, ...]
    rows: tuple[PreparedRow, ...]
    places: dict[str, int]
    above: dict[int, tuple[int, ...]]
    """Of each row: the groups that it is in, and those that these are in, each after its members."""
    findings: tuple[Findings, ...]
    """Of each object."""
    strips: Strips


def prepare(history: History, results: Columns | None = None) -> Prepared:
    """Make a history ready; its results may come as columns instead."""
    names = {one.name: place for place, one in enumerate(history.objects)}
    given = columns(history.results, names) if results is None else results
    known = _in_order(given)
    ordered = _past(known, history)
    elapsed, past, axis = _axis(ordered, history)
    gaps = tuple(sorted({start for gap in history.gaps for start, _ in lived(axis, gap.start, gap.end)}))
    groups = in_order(history.groups)
    places = names | {group.name: len(names) + place for place, group in enumerate(groups)}
    overlay = _overlays(history, axis)
    rows = tuple(_object(one, axis, overlay) for one in history.objects)
    rows += tuple(_group(group, axis, overlay, places) for group in groups)
    findings = _findings(ordered, elapsed, len(names))
    timelines = {
        place: overlaid(of_results(found, rows[place].freshness, gaps, rows[place].existence), rows[place].overlay)
        for place, found in enumerate(findings)
    }
    for place in range(len(names), len(rows)):
        timelines[place] = group_timeline(rows[place], timelines)
    kept = replace(history, results=())
    last = _last(ordered, elapsed) if len(ordered.at) == len(known.at) else None
    return Prepared(
        kept, known, (), last, axis, past, gaps, rows, places, _above(rows), findings, strips(list(timelines.values()))
    )


def left_out(results: Columns, history: History) -> Columns:
    """Return the results that count nowhere because they are later than now."""
    ordered = _in_order(results)
    return picked(ordered, np.arange(len(_past(ordered, history).at), len(ordered.at)))


def group_timeline(row: PreparedRow, timelines: Mapping[int, Timeline]) -> Timeline:
    """Return the timeline of a group from its members'."""
    assert row.group is not None
    members = zip(row.members, row.group.members, strict=True)
    parts = [Part(timelines[place], stretches, member.weight) for (place, stretches), member in members if place >= 0]
    return overlaid(of_members(row.group, parts), row.overlay)


def _above(rows: Sequence[PreparedRow]) -> dict[int, tuple[int, ...]]:
    found: dict[int, set[int]] = {}
    for place in range(len(rows) - 1, -1, -1):
        for member, _ in rows[place].members:
            found.setdefault(member, set()).update({place}, found.get(place, ()))
    return {place: tuple(sorted(groups)) for place, groups in found.items()}


def timeline_of(prepared: Prepared, name: str) -> Timeline:
    """Return the timeline of an object or a group by its name."""
    return timeline(prepared.strips, prepared.places[name])


def _in_order(given: Columns) -> Columns:
    places = axes.order(given.at, given.sequence)
    if (places == np.arange(len(places))).all():
        return given
    return picked(given, places)


def _past(ordered: Columns, history: History) -> Columns:
    """Leave out results at the end that are later than now; one that the monitor's own clock knows to be past was lived."""
    later = ordered.at > history.now
    if history.monotonic_now is not None and ordered.monotonic is not None and ordered.boot is not None:
        same = np.array([boot == history.boot for boot in ordered.boots] or [False])[ordered.boot]
        later &= ~(same & (ordered.monotonic != ABSENT) & (ordered.monotonic <= history.monotonic_now))
    kept = len(later) - (len(later) if later.all() else int(np.argmin(later[::-1])))
    return ordered if kept == len(later) else picked(ordered, np.arange(kept))


def _axis(ordered: Columns, history: History) -> tuple[Whole, Axis, Axis]:
    """Return the elapsed time of each result, the axis of the results alone, and the axis up to now."""
    now = _now(history)
    whole = joined(ordered, now) if ordered.monotonic is not None else ordered
    at = np.append(ordered.at, history.now)
    elapsed = axes.chain(at, whole.monotonic, whole.boot if whole.monotonic is not None else None)
    elapsed[-1] = elapsed.max()
    return elapsed[:-1], axes.build(at[:-1], elapsed[:-1]), axes.build(at, elapsed)


def _last(ordered: Columns, elapsed: Whole) -> LastResult | None:
    if not len(elapsed):
        return None
    numbered, stamped = _last_known(ordered.sequence), _last_known(ordered.monotonic)
    number = None if numbered is None or ordered.sequence is None else int(ordered.sequence[numbered])
    stamp = None
    if stamped is not None and ordered.monotonic is not None and ordered.boot is not None:
        boot = ordered.boots[ordered.boot[stamped]]
        stamp = Stamp(int(elapsed[stamped]), int(ordered.monotonic[stamped]), boot)
    return LastResult(int(ordered.at[-1]), int(elapsed[-1]), numbered == len(elapsed) - 1, number, stamp)


def _last_known(column: Whole | None) -> int | None:
    if column is None:
        return None
    known = np.flatnonzero(column != ABSENT)
    return int(known[-1]) if len(known) else None


def _now(history: History) -> Columns:
    one = np.array([history.now], np.int64)
    monotonic = np.array([ABSENT if history.monotonic_now is None else history.monotonic_now], np.int64)
    zero = np.zeros(1, np.int32)
    return Columns(zero, one, zero.astype(np.int8), None, None, None, monotonic, zero, (history.boot,))


def _overlays(history: History, axis: Axis) -> dict[str, list[tuple[list[Stretch], int]]]:
    """Return by name what downtimes and accepted exclusions cover."""
    found: dict[str, list[tuple[list[Stretch], int]]] = {}
    for downtime in history.downtimes:
        told = agreed(downtime, history.now + HORIZON)
        whole, scheduled = (
            united([stretch for start, end in spans for stretch in lived(axis, start, end)])
            for spans in (told.whole, told.scheduled)
        )
        for name in set(downtime.objects):
            found.setdefault(name, []).extend([(scheduled, SCHEDULED), (whole, UNSCHEDULED)])
    for exclusion in history.exclusions:
        if exclusion.accepted_by:
            for name in set(exclusion.objects):
                found.setdefault(name, []).append((lived(axis, exclusion.start, exclusion.end), EXCLUDED))
    return found


def _overlay(name: str, found: dict[str, list[tuple[list[Stretch], int]]]) -> Overlay:
    """Unite what covers a row; an instant is scheduled when one downtime has it scheduled."""
    mine = [*found.get(EVERYTHING, ()), *found.get(name, ())]
    by_flag = {
        flag: united([stretch for stretches, other in mine if other == flag for stretch in stretches])
        for flag in (SCHEDULED, UNSCHEDULED, EXCLUDED)
    }
    by_flag[UNSCHEDULED] = without(by_flag[UNSCHEDULED], by_flag[SCHEDULED])
    return tuple((stretches, flag) for flag, stretches in by_flag.items() if stretches)


def _object(one: Monitored, axis: Axis, found: dict[str, list[tuple[list[Stretch], int]]]) -> PreparedRow:
    existence = _existence(one, axis) if one.existence else None
    return PreparedRow(one.name, one.kind is ObjectKind.HOST, _overlay(one.name, found), existence, one.freshness)


def _existence(one: Monitored, axis: Axis) -> tuple[Stretch, ...]:
    """Return when an object existed: it does not vanish because a clock is set."""
    made: list[Stretch] = []
    for span in sorted(one.existence, key=lambda span: span.start):
        start, end = reached(axis, span.start), END if span.end is None else reached(axis, span.end)
        if made and start <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end))
        elif start < end:
            made.append((start, end))
    return tuple(made)


def _group(group: Group, axis: Axis, found: dict[str, list[tuple[list[Stretch], int]]], places: dict[str, int]) -> PreparedRow:
    members = tuple((places.get(one.name, -1), _membership(one.start, one.end, axis)) for one in group.members)
    return PreparedRow(group.name, is_host=False, overlay=_overlay(group.name, found), group=group, members=members)


def _membership(start: Instant | None, end: Instant | None, axis: Axis) -> tuple[Stretch, ...] | None:
    return None if start is None and end is None else tuple(lived(axis, BEGINNING if start is None else start, end))


def _findings(ordered: Columns, elapsed: Whole, count: int) -> tuple[Findings, ...]:
    """Return the results of each object."""
    by_object = np.argsort(ordered.object, kind="stable")
    owners = ordered.object[by_object]
    edges = np.searchsorted(owners, np.arange(count + 1))
    at, status = elapsed[by_object], ordered.status[by_object]
    for owner in np.unique(owners[1:][(at[1:] < at[:-1]) & (owners[1:] == owners[:-1])]):
        mine = at[edges[owner] : edges[owner + 1]]
        np.maximum.accumulate(mine, out=mine)
    cause = np.zeros(len(at), np.int8) if ordered.cause is None else ordered.cause[by_object]
    until = at
    if ordered.confirmed is not None:
        repeated = ordered.confirmed[by_object]
        until = at + np.where(repeated == ABSENT, 0, np.maximum(repeated - ordered.at[by_object], 0))
    return tuple(
        Findings(at[low:high], status[low:high], cause[low:high], until[low:high]) for low, high in itertools.pairwise(edges)
    )
