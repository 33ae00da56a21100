"""All that one decision may know of the farm at one instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.model.deciding import ASIDE, only
from scheduler.model.host_states import HostStanding, HostState, HostWord
from scheduler.model.hosts import DiscoveryReading, HostReading
from scheduler.model.queues import JobCounts, QueueReading
from scheduler.model.readings import Unanswered
from scheduler.model.workers import BootOutcome, LeftStorage, Worker


@dataclass(frozen=True, slots=True)
class Observation:
    """All that one decision may know."""

    now: float = field(metadata=ASIDE)
    queues: Mapping[str, QueueReading | Unanswered] = field(metadata=ASIDE)
    hosts: Mapping[str, HostReading | Unanswered] = field(metadata=ASIDE)
    workers: tuple[Worker, ...] = field(metadata=ASIDE)
    """Those that are, or may be, alive; FAILED ones until they are cleaned up."""
    boots: tuple[BootOutcome, ...] = ()
    """Recent ended boots, oldest first (the policy's `history_seconds`)."""
    proven: frozenset[tuple[str, str]] = frozenset()
    """(environment, version) pairs of which a worker has registered at least once."""
    host_words: tuple[HostWord, ...] = field(default=(), metadata=only("draining_hosts"))
    """What is said of hosts (kept in the journal)."""
    host_states: Mapping[str, HostStanding] = field(default_factory=dict, metadata=ASIDE)
    """How each host stands: derived, to be shown."""
    next_serial: int = field(default=1, metadata=ASIDE)
    services: tuple[tuple[str, str], ...] = field(default=(), metadata=ASIDE)
    """(host, domain name) of machines of our services."""
    strangers: tuple[tuple[str, str], ...] = field(default=(), metadata=ASIDE)
    """(host, domain name) of domains that are not ours."""
    unjournaled: frozenset[str] = frozenset()
    """Those of `workers` whose domain carries our identity but that the journal does not know: to be adopted."""
    unheard: tuple[str, ...] = ()
    """Hosts named when the journal began or was restored that have not answered since: it may not know all workers there."""
    untold: tuple[str, ...] = ()
    """Discoveries of which the same holds: neither they nor the hosts that they name."""
    left: tuple[LeftStorage, ...] = ()
    """What was found on storage just now and no worker needs; hosts are asked for it now and then only."""
    discoveries: Mapping[str, DiscoveryReading] = field(default_factory=dict, metadata=ASIDE)
    last_jobs: Mapping[str, JobCounts] = field(default_factory=dict, metadata=ASIDE)
    """By batch system that does not tell of all its jobs now: what it told last. Shown, with its age; never decided upon."""
    adopting_until: float | None = None
    """Set while the journal is new and some of them have never answered: until then nothing boots, a name could be taken."""

    @property
    def draining_hosts(self) -> frozenset[str]:
        """Hosts that an administrator drains."""
        return frozenset(word.host for word in self.host_words if word.state is HostState.DRAINING)
