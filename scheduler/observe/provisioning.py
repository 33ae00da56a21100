"""Provisioning is a service too: was my share there when I asked for it? Per VO and environment; pure.

Rules, for one VO and one environment at one instant:
1. Demand counts when it is *satisfiable* (an environment that the VO may use matches it), not served by free slots that only
   wait for the batch system, and *within the entitlement*: what the VO's jobs occupy, with one more job, is not more than
   its guarantee or its fair part by weight of the site's cores, whichever is more, and not above its ceiling. A host that does
   not answer counts with the cores it showed last: what is broken takes nothing from what was promised.
2. It is unserved from the instant when that began, or when its longest waiting job was queued if that is later.
3. After the boot time promised by the environment (`boot_seconds`) the service is CRITICAL until the demand is served, gone, or
   beyond the entitlement. Before, and without demand, it is OK.
4. While a batch system is silent nobody knows what is asked for: UNKNOWN.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from environments.reason import counted
from scheduler.availability.history import Cause, Status
from scheduler.decide.blame import told
from scheduler.decide.demand import Matcher
from scheduler.journal.records import Said
from scheduler.model.hosts import HostReading
from scheduler.model.queues import QueueReading
from scheduler.model.readings import Unanswered
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scheduler.model.actions import Plan
    from scheduler.model.observation import Observation
    from scheduler.model.policy import Policy
    from scheduler.model.queues import RequestCluster
    from scheduler.model.workers import Worker

Pair = tuple[str, str]
"""VO and environment."""
S = WorkerState
_BOOTS = frozenset({S.REQUESTED, S.BOOTING})


@dataclass(frozen=True, slots=True)
class UnmetDemand:
    """Demand that has a right to be served and is not."""

    jobs: int
    since: float
    """By the monotonic clock."""


def name_of(vo: str, environment: str) -> str:
    """Name the object that stands for a VO's share of an environment."""
    return f"{vo}/{environment}"


def statuses(waiting: Mapping[Pair, UnmetDemand], observation: Observation, policy: Policy, monotonic: float) -> Iterator[Said]:
    """Say of every VO and every environment it may use whether its share is there."""
    blind = any(isinstance(reading, Unanswered) for reading in observation.queues.values())
    last = {boot.environment: boot for boot in observation.boots}
    failed = {name: boot for name, boot in last.items() if not boot.registered}
    booting = {worker.environment for worker in observation.workers if worker.state in _BOOTS}
    for environment in policy.catalogue.environments.values():
        for vo in sorted(environment.vos):
            name, found = name_of(vo, environment.name), waiting.get((vo, environment.name))
            if blind:
                yield Said(name, Status.UNKNOWN, text="a batch system is silent, so nobody knows what jobs ask for")
                continue
            over = 0.0 if found is None else monotonic - found.since - environment.boot_seconds
            if found is None or over <= 0:
                yield Said(
                    name,
                    Status.OK,
                    text=f"{counted(found.jobs, 'job', 'wait')} for a boot" if found else "nothing waits for its share",
                )
                continue
            cause = Cause.BOOT if environment.name in booting else Cause.PLACEMENT
            wait = counted(found.jobs, "job", "wait")
            text = f"{wait} for longer than {environment.boot_seconds:g} s, within the entitlement of {vo}"
            if environment.name in failed:
                text += f"; the last boot failed: {told(failed[environment.name], observation.now, policy.zone)}"
            yield Said(name, Status.CRITICAL, cause=cause.value, text=text, at=observation.now - over)


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What one look leaves to the next."""

    waiting: Mapping[Pair, UnmetDemand] = field(default_factory=dict)
    cores: Mapping[str, float] = field(default_factory=dict)
    """Of each host, as it showed them last."""


def provisioned(observation: Observation, policy: Policy, plan: Plan, before: Provisioned, monotonic: float) -> Provisioned:
    """Look at demand and hosts once; `before` is what the last look left."""
    cores = {name: before.cores[name] for name in observation.hosts if name in before.cores}
    for name, reading in observation.hosts.items():
        host = policy.hosts.get(name)
        if isinstance(reading, HostReading) and host is not None:
            cores[name] = 0.0 if host.left else reading.cpus * host.cpu_overcommit
    if any(isinstance(reading, Unanswered) for reading in observation.queues.values()):
        return Provisioned(before.waiting, cores)
    return Provisioned(_unserved(observation, policy, plan, Provisioned(before.waiting, cores), monotonic), cores)


def _unserved(
    observation: Observation, policy: Policy, plan: Plan, known: Provisioned, monotonic: float
) -> dict[Pair, UnmetDemand]:
    """Find the demand within the entitlements that is not served, with since when."""
    matcher = Matcher(policy.catalogue)
    asked: dict[Pair, list[tuple[RequestCluster, int]]] = defaultdict(list)
    for cluster in _clusters(observation):
        jobs = cluster.idle - _free_slots(cluster.key, plan)
        if jobs <= 0 or cluster.problem:
            continue
        match = matcher.match(cluster)
        if match.problem is None:
            asked[cluster.vo, match.environments[0]].append((cluster, jobs))
    occupied = _occupied(observation.workers)
    entitled = entitlements(sum(known.cores.values()), policy, {vo for vo, _ in asked} | occupied.keys())
    found: dict[Pair, UnmetDemand] = {}
    for (vo, environment), clusters in asked.items():
        room = entitled.get(vo, 0.0) - occupied.get(vo, 0)
        fitting = [(one, jobs) for one, jobs in clusters if max(1, one.requirements.of(environment).cpus) <= room]
        if fitting:
            first = known.waiting.get((vo, environment))
            since = max(
                monotonic if first is None else first.since, min(_queued(one, observation, monotonic) for one, _ in fitting)
            )
            found[vo, environment] = UnmetDemand(sum(jobs for _, jobs in fitting), since)
    return found


def entitlements(total: float, policy: Policy, active: Iterable[str]) -> dict[str, float]:
    """Return what each VO that asks or holds is entitled to, of so many cores."""
    shares = {vo: policy.catalogue.vos[vo].share for vo in active if vo in policy.catalogue.vos}
    weights = sum(share.weight for share in shares.values())
    entitled = {}
    for vo, share in shares.items():
        fair = max(float(share.guarantee_cpus), total * share.weight / weights if weights else 0.0)
        entitled[vo] = fair if share.ceiling_cpus is None else min(fair, float(share.ceiling_cpus))
    return entitled


def _clusters(observation: Observation) -> Iterator[RequestCluster]:
    for reading in observation.queues.values():
        if isinstance(reading, QueueReading):
            yield from (cluster for cluster in reading.clusters if cluster.idle > 0)


def _free_slots(cluster: str, plan: Plan) -> int:
    """Return how many of a cluster's jobs fit in running workers: their share is there, the batch system is to match them."""
    verdict = plan.clusters.get(cluster)
    reasons = verdict.reasons if verdict else ()
    return sum(int(reason.numbers.get("jobs", 0)) for reason in reasons if reason.code == "free-slot")


def _occupied(workers: Iterable[Worker]) -> dict[str, int]:
    """Return the cores of the workers in which jobs of each VO are."""
    cores: dict[str, int] = defaultdict(int)
    for worker in workers:
        if worker.jobs or worker.claimed:
            cores[worker.vo] += worker.cpus
    return dict(cores)


def _queued(cluster: RequestCluster, observation: Observation, monotonic: float) -> float:
    """Return when the longest waiting job of a cluster was queued, by the monotonic clock."""
    at = observation.now if cluster.oldest_idle_at is None else min(cluster.oldest_idle_at, observation.now)
    return monotonic - (observation.now - at)
