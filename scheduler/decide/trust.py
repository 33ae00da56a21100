"""Trust: which readings may be believed, and for what. No answer is never read as "empty"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from environments.reason import Number, Reason
from scheduler.decide.waiting import Waiting
from scheduler.model.clock import clock_time
from scheduler.model.observation import Observation
from scheduler.model.policy import Policy
from scheduler.model.queues import QueueReading
from scheduler.model.readings import Unanswered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scheduler.decide.census import Fleet
    from scheduler.model.hosts import Host, HostReading
    from scheduler.model.workers import Worker

_MANY_SILENT = 3
"""From so many silent workers on, and half of those registered, the batch system is suspected rather than the workers."""


@dataclass(slots=True)
class Trust:
    """Which sources may be believed about what is *not* there."""

    observation: Observation
    policy: Policy
    waiting: Waiting
    batch: dict[str, Reason | None] = field(default_factory=dict)
    """The systems asked about so far."""
    hosts: dict[str, Reason | None] = field(default_factory=dict)
    """The hosts asked about so far."""

    def of_batch(self, name: str) -> Reason | None:
        """Say why a batch system may not be believed, or None."""
        if name not in self.batch:
            reading = self.observation.queues.get(name)
            against = distrust_absence(reading, self.waiting, self.policy)
            self.batch[name] = removed_batch(name) if self.removed(name) else against
        return self.batch[name]

    def removed(self, name: str) -> bool:
        """Whether the site has no such batch system any more: nobody can say what runs in its workers."""
        return name not in self.observation.queues

    def of_demand(self, name: str) -> Reason | None:
        """Say why a batch system's demand is not known now, or None."""
        return distrust_demand(self.observation.queues.get(name), self.waiting, self.policy)

    def of_host(self, name: str) -> Reason | None:
        """Say why a host may not be believed, or None."""
        if name not in self.hosts:
            reading = self.observation.hosts.get(name)
            self.hosts[name] = distrust_host(name, reading, self.waiting, self.policy)
        return self.hosts[name]

    def of(self, worker: Worker) -> Reason | None:
        """Say why nothing may be ended about a worker, or None."""
        return self.of_batch(worker.batch_system) or self.of_host(worker.host)


def distrust_demand(reading: QueueReading | Unanswered | None, waiting: Waiting, policy: Policy) -> Reason | None:
    """Say why a batch system's demand is not known now, or None when boots may be based on its reading.

    A partial reading still counts: the jobs it shows are real, only absent rows mean nothing.
    """
    if reading is None:
        return Reason("batch-unread", "the batch system has not been read yet")
    if isinstance(reading, Unanswered):
        return Reason(
            "batch-silent",
            f"batch system {reading.source} {_silent(reading, waiting.now, policy.zone)}: {reading.reason}",
            {"source": reading.source, "reason": reading.reason, **_answered(reading)},
            f"bring {reading.source} back; until then nothing is booted or retired for it",
        )
    limits = policy.limits
    if waiting.past(reading.at + limits.stale_seconds):
        age, at = round(waiting.now - reading.at), clock_time(reading.at, waiting.now, policy.zone)
        return Reason(
            "batch-stale",
            f"the reading of batch system {reading.source} is of {at}, older than {limits.stale_seconds} s",
            {"age_seconds": age, "stale_seconds": limits.stale_seconds},
            f"see why {reading.source} is read so rarely",
        )
    return None


def _silent(reading: Unanswered, now: float, zone: str) -> str:
    if reading.pending:
        return "has not answered yet"
    if reading.answered_at is None:
        return "does not answer"
    return f"has not answered since {clock_time(reading.answered_at, now, zone)}"


def _answered(reading: Unanswered) -> dict[str, Number]:
    return {} if reading.answered_at is None else {"answered_at": reading.answered_at}


def removed_batch(name: str) -> Reason:
    """Say that nothing can be asked of a batch system that was taken out of the site file."""
    return Reason(
        "batch-removed",
        f"the site has no batch system {name} any more, so nobody can say what runs in it",
        {"batch_system": name},
        f"put {name} back into the site file, under its old name, to have its workers drained",
    )


def distrust_absence(reading: QueueReading | Unanswered | None, waiting: Waiting, policy: Policy) -> Reason | None:
    """Say why what a reading does *not* show means nothing, or None when drains may be based on it."""
    reason, limits = distrust_demand(reading, waiting, policy), policy.limits
    if reason is not None or not isinstance(reading, QueueReading):
        return reason
    if not reading.complete:
        missing = "; ".join(reading.warnings) or "some part is missing"
        return Reason(
            "batch-incomplete",
            f"batch system {reading.source} answered only in part: {missing}",
            {"source": reading.source},
            f"see `ambienti status` for what {reading.source} did not answer",
        )
    if reading.suspect:
        return Reason(
            "batch-suspect",
            f"batch system {reading.source} answered with nothing right after a full answer; not believed until confirmed",
            {"source": reading.source, "confirm_seconds": limits.confirm_empty_seconds},
            f"wait {limits.confirm_empty_seconds} s for a second reading",
        )
    return None


def distrust_host(name: str, reading: HostReading | Unanswered | None, waiting: Waiting, policy: Policy) -> Reason | None:
    """Say why nothing is placed on or ended on a host now, or None when its reading may be used."""
    if reading is None:
        sentence = f"host {name} is not asked: the site names no host of this name"
        help_ = f"put {name} back into the site file; if it is off for good, `ambienti host forget {name}`"
        return Reason("host-unread", sentence, {"host": name}, help_)
    if isinstance(reading, Unanswered):
        return Reason(
            "host-silent",
            f"host {name} {_silent(reading, waiting.now, policy.zone)}: {reading.reason}",
            {"host": name, "reason": reading.reason, **_answered(reading)},
            f"bring {name} back; nothing is started or ended there until then, or until `ambienti host forget {name}`",
        )
    if not reading.complete:
        return Reason("host-incomplete", f"host {name} answered only in part", {"host": name}, f"see the log of {name}")
    limits = policy.limits
    if waiting.past(reading.at + limits.stale_seconds):
        age, at = round(waiting.now - reading.at), clock_time(reading.at, waiting.now, policy.zone)
        return Reason(
            "host-stale",
            f"the reading of host {name} is of {at}, older than {limits.stale_seconds} s",
            {"host": name, "age_seconds": age, "stale_seconds": limits.stale_seconds},
        )
    return None


def same_machine(name: str, reading: HostReading) -> Reason:
    """Say why a host counts for nothing: another host of the site is the same machine."""
    numbers = {"host": name, "same_as": reading.same_as, "machine": reading.machine}
    return Reason(
        "same-machine",
        f"host {name} is the same machine as {reading.same_as}, whose cores and memory count already; nothing starts on {name}",
        numbers,
        "take one of them out of the site file, or, for two drivers of one machine, give each a `machine_percent`; "
        f"if they are two machines that both say they are {reading.machine}, set `host_uuid` in their libvirtd.conf",
    )


def draining_hosts(observation: Observation, policy: Policy) -> frozenset[str]:
    """Return the hosts that the administrator drains, by command or by configuration, and those a discovery names no longer."""
    configured = {name for name, host in policy.hosts.items() if host.draining or host.left}
    return observation.draining_hosts | configured


def drained_host(name: str, host: Host | None, code: str = "host-drain") -> Reason:
    """Say why nothing new starts on a host and its workers are retired."""
    if host is not None and host.left:
        sentence = f"host {name} is emptied: discovery {host.left} names it no longer"
        return Reason(code, sentence, {"host": name, "discovery": host.left}, f"have {host.left} name {name} again")
    return Reason(code, f"host {name} is drained by the administrators", {"host": name}, f"`ambienti host undrain {name}`")


def mass_silence(fleets: Iterable[Fleet], batch_system: str) -> Reason | None:
    """Say that so many workers of a batch system are silent that it is the one to suspect, or None."""
    of_system = [fleet for fleet in fleets if fleet.batch_system == batch_system]
    silent = sum(len(fleet.silent) for fleet in of_system)
    known = silent + sum(len(fleet.serving) + len(fleet.leaving) for fleet in of_system)
    if silent < _MANY_SILENT or 2 * silent < known:
        return None
    return Reason(
        "mass-silence",
        f"batch system {batch_system} no longer sees {silent} of {known} workers: it is suspected, not the workers",
        {"silent": silent, "workers": known},
        f"look at {batch_system}; its workers are kept four times as long as silence_seconds",
    )
