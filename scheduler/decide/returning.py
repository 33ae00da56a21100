"""Returning demand: drains are taken back before anything new is booted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.reason import Reason
from scheduler.actions import CancelDrain
from scheduler.decide.census import ends_at
from scheduler.decide.supply import Kind, full_room
from scheduler.model import WorkerState

if TYPE_CHECKING:
    from environments.environment import Environment
    from scheduler.decide.census import Census
    from scheduler.decide.demand import Want
    from scheduler.decide.retirement import Orders
    from scheduler.decide.supply import Shelves
    from scheduler.decide.trust import Trust
    from scheduler.model import Worker

CANCELLABLE = frozenset({"idle", "surplus", "reclaim"})
"""Causes of a drain that end when demand returns; the others stand."""


def take_drains_back(
    wants: list[Want], census: Census, drained: frozenset[str], orders: Orders, shelves: Shelves, trust: Trust, *, hold: bool
) -> None:
    """Cancel as many drains as the wants can use, before anything is booted for them.

    `hold`: some VO is below its guarantee and waits, so drains that take lent cores back stand.
    """
    cancelled = {cancel.worker for cancel in orders.cancels}
    causes = CANCELLABLE - {"reclaim"} if hold else CANCELLABLE
    for want in wants:
        for name in want.environments:
            fleet = census.fleets.get((want.batch_system, name))
            if want.missing == 0 or fleet is None or not fleet.leaving:
                continue
            environment = trust.policy.catalogue.environments[name]
            take = [
                worker
                for worker in fleet.leaving
                if worker.drain_cause in causes
                and worker.name not in cancelled
                and worker.version == environment.version
                and worker.host not in drained
            ]
            take.sort(key=lambda worker: (-worker.requested_at, worker.name))
            _cancel_for(want, take, environment, cancelled, orders, shelves, trust.observation.now)


def _cancel_for(
    want: Want,
    candidates: list[Worker],
    environment: Environment,
    cancelled: set[str],
    orders: Orders,
    shelves: Shelves,
    now: float,
) -> None:
    shelf = shelves.get((want.batch_system, environment.name))
    for worker in candidates:
        if want.missing == 0:
            return
        empty = worker.state is WorkerState.DRAINED or not (worker.jobs or worker.claimed)
        cpus, memory = full_room(worker, environment) if empty else (worker.free_cpus, worker.free_memory_mib)
        left = ends_at(worker, environment) - now
        each = min(cpus // want.cpus, memory // want.memory_mib)
        if each <= 0 or left <= max(0, (want.walltime_seconds or 0) - environment.boot_seconds):
            continue
        jobs = min(each, want.missing)
        waiting = want.missing
        want.missing -= jobs
        want.cancelled += jobs
        cancelled.add(worker.name)
        sentence = (
            f"demand returned while it drained ({worker.drain_cause}): {waiting} jobs of {want.key} wait, it takes {each}"
        )
        reason = Reason("demand-returned", sentence, {"missing_jobs": waiting, "jobs_per_worker": each})
        orders.cancels.append(CancelDrain(worker.name, reason))
        if shelf is not None:
            level = shelf.level(left + environment.boot_seconds)
            shelf.put(Kind.RUNNING_PART, cpus - jobs * want.cpus, memory - jobs * want.memory_mib, level)
