"""An entry of the site file's `reports`: what is published when, and for whom."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from environments.checking import named_error
from environments.environment import Frozen, Name
from environments.names import nearest
from scheduler.availability.reports.schedule import Every, Schedule
from scheduler.model.instants import TimeOfDay

_LONG = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
_PERIODS = {Every.DAY: "yesterday", Every.MONTH: "past-month"}


def _every(value: object) -> object:
    written = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(written, str) or (written := written[:3] if written in _LONG else written) not in set(Every):
        near = nearest(str(written), [*Every, *_LONG])
        raise named_error(f"{value!r} is not when a report is published", f"one of: {', '.join(Every)}", near)
    return written


def _window(name: str) -> str:
    if name:
        from scheduler.availability.timelines import windows  # late, as below

        windows.named(name, 0, "UTC")
    return name


def _profile(name: str) -> str:
    from scheduler.availability.measuring.profiles import PROFILES  # late: most sites publish nothing, and this loads numpy

    if name not in PROFILES:
        raise named_error(f"no profile is called {name!r}", f"one of: {', '.join(PROFILES)}", nearest(name, PROFILES))
    return name


class ReportSettings(Frozen):
    """One report that is made and mailed again and again."""

    name: Name
    """Yours to choose; the files and the mail bear it."""
    to: Annotated[tuple[Name, ...], Field(min_length=1)]
    """People of the on-call file; each of their addresses gets it."""
    every: Annotated[Every, BeforeValidator(_every)] = Every.MONDAY
    """A day of the week, `day`, or `month` (on its first day)."""
    at: Annotated[TimeOfDay, Field(lt=24 * 3600)] = 7 * 3600
    """`07:00` by the site's clocks."""
    window: Annotated[str, AfterValidator(_window)] = ""
    """Which time is reported: past-week, month, 30d...; by default yesterday, the past week or the past month."""
    profile: Annotated[str, AfterValidator(_profile)] = "excuse"
    """By which rules it is counted."""
    formats: Annotated[tuple[Literal["html", "pdf"], ...], Field(min_length=1)] = ("html", "pdf")
    """Which files are attached."""

    @property
    def schedule(self) -> Schedule:
        """Return when it is published."""
        return Schedule(self.every, self.at)

    @property
    def covers(self) -> str:
        """Return the name of the window."""
        return self.window or _PERIODS.get(self.every, "past-week")
