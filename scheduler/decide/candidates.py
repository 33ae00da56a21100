"""Candidates: how close each host comes to taking one more worker of an environment; for explanations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.actions import Boot
from scheduler.decide.facts import gather
from scheduler.decide.placement import Ground, survey
from scheduler.decide.suitability import unsuitable

if TYPE_CHECKING:
    from environments.environment import Environment
    from scheduler.actions import Plan
    from scheduler.model import Observation
    from scheduler.policy import Policy


def closest_hosts(
    environment: Environment, observation: Observation, policy: Policy, plan: Plan, most: int = 5
) -> tuple[str, ...]:
    """Say of the hosts that come closest what each lacks, after the boots of the plan; the others are counted."""
    grounds = survey(gather(observation, policy), hold=False)
    for action in plan.actions:
        booted = policy.catalogue.environments.get(action.environment) if isinstance(action, Boot) else None
        if booted is not None and isinstance(action, Boot) and action.host in grounds.open:
            ground = grounds.open[action.host]
            ground.cpus -= booted.vcpus
            ground.memory_mib -= booted.memory_mib
            ground.boots_left -= 1
    told = [(_lack(environment, ground), name, _told(environment, ground)) for name, ground in grounds.open.items()]
    told += [((9, 0), name, reason.sentence) for name, reason in grounds.closed.items()]
    told.sort()
    lines = [sentence for _, _, sentence in told[:most]]
    if len(told) > most:
        lines.append(f"and {len(told) - most} hosts that come less close")
    return tuple(lines)


def _lack(environment: Environment, ground: Ground) -> tuple[int, int]:
    """Sort key: hosts that lack least first, unsuitable ones after them."""
    if unsuitable(environment, ground.host, ground.reading) is not None:
        return (8, 0)
    short_mib = max(0, environment.memory_mib - ground.memory_mib)
    short_cpus = max(0, environment.vcpus - ground.cpus)
    return ((short_mib > 0) + (short_cpus > 0), short_mib + 1024 * short_cpus)


def _told(environment: Environment, ground: Ground) -> str:
    reason = unsuitable(environment, ground.host, ground.reading)
    if reason is not None:
        return reason.sentence
    lacking = []
    if ground.memory_mib < environment.memory_mib:
        lacking.append(f"{environment.memory_mib - ground.memory_mib} MiB short")
    if ground.cpus < environment.vcpus:
        lacking.append(f"{environment.vcpus - ground.cpus} cores short")
    if ground.boots_left <= 0:
        lacking.append(f"boots {ground.host.max_boots - ground.boots_left} workers of at most {ground.host.max_boots}")
    if ground.held:
        lacking.append("its room is being taken back for a VO below its guarantee")
    end = "; ".join(lacking) or "would take it"
    return f"host {ground.host.name} has {ground.memory_mib} MiB and {ground.cpus} cores free: {end}"
