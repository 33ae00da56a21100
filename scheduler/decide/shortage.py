"""Shortage: why no host takes one more worker of an environment, with the numbers of the host that comes closest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.reason import Reason, counted
from scheduler.decide.placement import class_of, disk_fits, filled_pool
from scheduler.decide.suitability import unsuitable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from environments.environment import Environment
    from environments.reason import Number
    from scheduler.decide.placement import Bucket, HostCapacity, HostClass


def shortage(environment: Environment, capacity: HostCapacity) -> Reason:
    """Say, with numbers, why no host takes one more worker of an environment."""
    host_class = class_of(environment, capacity)
    name, members = environment.name, host_class.members
    if not members:
        return _no_host(environment, capacity)
    asked: dict[str, Number] = {
        "asked_memory_mib": environment.memory_mib,
        "asked_cpus": environment.vcpus,
        "hosts": len(members),
    }
    against = _too_large(environment, host_class, asked) or _without_disk(environment, host_class, capacity, asked)
    if against is not None:
        return against
    resting = _roomiest(host_class.resting, environment.vcpus)
    if resting is not None and resting[0] >= environment.memory_mib and not capacity.open[resting[1]].held:
        return Reason(
            "host-boots-limit",
            f"every host with room for {name} boots as many workers as it may; {resting[1]} is the roomiest",
            {**asked, "best_host": resting[1], "best_free_memory_mib": resting[0]},
            "wait until boots end, or raise max_boots of the hosts",
        )
    ready = _roomiest(host_class.ready, environment.vcpus)
    best = max((found for found in (ready, resting) if found is not None), default=None)
    if best is None:
        cpus = max((*host_class.ready, *host_class.resting))
        host = max(bucket[-1] for half in (host_class.ready, host_class.resting) if (bucket := half.get(cpus)))[1]
        return Reason(
            "farm-full",
            f"a worker of {name} needs {environment.vcpus} cores; the best of {len(members)} hosts, {host}, has {cpus} free",
            {**asked, "best_host": host, "best_free_cpus": cpus},
            "wait until workers end, or add hosts",
        )
    room = capacity.open[best[1]]
    sentence = (
        f"a worker of {name} needs {environment.memory_mib} MiB and {environment.vcpus} cores; "
        f"the best of {len(members)} hosts, {best[1]}, has {room.memory_mib} MiB and {room.cpus} cores free"
    )
    numbers = {**asked, "best_host": best[1], "best_free_memory_mib": room.memory_mib, "best_free_cpus": room.cpus}
    return Reason("farm-full", sentence, numbers, "wait until workers end, or add hosts")


def _too_large(environment: Environment, host_class: HostClass, asked: Mapping[str, Number]) -> Reason | None:
    """Say that not even an empty host takes a worker of this environment, or None."""
    if any(cpus >= environment.vcpus and memory_mib >= environment.memory_mib for cpus, memory_mib in host_class.sizes):
        return None
    cpus, memory_mib = (max(each) for each in zip(*host_class.sizes, strict=True))
    sentence = (
        f"a worker of {environment.name} needs {environment.memory_mib} MiB and {counted(environment.vcpus, 'core')}; "
        f"of {counted(len(host_class.members), 'host')} none has both: "
        f"at most {memory_mib} MiB, and at most {counted(cpus, 'core')}"
    )
    numbers = {**asked, "largest_memory_mib": memory_mib, "largest_cpus": cpus}
    remedy = f"let the VO manager give {environment.name} less memory or fewer cores, or add a larger host"
    return Reason("larger-than-hosts", sentence, numbers, remedy)


def _without_disk(
    environment: Environment, host_class: HostClass, capacity: HostCapacity, asked: Mapping[str, Number]
) -> Reason | None:
    """Say that the hosts with room have too little of it in their storage pool, or None."""
    pool, size_gib = filled_pool(environment), environment.disk.size_gib
    if not pool:
        return None
    rooms = [capacity.open[member] for member in host_class.members]
    fitting = [r for r in rooms if r.cpus >= environment.vcpus and r.memory_mib >= environment.memory_mib and not r.held]
    if not fitting or any(disk_fits(environment, room) for room in fitting):
        return None
    most = max(room.pools.get(pool, 0.0) for room in fitting)
    sentence = (
        f"the disk of a worker of {environment.name} needs {size_gib} GiB in storage pool {pool}; "
        f"of {counted(len(fitting), 'host')} with memory and cores for it none has more than {most:.1f} GiB free there"
    )
    numbers = {**asked, "pool": pool, "asked_disk_gib": size_gib, "best_free_disk_gib": most}
    remedy = f"wait until workers end, make room in {pool}, or let the VO manager give {environment.name} a smaller disk"
    return Reason("storage-full", sentence, numbers, remedy)


def _roomiest(buckets: Mapping[int, Bucket], cpus: int) -> tuple[int, str] | None:
    return max((bucket[-1] for free, bucket in buckets.items() if free >= cpus and bucket), default=None)


def _no_host(environment: Environment, capacity: HostCapacity) -> Reason:
    """Say why not a single host can take an environment: the causes, counted.

    "As it is described" is told only where every host was held against it: one that is drained or silent might well run it.
    """
    causes: dict[str, int] = {}
    for names in capacity.signatures.values():
        first = capacity.open[names[0]]
        reason = unsuitable(environment, first.host, first.reading)
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
        code, remedy = "no-host", f"compare {environment.name} with `ambienti status`"
    return Reason(code, f"no host can take {environment.name} ({told})", dict(causes), remedy)
