"""Exact figures in writing: fractions, decimal strings, per cent for display."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

DIGITS = 30
UNDEFINED = "-"
_CONTEXT = Context(prec=DIGITS)


def fraction(figure: Fraction | None) -> str | None:
    """Write a figure as `numerator/denominator`, in lowest terms; 0/0 is None."""
    return None if figure is None else f"{figure.numerator}/{figure.denominator}"


def decimal(figure: Fraction | None) -> str | None:
    """Write a figure as a decimal of at most 30 digits: exact where it ends before."""
    if figure is None:
        return None
    written = f"{_CONTEXT.divide(Decimal(figure.numerator), Decimal(figure.denominator)):f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def percent(figure: Fraction | None, places: int = 2) -> str:
    """Write a figure for people: `99.90 %`. Rounding is for display alone; nothing is compared with it."""
    if figure is None:
        return UNDEFINED
    scaled, rest = divmod(figure.numerator * 100 * 10**places, figure.denominator)
    if 2 * rest > figure.denominator or (2 * rest == figure.denominator and scaled % 2):
        scaled += 1  # half to even
    whole, rest = divmod(scaled, 10**places)
    return f"{whole}.{rest:0{places}d} %" if places else f"{whole} %"
