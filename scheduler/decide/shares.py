"""Shares: whose turn it is, by weighted dominant-resource fairness, with guarantees and ceilings.

Ghodsi and others, "Dominant Resource Fairness: Fair Allocation of Multiple Resource Types", NSDI 2011.
A VO's dominant share is the larger of its shares of cores and of memory; the VO with the smallest weighted one is served next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from environments.environment import VO
from environments.reason import Reason, counted
from scheduler.model.hosts import HostReading

if TYPE_CHECKING:
    from environments.environment import Environment
    from scheduler.decide.facts import Facts


@dataclass(slots=True)
class VOShare:
    """What one VO holds."""

    vo: VO
    cpus: int = 0
    memory_mib: int = 0

    @property
    def below_guarantee(self) -> bool:
        """Whether the VO holds less than it is guaranteed."""
        return self.cpus < self.vo.share.guarantee_cpus

    def spare_above_guarantee(self, cpus: int) -> bool:
        """Whether the VO keeps its guarantee when it gives `cpus` cores back."""
        return self.cpus - cpus >= self.vo.share.guarantee_cpus


@dataclass(slots=True)
class Shares:
    """What all VOs hold, and the farm's total they are compared with."""

    total_cpus: int
    total_memory_mib: int
    standings: dict[str, VOShare] = field(default_factory=dict)
    whole: bool = True
    """Whether all hosts answer; else the farm has at least that total."""
    all_heard: bool = True
    """Whether the journal knows the workers of every host; else a VO holds at least what is booked on it."""

    def of(self, vo: str) -> VOShare:
        """Return a VO's standing; one that the catalogue no longer knows has no share of its own."""
        standing = self.standings.get(vo)
        if standing is None:
            standing = self.standings[vo] = VOShare(VO.model_construct(name=vo))
        return standing

    def charge(self, vo: str, environment: Environment, workers: int = 1) -> None:
        """Book one worker more, or less, on a VO."""
        standing = self.of(vo)
        standing.cpus += workers * environment.vcpus
        standing.memory_mib += workers * environment.memory_mib

    def dominant_share(self, vo: str) -> float:
        """Return the larger of the VO's shares of cores and memory, between 0 and 1."""
        standing = self.of(vo)
        return max(standing.cpus / max(1, self.total_cpus), standing.memory_mib / max(1, self.total_memory_mib))

    def turn(self, vo: str) -> tuple[int, float, str]:
        """Sort key of the next VO to be served: below its guarantee first, then the smallest weighted dominant share."""
        standing = self.of(vo)
        share = standing.vo.share
        if standing.below_guarantee:
            return (0, standing.cpus / share.guarantee_cpus, vo)
        return (1, self.dominant_share(vo) / share.weight, vo)


def booked_shares(facts: Facts) -> Shares:
    """Book what living workers hold; the total is what the hosts that answer can give."""
    shares = Shares(0, 0, all_heard=not facts.observation.unheard)
    for name, host in facts.policy.hosts.items():
        reading = facts.observation.hosts.get(name)
        if isinstance(reading, HostReading):
            shares.total_cpus += int(reading.cpus * host.cpu_overcommit)
            shares.total_memory_mib += reading.memory_mib
        else:
            shares.whole = False
    census = facts.census
    for name, vo in facts.policy.catalogue.vos.items():
        shares.standings[name] = VOShare(vo, census.cpus_of_vo.get(name, 0), census.memory_of_vo.get(name, 0))
    return shares


def over_ceiling(shares: Shares, vo: str, environment: Environment) -> Reason | None:
    """Say that one worker more would lift the VO above its ceiling, or None."""
    standing = shares.of(vo)
    ceiling = standing.vo.share.ceiling_cpus
    if ceiling is None or standing.cpus + environment.vcpus <= ceiling:
        return None
    remedy = f"let the administrators raise ceiling_cpus of VO {vo}"
    return Reason(
        "over-ceiling",
        f"VO {vo} holds {standing.cpus} of at most {counted(ceiling, 'core')}, "
        f"a worker of {environment.name} has {environment.vcpus}",
        {"held_cpus": standing.cpus, "ceiling_cpus": ceiling, "worker_cpus": environment.vcpus},
        f"wait until jobs of {vo} end, or {remedy}" if environment.vcpus <= ceiling else remedy,
    )
