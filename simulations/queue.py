"""A batch system that exists only in memory: jobs of several VOs, worker nodes that register, a negotiator between them.

It runs under simulated time with the plant, and under real time in the demo, where workers register by themselves a while
after they were enrolled. Readings can fail, be partial, lie or lag: `QueueFaults` says how.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import TYPE_CHECKING

from scheduler.model.ports import Enrolment, SourceError
from scheduler.model.queues import Node, QueueReading
from simulations.jobs import Job, JobBook, JobState, Request
from simulations.node import SimulatedNode, seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from environments.domain_identity import WorkerIdentity
    from environments.environment import Environment
    from scheduler.model.ports import JobRecord, Submission
    from scheduler.model.queues import RequestCluster
    from simulations.clock import Agenda


@dataclass(slots=True)
class QueueFaults:
    """What is wrong with the batch system now."""

    silent: bool = False
    """Answers nothing."""
    slow_seconds: float = 0.0
    """Takes this long for an answer; longer than the deadline is no answer."""
    partial: bool = False
    """Every second row and every second node is missing, and it says so."""
    empty: bool = False
    """Answers at once that there is nothing at all, and believes it."""
    lagging: bool = False
    """Its cheap summary never notices a change."""
    stale: bool = False
    """It tells of its nodes what it told last, whatever has happened in them since."""
    deaf: bool = False
    """Readings work, commands to workers fail."""
    last_words: int = 0
    """So many times yet what is told of a dead worker comes back: an update of it crossed the order to forget it."""
    black_holes: set[str] = field(default_factory=set)
    """Workers, or hosts, on which jobs fail at once."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How the batch system goes about its work, in seconds."""

    negotiation_seconds: float = 5.0
    """From a change to the next matching."""
    start_seconds: float = 1.0
    """From the claim to the start of the job."""
    failure_seconds: float = 2.0
    """How long a job lasts in a black hole."""
    lease_seconds: float = 60.0
    """A job of a dead worker is queued again after this."""
    ad_seconds: float = 900.0
    """A dead worker is believed alive for this long, unless somebody says that it is gone."""
    leave_seconds: float | None = None
    """A drained worker leaves by itself after this; None: it stays until it is powered off."""


class SimulatedQueue:
    """One batch system; implements `scheduler.model.ports.BatchSystem`."""

    def __init__(self, name: str, agenda: Agenda, *, deadline_seconds: float = 20.0, habits: Habits | None = None) -> None:
        self.name = name
        self.faults = QueueFaults()
        self.book = JobBook(name)
        self.nodes: dict[str, SimulatedNode] = {}
        self.habits = habits or Habits()
        self.idle_worker_seconds = 0.0
        self.ended_badly: list[str] = []
        """Workers that died with jobs in them."""
        self.tell: Callable[[str, str], None] = lambda _kind, _text: None
        """Is told what happens, for the log of a scenario."""
        self.on_exit: Callable[[str], None] = lambda _worker: None
        """Is told when a drained worker leaves by itself."""
        self.on_enrol: Callable[[str, Environment], None] = lambda _worker, _environment: None
        self._agenda = agenda
        self._deadline_seconds = deadline_seconds
        self._negotiation_due = False
        self._carried: tuple[int, tuple[RequestCluster, ...]] | None = None
        self._told: dict[str, Node] = {}

    def idle_so_far(self) -> float:
        """Return the seconds that workers have spent idle, those that are idle now included."""
        now = self._agenda.monotonic()
        return self.idle_worker_seconds + sum(
            now - n.idle_monotonic for n in self.nodes.values() if n.idle_monotonic is not None
        )

    # --- what users do ------------------------------------------------------------------------------------------------

    def submit(
        self, request: Request, count: int = 1, run_seconds: float | Iterator[float] = 60.0, user: str = "someone"
    ) -> list[Job]:
        """Queue equal jobs, each with its run time."""
        lengths = repeat(run_seconds) if isinstance(run_seconds, (int, float)) else run_seconds
        made = self.book.submit(request, count, lengths, self._agenda.monotonic(), user)
        self._negotiate_soon()
        return made

    # --- what workers do ----------------------------------------------------------------------------------------------

    def token(self, worker: str) -> bytes:
        """Return the secret of one worker."""
        return hashlib.sha256(f"{self.name}:{worker}".encode()).hexdigest().encode()

    def register(self, worker: str, environment: Environment, token: bytes, host: str = "") -> bool:
        """Let a worker join; False when its token is not its own."""
        if token != self.token(worker):
            return False
        self.nodes[worker] = SimulatedNode(
            worker=worker,
            host=host,
            environment=environment,
            registered_monotonic=self._agenda.monotonic(),
            free_cpus=environment.vcpus,
            free_memory_mib=environment.slot_memory_mib,
            free_disk_mib=environment.slot_disk_mib,
            free_gpus=environment.slot_gpus,
            idle_monotonic=self._agenda.monotonic(),
        )
        self.tell("registered", worker)
        self._negotiate_soon()
        return True

    def die(self, worker: str) -> None:
        """Let a worker end without a word: its ads stay, its jobs are missed only after their lease."""
        node = self.nodes.get(worker)
        if node is None or not node.alive:
            return
        node.alive = False
        if node.jobs:
            self.ended_badly.append(worker)
        self._agenda.after(self.habits.lease_seconds, lambda: self._take_jobs_back(node))
        self._agenda.after(self.habits.ad_seconds, lambda: self._drop(node))

    def cut_off(self, worker: str, *, back: bool = False) -> None:
        """Break (or mend) the network between a worker and the batch system; its jobs run on."""
        node = self.nodes.get(worker)
        if node is not None:
            node.connected = back
            self._negotiate_soon()

    def _take_jobs_back(self, node: SimulatedNode) -> None:
        for job in list(node.jobs.values()):
            self.book.give_back(job)
        if node.jobs:
            self.tell("jobs", f"{_jobs(len(node.jobs))} of {node.worker} back in the queue")
        node.jobs.clear()
        self._negotiate_soon()

    def _drop(self, node: SimulatedNode) -> None:
        if self.nodes.get(node.worker) is node:
            self._take_jobs_back(node)
            self._count_idle(node)
            del self.nodes[node.worker]
            self._negotiate_soon()

    # --- the negotiator -----------------------------------------------------------------------------------------------

    def _negotiate_soon(self) -> None:
        if not self._negotiation_due:
            self._negotiation_due = True
            self._agenda.after(self.habits.negotiation_seconds, self._negotiate)

    def _negotiate(self) -> None:
        self._negotiation_due = False
        now = self._agenda.monotonic()
        # A dead worker's claimed ad counts as usage of its VO, and the negotiator then gives that VO nothing at all.
        stalled = {job.request.vo for node in self.nodes.values() if not node.alive for job in node.jobs.values()}
        free = sorted((n for n in self.nodes.values() if n.free_cpus), key=lambda n: (n.free_cpus, n.worker))
        for request, idle in self.book.waiting():
            if request.vo in stalled:
                continue
            for node in free:
                while idle and node.takes(request, now):
                    self._claim(node, idle[0])
                if not idle:
                    break

    def put(self, job: Job, worker: str) -> None:
        """Let a job that was just submitted run in this worker, whatever the negotiator would say."""
        self._claim(self.nodes[worker], job)

    def _claim(self, node: SimulatedNode, job: Job) -> None:
        self.book.claim(job, node.worker)
        self._count_idle(node)  # once: the claim ends the idle time below
        node.jobs[job.id] = job
        node.take(job.request, 1)
        node.idle_monotonic = None
        self._agenda.after(self.habits.start_seconds, lambda: self._start(node, job))

    def _start(self, node: SimulatedNode, job: Job) -> None:
        if node.jobs.get(job.id) is not job or job.state is not JobState.CLAIMED or not node.alive:
            return
        self.book.start(job, self._agenda.monotonic())
        run = job.starts
        self.tell("start", node.worker)
        hole = node.worker in self.faults.black_holes or node.host in self.faults.black_holes
        lasts = self.habits.failure_seconds if hole else job.run_seconds
        self._agenda.after(lasts, lambda: self._finish(node, job, run, hole=hole))

    def _finish(self, node: SimulatedNode, job: Job, run: int, *, hole: bool) -> None:
        if node.jobs.get(job.id) is not job or job.starts != run or not node.alive:
            return
        if hole:
            self.book.give_back(job, quick_failure=True)
            node.quick_failures += 1
            self.tell("fail", node.worker)
        else:
            self.book.complete(job, self._agenda.monotonic())
            node.quick_failures = 0
            self.tell("done", node.worker)
        self.release(node, job)

    def release(self, node: SimulatedNode, job: Job) -> None:
        """Free what a job had of a worker."""
        del node.jobs[job.id]
        node.take(job.request, -1)
        if not node.jobs:
            node.idle_monotonic = self._agenda.monotonic()
            self._leave_soon(node)
        self._negotiate_soon()

    def _leave_soon(self, node: SimulatedNode) -> None:
        if node.draining and self.habits.leave_seconds is not None:
            self._agenda.after(self.habits.leave_seconds, lambda: self._leave(node))

    def _leave(self, node: SimulatedNode) -> None:
        if node.draining and not node.jobs and node.alive and self.nodes.get(node.worker) is node:
            self._count_idle(node)
            del self.nodes[node.worker]
            self.on_exit(node.worker)

    def _count_idle(self, node: SimulatedNode) -> None:
        if node.idle_monotonic is not None:
            self.idle_worker_seconds += self._agenda.monotonic() - node.idle_monotonic

    # --- what the scheduler asks --------------------------------------------------------------------------------------

    def read(self, environments: Sequence[Environment], *, cheap: bool) -> QueueReading:
        """Read request clusters and nodes."""
        self._answer("the queue and its nodes")
        now = self._agenda.now()
        if self.faults.empty:
            return QueueReading(self.name, now, (), (), holds=())
        carried = self._carried
        unchanged = carried is not None and (self.faults.lagging or carried[0] == self.book.changes)
        exact = not (cheap and unchanged)
        clusters = tuple(self.book.rows(environments, self._wall)) if exact or carried is None else carried[1]
        if exact:
            self._carried = (self.book.changes, clusters)
        if not self.faults.stale:
            self._told = {node.worker: seen(node, self._wall) for node in self.nodes.values() if node.connected}
        nodes = tuple(self._told.values())
        ended, holds = self.book.take_ended(self._wall), self.book.holds(self._wall)
        if self.faults.partial:
            told = QueueReading(self.name, now, clusters[::2], nodes[::2], complete=False, exact=exact, holds=holds)
            return replace(told, warnings=("one of two schedds did not answer",))
        return QueueReading(self.name, now, clusters, nodes, exact=exact, ended=ended, holds=holds)

    def node(self, worker: str) -> Node | None:
        """Look at one worker afresh."""
        self._answer(f"node {worker}")
        if self.faults.stale:
            return self._told.get(worker)
        node = self.nodes.get(worker)
        return seen(node, self._wall) if node is not None and node.connected and not self.faults.empty else None

    def enrol(self, order: WorkerIdentity, environment: Environment) -> Enrolment:
        """Make the parameters and the token of a new worker."""
        self._answer(f"a token for {order.machine}")
        self.on_enrol(order.machine, environment)
        return Enrolment({"pool": self.name, "worker": order.machine}, {"token": self.token(order.machine)})

    def drain(self, worker: str, why: str, *, idle_only: bool = False) -> str:
        """Let running jobs finish; claims that have not started go back to the queue."""
        node = self._command(f"drain {worker} ({why})", worker)
        if node.draining:
            return ""
        if idle_only and node.jobs:
            return ", ".join(node.jobs)
        node.draining = True
        for job in [job for job in node.jobs.values() if job.state is JobState.CLAIMED]:
            self.book.give_back(job)
            self.release(node, job)
        if not node.jobs:
            self._leave_soon(node)
        return ""

    def cancel_drain(self, worker: str) -> None:
        """Take a drain back."""
        self._command(f"cancel the drain of {worker}", worker).draining = False
        self._negotiate_soon()

    def forget(self, worker: str) -> str:
        """Invalidate what is left of a worker that is gone."""
        self._answer(f"invalidate {worker}")
        node = self.nodes.get(worker)
        if node is not None and self.faults.last_words:
            self.faults.last_words -= 1
            return "an update of it crossed the invalidation"
        if node is not None:
            node.alive = False
            self._drop(node)
        return ""

    def job(self, job: str, environments: Sequence[Environment]) -> JobRecord | None:
        """Return one job, whatever became of it."""
        del environments  # the key of a row is made of what was asked for
        self._answer(f"job {job}")
        found = self.book.jobs.get(job)
        return self.book.record(found, self._wall) if found is not None else None

    def submission(self, name: str) -> Submission | None:
        """Return how the jobs submitted together stand."""
        self._answer(f"jobs of {name}")
        return self.book.submission(name)

    def close(self) -> None:
        """Nothing is held open."""

    @property
    def _wall(self) -> float:
        """Return what turns our time into the reader's: stamps are told as ages, so a clock that is set falsifies none."""
        return self._agenda.now() - self._agenda.monotonic()

    def _command(self, asked: str, worker: str) -> SimulatedNode:
        self._answer(asked)
        node = self.nodes.get(worker)
        if node is None or not node.connected:
            raise SourceError(self.name, asked, "no such worker in the pool")
        if self.faults.deaf or not node.alive:
            raise SourceError(self.name, asked, "the worker does not answer")
        return node

    def _answer(self, asked: str) -> None:
        """Bring the queue up to now, and fail when it would not answer."""
        self._agenda.catch_up()
        if self.faults.silent:
            raise SourceError(self.name, asked, "connection refused")
        if self.faults.slow_seconds > self._deadline_seconds:
            raise SourceError(self.name, asked, f"no answer within {self._deadline_seconds:g} s")


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
