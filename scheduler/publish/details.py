"""What a page tells of each service: its timeline as a strip, its incidents, and who excused which of its seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from scheduler.availability.measuring.excused import excused_by
from scheduler.availability.reports.report_data import Seconds
from scheduler.model.instants import as_time, seconds, write_duration
from scheduler.oncall.rows import IncidentView, incident_view

if TYPE_CHECKING:
    from scheduler.availability.history import Group, Window
    from scheduler.availability.measuring.pieces import Piece
    from scheduler.availability.timelines.prepared import Prepared
    from scheduler.oncall.incident import Incident

MOST_SEGMENTS = 150
"""Of one strip; shorter stretches of a livelier object are left out of the picture, never out of a figure."""
MOST_INCIDENTS = 12
"""Of one service, the newest; all are counted."""


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
            incidents=tuple(incident_view(one, zone, prepared.history.now) for one in mine[:MOST_INCIDENTS]),
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
