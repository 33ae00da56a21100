"""Random farms with random faults, from a seed, in two phases.

First *safety*: nothing forbidden happens while things go wrong. Then *liveness*: everything is mended, and the farm serves all
that it can and comes to rest.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from environments.environment import Disk, DiskMode, Network, NetworkKind, Share
from scheduler.model.policy import Limits
from simulations.farm import SimulatedFarm
from simulations.faults import befall, mend_everything
from simulations.invariants import InvariantWatch, nothing_is_left_behind, unserved, zero_jobs_zero_workers
from simulations.scenario import Deed, EnvironmentLines, FaultLines, HostLines, Scenario
from simulations.workload import random_arrivals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SAFETY_SECONDS = 3600
PATIENCE_SECONDS = 2 * 3600.0
"""A farm in which nothing is wrong and for so long nothing gets done is stuck: longer than any breaker, back-off or brake."""
LOOK_SECONDS = 300.0

_HOST_DEEDS = tuple(deed for deed in Deed if deed.value.startswith("host-"))
_SELDOM = {Deed.JOURNAL_LOST: 0.15, Deed.SECOND_DAEMON: 0.3, Deed.CLOCK_JUMP: 0.5, Deed.STRANGER: 0.5}
_ENDS_BY_ITSELF = {
    *(Deed.WORKER_DIES, Deed.JOBS_REMOVED, Deed.JOBS_HELD, Deed.CHANGE, Deed.CLOCK_JUMP, Deed.JOURNAL_LOST),
    Deed.HOST_FORGOTTEN,
}


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What one seed showed."""

    seed: int
    violations: tuple[str, ...]
    simulated_seconds: float
    cycles: int
    boots: int
    jobs_done: int
    kills: int
    log: str


def run_seed(seed: int, directory: Path) -> SeedResult:
    """Run one seed from beginning to end; its journal is kept in `directory`."""
    chance = Random(seed)  # noqa: S311 - not for secrets
    farm = SimulatedFarm(random_scenario(chance), directory, chance=chance)
    watch = InvariantWatch(farm)
    environments = tuple(farm.policy.catalogue.environments.values())
    for arrival in random_arrivals(chance, environments, SAFETY_SECONDS, chance.randint(4, 14)):
        farm.expect(arrival)
    for _ in range(chance.randint(4, 20)):
        farm.agenda.after(chance.uniform(60, SAFETY_SECONDS), partial(_something_happens, farm, chance))
    farm.run(SAFETY_SECONDS)
    farm.tell("phase", "everything is mended")
    mend_everything(farm)
    _live_on(farm, watch)
    farm.run(3 * LOOK_SECONDS)
    watch.rest(farm)
    served = farm.queue.book.served.values()
    result = SeedResult(
        seed=seed,
        violations=tuple(watch.violations),
        simulated_seconds=farm.clock.monotonic(),
        cycles=sum(daemon.cycles for daemon in farm.daemons),
        boots=sum(call.started for call in farm.plant.calls),
        jobs_done=sum(one.completed for one in served),
        kills=farm.kills,
        log=farm.chronicle.text(sentences=True),
    )
    farm.close()
    return result


def _live_on(farm: SimulatedFarm, watch: InvariantWatch) -> None:
    """Let time pass until all is served, at rest and tidied up, or nothing moves any more.

    What a lost journal does not know may need long: until its ad expires it may be in use.
    """
    moved, moved_at = (-1, -1), farm.clock.monotonic()
    while not watch.violations and farm.clock.monotonic() - moved_at < PATIENCE_SECONDS:
        if not (unserved(farm) or any(zero_jobs_zero_workers(farm)) or any(nothing_is_left_behind(farm))):
            return
        done = sum(one.completed for one in farm.queue.book.served.values())
        if (done, len(farm.plant.calls)) != moved:
            moved, moved_at = (done, len(farm.plant.calls)), farm.clock.monotonic()
        farm.run(LOOK_SECONDS)


# --- a random farm ----------------------------------------------------------------------------------------------------


def random_scenario(chance: Random) -> Scenario:
    """Make up a farm."""
    vos = ["atlas", "cms", "theory"][: chance.randint(1, 3)]
    hosts = {f"host{number}": _random_host(chance) for number in range(1, chance.randint(2, 5))}
    environments: dict[str, EnvironmentLines] = {}
    for vo in vos:
        for number in range(1, chance.randint(2, 3)):
            name = f"{vo}-e{number}"
            environments[name] = _random_environment(chance, name, vo, vos, default=number == 1)
    limits = Limits(
        poll_seconds=chance.choice((15, 30, 60)),
        silence_seconds=chance.choice((600, 900)),
        minimum_life_seconds=chance.choice((0, 60, 120)),
        breaker_seconds=60,
        breaker_maximum_seconds=600,
        sweep_seconds=120,
        boots_per_pool=chance.choice((2, 40)),
        drain_percent=chance.choice((20, 100)),
    )
    return Scenario(
        lasts=SAFETY_SECONDS,
        hosts=hosts,
        vos={vo: _random_share(chance) for vo in vos},
        environments=environments,
        limits=limits,
        drained_workers_leave=chance.random() < 0.5,
    )


def _random_host(chance: Random) -> HostLines:
    cpus = chance.choice((4, 8, 16))
    return HostLines(
        cpus=cpus,
        memory_mib=cpus * chance.choice((1024, 2048, 3000)),
        max_boots=chance.choice((1, 2, 4)),
        cpu_overcommit=chance.choice((1.0, 1.0, 2.0)),
        boot_seconds=chance.choice((5, 30, 90)),
    )


def _random_share(chance: Random) -> Share:
    return Share(
        weight=chance.choice((1.0, 1.0, 3.0)),
        guarantee_cpus=chance.choice((0, 0, 4)),
        ceiling_cpus=chance.choice((None, None, 8)),
    )


def _random_environment(chance: Random, name: str, vo: str, vos: list[str], *, default: bool) -> EnvironmentLines:
    vcpus = chance.choice((1, 2, 4))
    static = chance.random() < 0.2
    block = 10 + int(name[-1]) + 10 * vos.index(vo)
    return EnvironmentLines(
        name=name,
        vo=vo,
        shared_with=tuple(v for v in vos if v != vo and chance.random() < 0.2),
        vcpus=vcpus,
        memory_mib=vcpus * 1000,
        provides={"OpSys": f"Linux{chance.randint(7, 9)}"},
        disk=Disk(mode=DiskMode.OVERLAY) if chance.random() < 0.5 else Disk(),
        network=Network(kind=NetworkKind.BRIDGE, source="default", addresses=f"10.0.{block}.10-10.0.{block}.15/24")
        if static
        else Network(),
        spare_workers=chance.choice((0, 0, 0, 1)),
        maximum_workers=chance.choice((None, None, 3)),
        idle_seconds=chance.choice((60, 180, 300)),
        lifetime_seconds=chance.choice((3600, 172800)),
        boot_seconds=chance.choice((150, 300)),
        default=default,
    )


# --- random faults ----------------------------------------------------------------------------------------------------


def _something_happens(farm: SimulatedFarm, chance: Random) -> None:
    deed = chance.choice(list(Deed))
    if chance.random() > _SELDOM.get(deed, 1.0):
        return
    details = _DETAILS.get(deed, _no_details)(farm, chance)
    if details is None:
        return
    if deed in _HOST_DEEDS:
        details.setdefault("host", chance.choice(sorted(farm.plant.hosts)))
    if deed not in _ENDS_BY_ITSELF:
        details.setdefault("lasts", chance.choice((30, 120, 400, 800, 2000)))
    befall(farm, FaultLines(at=0, do=deed, **details))


def _no_details(_farm: SimulatedFarm, _chance: Random) -> dict[str, Any] | None:
    return {}


def _a_lie(farm: SimulatedFarm, _chance: Random) -> dict[str, Any] | None:
    """Let the queue say that there is nothing, for less time than an empty answer is doubted: longer lies are the truth."""
    if farm.queue.faults.empty or farm.recovering:
        return None
    return {"lasts": farm.policy.limits.confirm_empty_seconds - 5}


def _a_worker(farm: SimulatedFarm, chance: Random) -> dict[str, Any] | None:
    running = sorted(name for host in farm.plant.hosts.values() for name, d in host.domains.items() if d.identity)
    return {"worker": chance.choice(running)} if running else None


def _a_migration(farm: SimulatedFarm, chance: Random) -> dict[str, Any] | None:
    """Choose a worker that is not being copied, and another host with power and room for it."""
    powered = {name: host for name, host in sorted(farm.plant.hosts.items()) if not host.faults.dead}
    on = [(worker, name) for name, host in powered.items() for worker, one in sorted(host.domains.items()) if one.registered]
    counts = Counter(worker for worker, _ in on)
    fitting = [
        {"worker": worker, "host": name}
        for worker, source in on
        for name, host in powered.items()
        if counts[worker] == 1 and name != source
        if host.used_memory_mib + powered[source].domains[worker].memory_mib <= host.machine.memory_mib
    ]
    return chance.choice(fitting) if fitting else None


def _a_dead_host(farm: SimulatedFarm, chance: Random) -> dict[str, Any] | None:
    """Let only hosts without power be given up: who lies about that has what he asked for."""
    dead = sorted(name for name, host in farm.plant.hosts.items() if host.faults.dead)
    return {"host": chance.choice(dead)} if dead else None


def _an_environment(farm: SimulatedFarm, chance: Random) -> dict[str, Any] | None:
    return {"environment": chance.choice(sorted(farm.policy.catalogue.environments))}


def _a_vo(farm: SimulatedFarm, chance: Random) -> dict[str, Any] | None:
    return {"vo": chance.choice(sorted(farm.policy.catalogue.vos))}


def _a_change(farm: SimulatedFarm, chance: Random) -> dict[str, Any] | None:
    name = chance.choice(sorted(farm.policy.catalogue.environments))
    version = farm.policy.catalogue.environments[name].version
    return {"environment": name, "to": {"version": str(int(version) + 1)}}


def _a_jump(_farm: SimulatedFarm, chance: Random) -> dict[str, Any] | None:
    return {"seconds": chance.choice((-7200, -300, 20, 300, 7200))}


def _a_crash(_farm: SimulatedFarm, chance: Random) -> dict[str, Any] | None:
    return {"after_steps": chance.randint(1, 25)}


def _room(farm: SimulatedFarm, chance: Random) -> dict[str, Any] | None:
    host = farm.plant.hosts[chance.choice(sorted(farm.plant.hosts))]
    left = host.machine.memory_mib - host.used_memory_mib
    return {"host": host.name, "memory_mib": left // 2, "worker": f"theirs-{len(farm.chronicle.lines)}"} if left > 2 else None


_DETAILS: dict[Deed, Callable[[SimulatedFarm, Random], dict[str, Any] | None]] = {
    Deed.QUEUE_EMPTY: _a_lie,
    Deed.WORKER_DIES: _a_worker,
    Deed.WORKER_CUT_OFF: _a_worker,
    Deed.WORKER_BLACK_HOLE: _a_worker,
    Deed.WORKER_MIGRATES: _a_migration,
    Deed.IMAGE_HANGS: _an_environment,
    Deed.IMAGE_CRASHES: _an_environment,
    Deed.JOBS_REMOVED: _a_vo,
    Deed.JOBS_HELD: _a_vo,
    Deed.CHANGE: _a_change,
    Deed.CLOCK_JUMP: _a_jump,
    Deed.DAEMON_CRASHES: _a_crash,
    Deed.HOST_FORGOTTEN: _a_dead_host,
    Deed.STRANGER: _room,
}
