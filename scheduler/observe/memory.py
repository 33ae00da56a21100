"""What one observation leaves to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from scheduler.journal.records import Entry, Sighting
from scheduler.model.host_states import HostStanding
from scheduler.model.hosts import DomainState
from scheduler.model.queues import JobCounts, Node
from scheduler.model.workers import Worker
from scheduler.observe.believe import Shape

Settled = tuple[Entry, str, DomainState, Node]
"""Entry, host, state of the domain, node."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What one observation leaves to the next. A new daemon starts with an empty one and the journal."""

    workers: Mapping[str, Worker] = field(default_factory=dict)
    queues_at: Mapping[str, float] = field(default_factory=dict)
    """When each batch system last answered."""
    hosts_at: Mapping[str, float] = field(default_factory=dict)
    jobs: Mapping[str, JobCounts] = field(default_factory=dict)
    """By batch system: the jobs that it told of when it was last believed in full."""
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    """By batch system."""
    vanished: Mapping[str, float] = field(default_factory=dict)
    """Host -> monotonic time since which it no longer shows any of our workers, unexplained."""
    sightings: Mapping[tuple[str, str, str], Sighting] = field(default_factory=dict)
    """By batch system, job and worker: jobs seen running at the last look."""
    settled: Mapping[str, Settled] = field(default_factory=dict)
    """Workers that serve, with what that was derived from: while it is the same they are the same."""
    twins: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    """Sources that did not answer at the last look."""
    host_states: Mapping[str, HostStanding] = field(default_factory=dict)
    left_since: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """By host and worker: monotonic time since which storage lies there that no worker needs."""


def moved(memory: Memory, seconds: float) -> Memory:
    """Return a memory whose times are moved by a step of the clock."""

    def later(at: float | None) -> float | None:
        return None if at is None else at + seconds

    def move(worker: Worker) -> Worker:
        return replace(
            worker,
            requested_at=worker.requested_at + seconds,
            since=worker.since + seconds,
            registered_at=later(worker.registered_at),
            idle_since=later(worker.idle_since),
            busy_until=later(worker.busy_until),
            seen_at=later(worker.seen_at),
        )

    return replace(
        memory,
        workers={name: move(worker) for name, worker in memory.workers.items()},
        queues_at={name: at + seconds for name, at in memory.queues_at.items()},
        hosts_at={name: at + seconds for name, at in memory.hosts_at.items()},
        jobs={name: replace(one, at=one.at + seconds) for name, one in memory.jobs.items()},
        host_states={name: replace(one, since=later(one.since)) for name, one in memory.host_states.items()},
    )
