"""Usable supply: the free room that waiting jobs can really use, counted once.

Free room is put into bins, one per batch system and environment. Equal rooms are one entry with a count, so that taking
room for a thousand jobs costs as much as for one.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from scheduler.decide.census import ends_at
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from collections.abc import Collection

    from environments.environment import Environment
    from environments.requirements import Amounts
    from scheduler.decide.census import Fleet
    from scheduler.decide.demand import Demand, Want
    from scheduler.decide.facts import Facts
    from scheduler.decide.waiting import Waiting
    from scheduler.model.workers import Worker


class SupplyKind(IntEnum):
    """Where free room is; it is taken in this order."""

    RUNNING_PART = 0
    """Beside jobs in a running worker."""
    RUNNING_WHOLE = 1
    """A whole idle worker."""
    COMING_PART = 2
    """What is left of a worker in flight."""
    COMING_WHOLE = 3
    """A whole worker in flight."""
    DOUBTFUL = 4
    """A worker whose host does not answer: it may serve, so nothing is booted in its place for a while."""


_LEFT_OVER = (
    SupplyKind.RUNNING_PART,
    SupplyKind.RUNNING_PART,
    SupplyKind.COMING_PART,
    SupplyKind.COMING_PART,
    SupplyKind.DOUBTFUL,
)

_RUNNING = frozenset({SupplyKind.RUNNING_PART, SupplyKind.RUNNING_WHOLE})
_NOT_YET = frozenset(SupplyKind) - _RUNNING

Room = tuple[int, int, int, int, int, int]
"""Kind, free cores and MiB, how many of the bin's walltimes still fit before its lifetime passes, free disk in MiB, GPUs."""
Free = tuple[int, int, int, int]
"""Free cores, MiB of memory, MiB of disk, GPUs."""


@dataclass(slots=True)
class SupplyBins:
    """The free room of one environment for one batch system."""

    walltimes: tuple[int, ...] = ()
    """Walltimes that waiting jobs ask for, ascending."""
    rooms: dict[Room, int] = field(default_factory=dict)
    order: list[Room] = field(default_factory=list)
    """The rooms in the order in which they are taken: by kind, then the tightest first."""
    idle_taken: int = 0
    """Whole idle workers that waiting jobs are expected to use."""

    def put(self, kind: SupplyKind, free: Free, level: int, count: int = 1) -> None:
        """Add equal rooms."""
        cpus, memory_mib, disk_mib, gpus = free
        if cpus <= 0 or memory_mib <= 0:
            return
        room = (int(kind), cpus, memory_mib, level, disk_mib, gpus)
        if room in self.rooms:
            self.rooms[room] += count
        else:
            self.rooms[room] = count
            insort(self.order, room)

    def level(self, ends: float, waiting: Waiting) -> int:
        """Return how many of the walltimes asked for fit in before a lifetime ends; wait until that is one less."""
        level = bisect_right(self.walltimes, ends - waiting.now)
        if level:
            waiting.past(ends - self.walltimes[level - 1])
        return level

    def level_needed(self, walltime_seconds: int | None) -> int:
        """Return the level that jobs of this walltime need."""
        return 0 if walltime_seconds is None else bisect_right(self.walltimes, walltime_seconds)

    def count(self, kind: SupplyKind) -> int:
        """Return how many rooms of a kind are left."""
        return sum(self.rooms[room] for room in self.order if room[0] == kind)


Supply = dict[tuple[str, str], SupplyBins]


def build_supply(demand: Demand, facts: Facts, leaving: Collection[str]) -> Supply:
    """Put the free room of every fleet that some job could use into its bin.

    `leaving` are workers that this decision drains already.
    """
    asked: dict[tuple[str, str], set[int]] = {key: set() for key in facts.census.fleets if key[1] in demand.wanted}
    for want in demand.wants:
        for name in want.environments:
            of_bins = asked.setdefault((want.batch_system, name), set())
            walltime = want.of(name).walltime_seconds
            if walltime is not None:
                of_bins.add(walltime)
    supply: Supply = {}
    for key, walltimes in asked.items():
        bins = supply[key] = SupplyBins(tuple(sorted(walltimes)))
        fleet = facts.census.fleets.get(key)
        environment = facts.environments.get(key[1])
        if fleet is not None and environment is not None:
            _stock_serving(bins, fleet, environment, facts.waiting, leaving)
            _stock_others(bins, fleet, environment, facts)
    return supply


def _stock_serving(
    bins: SupplyBins, fleet: Fleet, environment: Environment, waiting: Waiting, leaving: Collection[str]
) -> None:
    timed, idle = bool(bins.walltimes), WorkerState.IDLE
    lifetime, disk_mib, gpus = environment.lifetime_seconds, environment.slot_disk_mib, environment.slot_gpus
    rooms: Counter[tuple[SupplyKind, Free, int]] = Counter()
    for worker in fleet.serving:
        if worker.free_cpus <= 0 or worker.name in leaving:
            continue
        ends = worker.requested_at + lifetime
        if ends < waiting.soonest and waiting.over(ends):
            continue
        level = bins.level(ends, waiting) if timed else 0
        whole = worker.state is idle and not worker.claimed
        kind = SupplyKind.RUNNING_WHOLE if whole else SupplyKind.RUNNING_PART
        rooms[kind, free_room(worker, disk_mib, gpus), level] += 1
    for room, count in rooms.items():
        bins.put(*room, count)


def _stock_others(bins: SupplyBins, fleet: Fleet, environment: Environment, facts: Facts) -> None:
    """Count boots in flight as whole workers, and for a while those of whom nothing is heard as they were."""
    every, patience = len(bins.walltimes), facts.limits.silence_seconds
    for worker in fleet.in_flight:
        bins.put(SupplyKind.COMING_WHOLE, full_room(worker, environment), every)
    doubtful = [*fleet.unseen, *(fleet.silent if fleet.batch_system in facts.suspected else ())]
    for worker in doubtful:
        if facts.waiting.past(worker.since + patience):
            continue
        empty = worker.state is WorkerState.SILENT and not (worker.jobs or worker.claimed)
        if worker.registered_at is None or empty:
            bins.put(SupplyKind.DOUBTFUL, full_room(worker, environment), every)
        else:
            level = bins.level(ends_at(worker, environment), facts.waiting)
            bins.put(SupplyKind.DOUBTFUL, free_room(worker, environment.slot_disk_mib, environment.slot_gpus), level)


def full_room(worker: Worker, environment: Environment) -> Free:
    """Return what a worker offers to jobs when it is empty."""
    disk_mib, gpus = environment.slot_disk_mib, environment.slot_gpus
    if worker.version == environment.version:
        return environment.vcpus, environment.slot_memory_mib, disk_mib, gpus
    return worker.cpus, min(environment.slot_memory_mib, worker.memory_mib), disk_mib, gpus


def free_room(worker: Worker, disk_mib: int, gpus: int) -> Free:
    """Return what a worker offers beside its jobs, when an empty one offers so much disk and so many GPUs.

    Disk by the definition, not as measured: else a worker with less than that would be booted again and again.
    """
    return worker.free_cpus, worker.free_memory_mib, disk_mib - worker.used_disk_mib, gpus - worker.used_gpus


def how_many(asked: Amounts, free: Free) -> int:
    """Return how many jobs of this size find room."""
    cpus, memory_mib, disk_mib, gpus = free
    jobs = min(cpus // asked.cpus, memory_mib // asked.memory_mib)
    if asked.disk_mib:
        jobs = min(jobs, disk_mib // asked.disk_mib)
    if asked.gpus:
        jobs = min(jobs, gpus // asked.gpus)
    return jobs


def less(free: Free, asked: Amounts, jobs: int) -> Free:
    """Return what so many jobs leave of a room."""
    cpus, memory_mib, disk_mib, gpus = free
    return (
        cpus - jobs * asked.cpus,
        memory_mib - jobs * asked.memory_mib,
        disk_mib - jobs * asked.disk_mib,
        gpus - jobs * asked.gpus,
    )


def take_room(want: Want, supply: Supply, *, only: frozenset[SupplyKind] | None = None) -> None:
    """Let a want take the room it can use, in its order of environments; what it takes is gone for the others.

    What runs in any of them comes before what only boots: else jobs would take, in the next decision, what boots for others.
    """
    rounds = (only,) if only is not None or len(want.environments) == 1 else (_RUNNING, _NOT_YET)
    for kinds in rounds:
        for name in want.environments:
            if want.missing == 0:
                return
            bins = supply.get((want.batch_system, name))
            if bins is not None:
                _take(want, want.of(name), bins, kinds)


def _take(want: Want, asked: Amounts, bins: SupplyBins, only: frozenset[SupplyKind] | None) -> None:
    needed = bins.level_needed(asked.walltime_seconds)
    for room in tuple(bins.order):
        kind, cpus, memory_mib, level, disk_mib, gpus = room
        if cpus < asked.cpus or memory_mib < asked.memory_mib or level < needed:
            continue
        if only is not None and kind not in only:
            continue
        free = (cpus, memory_mib, disk_mib, gpus)
        each = how_many(asked, free)
        if each <= 0:
            continue
        used = min(bins.rooms[room], -(-want.missing // each))
        jobs = min(want.missing, used * each)
        _remove(bins, room, used)
        _book(want, kind, jobs)
        if kind == SupplyKind.RUNNING_WHOLE:
            bins.idle_taken += used
        full, rest = divmod(jobs, each)
        left_over = _LEFT_OVER[kind]
        if full:
            bins.put(left_over, less(free, asked, each), level, full)
        if rest:
            bins.put(left_over, less(free, asked, rest), level)
        if want.missing == 0:
            return


def _remove(bins: SupplyBins, room: Room, count: int) -> None:
    bins.rooms[room] -= count
    if bins.rooms[room] == 0:
        del bins.rooms[room]
        bins.order.remove(room)


def _book(want: Want, kind: int, jobs: int) -> None:
    want.missing -= jobs
    if kind <= SupplyKind.RUNNING_WHOLE:
        want.free_slots += jobs
    elif kind <= SupplyKind.COMING_WHOLE:
        want.booting += jobs
    else:
        want.in_doubt += jobs
