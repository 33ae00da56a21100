"""Real workloads on a simulated farm: the jobs of a log in the Standard Workload Format, one VO for each value of a column."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from environments.environment import Share
from scheduler.model.policy import Limits
from simulations.farm import SimulatedFarm
from simulations.scenario import EnvironmentLines, HostLines, Scenario
from simulations.workload import WorkloadError, arrivals, read_swf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulations.workload import Arrival

MEMORY_PER_CORE_MIB = 1024
LAST_SECONDS = 30 * 86400.0
"""After the last arrival nothing is waited for longer than this."""


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a log, packed or not."""
    with gzip.open(path, "rt", encoding="latin-1") if path.suffix == ".gz" else path.open(encoding="latin-1") as file:
        yield from file


def farm_for(path: Path, directory: Path, *, column: str, jobs: int, hosts: int, cpus: int) -> SimulatedFarm:
    """Make a farm of equal hosts, an environment for each VO, and let the first `jobs` jobs of a log arrive there."""
    coming = _first(arrivals(read_swf(lines_of(path), path.name), column=column, largest_cpus=cpus), jobs)
    if not coming:
        raise WorkloadError(f"{path.name}: there is no job that ran")
    vos = sorted({arrival.request.vo for arrival in coming})
    largest = {vo: max(arrival.request.cpus for arrival in coming if arrival.request.vo == vo) for vo in vos}
    farm = SimulatedFarm(_scenario(largest, hosts, cpus), directory)
    for arrival in coming:
        farm.expect(arrival)
    return farm


def play(farm: SimulatedFarm, last_arrival: float) -> None:
    """Let time pass until all jobs are done and all workers gone."""
    farm.run(last_arrival)
    until = farm.clock.monotonic() + LAST_SECONDS
    while farm.clock.monotonic() < until and (_unfinished(farm) or any(host.domains for host in farm.plant.hosts.values())):
        farm.run(3600)


def last_arrival(farm: SimulatedFarm) -> float:
    """Return when the last job arrives, in seconds after the beginning."""
    return farm.agenda.last_at() or 0.0


def _unfinished(farm: SimulatedFarm) -> bool:
    return any(one.submitted > one.completed + one.removed for one in farm.queue.book.served.values())


def _first(coming: Iterator[Arrival], jobs: int) -> list[Arrival]:
    taken: list[Arrival] = []
    count = 0
    for arrival in coming:
        if count >= jobs:
            break
        taken.append(arrival)
        count += arrival.count
    return taken


def _scenario(largest: dict[str, int], hosts: int, cpus: int) -> Scenario:
    memory = cpus * MEMORY_PER_CORE_MIB * 5 // 4
    environments = {}
    for vo, most in largest.items():
        size = min(cpus, max(8, most))
        environments[f"{vo}-env"] = EnvironmentLines(
            vo=vo, vcpus=size, memory_mib=size * MEMORY_PER_CORE_MIB * 5 // 4, default=True, lifetime_seconds=30 * 86400
        )
    return Scenario(
        lasts=1,
        hosts={f"host{number}": HostLines(cpus=cpus, memory_mib=memory) for number in range(1, hosts + 1)},
        vos={vo: Share() for vo in largest},
        environments=environments,
        limits=Limits(poll_seconds=60),
    )
