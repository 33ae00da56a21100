"""What `status` tells, as numbers: a row for each VO, environment, worker, host and source. Pure; for tables and JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from scheduler.lifecycle import ALIVE, IN_FLIGHT, SERVING
from scheduler.model import DomainState, HostReading, QueueReading, Unanswered, WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from environments.environment import VO
    from scheduler.actions import Plan, Verdict
    from scheduler.model import DiscoveryReading, Observation, RequestCluster, Worker
    from scheduler.policy import Policy

UNMAPPED = "(no VO)"


@dataclass(frozen=True, slots=True)
class VORow:
    """One VO: what it asks and what it has."""

    vo: str
    idle: int
    running: int
    held: int
    oldest_wait_seconds: float | None
    workers: int
    cpus: int
    """Cores of its workers, those in flight included."""
    memory_mib: int
    weight: float | None
    guarantee_cpus: int
    ceiling_cpus: int | None
    says: str = ""
    """The decisive reason of the last plan."""


@dataclass(frozen=True, slots=True)
class EnvironmentRow:
    """One environment: its workers by state."""

    environment: str
    vo: str
    version: str
    wanted: int
    """Idle jobs that name it."""
    in_flight: int
    idle: int
    busy: int
    draining: int
    other: int
    """Silent, unseen or failed."""
    minimum_workers: int
    maximum_workers: int | None
    defined: bool = True
    """False: workers of it run, but no file defines it any more."""
    says: str = ""


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker."""

    worker: str
    environment: str
    version: str
    vo: str
    host: str
    state: str
    state_seconds: float
    age_seconds: float
    jobs: tuple[str, ...]
    free_cpus: int
    free_memory_mib: int
    says: str = ""


@dataclass(frozen=True, slots=True)
class HostRow:
    """One host: how full it is."""

    host: str
    cpus: int | None
    """None while it does not answer."""
    used_cpus: int
    memory_mib: int | None
    used_memory_mib: int
    workers: int
    strangers: int
    draining: bool
    answered_seconds_ago: float | None
    says: str = ""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One batch system or host: when it answered last, and how well."""

    source: str
    kind: str
    answered_seconds_ago: float | None
    state: str
    """ok, carried over, partial, suspect, slow (it may answer yet), silent or removed."""
    says: str = ""


def vo_rows(observation: Observation, policy: Policy, plan: Plan | None = None) -> tuple[VORow, ...]:
    """Return the VOs of the site, then VOs and unmapped jobs that the site does not know."""
    clusters: dict[str, list[RequestCluster]] = defaultdict(list)
    for cluster in _clusters(observation):
        clusters[cluster.vo or UNMAPPED].append(cluster)
    workers: dict[str, list[Worker]] = defaultdict(list)
    for worker in observation.workers:
        if worker.state in ALIVE:
            workers[worker.vo].append(worker)
    names = [*policy.catalogue.vos, *sorted((set(clusters) | set(workers)) - set(policy.catalogue.vos))]
    said = {name: _says(plan.vos.get(name)) for name in names} if plan else {}
    vos = policy.catalogue.vos
    return tuple(
        replace(_vo_row(name, vos.get(name), clusters[name], workers[name], observation.now), says=said.get(name, ""))
        for name in names
    )


def _vo_row(name: str, vo: VO | None, clusters: list[RequestCluster], workers: list[Worker], now: float) -> VORow:
    waits = [cluster.oldest_idle_at for cluster in clusters if cluster.oldest_idle_at is not None and cluster.idle]
    return VORow(
        vo=name,
        idle=sum(cluster.idle for cluster in clusters),
        running=sum(cluster.running for cluster in clusters),
        held=sum(cluster.held for cluster in clusters),
        oldest_wait_seconds=max(0.0, now - min(waits)) if waits else None,
        workers=len(workers),
        cpus=sum(worker.cpus for worker in workers),
        memory_mib=sum(worker.memory_mib for worker in workers),
        weight=vo.share.weight if vo else None,
        guarantee_cpus=vo.share.guarantee_cpus if vo else 0,
        ceiling_cpus=vo.share.ceiling_cpus if vo else None,
    )


def environment_rows(observation: Observation, policy: Policy, plan: Plan | None = None) -> tuple[EnvironmentRow, ...]:
    """Return the environments by VO and name, then those that only live on in workers."""
    states: dict[str, Counter[WorkerState]] = defaultdict(Counter)
    for worker in observation.workers:
        states[worker.environment][worker.state] += 1
    wanted: Counter[str] = Counter()
    for cluster in _clusters(observation):
        wanted[cluster.requirements.wanted] += cluster.idle
    defined = policy.catalogue.environments
    rows = []
    for name in [*sorted(defined, key=lambda n: (defined[n].vo, n)), *sorted(set(states) - set(defined))]:
        count, environment = states[name], defined.get(name)
        draining = count[WorkerState.DRAINING] + count[WorkerState.DRAINED]
        row = EnvironmentRow(
            environment=name,
            vo=environment.vo if environment else "",
            version=environment.version if environment else "",
            wanted=wanted[name],
            in_flight=sum(count[state] for state in IN_FLIGHT),
            idle=count[WorkerState.IDLE],
            busy=count[WorkerState.BUSY],
            draining=draining,
            other=sum(count.values()) - sum(count[s] for s in IN_FLIGHT | SERVING) - draining,
            minimum_workers=environment.minimum_workers if environment else 0,
            maximum_workers=environment.maximum_workers if environment else 0,
            defined=environment is not None,
            says=_says(plan.environments.get(name) if plan else None),
        )
        rows.append(row)
    return tuple(rows)


def worker_rows(observation: Observation, plan: Plan | None = None) -> tuple[WorkerRow, ...]:
    """Return the workers by environment and serial number."""
    ordered = sorted(observation.workers, key=lambda w: (w.environment, w.serial))
    return tuple(
        WorkerRow(
            *(worker.name, worker.environment, worker.version, worker.vo, worker.host, str(worker.state)),
            state_seconds=max(0.0, observation.now - worker.since),
            age_seconds=max(0.0, observation.now - worker.requested_at),
            jobs=tuple(job.job for job in worker.jobs),
            free_cpus=worker.free_cpus,
            free_memory_mib=worker.free_memory_mib,
            says=_says(plan.workers.get(worker.name) if plan else None),
        )
        for worker in ordered
    )


def host_rows(observation: Observation, policy: Policy, plan: Plan | None = None) -> tuple[HostRow, ...]:
    """Return the hosts of the site as they answered."""
    workers = Counter(worker.host for worker in observation.workers if worker.state in ALIVE)
    strangers = Counter(host for host, _ in observation.strangers)
    rows = []
    for name, host in policy.hosts.items():
        reading = observation.hosts.get(name)
        answered = reading if isinstance(reading, HostReading) else None
        running = [domain for domain in answered.domains if domain.state is not DomainState.STOPPED] if answered else []
        row = HostRow(
            host=name,
            cpus=answered.cpus if answered else None,
            used_cpus=sum(domain.cpus for domain in running),
            memory_mib=answered.memory_mib if answered else None,
            used_memory_mib=sum(domain.memory_mib for domain in running),
            workers=workers[name],
            strangers=strangers[name],
            draining=host.draining or name in observation.draining_hosts,
            answered_seconds_ago=_age(reading, observation.now),
            says=reading.reason if isinstance(reading, Unanswered) else _says(plan.hosts.get(name) if plan else None),
        )
        rows.append(row)
    return tuple(rows)


def source_rows(observation: Observation) -> tuple[SourceRow, ...]:
    """Return the batch systems, the discoveries, then the hosts, with the age of their readings."""
    rows = [_source_row(name, "batch system", reading, observation.now) for name, reading in observation.queues.items()]
    rows += _removed_rows(observation)
    rows += [_discovery_row(reading, observation.now) for reading in observation.discoveries.values()]
    rows += [_source_row(name, "host", reading, observation.now) for name, reading in observation.hosts.items()]
    return tuple(rows)


def _removed_rows(observation: Observation) -> list[SourceRow]:
    """Return the batch systems and hosts that the site has no longer although there are workers of theirs."""
    queues = Counter(worker.batch_system for worker in observation.workers if worker.batch_system not in observation.queues)
    hosts = Counter(worker.host for worker in observation.workers if worker.host not in observation.hosts)
    rows = [
        SourceRow(name, "batch system", None, "removed", f"{_left(count)}: put it back into the site file to have them drained")
        for name, count in sorted(queues.items())
    ]
    for name, count in sorted(hosts.items()):
        way_out = f"put it back into the site file, or `ambienti host forget {name}` if it is off for good"
        rows.append(SourceRow(name, "host", None, "removed", f"{_left(count)}: {way_out}"))
    return rows


def _left(count: int) -> str:
    return "1 worker left" if count == 1 else f"{count} workers left"


def _source_row(name: str, kind: str, reading: QueueReading | HostReading | Unanswered, now: float) -> SourceRow:
    age = _age(reading, now)
    if isinstance(reading, Unanswered):
        return SourceRow(name, kind, age, "slow" if reading.pending else "silent", reading.reason)
    if not reading.complete:
        said = "; ".join(reading.warnings) if isinstance(reading, QueueReading) else ""
        return SourceRow(name, kind, age, "partial", said or "some part of its answer is missing")
    if isinstance(reading, QueueReading) and reading.suspect:
        return SourceRow(name, kind, age, "suspect", "empty right after full: not believed until confirmed")
    if isinstance(reading, QueueReading) and not reading.exact:
        return SourceRow(name, kind, age, "carried over", "; ".join(reading.warnings))
    return SourceRow(name, kind, age, "ok", "; ".join(reading.warnings) if isinstance(reading, QueueReading) else "")


def _discovery_row(reading: DiscoveryReading, now: float) -> SourceRow:
    age = None if reading.answered_at is None else max(0.0, now - reading.answered_at)
    state = "silent" if reading.problem else "suspect" if reading.doubt else "ok"
    leaving = f"; emptied, as they are named no longer: {', '.join(reading.leaving)}" if reading.leaving else ""
    held = f"{reading.problem}; its last known hosts stay ({reading.hosts})" if reading.problem else ""
    said = held or reading.doubt or f"{reading.asks}: {reading.hosts} host{'s' * (reading.hosts != 1)}"
    return SourceRow(reading.source, "discovery", age, state, said + leaving)


def status_data(observation: Observation, policy: Policy, plan: Plan | None = None) -> dict[str, Any]:
    """Return all rows as plain data."""
    return {
        "site": policy.site,
        "now": observation.now,
        "sources": _data(source_rows(observation)),
        "vos": _data(vo_rows(observation, policy, plan)),
        "environments": _data(environment_rows(observation, policy, plan)),
        "workers": _data(worker_rows(observation, plan)),
        "hosts": _data(host_rows(observation, policy, plan)),
        "strangers": [{"host": host, "domain": domain} for host, domain in observation.strangers],
    }


def _data(rows: Iterable[Any]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def _clusters(observation: Observation) -> Iterable[RequestCluster]:
    for reading in observation.queues.values():
        if isinstance(reading, QueueReading):
            yield from reading.clusters


def _says(verdict: Verdict | None) -> str:
    return verdict.reasons[0].sentence if verdict and verdict.reasons else ""


def _age(reading: QueueReading | HostReading | Unanswered | None, now: float) -> float | None:
    if reading is None:
        return None
    at = reading.answered_at if isinstance(reading, Unanswered) else reading.at
    return None if at is None else max(0.0, now - at)
