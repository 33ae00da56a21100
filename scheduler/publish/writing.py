"""How figures are written for people. Rounding is for display alone and never makes a miss look like a hit."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

from scheduler.availability.history import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from fractions import Fraction

    from scheduler.availability.report import Cell

DIGITS = 2
MOST_DIGITS = 12
NOTHING = "-"
_ORDER = (Verdict.FAIL, Verdict.UNDECIDED, Verdict.PASS, Verdict.NOT_APPLICABLE)


def decimal(value: Fraction, digits: int) -> Decimal:
    """Round an exact fraction to so many digits after the point, half to even."""
    scaled = value * 10**digits
    whole = Context(prec=60, rounding=ROUND_HALF_EVEN).divide(Decimal(scaled.numerator), Decimal(scaled.denominator))
    return whole.quantize(Decimal(1), rounding=ROUND_HALF_EVEN).scaleb(-digits)


def percent(figure: Fraction | None, against: Iterable[Fraction] = ()) -> str:
    """Write a figure in percent: two digits, and as many more as it takes to tell it from 100 % and from each target."""
    if figure is None:
        return NOTHING
    marks = [target for target in (*against, type(figure)(1)) if target != figure]
    for digits in range(DIGITS, MOST_DIGITS):
        rounded = decimal(figure * 100, digits)
        if all(rounded != decimal(mark * 100, digits) for mark in marks):
            break
    return f"{rounded} %"


def figure(cell: Cell) -> str:
    """Write the figure of a cell so that it can be told from its targets."""
    return percent(cell.measure.figure, [one.target for one in cell.judged])


def verdict(cell: Cell) -> Verdict | None:
    """Return the worst verdict on a cell; None: nothing was promised."""
    found = {one.verdict for one in cell.judged}
    return next((one for one in _ORDER if one in found), None)
