"""Lingering: what holds a worker although no job of it runs by right, and when that has gone on for too long."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from environments.reason import Number, Reason
from scheduler.model.clock import clock_time

if TYPE_CHECKING:
    from scheduler.decide.facts import Facts
    from scheduler.model.policy import Limits, Policy
    from scheduler.model.queues import Lingering, Node
    from scheduler.model.workers import Worker


def overdue_at(one: Lingering, limits: Limits) -> float:
    """Return from when on a slot that lingers is reason enough to give its worker up."""
    return math.inf if one.until is None else one.until + limits.linger_seconds


def stuck_at(worker: Worker | Node, limits: Limits) -> float:
    """Return from when on nothing is left in a worker but slots that should have been let go long since."""
    return math.inf if worker.jobs else max((overdue_at(one, limits) for one in worker.lingering), default=math.inf)


def first_overdue_at(worker: Worker, limits: Limits) -> float:
    """Return from when on a slot of a worker should have been let go long since, whatever else runs in it."""
    return min((overdue_at(one, limits) for one in worker.lingering), default=math.inf)


def why_lingering(worker: Worker, facts: Facts) -> Reason:
    """Say what lingers in a worker, and when that is reason enough to take it back; code `stuck` once it is."""
    now, policy, limits = facts.now, facts.policy, facts.limits
    one = min(worker.lingering, key=lambda slot: (overdue_at(slot, limits), slot.slot))
    numbers: dict[str, Number] = {"slot": one.slot, "state": one.state}
    numbers |= {"job": one.job} if one.job else {}
    numbers |= {} if one.since is None else {"lingering_seconds": round(now - one.since)}
    if one.until is None:
        return Reason("lingering", what_lingers(one, now, policy), numbers)
    end = clock_time(one.until, now, policy.zone)
    if not facts.waiting.over(overdue_at(one, limits)):
        late = clock_time(overdue_at(one, limits), now, policy.zone)
        sentence = f"{what_lingers(one, now, policy)}; its batch system ends that by {end}, else the worker goes at {late}"
        return Reason("lingering", sentence, numbers)
    numbers["linger_seconds"] = limits.linger_seconds
    sentence = f"{what_lingers(one, now, policy)}; its batch system should have ended that by {end}"
    return Reason("stuck", sentence, numbers, f"look at the worker's start daemon before it ends: {worker.name}")


def what_lingers(one: Lingering, now: float, policy: Policy) -> str:
    """Say what is left in a slot."""
    left = f"job {one.job} no longer runs, but holds" if one.job else "a claim without a job holds"
    since = "" if one.since is None else f" since {clock_time(one.since, now, policy.zone)}"
    return f"{left} {one.slot} ({one.state}){since}"
