"""Placement: which host takes a worker. Vector packing over cores and memory; memory is never over-committed.

Hosts that can take an environment at all form a *class*; inside it they stand by free cores and free memory, so that the
tightest host is found by bisection and not by looking at all of them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from environments.reason import Reason
from scheduler.decide.health import host_gate
from scheduler.decide.suitability import unsuitable
from scheduler.decide.trust import drained_host, same_machine
from scheduler.model.hosts import DomainState, Host, HostReading
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from collections.abc import Collection

    from environments.footprint import Footprint
    from scheduler.decide.facts import Facts
    from scheduler.model.workers import Worker

Bucket = list[tuple[int, str]]
"""(free MiB, host), ascending, of the hosts with one number of free cores."""


@dataclass(slots=True)
class HostRoom:
    """What one host can still take in this decision."""

    host: Host
    reading: HostReading
    cpus: int
    memory_mib: int
    boots_left: int
    pools: dict[str, float] = field(default_factory=dict)
    """Free GiB of its active storage pools."""
    held: bool = False
    """Room here is being taken back by reclaim; only VOs below their guarantee may have it."""


@dataclass(slots=True)
class HostClass:
    """The hosts that can take some environments at all, ordered by free room."""

    members: frozenset[str]
    sizes: frozenset[tuple[int, int]]
    """(cores, MiB) that the hosts would give if they were empty; a farm has few sizes of hosts."""
    ready: dict[int, Bucket] = field(default_factory=dict)
    """By free cores."""
    resting: dict[int, Bucket] = field(default_factory=dict)
    """The same for hosts that boot as many workers as they may."""


@dataclass(slots=True)
class HostCapacity:
    """All hosts on which something may be placed in this decision."""

    open: dict[str, HostRoom] = field(default_factory=dict)
    closed: dict[str, Reason] = field(default_factory=dict)
    """Why nothing is placed on the others."""
    classes: dict[tuple[object, ...], HostClass] = field(default_factory=dict)
    signatures: dict[tuple[object, ...], list[str]] = field(default_factory=dict)
    """Hosts that look the same to every environment."""
    held: list[str] = field(default_factory=list)
    """Hosts whose room is being taken back for VOs below their guarantee."""


def survey(facts: Facts, *, hold: bool) -> HostCapacity:
    """Work out what each host can still take; `hold` keeps room that is being reclaimed for those it is reclaimed for."""
    capacity = HostCapacity()
    hosts = facts.policy.hosts
    for name in sorted(hosts):
        reading = facts.observation.hosts.get(name)
        distrust = facts.trust.of_host(name)
        if distrust is not None or not isinstance(reading, HostReading):
            capacity.closed[name] = distrust or Reason("host-unread", f"host {name} has not been read yet")
            continue
        if reading.same_as:
            capacity.closed[name] = same_machine(name, reading)
            continue
        if name in facts.drained:
            capacity.closed[name] = drained_host(name, hosts[name], "host-draining")
            continue
        room = measure(hosts[name], reading, facts.census.on_host.get(name, ()))
        allowed, reason = host_gate(facts.health, name, hosts[name].max_boots - room.boots_left)
        if allowed is not None and reason is not None:
            if allowed == 0:
                capacity.closed[name] = reason
                continue
            room.boots_left = min(room.boots_left, allowed)
        room.held = room.held and hold
        if room.held:
            capacity.held.append(name)
        capacity.open[name] = room
        capacity.signatures.setdefault(_signature(room), []).append(name)
    return capacity


def cores(host: Host, reading: HostReading) -> int:
    """Return how many cores a host gives to domains."""
    return int(reading.cpus * host.cpu_overcommit)


def measure(host: Host, reading: HostReading, workers: Collection[Worker]) -> HostRoom:
    """Return the free room of one host: all domains count, strangers too, and workers whose domain is not seen yet."""
    cpus = memory = 0
    stopped = DomainState.STOPPED
    seen = set()
    for domain in reading.domains:
        if domain.state is not stopped:
            seen.add(domain.name)
            cpus += domain.cpus
            memory += domain.memory_mib
    in_flight = 0
    held = False
    for worker in workers:
        if worker.name not in seen:
            cpus += worker.cpus
            memory += worker.memory_mib
        state = worker.state
        if state is WorkerState.REQUESTED or state is WorkerState.BOOTING:
            in_flight += 1
        elif worker.drain_cause == "reclaim":
            held = True
    return HostRoom(
        host,
        reading,
        cores(host, reading) - cpus,
        reading.memory_mib - memory,
        host.max_boots - in_flight,
        {pool.name: pool.available_gib for pool in reading.pools if pool.active},
        held,
    )


def _signature(room: HostRoom) -> tuple[object, ...]:
    reading = room.reading
    labels = room.host.labels
    return (
        reading.virtualizations,
        reading.networks,
        tuple(room.pools),
        tuple(sorted(labels.items())) if labels else (),
    )


def class_of(footprint: Footprint, capacity: HostCapacity) -> HostClass:
    """Return the hosts that can take a footprint, ordered; built at the first call."""
    key = footprint.needs
    found = capacity.classes.get(key)
    if found is None:
        found = capacity.classes[key] = _build_class(footprint, capacity)
    return found


def _build_class(footprint: Footprint, capacity: HostCapacity) -> HostClass:
    members: list[str] = []
    for names in capacity.signatures.values():
        first = capacity.open[names[0]]
        if unsuitable(footprint, first.host, first.reading) is None:
            members += names
    rooms = [(name, capacity.open[name]) for name in members]
    sizes = frozenset((cores(room.host, room.reading), room.reading.memory_mib) for _, room in rooms)
    host_class = HostClass(frozenset(members), sizes)
    for name, room in rooms:
        bins = host_class.ready if room.boots_left > 0 and not room.held else host_class.resting
        bins.setdefault(room.cpus, []).append((room.memory_mib, name))
    for bins in (host_class.ready, host_class.resting):
        for bucket in bins.values():
            bucket.sort()
    return host_class


def find_host(
    footprint: Footprint, capacity: HostCapacity, *, avoid: Collection[str] = (), guaranteed: bool = False
) -> str | None:
    """Return the host on which a worker leaves the least memory free, or None.

    `guaranteed`: the worker is for a VO below its guarantee, so it may use room that is being taken back.
    """
    host_class = class_of(footprint, capacity)
    best: tuple[int, int, str] | None = None
    if guaranteed:
        for name in capacity.held:
            room = capacity.open[name]
            free = room.boots_left > 0 and name in host_class.members and name not in avoid
            if free and fits(footprint, room):
                candidate = (room.memory_mib, room.cpus, name)
                best = candidate if best is None else min(best, candidate)
    for cpus, bucket in host_class.ready.items():
        if cpus < footprint.cpus:
            continue
        for index in range(bisect_left(bucket, (footprint.memory_mib, "")), len(bucket)):
            memory_mib, name = bucket[index]
            if best is not None and (memory_mib, cpus, name) >= best:
                break
            if name not in avoid and disk_fits(footprint, capacity.open[name]):
                best = (memory_mib, cpus, name)
                break
    return best[2] if best else None


def fits(footprint: Footprint, room: HostRoom) -> bool:
    """Whether one more worker fits on a host that can take the environment at all."""
    enough = room.cpus >= footprint.cpus and room.memory_mib >= footprint.memory_mib
    return enough and disk_fits(footprint, room)


def disk_fits(footprint: Footprint, room: HostRoom) -> bool:
    """Whether a host's storage pool has room for the disk of one more worker."""
    return not footprint.filled_pool or room.pools.get(footprint.filled_pool, 0.0) >= footprint.filled_gib


def occupy(name: str, footprint: Footprint, capacity: HostCapacity) -> None:
    """Book one worker on a host, in every class that knows the host."""
    room = capacity.open[name]
    before = (room.memory_mib, name)
    cpus_before = room.cpus
    room.cpus -= footprint.cpus
    room.memory_mib -= footprint.memory_mib
    room.boots_left -= 1
    if footprint.filled_pool:
        room.pools[footprint.filled_pool] -= footprint.filled_gib
    for host_class in capacity.classes.values():
        if name not in host_class.members:
            continue
        was = host_class.resting if room.held else host_class.ready
        bucket = was[cpus_before]
        del bucket[bisect_left(bucket, before)]
        if not bucket:
            del was[cpus_before]
        now = host_class.ready if room.boots_left > 0 and not room.held else host_class.resting
        insort(now.setdefault(room.cpus, []), (room.memory_mib, name))
