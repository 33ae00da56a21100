"""Boots: which workers are started now, for whom and where.

VOs take turns by their shares; in each turn one worker is placed for one of the VO's wants. A want that cannot be served keeps
the reason of every environment that it could have used.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from environments.names import some
from environments.reason import Reason, counted
from scheduler.decide.demand import jobs_per_worker
from scheduler.decide.facts import Facts
from scheduler.decide.health import failed_there, hosts_to_avoid, image_gate
from scheduler.decide.placement import HostCapacity, find_host, occupy, survey
from scheduler.decide.reservations import Hold, Reservations, against_what_is_kept, close, hold_of, keep_one, use
from scheduler.decide.shares import Shares, over_ceiling
from scheduler.decide.shortage import shortage
from scheduler.decide.suitability import sources_of
from scheduler.decide.supply import Supply, SupplyBins, SupplyKind, less, take_room
from scheduler.model.actions import Boot
from scheduler.model.clock import clock_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from environments.environment import Environment
    from scheduler.decide.demand import Want

_COMING = frozenset({SupplyKind.COMING_PART})


@dataclass(slots=True)
class CapacityLeft:
    """What boots draw on during one decision; everything here only shrinks."""

    facts: Facts
    capacity: HostCapacity
    shares: Shares
    supply: Supply
    alive: dict[str, int]
    """Living workers of each environment, those ordered here included."""
    addresses: set[str]
    serial: int
    budget: int = 0
    booting: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    """Boots under way of each image, those ordered here included."""
    storms: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Boots under way from each storage pool or image."""
    blocked: dict[tuple[str, bool], Reason] = field(default_factory=dict)
    """By (environment, for a VO below its guarantee): why no more of it boots in this decision."""
    avoid: dict[str, tuple[set[str], set[str]]] = field(default_factory=dict)
    boots: list[Boot] = field(default_factory=list)
    ordered: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Boots ordered here, by environment."""
    keeping: Reservations = field(default_factory=Reservations)


def count_what_is_left(facts: Facts, shares: Shares, supply: Supply, *, hold: bool) -> CapacityLeft:
    """Count what is under way and what may still be started; `hold` keeps reclaimed room for those it is reclaimed for."""
    census, observation = facts.census, facts.observation
    alive = defaultdict(int, census.alive_of)
    left = CapacityLeft(facts, survey(facts, hold=hold), shares, supply, alive, set(census.addresses), observation.next_serial)
    for fleet in census.fleets.values():
        environment = facts.environments.get(fleet.environment)
        for worker in fleet.in_flight:
            left.booting[worker.environment, worker.version] += 1
        for source in sources_of(environment) if environment else ():
            left.storms[source] += len(fleet.in_flight)
    limits = facts.limits
    if adopting(facts) is None:
        left.budget = max(0, min(limits.boots_per_cycle, limits.boots_in_flight - census.in_flight))
    return left


def adopting(facts: Facts) -> Reason | None:
    """Say that nothing boots yet because hosts unheard since the journal began may hold workers, or None."""
    until = facts.observation.adopting_until
    if until is None or facts.waiting.over(until):
        return None
    latest = clock_time(until, facts.now, facts.policy.zone)
    return Reason(
        "adopting",
        f"{_never_heard(facts)}: nothing boots until all have answered, or until {latest}",
        _numbers_of_unheard(facts) | {"until": until},
        "bring the hosts back, or wait",
    )


def _addresses_unknown(environment: str, facts: Facts) -> Reason | None:
    """Say that workers that the journal does not know may have static addresses of an environment, or None."""
    numbers = _numbers_of_unheard(facts)
    if environment not in facts.policy.address_pools or not any(numbers.values()):
        return None
    return Reason(
        "addresses-unknown",
        f"{_never_heard(facts)}: workers there may have static addresses of {environment}",
        numbers,
        "bring the hosts back, or say which are off for good: ambienti host forget HOST",
    )


def _never_heard(facts: Facts) -> str:
    """Say who has not told of workers since the journal began."""
    hosts, untold = facts.observation.unheard, facts.observation.untold
    who = [counted(len(hosts), "host") + f" ({some(hosts, 3)})"] if hosts else []
    who += [f"discovery {name}" for name in untold]
    return f"nothing has been heard of {' and '.join(who)} since the journal began or was restored"


def _numbers_of_unheard(facts: Facts) -> dict[str, int | float | str]:
    return {"silent_hosts": len(facts.observation.unheard), "silent_discoveries": len(facts.observation.untold)}


def no_budget(left: CapacityLeft) -> Reason:
    """Say why this decision may order no more boots."""
    limits, flying = left.facts.limits, sum(left.booting.values())
    waiting = adopting(left.facts)
    if waiting is not None:
        return waiting
    if flying >= limits.boots_in_flight:
        return Reason(
            "in-flight-limit",
            f"{counted(flying, 'worker', 'boot')}, no more than boots_in_flight = {limits.boots_in_flight} allows",
            {"in_flight": flying, "boots_in_flight": limits.boots_in_flight},
            "wait until boots end, or raise limits.boots_in_flight",
        )
    return Reason(
        "boots-limit",
        f"{len(left.boots)} boots are ordered in this cycle, as many as boots_per_cycle allows; the next cycle boots more",
        {"boots": len(left.boots), "boots_per_cycle": limits.boots_per_cycle},
        "wait for the next cycle, or raise limits.boots_per_cycle",
    )


def boot_for(wants: Iterable[Want], left: CapacityLeft) -> None:
    """Order boots for wants, the VOs taking turns by their shares; fill in what was ordered and what stands against more.

    A VO whose jobs only wait for a canary takes its turns too, as long as others boot: room is kept for it.
    """
    queues: dict[str, deque[Want]] = {}
    holds: dict[str, deque[Hold]] = defaultdict(deque)
    for want in wants:
        if want.missing > 0:
            queues.setdefault(want.vo, deque()).append(want)
    turns = [left.shares.turn(vo) for vo in queues]
    heapq.heapify(turns)
    booting = len(queues)
    while turns and booting:
        vo = heapq.heappop(turns)[2]
        queue = queues[vo]
        if queue:
            _serve(queue, holds[vo], left)
            booting -= not queue
        elif not keep_one(holds[vo][0], left.keeping, left.capacity, left.shares):
            holds[vo].popleft()
        if queue or holds[vo]:
            heapq.heappush(turns, left.shares.turn(vo))
    close(left.keeping, left.shares)


def _serve(queue: deque[Want], holds: deque[Hold], left: CapacityLeft) -> None:
    """Boot one worker for the want whose turn it is."""
    want = queue.popleft()
    take_room(want, left.supply, only=_COMING)
    if want.missing > 0 and _boot_one(want, left):
        queue.append(want)
    elif want.missing > 0:
        hold = hold_of(want, left.facts.environments, left.alive)
        if hold is not None:
            holds.append(hold)


def _boot_one(want: Want, left: CapacityLeft) -> bool:
    """Boot one worker for a want; False when nothing (more) can be booted for it."""
    if left.budget <= 0:
        reason = no_budget(left)
        for name in want.environments:
            want.blockers.setdefault(name, reason)
        return False
    guaranteed = left.shares.of(want.vo).below_guarantee
    for name in want.environments:
        if name in want.blockers:
            continue
        environment = left.facts.environments[name]
        against = over_ceiling(left.shares, want.vo, environment) or left.blocked.get((name, guaranteed))
        if against is None:
            host = _host_for(environment, left, guaranteed=guaranteed)
            if isinstance(host, str):
                _order(want, environment, host, left)
                return want.missing > 0
            against = left.blocked[name, guaranteed] = host
        want.blockers[name] = against
    return False


def _host_for(environment: Environment, left: CapacityLeft, *, guaranteed: bool) -> str | Reason:
    """Return the host for one more worker of an environment, or why there is none."""
    standing_against = _limits_of(environment, left)
    if standing_against is not None:
        return standing_against
    name = environment.name
    if name not in left.avoid:
        image = (name, environment.version)
        left.avoid[name] = hosts_to_avoid(left.facts.health, image)
    soft, hard = left.avoid[name]
    host = find_host(environment, left.capacity, avoid=soft | hard, guaranteed=guaranteed)
    if host is None and soft:
        host = find_host(environment, left.capacity, avoid=hard, guaranteed=guaranteed)
    if host is None and hard:
        resting = find_host(environment, left.capacity, guaranteed=guaranteed)
        if resting is not None:
            return failed_there(left.facts.health, (name, environment.version), resting)
    if host is not None and left.keeping.places:
        return _beside_what_is_kept(environment, host, left, avoid=soft | hard, guaranteed=guaranteed)
    return host or shortage(environment, left.capacity)


def _beside_what_is_kept(
    environment: Environment, host: str, left: CapacityLeft, *, avoid: set[str], guaranteed: bool
) -> str | Reason:
    """Return a host where a worker takes no room that is kept for others, or that there is none."""
    against = against_what_is_kept(environment, host, left.keeping, left.capacity)
    if against is None:
        return host
    kept = left.keeping.members
    elsewhere = find_host(environment, left.capacity, avoid=avoid | kept if avoid else kept, guaranteed=guaranteed)
    return elsewhere or against


def _limits_of(environment: Environment, left: CapacityLeft) -> Reason | None:
    """Say which limit of an environment stands against one more worker, or None."""
    name = environment.name
    allowed, reason = image_gate(left.facts.health, environment, left.booting[name, environment.version])
    if allowed == 0 and reason is not None:
        return reason
    maximum = environment.maximum_workers
    if maximum is not None and left.alive[name] >= maximum:
        return _at_maximum(name, left.alive[name], maximum, left.facts.census.unseen_of.get(name, 0))
    limit = left.facts.policy.limits.boots_per_pool
    for source in sources_of(environment):
        if left.storms[source] >= limit:
            return Reason(
                "pool-boots-limit",
                f"{counted(left.storms[source], 'worker', 'boot')} from {source}, no more than boots_per_pool = {limit} allows",
                {"booting": left.storms[source], "boots_per_pool": limit, "source": source},
                "wait until boots end, or raise limits.boots_per_pool",
            )
    pool = left.facts.policy.address_pools.get(name)
    if pool is not None and _free_address(pool, left) is None:
        return Reason(
            "addresses-exhausted",
            f"all {len(pool)} static addresses of {name} are in use",
            {"addresses": len(pool)},
            f"wait until workers of {name} end, or give its network more addresses",
        )
    return _addresses_unknown(name, left.facts)


def _at_maximum(name: str, workers: int, maximum: int, unseen: int) -> Reason:
    sentence = f"environment {name} has {counted(workers, 'worker')} and may have at most {maximum}"
    numbers: dict[str, int | float | str] = {"workers": workers, "maximum_workers": maximum}
    if unseen:
        sentence += f"; {unseen} of them on hosts that do not answer"
        numbers["unseen"] = unseen
    remedy = f"let the VO manager raise maximum_workers of {name}"
    if maximum:
        remedy = f"wait until workers of {name} end, or {remedy}"
    return Reason("maximum-workers", sentence, numbers, remedy)


def _free_address(pool: tuple[str, ...], left: CapacityLeft) -> str | None:
    return next((address for address in pool if address not in left.addresses), None)


def _order(want: Want, environment: Environment, host: str, left: CapacityLeft) -> None:
    """Order one boot and book everything it uses."""
    name = environment.name
    asked = want.of(name)
    each = jobs_per_worker(asked, environment)
    jobs = min(each, want.missing)
    address = _free_address(left.facts.policy.address_pools.get(name, ()), left)
    waiting = want.missing
    left.boots.append(
        Boot(
            machine=f"{name}-{left.serial}",
            serial=left.serial,
            environment=name,
            version=environment.version,
            vo=want.vo,
            batch_system=want.batch_system,
            host=host,
            reason=_why(want, name, waiting, each),
            address=address,
        )
    )
    if address is not None:
        left.addresses.add(address)
    left.serial += 1
    left.budget -= 1
    left.alive[name] += 1
    left.ordered[name] += 1
    left.booting[name, environment.version] += 1
    for source in sources_of(environment):
        left.storms[source] += 1
    left.shares.charge(want.vo, environment)
    use(environment, host, left.keeping, left.capacity)
    occupy(host, environment, left.capacity)
    want.missing -= jobs
    want.ordered += jobs
    bins = left.supply.setdefault((want.batch_system, name), SupplyBins())
    part = SupplyKind.COMING_PART if want.purpose == "demand" else SupplyKind.COMING_WHOLE
    used = jobs if want.purpose == "demand" else 0
    whole = (environment.vcpus, environment.slot_memory_mib, environment.slot_disk_mib, environment.slot_gpus)
    bins.put(part, less(whole, asked, used), len(bins.walltimes))


def _why(want: Want, environment: str, waiting: int, each: int) -> Reason:
    if want.purpose == "demand":
        sentence = (
            f"{counted(waiting, 'idle job')} of {want.vo} ({want.key}) without room; a worker of {environment} takes {each}"
        )
        return Reason("demand", sentence, {"missing_jobs": waiting, "jobs_per_worker": each, "cluster": want.key})
    sentences = {
        "minimum": f"{environment} is short of its minimum by {counted(waiting, 'worker')}",
        "spare": f"{environment} keeps spare workers while there is demand; it is short by {counted(waiting, 'worker')}",
        "canary": f"a first worker of the new version of {environment} proves it before the old ones are replaced",
    }
    return Reason(want.purpose, sentences[want.purpose], {"missing_workers": waiting})
