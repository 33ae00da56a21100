"""`check --live`: can the farm as it stands do what the files promise? Every batch system and host is asked, in parallel."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from scheduler.model import HostReading
from scheduler.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from environments.environment import Environment
    from scheduler.compose import Farm
    from scheduler.definitions import Definitions
    from scheduler.ports import BatchSystem, Hypervisor

PARALLEL = 32
HOSTS_NAMED = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that stands against the files."""

    subject: str
    message: str
    fatal: bool = True
    """False: somebody is hindered, but another host can do it."""
    unanswered: bool = False

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.subject}: {self.message}"


@dataclass(frozen=True, slots=True)
class _HostAnswer:
    reading: HostReading | None
    refusals: Mapping[str, tuple[str, ...]]
    error: str = ""


def as_data(finding: Finding) -> dict[str, Any]:
    """Return a finding as plain data."""
    return asdict(finding)


def check(definitions: Definitions, farm: Farm) -> tuple[Finding, ...]:
    """Ask everybody; what is fine is not mentioned."""
    environments = tuple(definitions.policy.catalogue.environments.values())
    with ThreadPoolExecutor(PARALLEL) as pool:
        queues = pool.map(lambda one: _ask_queue(one, environments), farm.batch_systems.values())
        answers = pool.map(lambda one: _ask_host(one, environments), farm.hypervisors.values())
        by_host = dict(zip(farm.hypervisors, answers, strict=True))
        findings = [finding for finding in queues if finding is not None]
    findings += [
        Finding(f"host {name}", answer.error, unanswered=True) for name, answer in by_host.items() if answer.reading is None
    ]
    for environment in environments:
        findings += _bootable(environment, by_host)
    return tuple(findings)


def _ask_queue(batch_system: BatchSystem, environments: Iterable[Environment]) -> Finding | None:
    try:
        reading = batch_system.read(tuple(environments), cheap=False)
    except SourceError as error:
        return Finding(f"batch system {batch_system.name}", f"{error.asked}: {error.answer}", unanswered=True)
    if not reading.complete:
        said = "; ".join(reading.warnings) or "its answer is not complete"
        return Finding(f"batch system {batch_system.name}", said, unanswered=True)
    return None


def _ask_host(hypervisor: Hypervisor, environments: Iterable[Environment]) -> _HostAnswer:
    try:
        reading = hypervisor.read()
        refusals = {one.name: tuple(hypervisor.check(one)) for one in environments}
    except SourceError as error:
        return _HostAnswer(None, {}, f"{error.asked}: {error.answer}")
    return _HostAnswer(reading, refusals)


def _bootable(environment: Environment, hosts: Mapping[str, _HostAnswer]) -> Iterator[Finding]:
    """Say when no host can boot an environment; the hosts that cannot are grouped by what stands against it."""
    able = 0
    hindered: dict[str, list[str]] = {}
    for name, answer in hosts.items():
        if answer.reading is None:
            continue
        against = list(answer.refusals[environment.name])
        if environment.memory_mib > answer.reading.memory_mib and not any("memory" in one for one in against):
            against.append(f"needs {environment.memory_mib} MiB, the host has {answer.reading.memory_mib} MiB for workers")
        if environment.virtualization not in answer.reading.virtualizations and not against:
            against.append(f"the host has no {environment.virtualization}")
        able += not against
        for one in against:
            hindered.setdefault(one, []).append(name)
    for message, names in hindered.items():
        named = ", ".join(names[:HOSTS_NAMED]) + (f" and {len(names) - HOSTS_NAMED} more" if len(names) > HOSTS_NAMED else "")
        yield Finding(f"environment {environment.name}", f"not on {named}: {message}", fatal=able == 0)
