"""The clock: time comes in by the front door. `WallClock` is the only reader of the real one in `scheduler`."""

from __future__ import annotations

import time
from typing import Protocol

from scheduler.model.instants import as_time, micro


class Clock(Protocol):
    """What tells the time; the simulations bring their own."""

    def now(self) -> float:
        """Return seconds since the epoch (UTC); may jump when somebody sets the clock."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some fixed instant; never jumps, never runs backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...


class WallClock:
    """The real clock of this machine."""

    def now(self) -> float:
        """Return seconds since the epoch (UTC)."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since some fixed instant, those in which the machine slept included: a nap is no set clock."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))


def clock_time(at: float, now: float, zone: str) -> str:
    """Write an instant as people read a clock: `14:05:30 CET`, with its date when that is another than now's.

    Sentences tell instants in this form: a number of seconds until then would stand still wherever it is kept.
    """
    moment = as_time(micro(round(at)), zone)
    written = f"{moment:%H:%M:%S} {moment.tzname()}"
    same_day = moment.date() == as_time(micro(now), zone).date()
    return written if same_day else f"{moment:%Y-%m-%d} {written}"
