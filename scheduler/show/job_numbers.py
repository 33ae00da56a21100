"""How many jobs each VO has, as `status` tells it: what is seen now, else what was told last, with its age. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scheduler.model.queues import JobCount, JobCounts, QueueReading, RequestCluster
from scheduler.observe import counting

if TYPE_CHECKING:
    from scheduler.model.observation import Observation

UNMAPPED = "(no VO)"


@dataclass(frozen=True, slots=True)
class JobNumbers:
    """So many jobs."""

    idle: int
    running: int
    held: int
    seconds_ago: float = 0.0
    """How old the oldest part of the number is."""


NO_JOBS = JobNumbers(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of each VO: seen now, and as all batch systems told of them last."""

    known: Mapping[str, JobNumbers]
    last: Mapping[str, JobNumbers] | None
    """None if some batch system never told."""
    seconds_ago: float
    whole: bool
    """Whether what is seen now is all there is."""
    waits_since: Mapping[str, float]

    @property
    def vos(self) -> set[str]:
        """The VOs that have, or had, jobs."""
        return {*self.known, *(self.last or ())}

    def last_of(self, vo: str) -> JobNumbers | None:
        """Return what was told of a VO last, once that is not what is seen now."""
        if self.whole or self.last is None:
            return None
        return replace(self.last.get(vo, NO_JOBS), seconds_ago=self.seconds_ago)


def jobs_by_vo(observation: Observation) -> Jobs:
    """Count the jobs of each VO."""
    last = counting.last_jobs(observation)
    since: dict[str, float] = {}
    for cluster in clusters(observation):
        if cluster.idle and cluster.oldest_idle_at is not None:
            vo = cluster.vo or UNMAPPED
            since[vo] = min(cluster.oldest_idle_at, since.get(vo, cluster.oldest_idle_at))
    return Jobs(
        _by_vo(counting.known_jobs(observation)),
        None if last is None else _by_vo(last.rows),
        0.0 if last is None else max(0.0, observation.now - last.at),
        not counting.untold(observation),
        since,
    )


def _by_vo(jobs: Iterable[JobCount]) -> dict[str, JobNumbers]:
    found: dict[str, JobNumbers] = {}
    for one in jobs:
        vo = one.vo or UNMAPPED
        so_far = found.get(vo, NO_JOBS)
        found[vo] = JobNumbers(so_far.idle + one.idle, so_far.running + one.running, so_far.held + one.held)
    return found


def all_of(last: JobCounts, now: float) -> JobNumbers:
    """Return the jobs of a batch system, of all VOs, as it told of them last."""
    idle, running, held = (sum(getattr(one, what) for one in last.rows) for what in ("idle", "running", "held"))
    return JobNumbers(idle, running, held, max(0.0, now - last.at))


def clusters(observation: Observation) -> Iterator[RequestCluster]:
    """Return the request clusters that are seen now."""
    for reading in observation.queues.values():
        if isinstance(reading, QueueReading):
            yield from reading.clusters
