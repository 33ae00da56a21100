"""Candidates: how close each host comes to taking one more worker of an environment; for explanations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.footprint import Footprint, footprint_of
from environments.reason import counted
from scheduler.decide.facts import gather
from scheduler.decide.placement import HostRoom, survey
from scheduler.decide.suitability import unsuitable
from scheduler.model.actions import Boot

if TYPE_CHECKING:
    from environments.environment import Environment
    from scheduler.model.actions import Plan
    from scheduler.model.observation import Observation
    from scheduler.model.policy import Policy


def closest_hosts(
    environment: Environment, observation: Observation, policy: Policy, plan: Plan, most: int = 5
) -> tuple[str, ...]:
    """Say of the hosts that come closest what each lacks, after the boots of the plan; the others are counted."""
    facts, footprint = gather(observation, policy), footprint_of(environment)
    capacity = survey(facts, hold=False)
    for action in plan.actions:
        booted = facts.footprints.get(action.environment) if isinstance(action, Boot) else None
        if booted is not None and isinstance(action, Boot) and action.host in capacity.open:
            room = capacity.open[action.host]
            room.cpus -= booted.cpus
            room.memory_mib -= booted.memory_mib
            room.boots_left -= 1
    told = [(_lack(footprint, room), name, _told(footprint, room)) for name, room in capacity.open.items()]
    told += [((9, 0), name, reason.sentence) for name, reason in capacity.closed.items()]
    told.sort()
    lines = [sentence for _, _, sentence in told[:most]]
    if len(told) > most:
        lines.append(f"and {counted(len(told) - most, 'further host')} with less to give")
    return tuple(lines)


def _lack(footprint: Footprint, room: HostRoom) -> tuple[int, int]:
    """Sort key: hosts that lack least first, unsuitable ones after them."""
    if unsuitable(footprint, room.host, room.reading) is not None:
        return (8, 0)
    short_mib = max(0, footprint.memory_mib - room.memory_mib)
    short_cpus = max(0, footprint.cpus - room.cpus)
    return ((short_mib > 0) + (short_cpus > 0), short_mib + 1024 * short_cpus)


def _told(footprint: Footprint, room: HostRoom) -> str:
    reason = unsuitable(footprint, room.host, room.reading)
    if reason is not None:
        return reason.sentence
    lacking = []
    if room.memory_mib < footprint.memory_mib:
        lacking.append(f"{footprint.memory_mib - room.memory_mib} MiB short")
    if room.cpus < footprint.cpus:
        lacking.append(f"{footprint.cpus - room.cpus} cores short")
    if room.boots_left <= 0:
        lacking.append(f"boots {room.host.max_boots - room.boots_left} workers of at most {room.host.max_boots}")
    if room.held:
        lacking.append("its room is being taken back for a VO below its guarantee")
    end = "; ".join(lacking) or "would take it"
    return f"host {room.host.name} has {room.memory_mib} MiB and {room.cpus} cores free: {end}"
