"""Quiet time: until when a decision stands if nothing but time passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.decide.ending import removed_until
from scheduler.decide.lingering import overdue_at
from scheduler.model.hosts import HostReading
from scheduler.model.queues import QueueReading
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from environments.environment import Environment
    from scheduler.decide.census import Fleet
    from scheduler.decide.facts import Facts
    from scheduler.decide.supply import Supply


def next_change(facts: Facts, supply: Supply) -> float | None:
    """Return the earliest instant after now at which time alone may change the decision, or None if it never does."""
    now = facts.now
    soonest = min((instant for instant in _instants(facts) if instant > now), default=float("inf"))
    for key, fleet in facts.census.fleets.items():
        environment = facts.environments.get(fleet.environment)
        if environment is None:
            continue
        bins = supply.get(key)
        soonest = _of_serving(fleet, environment, facts, bins.walltimes if bins else (), soonest)
        for worker in fleet.in_flight:
            deadline = worker.requested_at + environment.boot_seconds
            if now < deadline < soonest:
                soonest = deadline
    return None if soonest == float("inf") else soonest


def _instants(facts: Facts) -> Iterator[float]:
    """Yield when readings grow stale, breakers let a probe through, patience with the silent ends, history is forgotten."""
    observation, limits = facts.observation, facts.limits
    for reading in observation.queues.values():
        if isinstance(reading, QueueReading):
            yield reading.at + limits.stale_seconds
    for answer in observation.hosts.values():
        if isinstance(answer, HostReading):
            yield answer.at + limits.stale_seconds
    for fleet in facts.census.fleets.values():
        for worker in (*fleet.unseen, *fleet.silent):
            yield worker.since + limits.silence_seconds
            yield worker.since + 4 * limits.silence_seconds
        for worker in (*fleet.serving, *fleet.leaving):
            for one in worker.lingering:
                yield overdue_at(one, limits)
        if facts.trust.removed(fleet.batch_system):
            for worker in (*fleet.serving, *fleet.in_flight, *fleet.silent, *fleet.leaving):
                yield removed_until(worker, facts)
    if observation.adopting_until is not None:
        yield observation.adopting_until
    yield from facts.health.open_times(facts.now)
    yield from (boot.at + limits.history_seconds for boot in observation.boots if not boot.registered)


def _of_serving(fleet: Fleet, environment: Environment, facts: Facts, walltimes: tuple[int, ...], soonest: float) -> float:
    """Return the earliest of `soonest` and the instants at which a serving worker is idle or old for too long."""
    now, idle = facts.now, WorkerState.IDLE
    lifetime, allowed, minimum_life = environment.lifetime_seconds, environment.idle_seconds, facts.limits.minimum_life_seconds
    version = environment.version
    for worker in fleet.serving:
        registered = worker.registered_at
        ends = worker.requested_at + lifetime
        if now < ends < soonest:
            soonest = ends
        if worker.state is idle:
            since = worker.since if worker.idle_since is None else worker.idle_since
            expires = since if worker.version != version else since + allowed
            if registered is not None and registered + minimum_life > expires:
                expires = registered + minimum_life
            if now < expires < soonest:
                soonest = expires
        if walltimes and worker.free_cpus > 0:
            for walltime in walltimes:
                if now < ends - walltime < soonest:
                    soonest = ends - walltime
    return soonest
