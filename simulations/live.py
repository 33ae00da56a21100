"""The simulated batch system under the real clock: jobs from a seed, workers that register a while after they were enrolled.

This is the connector `simulated`: a daemon that knows nothing of simulations works with it as with any other batch system.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from environments.checking import named_error
from environments.environment import Environment, FineSeconds, Frozen, Mebibytes, Scalar, Seconds
from environments.text import OneLine
from scheduler.model.clock import WallClock
from simulations.clock import Agenda
from simulations.jobs import Request
from simulations.queue import Habits, SimulatedQueue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from environments.matching import Catalogue
    from environments.problems import KeyPath

Amount = Annotated[int, Field(ge=0)]


def _from_low_to_high(amounts: tuple[int, int]) -> tuple[int, int]:
    if amounts[0] > amounts[1]:
        raise named_error(f"{list(amounts)} goes down", f"the smaller number first: {sorted(amounts)}")
    return amounts


Upwards = AfterValidator(_from_low_to_high)


class LiveJobs(Frozen):
    """Equal jobs that come together, once or again and again; the seed picks from the ranges."""

    at: Seconds = 0
    """Seconds after the start."""
    vo: OneLine
    """Whose."""
    count: Annotated[tuple[Amount, Amount], Upwards] = (1, 1)
    """At least and at most so many."""
    runs: Annotated[tuple[Seconds, Seconds], Upwards] = (5, 10)
    """Each runs at least and at most so many seconds."""
    wants: OneLine = ""
    """The environment they name."""
    misspelt: bool = False
    """No file defines what they name, on purpose: to see what their owners are told."""
    cpus: Annotated[int, Field(gt=0)] = 1
    """Cores of each."""
    memory_mib: Mebibytes = 512
    """Memory of each."""
    requires: dict[OneLine, Scalar] = {}
    """Attributes that their environment must provide."""
    every: Annotated[Seconds, Field(gt=0)] | None = None
    """They come again after so many seconds..."""
    times: Annotated[int, Field(gt=0)] = 1
    """... so many times in all."""


class LiveFault(Frozen):
    """Something that goes wrong for a while."""

    at: Seconds
    """Seconds after the start."""
    lasts: Seconds
    """For so long."""
    do: Literal["silent", "hangs"]
    """`silent`: the batch system answers nothing; `hangs`: workers of `environment` boot and never register."""
    environment: OneLine = ""
    """Of `hangs`."""


class LiveOptions(Frozen):
    """`options` of a batch system of kind `simulated`."""

    seed: int = 1
    """The same seed makes the same jobs."""
    boot_seconds: FineSeconds = 3.0
    """From the enrolment of a worker to its registration, give or take a third."""
    jobs: tuple[LiveJobs, ...] = ()
    """Who submits what and when."""
    faults: tuple[LiveFault, ...] = ()
    """What goes wrong."""


class LiveQueue(SimulatedQueue):
    """A simulated batch system whose workers need no plant: they register by themselves, and leave when they are forgotten."""

    def __init__(self, name: str, options: LiveOptions, agenda: Agenda, deadline_seconds: float) -> None:
        super().__init__(
            name, agenda, deadline_seconds=deadline_seconds, habits=Habits(negotiation_seconds=0.5, start_seconds=0.2)
        )
        self._options = options
        self._chance = Random(options.seed)  # noqa: S311 - not for secrets
        self._coming: dict[str, Environment] = {}
        self._hanging: set[str] = set()
        self.on_enrol = self._boots
        for jobs in options.jobs:
            for time in range(jobs.times):
                agenda.after(jobs.at + time * (jobs.every or 0), partial(self._come, jobs))
        for fault in options.faults:
            agenda.after(fault.at, partial(self._fault, fault, begins=True))
            agenda.after(fault.at + fault.lasts, partial(self._fault, fault, begins=False))

    def named(self, catalogue: Catalogue) -> Iterator[tuple[KeyPath, str, str, Mapping[str, object]]]:
        """Return the names in its options: where each stands, what it names, the name, and what there is of that."""
        for index, jobs in enumerate(self._options.jobs):
            yield ("jobs", index, "vo"), "VO", jobs.vo, catalogue.vos
            if jobs.wants and not jobs.misspelt:
                yield ("jobs", index, "wants"), "environment", jobs.wants, catalogue.environments
        for index, fault in enumerate(self._options.faults):
            if fault.do == "hangs":
                yield ("faults", index, "environment"), "environment", fault.environment, catalogue.environments

    def forget(self, worker: str) -> str:
        """Invalidate what is left of a worker that is gone, or will never come."""
        came_back = super().forget(worker)
        self._coming.pop(worker, None)
        return came_back

    def _boots(self, worker: str, environment: Environment) -> None:
        takes = self._options.boot_seconds * self._chance.uniform(0.67, 1.33)
        self._coming[worker] = environment
        self._agenda.after(takes, partial(self._arrives, worker))

    def _arrives(self, worker: str) -> None:
        environment = self._coming.get(worker)
        if environment is not None and environment.name not in self._hanging:
            del self._coming[worker]
            self.register(worker, environment, self.token(worker))

    def _come(self, jobs: LiveJobs) -> None:
        request = Request(jobs.vo, jobs.wants, jobs.cpus, jobs.memory_mib, None, tuple(jobs.requires.items()))
        count = self._chance.randint(*jobs.count)
        if count:
            self.submit(request, count, iter([self._chance.uniform(*jobs.runs) for _ in range(count)]), f"{jobs.vo}-user")

    def _fault(self, fault: LiveFault, *, begins: bool) -> None:
        if fault.do == "silent":
            self.faults.silent = begins
        elif begins:
            self._hanging.add(fault.environment)
        else:
            self._hanging.discard(fault.environment)


def connect(
    name: str,
    options: Mapping[str, object],
    *,
    site: str,  # noqa: ARG001 - one queue belongs to one site anyway
    deadline_seconds: float,
    directory: Path,  # noqa: ARG001 - everything is in memory
) -> LiveQueue:
    """Make a batch system of kind `simulated`."""
    checked = LiveOptions.model_validate(options)
    return LiveQueue(name, checked, Agenda(WallClock()), deadline_seconds)
