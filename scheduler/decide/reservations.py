"""Room kept for VOs whose image is being proven: while a single canary boots, others may not take what is theirs in turn.

A VO whose jobs wait for a canary goes on taking its turns; instead of boots it is given room that nobody else may use in
this decision. Room is counted in workers of the canary's environment, over all hosts that can take it. Nothing is remembered:
the next decision counts afresh, and once the canary has registered, or its breaker has opened, there is nothing to keep.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from environments.environment import Environment
from environments.footprint import Footprint
from environments.reason import Reason
from scheduler.decide.demand import jobs_per_worker
from scheduler.decide.placement import HostCapacity, HostRoom, class_of
from scheduler.decide.shares import Shares, over_ceiling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scheduler.decide.demand import Want
    from scheduler.decide.facts import Facts


@dataclass(slots=True)
class Place:
    """The hosts that can take environments of one shape whose canaries boot, and what is kept there."""

    footprint: Footprint
    """Of one of them."""
    members: frozenset[str]
    slots: int
    """Workers of this shape that fit there now."""
    kept: Counter[str] = field(default_factory=Counter)
    """By environment: workers for which room is kept."""
    total: int = 0


@dataclass(slots=True)
class Hold:
    """Jobs of one want that wait for the canary."""

    vo: str
    environment: Environment
    footprint: Footprint
    each: int
    """Jobs that one worker takes."""
    missing: int
    """Jobs for which nothing is kept yet."""
    room_for: int | None
    """So many workers more may live by the environment's maximum."""
    place: Place | None = None


@dataclass(slots=True)
class Reservations:
    """What is kept during one decision."""

    places: dict[tuple[int, int, int], Place] = field(default_factory=dict)
    """By the class of their hosts, cores and memory."""
    members: set[str] = field(default_factory=set)
    """Hosts of all places."""
    used: float = 0.0
    """The part of all room that is kept; places may be the same hosts, so their parts are added up."""
    booked: list[tuple[str, Environment]] = field(default_factory=list)
    """Workers booked on VOs for what is kept."""


def hold_of(want: Want, facts: Facts, alive: Mapping[str, int]) -> Hold | None:
    """Return what is to be kept for a want that nothing but a canary stands against, or None."""
    name = next((name for name in want.environments if (b := want.blockers.get(name)) and b.code == "canary"), None)
    if name is None or want.purpose != "demand":
        return None
    environment = facts.environments[name]
    room_for = None if environment.maximum_workers is None else environment.maximum_workers - alive[name]
    footprint = facts.footprints[name]
    return Hold(want.vo, environment, footprint, jobs_per_worker(want.of(name), environment), want.missing, room_for)


def keep_one(hold: Hold, keeping: Reservations, capacity: HostCapacity, shares: Shares) -> bool:
    """Keep room for one worker in a VO's turn; False when nothing (more) can be kept for it."""
    environment = hold.environment
    place = hold.place = hold.place or _place_of(hold.footprint, keeping, capacity)
    if hold.missing <= 0 or over_ceiling(shares, hold.vo, environment) is not None:
        return False
    if hold.room_for is not None and place.kept[environment.name] >= hold.room_for:
        return False
    if place.slots == 0 or keeping.used + 1 / place.slots > 1.0 + _ROUNDING:
        return False
    keeping.used += 1 / place.slots
    place.total += 1
    place.kept[environment.name] += 1
    hold.missing -= hold.each
    shares.charge(hold.vo, environment)
    keeping.booked.append((hold.vo, environment))
    return True


def against_what_is_kept(footprint: Footprint, host: str, keeping: Reservations, capacity: HostCapacity) -> Reason | None:
    """Say that a worker on a host would take room that is kept for others, or None."""
    if _used(keeping, _losses(footprint, host, keeping, capacity)) <= 1.0 + _ROUNDING:
        return None
    kept = dict(sorted(sum((place.kept for place in keeping.places.values()), Counter()).items()))
    told = ", ".join(f"{count} of {name}" for name, count in kept.items())
    return Reason(
        "kept-for-canary",
        f"the room that is left is kept for workers of other VOs ({told}) while a canary proves the image of each",
        {**kept},
        "wait until the canaries have registered or failed",
    )


def use(footprint: Footprint, host: str, keeping: Reservations, capacity: HostCapacity) -> None:
    """Take note, before it is booked, of a worker on a host."""
    for key, loss in _losses(footprint, host, keeping, capacity).items():
        keeping.places[key].slots -= loss
    keeping.used = _used(keeping, {})


def close(keeping: Reservations, shares: Shares) -> None:
    """Take the bookings back: nothing was booted for them."""
    for vo, environment in keeping.booked:
        shares.charge(vo, environment, -1)
    keeping.booked.clear()
    keeping.places.clear()
    keeping.members.clear()
    keeping.used = 0.0


def _place_of(footprint: Footprint, keeping: Reservations, capacity: HostCapacity) -> Place:
    host_class = class_of(footprint, capacity)
    key = (id(host_class), footprint.cpus, footprint.memory_mib)
    place = keeping.places.get(key)
    if place is None:
        members = host_class.members
        slots = sum(_fit(footprint, room, 0, 0) for name in members if not (room := capacity.open[name]).held)
        place = keeping.places[key] = Place(footprint, members, slots)
        keeping.members |= members
    return place


def _fit(footprint: Footprint, room: HostRoom, cpus: int, memory_mib: int) -> int:
    """Return how many workers fit on a host when so much more of it is used."""
    by_cpus = (room.cpus - cpus) // footprint.cpus
    by_memory = (room.memory_mib - memory_mib) // footprint.memory_mib
    return max(0, min(by_cpus, by_memory))


def _losses(footprint: Footprint, host: str, keeping: Reservations, capacity: HostCapacity) -> dict[tuple[int, int, int], int]:
    """Return, for each place that the host belongs to, how many workers fewer fit there with one of this environment more."""
    room = capacity.open[host]
    if room.held:
        return {}
    cpus, memory_mib = footprint.cpus, footprint.memory_mib
    return {
        key: _fit(place.footprint, room, 0, 0) - _fit(place.footprint, room, cpus, memory_mib)
        for key, place in keeping.places.items()
        if host in place.members
    }


def _used(keeping: Reservations, losses: Mapping[tuple[int, int, int], int]) -> float:
    """Return the part of all room that is kept when so many workers fewer fit; above 1 it no longer fits."""
    part = 0.0
    for key, place in keeping.places.items():
        if place.total:
            slots = place.slots - losses.get(key, 0)
            part += place.total / slots if slots else float("inf")
    return part


_ROUNDING = 1e-9
