"""Why a job runs, waits or is held: in plain words, and with the numbers that the decision used. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from environments.matching import match, who_chose
from environments.reason import Reason, counted
from scheduler.decide.candidates import closest_hosts
from scheduler.decide.demand import malformed
from scheduler.decide.explanation import Explanation, unlike
from scheduler.decide.submit import in_submit_file, plainly
from scheduler.decide.submit import sentence as a_sentence
from scheduler.decide.trust import distrust_demand
from scheduler.decide.verdicts import SERVED
from scheduler.decide.waiting import Waiting
from scheduler.model.actions import Boot
from scheduler.model.clock import clock_time
from scheduler.model.lifecycle import IN_FLIGHT
from scheduler.model.queues import QueueReading
from scheduler.model.readings import Unanswered
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from environments.matching import Match
    from scheduler.decide.explanation import PastRun, PastWorker
    from scheduler.model.actions import Plan
    from scheduler.model.observation import Observation
    from scheduler.model.policy import Policy
    from scheduler.model.ports import JobRecord, Submission
    from scheduler.model.queues import RequestCluster
    from scheduler.model.workers import Worker

_CONTENTION = frozenset(
    {"farm-full", "boots-limit", "in-flight-limit", "host-boots-limit", "pool-boots-limit", "reclaiming", "kept-for-canary"}
)
"""Codes that mean: somebody else uses, or gets first, what the job needs."""
_ABOUT_HOSTS = frozenset(
    {
        "farm-full",
        "host-boots-limit",
        "no-host",
        "hosts-closed",
        "hosts-silent",
        "larger-than-hosts",
        "storage-full",
        "reclaiming",
    }
)
_SERVED = SERVED | {"reclaiming"}
"""Codes that name something to wait for."""
_WORKERS_NAMED = 3


def explain_job(
    job: JobRecord,
    observation: Observation,
    policy: Policy,
    plan: Plan,
    *,
    submission: Submission | None = None,
    before: tuple[PastRun, PastWorker | None] | None = None,
) -> Explanation:
    """Say where a job runs, or why it waits; `plan` was made of `observation` and `policy`.

    `submission`: the jobs that it was submitted with; `before`: its last run in another worker, and how that worker ended.
    """
    told = _waits(job, observation, policy, plan) if job.status.lower() == "idle" else _not_waiting(job, observation, policy)
    if submission is not None:
        told = replace(told, submission=told_of(submission))
    if before is not None and told.code not in {"completed", "removed", "not-known"}:
        told = replace(told, notes=(_ran_before(*before, observation.now, policy.zone), *told.notes))
    return told


def told_of(submission: Submission) -> str:
    """Say how the jobs of a submission stand: `22: 3 jobs wait, 10 jobs run, 1 job is held, 6 jobs are done`."""
    parts = [
        f"{counted(count, 'job')} {one if count == 1 else many}"
        for count, one, many in (
            (submission.idle, "waits", "wait"),
            (submission.running, "runs", "run"),
            (submission.held, "is held", "are held"),
        )
    ]
    done = submission.done
    parts.append(
        "how many are done is not known" if done is None else f"{counted(done, 'job')} {'is' if done == 1 else 'are'} done"
    )
    return f"{submission.name}: {', '.join(parts)}"


def _ran_before(run: PastRun, worker: PastWorker | None, now: float, zone: str) -> str:
    until = clock_time(run.last_seen, now, zone)
    if worker is None:
        return f"it ran before, until {until}"
    name = f"worker {worker.name} on host {worker.host}"
    if worker.ended_at is None:
        return f"it ran before in {name}, until {until}"
    died = "died" if worker.died else "ended"
    return (
        f"it ran before in {name}, until {until}; that worker {died} at {clock_time(worker.ended_at, now, zone)}: {worker.how}"
    )


def _waits(job: JobRecord, observation: Observation, policy: Policy, plan: Plan) -> Explanation:
    subject = f"job {job.job}"
    reading = observation.queues.get(job.batch_system)
    distrust = distrust_demand(reading, Waiting(observation.now), policy)
    if distrust is not None or not isinstance(reading, QueueReading):
        reason = distrust or Reason("batch-unread", "its batch system has not been read yet")
        told = _for_one_reason(subject, reason, policy)
        return replace(told, plain=silence(reading, observation.now, policy.zone)) if isinstance(reading, Unanswered) else told
    cluster = next((row for row in reading.clusters if row.key == job.cluster_key), None)
    if cluster is None:
        age, at = round(observation.now - reading.at), clock_time(reading.at, observation.now, policy.zone)
        sentence = f"it is not in the last reading of {reading.source}, of {at}: it was submitted or changed since"
        remedy = f"wait for the next cycle, at most {policy.limits.poll_seconds} s"
        return _for_one_reason(subject, Reason("not-read-yet", sentence, {"age_seconds": age}, remedy), policy)
    if cluster.problem:
        return _for_one_reason(subject, malformed(cluster), policy, cluster)
    found = match(cluster.requirements, cluster.vo, policy.catalogue)
    if found.problem is not None:
        return _for_one_reason(subject, found.problem, policy, cluster, found)
    return _waiting(subject, cluster, found, observation, policy=policy, plan=plan)


def silence(reading: Unanswered, now: float, zone: str) -> str:
    """Say for how long a batch system has been silent, and that this hurts no job that runs."""
    if reading.answered_at is None:
        return f"Batch system {reading.source} has not answered yet; running jobs go on, waiting jobs keep their place."
    since = clock_time(reading.answered_at, now, zone)
    return (
        f"Batch system {reading.source} has not answered for {max(0, round(now - reading.answered_at))} s (since {since}); "
        "running jobs go on, waiting jobs keep their place."
    )


def _for_one_reason(
    subject: str, reason: Reason, policy: Policy, cluster: RequestCluster | None = None, found: Match | None = None
) -> Explanation:
    refused = found.refused if found else {}
    remedies = (reason.remedy, *(other.remedy for other in refused.values()))
    return Explanation(
        subject,
        reason.code,
        f"{subject} waits: {reason.sentence}",
        plain=plainly(reason),
        submit=in_submit_file(reason, cluster, policy.catalogue),
        refused=refused,
        missing=reason.numbers,
        details=_chosen(found, cluster),
        would_change=unlike(remedies),
    )


def _chosen(found: Match | None, cluster: RequestCluster | None) -> tuple[str, ...]:
    said = who_chose(found, cluster.requirements) if found is not None and cluster is not None else ""
    return (said,) if said else ()


def _not_waiting(job: JobRecord, observation: Observation, policy: Policy) -> Explanation:
    """Explain a job that runs, is held, has left the queue, or is not known."""
    subject, status = f"job {job.job}", job.status.lower()
    if status == "running":
        worker = next((worker for worker in observation.workers if worker.name == job.worker), None)
        serial = _serial_of_ours(job.worker, policy) if worker is None else None
        # The job was asked for just now, the workers at the last look: one with a newer number was ordered by that or since.
        booted_since = serial is not None and serial >= observation.next_serial
        if worker.state is WorkerState.GONE if worker else serial is not None and not booted_since:
            return _worker_gone(subject, job)
        if worker is None:
            known = "was booted since the last look" if booted_since else "is no worker of this farm"
            where = f"in {job.worker}, which {known}" if job.worker else "in a worker that is not known yet"
            return _told(Explanation(subject, "runs", f"{subject} runs {where}"))
        headline = f"{subject} runs in {worker.name} (environment {worker.environment}) on host {worker.host}"
        details = _of_running(job, worker, observation.now, policy.zone)
        return _told(Explanation(subject, "runs", headline, matched=(worker.environment,), details=details))
    if status == "held":
        why = job.hold_reason or "its batch system gives no reason"
        change = (f"remove the cause and release {job.job}",)
        told = _told(Explanation(subject, "held", f"{subject} is held: {why}", would_change=change))
        return replace(told, submit=f"Remove the cause, then release it: `condor_release {job.job}`.")
    if status in {"completed", "removed"}:
        ran = f"; it ran in {job.worker}" if job.worker else ""
        return _told(Explanation(subject, status, f"{subject} is {status} and asks for nothing{ran}"))
    sentence = f"{subject} is not known to batch system {job.batch_system}: neither its queue nor its history has it"
    change = ("check the number of the job and the batch system",)
    return _told(Explanation(subject, "not-known", sentence, would_change=change))


def _told(told: Explanation) -> Explanation:
    """Let the headline itself be the plain words."""
    return replace(told, plain=a_sentence(told.headline))


def _serial_of_ours(worker: str, policy: Policy) -> int | None:
    """Return the number in the name of a worker of this farm; None if no worker of it is called like that."""
    environment, _, serial = worker.rpartition("-")
    ours = environment in policy.catalogue.environments and serial.isdecimal() and len(serial) < 20
    return int(serial) if ours else None


def _worker_gone(subject: str, job: JobRecord) -> Explanation:
    sentence = (
        f"{subject} still counts as running in {job.worker}, which is gone: {job.batch_system} starts it again when the job's "
        "lease ends, because only then is it sure that the job runs nowhere"
    )
    change = ("shorten lease_seconds in the batch system's options for jobs to come (docs: Connect a pool)",)
    return _told(Explanation(subject, "worker-gone", sentence, would_change=change))


def _of_running(job: JobRecord, worker: Worker, now: float, zone: str) -> tuple[str, ...]:
    size = f"{counted(worker.cpus, 'core')}, {worker.memory_mib} MiB"
    details = [f"worker {worker.name}: {worker.state.value}, {size}, version {worker.version}"]
    mine = next((running for running in worker.jobs if running.job == job.job), None)
    if mine is not None and mine.since is not None:
        details.append(f"it has run since {clock_time(mine.since, now, zone)}")
    if worker.drain_cause:
        details.append(f"the worker drains ({worker.drain_cause}): it takes no new jobs, this one finishes")
    return tuple(details)


def _waiting(
    subject: str, cluster: RequestCluster, found: Match, observation: Observation, *, policy: Policy, plan: Plan
) -> Explanation:
    """Explain an idle job that some environment fits: from the plan's verdict on its request cluster."""
    verdict = plan.clusters.get(cluster.key)
    if verdict is None or not verdict.reasons:
        reason = Reason("not-decided-yet", "nothing has been decided about it yet", {}, "wait for the next cycle")
        return _for_one_reason(subject, reason, policy, cluster, found)
    first = verdict.reasons[0]
    others = f", one of {cluster.idle} idle jobs that ask for the same" if cluster.idle > 1 else ""
    headline = f"{subject} waits{others}: {first.sentence}"
    details = [reason.sentence for reason in verdict.reasons[1:] if reason.code not in _SERVED]
    details += _coming(cluster, found, observation, policy, plan)
    if first.code in _ABOUT_HOSTS:
        environment = policy.catalogue.environments[found.environments[0]]
        details += closest_hosts(environment, observation, policy, plan)
    if first.code in _CONTENTION:
        details += _turn(cluster.vo, plan)
    share = plan.vos.get(cluster.vo)
    if share is not None:
        details.append(share.reasons[-1].sentence)
    details += _chosen(found, cluster)
    return Explanation(
        subject,
        first.code,
        headline,
        plain=plainly(first),
        submit=in_submit_file(first, cluster, policy.catalogue),
        matched=found.environments,
        refused=found.refused,
        missing=first.numbers,
        waits_for=tuple(reason.sentence for reason in verdict.reasons if reason.code in _SERVED),
        notes=tuple(_failures(found, plan)),
        details=tuple(details),
        would_change=unlike(reason.remedy for reason in verdict.reasons),
    )


def _failures(found: Match, plan: Plan) -> list[str]:
    """Say of the environments that it could use why their last boots failed, and what to do."""
    told = (reason for name in found.environments if (verdict := plan.environments.get(name)) for reason in verdict.reasons)
    return [f"{one.sentence} ({one.remedy})" for one in told if "failures" in one.numbers]


def _coming(cluster: RequestCluster, found: Match, observation: Observation, policy: Policy, plan: Plan) -> list[str]:
    """Name the workers that boot where the jobs can run, since when and until when; those ordered just now come last."""
    environments, now, zone = policy.catalogue.environments, observation.now, policy.zone
    flying = [
        worker
        for worker in observation.workers
        if worker.state in IN_FLIGHT
        and worker.environment in found.environments
        and worker.batch_system == cluster.batch_system
    ]
    lines = [
        f"worker {worker.name} boots on host {worker.host} since {clock_time(worker.requested_at, now, zone)}, and has until "
        + clock_time(worker.requested_at + environments[worker.environment].boot_seconds, now, zone)
        for worker in sorted(flying, key=lambda one: one.requested_at)
    ]
    lines += [
        f"worker {one.machine} is to be booted on host {one.host}, and may take {environments[one.environment].boot_seconds} s"
        for one in plan.actions
        if isinstance(one, Boot) and one.reason.numbers.get("cluster") == cluster.key
    ]
    more = len(lines) - _WORKERS_NAMED
    return [
        *lines[:_WORKERS_NAMED],
        *([f"and {counted(more, 'more worker', 'boot')}"] if more > 0 else []),
    ]


def _turn(vo: str, plan: Plan) -> list[str]:
    """Say which place a VO has among those that wait for the same hosts, by its weighted dominant share."""
    waiting: list[tuple[bool, float, str]] = []
    for name, verdict in plan.vos.items():
        numbers = verdict.reasons[-1].numbers
        if not numbers.get("missing_jobs"):
            continue
        held, guarantee = float(numbers.get("held_cpus", 0)), float(numbers["guarantee_cpus"])
        below = held < guarantee
        weighted = held / guarantee if below else float(numbers.get("dominant_share", 0)) / float(numbers["weight"])
        waiting.append((not below, weighted, name))
    waiting.sort()
    names = [name for _, _, name in waiting]
    if vo not in names or len(names) < 2:
        return []
    place = names.index(vo) + 1
    before = f", after {', '.join(names[: place - 1][:5])}" if place > 1 else ", the next to be served"
    return [f"{vo} is number {place} of {len(names)} VOs that wait, by weighted dominant share{before}"]
