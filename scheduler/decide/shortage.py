"""Shortage: why no host takes one more worker of a footprint, with the numbers of the host that comes closest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.reason import Reason, counted
from scheduler.decide.placement import class_of, disk_fits
from scheduler.decide.suitability import unsuitable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from environments.footprint import Footprint
    from environments.reason import Number
    from scheduler.decide.placement import Bucket, HostCapacity, HostClass


def shortage(footprint: Footprint, capacity: HostCapacity) -> Reason:
    """Say, with numbers, why no host takes one more worker of an environment."""
    host_class = class_of(footprint, capacity)
    name, members = footprint.name, host_class.members
    if not members:
        return _no_host(footprint, capacity)
    asked: dict[str, Number] = {
        "asked_memory_mib": footprint.memory_mib,
        "asked_cpus": footprint.cpus,
        "hosts": len(members),
    }
    against = _too_large(footprint, host_class, asked) or _without_disk(footprint, host_class, capacity, asked)
    if against is not None:
        return against
    resting = _roomiest(host_class.resting, footprint.cpus)
    if resting is not None and resting[0] >= footprint.memory_mib and not capacity.open[resting[1]].held:
        return Reason(
            "host-boots-limit",
            f"every host with room for {name} boots as many workers as it may; {resting[1]} is the roomiest",
            {**asked, "best_host": resting[1], "best_free_memory_mib": resting[0]},
            "wait until boots end, or raise max_boots of the hosts",
        )
    ready = _roomiest(host_class.ready, footprint.cpus)
    best = max((found for found in (ready, resting) if found is not None), default=None)
    if best is None:
        cpus = max((*host_class.ready, *host_class.resting))
        host = max(bucket[-1] for half in (host_class.ready, host_class.resting) if (bucket := half.get(cpus)))[1]
        return Reason(
            "farm-full",
            f"a worker of {name} needs {footprint.cpus} cores; the best of {len(members)} hosts, {host}, has {cpus} free",
            {**asked, "best_host": host, "best_free_cpus": cpus},
            "wait until workers end, or add hosts",
        )
    room = capacity.open[best[1]]
    sentence = (
        f"a worker of {name} needs {footprint.memory_mib} MiB and {footprint.cpus} cores; "
        f"the best of {len(members)} hosts, {best[1]}, has {room.memory_mib} MiB and {room.cpus} cores free"
    )
    numbers = {**asked, "best_host": best[1], "best_free_memory_mib": room.memory_mib, "best_free_cpus": room.cpus}
    return Reason("farm-full", sentence, numbers, "wait until workers end, or add hosts")


def _too_large(footprint: Footprint, host_class: HostClass, asked: Mapping[str, Number]) -> Reason | None:
    """Say that not even an empty host takes a worker of this footprint, or None."""
    if any(cpus >= footprint.cpus and memory_mib >= footprint.memory_mib for cpus, memory_mib in host_class.sizes):
        return None
    cpus, memory_mib = (max(each) for each in zip(*host_class.sizes, strict=True))
    sentence = (
        f"a worker of {footprint.name} needs {footprint.memory_mib} MiB and {counted(footprint.cpus, 'core')}; "
        f"of {counted(len(host_class.members), 'host')} none has both: "
        f"at most {memory_mib} MiB, and at most {counted(cpus, 'core')}"
    )
    numbers = {**asked, "largest_memory_mib": memory_mib, "largest_cpus": cpus}
    remedy = f"let the VO manager give {footprint.name} less memory or fewer cores, or add a larger host"
    return Reason("larger-than-hosts", sentence, numbers, remedy)


def _without_disk(
    footprint: Footprint, host_class: HostClass, capacity: HostCapacity, asked: Mapping[str, Number]
) -> Reason | None:
    """Say that the hosts with room have too little of it in their storage pool, or None."""
    pool, size_gib = footprint.filled_pool, footprint.filled_gib
    if not pool:
        return None
    rooms = [capacity.open[member] for member in host_class.members]
    fitting = [r for r in rooms if r.cpus >= footprint.cpus and r.memory_mib >= footprint.memory_mib and not r.held]
    if not fitting or any(disk_fits(footprint, room) for room in fitting):
        return None
    most = max(room.pools.get(pool, 0.0) for room in fitting)
    sentence = (
        f"the disk of a worker of {footprint.name} needs {size_gib} GiB in storage pool {pool}; "
        f"of {counted(len(fitting), 'host')} with memory and cores for it none has more than {most:.1f} GiB free there"
    )
    numbers = {**asked, "pool": pool, "asked_disk_gib": size_gib, "best_free_disk_gib": most}
    remedy = f"wait until workers end, make room in {pool}, or let the VO manager give {footprint.name} a smaller disk"
    return Reason("storage-full", sentence, numbers, remedy)


def _roomiest(buckets: Mapping[int, Bucket], cpus: int) -> tuple[int, str] | None:
    return max((bucket[-1] for free, bucket in buckets.items() if free >= cpus and bucket), default=None)


def _no_host(footprint: Footprint, capacity: HostCapacity) -> Reason:
    """Say why not a single host can take an environment: the causes, counted.

    "As it is described" is told only where every host was held against it: one that is drained or silent might well run it.
    """
    causes: dict[str, int] = {}
    for names in capacity.signatures.values():
        first = capacity.open[names[0]]
        reason = unsuitable(footprint, first.host, first.reading)
        if reason is not None:
            causes[reason.code] = causes.get(reason.code, 0) + len(names)
    for reason in capacity.closed.values():
        causes[reason.code] = causes.get(reason.code, 0) + 1
    told = ", ".join(f"{count} {code}" for code, count in sorted(causes.items())) or "there are none"
    silent = sum(count for code, count in causes.items() if code in {"host-silent", "host-unread", "host-stale"})
    passing = any(reason.code != "same-machine" for reason in capacity.closed.values())
    if silent and silent == sum(causes.values()):
        code, remedy = "hosts-silent", "bring the hosts back"
    elif passing:
        code, remedy = "hosts-closed", "see in `ambienti status` what stands against each host: undrain it, or bring it back"
    else:
        code, remedy = "no-host", f"compare {footprint.name} with `ambienti status`"
    return Reason(code, f"no host can take {footprint.name} ({told})", dict(causes), remedy)
