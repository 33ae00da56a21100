"""Retirement: which workers are drained whatever the demand, and the bounds on every drain.

Drain first, look again, then power off. Nothing is drained on the word of a source that did not answer, answered in part, or
answered too long ago.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from environments.reason import Reason, counted
from scheduler.decide.lingering import first_overdue_at, why_lingering
from scheduler.decide.trust import drained_host
from scheduler.model.actions import CancelDrain, CleanUp, Drain, PowerOff, Sweep
from scheduler.model.workers import Worker

if TYPE_CHECKING:
    from scheduler.decide.census import Fleet
    from scheduler.decide.facts import Facts

BY_CHOICE = frozenset({"idle", "surplus", "lifetime", "drift", "black-hole", "stuck"})
"""Causes bounded by `drain_percent`."""
_MANY_HOLES = 3
"""From so many black holes on, and half of an environment's workers, the jobs or the image are suspected."""


@dataclass(slots=True)
class Orders:
    """What retirement has ordered so far in this decision."""

    drains: list[Drain] = field(default_factory=list)
    ends: list[PowerOff | CleanUp | Sweep] = field(default_factory=list)
    cancelled: dict[str, CancelDrain] = field(default_factory=dict)
    """By worker."""
    leaving: dict[str, Worker] = field(default_factory=dict)
    """Workers of `drains`, by name."""
    budget: int = 0
    """Drains that may still be ordered."""
    chosen: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    """Drains by choice ordered here, by fleet."""
    going: dict[tuple[str, str], int] = field(default_factory=dict)
    """Drains by choice that were under way before, by fleet; counted when first asked for."""
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

    These are black holes, workers on drained hosts, of removed environments, those past their lifetime, and those with a slot
    that its batch system does not let go.
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


_FORCED = ("black-hole", "host-drain", "unwanted", "lifetime", "stuck")


def _forced(fleet: Fleet, facts: Facts, suspected: dict[str, Reason]) -> list[tuple[int, float, Worker]]:
    """Return (index into `_FORCED`, urgency, worker) of a fleet's serving workers that must go."""
    waiting, limit, drained = facts.waiting, facts.limits.black_hole_failures, facts.drained
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
        elif begun + lifetime < waiting.soonest and waiting.over(begun + lifetime):
            found.append((3, begun, worker))
        elif worker.lingering and waiting.over(first_overdue_at(worker, facts.limits)):
            found.append((4, begun, worker))
    if len(holes) >= _MANY_HOLES and 2 * len(holes) >= len(fleet.serving):
        suspected[fleet.environment] = Reason(
            "fails-everywhere",
            f"in {len(holes)} of {len(fleet.serving)} workers of {fleet.environment} jobs fail at once: "
            "the jobs or the image are suspected, and the workers are kept",
            {"workers": len(holes), "serving": len(fleet.serving)},
            "look at the log of one of the failed jobs",
        )
        return found
    return found + holes


def _why_forced(cause: str, worker: Worker, facts: Facts) -> Reason:
    environment = facts.environments.get(worker.environment)
    if cause == "black-hole":
        sentence = f"{counted(worker.quick_failures, 'job')} failed at once, one after the other"
        return Reason(
            cause, sentence, {"quick_failures": worker.quick_failures}, f"look at the worker before it ends: {worker.name}"
        )
    if cause == "stuck":
        return why_lingering(worker, facts)
    if cause == "host-drain":
        return drained_host(worker.host, facts.policy.hosts.get(worker.host))
    if cause == "unwanted" or environment is None:
        return Reason(
            "unwanted", f"no environment is called {worker.environment} any more", {"environment": worker.environment}
        )
    age = round(facts.now - worker.requested_at)
    sentence = f"it has lived for {age} s; its lifetime is {environment.lifetime_seconds} s"
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
    key = (worker.batch_system, worker.environment)
    fleet = facts.census.fleets[key]
    if key not in orders.going:
        orders.going[key] = sum(1 for other in fleet.leaving if other.drain_cause in BY_CHOICE)
    going = orders.going[key] + orders.chosen[key]
    allowed = max(1, (len(fleet.serving) + len(fleet.leaving)) * limits.drain_percent // 100)
    if going < allowed:
        return None
    return Reason(
        "drain-percent",
        f"it goes later: {counted(going, 'worker')} of {worker.environment} {'drains' if going == 1 else 'drain'}, "
        f"at most {allowed} may at a time",
        {"draining": going, "allowed": allowed, "drain_percent": limits.drain_percent},
    )
