"""A scenario as people write it: a directory with a sentence, a farm and what happens to it, and the log that must come of it.

`README.md` says what is shown, `scenario.yaml` describes the farm, `log.expect` is the specification: nothing ever writes it
but a person who has read the log (`ambienti simulate scenario NAME --show`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from environments.checking import checked
from environments.environment import VO, Environment, Frozen, Image, Mebibytes, Name, Scalar, Seconds, Share, Virtualization
from environments.problems import ConfigurationError, Problem
from environments.reader import read
from environments.text import OneLine
from scheduler.model.policy import Limits
from simulations.plant import Machine

Positive = Annotated[int, Field(gt=0)]


class Deed(StrEnum):
    """What can happen to a farm."""

    QUEUE_SILENT = "queue-silent"
    QUEUE_SLOW = "queue-slow"
    QUEUE_PARTIAL = "queue-partial"
    QUEUE_EMPTY = "queue-empty"
    QUEUE_LAGGING = "queue-lagging"
    QUEUE_DEAF = "queue-deaf"
    HOST_SILENT = "host-silent"
    HOST_DEAD = "host-dead"
    HOST_SLOW = "host-slow"
    HOST_PARTIAL = "host-partial"
    HOST_MUTE = "host-mute"
    HOST_BOOTS_SLOW = "host-boots-slow"
    HOST_BOOTS_LONG = "host-boots-long"
    HOST_BOOTS_FAIL = "host-boots-fail"
    HOST_BLACK_HOLE = "host-black-hole"
    HOST_DRAIN = "host-drain"
    HOST_FORGOTTEN = "host-forgotten"
    STRANGER = "stranger"
    IMAGE_HANGS = "image-hangs"
    IMAGE_CRASHES = "image-crashes"
    WORKER_DIES = "worker-dies"
    WORKER_CUT_OFF = "worker-cut-off"
    WORKER_BLACK_HOLE = "worker-black-hole"
    WORKER_MIGRATES = "worker-migrates"
    JOBS_REMOVED = "jobs-removed"
    JOBS_HELD = "jobs-held"
    CHANGE = "change"
    CLOCK_JUMP = "clock-jump"
    DAEMON_STOPS = "daemon-stops"
    DAEMON_CRASHES = "daemon-crashes"
    SECOND_DAEMON = "second-daemon"
    JOURNAL_LOST = "journal-lost"


_NEEDS = {
    **{deed: "host" for deed in Deed if deed.value.startswith("host-")},
    **{deed: "worker" for deed in Deed if deed.value.startswith("worker-")},
    **{deed: "environment" for deed in Deed if deed.value.startswith("image-")},
    Deed.STRANGER: "host",
    Deed.JOBS_REMOVED: "vo",
    Deed.JOBS_HELD: "vo",
    Deed.CHANGE: "environment",
    Deed.CLOCK_JUMP: "seconds",
}


class HostLines(Frozen):
    """One host of the simulated farm."""

    cpus: Positive = 8
    """Physical cores."""
    memory_mib: Mebibytes = 16384
    """Memory that domains may have."""
    virtualizations: tuple[Virtualization, ...] = tuple(Virtualization)
    """What it can run; everything by default."""
    labels: dict[OneLine, OneLine] = {}
    """What environments can ask for."""
    networks: tuple[OneLine, ...] = ("default",)
    """Networks and bridges that it has."""
    max_boots: Positive = 4
    """Simultaneous boots."""
    cpu_overcommit: Annotated[float, Field(gt=0)] = 1.0
    """Virtual per physical cores."""
    boot_seconds: Seconds = 30
    """From the boot to the registered worker, give or take a tenth."""


class EnvironmentLines(Environment):
    """An environment, with defaults that suit a simulation."""

    name: Name = "name"
    """The key is the name."""
    virtualization: Virtualization = Virtualization.XEN_PV
    """xen-pv by default."""
    image: Image = Image(path="/images/worker.qcow2")
    """Never opened."""


class JobLines(Frozen):
    """Equal jobs that are submitted together."""

    at: Seconds = 0
    """When."""
    vo: OneLine
    """Whose."""
    count: Positive = 1
    """How many."""
    wants: OneLine = ""
    """The environment they name."""
    cpus: Positive = 1
    """Cores of each."""
    memory_mib: Mebibytes = 512
    """Memory of each."""
    walltime_seconds: Seconds | None = None
    """The walltime they ask for."""
    requires: dict[OneLine, Scalar] = {}
    """Attributes that their environment must provide."""
    runs: Seconds = 300
    """How long each runs."""
    malformed: OneLine = ""
    """What is wrong with their description, for jobs nobody can understand."""


class FaultLines(Frozen):
    """Something that happens, and ends by itself after `lasts`."""

    at: Seconds
    """When."""
    do: Deed
    """What."""
    lasts: Seconds | None = None
    """For how long; for good by default."""
    host: OneLine = ""
    """Which host."""
    worker: OneLine = ""
    """Which worker."""
    environment: OneLine = ""
    """Which environment."""
    vo: OneLine = ""
    """Whose."""
    version: OneLine = ""
    """Which version of the environment; the one in force by default."""
    seconds: int | None = None
    """How far the clock jumps; may be negative."""
    memory_mib: Mebibytes = 1024
    """Memory of a stranger."""
    to: dict[OneLine, Any] = {}
    """What changes in the definition of the environment."""
    after_steps: Positive | None = None
    """`daemon-crashes`: not at once, but after so many further writes to the journal and calls to the outside."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        needed = _NEEDS.get(self.do)
        if needed and getattr(self, needed) in {"", None}:
            raise ValueError(f"{self.do.value} needs `{needed}`")
        if self.do is Deed.WORKER_MIGRATES and not (self.host and self.lasts):
            raise ValueError("worker-migrates needs `host`, where it goes, and `lasts`, for how long it is copied")
        return self


class Scenario(Frozen):
    """A farm and what happens to it."""

    lasts: Seconds
    """How long it is watched."""
    seed: int = 1
    """Of the small differences between boots."""
    hosts: Annotated[dict[OneLine, HostLines], Field(min_length=1)]
    """By name."""
    vos: dict[Name, Share]
    """Shares by VO."""
    environments: Annotated[dict[Name, EnvironmentLines], Field(min_length=1)]
    """By name."""
    jobs: tuple[JobLines, ...] = ()
    """Who submits what."""
    faults: tuple[FaultLines, ...] = ()
    """What goes wrong, and what administrators do."""
    limits: Limits = Limits()
    """The knobs of the loop."""
    comes_to_rest: bool = True
    """Whether all jobs that can be served are done at the end, and all workers gone but the minimum."""
    drained_workers_leave: bool = False
    """Whether a drained worker shuts itself down."""

    def catalogue_vos(self) -> dict[str, VO]:
        """Return the VOs."""
        return {name: VO(name=name, share=share) for name, share in self.vos.items()}

    def catalogue_environments(self) -> dict[str, Environment]:
        """Return the environments under their names."""
        return {
            name: Environment.model_validate({**lines.model_dump(), "name": name}) for name, lines in self.environments.items()
        }

    def machines(self) -> list[Machine]:
        """Return the hosts as the plant knows them."""
        return [
            Machine(
                name=name,
                cpus=lines.cpus,
                memory_mib=lines.memory_mib,
                virtualizations=frozenset(lines.virtualizations),
                networks=frozenset(lines.networks),
                boot_seconds=lines.boot_seconds,
            )
            for name, lines in self.hosts.items()
        ]


@dataclass(frozen=True, slots=True)
class Directory:
    """One scenario directory."""

    name: str
    path: Path
    sentence: str
    scenario: Scenario
    expected: str | None
    """None when there is no log.expect: a scenario without a specification has failed."""


def directories(root: Path | None = None) -> list[Path]:
    """Return all scenario directories, those that come with Ambienti by default."""
    root = root or Path(str(resources.files("simulations.scenarios")))
    return sorted(path.parent for path in root.glob("*/scenario.yaml"))


def load(path: Path) -> Directory:
    """Read one scenario directory; a ConfigurationError says what is wrong with it."""
    problems: list[Problem] = []
    node = read(path / "scenario.yaml")
    scenario = checked(Scenario, node, problems)
    readme, log = path / "README.md", path / "log.expect"
    sentence = readme.read_text(encoding="utf-8").strip() if readme.is_file() else ""
    if not sentence:
        problems.append(Problem(str(readme), 0, 0, "", "is missing or empty", "a sentence that says what this scenario shows"))
    if scenario is None or problems:
        raise ConfigurationError(problems)
    expected = log.read_text(encoding="utf-8") if log.is_file() else None
    return Directory(path.name, path, sentence, scenario, expected)
