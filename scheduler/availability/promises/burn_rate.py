"""Burn-rate alerts over two windows: how fast the error budget goes, and whether somebody must be called now.

A burn rate of 1 spends exactly the budget in the objective's window; 14.4 spends a thirty-day budget in 50 hours. An alert
fires when the rate is reached over its long window, so that it matters, and over its short one, so that it is still going on
(Site Reliability Workbook, chapter 5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from scheduler.availability.history import Measure, Window
from scheduler.model.instants import Duration, Instant, write_duration

Measuring = Callable[[Window], Measure]
"""What one window measured of the objective's object, under its profile."""

PAGES = "page"
"""The severity that opens incidents, in any case; alerts of every other one are only shown."""


class Burning(StrEnum):
    """Whether an alert fires."""

    FIRING = "firing"
    QUIET = "quiet"
    UNDECIDED = "undecided"
    """It would fire if the unknown seconds were bad ones."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A factor and its two windows."""

    name: str
    factor: Fraction
    long: Duration
    short: Duration
    severity: str = "page"
    strictly: bool = False
    """The rate must exceed the factor; else reaching it is enough."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A burn rate as it is at least and at most, the unknown seconds being up or bad; None: nothing was measured."""

    least: Fraction | None
    most: Fraction | None


@dataclass(frozen=True, slots=True)
class Burn:
    """What became of one alert at one instant."""

    alert: Alert
    state: Burning
    long: Rate
    short: Rate


def faults(alert: Alert, target: Fraction) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with an alert of an objective, and what would be right."""
    factor = f"{float(alert.factor):g}"
    if target >= 1:
        yield "an objective of 100 % has no error budget to burn", "a target below 100 %"
        return
    if alert.factor < 1:
        yield (
            f"a factor of {factor} fires while the promise is being kept: at rate 1 the budget lasts the whole window",
            "at least 1",
        )
    highest = 1 / (1 - target)
    if alert.factor > highest or (alert.strictly and alert.factor == highest):
        reach = f"{float(highest):g}"
        message = (
            f"a factor of {factor} can never fire: with everything down an objective of {_percent(target)} burns at {reach}"
        )
        yield message, f"{'less than' if alert.strictly else 'at most'} {reach}"
    if not 0 < alert.short < alert.long:
        message = (
            f"the short window ({write_duration(alert.short)}) is not shorter than the long one ({write_duration(alert.long)})"
        )
        yield message, "a short window of about a twelfth of the long one"


def _percent(target: Fraction) -> str:
    return f"{float(target * 100):.10g} %"


def rate(measure: Measure, target: Fraction) -> Rate:
    """Return the burn rate of what was measured: the bad part over the allowed part."""
    allowed = 1 - target
    least, most = (None if figure is None else (1 - figure) / allowed for figure in (measure.highest, measure.lowest))
    return Rate(least, most)


def burns(alerts: Iterable[Alert], target: Fraction, now: Instant, measuring: Measuring) -> tuple[Burn, ...]:
    """Evaluate alerts at `now`; each window is measured once."""
    measured: dict[Duration, Rate] = {}

    def over(length: Duration) -> Rate:
        if length not in measured:
            measured[length] = rate(measuring(Window(write_duration(length), now - length, now)), target)
        return measured[length]

    return tuple(
        Burn(alert, _state(alert, over(alert.long), over(alert.short)), over(alert.long), over(alert.short)) for alert in alerts
    )


def _state(alert: Alert, long: Rate, short: Rate) -> Burning:
    def reached(value: Fraction | None) -> bool:
        return value is not None and (value > alert.factor if alert.strictly else value >= alert.factor)

    if reached(long.least) and reached(short.least):
        return Burning.FIRING
    return Burning.UNDECIDED if reached(long.most) and reached(short.most) else Burning.QUIET
