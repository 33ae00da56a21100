"""Workers that an environment wants for its own sake: its minimum, its spares, the canary of a new version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.reason import Reason
from environments.requirements import Amounts
from scheduler.decide.demand import Want
from scheduler.decide.supply import SupplyKind

if TYPE_CHECKING:
    from environments.environment import Environment
    from scheduler.decide.boots import CapacityLeft
    from scheduler.decide.demand import Demand
    from scheduler.decide.retirement import Orders


def standing_wants(demand: Demand, left: CapacityLeft, orders: Orders) -> tuple[list[Want], dict[str, Reason]]:
    """Return what is wanted after the demand is served, and for environments that cannot be judged now the reason."""
    wants: list[Want] = []
    untold: dict[str, Reason] = {}
    for name in sorted(left.facts.environments):
        environment = left.facts.environments[name]
        lacking = _lacking(environment, demand, left, orders)
        if not lacking:
            continue
        batch_system, against = _batch_system_for(environment, left)
        if against is not None:
            untold[name] = against
            continue
        for purpose, count in lacking:
            wants.append(_want(environment, batch_system, purpose, count))
    return wants, untold


def _lacking(environment: Environment, demand: Demand, left: CapacityLeft, orders: Orders) -> list[tuple[str, int]]:
    """Return (purpose, workers) that an environment lacks."""
    name = environment.name
    wanted = name in demand.wanted
    if not (environment.minimum_workers or wanted):
        return []
    here = left.ordered[name]
    fleets = [fleet for fleet in left.facts.census.fleets.values() if fleet.environment == name]
    proven = (name, environment.version) in left.facts.health.proven
    canary = not proven and any(worker.version != environment.version for fleet in fleets for worker in fleet.serving)
    found: list[tuple[str, int]] = []
    if environment.minimum_workers:
        present = here + sum(len(fleet.serving) + len(fleet.in_flight) for fleet in fleets)
        past, patience = left.facts.waiting.past, left.facts.limits.silence_seconds
        present += sum(1 for fleet in fleets for worker in fleet.unseen if not past(worker.since + patience))
        present += sum(1 for fleet in fleets for worker in fleet.leaving if worker.name in orders.cancelled)
        present -= sum(1 for worker in orders.leaving.values() if worker.environment == name)
        found.append(("minimum", environment.minimum_workers - present))
    if wanted and environment.spare_workers:
        supply = [bins for key, bins in left.supply.items() if key[1] == name]
        whole = sum(bins.count(SupplyKind.RUNNING_WHOLE) + bins.count(SupplyKind.COMING_WHOLE) for bins in supply)
        found.append(("spare", environment.spare_workers - whole - max(0, found[0][1] if found else 0)))
    if canary:
        found.append(("canary", 1))
    return [(purpose, count) for purpose, count in found if count > 0]


def _batch_system_for(environment: Environment, left: CapacityLeft) -> tuple[str, Reason | None]:
    """Return the batch system that such a worker joins: one that answered, rather one where the environment serves already."""
    trust, fleets = left.facts.trust, left.facts.census.fleets
    names = sorted(left.facts.observation.queues, key=lambda name: ((name, environment.name) not in fleets, name))
    against: Reason | None = Reason("batch-unread", "no batch system is configured")
    for name in names:
        reason = trust.of_batch(name)
        if reason is None:
            return name, None
        against = reason
    return "", against


def _want(environment: Environment, batch_system: str, purpose: str, count: int) -> Want:
    return Want(
        key=f"{purpose}:{environment.name}",
        batch_system=batch_system,
        vo=environment.vo,
        asked=Amounts(environment.vcpus, environment.slot_memory_mib),
        environments=(environment.name,),
        missing=count,
        purpose=purpose,
    )
