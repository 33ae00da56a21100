"""`check --live`: can the farm as it stands do what the files promise? Every batch system and host is asked, in parallel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from environments.environment import Environment
from environments.names import nearest
from environments.problems import Problem
from scheduler.decide.promising import over_promised
from scheduler.decide.trust import same_machine
from scheduler.model.hosts import HostReading
from scheduler.model.ports import BatchSystem, Hypervisor, SourceError
from scheduler.observe.machines import count_machines_once
from scheduler.site import compose
from scheduler.site.definitions import Definitions, unlabelled

if TYPE_CHECKING:
    from environments.catalogue import Owned
    from scheduler.site.compose import Farm

PARALLEL = 32
HOSTS_NAMED = 3
_SIZES = {"memory_mib", "vcpus"}
_KEY = re.compile(r"[a-z_0-9]+(\.[a-z_0-9]+)*")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that stands against the files."""

    subject: str
    message: str
    fatal: bool = True
    """False: somebody is hindered, but another host can do it."""
    unanswered: bool = False
    problem: Problem | None = None
    """The line that is to be changed, where one is to blame."""

    def __str__(self) -> str:
        """Return one line."""
        return str(self.problem) if self.problem else f"{self.subject}: {self.message}"


@dataclass(frozen=True, slots=True)
class _HostAnswer:
    reading: HostReading | None
    refusals: Mapping[str, tuple[str, ...]]
    error: str = ""


def check(definitions: Definitions, farm: Farm) -> tuple[Finding, ...]:
    """Ask everybody; what is fine is not mentioned, and what stops something comes before what only hinders."""
    environments = tuple(definitions.policy.catalogue.environments.values())
    with ThreadPoolExecutor(PARALLEL) as pool:
        queues = pool.map(lambda one: _ask_queue(one, environments), farm.batch_systems.values())
        answers = pool.map(lambda one: _ask_host(one, environments), farm.hypervisors.values())
        by_host = dict(zip(farm.hypervisors, answers, strict=True))
        findings = [finding for finding in queues if finding is not None]
    findings += _discovered(definitions, farm)
    for name, answer in by_host.items():
        if answer.reading is None:
            place = definitions.file.node.problem((*definitions.file.hosts[name].place, "uri"), f"{name}: {answer.error}")
            findings.append(Finding(f"host {name}", answer.error, unanswered=True, problem=place))
    by_host = _counted(definitions, by_host)
    findings += _one_machine(definitions, by_host)
    findings += _unready(definitions, by_host)
    findings += _promised(definitions, by_host)
    for definitions_of_vo in definitions.vos.values():
        for owned in definitions_of_vo.environments.values():
            candidates = _candidates(owned.environment, definitions, by_host)
            findings += _bootable(owned, candidates)
            findings += _authentic(owned, candidates, farm)
    return tuple(sorted(findings, key=lambda one: (not one.fatal, one.unanswered)))


def _counted(definitions: Definitions, hosts: Mapping[str, _HostAnswer]) -> dict[str, _HostAnswer]:
    """Return the answers with each machine in them once, as decisions count it."""
    entries = definitions.file.hosts
    readings = {name: answer.reading for name, answer in hosts.items() if answer.reading is not None}
    counted = count_machines_once(readings, lambda name: entries[name].settings.machine_percent)
    return {
        name: replace(answer, reading=found) if isinstance(found := counted.get(name), HostReading) else answer
        for name, answer in hosts.items()
    }


def _one_machine(definitions: Definitions, hosts: Mapping[str, _HostAnswer]) -> Iterator[Finding]:
    """Say which hosts are one machine and count for nothing, whatever the ways to them."""
    for name, answer in hosts.items():
        if answer.reading is not None and answer.reading.same_as:
            reason = same_machine(name, answer.reading)
            place = (*definitions.file.hosts[name].place, "uri")
            problem = definitions.file.node.problem(place, reason.sentence, reason.remedy)
            yield Finding(f"host {name}", reason.sentence, problem=problem)


def _unready(definitions: Definitions, hosts: Mapping[str, _HostAnswer]) -> Iterator[Finding]:
    """Say what a host lacks that all its workers would need, once for the host."""
    for name, answer in hosts.items():
        lacking = dict.fromkeys(one for refusals in answer.refusals.values() for one in refusals if _of_host(one))
        for one in lacking:
            key, _, message = one.partition(": ")
            place = definitions.file.hosts[name].place
            problem = definitions.file.node.problem((*place, "options", key), f"{name}: {message}")
            yield Finding(f"host {name}", one, problem=problem)


def _promised(definitions: Definitions, hosts: Mapping[str, _HostAnswer]) -> Iterator[Finding]:
    """Say which shares are larger than the farm, once all hosts have told their cores; jobs are served all the same."""
    readings = [answer.reading for answer in hosts.values() if answer.reading is not None]
    if len(readings) < len(definitions.file.hosts):
        return
    shares = {name: settings.share for name, settings in definitions.site.vos.items()}
    for vo, (key, said) in over_promised(shares, sum(one.cpus for one in readings)).items():
        problem = definitions.file.node.problem(("vos", vo, "share", key), f"{vo}: {said}")
        yield Finding(f"VO {vo}", said, fatal=False, problem=problem)


def _candidates(environment: Environment, definitions: Definitions, hosts: Mapping[str, _HostAnswer]) -> dict[str, _HostAnswer]:
    """Return the hosts that an environment is for: with its labels, and, where there are any, of its kind and large enough."""
    entries, labels = definitions.file.hosts, environment.labels.items()
    chosen = {
        name: answer
        for name, answer in hosts.items()
        if answer.reading is not None and not answer.reading.same_as and labels <= entries[name].labels.items()
    }
    kind, memory_mib = environment.virtualization, environment.memory_mib
    alike = {name: one for name, one in chosen.items() if one.reading and kind in one.reading.virtualizations} or chosen
    return {name: one for name, one in alike.items() if one.reading and one.reading.memory_mib >= memory_mib} or alike


def _of_host(refusal: str) -> bool:
    """Whether a refusal is about the host itself, whatever the environment."""
    key = refusal.partition(": ")[0]
    return bool(_KEY.fullmatch(key)) and not _is_key(key)


def _discovered(definitions: Definitions, farm: Farm) -> Iterator[Finding]:
    """Say which discovery gave no good answer just now, and which labels no host carries that it found."""
    for index, reading in enumerate(compose.readings(definitions, farm).values()):
        if said := reading.problem or reading.doubt:
            known = f"{said} ({reading.hosts} host{'s' * (reading.hosts != 1)} known from before)" if reading.problem else said
            problem = definitions.file.node.problem(("discover", index), f"{reading.source}: {known}")
            yield Finding(f"discovery {reading.source}", known, unanswered=bool(reading.problem), problem=problem)
    if not definitions.site.discover:
        return
    for definitions_of_vo in definitions.vos.values():
        for owned in definitions_of_vo.environments.values():
            for problem in unlabelled(owned, [entry.labels for entry in definitions.file.hosts.values()]):
                yield Finding(f"environment {owned.environment.name}", problem.message, problem=problem)


def _ask_queue(batch_system: BatchSystem, environments: Iterable[Environment]) -> Finding | None:
    try:
        reading = batch_system.read(tuple(environments), cheap=False)
    except SourceError as error:
        return Finding(f"batch system {batch_system.name}", f"{error.asked}: {error.answer}", unanswered=True)
    if not reading.complete:
        said = "; ".join(reading.warnings) or "its answer is not complete"
        return Finding(f"batch system {batch_system.name}", said, unanswered=True)
    if reading.advice:
        return Finding(f"batch system {batch_system.name}", "; ".join(reading.advice), fatal=False)
    return None


def _ask_host(hypervisor: Hypervisor, environments: Iterable[Environment]) -> _HostAnswer:
    try:
        reading = hypervisor.read()
        refusals = {one.name: tuple(hypervisor.check(_unsealed(one))) for one in environments}
    except SourceError as error:
        return _HostAnswer(None, {}, f"{error.asked}: {error.answer}")
    return _HostAnswer(reading, refusals)


def _bootable(owned: Owned, hosts: Mapping[str, _HostAnswer]) -> Iterator[Finding]:
    """Say when no host can boot an environment; the hosts that cannot are grouped by what stands against it."""
    environment = owned.environment
    able = 0
    hindered: dict[str, list[tuple[str, str]]] = {}
    for name, answer in hosts.items():
        if answer.reading is not None:
            against = _against(environment, answer.reading, answer.refusals[environment.name])
            able += not against
            against = [one for one in against if not _of_host(one)]
            for one in against:
                key = one.partition(": ")[0]
                hindered.setdefault(key if _is_key(key) else one, []).append((name, one))
    largest = max((a.reading.memory_mib for a in hosts.values() if a.reading is not None), default=0)
    for key, told in hindered.items():
        if able and key in _SIZES:  # hosts may differ in size
            continue
        names = [name for name, _ in told]
        named = ", ".join(names[:HOSTS_NAMED]) + (f" and {len(names) - HOSTS_NAMED} more" if len(names) > HOSTS_NAMED else "")
        problem = _placed(owned, told[0][1], f"not on {named}", largest)
        yield Finding(f"environment {environment.name}", f"not on {named}: {told[0][1]}", fatal=able == 0, problem=problem)


def _unsealed(environment: Environment) -> Environment:
    """Return an environment without the checksum of its image: to compare that, all of the image is read."""
    return environment.model_copy(update={"image": environment.image.model_copy(update={"sha256": None})})


def _authentic(owned: Owned, hosts: Mapping[str, _HostAnswer], farm: Farm) -> Iterator[Finding]:
    """Compare the checksum of an image on the first host that can boot it: it lies on storage that all of them share."""
    environment, subject = owned.environment, f"environment {owned.environment.name}"
    able = (
        name
        for name, one in hosts.items()
        if one.reading and not _against(environment, one.reading, one.refusals[environment.name])
    )
    if environment.image.sha256 is None or (name := next(able, None)) is None:
        return
    try:
        refusals = farm.hypervisors[name].check(environment)
    except SourceError as error:
        yield Finding(subject, f"host {name}: {error.asked}: {error.answer}", unanswered=True)
        return
    for one in refusals:
        yield Finding(subject, f"not on {name}: {one}", problem=_placed(owned, one, f"not on {name}", 0))


def _against(environment: Environment, reading: HostReading, refusals: tuple[str, ...]) -> list[str]:
    if refusals:
        return list(refusals)
    against = []
    if environment.memory_mib > reading.memory_mib:
        against.append(
            f"memory_mib: {environment.memory_mib} MiB are more than the host has for domains ({reading.memory_mib} MiB)"
        )
    if environment.virtualization not in reading.virtualizations:
        against.append(f"virtualization: the host has no {environment.virtualization}")
    return against


def _is_key(text: str) -> bool:
    return bool(_KEY.fullmatch(text)) and text.partition(".")[0] in Environment.model_fields


def _placed(owned: Owned, refusal: str, where: str, largest_mib: int) -> Problem | None:
    """Find the line that a host's refusal is about: hosts say `network.source: no bridge 'x'; there are: y, z`."""
    key, _, message = refusal.partition(": ")
    if not _is_key(key):
        return None
    said, _, known = message.partition("; there are: ")
    expected = f"one of: {known}" if known else ""
    if key == "memory_mib":
        expected = f"at most {largest_mib} MiB, as the largest host has"
    quoted = re.search(r"'([^']*)'", said)
    near = nearest(quoted[1], known.split(", ")) if quoted and known else ""
    problem = owned.node.problem(tuple(key.split(".")), f"{where}: {said}", expected, near)
    return replace(problem, key=f"environments.{owned.environment.name}.{key}")
