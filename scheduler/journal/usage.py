"""What the workers of a VO and an environment were used for, and what became of the jobs of those that failed. Pure.

Durations are whole microseconds, from the steps of workers in the event log.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from scheduler.availability.history import Duration, Instant
from scheduler.model import WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scheduler.availability.history import Window
    from scheduler.journal.records import Sighting

S = WorkerState
_PARTS = {
    S.REQUESTED: "booting",
    S.BOOTING: "booting",
    S.BUSY: "used",
    S.DRAINING: "used",
    S.IDLE: "idle",
    S.DRAINED: "idle",
    S.SILENT: "lost",
    S.UNSEEN: "lost",
    S.FAILED: "lost",
}
_WORKS = frozenset({S.BUSY, S.DRAINING})
_SERVES = _WORKS | {S.IDLE, S.DRAINED}
_FAILS = frozenset({S.SILENT, S.UNSEEN, S.FAILED, S.GONE})
LOOKS_APART: Duration = 120_000_000
"""A job that was last seen so long before its worker failed had left it."""


@dataclass(frozen=True, slots=True)
class Step:
    """A worker entered a state."""

    at: Instant
    worker: str
    state: WorkerState
    vo: str = ""
    environment: str = ""
    host: str = ""


@dataclass(slots=True)
class Hours:
    """How long the workers of one VO and environment were used, booting, idle, or lost (silent, unseen, failed)."""

    used: Duration = 0
    booting: Duration = 0
    idle: Duration = 0
    lost: Duration = 0


@dataclass(frozen=True, slots=True)
class Casualties:
    """Jobs that were in workers of a host when those failed: run again elsewhere, or not seen since."""

    host: str
    start: Instant
    end: Instant
    rerun: tuple[str, ...]
    lost: tuple[str, ...]


def worker_hours(steps: Iterable[Step], window: Window) -> dict[tuple[str, str], Hours]:
    """Return the time of workers in a window, by VO and environment; what has no end yet lasts until the window's."""
    found: dict[tuple[str, str], Hours] = defaultdict(Hours)
    for mine in _by_worker(steps).values():
        owner = next(((one.vo, one.environment) for one in mine if one.environment), ("", ""))
        for step, after in zip(mine, [*mine[1:], None], strict=True):
            part = _PARTS.get(step.state)
            if part is None:
                continue
            end = window.end if after is None else min(after.at, window.end)
            length = end - max(step.at, window.start)
            if length > 0:
                hours = found[(step.vo, step.environment) if step.environment else owner]
                setattr(hours, part, getattr(hours, part) + length)
    return dict(found)


def casualties(
    outages: Iterable[tuple[str, Instant, Instant]], steps: Iterable[Step], sightings: Sequence[Sighting]
) -> list[Casualties]:
    """Return what became of the jobs in the workers of each host (name, start, end of the outage) that failed in it."""
    by_worker = _by_worker(steps)
    jobs: dict[tuple[str, str], list[Sighting]] = defaultdict(list)
    for one in sightings:
        jobs[one.batch_system, one.job].append(one)
    return [_casualties(outage, by_worker, jobs) for outage in outages]


def _casualties(
    outage: tuple[str, Instant, Instant], by_worker: Mapping[str, list[Step]], jobs: Mapping[tuple[str, str], list[Sighting]]
) -> Casualties:
    host, start, end = outage
    failed = {name: at for name, steps in by_worker.items() if (at := _failed_at(steps, host, start, end)) is not None}
    rerun: list[str] = []
    lost: list[str] = []
    for (_, job), seen in sorted(jobs.items()):
        inside = [one for one in seen if one.worker in failed and one.last_seen * 1e6 >= failed[one.worker] - LOOKS_APART]
        if inside:
            again = any(one.worker != inside[0].worker and one.first_seen >= inside[0].last_seen for one in seen)
            (rerun if again else lost).append(job)
    return Casualties(host, start, end, tuple(rerun), tuple(lost))


def _failed_at(steps: Sequence[Step], host: str, start: Instant, end: Instant) -> Instant | None:
    """Return when a worker of the host failed with work in it, in the outage, and never came back; None: it did not."""
    for before, step in pairwise(steps):
        if step.host == host and start <= step.at <= end and step.state in _FAILS and before.state in _WORKS:
            came_back = any(later.at > step.at and later.state in _SERVES for later in steps)
            return None if came_back else step.at
    return None


def _by_worker(steps: Iterable[Step]) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = defaultdict(list)
    for step in steps:
        found[step.worker].append(step)
    return found
