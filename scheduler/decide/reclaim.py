"""Reclaim: when a worker fits nowhere, room is taken back by drain; never by killing a job.

Idle workers that nobody needs go first, for whoever waits. For a VO below its guarantee, workers of VOs that hold more than
theirs go too: the idle ones first, then those whose jobs end soonest. Room that drains already under way will free is
counted, so that never more is drained than is needed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import TYPE_CHECKING

from environments.reason import Reason, counted
from scheduler.decide.boots import CapacityLeft
from scheduler.decide.demand import jobs_per_worker
from scheduler.decide.placement import class_of
from scheduler.decide.retirement import Orders, against_drain
from scheduler.model.workers import Worker, WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from environments.environment import Environment
    from scheduler.decide.demand import Want

Room = tuple[int, int]
"""Cores and MiB."""
Victim = tuple[float, float, str, Worker]
"""When its jobs end (0: idle), when it was requested, its name, the worker: the order in which lent workers go."""

_AT_FIRST = 1000
"""So many lent workers are looked at before all of them are put in order."""


@dataclass(slots=True)
class Reclaim:
    """The state of taking room back in one decision."""

    left: CapacityLeft
    orders: Orders
    coming: dict[str, Room]
    """By host with drains under way: the room there when they have ended."""
    given: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Cores that each VO gives back."""
    drained: dict[str, list[Worker]] = field(default_factory=lambda: defaultdict(list))
    """Workers that drain for each want, by its key."""
    promised: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Cores that each VO will get out of the room that comes."""
    lent: list[Victim] | None = None
    """Workers that VOs hold above their guarantee, the first to go first: some of them at first, all when those do not do."""
    hopeless: set[tuple[object, ...]] = field(default_factory=set)
    """Kinds of workers for which nothing more can be freed."""


def take_room_back(wants: Iterable[Want], left: CapacityLeft, orders: Orders) -> None:
    """Order the drains that make room for wants which no host can take now."""
    waiting = [(want, name) for want in wants if want.missing > 0 and (name := _short_of_room(want))]
    if not waiting:
        return
    waiting.sort(key=lambda pair: (left.shares.turn(pair[0].vo), pair[0].key))
    state = Reclaim(left, orders, _room_that_comes(left, orders))
    early = [worker for key in sorted(orders.surplus) for worker in orders.surplus[key]]
    for want, name in waiting:
        environment = left.facts.environments[name]
        count = _workers_wanted(want, environment, state)
        count -= _use_coming_room(want, environment, count, state)
        if count > 0 and early:
            count -= _free(want, environment, count, early, cause="surplus", state=state)
        count = min(count, _workers_owed(want.vo, environment, state))
        if count > 0 and left.facts.limits.reclaim:
            _free(want, environment, count, _lent(state), cause="reclaim", state=state)


def _short_of_room(want: Want) -> str | None:
    """Return the first environment of a want that only room on the hosts stands against."""
    return next((name for name in want.environments if want.blockers.get(name, _NOTHING).code == "farm-full"), None)


_NOTHING = Reason("", "")


def _workers_wanted(want: Want, environment: Environment, state: Reclaim) -> int:
    """Return how many workers a want lacks and may have."""
    count = -(-want.missing // jobs_per_worker(want.of(environment.name), environment))
    standing, ceiling = state.left.shares.of(want.vo), state.left.shares.of(want.vo).vo.share.ceiling_cpus
    if ceiling is not None:
        count = min(count, (ceiling - standing.cpus - state.promised[want.vo]) // environment.vcpus)
    if environment.maximum_workers is not None:
        count = min(count, environment.maximum_workers - state.left.alive[environment.name])
    return max(0, count)


def _workers_owed(vo: str, environment: Environment, state: Reclaim) -> int:
    """Return how many workers more bring a VO up to its guarantee, counting the room that is promised to it already."""
    standing = state.left.shares.of(vo)
    lacking = standing.vo.share.guarantee_cpus - standing.cpus - state.promised[vo]
    return -(-max(0, lacking) // environment.vcpus)


def _room_that_comes(left: CapacityLeft, orders: Orders) -> dict[str, Room]:
    """Return, for hosts with drains under way, their room when those workers are gone."""
    coming: dict[str, Room] = {}
    leaving = [worker for fleet in left.facts.census.fleets.values() for worker in fleet.leaving]
    for worker in (*leaving, *orders.leaving.values()):
        room = left.capacity.open.get(worker.host)
        if room is not None and worker.name not in orders.cancelled:
            cpus, memory_mib = coming.get(worker.host, (room.cpus, room.memory_mib))
            coming[worker.host] = (cpus + worker.cpus, memory_mib + worker.memory_mib)
    return coming


def _takes(room: Room, environment: Environment) -> bool:
    return room[0] >= environment.vcpus and room[1] >= environment.memory_mib


def _less(room: Room, environment: Environment) -> Room:
    return room[0] - environment.vcpus, room[1] - environment.memory_mib


def _use_coming_room(want: Want, environment: Environment, count: int, state: Reclaim) -> int:
    """Promise room that drains under way will free; return how many of `count` workers it serves."""
    members = class_of(state.left.facts.footprints[environment.name], state.left.capacity).members
    served = 0
    for host in sorted(state.coming):
        while served < count and host in members and _takes(state.coming[host], environment):
            state.coming[host] = _less(state.coming[host], environment)
            served += 1
    state.promised[want.vo] += served * environment.vcpus
    return served


def _lent(state: Reclaim) -> Iterator[Worker]:
    """Yield the workers that VOs hold above their guarantee: idle ones first, then those whose jobs end soonest."""
    if state.lent is None:
        state.lent = nsmallest(_AT_FIRST, _victims(state.left))
    known = state.lent
    yield from (victim[3] for victim in known)
    if len(known) == _AT_FIRST:
        state.lent = sorted(_victims(state.left))
        yield from (victim[3] for victim in state.lent[_AT_FIRST:])


def _victims(left: CapacityLeft) -> Iterator[Victim]:
    lenders = {vo for vo, standing in left.shares.standings.items() if standing.spare_above_guarantee(1)}
    idle, never = WorkerState.IDLE, float("inf")
    for fleet in left.facts.census.fleets.values():
        if left.facts.trust.of_batch(fleet.batch_system) is not None:
            continue
        for worker in fleet.serving:
            if worker.vo in lenders:
                until = worker.busy_until
                ends = 0.0 if worker.state is idle and not worker.claimed else never if until is None else until
                yield ends, worker.requested_at, worker.name, worker


def _free(want: Want, environment: Environment, count: int, victims: Iterable[Worker], *, cause: str, state: Reclaim) -> int:
    """Drain victims until `count` workers of an environment will fit; return for how many it was done.

    Victims are gathered host by host in their order; a host is drained only once what is gathered there suffices.
    """
    left, orders = state.left, state.orders
    members = class_of(left.facts.footprints[environment.name], left.capacity).members
    shape = (cause, want.vo, members, environment.vcpus, environment.memory_mib)
    if shape in state.hopeless:
        return 0
    gathered: dict[str, list[Worker]] = defaultdict(list)
    freed = 0
    for worker in victims:
        if freed >= count or orders.budget <= 0:
            break
        host = worker.host
        if host not in members or worker.name in orders.leaving or not _may_go(worker, cause, state):
            continue
        gathered[host].append(worker)
        room = _with(state, host, gathered[host])
        if _takes(room, environment):
            group = _only_needed(gathered.pop(host), environment, state)
            if len(group) <= orders.budget and _agreed(group, cause, state):
                if group:  # else what drains already suffices
                    _drain(group, want, environment, cause, state)
                state.coming[host] = _less(_with(state, host, ()), environment)
                freed += 1
    state.promised[want.vo] += freed * environment.vcpus
    if freed < count:
        state.hopeless.add(shape)
    return freed


def _with(state: Reclaim, host: str, workers: Iterable[Worker]) -> Room:
    """Return the room of a host when drains under way and these workers have ended."""
    room = state.left.capacity.open[host]
    cpus, memory_mib = state.coming.get(host, (room.cpus, room.memory_mib))
    for worker in workers:
        cpus += worker.cpus
        memory_mib += worker.memory_mib
    return cpus, memory_mib


def _only_needed(group: list[Worker], environment: Environment, state: Reclaim) -> list[Worker]:
    """Leave out the workers, last to go first, without which the rest suffices."""
    for worker in group[::-1]:
        rest = [other for other in group if other is not worker]
        if _takes(_with(state, worker.host, rest), environment):
            group = rest
    return group


def _may_go(worker: Worker, cause: str, state: Reclaim) -> bool:
    facts = state.left.facts
    if worker.name in facts.observation.unjournaled or facts.trust.of_host(worker.host) is not None:
        return False
    if cause == "surplus":
        return against_drain(cause, worker, facts, state.orders) is None
    return _keeps_guarantee(worker.vo, worker.cpus, state)


def _keeps_guarantee(vo: str, cpus: int, state: Reclaim) -> bool:
    return state.left.shares.of(vo).spare_above_guarantee(state.given[vo] + cpus)


def _agreed(group: list[Worker], cause: str, state: Reclaim) -> bool:
    """Whether every VO keeps its guarantee when the whole group goes."""
    if cause == "surplus":
        return True
    asked: dict[str, int] = defaultdict(int)
    for worker in group:
        asked[worker.vo] += worker.cpus
    return all(_keeps_guarantee(vo, cpus, state) for vo, cpus in asked.items())


def _drain(group: list[Worker], want: Want, environment: Environment, cause: str, state: Reclaim) -> None:
    """Drain a group of workers on one host, which makes room for one worker of the environment."""
    state.coming[group[0].host] = _with(state, group[0].host, group)
    for worker in group:
        state.given[worker.vo] += worker.cpus
        state.orders.drain(worker, cause, _why(worker, want, environment, cause, state))
    state.drained[want.key] += group
    drained = state.drained[want.key]
    hosts = len({worker.host for worker in drained})
    where = group[0].host if hosts == 1 else counted(hosts, "host")
    sentence = f"{counted(len(drained), 'worker', 'drain')} on {where} to make room for workers of {environment.name}"
    numbers = {"draining": len(drained), "hosts": hosts}
    want.reclaiming = Reason("reclaiming", sentence, numbers, "wait until they are empty")


def _why(worker: Worker, want: Want, environment: Environment, cause: str, state: Reclaim) -> Reason:
    if cause == "surplus":
        sentence = (
            f"it is idle, no waiting job needs it, and there is no room in {environment.name} "
            f"for {counted(want.missing, 'job')} of {want.vo}"
        )
        return Reason(cause, sentence, {"missing_jobs": want.missing, "environment": environment.name})
    owner, owed = state.left.shares.of(worker.vo), state.left.shares.of(want.vo)
    sentence = (
        f"VO {want.vo} holds {owed.cpus} of its guaranteed {owed.vo.share.guarantee_cpus} cores, "
        f"{want.missing} of its jobs wait; "
        f"VO {worker.vo} holds {owner.cpus} cores, its guarantee is {owner.vo.share.guarantee_cpus}"
    )
    numbers: Mapping[str, int | float | str] = {
        "held_cpus": owed.cpus,
        "guarantee_cpus": owed.vo.share.guarantee_cpus,
        "missing_jobs": want.missing,
        "lender_cpus": owner.cpus,
        "lender_guarantee_cpus": owner.vo.share.guarantee_cpus,
    }
    return Reason(cause, sentence, numbers, f"running jobs finish first; {want.vo} then boots here")
