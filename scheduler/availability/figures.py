"""Exact figures in writing: fractions, decimal strings, per cent for display."""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache

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


LEAST_PLACES = 2
MOST_PLACES = 12


@lru_cache(maxsize=4096)
def compared(figure: Fraction | None, targets: tuple[Fraction, ...] = ()) -> str:
    """Write a figure beside targets: two places, and as many more as it takes to tell it from 100 % and from each target."""
    if figure is None:
        return UNDEFINED
    marks = [target for target in (*targets, Fraction(1)) if target != figure]
    written = percent(figure, LEAST_PLACES)
    for places in range(LEAST_PLACES, MOST_PLACES):
        written = percent(figure, places)
        if all(written != percent(mark, places) for mark in marks):
            break
    return written
