"""A daemon in the simulated farm: the real engine on the real journal, mortal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.availability.history import Status
from scheduler.journal.journal import Journal, LeaseLostError
from scheduler.journal.records import Outcome
from scheduler.loop.engine import Cycle, Engine
from scheduler.model.queues import QueueReading
from scheduler.model.readings import Unanswered
from scheduler.model.workers import WorkerState
from simulations.interruptions import Killed, MortalBatchSystem, MortalHost
from simulations.lanes import AgendaRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    from scheduler.model.hosts import HostReading
    from scheduler.model.policy import Policy
    from simulations.world import World


class SimulatedDaemon:
    """One process that goes round every poll, until it is stopped or killed."""

    def __init__(self, farm: World, owner: str) -> None:
        self.owner = owner
        self.alive = True
        self.leading: bool | None = None
        self.next_cycle_at = farm.clock.monotonic()
        self.last: Cycle | None = None
        self.cycles = 0
        self._farm = farm
        knife = farm.knife
        knife.dead = False
        try:
            self.journal = Journal(farm.journal_url, now=farm.clock.now(), on_commit=knife.step, durable=False)
        except Killed as killed:
            self.die(f"killed after {killed}")
            return
        self.engine = Engine(
            farm.policy,
            {farm.queue.name: MortalBatchSystem(farm.queue, knife)},
            {name: MortalHost(host, knife) for name, host in farm.plant.hosts.items()},
            self.journal,
            farm.clock,
            AgendaRunner(farm.agenda, slow_by=farm.plant.slow_by, alive=self._while_alive),
            owner=owner,
            lease_seconds=max(60, 3 * farm.policy.limits.poll_seconds),
        )
        self.engine.watch()

    def policy_changed(self, policy: Policy) -> None:
        """Take up changed definitions."""
        if self.alive:
            self.engine.policy = policy

    def cycle(self) -> None:
        """Go round once; the daemon may die on the way."""
        farm = self._farm
        self.next_cycle_at = farm.clock.monotonic() + farm.policy.limits.poll_seconds
        before = len(farm.chronicle.lines)
        try:
            cycle = self.engine.cycle()
        except Killed as killed:
            self.die(f"killed after {killed}")
            return
        except LeaseLostError:
            return
        self.cycles += 1
        effects = farm.chronicle.take_since(before)
        if cycle.leading != self.leading:
            self.leading = cycle.leading
            farm.tell("daemon", f"{self.owner} {'acts' if cycle.leading else 'waits: another one acts'}")
        if cycle.leading:
            self.last = cycle
            if cycle.results and self.journal.lease().owner != self.owner:
                farm.acts_without_lease.append(f"{self.owner} acted, {self.journal.lease().owner} held the lease")
            self._tell(cycle)
        farm.chronicle.lines += effects

    def _while_alive(self, goes_on: Callable[[], None]) -> None:
        """Let something be done, on which the daemon may die; nothing is done any more when it has ended."""
        if self.alive:
            try:
                goes_on()
            except Killed as killed:
                self.die(f"killed after {killed}")

    def stop(self) -> None:
        """End in an orderly way."""
        if not self.alive:
            return
        self._farm.tell("daemon", f"{self.owner} stops")
        self._while_alive(self.engine.close)
        if self.alive:
            self.alive = False
            self.journal.close()

    def die(self, how: str) -> None:
        """End without a word; the kernel closes its files."""
        farm = self._farm
        if not self.alive:
            return
        self.alive = False
        farm.tell("daemon", f"{self.owner} {how}")
        if hasattr(self, "journal"):
            self.journal.close()
        farm.on_death()

    def _tell(self, cycle: Cycle) -> None:
        farm, observation = self._farm, cycle.observation
        tell_if_new = farm.chronicle.tell_if_new
        at = farm.clock.monotonic()
        for name, reading in [*observation.queues.items(), *observation.hosts.items()]:
            answers = _doubt(reading)
            if answers or farm.chronicle.knows("source", name):
                tell_if_new(at, "source", name, answers or "answers")
        for worker in observation.workers:
            if worker.state in _LOST or farm.chronicle.knows("seen", worker.name):
                tell_if_new(at, "seen", worker.name, worker.state.value if worker.state in _LOST else "again")
        for name, before, after in cycle.illegal:
            farm.tell("illegal", f"{name}: {before.value} -> {after.value}")
        for result in cycle.results:
            order = result.action.kind.order.format(one=result.action)
            outcome = "" if result.outcome is Outcome.DONE else f"{result.outcome.value}: {result.detail}"
            farm.chronicle.tell(at, "plan", order, result.action.reason, outcome)
        self._tell_shares(at)
        plan = cycle.plan
        for who, verdicts in (("cluster", plan.clusters), ("vo", plan.vos), ("image", plan.environments), ("host", plan.hosts)):
            for subject, verdict in verdicts.items():
                if verdict.reasons and verdict.reasons[0].code in _EVERYDAY:
                    continue
                tell_if_new(at, "why", f"{who} {subject}", "", verdict.reasons[0] if verdict.reasons else None)

    def _tell_shares(self, at: float) -> None:
        """Tell which VO's share is not there, and when it is again."""
        chronicle, vos = self._farm.chronicle, self._farm.policy.catalogue.vos
        for name, said in self.engine.said.items():
            missing = said.status == Status.CRITICAL
            if name.partition("/")[0] in vos and (missing or chronicle.knows("share", name)):
                told = f"not there [{said.cause}]" if missing else Status(said.status).name
                chronicle.tell_if_new(at, "share", name, told)


_LOST = frozenset({WorkerState.SILENT, WorkerState.UNSEEN})
_EVERYDAY = frozenset({"share"})
"""Verdicts that say that all is as it should be."""


def _doubt(reading: QueueReading | HostReading | Unanswered) -> str:
    """Say what is wrong with a reading, or ""."""
    if isinstance(reading, Unanswered):
        return f"no answer yet ({reading.reason})" if reading.pending else f"no answer ({reading.reason})"
    if not reading.complete:
        return "incomplete answer"
    return "empty right after full: doubted" if isinstance(reading, QueueReading) and reading.suspect else ""
