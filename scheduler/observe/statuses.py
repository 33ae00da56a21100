"""What one look says of everything that has a status: sources, workers, the VOs' shares, the daemon. Pure.

Rules:
1. A source is a service of its own, measured where its users meet it: a schedd that does not answer our question does not
   answer theirs. So no answer is CRITICAL, from when it was asked. That says nothing of what runs there: the workers behind
   a silent source are UNKNOWN.
2. A part that is missing, or an empty answer not yet believed, is WARNING: it answers.
3. Nobody asked is not "no answer": what this daemon did not come to ask is UNKNOWN.
4. Nor is an answer that has time left: what was said of a source stands until its deadline, and no answer then counts from
   when it was asked.
5. What a host told of by itself is dated by when it told it, if that lies between the last look and this one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING

from scheduler.availability.history import Cause, ObjectKind, Status
from scheduler.journal.records import Look, Said
from scheduler.model.ports import EventKind
from scheduler.model.queues import QueueReading
from scheduler.model.readings import Unanswered, is_pending, is_silent
from scheduler.model.workers import WorkerState
from scheduler.observe import provisioning
from scheduler.observe.provisioning import Provisioned, provisioned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scheduler.model.actions import Plan
    from scheduler.model.hosts import HostReading
    from scheduler.model.observation import Observation
    from scheduler.model.policy import Policy
    from scheduler.model.ports import DomainEvent

DAEMON = "ambienti"
"""The object that stands for the daemon itself."""
JUMP_SECONDS = 1.0
"""Wall clock and monotonic clock that move apart by more between two looks: the clock was set."""
S = WorkerState
_WHERE = attrgetter("environment", "state")
_SERVE = (S.IDLE, S.BUSY, S.DRAINING, S.DRAINED)
_HOST_IS = {EventKind.HOST_LOST: Status.CRITICAL, EventKind.HOST_BACK: Status.OK}


@dataclass(frozen=True, slots=True)
class LastLook:
    """What the last look left to the next."""

    said: Mapping[str, Said]
    at: float
    monotonic: float
    provisioned: Provisioned = field(default_factory=Provisioned)
    """Which demand waits for its share since when."""
    known_at: Mapping[str, float] = field(default_factory=dict)
    """For sources that have not answered yet: the instant of the last look that knew better."""


def looked(
    observation: Observation,
    policy: Policy,
    plan: Plan,
    before: LastLook | None = None,
    *,
    monotonic: float = 0.0,
    told: Mapping[tuple[str, str], DomainEvent] = MappingProxyType({}),
) -> LastLook:
    """Look at everything once: what it is now, and which demand has waited since when.

    `told`: by (host, domain), the ends of domains since the last look; by (host, ""), what was told last of a host.
    """
    found = provisioned(observation, policy, plan, before.provisioned if before else Provisioned(), monotonic)
    said = statuses(observation, policy)
    shares = {one.object: one for one in provisioning.statuses(found.waiting, observation, policy, monotonic)}
    said |= shares
    known_at: dict[str, float] = {}
    if before is not None:
        for name in _undecided(observation, shares) & before.said.keys():
            said[name], known_at[name] = before.said[name], before.known_at.get(name, before.at)
        said |= {name: replace(said[name], at=at) for name, at in _dated(observation, said, before, told)}
    return LastLook(said, observation.now, monotonic, found, known_at)


def _dated(
    observation: Observation, said: Mapping[str, Said], before: LastLook, told: Mapping[tuple[str, str], DomainEvent]
) -> Iterator[tuple[str, float]]:
    """Return which statuses began when an event was told, and when that was."""
    ends = {key: event.at for key, event in told.items() if key[1] and before.at < event.at <= observation.now}
    for (host, domain), event in told.items():
        one = None if domain else said.get(host)
        since = before.known_at.get(host, before.at)
        if one is not None and one.status is _HOST_IS.get(event.what) and since < event.at <= observation.now:
            yield host, event.at if one.at is None else min(event.at, one.at)
    lost: dict[str, list[tuple[str, str]]] = {}
    for worker in observation.workers if ends else ():
        if worker.state in {S.FAILED, S.SILENT}:
            lost.setdefault(workers_of(worker.environment), []).append((worker.host, worker.name))
    for name, workers in lost.items():
        # Where one was lost without a word, this look is the first to know.
        if said[name].status is not Status.UNKNOWN and ends.keys() >= set(workers):
            yield name, (max if said[name].status is Status.CRITICAL else min)(ends[one] for one in workers)


def _undecided(observation: Observation, shares: Iterable[str]) -> set[str]:
    """Return what nothing can be said of yet: sources that still may answer, and the shares that hang on what they say."""
    sources = (*observation.queues.items(), *observation.hosts.items())
    pending = {name for name, reading in sources if is_pending(reading)}
    queues = {name for name, reading in observation.queues.items() if isinstance(reading, Unanswered)}
    return pending.union(shares) if queues and queues <= pending else pending


def statuses(observation: Observation, policy: Policy) -> dict[str, Said]:
    """Say of every source, of the workers and of the daemon what they are now."""
    found = [Said(DAEMON, Status.OK, text="it goes round")]
    found += [_source(name, reading, ObjectKind.SERVICE) for name, reading in observation.queues.items()]
    found += [_source(name, reading, ObjectKind.HOST) for name, reading in observation.hosts.items()]
    found += _workers(observation, policy)
    return {said.object: said for said in found}


def workers_of(environment: str) -> str:
    """Name the object that stands for all workers of an environment."""
    return f"workers/{environment}"


def _source(name: str, reading: QueueReading | HostReading | Unanswered, kind: ObjectKind) -> Said:
    if isinstance(reading, Unanswered):
        status = Status.CRITICAL if reading.asked and not reading.pending else Status.UNKNOWN
        return Said(name, status, kind, text=reading.reason, at=reading.asked_at)
    if not reading.complete:
        return Said(name, Status.WARNING, kind, text="a part of its answer is missing")
    if isinstance(reading, QueueReading) and reading.suspect:
        return Said(name, Status.WARNING, kind, text="empty right after full: not yet believed")
    return Said(name, Status.OK, kind, text="answers")


def _workers(observation: Observation, policy: Policy) -> Iterator[Said]:
    counted = Counter(map(_WHERE, observation.workers))
    silent = {name for name, one in observation.queues.items() if is_silent(one)}
    behind = Counter(one.environment for one in observation.workers if one.batch_system in silent and one.state in _SERVE)
    environments = {*policy.catalogue.environments, *(environment for environment, _ in counted)}
    for environment in sorted(environments):
        count = {state: counted[environment, state] for state in S}
        served = sum(count[state] for state in _SERVE) - behind[environment]
        text = ", ".join(f"{count[state]} {state.value}" for state in S if count[state]) or "none"
        if count[S.UNSEEN] + behind[environment] and not served:
            text += f" when {', '.join(sorted(silent))} last answered" if behind[environment] else ""
            yield Said(workers_of(environment), Status.UNKNOWN, text=text)
        elif count[S.SILENT] + count[S.FAILED]:
            # Until a silent one is given up nobody knows that it is lost; then its time goes into the next boot.
            boots = count[S.REQUESTED] + count[S.BOOTING] + count[S.FAILED]
            cause = "" if served else (Cause.BOOT if boots else Cause.DETECTION).value
            yield Said(workers_of(environment), Status.WARNING if served else Status.CRITICAL, cause=cause, text=text)
        else:
            yield Said(workers_of(environment), Status.OK, text=text)


def look(before: LastLook | None, now: LastLook, *, stale_seconds: float, watched: bool) -> Look:
    """Compare a look with the one before; after a gap, a jump of the clock or a start, everything is told again."""
    began = _began(before, now, stale_seconds, watched=watched)
    since = before.at if before is not None and not began else None
    changes = tuple(
        _not_before(said, before.known_at.get(said.object, since) if before and since is not None else None)
        for name, said in now.said.items()
        if began or before is None or _differs(before.said.get(name), said)
    )
    retired = () if before is None else tuple(sorted(before.said.keys() - now.said.keys()))
    return Look(now.at, now.monotonic, changes, retired, began)


def _began(before: LastLook | None, now: LastLook, stale_seconds: float, *, watched: bool) -> str:
    if before is None:
        return "start"
    passed = now.monotonic - before.monotonic
    if passed > stale_seconds:
        return "gap"
    if abs((now.at - before.at) - passed) > JUMP_SECONDS:
        return "clock"
    return "" if watched else "start"


def _differs(before: Said | None, said: Said) -> bool:
    return before is None or (before.status, before.cause) != (said.status, said.cause)


def _not_before(said: Said, since: float | None) -> Said:
    """Let a status begin at this look at the earliest if the one before had another, or all is told again."""
    if said.at is None or (since is not None and said.at >= since):
        return said
    return replace(said, at=since)
