"""Waiting: which instants a decision waits for, as its rules ask for them.

A decision knows the time only by what it asks here, but for ages that its sentences tell. All answers stay the same until the
earliest instant that it still waits for, and the decision with them: nothing has to be listed a second time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Waiting:
    """The instant of one decision, and what the decision waits for."""

    now: float
    soonest: float = math.inf
    """The earliest instant after now that some rule has asked for."""

    @property
    def until(self) -> float | None:
        """Until when the decision stands while nothing but time passes; None: for ever."""
        return None if self.soonest == math.inf else self.soonest

    def over(self, instant: float) -> bool:
        """Whether an instant has come; if not, it is waited for.

        Loops over all workers compare with `soonest` first: what lies behind it has not come, and nothing waits for it.
        """
        over = instant <= self.now
        if not over and instant < self.soonest:
            self.soonest = instant
        return over

    def past(self, instant: float) -> bool:
        """Whether an instant lies before now; if not, its end is waited for."""
        return self.over(math.nextafter(instant, math.inf))
