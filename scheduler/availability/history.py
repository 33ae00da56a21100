"""A history: everything an availability report is computed from, as plain data. No clock, no database.

Instants and durations are whole microseconds; instants count from the epoch, in UTC. Spans are half-open `[start, end)`;
an `end` of None is open. Where the accounting rules leave a choice, the choice stands beside the field it concerns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from fractions import Fraction

from scheduler.model.instants import SECOND, Duration, Instant

NOTICE: Duration = 24 * 3600 * SECOND
"""Notice that makes a downtime a scheduled one."""
EVERYTHING = "*"
"""In a downtime or an exclusion: every object and every group."""


class Status(IntEnum):
    """What a check says of an object. UNKNOWN is not down."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3
    """The check ran and could not tell (a plug-in's exit code 3, a time-out of the check itself)."""
    MISSING = 4
    """No result for longer than the check's freshness, or the monitor itself was not there."""


class ObjectKind(StrEnum):
    """What an object is; it matters to `icinga` alone, for which UNKNOWN is a problem of a service and not of a host."""

    SERVICE = "service"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class Span:
    """`[start, end)` on the wall clock; `end` None: still going on."""

    start: Instant
    end: Instant | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One result of one check, or a status that somebody pushed."""

    at: Instant
    """When it was observed, by the wall clock of its monitor."""
    object: str
    status: Status
    sequence: int | None = None
    """Order of the monitor's events; results without one are ordered by `at`, then as they came."""
    monotonic: Duration | None = None
    """The monitor's monotonic clock at `at`."""
    boot: str = ""
    """Which boot of the monitor `monotonic` belongs to."""
    id: str = ""
    """Results of one id are one result (a duplicate). Without ids, results alike in all fields are duplicates."""
    received: Instant | None = None
    """When it reached the log; later than the publication of its period makes a new version of that."""
    cause: str = ""
    """Why seconds are lost while this status lasts: one of `Cause`, or "" (unknown)."""
    text: str = ""
    confirmed: Instant | None = None
    """The last of its repetitions: the same was found again and again from `at` until then, never longer apart than the
    freshness and with no jump of the clock between. So freshness runs from then. None: found once."""


@dataclass(frozen=True, slots=True)
class Monitored:
    """A monitored object. It exists from its first result at the earliest; the time between `existence` and that is pending."""

    name: str
    kind: ObjectKind = ObjectKind.SERVICE
    existence: tuple[Span, ...] = ()
    """When it was declared to exist; empty: from its first result on."""
    freshness: Duration | None = None
    """A status is believed for so long after its last result, then the object is MISSING; None: until the next result."""


@dataclass(frozen=True, slots=True)
class Revision:
    """What was declared of a downtime, and when. The last revision says the agreed span; the earlier ones, what had notice."""

    declared_at: Instant
    start: Instant
    end: Instant
    by: str = ""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A window that comes back: local start and length in a zone. At a DST change it keeps its length in elapsed time."""

    rule: str
    """An RRULE of RFC 5545: FREQ=WEEKLY;BYDAY=TU."""
    zone: str
    start: str
    """Local date and time of the first one, `2026-03-03T09:00:00`. A local time that a DST change skips is moved on by the
    gap, one that comes twice is taken at its first coming (RFC 5545)."""
    length: Duration
    until: Instant | None = None
    """None begins at or after it."""
    ended: Instant | None = None
    """It was called off: nothing of it holds from then on, not the rest of a window that is open either."""


@dataclass(frozen=True, slots=True)
class Downtime:
    """An agreed downtime of objects or groups: one span with its revisions, or a recurring one."""

    id: str
    objects: tuple[str, ...]
    revisions: tuple[Revision, ...] = ()
    """In the order declared. Each instant of the agreed span is scheduled when every revision in force since 24 h before it
    held it; the rest is unscheduled."""
    recurrence: Recurrence | None = None
    declared_at: Instant | None = None
    """Of a recurring one."""
    reason: str = ""
    by: str = ""
    """Who declared a recurring one."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Bad seconds that do not count, once somebody accepted it."""

    id: str
    objects: tuple[str, ...]
    start: Instant
    end: Instant
    cause: str
    """building, network, power, excused downtime..."""
    author: str
    reason: str
    accepted_by: str = ""
    """Empty: proposed, excuses nothing."""
    accepted_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Correction:
    """A result that came when its time had been told of already; it counts once somebody else accepted it."""

    id: str
    object: str
    at: Instant
    status: Status
    received: Instant
    by: str
    """Whose token reported it."""
    text: str = ""
    accepted_by: str = ""
    """Empty: proposed, changes nothing."""
    accepted_at: Instant | None = None


class Operator(StrEnum):
    """How a group's status follows from its members'."""

    AND = "and"
    OR = "or"
    AT_LEAST = "at-least"
    """At least `k` members."""
    QUORUM = "quorum"
    """Of three and more members that are there the majority, of two one (replicated database)."""
    CAPACITY = "capacity"
    """At least the part `need` of the members' weights (segmented pools)."""


@dataclass(frozen=True, slots=True)
class Member:
    """Membership of an object or a group, for a time. A retired member counts until it retired and is not MISSING after."""

    name: str
    start: Instant | None = None
    end: Instant | None = None
    weight: Fraction = Fraction(1)


@dataclass(frozen=True, slots=True)
class Group:
    """A group of objects and groups; a group without a member at an instant does not exist at that instant."""

    name: str
    operator: Operator
    members: tuple[Member, ...]
    k: int = 1
    need: Fraction = Fraction(1)
    strategy: str = ""
    """The high-availability strategy it stands for, where the operator follows from one (for the report)."""
    algebra: str = "kleene"
    """Name and version of its truth table: `kleene`, `argo-1`..."""
    own: Algebra | None = None
    """That table, where it is the site's own."""


@dataclass(frozen=True, slots=True)
class Algebra:
    """The truth tables of groups: how two statuses make one. Codes are those of `Status`, and 5 for DOWNTIME."""

    name: str
    """With its version: `kleene-1`, `argo-2`."""
    source: str
    """Where the tables were published, or who agreed on them."""
    fold: str
    """Of tables that are not associative: in which order members are folded. Empty: the order does not matter."""
    both: tuple[tuple[int, ...], ...]
    """AND: for each pair of codes the code that they make."""
    either: tuple[tuple[int, ...], ...]
    """OR."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of wall clock that is reported on; never beyond `now`."""

    name: str
    start: Instant
    end: Instant


@dataclass(frozen=True, slots=True)
class Objective:
    """A promise on an object or group."""

    name: str
    object: str
    target: Fraction
    """0.999 as 999/1000."""
    window: str
    """Name of a window: this-week, past-week, month, quarter, year, 30d..."""
    zone: str = ""
    """IANA zone of the window; empty: the history's."""
    profile: str = "excuse"
    applies: tuple[Span, ...] | None = None
    """The periods in which it applies (data taking); outside them it is not applicable. None: always."""


class ObjectiveVerdict(StrEnum):
    """What became of an objective."""

    PASS = "PASS"  # noqa: S105 - a verdict
    FAIL = "FAIL"
    UNDECIDED = "UNDECIDED"
    NOT_APPLICABLE = "not applicable"


class Cause(StrEnum):
    """Why a second was lost. The journal keeps a cause by its place here: a new one is added at the end."""

    DETECTION = "detection"
    FENCING = "fencing"
    PLACEMENT = "placement"
    BOOT = "boot"
    SERVICE_START = "service start"
    HUMAN = "waiting for a human"
    EXCLUDED = "excluded"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class History:
    """All of it. Names of objects and groups are one namespace."""

    now: Instant
    zone: str = "UTC"
    objects: tuple[Monitored, ...] = ()
    results: tuple[Result, ...] = ()
    groups: tuple[Group, ...] = ()
    downtimes: tuple[Downtime, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    gaps: tuple[Span, ...] = ()
    """When the monitor itself was not there: objects are MISSING from its start until their next result."""
    objectives: tuple[Objective, ...] = ()
    monotonic_now: Duration | None = None
    """The monitor's monotonic clock at `now`, of `boot`."""
    boot: str = ""
    algebras: tuple[Algebra, ...] = ()
    """Truth tables of its own; those that we ship need not stand here."""
    corrections: tuple[Correction, ...] = ()
    """Accepted ones are among the results too: here they are told, not counted."""

    @property
    def names(self) -> list[str]:
        """Of all objects and groups."""
        return [*(one.name for one in self.objects), *(one.name for one in self.groups)]


@dataclass(frozen=True, slots=True)
class Measure:
    """What one window measured of one object or group under one profile: durations, and figures as exact fractions.

    The durations are the profile's own view, so they add up: under `argo` a second in downtime is neither up nor bad.
    """

    object: str
    window: Window
    profile: str
    total: Duration
    """T: the elapsed time in which it existed (pending time is outside)."""
    up: Duration
    ok: Duration
    bad: Duration
    unknown: Duration
    """UNKNOWN and MISSING together."""
    missing: Duration
    """Of `unknown`: no result at all."""
    pending: Duration
    scheduled_downtime: Duration
    unscheduled_downtime: Duration
    excused: Duration
    """X: bad time inside an accepted exclusion."""
    figure: Fraction | None
    """None: undefined (0/0)."""
    availability: Fraction | None
    """A of `argo`."""
    reliability: Fraction | None
    """R of `argo`."""
    lost: dict[str, Duration] = field(default_factory=dict)
    """Cause -> bad time."""
    lowest: Fraction | None = None
    """The figure if all unknown time had been bad: a promise that holds even so is kept."""
    highest: Fraction | None = None
    """The figure if all unknown time had been up: a promise that is missed even so is broken."""
    observed: Duration = 0
    """Time in which its state was known (OK, WARNING, CRITICAL), whatever the profile makes of it."""
    excusable: Duration = 0
    """Under `excuse`: unknown time inside an accepted exclusion, which would have been excused if it had been bad."""

    @property
    def undecided(self) -> Duration:
        """Unknown time that the verdict takes once as bad and once as up, also where the profile's own figure counts it."""
        if self.profile not in {"icinga", "nagios"} or self.lowest is None or self.highest is None:
            return self.unknown
        return int((self.highest - self.lowest) * self.total)
