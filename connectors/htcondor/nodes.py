"""From slots to nodes: what the scheduler is told of a worker. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scheduler.model.queues import Lingering, Node, RunningJob

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from connectors.htcondor.messages import EndedRun, Slot

_CLAIMED = frozenset({"Claimed", "Preempting", "Matched"})
_VACATE_SECONDS = 600
"""MachineMaxVacateTime where a slot does not tell it."""
_KILL_SECONDS = 30
"""KILLING_TIMEOUT: so long after that a job's processes are killed one by one."""
_EMPTY_CLAIM_SECONDS = 1200
"""CLAIM_WORKLIFE: so long a schedd keeps a claim at most for one job after the other."""
_MATCH_SECONDS = 120
"""MATCH_TIMEOUT."""


@dataclass(frozen=True, slots=True)
class Idleness:
    """Since when a worker has had nothing, as far as was seen, and how many jobs it had started by then."""

    since: float
    job_starts: int


def nodes_of(
    slots: Iterable[Slot], idleness: Mapping[str, Idleness], failures: Mapping[str, int], now: float
) -> tuple[tuple[Node, ...], dict[str, Idleness]]:
    """Return the nodes and what is to be remembered of idle ones for the next reading."""
    by_worker: defaultdict[str, list[Slot]] = defaultdict(list)
    for slot in slots:
        by_worker[slot.worker].append(slot)
    nodes, remembered = [], {}
    for worker, its in by_worker.items():
        whole = next((slot for slot in its if not slot.dynamic), None)
        if whole is None:  # its dynamic slots outlived the ad of the machine by a moment: nothing can start there
            continue
        idle = _idleness(whole, its, idleness.get(worker), now)
        if idle is not None:
            remembered[worker] = idle
        nodes.append(_node(whole, its, idle, failures.get(worker, 0)))
    return tuple(nodes), remembered


def _node(whole: Slot, its: list[Slot], idle: Idleness | None, quick_failures: int) -> Node:
    return Node(
        worker=whole.worker,
        cpus=whole.total_cpus,
        memory_mib=whole.total_memory_mib,
        free_cpus=max(0, whole.cpus),
        free_memory_mib=max(0, whole.memory_mib),
        jobs=tuple(_running(slot) for slot in its if slot.job and slot.state != "Preempting"),
        claimed=_claimed(whole, its),
        draining=any(slot.draining for slot in its),
        idle_since=idle.since if idle else None,
        registered_at=whole.started_at,
        quick_failures=quick_failures,
        used_disk_mib=sum(slot.disk_mib for slot in its if slot.dynamic),
        used_gpus=sum(slot.gpus for slot in its if slot.dynamic),
        lingering=_lingering(whole, its),
    )


def _lingering(whole: Slot, its: list[Slot]) -> tuple[Lingering, ...]:
    """Return the slots that are held without a job that runs by right; none while some slot has not been told of."""
    if sum(slot.dynamic for slot in its) < whole.dynamic_slots:
        return ()
    held = (slot for slot in its if slot.state == "Preempting" or (slot.state in _CLAIMED and not slot.job))
    return tuple(sorted((_lingers(slot) for slot in held), key=lambda one: one.slot))


def _lingers(slot: Slot) -> Lingering:
    """Say until when HTCondor itself ends the state of a slot; never where it is not known what the slot does."""
    vacate_seconds = _VACATE_SECONDS if slot.vacate_seconds is None else slot.vacate_seconds
    allowed = {
        "Preempting": vacate_seconds + _KILL_SECONDS,
        "Claimed": _EMPTY_CLAIM_SECONDS if slot.activity == "Idle" else None,
        "Matched": _MATCH_SECONDS,
    }[slot.state]
    since = slot.entered_at
    until = None if since is None or allowed is None else since + allowed
    return Lingering(slot.name.partition("@")[0], f"{slot.state}/{slot.activity}", since, until, slot.job)


def _claimed(whole: Slot, its: list[Slot]) -> bool:
    return whole.dynamic_slots > 0 or any(slot.state in _CLAIMED or slot.job for slot in its)


def _idleness(whole: Slot, its: list[Slot], before: Idleness | None, now: float) -> Idleness | None:
    """Return since when a worker is idle: from its start when it never ran a job, else since it was first seen so."""
    if _claimed(whole, its):
        return None
    if before is not None and before.job_starts == whole.job_starts:
        return before
    if whole.job_starts == 0 and whole.started_at is not None:
        return Idleness(whole.started_at, 0)
    return Idleness(now, whole.job_starts)


def _running(slot: Slot) -> RunningJob:
    begun, walltime = slot.job_started_at, slot.walltime_seconds
    return RunningJob(
        job=slot.job,
        vo=slot.vo,
        user=slot.user,
        since=begun,
        cpus=slot.cpus,
        memory_mib=slot.memory_mib,
        ends_by=begun + walltime if begun is not None and walltime is not None else None,
        suspended=slot.activity == "Suspended",
    )


def quick_failures(runs: Iterable[EndedRun], quick_seconds: float) -> dict[str, int]:
    """Return, by machine, how many runs have failed at once, one after the other, up to the latest."""
    by_machine: defaultdict[str, list[EndedRun]] = defaultdict(list)
    for run in runs:
        by_machine[run.machine].append(run)
    counts = {}
    for machine, its in by_machine.items():
        count = 0
        for run in sorted(its, key=lambda one: one.ended_at, reverse=True):
            if not run.failed or run.seconds > quick_seconds:
                break
            count += 1
        counts[machine] = count
    return counts
