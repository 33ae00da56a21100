"""Metrics for Prometheus. Labels are bounded: sources, VOs, environments, states, codes; never counts or ids of jobs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from scheduler.decide.verdicts import waiting_by_reason
from scheduler.model.queues import QueueReading
from scheduler.model.readings import Unanswered, is_silent
from scheduler.model.workers import WorkerState
from scheduler.observe.counting import known_jobs, last_jobs, untold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scheduler.loop.engine import Cycle
    from scheduler.model.workers import Worker


@dataclass(frozen=True, slots=True)
class Described:
    """One metric, as the documentation lists it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


METRICS: tuple[Described, ...] = (
    Described(
        "ambienti_leading", "gauge", (), "1 while this daemon holds the lease and acts, 0 while it waits for another one"
    ),
    Described("ambienti_workers", "gauge", ("environment", "state"), "workers by environment and state"),
    Described("ambienti_worker_cpus", "gauge", ("vo",), "cores of living workers, by the VO they are charged to"),
    Described("ambienti_worker_memory_mib", "gauge", ("vo",), "memory of living workers in MiB, by the VO they are charged to"),
    Described(
        "ambienti_jobs",
        "gauge",
        ("vo", "status"),
        "jobs in the queues: idle, running, held; no series while a batch system does not tell of all its jobs",
    ),
    Described("ambienti_jobs_seen", "gauge", ("vo", "status"), "jobs that are seen now: there are at least so many"),
    Described("ambienti_jobs_age_seconds", "gauge", (), "for how long not all batch systems have told of all their jobs"),
    Described(
        "ambienti_waiting_jobs",
        "gauge",
        ("vo", "reason"),
        "idle jobs that are seen, by the code of what they wait for: what stands against them, or room that comes",
    ),
    Described(
        "ambienti_source_up", "gauge", ("kind", "source"), "1 if a batch system, host or discovery answered the last time"
    ),
    Described(
        "ambienti_source_age_seconds",
        "gauge",
        ("kind", "source"),
        "age of the last answer of a batch system, host or discovery",
    ),
    Described(
        "ambienti_source_doubted", "gauge", ("kind", "source"), "1 while an answer is partial, or empty right after a full one"
    ),
    Described("ambienti_strangers", "gauge", (), "domains that are not ours, on the hosts that have answered"),
    Described(
        "ambienti_hosts_unheard",
        "gauge",
        (),
        "hosts that have not answered since the journal began or was restored: workers that it does not know are not counted",
    ),
    Described("ambienti_twins", "gauge", (), "names of workers that run on more than one host: look at once"),
    Described("ambienti_cycle_timestamp_seconds", "gauge", (), "when the last cycle observed"),
    Described("ambienti_cycles_total", "counter", ("outcome",), "cycles: done, quiet, waiting (another daemon acts), failed"),
    Described("ambienti_phase_seconds", "histogram", ("phase",), "time of the parts of a cycle: read, decide, act"),
    Described("ambienti_actions_total", "counter", ("action", "outcome"), "actions by kind and how they ended"),
    Described("ambienti_boot_seconds", "histogram", ("environment",), "from the order of a worker to its registration"),
    Described("ambienti_illegal_steps_total", "counter", (), "steps of workers and hosts that their lives do not hold"),
    Described("ambienti_clock_steps_total", "counter", (), "how often somebody set the clock"),
    Described("ambienti_ended_workers_total", "counter", (), "workers whose domain ended by itself, told by an event"),
    Described(
        "ambienti_availability_ratio",
        "gauge",
        ("object", "window"),
        "availability (profile excuse) of groups and of what an objective is about: this-week, past-week, month, quarter, year",
    ),
    Described("ambienti_objective_verdict", "gauge", ("objective", "verdict"), "1 for the verdict that an objective has now"),
    Described("ambienti_objective_budget_left_seconds", "gauge", ("objective",), "error budget left; below 0: overdrawn"),
    Described(
        "ambienti_incidents",
        "gauge",
        ("state", "class"),
        "incidents not over: quiet (in a downtime), open, reopened, acknowledged; class: business hours, other hours, none",
    ),
    Described("ambienti_incidents_breached", "gauge", (), "of these, those that nobody answered in time"),
    Described(
        "ambienti_notices",
        "gauge",
        ("state",),
        "notices: waiting (not tried yet), failing (refused, tried again), given-up (in the last 24 hours)",
    ),
    Described("ambienti_notice_wait_seconds", "gauge", (), "age of the oldest notice that nobody has taken yet"),
)
_OF_JOBS = ("idle", "running", "held")
_BY_NAME = {metric.name: metric for metric in METRICS}
_PHASES = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BOOTS = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0)
_DEAD = frozenset({WorkerState.GONE, WorkerState.FAILED})


class Metrics(Collector):
    """The metrics of one daemon, in a registry of their own; gauges are made of the last cycle when they are asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._cycle: Cycle | None = None
        self._coming: dict[str, float] = {}
        self._cycles = self._counter("ambienti_cycles_total")
        self._actions = self._counter("ambienti_actions_total")
        self._illegal = self._counter("ambienti_illegal_steps_total")
        self._clock_steps = self._counter("ambienti_clock_steps_total")
        self._ended = self._counter("ambienti_ended_workers_total")
        self._phases = self._histogram("ambienti_phase_seconds", _PHASES)
        self._boots = self._histogram("ambienti_boot_seconds", _BOOTS)

    def count(self, cycle: Cycle) -> None:
        """Take note of a cycle that ended."""
        self._cycle = cycle
        self._cycles.labels("waiting" if not cycle.leading else "quiet" if cycle.quiet else "done").inc()
        for phase, seconds in cycle.phases.items():
            self._phases.labels(phase).observe(seconds)
        for result in cycle.results:
            self._actions.labels(result.action.kind.code, result.outcome.value).inc()
        self._illegal.inc(len(cycle.illegal))
        self._clock_steps.inc(bool(cycle.clock_step_seconds))
        self._count_boots(cycle.observation.workers)

    def count_failed(self) -> None:
        """Take note of a cycle that ended in an error."""
        self._cycles.labels("failed").inc()

    def count_ended(self, workers: int) -> None:
        """Take note of workers whose domain ended by itself."""
        self._ended.inc(workers)

    def _count_boots(self, workers: Iterable[Worker]) -> None:
        coming = {}
        for worker in workers:
            if worker.registered_at is None:
                coming[worker.name] = worker.requested_at
            elif worker.name in self._coming:
                self._boots.labels(worker.environment).observe(max(0.0, worker.registered_at - worker.requested_at))
        self._coming = coming

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Make the gauges of the last cycle."""
        cycle = self._cycle
        if cycle is None:
            return
        yield gauge("ambienti_leading", [((), cycle.leading)])
        if not cycle.leading:
            return
        observation = cycle.observation
        living = [worker for worker in observation.workers if worker.state not in _DEAD]
        states = Counter((worker.environment, worker.state.value) for worker in observation.workers)
        yield gauge("ambienti_workers", states.items())
        yield gauge("ambienti_worker_cpus", _summed((worker.vo, worker.cpus) for worker in living))
        yield gauge("ambienti_worker_memory_mib", _summed((worker.vo, worker.memory_mib) for worker in living))
        yield from self._of_queues(cycle)
        yield from self._of_sources(cycle)
        yield gauge("ambienti_strangers", [((), len(observation.strangers))])
        yield gauge("ambienti_hosts_unheard", [((), len(observation.unheard))])
        yield gauge("ambienti_twins", [((), len(cycle.twins))])
        yield gauge("ambienti_cycle_timestamp_seconds", [((), observation.now)])

    def _of_queues(self, cycle: Cycle) -> Iterator[GaugeMetricFamily]:
        """Count jobs. Of what is not known there is no number: a series that is missing is unknown, 0 means none."""
        whole = not untold(cycle.observation)
        jobs = Counter({(vo, status): 0 for vo in cycle.plan.vos for status in _OF_JOBS})
        for one in known_jobs(cycle.observation):
            jobs.update({(one.vo, status): getattr(one, status) for status in _OF_JOBS})
        waiting: Counter[tuple[str, str]] = Counter()
        for reading in cycle.observation.queues.values():
            for cluster in reading.clusters if isinstance(reading, QueueReading) else ():
                for code, count in waiting_by_reason(cluster.idle, cycle.plan.clusters.get(cluster.key)).items():
                    waiting[cluster.vo, code] += count
        yield gauge("ambienti_jobs", jobs.items() if whole else ())
        yield gauge("ambienti_jobs_seen", jobs.items())
        yield gauge("ambienti_waiting_jobs", waiting.items())
        last = last_jobs(cycle.observation)
        yield gauge("ambienti_jobs_age_seconds", [((), max(0.0, cycle.observation.now - last.at))] if last else ())

    def _of_sources(self, cycle: Cycle) -> Iterator[GaugeMetricFamily]:
        observation = cycle.observation
        sources: list[tuple[tuple[str, str], Any]] = [
            *((("batch", name), reading) for name, reading in observation.queues.items()),
            *((("host", name), reading) for name, reading in observation.hosts.items()),
        ]
        found = [(("discovery", name), reading) for name, reading in observation.discoveries.items()]
        up = [(of, not is_silent(reading)) for of, reading in sources]
        yield gauge("ambienti_source_up", up + [(of, not reading.problem) for of, reading in found])
        answered = [(of, r.answered_at if isinstance(r, Unanswered) else r.at) for of, r in sources]
        answered += [(of, reading.answered_at) for of, reading in found]
        yield gauge(
            "ambienti_source_age_seconds", [(of, max(0.0, observation.now - at)) for of, at in answered if at is not None]
        )
        doubted = [(of, not r.complete or getattr(r, "suspect", False)) for of, r in sources if not isinstance(r, Unanswered)]
        yield gauge("ambienti_source_doubted", doubted + [(of, bool(reading.doubt)) for of, reading in found])

    def _counter(self, name: str) -> PrometheusCounter:
        described = _BY_NAME[name]
        return PrometheusCounter(name, described.meaning, described.labels, registry=self.registry)

    def _histogram(self, name: str, buckets: tuple[float, ...]) -> Histogram:
        described = _BY_NAME[name]
        return Histogram(name, described.meaning, described.labels, registry=self.registry, buckets=buckets)


def gauge(name: str, values: Iterable[tuple[Any, float]]) -> GaugeMetricFamily:
    """Return a described gauge with its values, by labels."""
    described = _BY_NAME[name]
    family = GaugeMetricFamily(name, described.meaning, labels=described.labels)
    for labels, value in values:
        family.add_metric(labels if isinstance(labels, tuple) else (labels,), float(value))
    return family


def _summed(pairs: Iterable[tuple[str, int]]) -> Iterable[tuple[str, int]]:
    total: Counter[str] = Counter()
    for name, amount in pairs:
        total[name] += amount
    return total.items()
