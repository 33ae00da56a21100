"""What the workers of a VO and an environment were used for, and what became of the jobs of those that failed. Pure.

Durations are whole microseconds, from the steps of workers in the event log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from scheduler.journal.holds import JobHolds
from scheduler.journal.records import Sighting
from scheduler.model.instants import Duration, Instant, micro
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from scheduler.availability.history import Window

S = WorkerState
_PARTS = {
    S.REQUESTED: "booting",
    S.BOOTING: "booting",
    S.BUSY: "used",
    S.DRAINING: "used",
    S.IDLE: "idle",
    S.DRAINED: "idle",
    S.UNSEEN: "unknown",
    S.SILENT: "lost",
    S.FAILED: "lost",
}
_WORKS = frozenset({S.BUSY, S.DRAINING})
_SERVES = _WORKS | {S.IDLE, S.DRAINED}
_FAILS = frozenset({S.SILENT, S.UNSEEN, S.FAILED, S.GONE})
LOOKS_APART: Duration = 120_000_000
"""A job that was last seen so long before its worker failed had left it."""


@dataclass(frozen=True, slots=True)
class StateEntered:
    """A worker entered a state."""

    at: Instant
    worker: str
    state: WorkerState
    vo: str = ""
    environment: str = ""
    host: str = ""


@dataclass(slots=True)
class Hours:
    """How long the workers of one VO and environment were used, booting, idle, lost (silent, failed), or not seen by anybody.

    They are not seen on a host that does not answer, and while no daemon looks.
    """

    used: Duration = 0
    booting: Duration = 0
    idle: Duration = 0
    lost: Duration = 0
    unknown: Duration = 0


@dataclass(frozen=True, slots=True)
class Fates:
    """What became of the jobs that were in workers when these failed; each stands once."""

    rerun: tuple[str, ...] = ()
    """Run again elsewhere, whatever was between."""
    held: tuple[str, ...] | None = ()
    """Put on hold, and not run again since. None: a batch system did not tell of holds then; they are among the lost."""
    lost: tuple[str, ...] = ()
    """Not seen since."""


@dataclass(frozen=True, slots=True)
class Casualties:
    """A host that did not answer, and what became of the jobs in its workers that failed."""

    host: str
    start: Instant
    end: Instant
    jobs: Fates


@dataclass(frozen=True, slots=True)
class Fallen:
    """A worker that ended with work in it while its host answered, and what became of its jobs."""

    worker: str
    host: str
    vo: str
    environment: str
    at: Instant
    jobs: Fates


def worker_hours(
    steps: Iterable[StateEntered], window: Window, gaps: Sequence[tuple[Instant, Instant | None]] = ()
) -> dict[tuple[str, str], Hours]:
    """Return the time of workers in a window, by VO and environment; what has no end yet lasts until the window's.

    Of the time in `gaps`, when no daemon looked, it is not known what they did.
    """
    found: dict[tuple[str, str], Hours] = defaultdict(Hours)
    for mine in _by_worker(steps).values():
        owner = next(((one.vo, one.environment) for one in mine if one.environment), ("", ""))
        for step, after in zip(mine, [*mine[1:], None], strict=True):
            part = _PARTS.get(step.state)
            if part is None:
                continue
            begin, end = max(step.at, window.start), window.end if after is None else min(after.at, window.end)
            if begin < end:
                hours = found[(step.vo, step.environment) if step.environment else owner]
                unseen = sum(max(0, min(end, gap[1] or end) - max(begin, gap[0])) for gap in gaps)
                setattr(hours, part, getattr(hours, part) + end - begin - unseen)
                hours.unknown += unseen
    return dict(found)


@dataclass(frozen=True, slots=True)
class JournaledWork:
    """What the journal knows of workers and their jobs."""

    steps: Sequence[StateEntered]
    sightings: Sequence[Sighting]
    holds: JobHolds


def casualties(outages: Iterable[tuple[str, Instant, Instant]], seen: JournaledWork) -> list[Casualties]:
    """Return what became of the jobs in the workers of each host (name, start, end of the outage) that failed in it."""
    by_worker, jobs = _by_worker(seen.steps), _by_job(seen.sightings)
    return [Casualties(*outage, _fates(jobs, _failed(by_worker, *outage), seen.holds)) for outage in outages]


def fallen(outages: Sequence[tuple[str, Instant, Instant]], seen: JournaledWork, window: Window) -> list[Fallen]:
    """Return the workers that ended with work in them in a window, those in an outage of their host left out."""
    by_worker, jobs = _by_worker(seen.steps), _by_job(seen.sightings)
    told = {name for host, start, end in outages for name in _failed(by_worker, host, start, end)}
    found = []
    for name, mine in by_worker.items():
        # One that was draining may have ended because it was done.
        failure = _failure(mine, window.start, window.end, frozenset({S.BUSY}))
        if failure is not None and name not in told:
            fates = _fates(jobs, {name: failure.at}, seen.holds)
            found.append(Fallen(name, failure.host, failure.vo, failure.environment, failure.at, fates))
    return sorted(found, key=lambda one: (one.at, one.worker))


def _fates(jobs: Mapping[tuple[str, str], list[Sighting]], failed: Mapping[str, Instant], holds: JobHolds) -> Fates:
    """Return what became of the jobs that were in the failed workers (and when they failed)."""
    rerun: list[str] = []
    held: list[str] = []
    lost: list[str] = []
    known = True
    for (system, job), seen in sorted(jobs.items()):
        inside = [one for one in seen if one.worker in failed and micro(one.last_seen) >= failed[one.worker] - LOOKS_APART]
        if not inside:
            continue
        known &= holds.since.get(system, failed[inside[0].worker] + 1) <= failed[inside[0].worker]
        held_at = [(holds.held.get((system, job, one.worker)), failed[one.worker]) for one in inside]
        on_hold = any(at is not None and at >= end - LOOKS_APART for at, end in held_at)
        again = any(one.worker != inside[0].worker and one.first_seen >= inside[0].last_seen for one in seen)
        (rerun if again else held if on_hold else lost).append(job)
    if not known:
        return Fates(tuple(rerun), None, tuple(sorted([*held, *lost])))
    return Fates(tuple(rerun), tuple(held), tuple(lost))


def _failed(by_worker: Mapping[str, list[StateEntered]], host: str, start: Instant, end: Instant) -> dict[str, Instant]:
    """Return the workers of a host that failed in a stretch of time, and when."""
    failures = {name: _failure(steps, start, end, _WORKS, host) for name, steps in by_worker.items()}
    return {name: failure.at for name, failure in failures.items() if failure is not None}


def _failure(
    steps: Sequence[StateEntered], start: Instant, end: Instant, works: frozenset[WorkerState], host: str = ""
) -> StateEntered | None:
    """Return the step by which a worker failed with work in it, on that host and in that time, and never came back."""
    for place, (before, step) in enumerate(pairwise(steps)):
        failed = start <= step.at <= end and step.state in _FAILS and before.state in works and step.host == (host or step.host)
        if failed and not any(later.state in _SERVES for later in steps[place + 2 :]):
            return step
    return None


def _by_job(sightings: Iterable[Sighting]) -> dict[tuple[str, str], list[Sighting]]:
    found: dict[tuple[str, str], list[Sighting]] = defaultdict(list)
    for one in sightings:
        found[one.batch_system, one.job].append(one)
    return found


def _by_worker(steps: Iterable[StateEntered]) -> dict[str, list[StateEntered]]:
    found: dict[str, list[StateEntered]] = defaultdict(list)
    for step in steps:
        found[step.worker].append(step)
    return found
