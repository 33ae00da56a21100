"""One pass over the observation: workers grouped by environment, host and VO.

Everything after this works on groups: the cost of a decision grows with the workers once, not with workers times jobs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scheduler.model.workers import Worker, WorkerState

if TYPE_CHECKING:
    from environments.environment import Environment
    from scheduler.model.observation import Observation


@dataclass(slots=True)
class Fleet:
    """The workers of one environment that serve one batch system."""

    batch_system: str
    environment: str
    serving: list[Worker] = field(default_factory=list)
    in_flight: list[Worker] = field(default_factory=list)
    unseen: list[Worker] = field(default_factory=list)
    silent: list[Worker] = field(default_factory=list)
    leaving: list[Worker] = field(default_factory=list)
    """Draining or drained."""

    @property
    def alive(self) -> int:
        """How many workers hold, or may hold, room on a host."""
        return len(self.serving) + len(self.in_flight) + len(self.unseen) + len(self.silent) + len(self.leaving)


@dataclass(slots=True)
class Census:
    """The farm's workers, counted once."""

    fleets: dict[tuple[str, str], Fleet] = field(default_factory=dict)
    """By (batch system, environment)."""
    ended: list[Worker] = field(default_factory=list)
    """Failed or gone: to be cleaned up."""
    on_host: dict[str, list[Worker]] = field(default_factory=lambda: defaultdict(list))
    cpus_of_vo: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    memory_of_vo: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    alive_of: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Workers of each environment that are, or may be, alive, over all batch systems."""
    unseen_of: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Those of them on hosts that do not answer."""
    addresses: set[str] = field(default_factory=set)
    """Static addresses in use, also by workers that are not cleaned up yet."""

    @property
    def in_flight(self) -> int:
        """Boots under way over the whole farm."""
        return sum(len(fleet.in_flight) for fleet in self.fleets.values())


def take_census(observation: Observation) -> Census:
    """Group all workers in one pass."""
    census = Census()
    fleets, on_host, ended = census.fleets, census.on_host, census.ended
    cpus, memory = census.cpus_of_vo, census.memory_of_vo
    state_of = WorkerState
    idle, busy, requested, booting = state_of.IDLE, state_of.BUSY, state_of.REQUESTED, state_of.BOOTING
    failed, gone, unseen, silent = state_of.FAILED, state_of.GONE, state_of.UNSEEN, state_of.SILENT
    for worker in observation.workers:
        state = worker.state
        if worker.address is not None:
            census.addresses.add(worker.address)
        if state is failed or state is gone:
            ended.append(worker)
            if state is failed:  # its domain may run until it is powered off
                census.alive_of[worker.environment] += 1
                cpus[worker.vo] += worker.cpus
                memory[worker.vo] += worker.memory_mib
            continue
        key = (worker.batch_system, worker.environment)
        fleet = fleets.get(key)
        if fleet is None:
            fleet = fleets[key] = Fleet(*key)
        if state is busy or state is idle:
            fleet.serving.append(worker)
        elif state is booting or state is requested:
            fleet.in_flight.append(worker)
        elif state is unseen:
            fleet.unseen.append(worker)
        elif state is silent:
            fleet.silent.append(worker)
        else:
            fleet.leaving.append(worker)
        cpus[worker.vo] += worker.cpus
        memory[worker.vo] += worker.memory_mib
        on_host[worker.host].append(worker)
    for fleet in fleets.values():
        census.alive_of[fleet.environment] += fleet.alive
        census.unseen_of[fleet.environment] += len(fleet.unseen)
    return census


def ends_at(worker: Worker, environment: Environment) -> float:
    """Return when the worker's lifetime passes; it begins with the order to boot."""
    return worker.requested_at + environment.lifetime_seconds
