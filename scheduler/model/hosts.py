"""What hypervisor hosts tell of themselves, their domains and their storage, and what the site says of them.

Times are seconds since the epoch (UTC) as floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import NAMESPACE_URL, uuid5

from environments.domain_identity import Identity
from environments.environment import Virtualization
from scheduler.model.deciding import ASIDE


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

    def of_site(self, site: str) -> Identity | None:
        """Return the identity of a machine of this site; a copy of one, under a name of its own (virt-clone), is a stranger."""
        found = self.identity
        return found if found is not None and (found.site, found.machine) == (site, self.name) else None


@dataclass(frozen=True, slots=True)
class PoolSpace:
    """A storage pool on a host."""

    name: str
    available_gib: float
    active: bool = True


@dataclass(frozen=True, slots=True)
class HostReading:
    """One answer of a hypervisor host."""

    host: str = field(metadata=ASIDE)
    at: float = field(metadata=ASIDE)
    cpus: int
    memory_mib: int
    """Memory that domains may have (after the configured reserve for the host itself)."""
    virtualizations: frozenset[Virtualization]
    domains: tuple[Domain, ...]
    networks: frozenset[str] = frozenset()
    pools: tuple[PoolSpace, ...] = ()
    complete: bool = True
    machine: str = field(default="", metadata=ASIDE)
    """The machine that it is, whatever the way to it (libvirt's UUID of the host); "" where that is not known."""
    driver: str = field(default="", metadata=ASIDE)
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
