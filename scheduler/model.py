"""What the farm looks like at one instant: readings of queues and hosts, workers, and the observation made of them.

Everything here is a frozen value. Times are seconds since the epoch (UTC) as floats; durations are seconds. "No answer" is
`Unanswered`, a value of its own, and is never read as "empty".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import NAMESPACE_URL, uuid5

from environments.environment import Virtualization
from environments.matching import Requirements


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A source that did not answer, and what was known of it last."""

    source: str
    reason: str
    asked_at: float
    answered_at: float | None = None
    """When it last answered; None if never since this daemon started."""
    asked: bool = True
    """False: this daemon did not come to ask, so the silence is its own."""
    pending: bool = False
    """It has time left to answer, but nobody waits for it: what was known of it stands."""


# --- the batch side ---------------------------------------------------------------------------------------------------


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
    running: int = 0
    held: int = 0
    oldest_idle_at: float | None = None
    """When the longest waiting idle job was queued."""
    example_job: str = ""
    """An id of one of the jobs, as the batch system writes it (`12.0`)."""
    problem: str = ""
    """Why this row cannot be understood (a malformed ad); such a row asks for nothing and is shown."""


@dataclass(frozen=True, slots=True)
class JobCount:
    """So many jobs of one VO that name one environment ("" for none)."""

    vo: str
    wanted: str
    idle: int
    running: int
    held: int


@dataclass(frozen=True, slots=True)
class Counted:
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

    source: str
    at: float
    clusters: tuple[RequestCluster, ...]
    nodes: tuple[Node, ...]
    complete: bool = True
    exact: bool = True
    """False when the counts were carried over because a cheap summary says that nothing changed."""
    suspect: bool = False
    """Empty right after full: not yet confirmed by a second reading."""
    ended: tuple[EndedJob, ...] = ()
    """Jobs that have ended since the last reading, as far as they are known: each is told once."""
    holds: tuple[HeldJob, ...] | None = None
    """Jobs put on hold since the last reading, some of them told again; None: the batch system did not tell."""
    warnings: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    """What somebody should do so that jobs are accepted as the files say; nothing that was read is in doubt."""


# --- the hypervisor side ----------------------------------------------------------------------------------------------


class DomainState(StrEnum):
    """libvirt's domain states, as far as they matter here."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    CRASHED = "crashed"

    @property
    def alive(self) -> bool:
        """Whether it still has its memory: it runs, or would go on where it was paused."""
        return self in _ALIVE


_ALIVE = frozenset({DomainState.RUNNING, DomainState.PAUSED})


@dataclass(frozen=True, slots=True)
class Identity:
    """What a domain carries in its `<metadata>`: enough to adopt it when the journal is lost."""

    site: str
    worker: str
    environment: str
    version: str
    vo: str
    batch_system: str
    serial: int
    requested_at: float
    address: str | None = None


def worker_uuid(site: str, worker: str, serial: int) -> str:
    """Return the UUID of a worker's domain: it derives from the journaled intent, so a repeated boot finds the first."""
    return str(uuid5(uuid5(NAMESPACE_URL, f"ambienti:{site}"), f"{worker}:{serial}"))


@dataclass(frozen=True, slots=True)
class Stored:
    """A worker for which something lies on a host's storage; that it is ours, its own name proves."""

    worker: str
    uuid: str


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain on a host. `identity=None`: a stranger, never touched, but its memory counts."""

    name: str
    uuid: str
    state: DomainState
    cpus: int
    memory_mib: int
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class PoolSpace:
    """A storage pool on a host."""

    name: str
    capacity_gib: float
    available_gib: float
    active: bool = True


@dataclass(frozen=True, slots=True)
class HostReading:
    """One answer of a hypervisor host."""

    host: str
    at: float
    cpus: int
    memory_mib: int
    """Memory that domains may have (after the configured reserve for the host itself)."""
    virtualizations: frozenset[Virtualization]
    domains: tuple[Domain, ...]
    networks: frozenset[str] = frozenset()
    pools: tuple[PoolSpace, ...] = ()
    complete: bool = True
    machine: str = ""
    """The machine that it is, whatever the way to it (libvirt's UUID of the host); "" where that is not known."""
    driver: str = ""
    """What of that machine it is: libvirt's QEMU, LXC, Xen."""
    same_as: str = ""
    """Another host of the site that counts this machine already; then nothing of this one does."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host as the site describes it: what decisions need beside its reading."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    max_boots: int = 4
    """Simultaneous boots on this host."""
    cpu_overcommit: float = 1.0
    machine_percent: int = 100
    """So much of its machine's cores and memory is its own; other hosts may be the same machine."""
    draining: bool = False
    """The administrator drains it: nothing new starts here, its workers are retired."""
    left: str = ""
    """The discovery that no longer names it: it is emptied as if drained, then forgotten; "" otherwise."""


@dataclass(frozen=True, slots=True)
class DiscoveryReading:
    """What is known of one source that names hosts."""

    source: str
    asks: str
    answered_at: float | None
    """When it last gave a good answer; None if never."""
    hosts: int
    """How many hosts it has named, as far as they are still known."""
    leaving: tuple[str, ...] = ()
    """Hosts that are emptied because it names them no longer."""
    problem: str = ""
    """Why there was no good answer the last time; then the last known hosts stay in force."""
    doubt: str = ""
    """What of its answer is not followed, and why."""


# --- workers: both sides and the journal, joined ----------------------------------------------------------------------


class WorkerState(StrEnum):
    """Where a worker stands; the table of transitions is in `lifecycle.py`."""

    REQUESTED = "requested"
    BOOTING = "booting"
    IDLE = "idle"
    BUSY = "busy"
    DRAINING = "draining"
    DRAINED = "drained"
    SILENT = "silent"
    UNSEEN = "unseen"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker node, joined from journal, domain and batch system by its name."""

    name: str
    serial: int
    environment: str
    version: str
    vo: str
    """The VO it is charged to: whose jobs run in it, else for whom it was booted."""
    batch_system: str
    host: str
    cpus: int
    memory_mib: int
    state: WorkerState
    requested_at: float
    since: float
    """When it entered its present state."""
    address: str | None = None
    free_cpus: int = 0
    free_memory_mib: int = 0
    jobs: tuple[RunningJob, ...] = ()
    claimed: bool = False
    idle_since: float | None = None
    registered_at: float | None = None
    busy_until: float | None = None
    """When the last of its jobs must have ended by its walltime; None if idle or unknown."""
    drain_cause: str = ""
    """Code of the reason for which it is being drained (`idle`, `lifetime`, `reclaim`, ...); "" otherwise."""
    quick_failures: int = 0
    used_disk_mib: int = 0
    """Disk that its jobs have, as far as somebody tells."""
    used_gpus: int = 0
    lingering: tuple[Lingering, ...] = ()
    """Slots held without a job that runs by right."""
    seen_at: float | None = None
    """When its host last showed its domain; None while it shows it."""


@dataclass(frozen=True, slots=True)
class BootOutcome:
    """How a past boot ended, from the journal: what the breakers judge by."""

    worker: str
    environment: str
    version: str
    host: str
    at: float
    registered: bool
    cause: str = ""
    """Why it failed, in the words of the source: decides whether the image, the host or a stock-out is to blame."""


@dataclass(frozen=True, slots=True)
class Left:
    """Storage of a worker that nothing else tells of: no open entry in the journal, no domain, no node."""

    worker: str
    uuid: str
    hosts: tuple[str, ...]
    """On whose storage it lies, as they answered just now."""
    ran_on: str
    """The host that it was booted on; "" when the journal does not know it."""
    environment: str
    seconds: float
    """For how long it has been left: since its entry was closed, or since it was first seen so."""


@dataclass(frozen=True, slots=True)
class Observation:
    """All that one decision may know."""

    now: float
    queues: Mapping[str, QueueReading | Unanswered]
    hosts: Mapping[str, HostReading | Unanswered]
    workers: tuple[Worker, ...]
    """Those that are, or may be, alive; FAILED ones until they are cleaned up."""
    boots: tuple[BootOutcome, ...] = ()
    """Recent ended boots, oldest first (the policy's `history_seconds`)."""
    proven: frozenset[tuple[str, str]] = frozenset()
    """(environment, version) pairs of which a worker has registered at least once."""
    draining_hosts: frozenset[str] = frozenset()
    """Hosts that the administrator drains (kept in the journal)."""
    next_serial: int = 1
    strangers: tuple[tuple[str, str], ...] = ()
    """(host, domain name) of domains that are not ours."""
    unjournaled: frozenset[str] = frozenset()
    """Those of `workers` whose domain carries our identity but that the journal does not know: to be adopted."""
    left: tuple[Left, ...] = ()
    """What was found on storage just now and no worker needs; hosts are asked for it now and then only."""
    discoveries: Mapping[str, DiscoveryReading] = field(default_factory=dict)
    last_jobs: Mapping[str, Counted] = field(default_factory=dict)
    """By batch system that does not tell of all its jobs now: what it told last. Shown, with its age; never decided upon."""
    adopting_until: float | None = None
    """Set while the journal is new and some host has never answered: until then nothing boots, names could be taken already."""
