"""What jobs ask for: amounts, the environment that was named for them and by whom, and what their own requirements accept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Chooser(StrEnum):
    """Who says in which environment a job runs."""

    JOB = "job"
    """The job names it."""
    HOOK = "hook"
    """The submit hook gave it the default of its VO, because it asked for nothing that the default does not have."""
    REQUIREMENTS = "requirements"
    """Its requirements and amounts, by what they accept."""
    DEFAULT = "default"
    """Nothing excludes the default of its VO."""
    SIZE = "size"
    """Nothing excludes any, and the VO has no default: the smallest worker."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """What one job takes of one worker."""

    cpus: int = 1
    memory_mib: int = 1
    disk_mib: int = 0
    gpus: int = 0
    walltime_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Unmapped:
    """What was looked at to tell the VO of jobs that belong to none of the farm's."""

    looked_at: Mapping[str, str] = field(default_factory=dict)
    """By attribute: its value in the batch system's words; "" where the job has none."""
    rules: tuple[str, ...] = ()
    """The site's rules in words, in their order."""
    lines: Mapping[str, str] = field(default_factory=dict)
    """By VO: the line of a submit file that says it; VOs that no rule tells by such a line are missing."""

    def seen(self) -> str:
        """Return what was looked at as a sentence: `AcctGroup is "group_atls", Owner is "alice"`."""
        return ", ".join(f"{name} is {value or 'not set'}" for name, value in self.looked_at.items())


@dataclass(frozen=True, slots=True)
class Requirements:
    """What every job of one request cluster asks for."""

    wanted: str = ""
    """The environment that was named for it (`WantEnvironment`), by whom `chosen_by` says; "" if none."""
    cpus: int = 1
    memory_mib: int = 1
    walltime_seconds: int | None = None
    accepts: frozenset[str] | None = None
    """Environments whose prototype slot the batch system's own requirements language accepts; None: nothing to evaluate.

    A job that names one is judged in each of its VO as if it had named that."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """For environments not accepted: the clause that refused, in the batch system's words."""
    disk_mib: int = 0
    gpus: int = 0
    by_environment: Mapping[str, Amounts] = field(default_factory=dict)
    """Amounts that depend on the worker (`RequestCpus = TARGET.TotalCpus`), by environment; the others ask for the above."""
    chosen_by: Chooser | None = None
    """Who named `wanted`: the job (also when None) or the submit hook."""
    unmapped: Unmapped | None = None
    """Told of jobs whose VO the farm does not know."""

    @property
    def amounts(self) -> Amounts:
        """What they ask for where it does not depend on the worker."""
        return Amounts(self.cpus, self.memory_mib, self.disk_mib, self.gpus, self.walltime_seconds)

    def of(self, environment: str) -> Amounts:
        """Return what one of these jobs asks of a worker of this environment."""
        return self.by_environment.get(environment) or self.amounts
