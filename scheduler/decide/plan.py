"""The decision: from what is known of the farm to an ordered list of actions, each with its reason. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.reason import Reason
from scheduler.actions import Adopt, Plan
from scheduler.decide.boots import boot_for, open_yard
from scheduler.decide.demand import read_demand
from scheduler.decide.ending import end_workers
from scheduler.decide.facts import gather
from scheduler.decide.retirement import Orders, drain_idle, forced_drains
from scheduler.decide.returning import take_drains_back
from scheduler.decide.shares import open_ledger
from scheduler.decide.supply import build_shelves, take_room

if TYPE_CHECKING:
    from scheduler.model import Observation
    from scheduler.policy import Policy


def decide(observation: Observation, policy: Policy) -> Plan:
    """Decide what to do now; the same observation and policy always give the same plan."""
    facts = gather(observation, policy)
    orders = Orders(budget=facts.limits.drains_per_cycle)
    forced_drains(facts, orders)
    demand = read_demand(facts)
    shelves = build_shelves(demand, facts, orders.leaving)
    for want in demand.wants:
        take_room(want, shelves)
    ledger = open_ledger(facts)
    hold = facts.limits.reclaim and any(want.missing > 0 and ledger.of(want.vo).below_guarantee for want in demand.wants)
    take_drains_back(demand.wants, facts, orders, shelves, hold=hold)
    yard = open_yard(facts, ledger, shelves, hold=hold)
    boot_for(demand.wants, yard)
    drain_idle(facts, demand, shelves, orders)
    end_workers(facts, orders)
    adopts = [Adopt(w.name, w.host, _ADOPT) for w in observation.workers if w.name in observation.unjournaled]
    actions = (*adopts, *orders.cancelled.values(), *yard.boots, *orders.drains, *orders.ends)
    return Plan(observation.now, actions)


_ADOPT = Reason("adopt", "its domain carries our identity, and the journal does not know it")
