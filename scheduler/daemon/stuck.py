"""Whether the loop goes round or stands, and where: what a watchdog sees from outside the thread that stands."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scheduler.model.policy import Limits

_ROOT = Path(__file__).parents[2]
_SHOWN_FRAMES = 3


@dataclass(frozen=True, slots=True)
class Stuck:
    """A cycle that has not ended in its time."""

    seconds: float
    """Since it began."""
    where: str
    """The innermost lines of ours that it stands in."""

    def sentence(self) -> str:
        """Say it."""
        return f"the loop stands: a cycle began {self.seconds:.0f} s ago and does not end ({self.where})"

    def data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"stuck_seconds": round(self.seconds, 1), "where": self.where}


def longest_cycle_seconds(limits: Limits) -> float:
    """Return how long a cycle may take before it counts as one that does not end: its readings and acts have deadlines."""
    return 2 * limits.poll_seconds + 3 * limits.reading_deadline_seconds + 30


def where(thread: int | None) -> str:
    """Return in which lines of ours a thread is, the innermost last; "" for one that is not there."""
    frame = sys._current_frames().get(thread) if thread is not None else None  # noqa: SLF001 - the only way to see it
    if frame is None:
        return ""
    ours = [one for one in traceback.extract_stack(frame) if Path(one.filename).is_relative_to(_ROOT)]
    own = [one for one in ours if "site-packages" not in one.filename]
    shown = [f"{Path(one.filename).relative_to(_ROOT)}:{one.lineno} {one.name}" for one in own[-_SHOWN_FRAMES:]]
    return " > ".join(shown)
