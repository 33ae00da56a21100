"""Where and why two profiles make different figures of one timeline: stretch by stretch, with points that add up exactly.

Let `a` be the first figure, `D` what the second one counts. A stretch that the first counts as g1 of d1 and the second as g2
of d2 (each nothing or the whole stretch) moves the figure by ((g2 - g1) - a (d2 - d1)) / D. Where both count alike that is
nothing; all of them together are the second figure less the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from scheduler.availability.history import EVERYTHING, Measure, Status, Window
from scheduler.availability.measuring.accounting import packed, stretches, tabulate
from scheduler.availability.measuring.profiles import counted, seen
from scheduler.availability.timelines.algebra import STATES
from scheduler.availability.timelines.axis import common, lived, united, wall_at
from scheduler.availability.timelines.downtimes import without
from scheduler.availability.timelines.timeline import ARGO, CODE, EXCLUDED, PENDING, SCHEDULED, UNSCHEDULED
from scheduler.model.instants import Duration, Instant

if TYPE_CHECKING:
    from scheduler.availability.timelines.prepared import Prepared


_NAMES = {code: name for name, code in STATES.items()}


class Counted(StrEnum):
    """What a profile makes of a stretch of time."""

    GOOD = "good"
    BAD = "bad"
    OUT = "not counted"


@dataclass(frozen=True, slots=True)
class Stretched:
    """A stretch of time that two profiles count differently."""

    start: Instant
    """By the wall clock."""
    end: Instant
    length: Duration
    status: str
    downtime: str
    """scheduled, unscheduled, or empty."""
    excluded: bool
    argo: str
    """What `argo` sees: the status, or DOWNTIME."""
    one: Counted
    other: Counted
    reason: str
    points: Fraction | None
    """By how much it moves the figure; None: one of the figures is undefined."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """All stretches with one reason."""

    reason: str
    length: Duration
    points: Fraction | None


@dataclass(frozen=True, slots=True)
class FigureDifference:
    """Why two figures differ."""

    one: Measure
    other: Measure
    difference: Fraction | None
    """The other's figure less the one's; the sum of all points."""
    contributions: tuple[Contribution, ...]
    """The greatest first."""
    stretches: tuple[Stretched, ...]


def explain(prepared: Prepared, name: str, window: Window, one: str, other: str) -> FigureDifference:
    """Explain why a profile gives an object or group another figure than the one before."""
    first, second = (tabulate(prepared, window, profile).of(name) for profile in (one, other))
    is_host = prepared.rows[prepared.places[name]].is_host
    lived = packed(prepared, name, stretches(prepared, first.window))
    pieces = [piece for piece in lived if piece[2] & CODE < PENDING]
    classes = {
        state: (_class(one, state, is_host=is_host), _class(other, state, is_host=is_host))
        for state in {state for _, _, state in pieces}
    }
    base, count = first.figure, sum(end - start for start, end, state in pieces if classes[state][1] is not Counted.OUT)
    found: list[Stretched] = []
    for piece in pieces:
        before, after = classes[piece[2]]
        if before is not after:
            why = "; ".join(reason for profile in (one, other) if (reason := _reason(profile, piece[2], is_host=is_host)))
            moved = None if base is None or not count else (_worth(after, base) - _worth(before, base)) / count
            found.append(_written(prepared, piece, (before, after), why, moved))
    difference = None if base is None or second.figure is None else second.figure - base
    return FigureDifference(first, second, difference, tuple(_contributions(found)), tuple(found))


def sentence(contribution: Contribution) -> str:
    """Say in words what a reason does to the figure: `downtime overrides: -38.9 points`."""
    return f"{contribution.reason}: {write_points(contribution.points)}"


def write_points(points: Fraction | None) -> str:
    """Write a difference of figures in points (hundredths of the whole), with as many decimals as show it."""
    if points is None:
        return "undefined"
    decimals = next((n for n in (1, 2, 4, 6) if abs(points) * 100 * 10**n >= 1), 6) if points else 1
    return f"{_rounded(points * 100, decimals)} points"


def _rounded(value: Fraction, decimals: int) -> str:
    scaled = round(value * 10**decimals)
    whole, rest = divmod(abs(scaled), 10**decimals)
    sign = "-" if scaled < 0 else "+" if scaled else ""
    return f"{sign}{whole}.{rest:0{decimals}d}"


def _worth(counted_as: Counted, base: Fraction) -> Fraction:
    """Return by how much a stretch lifts a figure above the base, in its own length."""
    return {Counted.GOOD: 1 - base, Counted.BAD: -base, Counted.OUT: Fraction(0)}[counted_as]


def _class(profile: str, state: int, *, is_host: bool) -> Counted:
    above, below = counted(profile, seen(np.array([state], np.int16), is_host=is_host))
    return Counted.GOOD if above[0] else Counted.BAD if below[0] else Counted.OUT


def _reason(profile: str, state: int, *, is_host: bool) -> str:
    """Return why a profile counts a state otherwise than as what was observed: up, bad, or not known."""
    code, down = state & CODE, bool(state & (SCHEDULED | UNSCHEDULED))
    plain = Counted.GOOD if code <= Status.WARNING else Counted.BAD if code == Status.CRITICAL else Counted.OUT
    if _class(profile, state, is_host=is_host) is plain:
        return ""
    name = Status(code).name
    unknown = f"{name} of a host is no problem" if is_host else f"{name} is a problem"
    return {
        "excuse": "exclusion excuses",
        "argo": "downtime overrides" if down else "downtime of members overrides",
        "icinga": "downtime is no problem" if down else unknown,
        "nagios": f"{name} is not OK",
        "skip": "downtime is left out",
    }[profile]


def _written(
    prepared: Prepared,
    piece: tuple[int, int, int],
    counted_as: tuple[Counted, Counted],
    why: str,
    moved: Fraction | None,
) -> Stretched:
    begin, end, state = piece
    start, length = wall_at(prepared.axis, begin), end - begin
    return Stretched(
        start,
        start + length,
        length,
        Status(state & CODE).name,
        "scheduled" if state & SCHEDULED else "unscheduled" if state & UNSCHEDULED else "",
        bool(state & EXCLUDED),
        _NAMES[state >> ARGO & CODE],
        *counted_as,
        why,
        None if moved is None else moved * length,
    )


def _contributions(found: Sequence[Stretched]) -> list[Contribution]:
    made = []
    for reason in dict.fromkeys(one.reason for one in found):
        mine = [one for one in found if one.reason == reason]
        points = [one.points for one in mine if one.points is not None]
        total = sum(points, Fraction(0)) if len(points) == len(mine) else None
        made.append(Contribution(reason, sum(one.length for one in mine), total))
    return sorted(made, key=lambda one: (-abs(one.points or 0), -one.length))


# --- how much bad time each exclusion excuses -------------------------------------------------------------------------


def excused_by(prepared: Prepared, name: str, window: Window) -> dict[str, Duration]:
    """Return by the id of each accepted exclusion the bad time that it excuses; together they are the X of `excuse`.

    What several cover is given to the one that was accepted first, and among those to the first listed.
    """
    asked = stretches(prepared, window)
    left = united([(start, end) for start, end, state in packed(prepared, name, asked) if _is_excused(state)])
    mine = [one for one in prepared.history.exclusions if one.accepted_by and {name, EVERYTHING} & set(one.objects)]
    mine.sort(key=lambda one: (one.accepted_at is None, one.accepted_at or 0))
    found: dict[str, Duration] = {}
    for one in mine:
        covered = lived(prepared.axis, one.start, one.end)
        length = sum(end - start for start, end in common(left, covered))
        if length:
            found[one.id] = found.get(one.id, 0) + length
        left = without(left, covered)
    return found


def _is_excused(state: int) -> bool:
    return bool(state & EXCLUDED) and state & CODE == Status.CRITICAL
