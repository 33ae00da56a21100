"""Boots: which workers are started now, for whom and where.

VOs take turns by their shares; in each turn one worker is placed for one of the VO's wants. A want that cannot be served keeps
the reason of every environment that it could have used.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from environments.reason import Reason, counted
from scheduler.actions import Boot
from scheduler.clock import clock_time
from scheduler.decide.demand import jobs_per_worker
from scheduler.decide.facts import Facts
from scheduler.decide.health import failed_there, hosts_to_avoid, image_gate
from scheduler.decide.keeping import Hold, Keeping, against_what_is_kept, close, hold_of, keep_one, use
from scheduler.decide.placement import Grounds, find_host, occupy, survey
from scheduler.decide.shares import Ledger, over_ceiling
from scheduler.decide.shortage import shortage
from scheduler.decide.suitability import sources_of
from scheduler.decide.supply import Kind, Shelf, Shelves, less, take_room

if TYPE_CHECKING:
    from collections.abc import Iterable

    from environments.environment import Environment
    from scheduler.decide.demand import Want

_COMING = frozenset({Kind.COMING_PART})


@dataclass(slots=True)
class Yard:
    """What boots draw on during one decision; everything here only shrinks."""

    facts: Facts
    grounds: Grounds
    ledger: Ledger
    shelves: Shelves
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
    keeping: Keeping = field(default_factory=Keeping)


def open_yard(facts: Facts, ledger: Ledger, shelves: Shelves, *, hold: bool) -> Yard:
    """Count what is under way and what may still be started; `hold` keeps reclaimed room for those it is reclaimed for."""
    census, observation = facts.census, facts.observation
    alive = defaultdict(int, census.alive_of)
    yard = Yard(facts, survey(facts, hold=hold), ledger, shelves, alive, set(census.addresses), observation.next_serial)
    for fleet in census.fleets.values():
        environment = facts.environments.get(fleet.environment)
        for worker in fleet.in_flight:
            yard.booting[worker.environment, worker.version] += 1
        for source in sources_of(environment) if environment else ():
            yard.storms[source] += len(fleet.in_flight)
    limits = facts.limits
    if adopting(facts) is None:
        yard.budget = max(0, min(limits.boots_per_cycle, limits.boots_in_flight - census.in_flight))
    return yard


def adopting(facts: Facts) -> Reason | None:
    """Say that nothing boots yet because the journal is new and hosts that have never answered may hold workers, or None."""
    until, now = facts.observation.adopting_until, facts.now
    if until is None or now >= until:
        return None
    silent = sum(1 for name in facts.policy.hosts if facts.trust.of_host(name) is not None)
    untold = sorted(name for name, found in facts.observation.discoveries.items() if found.answered_at is None)
    who = [f"{silent} hosts"] if silent or not untold else []
    who += [f"discovery {name}" for name in untold]
    latest = clock_time(until, now, facts.policy.zone)
    return Reason(
        "adopting",
        f"the journal is new and {' and '.join(who)} have not answered yet: nothing boots until they have, or until {latest}",
        {"silent_hosts": silent, "silent_discoveries": len(untold), "until": until},
        "bring the hosts back, or wait",
    )


def no_budget(yard: Yard) -> Reason:
    """Say why this decision may order no more boots."""
    limits, flying = yard.facts.limits, sum(yard.booting.values())
    waiting = adopting(yard.facts)
    if waiting is not None:
        return waiting
    if flying >= limits.boots_in_flight:
        return Reason(
            "in-flight-limit",
            f"{flying} workers are booting, no more than boots_in_flight = {limits.boots_in_flight} allows",
            {"in_flight": flying, "boots_in_flight": limits.boots_in_flight},
            "wait until boots end, or raise limits.boots_in_flight",
        )
    return Reason(
        "boots-limit",
        f"{len(yard.boots)} boots are ordered in this cycle, as many as boots_per_cycle allows; the next cycle boots more",
        {"boots": len(yard.boots), "boots_per_cycle": limits.boots_per_cycle},
        "wait for the next cycle, or raise limits.boots_per_cycle",
    )


def boot_for(wants: Iterable[Want], yard: Yard) -> None:
    """Order boots for wants, the VOs taking turns by their shares; fill in what was ordered and what stands against more.

    A VO whose jobs only wait for a canary takes its turns too, as long as others boot: room is kept for it.
    """
    queues: dict[str, deque[Want]] = {}
    holds: dict[str, deque[Hold]] = defaultdict(deque)
    for want in wants:
        if want.missing > 0:
            queues.setdefault(want.vo, deque()).append(want)
    turns = [yard.ledger.turn(vo) for vo in queues]
    heapq.heapify(turns)
    booting = len(queues)
    while turns and booting:
        vo = heapq.heappop(turns)[2]
        queue = queues[vo]
        if queue:
            _serve(queue, holds[vo], yard)
            booting -= not queue
        elif not keep_one(holds[vo][0], yard.keeping, yard.grounds, yard.ledger):
            holds[vo].popleft()
        if queue or holds[vo]:
            heapq.heappush(turns, yard.ledger.turn(vo))
    close(yard.keeping, yard.ledger)


def _serve(queue: deque[Want], holds: deque[Hold], yard: Yard) -> None:
    """Boot one worker for the want whose turn it is."""
    want = queue.popleft()
    take_room(want, yard.shelves, only=_COMING)
    if want.missing > 0 and _boot_one(want, yard):
        queue.append(want)
    elif want.missing > 0:
        hold = hold_of(want, yard.facts.environments, yard.alive)
        if hold is not None:
            holds.append(hold)


def _boot_one(want: Want, yard: Yard) -> bool:
    """Boot one worker for a want; False when nothing (more) can be booted for it."""
    if yard.budget <= 0:
        reason = no_budget(yard)
        for name in want.environments:
            want.blockers.setdefault(name, reason)
        return False
    guaranteed = yard.ledger.of(want.vo).below_guarantee
    for name in want.environments:
        if name in want.blockers:
            continue
        environment = yard.facts.environments[name]
        against = over_ceiling(yard.ledger, want.vo, environment) or yard.blocked.get((name, guaranteed))
        if against is None:
            host = _host_for(environment, yard, guaranteed=guaranteed)
            if isinstance(host, str):
                _order(want, environment, host, yard)
                return want.missing > 0
            against = yard.blocked[name, guaranteed] = host
        want.blockers[name] = against
    return False


def _host_for(environment: Environment, yard: Yard, *, guaranteed: bool) -> str | Reason:
    """Return the host for one more worker of an environment, or why there is none."""
    standing_against = _limits_of(environment, yard)
    if standing_against is not None:
        return standing_against
    name = environment.name
    if name not in yard.avoid:
        image = (name, environment.version)
        yard.avoid[name] = hosts_to_avoid(yard.facts.health, image, yard.facts.now)
    soft, hard = yard.avoid[name]
    host = find_host(environment, yard.grounds, avoid=soft | hard, guaranteed=guaranteed)
    if host is None and soft:
        host = find_host(environment, yard.grounds, avoid=hard, guaranteed=guaranteed)
    if host is None and hard:
        resting = find_host(environment, yard.grounds, guaranteed=guaranteed)
        if resting is not None:
            return failed_there(yard.facts.health, (name, environment.version), resting, yard.facts.now)
    if host is not None and yard.keeping.places:
        return _beside_what_is_kept(environment, host, yard, avoid=soft | hard, guaranteed=guaranteed)
    return host or shortage(environment, yard.grounds)


def _beside_what_is_kept(environment: Environment, host: str, yard: Yard, *, avoid: set[str], guaranteed: bool) -> str | Reason:
    """Return a host where a worker takes no room that is kept for others, or that there is none."""
    against = against_what_is_kept(environment, host, yard.keeping, yard.grounds)
    if against is None:
        return host
    kept = yard.keeping.members
    elsewhere = find_host(environment, yard.grounds, avoid=avoid | kept if avoid else kept, guaranteed=guaranteed)
    return elsewhere or against


def _limits_of(environment: Environment, yard: Yard) -> Reason | None:
    """Say which limit of an environment stands against one more worker, or None."""
    name = environment.name
    allowed, reason = image_gate(yard.facts.health, environment, yard.booting[name, environment.version], yard.facts.now)
    if allowed == 0 and reason is not None:
        return reason
    maximum = environment.maximum_workers
    if maximum is not None and yard.alive[name] >= maximum:
        return _at_maximum(name, yard.alive[name], maximum, yard.facts.census.unseen_of.get(name, 0))
    limit = yard.facts.policy.limits.boots_per_pool
    for source in sources_of(environment):
        if yard.storms[source] >= limit:
            return Reason(
                "pool-boots-limit",
                f"{yard.storms[source]} workers boot from {source}, no more than boots_per_pool = {limit} allows",
                {"booting": yard.storms[source], "boots_per_pool": limit, "source": source},
                "wait until boots end, or raise limits.boots_per_pool",
            )
    pool = yard.facts.policy.address_pools.get(name)
    if pool is not None and _free_address(pool, yard) is None:
        return Reason(
            "addresses-exhausted",
            f"all {len(pool)} static addresses of {name} are in use",
            {"addresses": len(pool)},
            f"wait until workers of {name} end, or give its network more addresses",
        )
    return None


def _at_maximum(name: str, workers: int, maximum: int, unseen: int) -> Reason:
    sentence = f"environment {name} has {workers} workers, at most {maximum} are allowed"
    numbers: dict[str, int | float | str] = {"workers": workers, "maximum_workers": maximum}
    if unseen:
        sentence += f"; {unseen} of them are on hosts that do not answer"
        numbers["unseen"] = unseen
    remedy = f"wait until workers of {name} end, or let the VO manager raise maximum_workers"
    return Reason("maximum-workers", sentence, numbers, remedy)


def _free_address(pool: tuple[str, ...], yard: Yard) -> str | None:
    return next((address for address in pool if address not in yard.addresses), None)


def _order(want: Want, environment: Environment, host: str, yard: Yard) -> None:
    """Order one boot and book everything it uses."""
    name = environment.name
    asked = want.of(name)
    each = jobs_per_worker(asked, environment)
    jobs = min(each, want.missing)
    address = _free_address(yard.facts.policy.address_pools.get(name, ()), yard)
    waiting = want.missing
    yard.boots.append(
        Boot(
            worker=f"{name}-{yard.serial}",
            serial=yard.serial,
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
        yard.addresses.add(address)
    yard.serial += 1
    yard.budget -= 1
    yard.alive[name] += 1
    yard.ordered[name] += 1
    yard.booting[name, environment.version] += 1
    for source in sources_of(environment):
        yard.storms[source] += 1
    yard.ledger.charge(want.vo, environment)
    use(environment, host, yard.keeping, yard.grounds)
    occupy(host, environment, yard.grounds)
    want.missing -= jobs
    want.ordered += jobs
    shelf = yard.shelves.setdefault((want.batch_system, name), Shelf())
    part = Kind.COMING_PART if want.purpose == "demand" else Kind.COMING_WHOLE
    used = jobs if want.purpose == "demand" else 0
    whole = (environment.vcpus, environment.slot_memory_mib, environment.slot_disk_mib, environment.slot_gpus)
    shelf.put(part, less(whole, asked, used), len(shelf.walltimes))


def _why(want: Want, environment: str, waiting: int, each: int) -> Reason:
    if want.purpose == "demand":
        sentence = (
            f"{counted(waiting, 'idle job')} of {want.vo} ({want.key}) without room; a worker of {environment} takes {each}"
        )
        return Reason("demand", sentence, {"missing_jobs": waiting, "jobs_per_worker": each, "cluster": want.key})
    sentences = {
        "minimum": f"{environment} keeps a minimum of workers and {waiting} are missing",
        "spare": f"{environment} keeps spare workers while there is demand and {waiting} are missing",
        "canary": f"a first worker of the new version of {environment} proves it before the old ones are replaced",
    }
    return Reason(want.purpose, sentences[want.purpose], {"missing_workers": waiting})
