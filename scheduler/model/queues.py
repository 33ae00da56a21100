"""What batch systems tell: jobs by what they ask for, and workers as they see them.

Times are seconds since the epoch (UTC) as floats; durations are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from environments.matching import Requirements
from scheduler.model.deciding import ASIDE, only, what_decides


@dataclass(frozen=True, slots=True)
class RequestCluster:
    """Jobs that ask for the same thing, with their count: one row however many jobs (HTCondor: a GroupBy row)."""

    key: str
    """Stable while the requests are the same; unique in the farm (`pool:3f2a91`)."""
    batch_system: str
    vo: str
    """After the site's mapping; "" where no rule maps these jobs to a VO."""
    requirements: Requirements
    idle: int
    running: int = field(default=0, metadata=only("has_running"))
    held: int = field(default=0, metadata=ASIDE)
    oldest_idle_at: float | None = field(default=None, metadata=ASIDE)
    """When the longest waiting idle job was queued."""
    example_job: str = ""
    """An id of one of the jobs, as the batch system writes it (`12.0`)."""
    problem: str = ""
    """Why this row cannot be understood (a malformed ad); such a row asks for nothing and is shown."""

    @property
    def has_running(self) -> bool:
        """Whether any of these jobs runs."""
        return self.running > 0


_OF_CLUSTER = what_decides(RequestCluster)


@dataclass(frozen=True, slots=True)
class JobCount:
    """So many jobs of one VO that name one environment ("" for none)."""

    vo: str
    wanted: str
    idle: int
    running: int
    held: int


@dataclass(frozen=True, slots=True)
class JobCounts:
    """The jobs of a batch system as it told of all of them last, for the time in which it does not."""

    at: float
    rows: tuple[JobCount, ...] = ()


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job seen running (or claimed) in a worker."""

    job: str
    vo: str = ""
    user: str = ""
    since: float | None = None
    cpus: int = 1
    memory_mib: int = 0
    ends_by: float | None = None
    """The latest end its requested walltime allows."""
    suspended: bool = False
    """Somebody has suspended it: it keeps its slot, by right."""


@dataclass(frozen=True, slots=True)
class Lingering:
    """A slot that is held although no job runs in it by right: its job was taken back or has ended, or never began."""

    slot: str
    state: str
    """In the batch system's own words: `Preempting/Vacating`."""
    since: float | None
    until: float | None
    """When the batch system should have let it go by itself; None where that is not known."""
    job: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A worker as its batch system sees it."""

    worker: str
    cpus: int
    memory_mib: int
    free_cpus: int
    free_memory_mib: int
    jobs: tuple[RunningJob, ...] = ()
    claimed: bool = False
    """True from the claim on, before the first job starts: such a worker has work."""
    draining: bool = False
    idle_since: float | None = None
    """Since when nothing is claimed; None while claimed."""
    registered_at: float | None = None
    quick_failures: int = 0
    """Jobs that failed within seconds of their start, one after the other (a black hole)."""
    used_disk_mib: int = 0
    """Disk that its jobs have, as far as its batch system tells."""
    used_gpus: int = 0
    lingering: tuple[Lingering, ...] = ()
    """Slots held without a job that runs by right; empty also while it is not known of every claim what it holds."""


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that has left its queue, and the worker it ran in last."""

    job: str
    worker: str
    vo: str
    user: str
    began_at: float | None
    ended_at: float


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job that was put on hold after it had run, and the worker it ran in last."""

    job: str
    worker: str
    held_at: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class QueueReading:
    """One answer of a batch system. `complete=False`: some part is missing; absent rows then mean nothing."""

    source: str = field(metadata=ASIDE)
    at: float = field(metadata=ASIDE)
    clusters: tuple[RequestCluster, ...] = field(metadata=only("asked"))
    nodes: tuple[Node, ...] = field(metadata=only("registered"))
    complete: bool = True
    exact: bool = field(default=True, metadata=ASIDE)
    """False when the counts were carried over because a cheap summary says that nothing changed."""
    suspect: bool = False
    """Empty right after full: not yet confirmed by a second reading."""
    ended: tuple[EndedJob, ...] = field(default=(), metadata=ASIDE)
    """Jobs that have ended since the last reading, as far as they are known: each is told once."""
    holds: tuple[HeldJob, ...] | None = field(default=None, metadata=ASIDE)
    """Jobs put on hold since the last reading, some of them told again; None: the batch system did not tell."""
    warnings: tuple[str, ...] = field(default=(), metadata=ASIDE)
    advice: tuple[str, ...] = field(default=(), metadata=ASIDE)
    """What somebody should do so that jobs are accepted as the files say; nothing that was read is in doubt."""

    @property
    def asked(self) -> tuple[object, ...]:
        """What of its clusters decides."""
        return tuple(map(_OF_CLUSTER, self.clusters))

    @property
    def registered(self) -> frozenset[str]:
        """The workers that it shows."""
        return frozenset(node.worker for node in self.nodes)
