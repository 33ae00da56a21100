"""An incident and what is told to the book of incidents, as plain values. Instants are microseconds since the epoch, UTC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from environments.identity import Signature
from scheduler.availability.history import EVERYTHING
from scheduler.model.instants import Duration, Instant
from scheduler.oncall.hours import ResponseClass, ResponseTimes
from scheduler.oncall.rotation import Roster
from scheduler.oncall.states import State


class CallEnd(StrEnum):
    """How a call for a person ended."""

    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    """Resolved by a person without acknowledging it first: that is an answer too."""
    SELF_HEALED = "self-healed"


@dataclass(frozen=True, slots=True)
class ResponseDue:
    """A person is called for: from the opening (or a reopening) to the answer."""

    at: Instant
    deadline: Instant
    """Of the class fixed at opening; after a call that healed unanswered it is still that one's, even where it has passed."""
    end: CallEnd | None = None
    ended_at: Instant | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One person was told. `key` is the same on every retry of its delivery."""

    at: Instant
    person: str
    level: int
    """Level of the escalation, from 1."""
    round: int
    """How often the escalation began anew, from 1."""
    because: str
    """Why this person: shift, swap, override, named."""
    key: str


@dataclass(frozen=True, slots=True)
class Incident:
    """One cause that made objects bad."""

    number: int
    cause: str
    """What was said to be the cause; without one `object:NAME`."""
    state: State
    bad_since: Instant
    """When the first object went bad; in a downtime that is before the opening."""
    bad: tuple[str, ...]
    """Objects that are bad now, in the order they went bad."""
    objects: tuple[str, ...]
    """All that ever were."""
    opened_at: Instant | None = None
    response_class: ResponseClass | None = None
    """Fixed at opening."""
    calls: tuple[ResponseDue, ...] = ()
    pages: tuple[Page, ...] = ()
    closed_at: Instant | None = None
    page_at: Instant | None = None
    """When the next page of the escalation is due, if it is open or comes back unanswered; None: none is."""
    level: int = 1
    round: int = 1
    """The level and round the next page is of."""
    held: bool = False
    """The page that is due is held back by a downtime."""
    text: str = ""
    opened_by: str = ""
    """The person who said that it is bad; "": a status did."""

    @property
    def call(self) -> ResponseDue:
        """The last call."""
        return self.calls[-1]


class What(StrEnum):
    """What can be told to the book."""

    BAD = "bad"
    RECOVERED = "recovered"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    TICK = "tick"
    """Nothing but the time."""


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """One thing that happened. Empty fields: bad needs an object; recovered one of object, cause; the others any one."""

    at: Instant
    what: What
    object: str = ""
    cause: str = ""
    incident: int = 0
    by: str = ""
    text: str = ""
    login: str = ""
    """Under which login or token a person said so; told beside the name."""

    @property
    def signed(self) -> str:
        """Who says so."""
        return str(Signature(self.by, self.login))


@dataclass(frozen=True, slots=True)
class Quiet:
    """An agreed downtime as paging sees it: from its start, but never before it was declared."""

    objects: frozenset[str]
    start: Instant
    end: Instant
    declared_at: Instant | None = None
    id: str = ""

    def covers(self, name: str, instant: Instant) -> bool:
        """Whether an object is in this downtime at an instant."""
        start = self.start if self.declared_at is None else max(self.start, self.declared_at)
        return start <= instant < self.end and (name in self.objects or EVERYTHING in self.objects)


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the escalation."""

    target: str
    """A rotation or a person."""
    wait: Duration
    """How long its person has to answer before the next level is paged."""


@dataclass(frozen=True, slots=True)
class Rules:
    """All that decides what is done about an incident."""

    promise: ResponseTimes
    roster: Roster
    levels: tuple[Level, ...]
    repeat: int = 2
    """How many more times the levels are gone through."""
    reopen: Duration = 0
    """The same cause within so long of the end reopens the incident."""
    quiet: tuple[Quiet, ...] = ()


class DecisionKind(StrEnum):
    """What was decided."""

    QUIET = "quiet"
    OPENED = "opened"
    REOPENED = "reopened"
    JOINED = "joined"
    PAGED = "paged"
    HELD = "held"
    """A page was due and not sent: downtime."""
    EXHAUSTED = "exhausted"
    """All levels were paged in all rounds; nobody is left."""
    LEFT = "left"
    """One of its objects recovered, others are still bad."""
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    SELF_HEALED = "self-healed"
    DISMISSED = "dismissed"
    IGNORED = "ignored"
    """It changed nothing, and the sentence says why."""


@dataclass(frozen=True, slots=True)
class OncallDecision:
    """One line of the story: what was decided, when, and why."""

    at: Instant
    kind: DecisionKind
    incident: int
    """0: none."""
    sentence: str
    person: str = ""
    page: Page | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """All incidents that may still change, and the number of the next one."""

    incidents: tuple[Incident, ...] = ()
    next_number: int = 1
    at: Instant = 0
    """When it was last looked at."""
