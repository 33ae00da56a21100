"""Retirement: which workers are drained.

Drain first, look again, then power off. Nothing is drained on the word of a source that did not answer, answered in part, or
answered too long ago.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from environments.reason import Reason
from scheduler.actions import CancelDrain, CleanUp, Drain, PowerOff
from scheduler.decide.census import ends_at
from scheduler.decide.supply import Kind
from scheduler.model import Worker, WorkerState

if TYPE_CHECKING:
    from environments.environment import Environment
    from scheduler.decide.census import Fleet
    from scheduler.decide.demand import Demand
    from scheduler.decide.facts import Facts
    from scheduler.decide.health import Health
    from scheduler.decide.supply import Shelf, Shelves

BY_CHOICE = frozenset({"idle", "surplus", "lifetime", "drift", "black-hole"})
"""Causes bounded by `drain_percent`."""
_MANY_HOLES = 3
"""From so many black holes on, and half of an environment's workers, the jobs or the image are suspected."""


@dataclass(slots=True)
class Orders:
    """What retirement has ordered so far in this decision."""

    drains: list[Drain] = field(default_factory=list)
    ends: list[PowerOff | CleanUp] = field(default_factory=list)
    cancelled: dict[str, CancelDrain] = field(default_factory=dict)
    """By worker."""
    leaving: dict[str, Worker] = field(default_factory=dict)
    """Workers of `drains`, by name."""
    budget: int = 0
    """Drains that may still be ordered."""
    chosen: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    """Drains by choice ordered here, by fleet."""
    remaining: dict[str, int] = field(default_factory=dict)
    """Workers of each environment that serve or come and are not drained here."""
    surplus: dict[tuple[str, str], list[Worker]] = field(default_factory=dict)
    """Idle workers of each fleet that nobody needs but that are not idle for long enough, the first to go first."""
    kept: dict[str, Reason] = field(default_factory=dict)
    """Workers that a rule would end, and what keeps them."""

    def drain(self, worker: Worker, cause: str, reason: Reason) -> None:
        """Order one drain."""
        self.drains.append(Drain(worker.name, cause, reason))
        self.leaving[worker.name] = worker
        self.budget -= 1
        if worker.environment in self.remaining:
            self.remaining[worker.environment] -= 1
        if cause in BY_CHOICE:
            self.chosen[worker.batch_system, worker.environment] += 1


def forced_drains(facts: Facts, orders: Orders) -> dict[str, Reason]:
    """Drain the workers that go whatever the demand; return the environments in which that looks like the jobs' own fault.

    These are black holes, workers on drained hosts, of removed environments, and those past their lifetime.
    """
    found: list[tuple[int, float, Worker]] = []
    suspected: dict[str, Reason] = {}
    for fleet in facts.census.fleets.values():
        if facts.trust.of_batch(fleet.batch_system) is None:
            found += _forced(fleet, facts, suspected)
    found.sort(key=lambda entry: (entry[0], entry[1], entry[2].name))
    unjournaled = facts.observation.unjournaled
    for rank, _, worker in found:
        if worker.name in unjournaled or facts.trust.of_host(worker.host) is not None:
            continue
        cause = _FORCED[rank]
        against = against_drain(cause, worker, facts, orders)
        if against is None:
            orders.drain(worker, cause, _why_forced(cause, worker, facts))
        else:
            orders.kept[worker.name] = against
    return suspected


_FORCED = ("black-hole", "host-drain", "unwanted", "lifetime")


def _forced(fleet: Fleet, facts: Facts, suspected: dict[str, Reason]) -> list[tuple[int, float, Worker]]:
    """Return (index into `_FORCED`, urgency, worker) of a fleet's serving workers that must go."""
    now, limit, drained = facts.now, facts.limits.black_hole_failures, facts.drained
    environment = facts.environments.get(fleet.environment)
    unwanted = environment is None
    lifetime = 0.0 if environment is None else float(environment.lifetime_seconds)
    found: list[tuple[int, float, Worker]] = []
    holes: list[tuple[int, float, Worker]] = []
    for worker in fleet.serving:
        begun = worker.requested_at
        if worker.quick_failures >= limit:
            holes.append((0, -worker.quick_failures, worker))
        elif worker.host in drained:
            found.append((1, worker.busy_until or 0.0, worker))
        elif unwanted:
            found.append((2, begun, worker))
        elif begun + lifetime <= now:
            found.append((3, begun, worker))
    if len(holes) >= _MANY_HOLES and 2 * len(holes) >= len(fleet.serving):
        suspected[fleet.environment] = Reason(
            "fails-everywhere",
            f"in {len(holes)} of {len(fleet.serving)} workers of {fleet.environment} jobs fail at once: "
            "that is the jobs or the image rather than single workers, which are kept",
            {"workers": len(holes), "serving": len(fleet.serving)},
            "look at the log of one of the failed jobs",
        )
        return found
    return found + holes


def _why_forced(cause: str, worker: Worker, facts: Facts) -> Reason:
    environment = facts.environments.get(worker.environment)
    if cause == "black-hole":
        sentence = f"{worker.quick_failures} jobs failed at once, one after the other"
        return Reason(
            cause, sentence, {"quick_failures": worker.quick_failures}, f"look at the worker before it ends: {worker.name}"
        )
    if cause == "host-drain":
        return Reason(cause, f"host {worker.host} is drained by the administrators", {"host": worker.host})
    if cause == "unwanted" or environment is None:
        return Reason(
            "unwanted", f"no environment is called {worker.environment} any more", {"environment": worker.environment}
        )
    age = round(facts.now - ends_at(worker, environment) + environment.lifetime_seconds)
    sentence = f"it lives for {age} s, its lifetime is {environment.lifetime_seconds} s"
    return Reason(cause, sentence, {"age_seconds": age, "lifetime_seconds": environment.lifetime_seconds})


def against_drain(cause: str, worker: Worker, facts: Facts, orders: Orders) -> Reason | None:
    """Say which bound on churn stands against one more drain, or None."""
    limits = facts.limits
    if orders.budget <= 0:
        return Reason(
            "drains-limit",
            f"it goes in a later cycle: {limits.drains_per_cycle} drains are ordered in this one",
            {"drains_per_cycle": limits.drains_per_cycle},
        )
    if cause not in BY_CHOICE:
        return None
    fleet = facts.census.fleets[worker.batch_system, worker.environment]
    allowed, going = drain_room(fleet, orders, limits.drain_percent)
    if going < allowed:
        return None
    return Reason(
        "drain-percent",
        f"it goes later: {going} workers of {fleet.environment} are draining, at most {allowed} may at a time",
        {"draining": going, "allowed": allowed, "drain_percent": limits.drain_percent},
    )


def drain_room(fleet: Fleet, orders: Orders, percent: int) -> tuple[int, int]:
    """Return how many workers of a fleet may be draining by choice at a time, and how many are."""
    going = sum(1 for worker in fleet.leaving if worker.drain_cause in BY_CHOICE)
    going += orders.chosen[fleet.batch_system, fleet.environment]
    allowed = max(1, (len(fleet.serving) + len(fleet.leaving)) * percent // 100)
    return allowed, going


def drain_idle(facts: Facts, demand: Demand, shelves: Shelves, orders: Orders) -> None:
    """Drain idle workers that nobody needs: those idle for too long, and those of an old version.

    An idle worker is needed when waiting jobs are expected in it, as a spare while there is demand, or for the minimum.
    """
    remaining = orders.remaining
    for fleet in facts.census.fleets.values():
        here = sum(1 for worker in fleet.serving if worker.name in orders.leaving) if orders.leaving else 0
        coming = len(fleet.serving) + len(fleet.in_flight) - here
        remaining[fleet.environment] = remaining.get(fleet.environment, 0) + coming
    for key in sorted(facts.census.fleets):
        fleet = facts.census.fleets[key]
        environment = facts.environments.get(fleet.environment)
        if environment is None or facts.trust.of_batch(fleet.batch_system) is not None:
            continue
        idle, roomless = _idle_of(fleet, environment, facts, orders)
        if roomless:
            _drain_unneeded(roomless, len(roomless), environment, facts, demand, orders=orders)
        if not idle:
            continue
        unneeded = len(idle) - _needed(environment, shelves.get(key), demand)
        unneeded = min(unneeded, remaining[fleet.environment] - environment.minimum_workers)
        orders.surplus[key] = _drain_unneeded(idle, unneeded, environment, facts, demand, orders=orders)
        if idle[0].version != environment.version and _version_is_good(environment, facts.health):
            _replace_drifted(idle, environment, facts, orders)


def _idle_of(fleet: Fleet, environment: Environment, facts: Facts, orders: Orders) -> tuple[list[Worker], list[Worker]]:
    """Return a fleet's idle workers, the first to go first: those that jobs could use, and those without any room.

    Those past their lifetime are neither: they go for that.
    """
    state, leaving, since = WorkerState.IDLE, orders.leaving, facts.now - environment.lifetime_seconds
    idle = [
        worker
        for worker in fleet.serving
        if worker.state is state and not worker.claimed and worker.name not in leaving and worker.requested_at > since
    ]
    idle.sort(key=lambda w: (w.version == environment.version, w.requested_at, w.name))
    roomless = [worker for worker in idle if worker.free_cpus <= 0]
    return ([worker for worker in idle if worker.free_cpus > 0] if roomless else idle), roomless


def _needed(environment: Environment, shelf: Shelf | None, demand: Demand) -> int:
    """Return how many idle workers are needed: by waiting jobs, and as spares that are not coming anyway."""
    if shelf is None:
        return 0
    spare = environment.spare_workers if environment.name in demand.wanted else 0
    return shelf.idle_taken + max(0, spare - shelf.count(Kind.COMING_WHOLE))


def _drain_unneeded(
    idle: list[Worker], unneeded: int, environment: Environment, facts: Facts, demand: Demand, *, orders: Orders
) -> list[Worker]:
    """Drain at most `unneeded` of a fleet's idle workers; return those that could go early, the first to go first."""
    now, limits = facts.now, facts.limits
    good = _version_is_good(environment, facts.health)
    early: list[Worker] = []
    keeping: Reason | None = None
    bound: Reason | None = None
    for worker in idle:
        settled = worker.registered_at is None or worker.registered_at + limits.minimum_life_seconds <= now
        if not settled or worker.name in facts.observation.unjournaled:
            continue
        since = worker.since if worker.idle_since is None else worker.idle_since
        cause = "drift" if worker.version != environment.version and good else "idle"
        if cause == "idle" and since + environment.idle_seconds > now:
            early.append(worker)
            continue
        if unneeded <= 0:
            keeping = keeping or _why_kept(environment, demand)
            orders.kept[worker.name] = keeping
            continue
        # Where nothing waits and nothing runs there is nothing to churn against: only the number per cycle counts.
        bounded = environment.name in demand.wanted or orders.budget <= 0
        # Once a bound is reached, it is reached for all that follow.
        bound = bound or (against_drain(cause, worker, facts, orders) if bounded else None)
        against = bound or facts.trust.of_host(worker.host)
        if against is not None:
            orders.kept[worker.name] = against
            continue
        unneeded -= 1
        orders.drain(worker, cause, _why_idle(cause, worker, environment, now - since))
    return early[: max(0, unneeded)]


def _why_idle(cause: str, worker: Worker, environment: Environment, seconds: float) -> Reason:
    if cause == "drift":
        sentence = f"it runs version {worker.version}, {environment.name} is now version {environment.version}, and it is idle"
        return Reason(cause, sentence, {"version": worker.version, "current_version": environment.version})
    idle = round(seconds)
    sentence = f"idle for {idle} s, {environment.name} allows {environment.idle_seconds} s, and no waiting job needs it"
    return Reason(cause, sentence, {"idle_seconds": idle, "allowed_seconds": environment.idle_seconds})


def _why_kept(environment: Environment, demand: Demand) -> Reason:
    if environment.name in demand.waiting:
        sentence = f"jobs wait that can run in {environment.name}: its idle workers are kept for them"
        return Reason("kept-for-demand", sentence, {}, "the batch system's negotiator places the jobs")
    if environment.name in demand.wanted and environment.spare_workers:
        sentence = f"{environment.name} keeps {environment.spare_workers} spare workers while there is demand"
        return Reason("kept-spare", sentence, {"spare_workers": environment.spare_workers})
    sentence = f"{environment.name} keeps at least {environment.minimum_workers} workers"
    return Reason("kept-minimum", sentence, {"minimum_workers": environment.minimum_workers})


def _version_is_good(environment: Environment, health: Health) -> bool:
    image = (environment.name, environment.version)
    streak = health.images.get(image)
    return image in health.proven and (streak is None or streak.opened_at is None)


def _replace_drifted(idle: list[Worker], environment: Environment, facts: Facts, orders: Orders) -> None:
    """Drain idle workers of an old version although jobs could use them: the new version is proven and is booted instead."""
    for worker in idle:
        if worker.version == environment.version:
            return
        if worker.name in orders.leaving or worker.name in facts.observation.unjournaled:
            continue
        if facts.trust.of_host(worker.host) is not None:
            continue
        if against_drain("drift", worker, facts, orders) is not None:
            return
        orders.kept.pop(worker.name, None)
        since = worker.since if worker.idle_since is None else worker.idle_since
        orders.drain(worker, "drift", _why_idle("drift", worker, environment, facts.now - since))
