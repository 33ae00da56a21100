"""Kills the daemon at a chosen instant: after any write to the journal, after any act on the outside.

Between two such steps nothing changes anywhere, so these are all the instants at which a SIGKILL can make a difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from environments.domain_identity import WorkerIdentity
    from environments.environment import Environment
    from scheduler.model.hosts import Domain, HostReading, Stored
    from scheduler.model.ports import BatchSystem, DomainEvent, Enrolment, Hypervisor, JobRecord, Submission, WorkerOrder
    from scheduler.model.queues import Node, QueueReading


class Killed(BaseException):
    """The daemon's process ended here. Not an Exception: nothing in the daemon may catch a SIGKILL."""


class Knife:
    """Counts the steps of the daemon, and ends it after the chosen one."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.cut_after: int | None = None
        """Number of the step after which the daemon dies; None: it lives."""
        self.dead = False

    def step(self, name: str) -> None:
        """Note a step that was just made."""
        self.steps.append(name)
        if self.cut_after is not None and len(self.steps) >= self.cut_after:
            self.cut_after = None
            self.dead = True
        self.check()

    def check(self) -> None:
        """Let nothing happen after death."""
        if self.dead:
            raise Killed(self.steps[-1] if self.steps else "start")


class MortalBatchSystem:
    """A batch system as a daemon sees it that may die after each act."""

    def __init__(self, inner: BatchSystem, knife: Knife) -> None:
        self.name = inner.name
        self._inner = inner
        self._knife = knife

    def read(self, environments: Sequence[Environment], *, cheap: bool) -> QueueReading:
        """Read request clusters and nodes."""
        return self._inner.read(environments, cheap=cheap)

    def node(self, worker: str) -> Node | None:
        """Look at one worker afresh."""
        return self._inner.node(worker)

    def enrol(self, order: WorkerIdentity, environment: Environment) -> Enrolment:
        """Make what a new worker needs to join."""
        self._knife.check()
        made = self._inner.enrol(order, environment)
        self._knife.step(f"enrol {order.machine}")
        return made

    def drain(self, worker: str, why: str, *, idle_only: bool = False) -> str:
        """Let running jobs finish and start no others."""
        self._knife.check()
        work = self._inner.drain(worker, why, idle_only=idle_only)
        self._knife.step(f"drain {worker}")
        return work

    def cancel_drain(self, worker: str) -> None:
        """Take a drain back."""
        self._knife.check()
        self._inner.cancel_drain(worker)
        self._knife.step(f"cancel-drain {worker}")

    def forget(self, worker: str) -> str:
        """Invalidate what is left of a worker that is gone."""
        self._knife.check()
        came_back = self._inner.forget(worker)
        self._knife.step(f"forget {worker}")
        return came_back

    def job(self, job: str, environments: Sequence[Environment]) -> JobRecord | None:
        """Return one job."""
        return self._inner.job(job, environments)

    def submission(self, name: str) -> Submission | None:
        """Return how the jobs submitted together stand."""
        return self._inner.submission(name)

    def close(self) -> None:
        """Nothing is held open."""


class MortalHost:
    """A host as a daemon sees it that may die after each act."""

    def __init__(self, inner: Hypervisor, knife: Knife) -> None:
        self.name = inner.name
        self._inner = inner
        self._knife = knife

    def read(self) -> HostReading:
        """Read capacity and all domains."""
        return self._inner.read()

    def domain(self, machine: str) -> Domain | None:
        """Look at one domain afresh."""
        return self._inner.domain(machine)

    def boot(self, order: WorkerOrder) -> None:
        """Make the worker's disks and start its domain."""
        self._knife.check()
        self._inner.boot(order)
        self._knife.step(f"boot {order.worker}")

    def power_off(self, machine: str, uuid: str) -> None:
        """Destroy the domain if it is ours."""
        self._knife.check()
        self._inner.power_off(machine, uuid)
        self._knife.step(f"power-off {machine}")

    def clean_up(self, worker: str, uuid: str) -> None:
        """Remove what was made for a worker whose domain is gone."""
        self._knife.check()
        self._inner.clean_up(worker, uuid)
        self._knife.step(f"clean-up {worker}")

    def stored(self) -> Sequence[Stored]:
        """Say for whom something lies on its storage."""
        return self._inner.stored()

    def check(self, environment: Environment) -> Sequence[str]:
        """Say what on this host stands against booting an environment."""
        return self._inner.check(environment)

    def watch(self, tell: Callable[[DomainEvent], None]) -> None:
        """Call `tell` whenever a domain changes."""
        self._inner.watch(tell)

    def close(self) -> None:
        """Domains go on running."""
