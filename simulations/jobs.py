"""The jobs of a simulated batch system: what they ask for, where they are, and what became of them."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from environments.environment import Scalar
from environments.requirements import Amounts, Chooser, Requirements
from scheduler.model.ports import JobRecord, Submission
from scheduler.model.queues import EndedJob, HeldJob, RequestCluster

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from environments.environment import Environment

_MOST_ENDED = 1000


class JobState(StrEnum):
    """Where a job stands."""

    IDLE = "idle"
    CLAIMED = "claimed"
    RUNNING = "running"
    HELD = "held"
    REMOVED = "removed"
    COMPLETED = "completed"


_STANDS = {
    JobState.IDLE: "idle",
    JobState.CLAIMED: "running",
    JobState.RUNNING: "running",
    JobState.HELD: "held",
    JobState.REMOVED: "done",
    JobState.COMPLETED: "done",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What a job asks for: equal requests are one request cluster."""

    vo: str
    wanted: str = ""
    cpus: int = 1
    memory_mib: int = 512
    walltime_seconds: int | None = None
    requires: tuple[tuple[str, Scalar], ...] = ()
    """Attributes that its environment must provide: the simulated requirements language."""
    problem: str = ""
    """Set for malformed jobs: what the batch system cannot understand of them."""
    disk_mib: int = 0
    gpus: int = 0
    whole: bool = False
    """Takes all cores of whichever worker it runs in."""

    def of(self, environment: Environment) -> Amounts:
        """Return what it takes of a worker of this environment."""
        cpus = environment.vcpus if self.whole else self.cpus
        return Amounts(cpus, self.memory_mib, self.disk_mib, self.gpus, self.walltime_seconds)

    def accepts(self, environment: Environment) -> str:
        """Return "" when a worker of `environment` would do, else the clause that refuses."""
        for attribute, value in self.requires:
            if environment.provides.get(attribute) != value:
                return f"{attribute} == {value!r}"
        return ""


@dataclass(slots=True, eq=False)
class Job:
    """One job."""

    id: str
    request: Request
    user: str
    run_seconds: float
    queued_monotonic: float
    state: JobState = JobState.IDLE
    worker: str = ""
    started_monotonic: float | None = None
    ended_monotonic: float | None = None
    starts: int = 0
    """How often it has begun to run."""
    ran_in: str = ""
    """The worker that its last run was cut short in."""
    held_monotonic: float | None = None


@dataclass(slots=True)
class _Cluster:
    idle: deque[Job] = field(default_factory=deque)
    running: int = 0
    held: int = 0


@dataclass(slots=True)
class Served:
    """What one VO got."""

    submitted: int = 0
    completed: int = 0
    removed: int = 0
    quick_failures: int = 0
    returned: int = 0
    """Runs cut short: the job went back to the queue."""
    waits_seconds: list[float] = field(default_factory=list)
    """From the queue to the first start, one for each job that started."""
    core_seconds: float = 0.0


class JobBook:
    """All jobs of one batch system, by request cluster."""

    def __init__(self, batch_system: str) -> None:
        self.batch_system = batch_system
        self.jobs: dict[str, Job] = {}
        self.served: dict[str, Served] = {}
        self.changes = 0
        """Counts every change that a summary of the queue would show."""
        self.ended: deque[Job] = deque(maxlen=_MOST_ENDED)
        """Those that ended since the last reading."""
        self.held: deque[Job] = deque(maxlen=_MOST_ENDED)
        """Those that were put on hold after a run, the last ones."""
        self._clusters: dict[Request, _Cluster] = {}
        self._submissions = 0

    def submit(self, request: Request, count: int, run_seconds: Iterator[float], monotonic: float, user: str) -> list[Job]:
        """Queue `count` equal jobs."""
        self._submissions += 1
        cluster = self._clusters.setdefault(request, _Cluster())
        made = [Job(f"{self._submissions}.{i}", request, user, next(run_seconds), monotonic) for i in range(count)]
        for job in made:
            self.jobs[job.id] = job
            cluster.idle.append(job)
        self.served.setdefault(request.vo, Served()).submitted += count
        self.changes += 1
        return made

    def waiting(self) -> list[tuple[Request, deque[Job]]]:
        """Return the requests that have idle jobs, the longest waiting first."""
        rows = [(r, c.idle) for r, c in self._clusters.items() if c.idle and not r.problem]
        return sorted(rows, key=lambda row: (row[1][0].queued_monotonic, row[0].vo, row[0].wanted))

    def claim(self, job: Job, worker: str) -> None:
        """Take an idle job for a worker."""
        cluster = self._clusters[job.request]
        cluster.idle.remove(job)  # the first, but for jobs that are put somewhere by hand
        cluster.running += 1
        job.state, job.worker = JobState.CLAIMED, worker
        self.changes += 1

    def start(self, job: Job, monotonic: float) -> None:
        """Let a claimed job run."""
        if job.starts == 0:
            self.served[job.request.vo].waits_seconds.append(monotonic - job.queued_monotonic)
        job.state, job.starts, job.started_monotonic = JobState.RUNNING, job.starts + 1, monotonic

    def give_back(self, job: Job, *, quick_failure: bool = False) -> None:
        """Return a claimed or running job to the head of its queue."""
        cluster, served = self._clusters[job.request], self.served[job.request.vo]
        if job.state is JobState.RUNNING:
            served.quick_failures += quick_failure
            served.returned += not quick_failure
        cluster.running -= 1
        cluster.idle.appendleft(job)
        job.ran_in = job.worker
        job.state, job.worker, job.started_monotonic = JobState.IDLE, "", None
        self.changes += 1

    def complete(self, job: Job, monotonic: float) -> None:
        """End a running job well."""
        assert job.started_monotonic is not None
        served = self.served[job.request.vo]
        served.completed += 1
        served.core_seconds += (monotonic - job.started_monotonic) * job.request.cpus
        self._clusters[job.request].running -= 1
        job.state, job.ended_monotonic = JobState.COMPLETED, monotonic
        self.ended.append(job)
        self.changes += 1

    def remove_idle(self, vo: str) -> int:
        """Let a user of `vo` remove all that wait; return how many they were."""
        count = 0
        for request, cluster in self._clusters.items():
            if request.vo == vo and cluster.idle:
                for job in cluster.idle:
                    job.state = JobState.REMOVED
                count += len(cluster.idle)
                cluster.idle.clear()
        self.served.setdefault(vo, Served()).removed += count
        self.changes += bool(count)
        return count

    def hold_idle(self, vo: str, monotonic: float) -> int:
        """Put all waiting jobs of `vo` on hold; return how many they were."""
        count = 0
        for request, cluster in self._clusters.items():
            if request.vo == vo and cluster.idle:
                for job in cluster.idle:
                    job.state, job.held_monotonic = JobState.HELD, monotonic
                    if job.ran_in:
                        self.held.append(job)
                count += len(cluster.idle)
                cluster.held += len(cluster.idle)
                cluster.idle.clear()
        self.changes += bool(count)
        return count

    def key(self, request: Request) -> str:
        """Return the key of a request's cluster, readable: `pool:atlas/atlas-el9/1c/512m`."""
        further: tuple[object, ...] = (request.walltime_seconds, request.requires, request.problem)
        if request.disk_mib or request.gpus or request.whole:
            further += (request.disk_mib, request.gpus, request.whole)
        mark = "" if further == (None, (), "") else "/" + hashlib.sha256(repr(further).encode()).hexdigest()[:4]
        wanted = request.wanted or "any"
        return f"{self.batch_system}:{request.vo}/{wanted}/{request.cpus}c/{request.memory_mib}m{mark}"

    def rows(self, environments: Sequence[Environment], wall: float = 0.0) -> Iterable[RequestCluster]:
        """Return one row for each request cluster that is not empty; `wall` turns monotonic time into the reader's clock."""
        for request, cluster in self._clusters.items():
            if not (cluster.idle or cluster.running or cluster.held):
                continue
            yield RequestCluster(
                key=self.key(request),
                batch_system=self.batch_system,
                vo=request.vo,
                requirements=requirements(request, environments),
                idle=len(cluster.idle),
                running=cluster.running,
                held=cluster.held,
                oldest_idle_at=cluster.idle[0].queued_monotonic + wall if cluster.idle else None,
                example_job=cluster.idle[0].id if cluster.idle else "",
                problem=request.problem,
            )

    def take_ended(self, wall: float) -> tuple[EndedJob, ...]:
        """Return, once, the jobs that ended since this was last asked; `wall` as in `rows`."""
        taken, self.ended = self.ended, deque(maxlen=_MOST_ENDED)
        return tuple(
            EndedJob(
                job=job.id,
                worker=job.worker,
                vo=job.request.vo,
                user=job.user,
                began_at=None if job.started_monotonic is None else job.started_monotonic + wall,
                ended_at=(job.ended_monotonic or 0.0) + wall,
            )
            for job in taken
        )

    def holds(self, wall: float) -> tuple[HeldJob, ...]:
        """Return the jobs that were put on hold after a run; `wall` as in `rows`."""
        return tuple(HeldJob(job.id, job.ran_in, (job.held_monotonic or 0.0) + wall, "held by its user") for job in self.held)

    def submission(self, name: str) -> Submission | None:
        """Return how the jobs submitted together stand: those called `name.0`, `name.1`..."""
        jobs = [job for job in self.jobs.values() if job.id.partition(".")[0] == name]
        if not jobs:
            return None
        by_state: dict[str, list[Job]] = {"idle": [], "held": [], "running": [], "done": []}
        for job in jobs:
            by_state[_STANDS[job.state]].append(job)
        first = next((some[0].id for state, some in by_state.items() if some and state != "done"), "")
        counts = {state: len(some) for state, some in by_state.items()}
        return Submission(name, self.batch_system, counts["idle"], counts["running"], counts["held"], counts["done"], first)

    def record(self, job: Job, wall: float) -> JobRecord:
        """Return what the batch system tells of one job."""
        left = job.state in {JobState.COMPLETED, JobState.REMOVED}
        return JobRecord(
            job=job.id,
            batch_system=self.batch_system,
            vo=job.request.vo,
            user=job.user,
            status="running" if job.state is JobState.CLAIMED else job.state.value,
            cluster_key="" if left else self.key(job.request),
            wanted=job.request.wanted,
            cpus=job.request.cpus,
            memory_mib=job.request.memory_mib,
            queued_at=job.queued_monotonic + wall,
            hold_reason="held by its user" if job.state is JobState.HELD else "",
            worker=job.worker,
            starts=job.starts,
        )


def requirements(request: Request, environments: Sequence[Environment]) -> Requirements:
    """Evaluate a request against the prototypes, as a batch system's own requirements language would."""
    refusals = {e.name: clause for e in environments if (clause := request.accepts(e))} if request.requires else {}
    return Requirements(
        wanted=request.wanted,
        cpus=request.cpus,
        memory_mib=request.memory_mib,
        walltime_seconds=request.walltime_seconds,
        accepts=frozenset(e.name for e in environments if e.name not in refusals) if request.requires else None,
        refusals=refusals,
        disk_mib=request.disk_mib,
        gpus=request.gpus,
        by_environment={e.name: request.of(e) for e in environments} if request.whole else {},
        chosen_by=Chooser.JOB if request.wanted else None,
    )
