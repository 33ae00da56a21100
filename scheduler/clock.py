"""The clock: time comes in by the front door. `WallClock` is the only reader of the real one in `scheduler`."""

from __future__ import annotations

import time
from typing import Protocol


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
