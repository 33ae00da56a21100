"""Finding the job, or the submission, that somebody asks `why` about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scheduler.commands.common import Exit, fail
from scheduler.model.clock import WallClock, clock_time
from scheduler.model.ports import BatchSystem, JobRecord, SourceError, Submission, WrongNameError
from scheduler.model.queues import QueueReading, RequestCluster
from scheduler.model.readings import Unanswered

if TYPE_CHECKING:
    import typer

    from scheduler.commands.source import FarmView
    from scheduler.site.definitions import Definitions


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """What the batch systems tell of a job or a submission."""

    job: JobRecord | None = None
    submission: Submission | None = None
    silent: tuple[SourceError, ...] = ()
    """Those that did not answer; they might know it."""
    wrong: str = ""
    """Why one that answers can do nothing with its name."""
    asked: tuple[str, ...] = ()


def ask(name: str, found: Definitions, batch_systems: Mapping[str, BatchSystem]) -> JobAnswer:
    """Ask the batch systems, one after the other, for a job or a submission."""
    environments = tuple(found.policy.catalogue.environments.values())
    silent: list[SourceError] = []
    wrong = ""
    for system, batch_system in batch_systems.items():
        try:
            submission = batch_system.submission(name)
            first = name if submission is None else submission.first
            job = batch_system.job(first, environments) if first or submission is None else _over(submission)
        except WrongNameError as error:
            wrong = error.answer
            continue
        except SourceError as error:
            silent.append(SourceError(system, error.asked, error.answer))
            continue
        if job is not None:
            return JobAnswer(job, submission)
    return JobAnswer(silent=tuple(silent), wrong=wrong, asked=tuple(batch_systems))


def asked_for(name: str, found: FarmView) -> tuple[JobRecord, Submission | None]:
    """Return the job that is meant, or of a submission its first that waits, else is held, else runs.

    Of a snapshot it is looked for among what that holds.
    """
    told = found.beside
    if not isinstance(told, JobAnswer):
        return _of_snapshot(name, found), None
    if told.job is not None:
        return told.job, told.submission
    if told.silent:
        raise _silence(name, told.silent[0], found)
    hint = f": {told.wrong}" if told.wrong else ""
    raise fail(f"no batch system knows a job {name!r} (asked: {', '.join(told.asked)}){hint}", Exit.PROBLEM)


def _over(submission: Submission) -> JobRecord:
    """Stand for the jobs of a submission of which none is left in the queue."""
    return JobRecord(submission.name, submission.batch_system, "", "", "completed", "", "", 1, 1)


def _silence(name: str, error: SourceError, found: FarmView) -> typer.Exit:
    """Say what a silent batch system means for somebody's job, with what was known of it last."""
    from scheduler.decide.explain import silence

    now, zone = WallClock().now(), found.policy.zone
    reading = found.observation.queues.get(error.source)
    if isinstance(reading, QueueReading):
        reading = Unanswered(error.source, error.answer, now, reading.at)
    told = silence(reading, now, zone) if reading is not None else f"Batch system {error.source} does not answer."
    last = _job_of_worker(name, found)
    seen = clock_time(found.observation.now, now, zone)
    where = f" At {seen} job {name} ran in {last.worker}." if last is not None else ""
    return fail(f"{told}{where} Of job {name} nothing can be told until it answers ({error.answer}).", Exit.UNANSWERED)


def _of_snapshot(name: str, found: FarmView) -> JobRecord:
    record = _job_of_worker(name, found) or _job_of_cluster(name, found)
    if record is None:
        known = [cluster.example_job for cluster in clusters(found) if cluster.example_job]
        more = f" and {len(known) - 5} more" if len(known) > 5 else ""
        hint = f"; there are {', '.join(known[:5])}{more}" if known else ""
        raise fail(f"the snapshot does not hold job {name}: it keeps one job of each request cluster{hint}", Exit.PROBLEM)
    return record


def _job_of_worker(job: str, found: FarmView) -> JobRecord | None:
    for worker in found.observation.workers:
        for one in worker.jobs:
            if one.job == job:
                asked = (one.cpus, one.memory_mib)
                return JobRecord(job, worker.batch_system, one.vo, one.user, "running", "", "", *asked, worker=worker.name)
    return None


def _job_of_cluster(job: str, found: FarmView) -> JobRecord | None:
    for cluster in clusters(found):
        if job in (cluster.example_job, cluster.example_job.partition(".")[0], cluster.key):
            asked = cluster.requirements
            status = "idle" if cluster.idle else "running" if cluster.running else "held"
            place = (cluster.batch_system, cluster.vo, "", status, cluster.key)
            return JobRecord(
                cluster.example_job or job, *place, asked.wanted, asked.cpus, asked.memory_mib, cluster.oldest_idle_at
            )
    return None


def clusters(found: FarmView) -> Iterator[RequestCluster]:
    """Return the request clusters of all batch systems that answered."""
    for reading in found.observation.queues.values():
        if isinstance(reading, QueueReading):
            yield from reading.clusters
