"""What a page shows: a report under one profile, where the objectives stand, and one of its windows in detail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from scheduler.availability.measuring.accounting import Piece, pieces
from scheduler.availability.measuring.explaining import excused_by
from scheduler.availability.promises.standing import ObjectiveStanding, stand
from scheduler.availability.reports import report_data
from scheduler.availability.reports.report_shape import Report, ReportRow, Seconds
from scheduler.journal.used import Used
from scheduler.model.instants import Instant, as_time, seconds, write_duration, write_instant
from scheduler.oncall import response
from scheduler.oncall.rows import IncidentView, PeriodView, incident_view, period_view

if TYPE_CHECKING:
    from scheduler.availability.history import Group, Window
    from scheduler.availability.promises.burn_rate import Alert
    from scheduler.availability.reports.publication import Version
    from scheduler.availability.timelines.prepared import Prepared
    from scheduler.journal.publications import Published
    from scheduler.oncall.incident import Incident


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One version of one period."""

    period: str
    """Name of the window."""
    start: str
    end: str
    number: int
    at: str
    """When it was published."""
    note: str


@dataclass(frozen=True, slots=True)
class PublicationStatus:
    """What is said of publication."""

    current: VersionLine | None
    """The version whose figures these are; None: they are not published."""
    earlier: tuple[VersionLine, ...] = ()
    """The versions before it."""
    corrections: tuple[VersionLine, ...] = ()
    """Versions of other periods that replaced published figures since the last report."""
    pending: str = ""
    """Why the figures are not those of the last version, where nobody has published the next one yet."""


def publication_status(
    version: Version | None, known: Sequence[Published], corrections: Iterable[Published], zone: str
) -> PublicationStatus:
    """Say which version is shown, what `known` versions of its period were before, and what else was corrected."""
    current = None if version is None else version_line(version, zone)
    earlier = [version_line(one, zone) for one in known if version is not None and one.number < version.number]
    period = None if version is None else (version.period.start, version.period.end)
    others = [version_line(one, zone) for one in corrections if (one.period.start, one.period.end) != period]
    return PublicationStatus(current, tuple(earlier), tuple(others))


def version_line(one: Version | Published, zone: str) -> VersionLine:
    """Return a version as it is listed."""
    start, end, at = (write_instant(instant, zone) for instant in (one.period.start, one.period.end, one.published_at))
    return VersionLine(one.period.name, start, end, one.number, at, one.note)


MOST_SEGMENTS = 150
"""Of one strip; shorter stretches of a livelier object are left out of the picture, never out of a figure."""
MOST_OF_A_SERVICE = 12
"""Of one service, the newest; all are counted."""
MOST_INCIDENTS = 200
"""Incidents listed, the newest; all are counted."""


@dataclass(frozen=True, slots=True)
class Responses:
    """Counts of a window's incidents, by week, and the incidents themselves."""

    whole: PeriodView
    weeks: tuple[PeriodView, ...]
    incidents: tuple[IncidentView, ...]
    """The newest first."""


def responses_of(incidents: Iterable[Incident], window: Window, zone: str, now: Instant) -> Responses | None:
    """Return what became of the incidents that opened in a window; None: there were none."""
    within = [one for one in incidents if one.opened_at is not None and window.start <= one.opened_at < window.end]
    if not within:
        return None
    [whole] = response.report(within, response.Cut.ALL, zone, now)
    weeks = tuple(period_view(week, zone) for week in response.report(within, response.Cut.WEEK, zone, now))
    listed = sorted(within, key=lambda one: (one.opened_at or 0, one.number), reverse=True)[:MOST_INCIDENTS]
    return Responses(period_view(whole, zone), weeks, tuple(incident_view(one, zone, now) for one in listed))


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a strip, in per cent of its length."""

    left: str
    width: str
    state: str
    overlay: str
    title: str


@dataclass(frozen=True, slots=True)
class Excuse:
    """Bad time that an exclusion excused."""

    id: str
    length: Seconds
    cause: str
    reason: str
    author: str
    accepted_by: str


@dataclass(frozen=True, slots=True)
class Detail:
    """What became of one object or group in the window in detail."""

    strip: tuple[Segment, ...]
    excused: tuple[Excuse, ...]
    incidents: tuple[IncidentView, ...]
    """The newest."""
    all_incidents: int


def details(
    prepared: Prepared, strips: Mapping[str, Sequence[Piece]], window: Window, incidents: Sequence[Incident], zone: str
) -> dict[str, Detail]:
    """Tell of each object and group with its timeline; a group's incidents are those of its members."""
    groups = {one.name: one for one in prepared.history.groups}
    within = [one for one in incidents if _in(one, window)]
    found = {}
    for name, timeline in strips.items():
        members = _below(name, groups)
        mine = sorted((one for one in within if members & set(one.objects)), key=lambda one: -one.number)
        found[name] = Detail(
            strip=tuple(_strip(timeline, window, zone)),
            excused=tuple(_excuses(prepared, name, window)),
            incidents=tuple(incident_view(one, zone, prepared.history.now) for one in mine[:MOST_OF_A_SERVICE]),
            all_incidents=len(mine),
        )
    return found


def _in(one: Incident, window: Window) -> bool:
    """Whether an incident stood in a window."""
    return one.opened_at is not None and one.opened_at < window.end and (one.closed_at is None or one.closed_at > window.start)


def _below(name: str, groups: Mapping[str, Group]) -> set[str]:
    found, waiting = set(), [name]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += [member.name for member in groups[one].members] if one in groups else []
    return found


def _excuses(prepared: Prepared, name: str, window: Window) -> Iterator[Excuse]:
    known = {one.id: one for one in prepared.history.exclusions}
    for number, length in excused_by(prepared, name, window).items():
        one = known[number]
        yield Excuse(number, seconds(length), str(one.cause), one.reason, one.author, one.accepted_by)


def _strip(found: Sequence[Piece], window: Window, zone: str) -> Iterator[Segment]:
    """Draw a timeline: neighbours of one colour are one stretch, the longest of them are drawn."""
    whole = max(window.end - window.start, 1)
    joined = []
    for (state, overlay), run in groupby(found, key=lambda piece: (piece.state, piece.overlay)):
        same = list(run)
        joined.append((same[0].start, same[-1].end, state, overlay))
    shown = sorted(sorted(joined, key=lambda one: one[0] - one[1])[:MOST_SEGMENTS])
    for start, end, state, overlay in shown:
        said = ", ".join(part for part in (state, overlay) if part)
        yield Segment(
            left=f"{(start - window.start) * 100 / whole:.4f}",
            width=f"{max((end - start) * 100 / whole, 0.05):.4f}",
            state=state,
            overlay=overlay,
            title=f"{said}: {as_time(start, zone):%Y-%m-%d %H:%M:%S} to {as_time(end, zone):%Y-%m-%d %H:%M:%S %Z}, "
            f"{write_duration(end - start)}",
        )


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
        responses=responses_of(mine, shown, report.zone, prepared.history.now),
        used=used,
        published=published,
    )
