"""A worker as the simulated batch system has it, and as a reading tells of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from environments.environment import Environment
from scheduler.model.queues import Node, RunningJob
from simulations.jobs import Job, JobState, Request


@dataclass(slots=True)
class SimulatedNode:
    """A worker as it really is; `Node` is what a reading tells of it."""

    worker: str
    host: str
    environment: Environment
    registered_monotonic: float
    free_cpus: int
    free_memory_mib: int
    free_disk_mib: int
    free_gpus: int
    idle_monotonic: float | None
    jobs: dict[str, Job] = field(default_factory=dict)
    draining: bool = False
    connected: bool = True
    alive: bool = True
    quick_failures: int = 0

    def take(self, request: Request, count: int) -> None:
        """Take the room of so many jobs of this kind, or give it back (-1)."""
        asked = request.of(self.environment)
        self.free_cpus -= count * asked.cpus
        self.free_memory_mib -= count * asked.memory_mib
        self.free_disk_mib -= count * asked.disk_mib
        self.free_gpus -= count * asked.gpus

    def takes(self, request: Request, now: float) -> bool:
        """Say whether one job of this kind can start here."""
        environment = self.environment
        if self.draining or not self.connected or not self.alive or request.vo not in environment.vos:
            return False
        asked = request.of(environment)
        if asked.cpus > self.free_cpus or asked.memory_mib > self.free_memory_mib:
            return False
        if asked.disk_mib > self.free_disk_mib or asked.gpus > self.free_gpus:
            return False
        if request.wanted and request.wanted != environment.name:
            return False
        # A worker that has just registered still takes jobs that ask for its whole lifetime.
        ends = self.registered_monotonic + environment.lifetime_seconds + environment.boot_seconds
        if request.walltime_seconds is not None and now + request.walltime_seconds > ends:
            return False
        return not request.accepts(environment)


def seen(node: SimulatedNode, wall: float) -> Node:
    """Return what a reading tells of a worker; `wall` turns monotonic time into the reader's clock."""
    running = tuple(_running(job, wall) for job in node.jobs.values() if job.state is JobState.RUNNING)
    return Node(
        worker=node.worker,
        cpus=node.environment.vcpus,
        memory_mib=node.environment.slot_memory_mib,
        free_cpus=node.free_cpus,
        free_memory_mib=node.free_memory_mib,
        jobs=running,
        claimed=bool(node.jobs),
        draining=node.draining,
        idle_since=None if node.idle_monotonic is None else node.idle_monotonic + wall,
        registered_at=node.registered_monotonic + wall,
        quick_failures=node.quick_failures,
        used_disk_mib=node.environment.slot_disk_mib - node.free_disk_mib,
        used_gpus=node.environment.slot_gpus - node.free_gpus,
    )


def _running(job: Job, wall: float) -> RunningJob:
    request, since = job.request, None if job.started_monotonic is None else job.started_monotonic + wall
    ends_by = since + request.walltime_seconds if since is not None and request.walltime_seconds is not None else None
    return RunningJob(job.id, request.vo, job.user, since, request.cpus, request.memory_mib, ends_by)
