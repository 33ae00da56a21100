"""The error budget of an objective: how much bad time it allows, what is left, and how many failovers that still affords."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.availability.history import Measure

from scheduler.availability.history import Duration


@dataclass(frozen=True, slots=True)
class Parts:
    """A measure as its profile counts it: `counted` is the denominator of the figure, `bad` what it lacks of it."""

    counted: Duration
    bad: Duration
    unknown: Duration
    """Time that is in neither, and would be in `counted` if it were known."""


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
    """Split what was measured as its profile does; the figure is `(counted - bad) / counted`."""
    total, unknown = measure.total, measure.unknown
    if measure.profile == "excuse":
        counted = total - unknown - measure.excused
    elif measure.profile == "argo":
        counted = total - unknown
    elif measure.profile == "skip":
        counted = measure.up + measure.bad
    elif measure.profile == "nagios":
        counted, unknown = total - measure.missing, measure.missing
    else:  # icinga: what is unknown is decided, as a problem or as none
        counted, unknown = total, 0
    good = Fraction(0) if measure.figure is None else measure.figure * counted
    assert good.denominator == 1, f"{measure.profile}: the figure is not of {counted} counted"
    return Parts(counted, counted - good.numerator, unknown)


def budget(measure: Measure, target: Fraction, ahead: Duration = 0, recovery: Recovery | None = None) -> Budget:
    """Return the budget of a window that measured so much, with `ahead` of it still to come."""
    found, part = parts(measure), 1 - target
    allowed = part * (found.counted + ahead)
    known = part * (found.counted + found.unknown + ahead)
    left, least = allowed - found.bad, known - found.bad - found.unknown
    return Budget(
        allowed,
        found.bad,
        left,
        min(left, least),
        max(left, known - found.bad),
        _fitting(left, recovery.mean) if recovery else None,
        _fitting(min(left, least), Fraction(recovery.longest)) if recovery else None,
    )


def recovery(outages: Sequence[Duration]) -> Recovery | None:
    """Sum up outages that ended; None: there was none."""
    lengths = [length for length in outages if length > 0]
    return Recovery(len(lengths), Fraction(sum(lengths), len(lengths)), max(lengths)) if lengths else None


def _fitting(left: Fraction, length: Fraction) -> int:
    return max(0, left // length)
