"""Threads that are used again: a call that may hang needs a thread that nobody waits for, but seldom a new one."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_IDLE = 8
"""So many threads are kept for what comes next."""
_waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
_lock = threading.Lock()
_idle = [0]


def in_a_thread(work: Callable[[], None]) -> None:
    """Begin some work at once in a thread that has nothing to do, or in a new one; it must raise nothing."""
    with _lock:
        is_new = not _idle[0]
        if not is_new:
            _idle[0] -= 1
    if is_new:
        threading.Thread(target=_work, args=(work,), name="libvirt-call", daemon=True).start()
    else:
        _waiting.put(work)


def _work(work: Callable[[], None]) -> None:
    while True:
        work()
        del work  # it may hold a connection
        with _lock:
            if _idle[0] >= MOST_IDLE:
                return
            _idle[0] += 1
        work = _waiting.get()
