"""The documented output of `ambienti report --json`: what a report holds, field by field."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import WithJsonSchema

from environments.environment import Frozen
from scheduler.availability.history import ObjectiveVerdict

Seconds = Annotated[int | Decimal, WithJsonSchema({"type": "number", "minimum": 0})]
"""Exact: whole, or with up to six decimals."""
Kind = Literal["service", "host", "group"]
Ratio = Annotated[str, WithJsonSchema({"type": "string", "pattern": r"^\d+/\d+$"})]


class WindowShown(Frozen):
    """A window that is reported on."""

    name: str
    """This-week, month...; empty: two instants that were given."""
    start: str
    """In the report's zone, with its offset."""
    end: str
    """The first instant after it; never after `now`."""
    seconds: Seconds
    """Between the two instants."""


class ReportRow(Frozen):
    """What one window measured of one object or group under one profile. Times are seconds."""

    object: str
    """The object or group."""
    kind: Kind
    window: str
    """Its name."""
    start: str
    """Of the window."""
    end: str
    """Of the window."""
    profile: str
    """Whose view all that follows is: up, bad, unknown and what it leaves to downtimes are T."""
    total: Seconds
    """T: the time in which it existed; pending time is outside."""
    up: Seconds
    """OK and WARNING; of `nagios` OK alone, of `icinga` all that is no problem, of `argo` and `skip` outside downtimes only."""
    ok: Seconds
    """OK, as the profile sees it."""
    bad: Seconds
    """CRITICAL, excused time included; of `icinga` the problems, of `nagios` all that is determined and not OK."""
    unknown: Seconds
    """UNKNOWN and MISSING together, where the profile does not count them."""
    missing: Seconds
    """Of `unknown`: no result at all."""
    pending: Seconds
    """Declared, but not heard of yet."""
    scheduled_downtime: Seconds
    """In a downtime that had 24 h of notice: the D of `argo`."""
    unscheduled_downtime: Seconds
    """In a downtime that had not."""
    excused: Seconds
    """Bad time inside an accepted exclusion."""
    observed: Seconds
    """Time in which its state was known (OK, WARNING, CRITICAL), the same under every profile."""
    observed_share: Ratio | None
    """The same as a share of the whole window, time before it existed included; null: the window is empty."""
    figure: Ratio | None
    """The profile's figure, exactly; null: undefined (0/0)."""
    figure_decimal: str | None
    """The same as a decimal of at most 30 digits."""
    figure_shown: str
    """The same rounded to two decimals of a per cent; for reading only."""
    availability: Ratio | None
    """A of `argo`, beside the figure of every profile."""
    availability_decimal: str | None
    """The same as a decimal."""
    reliability: Ratio | None
    """R of `argo`, beside the figure of every profile."""
    reliability_decimal: str | None
    """The same as a decimal."""
    capacity: Ratio | None = None
    """Of a group whose operator is `capacity`: the weighted figure by the profile, exactly: weight x time that was up, of all
    that counts; null: it is no such group, or nothing counts."""
    capacity_decimal: str | None = None
    """The same as a decimal."""
    capacity_availability: Ratio | None = None
    """A of `argo`, weighted."""
    capacity_reliability: Ratio | None = None
    """R of `argo`, weighted."""
    lost: dict[str, Seconds]
    """Bad time by cause."""
    verdict: str | None
    """Of its objectives, each held against this window, the worst; null: it has none."""
    verdicts: dict[str, str]
    """Of each."""
    undecided: Seconds
    """The unknown time for which one of them is UNDECIDED, of several the longest; 0: none is."""


class ObjectiveShown(Frozen):
    """An objective and what became of it in its own window."""

    name: str
    """How it is called."""
    object: str
    """The object or group that it is on."""
    target: Ratio
    """What the figure is compared with, by `>=`."""
    profile: str
    """Whose figure decides."""
    zone: str
    """In which its window is cut."""
    window: WindowShown
    verdict: ObjectiveVerdict
    """PASS: it holds even if all unknown time was bad; FAIL: it is missed even if that was up; else UNDECIDED."""
    figure: Ratio | None
    """Of the time in which it applied."""
    figure_if_unknown_bad: Ratio | None
    """The least that it can be."""
    figure_if_unknown_up: Ratio | None
    """The most that it can be."""
    unknown: Seconds
    """Unknown seconds, which make an objective UNDECIDED if they could decide; under `icinga` and `nagios` too, whose rows
    count them otherwise."""


class DowntimeShown(Frozen):
    """An agreed downtime that the report rests on."""

    id: str
    """Its name."""
    objects: tuple[str, ...]
    """Which objects and groups; `*` is all of them."""
    declarations: tuple[dict[str, str], ...]
    """What was declared, when and by whom (declared, start, end, by); the last one is what was agreed."""
    recurring: str
    """The rule of a recurring one, else empty."""
    reason: str
    """Why."""


class ExclusionShown(Frozen):
    """An exclusion, and who accepted it."""

    id: str
    """Its name."""
    objects: tuple[str, ...]
    """Which objects and groups; `*` is all of them."""
    start: str
    """Its first instant."""
    end: str
    """The first instant after it."""
    cause: str
    """Building, network, power..."""
    author: str
    """Who proposed it."""
    reason: str
    """Why."""
    accepted_by: str
    """Empty: proposed, excuses nothing."""
    accepted_at: str | None
    """When; null: not accepted, or nobody said when."""


class CorrectionShown(Frozen):
    """A result that came when its time had been told of already, and who accepted it."""

    id: str
    """Its name."""
    object: str
    """Of which object."""
    at: str
    """When it was observed."""
    status: str
    """What it says."""
    received: str
    """When it was reported."""
    by: str
    """Who reported it."""
    text: str
    """What the check said."""
    accepted_by: str
    """Empty: proposed, changes nothing."""
    accepted_at: str | None
    """When; null: not accepted, or nobody said when."""


class JumpShown(Frozen):
    """The clock of the monitor was set."""

    before: str
    """What it would have shown."""
    after: str
    """What it showed."""


class GapShown(Frozen):
    """The monitor itself was not there."""

    start: str
    """From when on."""
    end: str | None
    """Null: it still is not."""


class Report(Frozen):
    """All of it."""

    format: str
    """`ambienti-report-1`."""
    now: str
    """The instant that it is made for."""
    zone: str
    """In which windows are cut and instants written."""
    zone_data: str
    """Version of the time zones' data."""
    profiles: tuple[str, ...]
    """Accounting profiles of the rows."""
    algebras: tuple[str, ...]
    """Truth tables of the groups, with their versions; of a site's own also the beginning of their SHA-256."""
    windows: tuple[WindowShown, ...]
    downtimes: tuple[DowntimeShown, ...]
    exclusions: tuple[ExclusionShown, ...]
    corrections: tuple[CorrectionShown, ...] = ()
    """What was reported of a time that had been told of already; what is not accepted changes nothing."""
    clock_jumps: tuple[JumpShown, ...]
    gaps: tuple[GapShown, ...]
    rows: tuple[ReportRow, ...]
    objectives: tuple[ObjectiveShown, ...]
