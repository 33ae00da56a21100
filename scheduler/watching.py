"""The live view beside a running engine: a thread that draws each new cycle."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scheduler.view import LiveView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from scheduler.engine import Cycle, Engine

LOOK_SECONDS = 0.25


@contextmanager
def watching(engine: Engine, console: Console) -> Iterator[LiveView]:
    """Draw every cycle of an engine until the end of the block."""
    over = threading.Event()
    with LiveView(console) as view:
        thread = threading.Thread(target=_draw, args=(engine, view, over), name="ambienti-view", daemon=True)
        thread.start()
        try:
            yield view
        finally:
            over.set()
            thread.join(5)


def _draw(engine: Engine, view: LiveView, over: threading.Event) -> None:
    shown: Cycle | None = None
    while not over.wait(LOOK_SECONDS):
        cycle = engine.last
        if cycle is not None and cycle is not shown:
            view.show(cycle.observation, engine.policy, cycle.plan)
            shown = cycle
