"""Real workloads on a simulated farm: the jobs of a log in the Standard Workload Format, one VO for each value of a column."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

from environments.environment import Share
from environments.reader import opened_content
from scheduler.model.policy import Limits
from simulations.farm import SimulatedFarm
from simulations.scenario import EnvironmentLines, HostLines, Scenario
from simulations.workload import WorkloadError, arrivals, read_swf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulations.workload import SwfJob

MEMORY_PER_CORE_MIB = 1024
MOST_OF_A_LINE = 10_000
"""Bytes: a line of a log has some hundred."""
LAST_SECONDS = 30 * 86400.0
"""After the last arrival nothing is waited for longer than this."""


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a log, packed or not."""
    with opened_content(path) as content, gzip.open(content) if path.suffix == ".gz" else content as file:
        while line := file.readline(MOST_OF_A_LINE):
            yield line.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Altered:
    """How many jobs of a log are not replayed as they stand there."""

    never_ran: int
    cut_to_a_host: int
    """They ask for more cores than a host has."""
    cut_memory: int
    """They ask for more memory than there is for each of their cores."""

    def told(self, cpus: int) -> str:
        """Say it to people; "" where all are replayed as they stand."""
        parts = (
            (self.never_ran, "left out because they never ran"),
            (self.cut_to_a_host, f"cut to the {cpus} cores of a host"),
            (self.cut_memory, f"cut to {MEMORY_PER_CORE_MIB} MiB for each core"),
        )
        said = ", ".join(f"{count} {what}" for count, what in parts if count)
        return f"jobs of the log: {said}" if said else ""


def farm_for(path: Path, directory: Path, *, column: str, jobs: int, hosts: int, cpus: int) -> tuple[SimulatedFarm, Altered]:
    """Make a farm of equal hosts, an environment for each VO, and let the first `jobs` jobs of a log that ran arrive there."""
    taken = _first(read_swf(lines_of(path), path.name), jobs)
    coming = list(arrivals(taken, column=column, memory_mib=MEMORY_PER_CORE_MIB, largest_cpus=cpus))
    if not coming:
        raise WorkloadError(f"{path.name}: there is no job that ran")
    vos = sorted({arrival.request.vo for arrival in coming})
    largest = {vo: max(arrival.request.cpus for arrival in coming if arrival.request.vo == vo) for vo in vos}
    farm = SimulatedFarm(_scenario(largest, hosts, cpus), directory)
    for arrival in coming:
        farm.expect(arrival)
    ran = [job for job in taken if job.run]
    return farm, Altered(
        len(taken) - len(ran),
        sum((job.processors or 1) > cpus for job in ran),
        sum((job.memory_kib or 0) // 1024 > MEMORY_PER_CORE_MIB for job in ran),
    )


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


def _first(log: Iterator[SwfJob], jobs: int) -> list[SwfJob]:
    """Return the jobs of a log up to the last of so many that ran."""
    taken: list[SwfJob] = []
    ran = 0
    for job in log:
        taken.append(job)
        ran += bool(job.run)
        if ran == jobs:
            break
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
