"""What a page shows: a report under one profile, the timelines behind it, and where the objectives stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scheduler.availability.measuring.pieces import Piece, pieces
from scheduler.availability.promises.standing import Standing, stand
from scheduler.availability.reports import report_data
from scheduler.availability.reports.report_data import Report, Row
from scheduler.publish import responses
from scheduler.publish.responses import Responses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.availability.history import Window
    from scheduler.availability.incidents.incident import Incident
    from scheduler.availability.timelines.prepared import Prepared


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page's content."""

    site: str
    report: Report
    strips: Mapping[str, tuple[Piece, ...]]
    """Object or group -> its timeline over the longest window."""
    standings: tuple[Standing, ...]
    responses: Responses | None = None
    """What became of the incidents of the longest window; None: there were none, or nobody keeps any."""
    rows: Mapping[str, tuple[Row, ...]] = field(init=False)
    """Object or group -> its rows, in the order of the windows."""
    longest: int = field(init=False)
    """Which window is the longest."""

    def __post_init__(self) -> None:
        """Sort the rows by object."""
        rows: dict[str, tuple[Row, ...]] = {}
        for row in self.report.rows:
            rows[row.object] = (*rows.get(row.object, ()), row)
        object.__setattr__(self, "rows", rows)
        lengths = [window.seconds for window in self.report.windows]
        object.__setattr__(self, "longest", lengths.index(max(lengths)))

    @property
    def names(self) -> list[str]:
        """All objects and groups; those that lost most in the longest window come first."""
        return sorted(self.rows, key=lambda name: -self.rows[name][self.longest].bad)


def make(
    prepared: Prepared,
    windows: Sequence[Window],
    profile: str,
    *,
    site: str,
    objects: Sequence[str] = (),
    zone: str = "",
    incidents: Sequence[Incident] = (),
) -> Sheet:
    """Put a page's content together."""
    report = report_data.make(prepared, windows, [profile], objects, zone)
    longest = max(windows, key=lambda window: window.end - window.start)
    names = dict.fromkeys(row.object for row in report.rows)
    strips = {name: pieces(prepared, name, longest) for name in names}
    standings = tuple(stand(prepared, one) for one in prepared.history.objectives if one.object in names)
    answered = responses.of(incidents, longest, report.zone, prepared.history.now)
    return Sheet(site, report, strips, standings, answered)
