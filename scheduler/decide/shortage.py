"""Shortage: why no host takes one more worker of an environment, with the numbers of the host that comes closest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.reason import Reason
from scheduler.decide.placement import class_of
from scheduler.decide.suitability import unsuitable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from environments.environment import Environment
    from scheduler.decide.placement import Bucket, HostCapacity


def shortage(environment: Environment, capacity: HostCapacity) -> Reason:
    """Say, with numbers, why no host takes one more worker of an environment."""
    host_class = class_of(environment, capacity)
    name, members, largest = environment.name, host_class.members, host_class.largest_mib
    if not members:
        return _no_host(environment, capacity)
    asked: dict[str, int | float | str] = {
        "asked_memory_mib": environment.memory_mib,
        "asked_cpus": environment.vcpus,
        "hosts": len(members),
    }
    if largest < environment.memory_mib:
        return Reason(
            "larger-than-hosts",
            f"a worker of {name} needs {environment.memory_mib} MiB, the largest of {len(members)} hosts has {largest} MiB",
            {**asked, "largest_memory_mib": largest},
            f"let the VO manager give {name} less memory, or add a larger host",
        )
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


def _roomiest(buckets: Mapping[int, Bucket], cpus: int) -> tuple[int, str] | None:
    return max((bucket[-1] for free, bucket in buckets.items() if free >= cpus and bucket), default=None)


def _no_host(environment: Environment, capacity: HostCapacity) -> Reason:
    """Say why not a single host can take an environment: the causes, counted."""
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
    code = "hosts-silent" if silent and silent == sum(causes.values()) else "no-host"
    remedy = "bring the hosts back" if code == "hosts-silent" else f"compare {environment.name} with `ambienti status`"
    return Reason(code, f"no host can take {environment.name} ({told})", dict(causes), remedy)
