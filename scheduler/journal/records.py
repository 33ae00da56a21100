"""What the journal keeps, as plain values: open workers, intents, notes of events, sightings of jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from environments.reason import Number
from scheduler.model.actions import Action
from scheduler.model.failures import FailureCause
from scheduler.model.host_states import HostWord
from scheduler.model.queues import HeldJob
from scheduler.model.workers import BootOutcome, WorkerState

Value = bool | int | float | str | None


class AgreementError(Exception):
    """What was asked for cannot be agreed on, in words."""


class Outcome(StrEnum):
    """How an action ended."""

    DONE = "done"
    FAILED = "failed"
    """A source erred; what became of it the next observation tells."""
    REFUSED = "refused"
    """The last look just before it said no."""
    LATE = "late"
    """It came to its turn too late and was not begun."""
    UNDER_WAY = "under-way"
    """Its source has not answered yet; the end is written when it does."""
    AGAIN = "again"
    """Its last step has to be made once more: the next look orders it."""
    CUT_OFF = "cut-off"
    """A crash came between; what became of it was read from the farm."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may act, as the journal has it."""

    owner: str
    """"" when it was given back."""
    epoch: int
    """Grows with each change of hands."""
    renewals: int
    """Grows with each renewal: whoever waits watches on his own clock for how long it has stood still."""
    lock: str
    """The name of the side file whose lock the holder had; "" without."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A worker as the journal knows it."""

    name: str
    serial: int
    uuid: str
    environment: str
    version: str
    vo: str
    """For whom it was booted."""
    batch_system: str
    host: str
    cpus: int
    memory_mib: int
    state: WorkerState
    since: float
    requested_at: float
    address: str | None = None
    origin: str = "booted"
    """booted or adopted."""
    booted_at: float | None = None
    """When the boot call ended well, or its domain was first seen."""
    registered_at: float | None = None
    drain_cause: str = ""
    drained_at: float | None = None
    """When its drain was ordered."""
    cancelled_at: float | None = None
    """When its drain was taken back."""
    boot_error: str = ""
    """What the boot call answered, when it failed."""
    boot_failure: FailureCause = FailureCause.UNKNOWN
    closed_at: float | None = None


TIMES_OF_WORKER = ("since", "requested_at", "booted_at", "registered_at", "drained_at", "cancelled_at")


@dataclass(frozen=True, slots=True)
class Intent:
    """An action about to be performed; `entry` is the row that it opens (boot, adopt)."""

    action: Action
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """An intent that has begun and whose end is not written."""

    id: int
    kind: str
    machine: str
    cause: str
    epoch: int
    begun_at: float


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the event log."""

    kind: str
    subject: str
    cause: str = ""
    correlation: str = ""
    detail: Mapping[str, Number | None] = field(default_factory=dict)
    at: float | None = None
    """When it happened; None: when it is written."""


@dataclass(frozen=True, slots=True)
class IntentEnd:
    """How an intent ended, with what it changed of its worker's row."""

    number: int
    at: float
    outcome: Outcome
    detail: str = ""
    changes: Mapping[str, Value] = field(default_factory=dict)
    notes: Sequence[Note] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the event log, as it was written."""

    id: int
    """Its sequence number."""
    at: float
    note: Note
    monotonic: int | None = None
    """The monotonic clock of the daemon `boot` when it was written, in microseconds."""
    boot: int | None = None
    """Which start of which daemon wrote it; None: a command did."""
    received: int | None = None
    """When it was written, in microseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a look says of one object."""

    object: str
    status: int
    """A `Status` of `scheduler.availability.history`."""
    kind: str = "service"
    """An `ObjectKind`."""
    cause: str = ""
    """Why seconds are lost while it lasts; "": unknown."""
    text: str = ""
    at: float | None = None
    """When it was observed; None: at the look."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look of the daemon at all its objects adds: whatever it does not name stands as it was."""

    at: float
    monotonic: float
    changes: tuple[Said, ...] = ()
    retired: tuple[str, ...] = ()
    """Objects that are no longer there."""
    began: str = ""
    """start, gap or clock: nobody looked before this, or the clock was set, and `changes` names every object there is."""


@dataclass(frozen=True, slots=True)
class Push:
    """A status that somebody outside reports."""

    object: str
    status: int
    text: str = ""
    at: float | None = None
    """When it was observed; None: now."""
    id: str = ""
    """By which one that is sent twice is known."""
    cause: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Declared:
    """An object whose status others push."""

    name: str
    kind: str = "service"
    freshness: int | None = None
    """Microseconds."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Which job was seen in which worker of which environment."""

    batch_system: str
    job: str
    worker: str
    vo: str
    user: str
    environment: str
    first_seen: float
    last_seen: float


ADOPTION_GAP = 1000
"""With a lost journal, names on hosts that are down now may be higher than any seen: so much room is left for them."""
Source = tuple[str, str]
"""What names or holds workers: ("host", name) or ("discovery", name)."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """All that an observation needs of the journal, read at once."""

    made_at: float
    next_serial: int
    entries: dict[str, Entry]
    """Open workers by name."""
    intents: tuple[OpenIntent, ...] = ()
    epoch: int = 0
    """The lease under which this daemon acts; intents of older ones were cut off by a crash."""
    boots: tuple[BootOutcome, ...] = ()
    proven: frozenset[tuple[str, str]] = frozenset()
    host_words: tuple[HostWord, ...] = ()
    """What is said of hosts; that one is off goes when it was acted upon."""
    heard: Mapping[Source, bool] = field(default_factory=dict)
    """Hosts and discoveries named since the journal began or was restored: whether it knows of all workers there."""

    @property
    def newest(self) -> float:
        """The newest of the times that a daemon wrote by its clock; `shift` moves each of them."""
        of_entries = (getattr(entry, name) for entry in self.entries.values() for name in TIMES_OF_WORKER)
        of_acts = (*(intent.begun_at for intent in self.intents), *(boot.at for boot in self.boots))
        return max((at for at in (*of_entries, *of_acts) if at is not None), default=float("-inf"))


@dataclass(frozen=True, slots=True)
class Memo:
    """What one observation adds to the journal."""

    changes: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """Worker -> columns of its row that change."""
    outcomes: tuple[BootOutcome, ...] = ()
    appeared: tuple[Sighting, ...] = ()
    ended: tuple[Sighting, ...] = ()
    notes: tuple[Note, ...] = ()
    settled: tuple[int, ...] = ()
    """Intents cut off by a crash whose outcome this observation tells."""
    words: tuple[str, ...] = ()
    """Hosts said to be off that have been acted upon."""
    look: Look | None = None
    holds: Mapping[str, tuple[HeldJob, ...] | None] = field(default_factory=dict)
    """Of each batch system that answered: jobs on hold, some known already; None: it did not tell."""
    void: tuple[str, ...] = ()
    """Hosts said to be off that answer: the word goes, the host stays as it is."""
    heard: Mapping[Source, bool] = field(default_factory=dict)
    """Hosts and discoveries that are named for the first time, or of which all workers are known from now on."""

    def __bool__(self) -> bool:
        """Whether there is anything to write at once: that nothing has changed is written with the next lease."""
        news = self.look is not None and (self.look.changes or self.look.retired or self.look.began)
        seen = self.changes or self.outcomes or self.appeared or self.ended or any(self.holds.values())
        return bool(seen or self.notes or self.settled or self.words or self.void or self.heard or news)
