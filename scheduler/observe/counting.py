"""How many jobs the batch systems have, as far as they tell: a number that nobody told is unknown, never zero. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeGuard

from scheduler.model.queues import JobCount, JobCounts, QueueReading
from scheduler.model.readings import Unanswered, is_pending

if TYPE_CHECKING:
    from scheduler.model.observation import Observation


def tells_all(reading: QueueReading | Unanswered) -> TypeGuard[QueueReading]:
    """Whether a batch system told of all its jobs: what it does not show is not there."""
    return isinstance(reading, QueueReading) and reading.complete and not reading.suspect


def counted(reading: QueueReading) -> JobCounts:
    """Count the jobs of a reading by VO and by the environment they name."""
    idle: Counter[tuple[str, str]] = Counter()
    running: Counter[tuple[str, str]] = Counter()
    held: Counter[tuple[str, str]] = Counter()
    for cluster in reading.clusters:
        of = cluster.vo, cluster.requirements.wanted
        idle[of] += cluster.idle
        running[of] += cluster.running
        held[of] += cluster.held
    return JobCounts(reading.at, tuple(JobCount(*of, idle[of], running[of], held[of]) for of in sorted(idle)))


def untold(observation: Observation) -> tuple[str, ...]:
    """Return the batch systems whose jobs are not all known now.

    One that is only late (pending) is not among them while it is known what it told last: that stands until its deadline.
    """
    return tuple(
        name
        for name, reading in observation.queues.items()
        if not tells_all(reading) and not (is_pending(reading) and name in observation.last_jobs)
    )


def known_jobs(observation: Observation) -> tuple[JobCount, ...]:
    """Return the jobs that are known now: of a batch system in `untold` those that it shows, which are some of them."""
    rows: list[JobCount] = []
    for name, reading in observation.queues.items():
        if isinstance(reading, QueueReading):
            rows += counted(reading).rows
        elif reading.pending and name in observation.last_jobs:
            rows += observation.last_jobs[name].rows
    return tuple(rows)


def last_jobs(observation: Observation) -> JobCounts | None:
    """Return the jobs as all batch systems told of them last, as old as the oldest part; None if some never did."""
    rows: list[JobCount] = []
    at = observation.now
    for name, reading in observation.queues.items():
        last = counted(reading) if tells_all(reading) else observation.last_jobs.get(name)
        if last is None:
            return None
        rows += last.rows
        at = min(at, last.at)
    return JobCounts(at, tuple(rows))
