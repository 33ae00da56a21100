"""The decision: from what is known of the farm to an ordered list of actions, each with its reason. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from environments.garbage import uncollected
from environments.reason import Reason
from scheduler.decide.boots import CapacityLeft, boot_for, count_what_is_left
from scheduler.decide.demand import Demand, Want, read_demand
from scheduler.decide.ending import end_workers
from scheduler.decide.facts import gather
from scheduler.decide.idleness import drain_idle
from scheduler.decide.reclaim import take_room_back
from scheduler.decide.retirement import Orders, forced_drains
from scheduler.decide.returning import take_drains_back
from scheduler.decide.shares import booked_shares
from scheduler.decide.standing import standing_wants
from scheduler.decide.supply import build_supply, take_room
from scheduler.decide.sweeping import sweep
from scheduler.decide.verdicts import (
    cluster_verdicts,
    environment_verdicts,
    host_verdicts,
    vo_verdicts,
    worker_verdicts,
)
from scheduler.model.actions import Adopt, Plan, Verdict
from scheduler.model.deciding import what_decides
from scheduler.model.hosts import HostReading
from scheduler.model.observation import Observation
from scheduler.model.queues import QueueReading
from scheduler.model.readings import Unanswered
from scheduler.model.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scheduler.model.policy import Policy


@dataclass(slots=True)
class Decision:
    """A decision with everything it was made from: what `explain` looks into."""

    demand: Demand
    left: CapacityLeft
    orders: Orders
    standing: list[Want]
    """Workers wanted for their own sake: minimum, spare, canary."""
    troubled: dict[str, Reason]
    """Environments that could not be judged or whose jobs fail everywhere."""


def deliberate(observation: Observation, policy: Policy) -> Decision:
    """Go through the parts of the decision in their order."""
    facts = gather(observation, policy)
    orders = Orders(budget=facts.limits.drains_per_cycle)
    troubled = forced_drains(facts, orders)
    demand = read_demand(facts)
    supply = build_supply(demand, facts, orders.leaving)
    for want in demand.wants:
        take_room(want, supply)
    shares = booked_shares(facts)
    hold = facts.limits.reclaim and any(want.missing and shares.of(want.vo).below_guarantee for want in demand.wants)
    take_drains_back(demand.wants, facts, orders, supply, hold=hold)
    left = count_what_is_left(facts, shares, supply, hold=hold)
    boot_for(demand.wants, left)
    standing, untold = standing_wants(demand, left, orders)
    take_drains_back(standing, facts, orders, supply, hold=hold)
    boot_for(standing, left)
    drain_idle(facts, demand, supply, orders)
    take_room_back(demand.wants, left, orders)
    end_workers(facts, orders)
    sweep(facts, orders)
    return Decision(demand, left, orders, standing, {**untold, **troubled})


@uncollected()
def decide(observation: Observation, policy: Policy) -> Plan:
    """Decide what to do now; the same observation and policy always give the same plan."""
    decision = deliberate(observation, policy)
    orders, left = decision.orders, decision.left
    adopts = [Adopt(w.name, w.host, _ADOPT) for w in observation.workers if w.name in observation.unjournaled]
    adopts.sort(key=_BY_MACHINE)
    all_told = all(left.facts.trust.of_demand(name) is None for name in observation.queues)
    workers = worker_verdicts(orders)
    workers.update((adopt.machine, Verdict(adopt.machine, (adopt.reason,))) for adopt in adopts)
    actions = (*adopts, *orders.cancelled.values(), *left.boots, *orders.drains, *sorted(orders.ends, key=_BY_MACHINE))
    return Plan(
        observation.now,
        actions,
        cluster_verdicts(decision.demand),
        workers,
        vo_verdicts(decision.demand.wants, left.shares, all_told=all_told),
        environment_verdicts(left, decision.standing, decision.troubled),
        host_verdicts(left),
        left.facts.waiting.until,  # last: the verdicts wait for instants too
    )


_BY_MACHINE = attrgetter("machine")
_ADOPT = Reason("adopt", "its domain carries our identity, and the journal does not know it")

_OF_OBSERVATION, _OF_WORKER, _OF_QUEUE, _OF_HOST = map(what_decides, (Observation, Worker, QueueReading, HostReading))


def still_holds(plan: Plan, before: Observation, after: Observation) -> bool:
    """Whether a plan without actions, made of `before`, is also the plan for `after`, without deciding again.

    Parts that are the same objects are not looked into, so keep and reuse what a source answers twice.
    """
    if plan.actions or after.now < before.now or (plan.quiet_until is not None and after.now >= plan.quiet_until):
        return False
    return (
        _OF_OBSERVATION(before) == _OF_OBSERVATION(after)
        and _same_readings(before.queues, after.queues, _OF_QUEUE)
        and _same_readings(before.hosts, after.hosts, _OF_HOST)
        and _same_workers(before.workers, after.workers)
    )


Reading = TypeVar("Reading", QueueReading, HostReading)


def _same_readings(
    before: Mapping[str, Reading | Unanswered],
    after: Mapping[str, Reading | Unanswered],
    deciding: Callable[[object], object],
) -> bool:
    if before.keys() != after.keys():
        return False
    for name, was in before.items():
        now = after[name]
        if was is now:
            continue
        if isinstance(was, Unanswered) or isinstance(now, Unanswered):
            if type(was) is not type(now):
                return False
        elif deciding(was) != deciding(now):
            return False
    return True


def _same_workers(before: tuple[Worker, ...], after: tuple[Worker, ...]) -> bool:
    if before is after:
        return True
    if len(before) != len(after):
        return False
    return all(was is now or _OF_WORKER(was) == _OF_WORKER(now) for was, now in zip(before, after, strict=True))
