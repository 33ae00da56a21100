"""The error budget of an objective: how much bad time it allows, what is left, and how many failovers that still affords."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scheduler.availability.history import Measure

from collections.abc import Sequence

from scheduler.model.instants import Duration


@dataclass(frozen=True, slots=True)
class Side:
    """The two lengths of a figure: `(counted - bad) / counted`."""

    counted: Duration
    bad: Duration


@dataclass(frozen=True, slots=True)
class Parts:
    """A measure as its profile counts it."""

    known: Side
    """What the figure is of."""
    worst: Side
    """If all unknown time had been bad."""
    best: Side
    """If all unknown time had been up."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long it took to come back, over the outages that ended."""

    outages: int
    mean: Fraction
    """In microseconds."""
    longest: Duration


@dataclass(frozen=True, slots=True)
class Budget:
    """Exact microseconds, as fractions; negative when overdrawn."""

    allowed: Fraction
    """Bad time that the objective allows in its window, what of that is still to come included."""
    spent: Duration
    left: Fraction
    """If what was not measured is left out."""
    left_at_least: Fraction
    """If all unknown time was bad."""
    left_at_most: Fraction
    """If all unknown time was up."""
    failovers: int | None
    """How many more recoveries of mean length fit into what is left; None: none was measured."""
    failovers_at_least: int | None
    """The same if all unknown time was bad and every recovery took as long as the longest."""


def parts(measure: Measure) -> Parts:
    """Return the lengths behind a measure's figure, and behind its lowest and highest one."""
    total, unknown = measure.total, measure.unknown
    if measure.profile == "excuse":
        counted, whole = total - unknown - measure.excused, total - measure.excused
    elif measure.profile == "argo":
        counted, whole = total - unknown, total
    elif measure.profile == "skip":
        counted, whole = measure.up + measure.bad, measure.up + measure.bad + unknown
    elif measure.profile == "nagios":
        counted, whole = total - measure.missing, total
    else:
        counted, whole = total, total
    worst = _side(whole - measure.excusable, measure.lowest)
    return Parts(_side(counted, measure.figure), worst, _side(whole, measure.highest))


def _side(counted: Duration, figure: Fraction | None) -> Side:
    return Side(0, 0) if figure is None else Side(counted, counted - _length(figure * counted))


def _length(exact: Fraction) -> Duration:
    assert exact.denominator == 1, f"{exact} is no length: the figure is of something else"
    return exact.numerator


def budget(measure: Measure, target: Fraction, ahead: Duration = 0, recovery: Recovery | None = None) -> Budget:
    """Return the budget of a window that measured so much, with `ahead` of it still to come."""
    found = parts(measure)
    left, least, most = (_left(side, target, ahead) for side in (found.known, found.worst, found.best))
    return Budget(
        (1 - target) * (found.known.counted + ahead),
        found.known.bad,
        left,
        min(left, least),
        max(left, most),
        _fitting(left, recovery.mean) if recovery else None,
        _fitting(min(left, least), Fraction(recovery.longest)) if recovery else None,
    )


def _left(side: Side, target: Fraction, ahead: Duration) -> Fraction:
    return (1 - target) * (side.counted + ahead) - side.bad


def recovery(outages: Sequence[Duration]) -> Recovery | None:
    """Sum up outages that ended; None: there was none."""
    lengths = [length for length in outages if length > 0]
    return Recovery(len(lengths), Fraction(sum(lengths), len(lengths)), max(lengths)) if lengths else None


def _fitting(left: Fraction, length: Fraction) -> int:
    return max(0, left // length)
