"""Returning demand: drains are taken back before anything new is booted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.reason import Reason, counted
from scheduler.decide.census import ends_at
from scheduler.decide.supply import SupplyBins, SupplyKind, free_room, full_room, how_many, less, take_room
from scheduler.model.actions import CancelDrain
from scheduler.model.queues import QueueReading
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from environments.environment import Environment
    from scheduler.decide.demand import Want
    from scheduler.decide.facts import Facts
    from scheduler.decide.retirement import Orders
    from scheduler.decide.supply import Supply
    from scheduler.decide.waiting import Waiting
    from scheduler.model.workers import Worker

CANCELLABLE = frozenset({"idle", "surplus", "reclaim", "host-drain", "unwanted"})
"""Causes of a drain that end when demand returns, for a host or an environment when that is back too; the others stand."""
_CANCELLED = frozenset({SupplyKind.RUNNING_PART})
"""Where the room beside the jobs of a cancelled drain stands."""


def take_drains_back(wants: list[Want], facts: Facts, orders: Orders, supply: Supply, *, hold: bool) -> None:
    """Cancel as many drains as the wants can use, before anything is booted for them.

    `hold`: some VO is below its guarantee and waits, so drains that take lent cores back stand.
    """
    causes = CANCELLABLE - {"reclaim"} if hold else CANCELLABLE
    known: dict[str, frozenset[str]] = {}
    for want in wants:
        for name in want.environments:
            fleet = facts.census.fleets.get((want.batch_system, name))
            if want.missing == 0 or fleet is None or not fleet.leaving:
                continue
            environment = facts.environments[name]
            bins = supply.setdefault((want.batch_system, name), SupplyBins())
            take_room(want, {(want.batch_system, name): bins}, only=_CANCELLED)
            for worker in sorted(fleet.leaving, key=lambda worker: (-worker.requested_at, worker.name)):
                fitting = worker.drain_cause in causes and worker.version == environment.version
                if not (want.missing and fitting) or worker.host in facts.drained or worker.name in orders.cancelled:
                    continue
                if worker.name in _registered(want.batch_system, facts, known):
                    _cancel_for(want, worker, environment, bins, facts.waiting, orders=orders)


def _registered(batch_system: str, facts: Facts, known: dict[str, frozenset[str]]) -> frozenset[str]:
    """Return the workers that a batch system shows: the drain of one that has left it cannot be taken back."""
    if batch_system not in known:
        reading = facts.observation.queues.get(batch_system)
        known[batch_system] = reading.registered if isinstance(reading, QueueReading) else frozenset()
    return known[batch_system]


def _cancel_for(
    want: Want, worker: Worker, environment: Environment, bins: SupplyBins, waiting: Waiting, *, orders: Orders
) -> None:
    """Take one drain back if the want's jobs fit in the worker."""
    empty = worker.state is WorkerState.DRAINED or not (worker.jobs or worker.claimed)
    beside_jobs = free_room(worker, environment.slot_disk_mib, environment.slot_gpus)
    free, asked = full_room(worker, environment) if empty else beside_jobs, want.of(environment.name)
    ends, asks_for = ends_at(worker, environment), asked.walltime_seconds or 0
    each = how_many(asked, free)
    if each <= 0 or waiting.over(ends - asks_for):
        return
    without = f"{counted(want.missing, 'job')} of {want.key} without room"
    sentence = f"demand returned while it drained ({worker.drain_cause}): {without}; it takes {each}"
    reason = Reason("demand-returned", sentence, {"missing_jobs": want.missing, "jobs_per_worker": each})
    orders.cancelled[worker.name] = CancelDrain(worker.name, reason)
    jobs = min(each, want.missing)
    want.missing -= jobs
    want.cancelled += jobs
    bins.put(SupplyKind.RUNNING_PART, less(free, asked, jobs), bins.level(ends, waiting))
