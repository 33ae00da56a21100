"""The one loop: observe, decide, act, remember."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from scheduler.decide.plan import decide as decide_all
from scheduler.decide.plan import still_holds as all_still_holds
from scheduler.loop.act import perform
from scheduler.loop.announcing import Announcer
from scheduler.loop.asking import Asking
from scheduler.loop.chores import ClockSteps, Forgetting, StorageLooks
from scheduler.loop.errands import Sources, Tools
from scheduler.loop.events import HostEvents
from scheduler.loop.invalidating import Invalidator
from scheduler.loop.leading import NOBODY, Holder, Leadership
from scheduler.loop.telling import StatusTeller
from scheduler.loop.trial import Round, Trials
from scheduler.loop.under_way import ActionResult, UnderWay
from scheduler.model.actions import Drain, Plan, PowerOff
from scheduler.model.observation import Observation
from scheduler.model.queues import QueueReading
from scheduler.observe.memory import Memory, moved
from scheduler.observe.merge import Merged, Readings, merge
from scheduler.observe.remember import IllegalStep

if TYPE_CHECKING:
    from scheduler.journal.journal import Journal
    from scheduler.journal.records import Declared, Push, Said
    from scheduler.journal.seen import SeenJournal
    from scheduler.loop.runner import Runner
    from scheduler.model.clock import Clock
    from scheduler.model.hosts import DiscoveryReading
    from scheduler.model.policy import Policy
    from scheduler.model.ports import BatchSystem, DomainEvent, Hypervisor

ACT_SECONDS = 0.5
"""Acts are waited for so long; those that take longer go on by themselves, and the loop goes round."""

Decide = Callable[[Observation, "Policy"], Plan]
StillHolds = Callable[[Plan, Observation, Observation], bool]


@dataclass(frozen=True, slots=True)
class Cycle:
    """One round of the loop."""

    observation: Observation
    plan: Plan
    results: tuple[ActionResult, ...]
    seconds: float
    leading: bool = True
    """False while another daemon holds the lease: nothing was read and nothing done."""
    holder: Holder = NOBODY
    """Which other daemon that is, and for how long it has not been seen to renew it."""
    quiet: bool = False
    """Nothing had changed that the last decision depends on, so it stands."""
    phases: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each part: read, decide, act."""
    illegal: tuple[IllegalStep, ...] = ()
    twins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Worker -> hosts, for names that run more than once."""
    clock_step_seconds: float = 0.0
    unannounced: Mapping[str, str] = field(default_factory=dict)
    """Batch systems whose submit hooks could not be told of the environments, and why."""
    uninvalidated: Mapping[str, str] = field(default_factory=dict)
    """Workers that were given up, of which a batch system may still show something, and why."""


class Engine:
    """Holds the connections to the farm and the journal, and goes round.

    `cycle`, `look` and `attend` may be called from different threads, `cycle` from one at a time. `policy` may be replaced
    between cycles.
    """

    def __init__(  # noqa: PLR0917 - one per part of the loop
        self,
        policy: Policy,
        batch_systems: Mapping[str, BatchSystem],
        hypervisors: Mapping[str, Hypervisor],
        journal: Journal,
        clock: Clock,
        runner: Runner,
        *,
        owner: str = "ambienti",
        lease_seconds: float = 60,
        act_seconds: float = ACT_SECONDS,
        decide: Decide = decide_all,
        still_holds: StillHolds = all_still_holds,
    ) -> None:
        """Connect the parts; nothing is asked yet. `act_seconds`: how long a cycle waits for the ends of its acts."""
        self.policy = policy
        self.journal = journal
        self.clock = clock
        self.owner = owner
        self.lease = Leadership(journal, clock, owner, lease_seconds)
        self.discoveries: Mapping[str, DiscoveryReading] = {}
        """What is known of the sources that name hosts; replaced between cycles, as the policy is."""
        self.declared: tuple[Declared, ...] | None = None
        """What others report on; replaced between cycles. None: not known here, so nothing is changed."""
        self.groups: Mapping[str, frozenset[str]] = {}
        """The objects of each group, for tokens that are for groups; replaced with what is declared."""
        self.seen: SeenJournal | None = None
        """By what an older copy of the journal is known; None: nothing is kept of it."""
        self._runner = runner
        self._decide = decide
        self._still_holds = still_holds
        self._act_seconds = act_seconds
        self._tools = Tools(Sources(batch_systems, hypervisors), journal, clock, runner, self.lease, UnderWay())
        self._asking = Asking(self._tools)
        self._events = HostEvents(self._tools)
        self._announcer = Announcer()
        self._invalidator = Invalidator()
        self.trials = Trials()
        self._memory = Memory()
        self._statuses = StatusTeller(self._tools)
        self._clock_steps = ClockSteps(self._tools)
        self._forgetting = Forgetting(self._tools)
        self._storage = StorageLooks(self._tools)
        journal.monotonic = clock.monotonic
        self._epoch = 0
        self._last: Cycle | None = None
        self._decided_by: Policy | None = None

    def connect(self, batch_systems: Mapping[str, BatchSystem], hypervisors: Mapping[str, Hypervisor]) -> None:
        """Replace the connections, between cycles (a reloaded site)."""
        self._tools.sources.batch_systems, self._tools.sources.hypervisors = batch_systems, hypervisors
        self._events.connect()

    def watch(self, wake: Callable[[DomainEvent], None] = lambda _: None) -> None:
        """Listen to the hosts' events; `wake` is called from their threads, after the event was queued for `attend`."""
        self._events.watch(wake)

    # --- the loop -----------------------------------------------------------------------------------------------------

    def cycle(self) -> Cycle:
        """Go round once. Raises JournalError when the journal fails: then nothing is done without a committed intent."""
        started = self.clock.monotonic()
        leading = self.lease.hold()
        if self.seen is not None:
            self.seen.follow(self.journal, self.owner, self.clock.now(), started, leading=leading)
        if not leading:
            now = self.clock.now()
            nothing, seconds = Observation(now, {}, {}, ()), self.clock.monotonic() - started
            return Cycle(nothing, Plan(now, ()), (), seconds, leading=False, holder=self.lease.holder())
        self.attend()
        self._statuses.take_up(self.declared)
        if step := self._clock_steps.take():
            self._memory = moved(self._memory, step)
        readings = self._storage.add_to(self._asking.all(self.policy, self.discoveries, cheap=True))
        seen = self._merge(readings)
        read_at = self.clock.monotonic()
        quiet = self._nothing_new(seen.observation)
        plan = replace(self._last.plan, actions=()) if quiet and self._last else self._plan_for(seen.observation)
        asked: set[str] = set()
        while inexact := _ending_on_carried(plan, seen.observation, readings) - asked:
            asked |= inexact
            readings = self._asking.exactly(readings, self.policy, inexact)
            seen = self._merge(readings)
            plan = self._plan_for(seen.observation)
        decided_at = self.clock.monotonic()
        told = self._events.since(self._statuses.looked_at)
        here = self._statuses.look_at(seen.observation, self.policy, plan, told)
        memo = self._statuses.added(seen.memo, here, self.policy.limits.stale_seconds)
        self.journal.remember(self.owner, self.clock.now(), memo)
        self._memory, self._statuses.last = seen.memory, here
        results = tuple(perform(plan.actions, seen.observation, self.policy, self._tools, self._act_seconds))
        ended = self.clock.monotonic()
        catalogue = self.policy.catalogue
        self._runner.start(list(self._announcer.due(self._tools.batch_systems, catalogue, ended)), 0.0)
        alive = {worker.name for worker in seen.observation.workers}
        gone = list(self._invalidator.due(self._tools.batch_systems, seen.given_up, alive, ended))
        self._runner.start(gone, self._act_seconds)
        self._last = Cycle(
            observation=seen.observation,
            plan=plan,
            results=results,
            seconds=ended - started,
            quiet=quiet,
            phases={"read": read_at - started, "decide": decided_at - read_at, "act": ended - decided_at},
            illegal=seen.illegal,
            twins=seen.twins,
            clock_step_seconds=step,
            unannounced=dict(self._announcer.problems),
            uninvalidated=dict(self._invalidator.problems),
        )
        self._decided_by = self.policy
        seen_here = Round(seen.observation, plan, results)
        self.trials.follow(seen_here, self.policy, self.clock.now(), self.clock.monotonic())
        self._forgetting.go_on(self.policy.limits, clock_was_set=bool(step))
        self._storage.begin(self.policy.limits)
        return self._last

    def look(self, *, cheap: bool = False) -> Observation:
        """Observe only: nothing is written and nothing done, whoever holds the lease."""
        return self._merge(self._asking.all(self.policy, self.discoveries, cheap=cheap)).observation

    @property
    def leading(self) -> bool:
        """Whether this daemon acts."""
        return self.lease.leading

    def begin_nothing_more(self) -> None:
        """Let what runs end and begin nothing any more: the daemon is being stopped."""
        self._runner.close()

    def attend(self) -> list[str]:
        """Follow the events that have come: the ads of a worker whose domain ended are invalidated at once.

        Returns the workers that ended by themselves. An event alone proves nothing: the domain is read again first.
        """
        return self._events.attend(self._statuses.looked_at, leading=self.leading)

    def is_leaving(self, worker: str) -> bool:
        """Whether the end of a worker was to come: its drain or power-off was ordered, perhaps since the last look."""
        entry, act = self._tools.journal.ledger().entries.get(worker), self._tools.under_way.busy().get(worker)
        return bool(entry and entry.drain_cause) or isinstance(act, Drain | PowerOff)

    def close(self) -> None:
        """Let the next daemon act at once, unless something of ours is still under way."""
        self._runner.close()
        if self.leading and not self.under_way:
            self.lease.release()
        self.lease.leading = False

    @property
    def under_way(self) -> int:
        """How many acts have not ended yet."""
        return len(self._tools.under_way.intents())

    @property
    def last(self) -> Cycle | None:
        """The last cycle in which this daemon led."""
        return self._last

    @property
    def said(self) -> Mapping[str, Said]:
        """What the last look said of every object."""
        return self._statuses.said

    # --- its parts ----------------------------------------------------------------------------------------------------

    def report(self, pushed: Push) -> str:
        """Keep a status that somebody outside reports; from any thread. Raises UnknownObjectError and LeaseLostError."""
        return self._statuses.report(pushed)

    def _plan_for(self, observation: Observation) -> Plan:
        """Decide, for the trials that are under way as well."""
        return self.trials.ordered(self._decide(observation, self.trials.policy(self.policy, observation)), observation)

    def _nothing_new(self, observation: Observation) -> bool:
        last = self._last
        if last is None or last.plan.actions or self.trials.active or self._decided_by is not self.policy:
            return False
        return self._still_holds(last.plan, last.observation, observation)

    def _merge(self, readings: Readings) -> Merged:
        # Before the journal is read: what ends in between must not look as if a crash had cut it off.
        performing = self._tools.under_way.intents()
        history_since = readings.now - self.policy.limits.history_seconds
        ledger = self.journal.ledger(history_since)
        if ledger.epoch != self._epoch:
            # Somebody else may have acted since we last did: what we remember is worth nothing now.
            opened = self.journal.sightings(opened=True)
            self._memory = Memory(sightings={(s.batch_system, s.job, s.worker): s for s in opened})
            self._invalidator.recall(self.journal, readings.now, self.clock.monotonic())
            self._epoch = ledger.epoch
        explained = self._tools.under_way.forget_others(ledger.entries)
        departed = self._events.departed()
        readings = replace(readings, performing=performing, explained=explained, departed=departed)
        return merge(readings, ledger, self._memory, self.policy)


def _ending_on_carried(plan: Plan, observation: Observation, readings: Readings) -> set[str]:
    """Return the batch systems whose workers a plan drains or ends while their counts are only carried over."""
    if not plan.destructive:
        return set()
    carried = {name for name, one in readings.queues.items() if isinstance(one, QueueReading) and not one.exact}
    if not carried:
        return set()
    ended = {action.machine for action in plan.actions if isinstance(action, (Drain, PowerOff))}
    return carried & {worker.batch_system for worker in observation.workers if worker.name in ended}
