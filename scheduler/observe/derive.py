"""Where one worker stands, derived from its journal entry, its domain and its node. Pure.

Rules:
1. What a source did not say is not known: an unanswered, partial or doubtful reading ends and fails nothing.
2. A boot cut off by a crash is given the time in which its last call may still take effect.
3. A worker that registers after all is a worker, whatever was said of it before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scheduler.journal.records import Entry
from scheduler.model.hosts import Domain, worker_uuid
from scheduler.model.queues import Node
from scheduler.model.workers import Worker, WorkerState

if TYPE_CHECKING:
    from environments.domain_identity import WorkerIdentity
    from scheduler.model.queues import RunningJob

S = WorkerState
REGISTERED = frozenset({S.IDLE, S.BUSY, S.DRAINING, S.DRAINED, S.SILENT})
BOOT_SECONDS = 600
"""Boot deadline of workers whose environment is no longer defined."""
DRAIN_SHOWS_SECONDS = 60.0
"""So long after a drain was ordered, or taken back, what the batch system says of it may be old."""


@dataclass(slots=True)
class WorkerFacts:
    """All that is known of one worker at one instant."""

    now: float
    entry: Entry
    host: str
    """Where its domain is seen, else where it was booted."""
    domain: Domain | None
    host_answers: bool
    """Its host's reading is complete and believed: a domain that is not there is gone."""
    node: Node | None
    batch_answers: bool
    """Its batch system's reading is complete and believed: a node that is not there is not registered."""
    before: Worker | None
    """The worker at the last look, if this daemon saw it."""
    boot_seconds: float
    grace_seconds: float
    """For how long a call cut off by a crash may still take effect."""
    performing: bool = False
    """Its boot is under way in this daemon, or was when its host was asked."""
    host_pending: bool = False
    """Its host has not answered yet, and still may."""
    cut_off_at: float | None = None
    """When a boot that a crash cut off had begun."""
    twins: bool = False
    """Domains of this name run on two hosts."""
    hides: bool = False
    """Some host does not answer, and nobody knows of an end of this worker's domain."""
    departed: bool = False
    """Its host told just now that it migrated: where it is, the next look at the other host tells."""
    shown_at: float | None = None
    """When its host last answered."""


def state_of(facts: WorkerFacts) -> WorkerState:
    """Derive a worker's state."""
    if facts.twins:
        return S.UNSEEN
    domain = facts.domain
    if domain is None:
        if facts.entry.state is S.GONE:
            return S.GONE
        if facts.host_pending or facts.departed:
            return _as_shown(facts)
        return _without_domain(facts) if facts.host_answers and not _may_be_elsewhere(facts) else S.UNSEEN
    if not domain.state.alive:
        return _stopped(facts)
    return _with_node(facts, facts.node) if facts.node else _without_node(facts)


def _as_shown(facts: WorkerFacts) -> WorkerState:
    """Let what was known of a domain stand while its host is slow to answer."""
    if facts.node is not None:
        return _with_node(facts, facts.node)
    return facts.before.state if facts.before else facts.entry.state


def _without_domain(facts: WorkerFacts) -> WorkerState:
    entry = facts.entry
    if entry.registered_at is not None:
        return S.GONE
    return S.REQUESTED if _boot_may_come(facts) else S.FAILED


def _may_be_elsewhere(facts: WorkerFacts) -> bool:
    """Whether somebody may have migrated it to a host that does not answer: nothing tells of its end, and it is still shown."""
    return facts.entry.registered_at is not None and facts.hides and (facts.node is not None or not facts.batch_answers)


def _stopped(facts: WorkerFacts) -> WorkerState:
    if facts.entry.registered_at is not None:
        return S.GONE
    return S.REQUESTED if _boot_may_come(facts) else S.FAILED


def _boot_may_come(facts: WorkerFacts) -> bool:
    if facts.performing:
        return True
    begun = facts.cut_off_at
    return begun is not None and facts.entry.booted_at is None and facts.now - begun < facts.grace_seconds


def _with_node(facts: WorkerFacts, node: Node) -> WorkerState:
    work = bool(node.jobs) or node.claimed
    if (node.draining and not _lately(facts.now, facts.entry.cancelled_at)) or _drain_not_shown_yet(facts):
        return S.DRAINING if work else S.DRAINED
    return S.BUSY if work else S.IDLE


def _drain_not_shown_yet(facts: WorkerFacts) -> bool:
    return bool(facts.entry.drain_cause) and _lately(facts.now, facts.entry.drained_at)


def _lately(now: float, at: float | None) -> bool:
    return at is not None and now - at < DRAIN_SHOWS_SECONDS


def _without_node(facts: WorkerFacts) -> WorkerState:
    if facts.entry.registered_at is not None:
        return _no_longer_seen(facts) if facts.batch_answers else _as_before(facts)
    if facts.entry.drain_cause:
        return S.DRAINED if facts.batch_answers else S.DRAINING
    if facts.entry.state is S.FAILED:
        return S.FAILED
    begun = facts.entry.requested_at if facts.entry.booted_at is None else facts.entry.booted_at
    if facts.batch_answers and facts.now - begun > facts.boot_seconds:
        return S.FAILED
    return S.BOOTING


def _no_longer_seen(facts: WorkerFacts) -> WorkerState:
    """Tell a worker that left after its drain from one that fell silent with jobs in it."""
    if not facts.entry.drain_cause:
        return S.SILENT
    if facts.before is None:
        return S.DRAINED if facts.entry.state is S.DRAINED else S.SILENT
    return S.SILENT if facts.before.jobs or facts.before.claimed else S.DRAINED


def _as_before(facts: WorkerFacts) -> WorkerState:
    """Keep what was known when the batch system says nothing; what was not known counts as busy."""
    known = facts.before.state if facts.before else facts.entry.state
    if known in REGISTERED:
        return known
    if facts.entry.state in REGISTERED:
        return facts.entry.state
    return S.DRAINING if facts.entry.drain_cause else S.BUSY


def entry_of(domain: Domain, identity: WorkerIdentity, host: str, now: float, boot_seconds: float) -> Entry:
    """Make the entry of a domain that carries our identity and that the journal does not know.

    One that is older than its boot deadline counts as registered: it may be serving a batch system that is silent just now.
    """
    requested_at = min(identity.requested_at, now)
    old = now - requested_at > boot_seconds
    return Entry(
        name=identity.machine,
        serial=identity.serial,
        uuid=domain.uuid or worker_uuid(identity.site, identity.machine, identity.serial),
        environment=identity.environment,
        version=identity.version,
        vo=identity.vo,
        batch_system=identity.batch_system,
        host=host,
        cpus=domain.cpus,
        memory_mib=domain.memory_mib,
        state=S.SILENT if old else S.BOOTING,
        since=now,
        requested_at=requested_at,
        address=identity.address,
        origin="adopted",
        booted_at=requested_at,
        registered_at=requested_at if old else None,
    )


def worker_of(facts: WorkerFacts, state: WorkerState) -> Worker:
    """Join everything into one worker."""
    entry, node, before = facts.entry, facts.node, facts.before
    registered_at = entry.registered_at
    if node is not None and registered_at is None:
        registered_at = min(node.registered_at or facts.now, facts.now)
    draining = state in {S.DRAINING, S.DRAINED} or (bool(entry.drain_cause) and state in {S.SILENT, S.UNSEEN})
    shows: Node | Worker | None = node or before
    jobs = shows.jobs if shows else ()
    claimed = shows.claimed if shows else state is S.BUSY
    return Worker(
        name=entry.name,
        serial=entry.serial,
        environment=entry.environment,
        version=entry.version,
        vo=_charged_to(entry, jobs),
        batch_system=entry.batch_system,
        host=facts.host,
        cpus=entry.cpus,
        memory_mib=entry.memory_mib,
        state=state,
        requested_at=min(entry.requested_at, facts.now),
        since=min(entry.since, facts.now) if state is entry.state else facts.now,
        address=entry.address,
        free_cpus=shows.free_cpus if shows else 0,
        free_memory_mib=shows.free_memory_mib if shows else 0,
        used_disk_mib=shows.used_disk_mib if shows else 0,
        used_gpus=shows.used_gpus if shows else 0,
        jobs=jobs,
        claimed=claimed,
        idle_since=shows.idle_since if shows else None,
        registered_at=registered_at,
        busy_until=_busy_until(jobs),
        drain_cause=(entry.drain_cause or "by-hand") if draining else "",
        quick_failures=shows.quick_failures if shows else 0,
        lingering=shows.lingering if shows else (),
        seen_at=None if facts.domain else (before.seen_at if before and before.seen_at else facts.shown_at),
    )


def _charged_to(entry: Entry, jobs: tuple[RunningJob, ...]) -> str:
    if not jobs:
        return entry.vo
    cores: dict[str, int] = {}
    for job in jobs:
        if job.vo:
            cores[job.vo] = cores.get(job.vo, 0) + job.cpus
    return max(cores, key=lambda vo: (cores[vo], vo)) if cores else entry.vo


def _busy_until(jobs: tuple[RunningJob, ...]) -> float | None:
    ends = [job.ends_by for job in jobs if job.ends_by is not None]
    return max(ends) if ends and len(ends) == len(jobs) else None
