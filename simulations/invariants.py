"""What must never happen, and what must be true in the end: each sentence a function that yields the violations it finds.

`ALWAYS` is checked after every step, with faults or without; `IN_CALM` only while nothing is wrong with any source; `AT_REST`
when the faults are over and the farm has had time to come to rest.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from environments.matching import match
from simulations.jobs import requirements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulations.farm import SimulatedFarm
    from simulations.plant import HostCall

    Invariant = Callable[[SimulatedFarm], Iterator[str]]


class InvariantWatch:
    """Checks invariants after every step of a farm; what happened between two steps is looked at once."""

    def __init__(self, farm: SimulatedFarm) -> None:
        self.violations: list[str] = []
        self.fresh: list[HostCall] = []
        """Acts on hosts since the last step."""
        self._seen_calls = 0
        self._started: dict[str, int] = {}
        self._era = 0
        farm.plant.is_journaled = lambda worker: any(
            daemon.alive and daemon.journal.entry(worker) is not None for daemon in farm.daemons
        )
        farm.checks.append(self.look)

    def look(self, farm: SimulatedFarm) -> None:
        """Check everything that must hold at this instant."""
        self.fresh = farm.plant.calls[self._seen_calls :]
        self._seen_calls = len(farm.plant.calls)
        invariants = ALWAYS if farm.faults_active or farm.recovering else [*ALWAYS, *IN_CALM]
        for invariant in invariants:
            self._note(farm, invariant, invariant(farm))
        for invariant_of_calls in OF_CALLS:
            self._note(farm, invariant_of_calls, invariant_of_calls(self.fresh))
        self._note(farm, self.no_name_is_used_twice, self.no_name_is_used_twice(farm))

    def rest(self, farm: SimulatedFarm) -> None:
        """Check everything that must hold when the farm has come to rest."""
        for invariant in AT_REST:
            self._note(farm, invariant, invariant(farm))

    def no_name_is_used_twice(self, farm: SimulatedFarm) -> Iterator[str]:
        """No worker is started twice under one name, as long as the journal is not lost."""
        if farm.journals_lost != self._era:
            self._era = farm.journals_lost
            self._started.clear()
        for call in self.fresh:
            if call.started:
                self._started[call.worker] = self._started.get(call.worker, 0) + 1
                if self._started[call.worker] > 1:
                    yield f"{call.worker} was started {self._started[call.worker]} times, now on {call.host}"

    def _note(self, farm: SimulatedFarm, invariant: Callable[..., object], found: Iterator[str]) -> None:
        for text in found:
            name = getattr(invariant, "__name__", "invariant").replace("_", " ")
            line = f"{name}: {text} (at {farm.clock.monotonic():.0f} s)"
            self.violations.append(line)
            farm.tell("VIOLATION", line)


# --- always -----------------------------------------------------------------------------------------------------------


def no_host_is_above_its_memory(farm: SimulatedFarm) -> Iterator[str]:
    """Memory is never over-committed."""
    for host in farm.plant.hosts.values():
        if host.used_memory_mib > host.machine.memory_mib:
            yield f"{host.name} holds {host.used_memory_mib} of {host.machine.memory_mib} MiB"


def no_disk_is_writable_on_two_hosts(farm: SimulatedFarm) -> Iterator[str]:
    """A volume has at most one running domain that writes to it."""
    writers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for host in farm.plant.hosts.values():
        for domain in host.domains.values():
            if domain.volume is not None:
                writers[domain.volume].append(host.name)
    for (pool, volume), hosts in writers.items():
        if len(hosts) > 1:
            yield f"volume {volume} of pool {pool} on {', '.join(hosts)}"


def no_worker_runs_twice(farm: SimulatedFarm) -> Iterator[str]:
    """A name runs on one host at most."""
    names = Counter(name for host in farm.plant.hosts.values() for name, d in host.domains.items() if d.identity is not None)
    for name, count in names.items():
        if count > 1:
            yield f"{name} runs on {count} hosts"


def no_static_address_is_given_twice(farm: SimulatedFarm) -> Iterator[str]:
    """Two running workers never have the same address."""
    taken: dict[str, str] = {}
    for host in farm.plant.hosts.values():
        for domain in host.domains.values():
            address = domain.identity.address if domain.identity is not None else None
            if address is not None and taken.setdefault(address, domain.name) != domain.name:
                yield f"{address} belongs to {taken[address]} and to {domain.name}"


def no_vo_is_above_its_ceiling(farm: SimulatedFarm) -> Iterator[str]:
    """Cores of workers that only one VO can use stay within its ceiling; with a lost journal nobody may know them all."""
    if farm.journals_lost:
        return
    cores: Counter[str] = Counter()
    for host in farm.plant.hosts.values():
        for domain in host.domains.values():
            if domain.environment is not None and domain.environment.vos == (domain.environment.vo,):
                cores[domain.environment.vo] += domain.cpus
    for name, vo in farm.policy.catalogue.vos.items():
        ceiling = vo.share.ceiling_cpus
        if ceiling is not None and cores[name] > ceiling:
            yield f"{name} has {cores[name]} cores, its ceiling is {ceiling}"


def no_environment_is_above_its_maximum(farm: SimulatedFarm) -> Iterator[str]:
    """No more workers than the definition allows."""
    if farm.journals_lost:
        return
    counts = Counter(
        domain.identity.environment
        for host in farm.plant.hosts.values()
        for domain in host.domains.values()
        if domain.identity is not None
    )
    for name, environment in farm.policy.catalogue.environments.items():
        if environment.maximum_workers is not None and counts[name] > environment.maximum_workers:
            yield f"{name} has {counts[name]} workers, its maximum is {environment.maximum_workers}"


def strangers_are_not_touched(farm: SimulatedFarm) -> Iterator[str]:
    """A domain that is not ours lives on as long as its host."""
    for host in farm.plant.hosts.values():
        for name in host.strangers - set(host.domains):
            yield f"{name} on {host.name} is gone"


def every_step_of_a_worker_is_in_the_table(farm: SimulatedFarm) -> Iterator[str]:
    """The engine saw no step that the lifecycle does not hold."""
    for daemon in farm.daemons:
        if daemon.last is not None and daemon.last.observation.now == farm.clock.now():
            for worker, before, after in daemon.last.illegal:
                yield f"{worker} stepped from {before.value} to {after.value}"


def only_the_holder_of_the_lease_acts(farm: SimulatedFarm) -> Iterator[str]:
    """Of several daemons only one changes anything."""
    yield from farm.acts_without_lease
    farm.acts_without_lease.clear()


# --- of each act ------------------------------------------------------------------------------------------------------


def no_worker_with_work_is_powered_off_by_choice(calls: list[HostCall]) -> Iterator[str]:
    """Neither with a running job nor while it is just getting one."""
    for call in calls:
        if call.kind == "power-off" and call.stopped and call.running_jobs and call.seen_by_batch_system:
            yield f"{call.worker} on {call.host} had {call.running_jobs} jobs"


def no_boot_is_asked_for_where_memory_is_short(calls: list[HostCall]) -> Iterator[str]:
    """Memory is counted before, not found out by trying."""
    for call in calls:
        if call.short_of_memory_mib:
            yield f"{call.worker} on {call.host}, which lacks {call.short_of_memory_mib} MiB"


def nothing_starts_without_a_journaled_intent(calls: list[HostCall]) -> Iterator[str]:
    """The journal knows a worker before its domain exists."""
    for call in calls:
        if call.started and not call.journaled:
            yield f"{call.worker} on {call.host}"


def only_our_storage_is_removed_and_only_when_nothing_runs_on_it(calls: list[HostCall]) -> Iterator[str]:
    """A volume goes when no domain of any host writes to it; one that is not ours never goes."""
    for call in calls:
        if call.removed_under:
            yield f"{call.removed_under}, removed on {call.host} while its domain ran"
        if call.removed_foreign:
            yield f"{call.removed_foreign}, removed on {call.host}, was not ours"


# --- in calm ----------------------------------------------------------------------------------------------------------


def no_more_workers_boot_than_jobs_can_use(farm: SimulatedFarm) -> Iterator[str]:
    """Boots are counted exactly: those just ordered never exceed the jobs that wait, spares, minimum and one canary."""
    now = farm.clock.monotonic()
    booting: Counter[str] = Counter()
    ordered: set[str] = set()
    for host in farm.plant.hosts.values():
        for domain in host.domains.values():
            if domain.identity is not None and not domain.registered:
                booting[domain.identity.environment] += 1
                if domain.started_monotonic == now:
                    ordered.add(domain.identity.environment)
    waiting = farm.queue.book.waiting()
    for name in ordered:
        environment = farm.policy.catalogue.environments[name]
        jobs = sum(len(idle) for request, idle in waiting if request.vo in environment.vos and request.wanted in {"", name})
        canary = (name, environment.version) not in farm.plant.proven
        most = jobs + environment.spare_workers + environment.minimum_workers + canary
        if booting[name] > most:
            yield f"{booting[name]} workers of {name} boot for {jobs} waiting jobs"


# --- at rest ----------------------------------------------------------------------------------------------------------


def every_satisfiable_job_is_done(farm: SimulatedFarm) -> Iterator[str]:
    """What some environment can run, ran."""
    for request, count in unserved(farm).items():
        yield f"{count} jobs of {request}"


def unserved(farm: SimulatedFarm) -> dict[str, int]:
    """Return the jobs that could be served and are not done: key of their cluster -> how many."""
    environments = tuple(farm.policy.catalogue.environments.values())
    found = {}
    for row in farm.queue.book.rows(environments):
        satisfiable = row.running or (row.idle and not row.problem and _satisfiable(farm, row.key))
        if satisfiable:
            found[row.key] = row.idle + row.running
    return found


def _satisfiable(farm: SimulatedFarm, key: str) -> bool:
    environments = tuple(farm.policy.catalogue.environments.values())
    requests = [request for request, _ in farm.queue.book.waiting() if farm.queue.book.key(request) == key]
    matched = [match(requirements(r, environments), r.vo, farm.policy.catalogue).environments for r in requests]
    return any(_placeable(farm, name) for names in matched for name in names)


def _placeable(farm: SimulatedFarm, name: str) -> bool:
    environment = farm.policy.catalogue.environments[name]
    if (name, environment.version) in farm.plant.broken_images or environment.maximum_workers == 0:
        return False
    hosts = [host for host in farm.plant.hosts.values() if not host.check(environment)]
    labels = {name: host.labels for name, host in farm.policy.hosts.items()}
    return any(environment.labels.items() <= labels[host.name].items() for host in hosts)


def zero_jobs_zero_workers(farm: SimulatedFarm) -> Iterator[str]:
    """Nothing is kept but the minimum, and no domain is orphaned."""
    counts: Counter[str] = Counter()
    for host in farm.plant.hosts.values():
        counts.update(d.identity.environment for d in host.domains.values() if d.identity is not None)
    for name, count in counts.items():
        environment = farm.policy.catalogue.environments.get(name)
        if environment is None or count > environment.minimum_workers:
            yield f"{count} workers of {name}"


def nothing_is_left_behind(farm: SimulatedFarm) -> Iterator[str]:
    """No volume, no node and no open entry of a worker that is gone, also where the journal was lost."""
    running = {name for host in farm.plant.hosts.values() for name in host.domains}
    for (pool, volume), made in farm.plant.volumes.items():
        if made.site and made.worker not in running:
            yield f"volume {volume} in pool {pool}"
    for worker in farm.queue.nodes:
        if worker not in running:
            yield f"node {worker} in the batch system"
    for daemon in farm.daemons:
        if daemon.alive and daemon.journal.lease().owner == daemon.owner:
            ledger = daemon.journal.ledger()
            yield from (f"entry {name} in the journal" for name in ledger.entries if name not in running)
            yield from (f"open intent {intent.kind} {intent.machine}" for intent in ledger.intents)


def no_job_is_lost(farm: SimulatedFarm) -> Iterator[str]:
    """Every job is somewhere: done, removed, held, waiting or running."""
    for vo, served in farm.queue.book.served.items():
        rows = [row for row in farm.queue.book.rows(()) if row.vo == vo]
        there = sum(row.idle + row.running + row.held for row in rows)
        if served.submitted != served.completed + served.removed + there:
            yield f"{served.submitted} submitted by {vo}: {served.completed} done, {served.removed} removed, {there} there"


ALWAYS: list[Invariant] = [
    no_host_is_above_its_memory,
    no_disk_is_writable_on_two_hosts,
    no_worker_runs_twice,
    no_static_address_is_given_twice,
    no_vo_is_above_its_ceiling,
    no_environment_is_above_its_maximum,
    strangers_are_not_touched,
    every_step_of_a_worker_is_in_the_table,
    only_the_holder_of_the_lease_acts,
]
OF_CALLS: list[Callable[[list[HostCall]], Iterator[str]]] = [
    no_worker_with_work_is_powered_off_by_choice,
    no_boot_is_asked_for_where_memory_is_short,
    nothing_starts_without_a_journaled_intent,
    only_our_storage_is_removed_and_only_when_nothing_runs_on_it,
]
IN_CALM: list[Invariant] = [no_more_workers_boot_than_jobs_can_use]
AT_REST: list[Invariant] = [every_satisfiable_job_is_done, zero_jobs_zero_workers, nothing_is_left_behind, no_job_is_lost]
