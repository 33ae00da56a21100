"""What passes between the connector and its companions: plain frozen values, written as JSON (`wire`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.htcondor.options import VORule
from environments.environment import Scalar
from environments.requirements import Requirements


@dataclass(frozen=True, slots=True)
class Setting:
    """What a companion is told first."""

    collector: str
    timeout_seconds: int
    """For one exchange with one daemon."""
    vo_expression: str
    vo_attributes: tuple[str, ...]
    walltime_expression: str
    walltime_attributes: tuple[str, ...]
    history_seconds: float
    """A schedd's history is read at most this often."""
    vo_rules: tuple[VORule, ...] = ()
    """What `vo_expression` was made of: for the words in which it is told."""


@dataclass(frozen=True, slots=True)
class Prototype:
    """An environment as its worker's slot would look: what requirements are judged by."""

    name: str
    vos: tuple[str, ...]
    attributes: tuple[tuple[str, Scalar], ...]


@dataclass(frozen=True, slots=True)
class Located:
    """A schedd as the collector knows it; `ad` is the text of its ad."""

    name: str
    ad: str
    version: str = ""
    learns: bool = False
    """Its configuration holds hooks that learn environments."""
    learned: frozenset[str] | None = None
    """The environments it has learned; None: nothing yet."""


@dataclass(frozen=True, slots=True)
class LeftAds:
    """What the collector still shows of a worker whose ads were invalidated."""

    slots: int
    renewed: bool
    """They were updated since: somebody still reports them, or an update was under way for longer than was waited."""


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """Jobs of one schedd that ask for the same thing."""

    key: str
    vo: str
    requirements: Requirements
    idle: int
    running: int
    held: int
    first_job: str
    oldest_idle_at: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that has left the queue, and the machine it ran on last."""

    job: str
    machine: str
    vo: str
    user: str
    begun_at: float | None
    ended_at: float


@dataclass(frozen=True, slots=True)
class Held:
    """A job on hold, and the machine it ran on last."""

    job: str
    machine: str
    held_at: float
    why: str


@dataclass(frozen=True, slots=True)
class QueueAnswer:
    """The queue of one schedd. `light` says that the counts were carried over, or that requirements were not all re-read."""

    rows: tuple[ClusterRow, ...]
    exact: bool
    how: str
    """`summary`, `by-autocluster` or `by-requirements`: how it was read."""
    ended: tuple[Ended, ...] = ()
    warning: str = ""
    held: tuple[Held, ...] | None = ()
    """Jobs that were put on hold since the last reading, some of them told again; None: too many to tell."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of a worker."""

    worker: str
    name: str
    machine: str
    dynamic: bool
    state: str
    cpus: int
    memory_mib: int
    total_cpus: int
    total_memory_mib: int
    draining: bool
    dynamic_slots: int
    job_starts: int
    recent_job_starts: int
    started_at: float | None
    told_at: float | None
    job: str = ""
    user: str = ""
    vo: str = ""
    job_started_at: float | None = None
    walltime_seconds: int | None = None
    disk_mib: int = 0
    gpus: int = 0
    activity: str = ""
    entered_at: float | None = None
    """When it entered its present state and activity, by our clock."""
    vacate_seconds: int | None = None
    """So long a job that is taken back may take to end."""


@dataclass(frozen=True, slots=True)
class PoolAnswer:
    """What the collector knows."""

    schedds: tuple[Located, ...]
    slots: tuple[Slot, ...]
    collector_started_at: float | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run of a job that has ended, on whatever worker."""

    machine: str
    ended_at: float
    seconds: float
    failed: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A companion's way to say SourceError."""

    asked: str
    answer: str


@dataclass(frozen=True, slots=True)
class Question:
    """A function of the companion and its arguments."""

    function: str
    arguments: Mapping[str, object] = field(default_factory=dict)
