"""What is done again and again by the monotonic clock: a set wall clock neither hastens nor delays it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from scheduler.model.clock import Clock

LONGEST_WAIT_SECONDS = 1.0
"""A clock that others move, or that goes on while the machine sleeps, is looked at again after this."""


class Rhythm:
    """Holds the thread that does one thing, so many seconds after it last began; never twice at a time."""

    def __init__(self, name: str, work: Callable[[], object], seconds: float, clock: Clock, *, first: float = 0.0) -> None:
        """Prepare; the first time comes `first` seconds after the start. `work` must raise nothing."""
        self.seconds = seconds
        self._name = name
        self._work = work
        self._clock = clock
        self._due = first
        self._changed = threading.Condition()
        self._stopped = False

    def start(self) -> None:
        """Begin."""
        self._due += self._clock.monotonic()
        threading.Thread(target=self._go_on, name=f"ambienti-{self._name}", daemon=True).start()

    def bring_forward(self, seconds: float) -> None:
        """Let the next time come within so many seconds."""
        with self._changed:
            self._due = min(self._due, self._clock.monotonic() + seconds)
            self._changed.notify()

    def stop(self) -> None:
        """Do it no more; what runs is left to end."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _go_on(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and (left := self._due - self._clock.monotonic()) > 0:
                    self._changed.wait(min(left, LONGEST_WAIT_SECONDS))
                if self._stopped:
                    return
                self._due = self._clock.monotonic() + self.seconds
            self._work()
