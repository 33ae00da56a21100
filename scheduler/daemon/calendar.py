"""What is tied to the calendar: reports that are due at an hour of a day. APScheduler keeps it, by the wall clock."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from apscheduler.schedulers.background import BackgroundScheduler

if TYPE_CHECKING:
    from collections.abc import Callable


class CalendarJobs:
    """Holds the thread that looks at the calendar."""

    def __init__(self, look: Callable[[], object], every_seconds: int) -> None:
        """Look at once, and then at such seconds of each minute."""
        self._jobs = BackgroundScheduler(timezone=dt.UTC)
        self._jobs.add_job(look)
        once_only = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
        self._jobs.add_job(look, "cron", second=f"*/{every_seconds}", **once_only)

    def start(self) -> None:
        """Begin."""
        self._jobs.start()

    def stop(self) -> None:
        """Look no more; what runs is left to end."""
        self._jobs.shutdown(wait=False)
