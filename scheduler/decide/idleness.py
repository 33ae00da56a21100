"""Idleness: idle workers that nobody needs are drained, and those of an old version are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.reason import Reason, counted
from scheduler.decide.retirement import against_drain
from scheduler.decide.supply import SupplyKind
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from environments.environment import Environment
    from scheduler.decide.census import Fleet
    from scheduler.decide.demand import Demand
    from scheduler.decide.facts import Facts
    from scheduler.decide.health import Health
    from scheduler.decide.retirement import Orders
    from scheduler.decide.supply import Supply, SupplyBins
    from scheduler.model.workers import Worker


def drain_idle(facts: Facts, demand: Demand, supply: Supply, orders: Orders) -> None:
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
        unneeded = len(idle) - _needed(environment, supply.get(key), demand)
        unneeded = min(unneeded, remaining[fleet.environment] - environment.minimum_workers)
        orders.surplus[key] = _drain_unneeded(idle, unneeded, environment, facts, demand, orders=orders)
        if idle[0].version != environment.version and _version_is_good(environment, facts.health):
            _replace_drifted(idle, environment, facts, orders)


def _idle_of(fleet: Fleet, environment: Environment, facts: Facts, orders: Orders) -> tuple[list[Worker], list[Worker]]:
    """Return a fleet's idle workers, the first to go first: those that jobs could use, and those without any room.

    Those past their lifetime are neither: they go for that.
    """
    state, leaving, waiting, lifetime = WorkerState.IDLE, orders.leaving, facts.waiting, environment.lifetime_seconds
    idle = [
        worker
        for worker in fleet.serving
        if worker.state is state
        and not worker.claimed
        and worker.name not in leaving
        and not ((ends := worker.requested_at + lifetime) < waiting.soonest and waiting.over(ends))
    ]
    idle.sort(key=lambda w: (w.version == environment.version, w.requested_at, w.name))
    roomless = [worker for worker in idle if worker.free_cpus <= 0]
    return ([worker for worker in idle if worker.free_cpus > 0] if roomless else idle), roomless


def _needed(environment: Environment, bins: SupplyBins | None, demand: Demand) -> int:
    """Return how many idle workers are needed: by waiting jobs, and as spares that are not coming anyway."""
    if bins is None:
        return 0
    spare = environment.spare_workers if environment.name in demand.wanted else 0
    return bins.idle_taken + max(0, spare - bins.count(SupplyKind.COMING_WHOLE))


def _drain_unneeded(
    idle: list[Worker], unneeded: int, environment: Environment, facts: Facts, demand: Demand, *, orders: Orders
) -> list[Worker]:
    """Drain at most `unneeded` of a fleet's idle workers; return those that could go early, the first to go first."""
    over, limits = facts.waiting.over, facts.limits
    good = _version_is_good(environment, facts.health)
    early: list[Worker] = []
    keeping: Reason | None = None
    bound: Reason | None = None
    for worker in idle:
        settled = worker.registered_at is None or over(worker.registered_at + limits.minimum_life_seconds)
        if not settled or worker.name in facts.observation.unjournaled:
            continue
        since = worker.since if worker.idle_since is None else worker.idle_since
        cause = "drift" if worker.version != environment.version and good else "idle"
        if cause == "idle" and not over(since + environment.idle_seconds):
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
        orders.drain(worker, cause, _why_idle(cause, worker, environment, facts.now - since))
    return early[: max(0, unneeded)]


def _why_idle(cause: str, worker: Worker, environment: Environment, seconds: float) -> Reason:
    if cause == "drift":
        sentence = f"it is idle and runs version {worker.version}; {environment.name} is now version {environment.version}"
        return Reason(cause, sentence, {"version": worker.version, "current_version": environment.version})
    idle = round(seconds)
    sentence = f"idle for {idle} s, {environment.name} allows {environment.idle_seconds} s, and no waiting job needs it"
    return Reason(cause, sentence, {"idle_seconds": idle, "allowed_seconds": environment.idle_seconds})


def _why_kept(environment: Environment, demand: Demand) -> Reason:
    if environment.name in demand.waiting:
        sentence = f"jobs wait that can run in {environment.name}: its idle workers are kept for them"
        return Reason("kept-for-demand", sentence, {}, "the batch system's negotiator places the jobs")
    if environment.name in demand.wanted and environment.spare_workers:
        sentence = f"{environment.name} keeps {counted(environment.spare_workers, 'spare worker')} while there is demand"
        return Reason("kept-spare", sentence, {"spare_workers": environment.spare_workers})
    sentence = f"{environment.name} keeps at least {counted(environment.minimum_workers, 'worker')}"
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
