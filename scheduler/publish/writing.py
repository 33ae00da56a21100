"""How figures are written for people. Rounding is for display alone and never makes a miss look like a hit."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING

from scheduler.availability import figures
from scheduler.model import instants

if TYPE_CHECKING:
    from scheduler.availability.reports.report_shape import Seconds


def percent(figure: Fraction | str | None, against: Iterable[Fraction] = ()) -> str:
    """Write a figure in percent: two digits, and as many more as it takes to tell it from 100 % and from each target."""
    return figures.compared(None if figure is None else Fraction(figure), tuple(against))


def duration(seconds: Seconds) -> str:
    """Write a time that is given in seconds."""
    return instants.write_duration(int(seconds * instants.SECOND))


def budget(left: Fraction) -> str:
    """Write what is left of an error budget, in microseconds, or by how much it is overdrawn."""
    said = instants.write_duration(int(abs(left)))
    return f"overdrawn by {said}" if left < 0 else said


def clock(instant: str) -> str:
    """Write an instant for a table: date, time to the second, and the offset that tells an hour which comes twice."""
    date, _, rest = instant.partition("T")
    time, offset = (rest[:-1], "UTC") if rest.endswith("Z") else (rest[:-6], rest[-6:])
    return f"{date} {time[:8]} {offset}"
