"""The decision: from what is known of the farm to an ordered list of actions, each with its reason. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.reason import Reason
from scheduler.actions import Adopt, Plan
from scheduler.decide.boots import boot_for, open_yard
from scheduler.decide.census import take_census
from scheduler.decide.demand import read_demand
from scheduler.decide.ending import end_workers
from scheduler.decide.health import judge
from scheduler.decide.placement import lonely, survey
from scheduler.decide.retirement import Orders, drain_idle, forced_drains
from scheduler.decide.returning import take_drains_back
from scheduler.decide.shares import open_ledger
from scheduler.decide.supply import build_shelves, take_room
from scheduler.decide.trust import Trust, draining_hosts
from scheduler.model import HostReading

if TYPE_CHECKING:
    from scheduler.model import Observation
    from scheduler.policy import Policy


def decide(observation: Observation, policy: Policy) -> Plan:
    """Decide what to do now; the same observation and policy always give the same plan."""
    now, limits = observation.now, policy.limits
    environments = policy.catalogue.environments
    trust = Trust(observation, policy)
    census = take_census(observation)
    drained = draining_hosts(observation, policy)
    orders = Orders(budget=limits.drains_per_cycle)
    orders.adopts = [Adopt(w.name, w.host, _ADOPT) for w in observation.workers if w.name in observation.unjournaled]
    forced_drains(census, trust, drained, orders)

    demand = read_demand(observation, policy)
    shelves = build_shelves(demand.wants, census.fleets, environments, orders.leaving, now, limits.silence_seconds)
    for want in demand.wants:
        take_room(want, shelves)

    readings = [r for name, r in sorted(observation.hosts.items()) if name in policy.hosts and isinstance(r, HostReading)]
    ledger = open_ledger(census, policy.catalogue.vos, readings, {h.name: h.cpu_overcommit for h in policy.hosts.values()})
    hold = limits.reclaim and any(want.missing > 0 and ledger.of(want.vo).below_guarantee for want in demand.wants)
    take_drains_back(demand.wants, census, drained, orders, shelves, trust, hold=hold)
    health = judge(observation, limits, lambda name: name in environments and lonely(environments[name], observation, policy))
    grounds = survey(observation, policy, census, health, hold=hold)
    yard = open_yard(observation, policy, census, health, grounds, ledger, shelves)
    boot_for(demand.wants, yard)
    drain_idle(census, demand, shelves, health, trust, orders)
    end_workers(census, trust, orders)
    actions = (*orders.adopts, *orders.cancels, *yard.boots, *orders.drains, *orders.ends)
    return Plan(now, actions)


_ADOPT = Reason("adopt", "its domain carries our identity, and the journal does not know it")
