"""What became of the incidents of a page's window in detail: the section on responses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scheduler.oncall.response import Cut, report
from scheduler.oncall.rows import IncidentView, PeriodView, incident_view, period_view

if TYPE_CHECKING:
    from scheduler.availability.history import Window
    from scheduler.model.instants import Instant
    from scheduler.oncall.incident import Incident

MOST_INCIDENTS = 200
"""Incidents listed, the newest; all are counted."""


@dataclass(frozen=True, slots=True)
class Responses:
    """Counts of a window's incidents, by week, and the incidents themselves."""

    whole: PeriodView
    weeks: tuple[PeriodView, ...]
    incidents: tuple[IncidentView, ...]
    """The newest first."""


def of(incidents: Iterable[Incident], window: Window, zone: str, now: Instant) -> Responses | None:
    """Return what became of the incidents that opened in a window; None: there were none."""
    within = [one for one in incidents if one.opened_at is not None and window.start <= one.opened_at < window.end]
    if not within:
        return None
    [whole] = report(within, Cut.ALL, zone, now)
    weeks = tuple(period_view(week, zone) for week in report(within, Cut.WEEK, zone, now))
    listed = sorted(within, key=lambda one: (one.opened_at or 0, one.number), reverse=True)[:MOST_INCIDENTS]
    return Responses(period_view(whole, zone), weeks, tuple(incident_view(one, zone, now) for one in listed))
