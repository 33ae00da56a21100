"""Files are read beside the cycle: whoever asks waits briefly, and goes on with what he has while a file system hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Late:
    """Still being read."""

    since: float
    """Monotonic time at which that began."""


@dataclass(slots=True)
class _Look(Generic[T]):
    since: float
    done: threading.Event = field(default_factory=threading.Event)
    value: T | None = None
    error: Exception | None = None


class BackgroundReader(Generic[T]):
    """Reads in a thread of its own, one thing at a time; an answer that comes late is handed to whoever asks next."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._look: _Look[T] | None = None

    def ask(self, read: Callable[[], T], seconds: float) -> T | Late:
        """Begin to read, unless something is being read already; return that if it ends in time. Its error is raised."""
        look = self._look
        if look is None:
            look = self._look = _Look(self._monotonic())
            threading.Thread(target=_work, args=(look, read), name="ambienti-files", daemon=True).start()
        if not look.done.wait(seconds):
            return Late(look.since)
        self._look = None
        if look.error is not None:
            raise look.error
        assert look.value is not None
        return look.value


def _work(look: _Look[T], read: Callable[[], T]) -> None:
    try:
        look.value = read()
    except Exception as error:  # noqa: BLE001 - raised in the thread of whoever asked
        look.error = error
    look.done.set()
