"""What each kind of action does to the farm: its calls, one after the other, each in the lane of its source.

Rules:
1. Each act may be repeated: a worker's name and UUID come from its journaled intent.
2. A source that errs ends its own action, never those of others; a call that was never made leaves nothing behind.
3. Every call is made under the lease: a daemon that slept through its end makes no further step.
4. While one source is slow, the lane of the other is free: a batch system that hangs keeps no host waiting, nor a host it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from environments.domain_identity import WorkerIdentity
from scheduler.decide.lingering import stuck_at
from scheduler.journal.journal import Journal
from scheduler.journal.records import Entry, IntentEnd, Note, Outcome, Value
from scheduler.loop.leading import Leadership
from scheduler.loop.runner import Call, NotBegunError, Runner, unexpected
from scheduler.loop.under_way import ActionResult, UnderWay
from scheduler.model.actions import WHILE_IDLE, Action, Adopt, Boot, CancelDrain, CleanUp, Drain, PowerOff, Sweep
from scheduler.model.clock import Clock
from scheduler.model.failures import FailureCause
from scheduler.model.machines import PlacementEnd
from scheduler.model.policy import Policy
from scheduler.model.ports import BatchSystem, Enrolment, Hypervisor, SourceError, WorkerOrder
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from scheduler.loop.runner import Errand
    from scheduler.model.hosts import Domain
    from scheduler.model.queues import Node

T = TypeVar("T")
FRESH_SECONDS = 5.0
"""A power-off of a worker that could still register is not made later than so long after the last look at it."""


@dataclass(slots=True)
class Sources:
    """The systems that are connected now; a reloaded site replaces them, also for acts that have begun."""

    batch_systems: Mapping[str, BatchSystem]
    hypervisors: Mapping[str, Hypervisor]


@dataclass(frozen=True, slots=True)
class Tools:
    """What acting needs in hand."""

    sources: Sources
    journal: Journal
    clock: Clock
    runner: Runner
    lease: Leadership
    under_way: UnderWay

    @property
    def batch_systems(self) -> Mapping[str, BatchSystem]:
        """The batch systems that are connected now."""
        return self.sources.batch_systems

    @property
    def hypervisors(self) -> Mapping[str, Hypervisor]:
        """The hosts that are connected now."""
        return self.sources.hypervisors


@dataclass(frozen=True, slots=True)
class Act:
    """One action on its way: what it needs, and what its end changes."""

    number: int
    action: Action
    known: Entry | None
    """The worker's row in the journal; only what is swept has none."""
    tools: Tools
    policy: Policy

    @property
    def entry(self) -> Entry:
        """The worker's row in the journal."""
        assert self.known is not None, f"{self.action} needs the worker's entry"
        return self.known


@dataclass(frozen=True, slots=True)
class Done:
    """How an action ended, and what that changes in the journal."""

    outcome: Outcome = Outcome.DONE
    detail: str = ""
    changes: Mapping[str, Value] = field(default_factory=dict)
    notes: Sequence[Note] = ()


Calls = Generator[Call, "object", T]
"""Calls that lead to a value."""


def batch_lane(name: str) -> str:
    """Return the lane of a batch system."""
    return f"batch system {name}"


def host_lane(name: str) -> str:
    """Return the lane of a host."""
    return f"host {name}"


def errand_of(step: Act) -> Errand:
    """Perform one action; its end is written with those of others, or now if nobody gathers them."""
    tools, begun_at = step.tools, step.tools.clock.monotonic()
    tools.under_way.begin(step.number, step.action)
    try:
        done = yield from _PERFORM[type(step.action)](step)
    except NotBegunError as error:
        # A boot whose call was never made leaves nothing behind, so its entry can be closed.
        done = Done(
            Outcome.LATE,
            str(error),
            _closed(tools.clock.now(), PlacementEnd.NOT_BEGUN) if isinstance(step.action, Boot) else {},
        )
    except SourceError as error:
        done = _failed(step, error)
    except Exception as error:  # noqa: BLE001 - a fault of ours ends this act, never those of others
        done = _failed(step, unexpected(step.action.machine, step.action.kind.code, error))
    end = IntentEnd(step.number, tools.clock.now(), done.outcome, done.detail, done.changes, done.notes)
    result = ActionResult(step.action, done.outcome, done.detail, tools.clock.monotonic() - begun_at)
    if not tools.under_way.keep(end, result):
        write_ends(tools, [(end, result)])


def write_ends(tools: Tools, ends: Sequence[tuple[IntentEnd, ActionResult]]) -> None:
    """Write ends of acts in one commit, and tell of them."""
    try:
        tools.journal.end_all([end for end, _ in ends])
        for end, result in ends:
            tools.under_way.tell(end.number, result)
    finally:
        # Also when they could not be written: then they count as cut off, and the next observation tells what became of them.
        for end, _ in ends:
            tools.under_way.end(end.number)


def _failed(step: Act, error: SourceError) -> Done:
    return Done(Outcome.FAILED, str(error), _boot_failed(error) if isinstance(step.action, Boot) else {})


def _boot_failed(error: SourceError) -> dict[str, Value]:
    return {"boot_error": str(error), "boot_failure": error.cause.value}


def _ask_batch(step: Act, asked: str, function: Callable[[BatchSystem], T]) -> Calls[T]:
    name = step.entry.batch_system
    batch_system = step.tools.batch_systems.get(name)
    if batch_system is None:
        raise SourceError(name, asked, "the site has no batch system of this name")
    within = step.policy.limits.reading_deadline_seconds
    return (yield from _make(step, batch_lane(name), asked, partial(function, batch_system), within))


def _ask_host(step: Act, host: str, asked: str, function: Callable[[Hypervisor], T], within: float | None = None) -> Calls[T]:
    hypervisor = step.tools.hypervisors.get(host)
    if hypervisor is None:  # taken out of the site since this act began
        raise SourceError(host, asked, "the site has no host of this name", FailureCause.UNREACHABLE)
    within = step.policy.limits.reading_deadline_seconds if within is None else within
    return (yield from _make(step, host_lane(host), asked, partial(function, hypervisor), within))


def _make(step: Act, lane: str, asked: str, function: Callable[[], T], within: float) -> Calls[T]:
    """Make one call, unless its turn comes too late or when somebody else may act."""

    def while_we_may() -> T:
        if step.tools.clock.monotonic() >= step.tools.lease.acts_until:
            raise NotBegunError(lane, asked, "not begun: the right to act has ended")
        return function()

    return cast("T", (yield Call(lane, asked, while_we_may, begin_within_seconds=within)))


def _boot(step: Act) -> Calls[Done]:
    entry, environment = step.entry, step.policy.catalogue.environments[step.entry.environment]
    identity = WorkerIdentity(
        site=step.policy.site,
        machine=entry.name,
        environment=entry.environment,
        version=entry.version,
        vo=entry.vo,
        batch_system=entry.batch_system,
        serial=entry.serial,
        requested_at=entry.requested_at,
        address=entry.address,
    )
    try:
        enrolment: Enrolment = yield from _ask_batch(step, f"enrol {entry.name}", lambda b: b.enrol(identity, environment))
    except SourceError as error:
        error.cause = FailureCause.BATCH_SYSTEM  # whatever it is there: no host was asked yet
        raise
    order = WorkerOrder(entry.name, entry.uuid, environment, identity, enrolment)
    yield from _ask_host(step, entry.host, f"boot {entry.name}", lambda h: h.boot(order))
    return Done(changes={"booted_at": step.tools.clock.now()})


def _drain(step: Act) -> Calls[Done]:
    action = step.action
    assert isinstance(action, Drain)
    if work := (yield from _order_drain(step, idle_only=action.cause in WHILE_IDLE)):
        return Done(Outcome.REFUSED, f"it has work: {work}")
    now, state = step.tools.clock.now(), WorkerState.DRAINING
    changes: dict[str, Value] = {"drain_cause": action.cause, "drained_at": now, "cancelled_at": None}
    changes |= {"state": state.value, "since": now}
    return Done(changes=changes, notes=[_stepped(step, state)])


def _order_drain(step: Act, *, idle_only: bool) -> Calls[str]:
    worker, why = step.action.machine, step.action.reason.sentence
    return (yield from _ask_batch(step, f"drain {worker}", lambda b: b.drain(worker, why, idle_only=idle_only)))


def _cancel_drain(step: Act) -> Calls[Done]:
    worker = step.action.machine
    yield from _ask_batch(step, f"cancel the drain of {worker}", lambda b: b.cancel_drain(worker))
    return Done(changes={"drain_cause": "", "drained_at": None, "cancelled_at": step.tools.clock.now()})


def _power_off(step: Act) -> Calls[Done]:
    action, worker = step.action, step.action.machine
    assert isinstance(action, PowerOff)
    node: Node | None = None
    if not (action.reason.code == "batch-removed" and step.entry.batch_system not in step.tools.batch_systems):
        # Once more, just before: what was decided on is older than what the batch system has matched since.
        node = yield from _ask_batch(step, f"look at {worker}", lambda b: b.node(worker))
    stuck = node is not None and node.draining and stuck_at(node, step.policy.limits) <= step.tools.clock.now()
    if against := "" if stuck else why_keep(node):
        return Done(Outcome.REFUSED, against)
    # What a batch system tells of a worker may be old: the worker itself says whether it drains and has nothing.
    if node is not None and (work := (yield from _order_drain(step, idle_only=True))):
        return Done(Outcome.REFUSED, f"it has work: {work}")
    uuid, asked = step.entry.uuid, f"power off {worker}"
    # One that drains takes no jobs however long this waits for its turn; one that was not seen may have come meanwhile.
    within = FRESH_SECONDS if node is None else None
    yield from _ask_host(step, action.host, asked, lambda h: h.power_off(worker, uuid), within)
    step.tools.under_way.explain(worker)
    return (yield from _leave_nothing(step, action.host))


def _work_of(node: Node) -> str:
    if not (node.jobs or node.claimed):
        return ""
    return "it has work: " + (", ".join(job.job for job in node.jobs) or "a claim")


def why_keep(node: Node | None) -> str:
    """Say what a last look at a worker holds against its power-off, or ""."""
    if node is None:
        return ""
    return _work_of(node) or ("" if node.draining else "it takes jobs: it is registered and not draining")


def _clean_up(step: Act) -> Calls[Done]:
    action, worker, uuid = step.action, step.action.machine, step.entry.uuid
    assert isinstance(action, CleanUp)

    def remove_the_dead(hypervisor: Hypervisor) -> Domain | None:
        """Remove its ended domain; one that is alive is returned. Another's of the same name is none of ours."""
        domain = hypervisor.domain(worker)
        if domain is None or domain.uuid != uuid:
            return None
        if domain.state.alive:
            return domain
        hypervisor.power_off(worker, uuid)
        return None

    alive = yield from _ask_host(step, action.host, f"clean up {worker}", remove_the_dead)
    if alive is not None:
        return Done(Outcome.REFUSED, f"its domain is {alive.state.value} on {action.host}")
    return (yield from _leave_nothing(step, action.host))


def _sweep(step: Act) -> Calls[Done]:
    action = step.action
    assert isinstance(action, Sweep)

    def remove(hypervisor: Hypervisor) -> Domain | None:
        """Remove what lies there, unless a domain of that name is there after all."""
        domain = hypervisor.domain(action.machine)
        if domain is None:
            hypervisor.clean_up(action.machine, action.uuid)
        return domain

    found = yield from _ask_host(step, action.host, f"sweep what is left of {action.machine}", remove)
    return Done() if found is None else Done(Outcome.REFUSED, f"its domain is {found.state.value} on {action.host}")


def _leave_nothing(step: Act, host: str) -> Calls[Done]:
    """Invalidate the ads of a worker whose domain is gone, remove its volumes, close its entry."""
    entry = step.entry
    if entry.batch_system in step.tools.batch_systems:
        came_back = yield from _ask_batch(step, f"forget {entry.name}", lambda b: b.forget(entry.name))
        if came_back:  # its entry stays open, so that the next look orders this again
            return Done(Outcome.AGAIN, came_back)
    yield from _ask_host(step, host, f"clean up after {entry.name}", lambda h: h.clean_up(entry.name, entry.uuid))
    ended_by = PlacementEnd.POWER_OFF if isinstance(step.action, PowerOff) else PlacementEnd.DIED
    if entry.state is WorkerState.FAILED:
        ended_by = PlacementEnd.BOOT_FAILED
    return Done(changes=_closed(step.tools.clock.now(), ended_by), notes=[_stepped(step, WorkerState.GONE)])


def _adopt(step: Act) -> Calls[Done]:
    note = Note("adopted", step.entry.name, "found", detail={"host": step.entry.host, "uuid": step.entry.uuid})
    yield from ()  # nothing has to be asked
    return Done(notes=[note])


def _closed(now: float, ended_by: PlacementEnd) -> dict[str, Value]:
    return {"state": WorkerState.GONE.value, "since": now, "closed_at": now, "ended_by": ended_by.value}


def _stepped(step: Act, state: WorkerState) -> Note:
    entry = step.entry
    detail = {"from": entry.state.value, "host": entry.host, "environment": entry.environment, "vo": entry.vo}
    return Note("state", entry.name, state.value, f"intent-{step.number}", detail)


_PERFORM: dict[type[Action], Callable[[Act], Calls[Done]]] = {
    Boot: _boot,
    Drain: _drain,
    CancelDrain: _cancel_drain,
    PowerOff: _power_off,
    CleanUp: _clean_up,
    Sweep: _sweep,
    Adopt: _adopt,
}
