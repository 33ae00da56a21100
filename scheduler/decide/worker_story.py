"""Why a worker is as it is: what it is, why it is kept, what comes when nothing but time passes, and how one ended. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.names import nearest
from environments.reason import Reason, counted
from scheduler.decide.demand import Matcher
from scheduler.decide.explanation import Explanation
from scheduler.decide.lingering import what_lingers
from scheduler.decide.submit import sentence
from scheduler.decide.trust import distrust_absence, distrust_host
from scheduler.decide.waiting import Waiting
from scheduler.model.clock import clock_time
from scheduler.model.lifecycle import MEANING
from scheduler.model.queues import QueueReading
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from environments.environment import Environment
    from scheduler.decide.explanation import PastWorker
    from scheduler.model.actions import Plan
    from scheduler.model.observation import Observation
    from scheduler.model.policy import Policy
    from scheduler.model.workers import Worker

S = WorkerState


def explain_worker(
    name: str, observation: Observation, policy: Policy, plan: Plan, past: PastWorker | None = None
) -> Explanation:
    """Say what a worker does and why it stays or goes; `plan` was made of `observation` and `policy`.

    `past`: what the journal tells of one that is no longer there.
    """
    worker = next((worker for worker in observation.workers if worker.name == name), None)
    if worker is None:
        return _unknown_worker(name, observation) if past is None else explain_ended(past, observation.now, policy.zone)
    environment = policy.catalogue.environments.get(worker.environment)
    verdict = plan.workers.get(name)
    reason = verdict.reasons[0] if verdict else why_kept(worker, environment, observation, policy)
    since = clock_time(worker.since, observation.now, policy.zone)
    headline = f"worker {name} is {worker.state.value} since {since} ({MEANING[worker.state]}): {reason.sentence}"
    remedies = [reason.remedy] if reason.remedy else []
    return Explanation(
        f"worker {name}",
        reason.code,
        headline,
        plain=sentence(headline),
        matched=(worker.environment,) if environment else (),
        missing=reason.numbers,
        waits_for=tuple(what_comes(worker, environment, observation, policy)),
        details=tuple(what_it_is(worker, environment, observation, policy)),
        would_change=tuple(remedies),
    )


def _unknown_worker(name: str, observation: Observation) -> Explanation:
    near = nearest(name, frozenset(worker.name for worker in observation.workers))
    hint = f"; did you mean {near}?" if near else ""
    change = ("see `ambienti status` for the workers",)
    said = f"no worker is called {name}{hint}"
    return Explanation(f"worker {name}", "not-known", said, plain=sentence(said), would_change=change)


def explain_ended(past: PastWorker, now: float, zone: str) -> Explanation:
    """Say when, why and by whom a worker ended, and which jobs ran in it; one that is open is newer than the last look."""
    began = clock_time(past.requested_at, now, zone)
    if past.ended_at is None:
        headline, code = f"worker {past.name} was ordered at {began}; the next look at the farm tells more", "booting"
    else:
        ended = clock_time(past.ended_at, now, zone)
        headline, code = f"worker {past.name} ended at {ended}, by {past.by}: {past.how}", past.code
    lines = [f"environment {past.environment} version {past.version}, on host {past.host}"]
    lines += [f"it was booted for this: {past.booted_for}"] if past.booted_for else ["it was adopted: its domain was found"]
    if past.registered_at is None:
        lines.append(f"ordered at {began}; it never registered" if past.ended_at else f"ordered at {began}")
    else:
        lines.append(f"ordered at {began}, registered at {clock_time(past.registered_at, now, zone)}")
    lines.append(f"{counted(past.jobs, 'job')} ran in it" if past.jobs else "no job ran in it")
    for place in past.places[:-1]:
        left = clock_time(place.ended, now, zone) if place.ended is not None else "now"
        lines.append(f"before, it was on host {place.host} until {left} ({place.ended_by})")
    for run in past.runs:
        span = f"{clock_time(run.first_seen, now, zone)} to {clock_time(run.last_seen, now, zone)}"
        lines.append(f"job {run.job} of {run.vo or 'an unknown VO'} ({run.user or 'unknown user'}): {span}")
    if past.jobs > len(past.runs):
        lines.append(f"and {counted(past.jobs - len(past.runs), 'job')} before these")
    return Explanation(f"worker {past.name}", code, headline, plain=sentence(headline), details=tuple(lines))


def why_kept(worker: Worker, environment: Environment | None, observation: Observation, policy: Policy) -> Reason:
    """Say why nothing was decided about a worker."""
    now, state = observation.now, worker.state
    against = distrust_host(worker.host, observation.hosts.get(worker.host), Waiting(now), policy)
    against = against or distrust_absence(observation.queues.get(worker.batch_system), Waiting(now), policy)
    if against is not None:
        return Reason(against.code, f"nothing is done about it: {against.sentence}", against.numbers, against.remedy)
    if state in (S.REQUESTED, S.BOOTING):
        age = round(now - worker.requested_at)
        allowed = environment.boot_seconds if environment else 0
        latest = clock_time(worker.requested_at + allowed, now, policy.zone)
        sentence = f"it boots since {clock_time(worker.requested_at, now, policy.zone)} and has until {latest} ({allowed} s)"
        return Reason("booting", sentence, {"age_seconds": age, "allowed_seconds": allowed})
    if state is S.BUSY:
        count = max(1, len(worker.jobs))
        sentence = f"{counted(count, 'job', 'run')} in it or will at once; free: {counted(worker.free_cpus, 'core')}"
        return Reason("busy", sentence, {"jobs": count, "free_cpus": worker.free_cpus})
    if state is S.DRAINING:
        sentence = f"it drains ({worker.drain_cause}) and waits for {counted(len(worker.jobs), 'job')} to finish"
        return Reason("draining", sentence, {"cause": worker.drain_cause, "jobs": len(worker.jobs)})
    if state is S.SILENT:
        silent = round(now - worker.since)
        limit = policy.limits.silence_seconds
        since, end = (clock_time(at, now, policy.zone) for at in (worker.since, worker.since + limit))
        sentence = f"its batch system has not seen it since {since}; at {end} (after {limit} s) it is powered off"
        return Reason("silent", sentence, {"silent_seconds": silent, "silence_seconds": limit}, "look at the worker's console")
    began = worker.since if worker.idle_since is None else worker.idle_since
    idle, allowed = round(now - began), environment.idle_seconds if environment else 0
    sentence = f"idle since {clock_time(began, now, policy.zone)}, {allowed} s are allowed"
    return Reason("idle-for-now", sentence, {"idle_seconds": idle, "allowed_seconds": allowed})


def what_it_is(worker: Worker, environment: Environment | None, observation: Observation, policy: Policy) -> list[str]:
    """Return what the worker is, holds and could serve."""
    now = observation.now
    lines = [
        f"environment {worker.environment} version {worker.version}, charged to VO {worker.vo}, of {worker.batch_system}",
        f"on host {worker.host}: {counted(worker.cpus, 'core')}, {worker.memory_mib} MiB"
        + (f", address {worker.address}" if worker.address else ""),
    ]
    if environment is not None and environment.version != worker.version:
        lines.append(f"{environment.name} is now version {environment.version}: it is replaced when it is idle")
    if environment is None:
        lines.append(f"no environment is called {worker.environment} any more")
    for job in worker.jobs[:5]:
        since = f" since {clock_time(job.since, now, policy.zone)}" if job.since is not None else ""
        verb = "is suspended" if job.suspended else "runs"
        lines.append(f"job {job.job} of {job.vo or 'an unknown VO'} {verb} in it{since}")
    lines += [what_lingers(one, now, policy) for one in worker.lingering[:5]]
    if len(worker.jobs) > 5:
        lines.append(f"and {counted(len(worker.jobs) - 5, 'job')} more")
    waiting = _could_serve(worker, observation, policy)
    if waiting:
        lines.append("waiting jobs that could run in it: " + ", ".join(waiting))
    return lines


def _could_serve(worker: Worker, observation: Observation, policy: Policy, most: int = 3) -> list[str]:
    reading = observation.queues.get(worker.batch_system)
    if not isinstance(reading, QueueReading):
        return []
    matcher, found = Matcher(policy.catalogue), []
    for cluster in reading.clusters:
        if cluster.idle > 0 and not cluster.problem and worker.environment in matcher.match(cluster).environments:
            found.append(f"{cluster.key} ({cluster.idle} of {cluster.vo})")
            if len(found) == most:
                break
    return found


def what_comes(worker: Worker, environment: Environment | None, observation: Observation, policy: Policy) -> list[str]:
    """Return what will happen to the worker when nothing but time passes, the soonest first."""
    if environment is None or worker.state in (S.FAILED, S.GONE, S.DRAINING, S.DRAINED, S.UNSEEN):
        return []
    now = observation.now
    ahead: list[tuple[float, str]] = []
    if worker.state in (S.REQUESTED, S.BOOTING):
        ahead.append((worker.requested_at + environment.boot_seconds, "its boot has failed"))
    if worker.state is S.SILENT:
        ahead.append((worker.since + policy.limits.silence_seconds, "it is powered off if it is still silent"))
    if worker.registered_at is not None:
        ahead.append((worker.requested_at + environment.lifetime_seconds, "its lifetime has passed and it is drained"))
    if worker.state is S.IDLE:
        since = worker.since if worker.idle_since is None else worker.idle_since
        ahead.append((since + environment.idle_seconds, "it is drained as idle if no job needs it"))
    if worker.busy_until is not None:
        ahead.append((worker.busy_until, "its jobs have ended by their walltimes"))
    return [f"at {clock_time(at, now, policy.zone)} {what}" for at, what in sorted(ahead) if at > now]
