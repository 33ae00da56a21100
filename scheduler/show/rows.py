"""What `status` tells, as numbers: a row for each VO, environment, worker, host and source. Pure; for tables and JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from scheduler.decide.promising import over_promised
from scheduler.model.hosts import DiscoveryReading, DomainState, HostReading
from scheduler.model.lifecycle import ALIVE, IN_FLIGHT, SERVING
from scheduler.model.queues import QueueReading
from scheduler.model.readings import Unanswered, is_silent
from scheduler.model.workers import Worker, WorkerState
from scheduler.observe import counting
from scheduler.show.job_numbers import NO_JOBS, JobNumbers, Jobs, all_of, jobs_by_vo

if TYPE_CHECKING:
    from environments.environment import VO
    from scheduler.model.actions import Plan, Verdict
    from scheduler.model.observation import Observation
    from scheduler.model.policy import Policy

_TOLD_BY_QUEUE = SERVING | {WorkerState.DRAINING, WorkerState.DRAINED}
"""States that a batch system tells of."""


@dataclass(frozen=True, slots=True)
class VORow:
    """One VO: what it asks and what it has."""

    vo: str
    idle: int | None
    """None while some batch system does not tell of all its jobs; `known` and `last` say what is known then."""
    running: int | None
    held: int | None
    oldest_wait_seconds: float | None
    """None when nothing waits, and while it is not known."""
    workers: int | None
    """None, as `cpus` and `memory_mib`, while some host has never been heard; `known_*` say what is known then."""
    cpus: int | None
    """Cores of its workers, those in flight included."""
    memory_mib: int | None
    weight: float | None
    guarantee_cpus: int
    ceiling_cpus: int | None
    known: JobNumbers = NO_JOBS
    """Jobs that are seen now: there are at least so many."""
    last: JobNumbers | None = None
    """The jobs as all batch systems told of them last, while `idle` is None; None if some never did."""
    known_workers: int = 0
    known_cpus: int = 0
    known_memory_mib: int = 0
    says: str = ""
    """The decisive reason of the last plan."""


@dataclass(frozen=True, slots=True)
class EnvironmentRow:
    """One environment: its workers by state."""

    environment: str
    vo: str
    version: str
    wanted: int | None
    """Idle jobs that name it; None while some batch system does not tell of all its jobs."""
    in_flight: int | None
    """None, as the other states, while some host has never been heard; `known_workers` says what is known then."""
    idle: int | None
    busy: int | None
    draining: int | None
    other: int | None
    """Silent, unseen or failed."""
    as_last_seen: int
    """Those of the idle, busy and draining ones of which their batch system tells nothing now."""
    minimum_workers: int
    maximum_workers: int | None
    defined: bool = True
    """False: workers of it run, but no file defines it any more."""
    known_wanted: int = 0
    """Idle jobs that name it and are seen now: there are at least so many."""
    known_workers: Mapping[str, int] = field(default_factory=dict)
    """By state, as above: there are at least so many."""
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
    """Of a worker that is not seen by its batch system now (`known` false): as they were known last."""
    free_cpus: int | None
    """None while it is not known."""
    free_memory_mib: int | None
    known: bool = True
    """Whether its batch system shows it now."""
    says: str = ""


@dataclass(frozen=True, slots=True)
class HostRow:
    """One host: how full it is."""

    host: str
    cpus: int | None
    """None while it does not answer, as all that is read of it."""
    used_cpus: int | None
    memory_mib: int | None
    used_memory_mib: int | None
    workers: int | None
    """Of the journal: those that are, or may be, alive there. None while the host has never been heard."""
    strangers: int | None
    draining: bool
    state: str
    """Of `scheduler.model.host_states`; "" before the first look."""
    state_seconds: float | None
    """For how long it has been in it; None: nobody knows."""
    state_by: str
    """On whose word; "" where the host itself tells it."""
    state_why: str
    answered_seconds_ago: float | None
    known_workers: int = 0
    """At least so many there are."""
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
    last_jobs: JobNumbers | None = None
    """Of a batch system that does not tell of all its jobs now: what it told last, if it ever did."""


def vo_rows(observation: Observation, policy: Policy, plan: Plan | None = None) -> tuple[VORow, ...]:
    """Return the VOs of the site, then VOs and unmapped jobs that the site does not know."""
    jobs = jobs_by_vo(observation)
    workers: dict[str, list[Worker]] = defaultdict(list)
    for worker in observation.workers:
        if worker.state in ALIVE:
            workers[worker.vo].append(worker)
    vos = policy.catalogue.vos
    names = [*vos, *sorted((jobs.vos | set(workers)) - set(vos))]
    heard = not observation.unheard
    rows = (_vo_row(name, vos.get(name), jobs, workers[name], observation.now, heard=heard) for name in names)
    over = _over_promised(observation, policy)
    said = ((row, _says(plan.vos.get(row.vo) if plan else None)) for row in rows)
    return tuple(replace(row, says="; ".join(filter(None, (over.get(row.vo, ""), says)))) for row, says in said)


def _over_promised(observation: Observation, policy: Policy) -> dict[str, str]:
    """Say of the VOs whose guarantees the farm cannot keep why not; nothing while some host has not told its cores."""
    heard = [one for one in observation.hosts.values() if isinstance(one, HostReading)]
    if len(heard) < len(policy.hosts):
        return {}
    shares = {name: vo.share for name, vo in policy.catalogue.vos.items()}
    return {name: said for name, (_, said) in over_promised(shares, sum(one.cpus for one in heard)).items()}


def _vo_row(name: str, vo: VO | None, jobs: Jobs, workers: list[Worker], now: float, *, heard: bool) -> VORow:
    known, since = jobs.known.get(name, NO_JOBS), jobs.waits_since.get(name)
    cpus, memory_mib = sum(worker.cpus for worker in workers), sum(worker.memory_mib for worker in workers)
    return VORow(
        vo=name,
        idle=known.idle if jobs.whole else None,
        running=known.running if jobs.whole else None,
        held=known.held if jobs.whole else None,
        oldest_wait_seconds=None if since is None or not jobs.whole else max(0.0, now - since),
        workers=len(workers) if heard else None,
        cpus=cpus if heard else None,
        memory_mib=memory_mib if heard else None,
        weight=vo.share.weight if vo else None,
        guarantee_cpus=vo.share.guarantee_cpus if vo else 0,
        ceiling_cpus=vo.share.ceiling_cpus if vo else None,
        known=known,
        last=jobs.last_of(name),
        known_workers=len(workers),
        known_cpus=cpus,
        known_memory_mib=memory_mib,
    )


def environment_rows(observation: Observation, policy: Policy, plan: Plan | None = None) -> tuple[EnvironmentRow, ...]:
    """Return the environments by VO and name, then those that only live on in workers."""
    states: dict[str, Counter[WorkerState]] = defaultdict(Counter)
    unseen: Counter[str] = Counter()
    silent = _silent_systems(observation)
    for worker in observation.workers:
        states[worker.environment][worker.state] += 1
        unseen[worker.environment] += worker.state in _TOLD_BY_QUEUE and not _is_seen(worker, silent)
    wanted: Counter[str] = Counter()
    for one in counting.known_jobs(observation):
        wanted[one.wanted] += one.idle
    whole = not counting.untold(observation)
    defined = policy.catalogue.environments
    rows = []
    for name in [*sorted(defined, key=lambda n: (defined[n].vo, n)), *sorted(set(states) - set(defined))]:
        count, environment = states[name], defined.get(name)
        draining = count[WorkerState.DRAINING] + count[WorkerState.DRAINED]
        known = {
            "in_flight": sum(count[state] for state in IN_FLIGHT),
            "idle": count[WorkerState.IDLE],
            "busy": count[WorkerState.BUSY],
            "draining": draining,
            "other": sum(count.values()) - sum(count[s] for s in IN_FLIGHT | SERVING) - draining,
        }
        row = EnvironmentRow(
            environment=name,
            vo=environment.vo if environment else "",
            version=environment.version if environment else "",
            wanted=wanted[name] if whole else None,
            **(dict.fromkeys(known) if observation.unheard else known),
            as_last_seen=unseen[name],
            minimum_workers=environment.minimum_workers if environment else 0,
            maximum_workers=environment.maximum_workers if environment else 0,
            defined=environment is not None,
            known_wanted=wanted[name],
            known_workers=known,
            says=_trouble(plan.environments.get(name) if plan else None),
        )
        rows.append(row)
    return tuple(rows)


def worker_rows(observation: Observation, plan: Plan | None = None) -> tuple[WorkerRow, ...]:
    """Return the workers by environment and serial number."""
    ordered = sorted(observation.workers, key=lambda w: (w.environment, w.serial))
    silent = _silent_systems(observation)
    return tuple(
        WorkerRow(
            *(worker.name, worker.environment, worker.version, worker.vo, worker.host, str(worker.state)),
            state_seconds=max(0.0, observation.now - worker.since),
            age_seconds=max(0.0, observation.now - worker.requested_at),
            jobs=tuple(job.job for job in worker.jobs),
            free_cpus=worker.free_cpus if _is_seen(worker, silent) else None,
            free_memory_mib=worker.free_memory_mib if _is_seen(worker, silent) else None,
            known=_is_seen(worker, silent),
            says=_says(plan.workers.get(worker.name) if plan else None),
        )
        for worker in ordered
    )


def _silent_systems(observation: Observation) -> frozenset[str]:
    silent = {name for name, one in observation.queues.items() if is_silent(one)}
    return frozenset(silent | {worker.batch_system for worker in observation.workers} - observation.queues.keys())


def _is_seen(worker: Worker, silent: frozenset[str]) -> bool:
    """Whether its batch system says now what a worker does; one that has not registered yet is seen by its host alone."""
    if worker.state in {WorkerState.SILENT, WorkerState.UNSEEN}:
        return False
    return worker.registered_at is None or worker.batch_system not in silent


def host_rows(observation: Observation, policy: Policy, plan: Plan | None = None) -> tuple[HostRow, ...]:
    """Return the hosts of the site as they answered."""
    workers = Counter(worker.host for worker in observation.workers if worker.state in ALIVE)
    strangers = Counter(host for host, _ in observation.strangers)
    rows = []
    for name, host in policy.hosts.items():
        reading = observation.hosts.get(name)
        answered = reading if isinstance(reading, HostReading) else None
        stands = observation.host_states.get(name)
        running = [domain for domain in answered.domains if domain.state is not DomainState.STOPPED] if answered else []
        row = HostRow(
            host=name,
            cpus=answered.cpus if answered else None,
            used_cpus=sum(domain.cpus for domain in running) if answered else None,
            memory_mib=answered.memory_mib if answered else None,
            used_memory_mib=sum(domain.memory_mib for domain in running) if answered else None,
            workers=None if reading is None or name in observation.unheard else workers[name],
            strangers=strangers[name] if answered else None,
            draining=host.draining or name in observation.draining_hosts,
            state=stands.state.value if stands else "",
            state_seconds=max(0.0, observation.now - stands.since) if stands and stands.since is not None else None,
            state_by=stands.by if stands else "",
            state_why=stands.why if stands else "",
            answered_seconds_ago=_age(reading, observation.now),
            known_workers=workers[name],
            says=reading.reason if isinstance(reading, Unanswered) else _says(plan.hosts.get(name) if plan else None),
        )
        rows.append(row)
    return tuple(rows)


def source_rows(observation: Observation) -> tuple[SourceRow, ...]:
    """Return the batch systems, the discoveries, then the hosts, with the age of their readings."""
    rows = [
        _with_last_jobs(_source_row(name, "batch system", reading, observation.now), observation)
        for name, reading in observation.queues.items()
    ]
    rows += _removed_rows(observation)
    rows += [_discovery_row(reading, observation.now) for reading in observation.discoveries.values()]
    rows += [_source_row(name, "host", reading, observation.now) for name, reading in observation.hosts.items()]
    return tuple(rows)


def _with_last_jobs(row: SourceRow, observation: Observation) -> SourceRow:
    last = observation.last_jobs.get(row.source)
    if last is None:
        return row
    return replace(row, last_jobs=all_of(last, observation.now))


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
    told = (*reading.warnings, *reading.advice) if isinstance(reading, QueueReading) else ()
    carried = isinstance(reading, QueueReading) and not reading.exact
    return SourceRow(name, kind, age, "carried over" if carried else "ok", "; ".join(told))


def _discovery_row(reading: DiscoveryReading, now: float) -> SourceRow:
    age = None if reading.answered_at is None else max(0.0, now - reading.answered_at)
    state = "silent" if reading.problem else "suspect" if reading.doubt else "ok"
    leaving = f"; emptied, because it no longer names them: {', '.join(reading.leaving)}" if reading.leaving else ""
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


def _says(verdict: Verdict | None) -> str:
    return verdict.reasons[0].sentence if verdict and verdict.reasons else ""


def _trouble(verdict: Verdict | None) -> str:
    """Return the decisive reason of an environment and, where it is another, why its last boots failed."""
    reasons = verdict.reasons if verdict else ()
    return "; ".join(reason.sentence for reason in (*reasons[:1], *(one for one in reasons[1:] if one.code == "boots-fail")))


def _age(reading: QueueReading | HostReading | Unanswered | None, now: float) -> float | None:
    if reading is None:
        return None
    at = reading.answered_at if isinstance(reading, Unanswered) else reading.at
    return None if at is None else max(0.0, now - at)
