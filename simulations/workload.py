"""Who submits what and when: random workloads from a seed, and real ones from logs in the Standard Workload Format.

The Standard Workload Format (Feitelson, Parallel Workloads Archive, version 2.2) has 18 columns, -1 for "not known"; some logs
append columns of their own.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulations.jobs import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from random import Random

    from environments.environment import Environment


@dataclass(frozen=True, slots=True)
class Arrival:
    """Equal jobs that arrive together, so many seconds after the beginning."""

    at_seconds: float
    request: Request
    count: int
    run_seconds: float
    user: str = "someone"


@dataclass(frozen=True, slots=True)
class SwfJob:
    """One line of a workload log; None where the log does not know."""

    number: int
    submitted: float
    """Seconds since the log began (or an epoch: `normalised` shifts it), fractions kept."""
    waited: float | None
    run: float | None
    processors: int | None
    """Allocated, else requested."""
    memory_kib: int | None
    """Requested per processor, else used."""
    requested_seconds: float | None
    completed: bool | None
    user: int | None
    group: int | None
    executable: int | None
    queue: int | None
    partition: int | None
    extra: tuple[str, ...] = ()
    """Columns after the eighteenth, as they are written."""


class WorkloadError(Exception):
    """A log that cannot be read: which line, what was expected."""


def read_swf(lines: Iterable[str], file: str = "log") -> Iterator[SwfJob]:
    """Read a log line by line; comments begin with a semicolon.

    A job that was swapped out has a line of its own and one for each burst in which it ran (status 2, 3, 4): these are no jobs.
    """
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith(";"):
            continue
        columns = text.split()
        if len(columns) < 18:
            raise WorkloadError(f"{file}:{number}: {len(columns)} columns, a line of this format has at least 18")
        try:
            values = [_number(column) for column in columns[:18]]
        except ValueError as error:
            raise WorkloadError(f"{file}:{number}: expected 18 numbers: {error}") from error
        if values[10] not in _BURSTS:
            yield _swf_job(values, tuple(columns[18:]))


_BURSTS = (2, 3, 4)
"""Status of a part of a job: to be continued, its last part, its last part that failed."""


def _number(written: str) -> float:
    value = float(written)
    if not math.isfinite(value):
        raise ValueError(f"{written} is no number of anything")
    return value


def _swf_job(values: Sequence[float], extra: tuple[str, ...]) -> SwfJob:
    whole = [int(value) for value in values]
    known = [value if value >= 0 else None for value in whole]
    number, _submitted, _waited, _run, allocated, _cpu, used_kib, asked, _seconds, memory, status, user, group = whole[:13]
    waited, run = (value if value >= 0 else None for value in values[2:4])
    seconds = values[8]
    return SwfJob(
        number=number,
        submitted=values[1],
        waited=waited,
        run=run,
        processors=asked if asked > 0 else allocated if allocated > 0 else None,
        memory_kib=memory if memory > 0 else used_kib if used_kib > 0 else None,
        requested_seconds=seconds if seconds > 0 else None,
        completed={1: True, 0: False, 5: False}.get(status),
        user=user if user >= 0 else None,
        group=group if group >= 0 else None,
        executable=known[13],
        queue=known[14],
        partition=known[15],
        extra=extra,
    )


def vo_of(job: SwfJob, column: str) -> str:
    """Name the VO of a job by one column of its log: group, user, queue or partition."""
    value = {"group": job.group, "user": job.user, "queue": job.queue, "partition": job.partition}[column]
    return f"{column}-{'none' if value is None else value}"


def arrivals(
    jobs: Iterable[SwfJob], *, column: str = "group", memory_mib: int = 1024, speed: float = 1.0, largest_cpus: int = 64
) -> Iterator[Arrival]:
    """Turn a log into arrivals: equal jobs of one VO that came in the same second are one.

    `speed` shortens time between arrivals (not the jobs); a job larger than `largest_cpus` is cut to it; jobs that never ran
    are left out. Where the log knows no memory, each processor gets `memory_mib`.
    """
    first: float | None = None
    batch: Counter[tuple[Request, float, str]] = Counter()
    at = 0.0
    for job in jobs:
        if not job.run or job.run <= 0:
            continue
        first = job.submitted if first is None else first
        when = (job.submitted - first) / speed
        if when != at:
            yield from _together(at, batch)
            batch, at = Counter(), when
        batch[_request(job, column, memory_mib, largest_cpus), job.run, f"user-{job.user}"] += 1
    yield from _together(at, batch)


def _together(at: float, batch: Counter[tuple[Request, float, str]]) -> Iterator[Arrival]:
    for (request, run, user), count in batch.items():
        yield Arrival(at, request, count, run, user)


def _request(job: SwfJob, column: str, memory_mib: int, largest_cpus: int) -> Request:
    cpus = min(job.processors or 1, largest_cpus)
    asked = max(1, job.memory_kib // 1024) if job.memory_kib else memory_mib
    return Request(
        vo=vo_of(job, column),
        cpus=cpus,
        memory_mib=min(asked, memory_mib) * cpus,
        walltime_seconds=math.ceil(max(job.requested_seconds, job.run or 0)) if job.requested_seconds else None,
    )


def random_arrivals(chance: Random, environments: Sequence[Environment], seconds: float, bursts: int) -> list[Arrival]:
    """Make up arrivals for the VOs of some environments: trickles and bursts, by name and without, now and then a wrong one."""
    made = []
    for _ in range(bursts):
        environment = chance.choice(environments)
        vo = chance.choice(environment.vos)
        request = _random_request(chance, environment, vo)
        burst = chance.random() < 0.3
        count = chance.randint(5, 40) if burst else chance.randint(1, 4)
        made.append(Arrival(chance.uniform(0, seconds), request, count, chance.choice((20, 60, 180, 600)), f"{vo}-user"))
    return sorted(made, key=lambda arrival: arrival.at_seconds)


def _random_request(chance: Random, environment: Environment, vo: str) -> Request:
    kind = chance.random()
    wanted = environment.name if kind < 0.6 else ""
    requires = tuple(environment.provides.items())[:1] if 0.6 <= kind < 0.8 else ()
    if kind > 0.97:
        wanted = f"{environment.name}x"
    problem = "RequestMemory is not a number" if 0.95 < kind <= 0.97 else ""
    cpus = chance.randint(1, environment.vcpus)
    memory = max(1, environment.slot_memory_mib * cpus // environment.vcpus - chance.randint(0, 200))
    walltime = chance.choice((None, None, 900))
    return Request(vo, wanted, cpus, memory, walltime, requires, problem)
