"""Workers: what the journal, hosts and batch systems tell of them, joined.

Times are seconds since the epoch (UTC) as floats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from scheduler.model.deciding import ASIDE, only
from scheduler.model.failures import FailureCause
from scheduler.model.queues import Lingering, RunningJob

if TYPE_CHECKING:
    from collections.abc import Iterable


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
    serial: int = field(metadata=ASIDE)
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
    jobs: tuple[RunningJob, ...] = field(default=(), metadata=only("has_jobs"))
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
    seen_at: float | None = field(default=None, metadata=ASIDE)
    """When its host last showed its domain; None while it shows it."""

    @property
    def has_jobs(self) -> bool:
        """Whether a job is seen in it."""
        return bool(self.jobs)


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
    """Why it failed, in the words of the source: for people."""
    failure: FailureCause = FailureCause.UNKNOWN
    """Why it failed: decides whether the image, the host or a stock-out is to blame."""


def telling(boots: Iterable[BootOutcome]) -> tuple[BootOutcome, ...]:
    """Return those of past boots, in their order, that still tell something of an image, a host, or both.

    A boot that registered says all that boots before it of the same image on the same host said: they are forgotten. So what is
    remembered does not grow with the boots of a farm that is well.
    """
    kept: dict[tuple[str, str, str], list[BootOutcome]] = {}
    ordered = tuple(boots)
    for boot in ordered:
        pair = boot.environment, boot.version, boot.host
        if boot.registered:
            kept[pair] = [boot]
        else:
            kept.setdefault(pair, []).append(boot)
    still = {id(boot) for some in kept.values() for boot in some}
    return tuple(boot for boot in ordered if id(boot) in still)


@dataclass(frozen=True, slots=True)
class LeftStorage:
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
