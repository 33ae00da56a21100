"""Demand: what each request cluster asks for, and in which environments it may run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from environments.matching import Catalogue, Match, match
from environments.reason import Reason
from environments.requirements import Amounts
from scheduler.model.queues import QueueReading

if TYPE_CHECKING:
    from environments.environment import Environment
    from scheduler.decide.facts import Facts
    from scheduler.model.queues import RequestCluster


@dataclass(slots=True)
class Want:
    """Equal jobs that look for room, or workers wanted for their own sake (a minimum, a spare, a canary)."""

    key: str
    batch_system: str
    vo: str
    asked: Amounts
    """What one job takes, where it does not depend on the worker."""
    environments: tuple[str, ...]
    """Where they may run, best first."""
    missing: int
    """Jobs for which no room has been found yet."""
    purpose: str = "demand"
    """demand, minimum, spare or canary."""
    free_slots: int = 0
    """Jobs that fit in running workers: they wait only for the negotiator."""
    booting: int = 0
    """Jobs that fit in workers in flight."""
    in_doubt: int = 0
    """Jobs that may fit in workers of hosts that do not answer."""
    cancelled: int = 0
    """Jobs for which a drain is taken back."""
    ordered: int = 0
    """Jobs for which this decision boots workers."""
    blockers: dict[str, Reason] = field(default_factory=dict)
    """By environment: why no worker is booted for the missing jobs."""
    reclaiming: Reason | None = None
    """Set while room is being taken back for it."""
    by_environment: Mapping[str, Amounts] = field(default_factory=dict)
    """What one job takes where it depends on the worker, by environment."""

    def of(self, environment: str) -> Amounts:
        """Return what one job takes of a worker of this environment: at least one core and one MiB."""
        return self.by_environment.get(environment, self.asked)


@dataclass(slots=True)
class Demand:
    """The demand of the whole farm."""

    wants: list[Want] = field(default_factory=list)
    """Those with idle jobs and an environment, hardest to place first."""
    refused: dict[str, Reason] = field(default_factory=dict)
    """By cluster key: why its idle jobs ask for nothing."""
    wanted: set[str] = field(default_factory=set)
    """Environments for which there is any demand, waiting or running."""
    waiting: set[str] = field(default_factory=set)
    """Environments that waiting jobs could use."""


def read_demand(facts: Facts) -> Demand:
    """Match every request cluster of every batch system that answered; order the wants for packing."""
    demand = Demand()
    matcher = Matcher(facts.policy.catalogue)
    environments = facts.environments
    for source in sorted(facts.observation.queues):
        reading = facts.observation.queues[source]
        if not isinstance(reading, QueueReading) or facts.trust.of_demand(source) is not None:
            continue
        for cluster in reading.clusters:
            _add(cluster, matcher, demand)
    demand.wants.sort(key=lambda want: _hardness(want, environments))
    return demand


def _add(cluster: RequestCluster, matcher: Matcher, demand: Demand) -> None:
    if cluster.problem:
        demand.refused[cluster.key] = malformed(cluster)
        return
    if cluster.idle <= 0 and cluster.running <= 0:
        return
    found = matcher.match(cluster)
    if found.problem is not None:
        if cluster.idle > 0:
            demand.refused[cluster.key] = found.problem
        return
    demand.wanted.add(found.environments[0])
    if cluster.idle <= 0:
        return
    demand.waiting.update(found.environments)
    asked = cluster.requirements
    demand.wants.append(
        Want(
            key=cluster.key,
            batch_system=cluster.batch_system,
            vo=cluster.vo,
            asked=_at_least_one(asked.amounts),
            environments=found.environments,
            missing=cluster.idle,
            by_environment={name: _at_least_one(amounts) for name, amounts in asked.by_environment.items()},
        )
    )


def malformed(cluster: RequestCluster) -> Reason:
    """Say that a row of the queue cannot be understood."""
    return Reason(
        "malformed",
        f"the batch system's row for these jobs cannot be understood: {cluster.problem}",
        {"example_job": cluster.example_job},
        f"look at job {cluster.example_job or cluster.key} and submit it again correctly",
    )


def _at_least_one(asked: Amounts) -> Amounts:
    if asked.cpus >= 1 and asked.memory_mib >= 1:
        return asked
    return replace(asked, cpus=max(1, asked.cpus), memory_mib=max(1, asked.memory_mib))


def jobs_per_worker(asked: Amounts, environment: Environment) -> int:
    """Return how many jobs of this size one new worker takes: whole jobs, by the scarcest of what they ask for."""
    jobs = min(environment.vcpus // asked.cpus, environment.slot_memory_mib // asked.memory_mib)
    if asked.disk_mib:
        jobs = min(jobs, environment.slot_disk_mib // asked.disk_mib)
    if asked.gpus:
        jobs = min(jobs, environment.slot_gpus // asked.gpus)
    return jobs


def _hardness(want: Want, environments: Mapping[str, Environment]) -> tuple[int, float, str]:
    """Sort jobs with the least choice first, then the largest part of a worker, then by key."""
    first = environments[want.environments[0]]
    asked = want.of(first.name)
    size = max(asked.cpus / first.vcpus, asked.memory_mib / first.slot_memory_mib)
    return (len(want.environments), -size, want.key)


class Matcher:
    """Matching with each VO's environments looked up once, and each unknown name compared once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._all = catalogue
        by_vo: dict[str, dict[str, Environment]] = defaultdict(dict)
        for name, environment in catalogue.environments.items():
            for vo in environment.vos:
                by_vo[vo][name] = environment
        self._of_vo = {vo: Catalogue(of_vo, catalogue.vos) for vo, of_vo in by_vo.items()}
        self._unknown: dict[tuple[str, str], Match] = {}

    def match(self, cluster: RequestCluster) -> Match:
        """Match one cluster as `environments.matching.match` does; where one was named, the others are not judged."""
        asked = cluster.requirements
        known_vo = cluster.vo in self._all.vos
        if known_vo and (not asked.wanted or asked.wanted in self._all.environments):
            catalogue = self._all if asked.wanted else self._of_vo.get(cluster.vo, self._all)
            return match(asked, cluster.vo, catalogue, others=False)
        if asked.unmapped is not None or asked.chosen_by is not None:
            return match(asked, cluster.vo, self._all, others=False)
        key = (cluster.vo, asked.wanted)
        if key not in self._unknown:
            self._unknown[key] = match(asked, cluster.vo, self._all)
        return self._unknown[key]
