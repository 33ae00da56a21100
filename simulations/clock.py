"""Simulated time, and an agenda of what will happen that runs under simulated and under real time alike."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from scheduler.model.clock import Clock

START = 1_800_000_000.0
"""The instant at which simulations begin (15 January 2027): fixed, so that two runs are equal to the last digit."""


class SimulatedClock:
    """Time that passes only when somebody sleeps; the wall clock can be set, the monotonic one cannot."""

    def __init__(self, start: float = START) -> None:
        self._elapsed = 0.0
        self._wall = start

    def now(self) -> float:
        """Return seconds since the epoch, as a wall clock that may have been set shows them."""
        return self._wall + self._elapsed

    def monotonic(self) -> float:
        """Return seconds since the simulation began."""
        return self._elapsed

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._elapsed += max(0.0, seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self._wall += seconds


class Agenda:
    """What will happen, in the order of its time.

    Whoever owns one calls `catch_up` when time has passed; what is due then happens at its own instant, also when the owner
    comes late: inside a call, `monotonic` and `now` are those of the entry.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self._at: float | None = None

    def monotonic(self) -> float:
        """Return the monotonic time of what happens now."""
        return self._clock.monotonic() if self._at is None else self._at

    def now(self) -> float:
        """Return the wall-clock time of what happens now."""
        late = 0.0 if self._at is None else self._clock.monotonic() - self._at
        return self._clock.now() - late

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        """Let `call` happen so many seconds from now."""
        heapq.heappush(self._entries, (self.monotonic() + max(0.0, seconds), next(self._order), call))

    def next_at(self) -> float | None:
        """Return the monotonic time of the next entry; None when nothing is to come."""
        return self._entries[0][0] if self._entries else None

    def last_at(self) -> float | None:
        """Return the monotonic time of the last entry that stands in the agenda now."""
        return max((at for at, _, _ in self._entries), default=None)

    def catch_up(self) -> None:
        """Let everything happen that is due."""
        if self._at is not None:
            return
        due = self._clock.monotonic()
        try:
            while self._entries and self._entries[0][0] <= due:
                self._at, _, call = heapq.heappop(self._entries)
                call()
        finally:
            self._at = None
