"""Acting: journal the intent, perform it through the ports, journal the end. One queue per host and per batch system.

Rules:
1. The intents of a plan are committed before its first side effect, in one transaction that holds the lease.
2. Each act may be repeated: a worker's name and UUID come from its journaled intent.
3. A source that errs ends its own action, never those of others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from scheduler.actions import WHILE_IDLE, Action, Adopt, Boot, CancelDrain, CleanUp, Drain, PowerOff
from scheduler.clock import Clock
from scheduler.journal.journal import Journal, kind_of
from scheduler.journal.records import Entry, Intent, Note, Outcome, Value, worker_uuid
from scheduler.model import DomainState, HostReading, Identity, Node, WorkerState
from scheduler.observe.derive import BOOT_SECONDS, entry_of
from scheduler.policy import Policy
from scheduler.ports import BatchSystem, Hypervisor, SourceError, WorkerOrder
from scheduler.runner import Answered, Call, Erred, Runner

if TYPE_CHECKING:
    from scheduler.model import Observation

T = TypeVar("T")
_ALIVE = frozenset({DomainState.RUNNING, DomainState.PAUSED})


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one action."""

    action: Action
    outcome: Outcome
    detail: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Reach:
    """What acting needs in hand."""

    batch_systems: Mapping[str, BatchSystem]
    hypervisors: Mapping[str, Hypervisor]
    journal: Journal
    clock: Clock
    runner: Runner
    owner: str
    performing: set[int] = field(default_factory=set)
    """Intents under way, also those whose source has not answered in time."""
    explained: set[str] = field(default_factory=set)
    """Workers whose domain we know to have ended: powered off by us, or told by an event and read again."""

    def ask_batch(self, name: str, asked: str, function: Callable[[BatchSystem], T], seconds: float) -> T:
        """Call a batch system in its own lane."""
        batch_system = self.batch_systems.get(name)
        if batch_system is None:
            raise SourceError(name, asked, "the site has no batch system of this name")
        return self.runner.call(batch_lane(name), asked, lambda: function(batch_system), seconds)


@dataclass(frozen=True, slots=True)
class _Step:
    """One action on its way: what it needs, and what its end changes."""

    number: int
    action: Action
    entry: Entry
    reach: Reach
    policy: Policy

    @property
    def deadline_seconds(self) -> float:
        return self.policy.limits.reading_deadline_seconds


@dataclass(frozen=True, slots=True)
class _Done:
    outcome: Outcome = Outcome.DONE
    detail: str = ""
    changes: Mapping[str, Value] = field(default_factory=dict)
    notes: Sequence[Note] = ()


def batch_lane(name: str) -> str:
    """Return the lane of a batch system."""
    return f"batch system {name}"


def host_lane(name: str) -> str:
    """Return the lane of a host."""
    return f"host {name}"


def perform(actions: Sequence[Action], observation: Observation, policy: Policy, reach: Reach) -> list[Result]:
    """Perform actions; one result each, in their order.

    Raises JournalError when an intent cannot be written (nothing is done then) or an end cannot (the act is done; the next
    observation finds it).
    """
    if not actions:
        return []
    now = reach.clock.now()
    known = reach.journal.ledger().entries
    prepared = [_prepare(action, observation, policy, now) for action in actions]
    prepared = [_possible(intent, reach, known) if isinstance(intent, Intent) else intent for intent in prepared]
    intents = [intent for intent in prepared if isinstance(intent, Intent)]
    numbers = iter(reach.journal.begin(reach.owner, now, intents) if intents else [])
    begun = [next(numbers) if isinstance(intent, Intent) else intent for intent in prepared]
    steps: dict[int, _Step] = {}
    for index, (intent, number) in enumerate(zip(prepared, begun, strict=True)):
        if isinstance(intent, Intent) and isinstance(number, int):
            entry = intent.entry or known[intent.action.worker]
            steps[index] = _Step(number, intent.action, entry, reach, policy)
    calls = [Call(_lane(step), f"{kind_of(step.action)} {step.action.worker}", partial(_take, step)) for step in steps.values()]
    ends = dict(zip(steps, reach.runner.run(calls, policy.limits.reading_deadline_seconds), strict=True))
    results = []
    for index, (action, refusal) in enumerate(zip(actions, begun, strict=True)):
        if isinstance(refusal, str):
            results.append(Result(action, Outcome.REFUSED, refusal))
        else:
            results.append(_result(steps[index], ends[index]))
    return results


def _prepare(action: Action, observation: Observation, policy: Policy, now: float) -> Intent | str:
    """Return the intent of an action with the entry it opens, or why that cannot be made."""
    if isinstance(action, Boot):
        if action.environment not in policy.catalogue.environments:
            return f"environment {action.environment} is no longer defined"
        return Intent(action, _ordered(action, policy, now))
    if isinstance(action, Adopt):
        entry = _adopted(action, observation, policy, now)
        return Intent(action, entry) if entry else "its domain is no longer seen"
    return Intent(action)


def _possible(intent: Intent, reach: Reach, known: Mapping[str, Entry]) -> Intent | str:
    """Return the intent, or why it cannot be performed from here."""
    action = intent.action
    if intent.entry is None and action.worker not in known:
        return "the journal does not know this worker, or has closed it"
    if isinstance(action, (Boot, PowerOff, CleanUp)) and action.host not in reach.hypervisors:
        return f"host {action.host} is not configured"
    if isinstance(action, Boot) and action.batch_system not in reach.batch_systems:
        return f"batch system {action.batch_system} is not configured"
    return intent


def _ordered(action: Boot, policy: Policy, now: float) -> Entry:
    environment = policy.catalogue.environments[action.environment]
    return Entry(
        name=action.worker,
        serial=action.serial,
        uuid=worker_uuid(policy.site, action.worker, action.serial),
        environment=action.environment,
        version=action.version,
        vo=action.vo,
        batch_system=action.batch_system,
        host=action.host,
        cpus=environment.vcpus,
        memory_mib=environment.memory_mib,
        state=WorkerState.REQUESTED,
        since=now,
        requested_at=now,
        address=action.address,
    )


def _adopted(action: Adopt, observation: Observation, policy: Policy, now: float) -> Entry | None:
    reading = observation.hosts.get(action.host)
    for domain in reading.domains if isinstance(reading, HostReading) else ():
        identity = domain.identity
        if identity is not None and identity.worker == action.worker and identity.site == policy.site:
            environment = policy.catalogue.environments.get(identity.environment)
            return entry_of(domain, identity, action.host, now, environment.boot_seconds if environment else BOOT_SECONDS)
    return None


def _lane(step: _Step) -> str:
    action = step.action
    if isinstance(action, (Drain, CancelDrain)):
        return batch_lane(step.entry.batch_system)
    return host_lane(step.entry.host if isinstance(action, Boot) else action.host)


def _result(step: _Step, end: Answered | Erred) -> Result:
    if isinstance(end, Answered):
        result: Result = end.value
        return result
    detail = str(end.error)
    if end.under_way:
        return Result(step.action, Outcome.UNDER_WAY, detail)
    # It was never begun, so a boot leaves nothing behind and its entry can be closed.
    now = step.reach.clock.now()
    changes = _closed(now) if isinstance(step.action, Boot) else {}
    step.reach.journal.end(now, step.number, Outcome.LATE, detail, changes=changes)
    return Result(step.action, Outcome.LATE, detail)


def _take(step: _Step) -> Result:
    """Perform one action and write its end."""
    reach, begun_at = step.reach, step.reach.clock.monotonic()
    reach.performing.add(step.number)
    try:
        try:
            done = _PERFORM[type(step.action)](step)
        except SourceError as error:
            changes = {"boot_error": str(error)} if isinstance(step.action, Boot) else {}
            done = _Done(Outcome.FAILED, str(error), changes)
        reach.journal.end(reach.clock.now(), step.number, done.outcome, done.detail, changes=done.changes, notes=done.notes)
    finally:
        # Also when its end could not be written: then it counts as cut off, and the next observation tells what became of it.
        reach.performing.discard(step.number)
    return Result(step.action, done.outcome, done.detail, reach.clock.monotonic() - begun_at)


def _boot(step: _Step) -> _Done:
    entry, environment = step.entry, step.policy.catalogue.environments[step.entry.environment]
    identity = Identity(
        site=step.policy.site,
        worker=entry.name,
        environment=entry.environment,
        version=entry.version,
        vo=entry.vo,
        batch_system=entry.batch_system,
        serial=entry.serial,
        requested_at=entry.requested_at,
        address=entry.address,
    )
    asked = f"enrol {entry.name}"
    enrolment = step.reach.ask_batch(entry.batch_system, asked, lambda b: b.enrol(identity, environment), step.deadline_seconds)
    order = WorkerOrder(entry.name, entry.uuid, environment, identity, enrolment)
    step.reach.hypervisors[entry.host].boot(order)
    return _Done(changes={"booted_at": step.reach.clock.now()})


def _drain(step: _Step) -> _Done:
    action = step.action
    assert isinstance(action, Drain)
    if work := _order_drain(step, idle_only=action.cause in WHILE_IDLE):
        return _Done(Outcome.REFUSED, f"it has work: {work}")
    now, state = step.reach.clock.now(), WorkerState.DRAINING
    changes: dict[str, Value] = {"drain_cause": action.cause, "drained_at": now, "cancelled_at": None}
    changes |= {"state": state.value, "since": now}
    return _Done(changes=changes, notes=[_stepped(step, state)])


def _order_drain(step: _Step, *, idle_only: bool) -> str:
    worker, why = step.action.worker, step.action.reason.sentence
    return step.reach.ask_batch(
        step.entry.batch_system, f"drain {worker}", lambda b: b.drain(worker, why, idle_only=idle_only), step.deadline_seconds
    )


def _cancel_drain(step: _Step) -> _Done:
    worker = step.action.worker
    step.reach.ask_batch(
        step.entry.batch_system, f"cancel the drain of {worker}", lambda b: b.cancel_drain(worker), step.deadline_seconds
    )
    return _Done(changes={"drain_cause": "", "drained_at": None, "cancelled_at": step.reach.clock.now()})


def _power_off(step: _Step) -> _Done:
    action = step.action
    assert isinstance(action, PowerOff)
    nobody_to_ask = action.reason.code == "batch-removed" and step.entry.batch_system not in step.reach.batch_systems
    node = None if nobody_to_ask else _last_look(step)
    against = why_keep(node)
    if against:
        return _Done(Outcome.REFUSED, against)
    # What a batch system tells of a worker may be old: the worker itself says whether it drains and has nothing.
    if node is not None and (work := _order_drain(step, idle_only=True)):
        return _Done(Outcome.REFUSED, f"it has work: {work}")
    step.reach.hypervisors[action.host].power_off(action.worker, step.entry.uuid)
    step.reach.explained.add(action.worker)
    return _leave_nothing(step, action.host)


def _last_look(step: _Step) -> Node | None:
    """Look once more, just before: what was decided on is older than what the batch system has matched since."""
    worker = step.action.worker
    return step.reach.ask_batch(step.entry.batch_system, f"look at {worker}", lambda b: b.node(worker), step.deadline_seconds)


def _work_of(node: Node | None) -> str:
    if node is None or not (node.jobs or node.claimed):
        return ""
    return "it has work: " + (", ".join(job.job for job in node.jobs) or "a claim")


def why_keep(node: Node | None) -> str:
    """Say what a last look at a worker holds against its power-off, or ""."""
    if node is None:
        return ""
    return _work_of(node) or ("" if node.draining else "it takes jobs: it is registered and not draining")


def _clean_up(step: _Step) -> _Done:
    action = step.action
    assert isinstance(action, CleanUp)
    hypervisor = step.reach.hypervisors[action.host]
    domain = hypervisor.domain(action.worker)
    if domain is not None and domain.uuid != step.entry.uuid:
        domain = None  # another's, of the same name
    if domain is not None and domain.state in _ALIVE:
        return _Done(Outcome.REFUSED, f"its domain is {domain.state.value} on {action.host}")
    if domain is not None:
        hypervisor.power_off(action.worker, step.entry.uuid)
    return _leave_nothing(step, action.host)


def _leave_nothing(step: _Step, host: str) -> _Done:
    """Invalidate the ads of a worker whose domain is gone, remove its volumes, close its entry."""
    entry = step.entry
    if entry.batch_system in step.reach.batch_systems:
        asked = f"forget {entry.name}"
        step.reach.ask_batch(entry.batch_system, asked, lambda b: b.forget(entry.name), step.deadline_seconds)
    step.reach.hypervisors[host].clean_up(entry.name, entry.uuid)
    return _Done(changes=_closed(step.reach.clock.now()), notes=[_stepped(step, WorkerState.GONE)])


def _adopt(step: _Step) -> _Done:
    note = Note("adopted", step.entry.name, "found", detail={"host": step.entry.host, "uuid": step.entry.uuid})
    return _Done(notes=[note])


def _closed(now: float) -> dict[str, Value]:
    return {"state": WorkerState.GONE.value, "since": now, "closed_at": now}


def _stepped(step: _Step, state: WorkerState) -> Note:
    entry = step.entry
    detail = {"from": entry.state.value, "host": entry.host, "environment": entry.environment, "vo": entry.vo}
    return Note("state", entry.name, state.value, f"intent-{step.number}", detail)


_PERFORM: dict[type, Callable[[_Step], _Done]] = {
    Boot: _boot,
    Drain: _drain,
    CancelDrain: _cancel_drain,
    PowerOff: _power_off,
    CleanUp: _clean_up,
    Adopt: _adopt,
}
