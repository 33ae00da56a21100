"""Ending: what is drained, failed or silent for too long is powered off; what is gone is cleaned up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.reason import Reason
from scheduler.decide.lingering import stuck_at, why_lingering
from scheduler.decide.trust import removed_batch
from scheduler.model.actions import CleanUp, PowerOff
from scheduler.model.clock import clock_time
from scheduler.model.hosts import DomainState, HostReading
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from scheduler.decide.census import Fleet
    from scheduler.decide.facts import Facts
    from scheduler.decide.retirement import Orders
    from scheduler.decide.trust import Trust
    from scheduler.model.workers import Worker

LIFETIME_SECONDS = 172800
"""Lifetime of workers whose environment is no longer defined."""


def end_workers(facts: Facts, orders: Orders) -> None:
    """Power off what is drained, failed or silent for too long, and clean up what is gone."""
    cancelled = orders.cancelled
    trust, unjournaled = facts.trust, facts.observation.unjournaled
    for worker in facts.census.ended:
        if worker.name not in unjournaled:
            _end(worker, trust, orders)
    for fleet in facts.census.fleets.values():
        _end_stuck(fleet, facts, orders)
        for worker in fleet.leaving:
            if worker.state is not WorkerState.DRAINED or worker.name in cancelled or worker.name in unjournaled:
                continue
            against = trust.of(worker)
            if against is None:
                cause = worker.drain_cause or "drained"
                reason = Reason("drained", f"it is drained ({cause}) and holds no job", {"cause": cause})
                orders.ends.append(PowerOff(worker.name, worker.host, reason))
            else:
                orders.kept[worker.name] = against
        if fleet.silent:
            _end_silent(fleet, facts.suspected.get(fleet.batch_system), trust, orders)
        if trust.removed(fleet.batch_system):
            for worker in (*fleet.serving, *fleet.in_flight, *fleet.silent, *fleet.leaving):
                _end_removed(worker, facts, orders)
    for worker in facts.census.ended:
        if trust.removed(worker.batch_system) and worker.name in orders.kept:
            _end_removed(worker, facts, orders)


def _end_stuck(fleet: Fleet, facts: Facts, orders: Orders) -> None:
    """Power draining workers off in which nothing is left but slots that their batch system does not let go."""
    for worker in (*fleet.serving, *fleet.leaving):
        if not worker.lingering or worker.jobs or worker.name in facts.observation.unjournaled:
            continue
        if worker.name in orders.leaving or worker.name in orders.cancelled:
            continue
        against, reason = facts.trust.of(worker), why_lingering(worker, facts)
        stuck = worker.state is WorkerState.DRAINING and facts.waiting.over(stuck_at(worker, facts.limits))
        if stuck and against is None:
            orders.ends.append(PowerOff(worker.name, worker.host, reason))
        else:
            orders.kept.setdefault(worker.name, against if stuck and against else reason)


def _end_removed(worker: Worker, facts: Facts, orders: Orders) -> None:
    """Power a worker off that cannot be drained, but only once no job can be left in it.

    After one lifetime it takes no more jobs; one without a walltime that began just then is given another.
    """
    if worker.name in facts.observation.unjournaled or facts.trust.of_host(worker.host) is not None:
        return
    removed, environment = removed_batch(worker.batch_system), facts.environments.get(worker.environment)
    until = worker.requested_at + 2 * (environment.lifetime_seconds if environment else LIFETIME_SECONDS)
    if not facts.waiting.over(until):
        end = clock_time(until, facts.now, facts.policy.zone)
        sentence = f"{removed.sentence}; it serves on and is powered off at {end}, when no job can be left in it"
        orders.kept[worker.name] = Reason(removed.code, sentence, {**removed.numbers, "until": until}, removed.remedy)
        return
    sentence = f"{removed.sentence}; it has lived for two lifetimes, so no job is left in it"
    orders.ends.append(PowerOff(worker.name, worker.host, Reason(removed.code, sentence, removed.numbers, removed.remedy)))
    orders.kept.pop(worker.name, None)


def _end(worker: Worker, trust: Trust, orders: Orders) -> None:
    """End a failed or gone worker: power its domain off if it runs, else clean up."""
    against = trust.of_host(worker.host)
    if against is not None:
        orders.kept[worker.name] = against
        return
    if worker.state is WorkerState.GONE:
        reason = Reason("gone", "its domain is gone")
        orders.ends.append(CleanUp(worker.name, worker.host, reason))
        return
    state = _domain_state(worker, trust)
    if state is None or not state.alive:
        left = "left no domain" if state is None else f"left a domain that is {state.value}"
        reason = Reason("boot-failed", f"its boot failed and {left}")
        orders.ends.append(CleanUp(worker.name, worker.host, reason))
        return
    # It may have registered with a batch system that does not answer just now.
    against = trust.of_batch(worker.batch_system)
    if against is not None:
        orders.kept[worker.name] = against
        return
    age = round(trust.waiting.now - worker.requested_at)
    reason = Reason("boot-failed", f"it did not register within {age} s", {"age_seconds": age})
    orders.ends.append(PowerOff(worker.name, worker.host, reason))


def _domain_state(worker: Worker, trust: Trust) -> DomainState | None:
    reading = trust.observation.hosts.get(worker.host)
    if not isinstance(reading, HostReading):
        return None
    ours = (domain for domain in reading.domains if domain.of_site(trust.policy.site))
    return next((domain.state for domain in ours if domain.name == worker.name), None)


def _end_silent(fleet: Fleet, brake: Reason | None, trust: Trust, orders: Orders) -> None:
    patience = trust.policy.limits.silence_seconds
    if brake is not None:
        patience *= 4
    for worker in fleet.silent:
        if not trust.waiting.over(worker.since + patience) or worker.name in trust.observation.unjournaled:
            if brake is not None:
                orders.kept[worker.name] = brake
            continue
        against = trust.of(worker)
        if against is None:
            silent = round(trust.waiting.now - worker.since)
            sentence = f"its batch system has not seen it for {silent} s; {patience} s are allowed"
            reason = Reason("silent", sentence, {"silent_seconds": silent, "patience_seconds": patience})
            orders.ends.append(PowerOff(worker.name, worker.host, reason))
        else:
            orders.kept[worker.name] = against
