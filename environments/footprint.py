"""Footprint: what of an environment, or of whatever is placed, a host must have and gives away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from environments.environment import DiskMode, NetworkKind, Virtualization

if TYPE_CHECKING:
    from environments.environment import Environment


@dataclass(frozen=True, slots=True)
class Footprint:
    """All that placement knows of what it places."""

    name: str
    """What it is, for sentences."""
    cpus: int
    memory_mib: int
    virtualization: Virtualization
    labels: tuple[tuple[str, str], ...] = ()
    """Labels that its host must carry."""
    network: str = ""
    """The network that its host must have; "" where any will do."""
    pools: tuple[str, ...] = ()
    """The storage pools that its host must have."""
    filled_pool: str = ""
    """The one of them in which it takes `filled_gib`; "" where it takes nothing."""
    filled_gib: int = 0

    @property
    def needs(self) -> tuple[object, ...]:
        """What decides which hosts can take it at all; hosts that can take one can take all with the same needs."""
        return self.virtualization, self.labels, self.network, self.pools


def footprint_of(environment: Environment) -> Footprint:
    """Return the footprint of one worker."""
    network, disk = environment.network, environment.disk
    fills = disk.mode in (DiskMode.COPY, DiskMode.LVM) and bool(disk.pool)
    return Footprint(
        name=environment.name,
        cpus=environment.vcpus,
        memory_mib=environment.memory_mib,
        virtualization=environment.virtualization,
        labels=tuple(sorted(environment.labels.items())),
        network=network.source if network.kind is NetworkKind.LIBVIRT else "",
        pools=pools_of(environment),
        filled_pool=disk.pool or "" if fills else "",
        filled_gib=disk.size_gib if fills else 0,
    )


def pools_of(environment: Environment) -> tuple[str, ...]:
    """Return the storage pools of an environment: of its image, and of its disk."""
    return tuple(sorted({pool for pool in (environment.image.pool, environment.disk.pool) if pool}))
