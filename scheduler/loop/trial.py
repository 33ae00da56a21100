"""Trials: one worker of an environment goes the way that all workers go, is followed, and is taken down again.

A trial orders nothing by itself that the loop would not do: the environment's minimum is one higher until its worker is
ordered, so placement, breakers, the journaled intent and the boot are those of every worker. Whoever asked for it asks again
and again how it stands; when he no longer does, its worker is taken down.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from environments.matching import Catalogue
from environments.reason import Reason, counted
from scheduler.decide.blame import advice, culprit_of
from scheduler.journal.records import Outcome
from scheduler.loop.under_way import ActionResult
from scheduler.model.actions import Boot, Drain, Plan
from scheduler.model.observation import Observation
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from environments.environment import Environment
    from scheduler.model.policy import Policy
    from scheduler.model.workers import Worker

ASKS_WITHIN_SECONDS = 20.0
"""Who has not asked for so long is gone."""
TOLD_SECONDS = 600.0
"""So long an ended trial can be asked about."""
_PRESENT = frozenset({WorkerState.IDLE, WorkerState.BUSY, WorkerState.REQUESTED, WorkerState.BOOTING})
_SERVES = frozenset({WorkerState.IDLE, WorkerState.BUSY})
_FOR_ITSELF = frozenset({"minimum", "spare", "canary"})
"""Reasons of boots that no job waits for."""
_DEAD = frozenset({WorkerState.FAILED, WorkerState.GONE})


class TrialVerdict(StrEnum):
    """What a trial has shown."""

    OPEN = "open"
    WORKS = "works"
    FAILED = "failed"
    NOT_BOOTED = "not-booted"


@dataclass(frozen=True, slots=True)
class TrialStep:
    """One thing that happened."""

    at: float
    what: str
    """asked, ordered, started, registered, failed, drained, kept, gone."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of the loop saw, planned and brought."""

    observation: Observation
    plan: Plan
    results: Sequence[ActionResult]


@dataclass(slots=True)
class Trial:
    """One trial: what it is of, and how it stands."""

    key: str
    environment: str
    asked_at: float
    keep: bool
    asked_monotonic: float
    worker: str = ""
    ordered_at: float = 0.0
    verdict: TrialVerdict = TrialVerdict.OPEN
    ended: bool = False
    given_up: bool = False
    needed: bool = False
    """Jobs wait for its worker: it would have been booted anyway."""
    waits: str = ""
    """Why its worker is not ordered yet."""
    steps: list[TrialStep] = field(default_factory=list)

    def tell(self, at: float, what: str, sentence: str) -> None:
        """Take note of something that happened, once."""
        if all(step.what != what for step in self.steps):
            self.steps.append(TrialStep(at, what, sentence))

    def end(self, verdict: TrialVerdict | None = None) -> None:
        """Close it."""
        self.verdict, self.ended = verdict or self.verdict, True


class AnotherTrialError(Exception):
    """The environment is being tried already, by somebody else."""


class Trials:
    """The trials under way; asked from any thread, followed by the loop."""

    def __init__(self, *, alone: bool = False) -> None:
        """With `alone` the loop does nothing else than what the trials need."""
        self.alone = alone
        self._trials: dict[str, Trial] = {}
        self._lock = threading.Lock()

    def ask(
        self, key: str, environment: str, now: float, monotonic: float, *, keep: bool = False, give_up: bool = False
    ) -> dict[str, Any]:
        """Begin a trial, or say how the one of this key stands. Raises AnotherTrialError."""
        with self._lock:
            trial = self._trials.get(key)
            if trial is None:
                if any(one.environment == environment and not one.ended for one in self._trials.values()):
                    raise AnotherTrialError(f"a trial of {environment} is under way already")
                trial = self._trials[key] = Trial(key, environment, now, keep, monotonic)
                trial.tell(now, "asked", f"a worker of {environment} is asked for")
            trial.asked_monotonic = monotonic
            trial.given_up |= give_up
            return asdict(trial)

    @property
    def active(self) -> bool:
        """Whether the loop has something to do for one."""
        return any(not trial.ended for trial in list(self._trials.values()))

    def policy(self, policy: Policy, observation: Observation) -> Policy:
        """Return the policy with the minimum of environments raised whose trial has no worker yet."""
        changed: dict[str, Environment] = {}
        for trial in self._open():
            environment = policy.catalogue.environments.get(trial.environment)
            if environment is not None and not trial.worker:
                present = sum(one.environment == trial.environment and one.state in _PRESENT for one in observation.workers)
                most = max(environment.minimum_workers, present + 1)
                changed[trial.environment] = environment.model_copy(update={"minimum_workers": most})
        if not changed:
            return policy
        catalogue = Catalogue({**policy.catalogue.environments, **changed}, policy.catalogue.vos)
        return replace(policy, catalogue=catalogue)

    def ordered(self, plan: Plan, observation: Observation) -> Plan:
        """Return the plan with the drains that end trials; alone: without what is not for a trial."""
        actions = list(plan.actions)
        by_name = {worker.name: worker for worker in observation.workers}
        about = {action.machine for action in actions}
        for trial in self._open():
            worker = by_name.get(trial.worker)
            if (
                worker is not None
                and worker.state in _SERVES
                and trial.verdict is TrialVerdict.WORKS
                and worker.name not in about
            ):
                actions.append(Drain(worker.name, "tried", Reason("tried", f"{trial.environment} has been tried in it")))
        if self.alone:
            ours, boots = {trial.worker for trial in self._open()}, {t.environment for t in self._open() if not t.worker}
            first: dict[str, Boot] = {}
            for one in actions:
                if isinstance(one, Boot) and one.environment in boots:
                    first.setdefault(one.environment, one)
            actions = [one for one in actions if one.machine in ours or one in first.values()]
        return replace(plan, actions=tuple(actions))

    def follow(self, cycle: Round, policy: Policy, now: float, monotonic: float) -> None:
        """Take note of what a cycle has brought."""
        with self._lock:
            for trial in list(self._trials.values()):
                if trial.ended:
                    if monotonic - trial.asked_monotonic > TOLD_SECONDS:
                        del self._trials[trial.key]
                    continue
                gone = trial.given_up or monotonic - trial.asked_monotonic > ASKS_WITHIN_SECONDS
                _follow(trial, cycle, policy, now, nobody_asks=gone)
                trial.needed = trial.needed and not self.alone  # alone, nobody else is there to end it later

    def _open(self) -> list[Trial]:
        return [trial for trial in list(self._trials.values()) if not trial.ended]


def _follow(trial: Trial, cycle: Round, policy: Policy, now: float, *, nobody_asks: bool) -> None:
    if trial.environment not in policy.catalogue.environments:
        trial.tell(now, "failed", f"no environment is called {trial.environment} any more")
        trial.end(TrialVerdict.NOT_BOOTED)
    elif not trial.worker:
        _find_worker(trial, cycle, now)
        if not trial.worker and nobody_asks:
            trial.end(TrialVerdict.NOT_BOOTED)
    _follow_acts(trial, cycle, now)
    if trial.worker and not trial.ended:
        _follow_worker(trial, cycle, policy, now, nobody_asks=nobody_asks)


def _find_worker(trial: Trial, cycle: Round, now: float) -> None:
    for action in cycle.plan.actions:
        if isinstance(action, Boot) and action.environment == trial.environment:
            trial.worker, trial.ordered_at, trial.waits = action.machine, now, ""
            trial.needed = action.reason.code not in _FOR_ITSELF
            trial.tell(now, "ordered", f"{action.machine} is ordered on host {action.host}, for {action.batch_system}")
            return
    verdict = cycle.plan.environments.get(trial.environment)
    trial.waits = verdict.reasons[0].sentence if verdict else "the loop has not decided about it yet"


def _follow_acts(trial: Trial, cycle: Round, now: float) -> None:
    for result in cycle.results:
        if result.action.machine != trial.worker or not isinstance(result.action, Boot):
            continue
        if result.outcome is Outcome.DONE:
            trial.tell(now, "started", f"its image was found and its domain started, {result.seconds:.1f} s after the order")
        elif result.outcome is not Outcome.UNDER_WAY:
            trial.verdict = TrialVerdict.FAILED
            trial.tell(now, "failed", f"it was not started: {result.detail}")


def _follow_worker(trial: Trial, cycle: Round, policy: Policy, now: float, *, nobody_asks: bool) -> None:
    worker = next((one for one in cycle.observation.workers if one.name == trial.worker), None)
    if worker is not None and worker.registered_at is not None and trial.verdict is TrialVerdict.OPEN:
        trial.verdict = TrialVerdict.WORKS
        trial.tell(now, "registered", _registered(worker, policy.catalogue.environments[trial.environment], now))
    if worker is not None and worker.state in _DEAD and trial.verdict is TrialVerdict.OPEN:
        trial.verdict = TrialVerdict.FAILED
    if trial.verdict is TrialVerdict.FAILED:
        _blame(trial, cycle, policy, now)
    if trial.verdict is TrialVerdict.WORKS and trial.needed:
        trial.tell(now, "kept", f"jobs wait for {trial.worker}: it stays in service")
        trial.end()
    elif trial.verdict is TrialVerdict.WORKS and trial.keep and not nobody_asks:
        trial.tell(
            now, "kept", f"{trial.worker} is left running: it goes when it is idle for as long as its environment allows"
        )
        trial.end()
    elif worker is not None and worker.jobs and worker.state is WorkerState.BUSY and trial.verdict is TrialVerdict.WORKS:
        trial.tell(now, "kept", f"{trial.worker} has taken job {worker.jobs[0].job}: it stays in service")
        trial.end()
    elif worker is None and now > trial.ordered_at:
        ordered_now = any(action.machine == trial.worker for action in cycle.plan.actions)
        if not ordered_now:
            trial.tell(now, "gone", f"{trial.worker} is gone and nothing of it is left")
            trial.end(TrialVerdict.FAILED if trial.verdict is TrialVerdict.OPEN else None)


def _registered(worker: Worker, environment: Environment, now: float) -> str:
    # The batch system tells whole seconds, cut off: it was within the next one.
    seconds = math.ceil(min((worker.registered_at or now) + 1, now) - worker.requested_at)
    provides = ", ".join(f"{name}={value}" for name, value in environment.provides.items()) or "nothing by name"
    size = f"{counted(worker.cpus, 'core')}, {environment.slot_memory_mib} MiB for jobs"
    return f"it registered within {seconds} s of the order: {size}; it provides {provides}"


def _blame(trial: Trial, cycle: Round, policy: Policy, now: float) -> None:
    """Say whose fault a failed boot is, once it stands in the history of boots."""
    boots = cycle.observation.boots
    boot = next((one for one in boots if one.worker == trial.worker and not one.registered), None)
    if boot is None:
        return
    sound = any(one.registered and (one.environment, one.version) == (boot.environment, boot.version) for one in boots)
    culprit = culprit_of(boot, hosts={boot.host}, alone=len(policy.hosts) == 1, unheard=False, sound=sound)
    trial.tell(now, "failed", f"it did not come up: {boot.cause or 'nobody said why'}")
    trial.tell(now, "blame", f"to blame: {culprit.value}; {advice(culprit, boot)}")
