"""Suitability: whether a host can take an environment at all, whatever its load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.environment import Virtualization
from environments.footprint import pools_of
from environments.reason import Reason
from scheduler.model.hosts import HostReading

if TYPE_CHECKING:
    from environments.environment import Environment
    from environments.footprint import Footprint
    from scheduler.model.hosts import Host
    from scheduler.model.observation import Observation
    from scheduler.model.policy import Policy


def lonely(footprint: Footprint, observation: Observation, policy: Policy) -> bool:
    """Whether at most one of the hosts that answer can take an environment at all."""
    able = 0
    for name, host in policy.hosts.items():
        reading = observation.hosts.get(name)
        if isinstance(reading, HostReading) and unsuitable(footprint, host, reading) is None:
            able += 1
            if able > 1:
                return False
    return True


def unsuitable(footprint: Footprint, described: Host, reading: HostReading) -> Reason | None:
    """Say why a host can never take an environment as both stand now, or None."""
    host = described.name
    if footprint.virtualization not in reading.virtualizations:
        offered = ", ".join(sorted(Virtualization(v).value for v in reading.virtualizations)) or "nothing"
        return Reason(
            "virtualization",
            f"host {host} offers {offered}, not {footprint.virtualization.value}",
            {"host": host, "asked": footprint.virtualization.value},
        )
    for label, value in footprint.labels:
        if described.labels.get(label) != value:
            return Reason("labels", f"host {host} does not carry {label}: {value}", {"host": host, "label": label})
    network = footprint.network
    if network and network not in reading.networks:
        return Reason("network", f"host {host} has no network {network}", {"host": host, "network": network})
    for pool in footprint.pools:
        if not any(found.name == pool and found.active for found in reading.pools):
            return Reason("pool", f"host {host} has no active storage pool {pool}", {"host": host, "pool": pool})
    return None


def sources_of(environment: Environment) -> tuple[str, ...]:
    """Return what a boot storm of an environment would starve: its storage pools, or the image it reads."""
    image = environment.image
    path = image.path or image.initrd or image.kernel
    return pools_of(environment) or ((path,) if path else ())
