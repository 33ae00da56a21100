"""The facts of one decision: the observation, the policy, and what follows from them before anything is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from environments.footprint import Footprint, footprint_of
from environments.reason import Reason
from scheduler.decide.census import Census, take_census
from scheduler.decide.health import Health, judge
from scheduler.decide.suitability import lonely
from scheduler.decide.trust import Trust, draining_hosts, mass_silence
from scheduler.decide.waiting import Waiting
from scheduler.model.observation import Observation
from scheduler.model.policy import Policy

if TYPE_CHECKING:
    from environments.environment import Environment
    from scheduler.model.policy import Limits


@dataclass(frozen=True, slots=True)
class Facts:
    """What every part of a decision is given."""

    observation: Observation
    policy: Policy
    census: Census
    trust: Trust
    health: Health
    drained: frozenset[str]
    """Hosts that the administrators drain."""
    suspected: Mapping[str, Reason]
    """Batch systems that lost sight of so many workers at once that they are suspected, not the workers."""
    waiting: Waiting
    footprints: Mapping[str, Footprint]
    """Of the environments of the catalogue, by name."""

    @property
    def now(self) -> float:
        """The instant of the decision."""
        return self.observation.now

    @property
    def limits(self) -> Limits:
        """The knobs of the loop."""
        return self.policy.limits

    @property
    def environments(self) -> Mapping[str, Environment]:
        """The environments of the catalogue, by name."""
        return self.policy.catalogue.environments


def gather(observation: Observation, policy: Policy) -> Facts:
    """Count the workers, judge the readings and the history of boots."""
    environments = policy.catalogue.environments
    footprints = {name: footprint_of(environment) for name, environment in environments.items()}
    known: dict[str, bool] = {}

    def alone(name: str) -> bool:
        if name not in known:
            known[name] = name in environments and lonely(footprints[name], observation, policy)
        return known[name]

    census, waiting = take_census(observation), Waiting(observation.now)
    silences = {name: mass_silence(census.fleets.values(), name) for name in observation.queues}
    return Facts(
        observation,
        policy,
        census,
        Trust(observation, policy, waiting),
        judge(observation, policy.limits, alone, waiting, policy.zone),
        draining_hosts(observation, policy),
        {name: reason for name, reason in silences.items() if reason is not None},
        waiting,
        footprints,
    )
