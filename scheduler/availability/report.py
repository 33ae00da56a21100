"""An availability report as plain data: what the table, the page, the PDF, JSON, CSV and the gauges all show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from scheduler.availability.history import Duration, Exclusion, Instant, Measure, Verdict, Window


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one objective in one window."""

    objective: str
    target: Fraction
    verdict: Verdict
    unknown: Duration = 0
    """What was not known in the time that the objective applies to."""
    budget_left: Fraction | None = None
    """Bad time that may still come, in microseconds; negative when overdrawn."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One object or group in one window."""

    measure: Measure
    judged: tuple[Judged, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One object or group: a cell for each window of the report, in their order."""

    name: str
    kind: str
    """service, host or group."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one state in a timeline strip."""

    start: Instant
    end: Instant
    state: str
    """OK, WARNING, CRITICAL, UNKNOWN, MISSING, pending."""
    overlay: str = ""
    """scheduled downtime, unscheduled downtime, excluded; "" when none."""
    cause: str = ""
    """Why it was bad."""


@dataclass(frozen=True, slots=True)
class AgreedDowntime:
    """A downtime as the report names it."""

    id: str
    objects: tuple[str, ...]
    scheduled: Duration
    unscheduled: Duration
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Report:
    """All of a report. `windows` name the columns, the rows are in the order of the definitions."""

    site: str
    profile: str
    algebras: tuple[str, ...]
    """Names and versions of the truth tables used."""
    zone: str
    zone_data: str
    now: Instant
    windows: tuple[Window, ...]
    rows: tuple[Row, ...]
    strips: Mapping[str, tuple[Piece, ...]]
    """Object or group -> its timeline over the longest window."""
    downtimes: tuple[AgreedDowntime, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    notes: tuple[str, ...] = ()
    """Versions of publication, jumps of the clock, gaps of the monitor."""
