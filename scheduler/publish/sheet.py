"""What a page shows: a report under one profile, one of its windows in detail, and where the objectives stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scheduler.availability.measuring.pieces import Piece, pieces
from scheduler.availability.promises.standing import ObjectiveStanding, stand
from scheduler.availability.reports import report_data
from scheduler.availability.reports.report_data import Report, ReportRow
from scheduler.journal.used import Used
from scheduler.publish import responses
from scheduler.publish.details import Detail, details
from scheduler.publish.responses import Responses
from scheduler.publish.versions import PublicationStatus

if TYPE_CHECKING:
    from scheduler.availability.history import Window
    from scheduler.availability.promises.burn_rate import Alert
    from scheduler.availability.timelines.prepared import Prepared
    from scheduler.oncall.incident import Incident


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page's content."""

    site: str
    report: Report
    strips: Mapping[str, tuple[Piece, ...]]
    """Object or group -> its timeline over the window in detail."""
    standings: tuple[ObjectiveStanding, ...]
    detail: int
    """Which of the report's windows is shown in detail."""
    details: Mapping[str, Detail] = field(default_factory=dict)
    """Object or group -> what became of it in that window."""
    responses: Responses | None = None
    """What became of the incidents of that window; None: there were none, or nobody keeps any."""
    used: Used | None = None
    """What workers were used for in that window, and the jobs of those that failed; None: nobody knows of workers."""
    published: PublicationStatus | None = None
    """What is said of publication; None: nobody keeps versions."""
    rows: Mapping[str, tuple[ReportRow, ...]] = field(init=False)
    """Object or group -> its rows, in the order of the windows."""

    def __post_init__(self) -> None:
        """Sort the rows by object."""
        rows: dict[str, tuple[ReportRow, ...]] = {}
        for row in self.report.rows:
            rows[row.object] = (*rows.get(row.object, ()), row)
        object.__setattr__(self, "rows", rows)

    @property
    def names(self) -> list[str]:
        """All objects and groups; those that lost most in the window in detail come first."""
        return sorted(self.rows, key=lambda name: -self.rows[name][self.detail].bad)


def make(
    prepared: Prepared,
    windows: Sequence[Window],
    profile: str,
    *,
    site: str,
    detail: Window | None = None,
    objects: Sequence[str] = (),
    zone: str = "",
    incidents: Sequence[Incident] = (),
    used: Used | None = None,
    published: PublicationStatus | None = None,
    alerts: Mapping[str, tuple[Alert, ...]] | None = None,
) -> Sheet:
    """Put a page's content together: a table of windows, one of them in detail, by default the longest.

    `alerts`: objective -> its burn-rate alerts, where somebody defined any.
    """
    shown = max(windows, key=lambda window: window.end - window.start) if detail is None else detail
    among = [place for place, one in enumerate(windows) if (one.start, one.end) == (shown.start, shown.end)]
    whole = [*windows] if among else [*windows, shown]
    report = report_data.make(prepared, whole, [profile], objects, zone)
    names = dict.fromkeys(row.object for row in report.rows)
    mine = [one for one in incidents if not objects or not set(objects).isdisjoint(one.objects)]
    strips = {name: pieces(prepared, name, shown) for name in names}
    return Sheet(
        site=site,
        report=report,
        strips=strips,
        standings=tuple(
            stand(prepared, one, (alerts or {}).get(one.name, ())) for one in prepared.history.objectives if one.object in names
        ),
        detail=among[0] if among else len(whole) - 1,
        details=details(prepared, strips, shown, mine, report.zone),
        responses=responses.of(mine, shown, report.zone, prepared.history.now),
        used=used,
        published=published,
    )
