"""Questions about the farm as it stands: `status`, `why`, `why-worker`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from environments.names import nearest
from scheduler.commands.common import Exit, JsonOption, SiteOption, SnapshotOption, console, fail, leave, print_json, say
from scheduler.commands.source import Looked, looked
from scheduler.model import QueueReading
from scheduler.ports import JobRecord, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scheduler.decide.explain import Explanation
    from scheduler.model import RequestCluster

AllOption = Annotated[bool, typer.Option("--all", help="Every host and every worker, however many.")]
JobArgument = Annotated[
    str | None,
    typer.Argument(metavar="[JOB]", show_default=False, help="As the batch system writes it: 1234.0; none: all that waits."),
]
WorkerArgument = Annotated[str, typer.Argument(metavar="WORKER", help="Name of the worker: atlas-el9-17.")]


def status(
    context: typer.Context,
    site: SiteOption = None,
    snapshot: SnapshotOption = None,
    everything: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show sources with the age of their readings, VOs, environments, hosts and workers; `status report` tells one.

    Ends with 3 when some source did not answer: for scripts and for a check of the monitoring.
    """
    from scheduler.show import rows, view

    if context.invoked_subcommand is not None:
        return

    with looked(site, snapshot) as found:
        if as_json:
            print_json({"source": found.origin, **rows.status_data(found.observation, found.policy, found.plan)})
        else:
            say(f"{found.policy.site}, seen by {found.origin}.", style="dim")
            out = console()
            out.print(view.status(found.observation, found.policy, found.plan, everything=everything, width=out.width))
        leave(found.silent, quietly=as_json)


def why(job: JobArgument = None, site: SiteOption = None, snapshot: SnapshotOption = None, as_json: JsonOption = False) -> None:
    """Say why a job waits: what matched, what did not, what is missing, what it waits for, what would change it."""
    from scheduler.decide.explain import explain_job

    with looked(site, snapshot, jobs=job is not None) as found:
        if job is None:
            _all_that_waits(found, as_json=as_json)
            return
        record = _record(job, found)
        _tell(explain_job(record, found.observation, found.policy, found.plan), found, as_json=as_json)


def why_worker(
    worker: WorkerArgument, site: SiteOption = None, snapshot: SnapshotOption = None, as_json: JsonOption = False
) -> None:
    """Say why a worker was started, why it is kept, and what would retire it."""
    from scheduler.decide.explain import explain_worker

    with looked(site, snapshot) as found:
        known = {one.name for one in found.observation.workers}
        if worker not in known:
            near = nearest(worker, known)
            hint = f"; did you mean {near}?" if near else "; see `ambienti status --all`"
            raise fail(f"no worker is called {worker!r}{hint}", Exit.PROBLEM)
        _tell(explain_worker(worker, found.observation, found.policy, found.plan), found, as_json=as_json)


def _tell(explanation: Explanation, found: Looked, *, as_json: bool) -> None:
    from scheduler.show import view

    if as_json:
        print_json({"source": found.origin, **asdict(explanation)})
        return
    console().print(view.explanation(explanation), soft_wrap=True)
    say(f"Seen by {found.origin}.", style="dim")


def _all_that_waits(found: Looked, *, as_json: bool) -> None:
    from scheduler.show import sources_view, view

    waiting = sorted((one for one in _clusters(found) if one.idle), key=lambda c: (c.vo, -c.idle))
    if as_json:
        verdicts = {key: [asdict(reason) for reason in verdict.reasons] for key, verdict in found.plan.clusters.items()}
        rows = [
            {"cluster": c.key, "vo": c.vo, "idle": c.idle, "job": c.example_job, "reasons": verdicts.get(c.key, [])}
            for c in waiting
        ]
        print_json({"source": found.origin, "silent": list(found.silent), "clusters": rows})
        return
    say(f"Seen by {found.origin}.", style="dim")
    out = console()
    unknown = sources_view.unheard(found.observation)
    for line in unknown:
        out.print(line, style="yellow", soft_wrap=True)
    nothing = "no job is known to wait" if unknown else "no job waits"
    out.print(view.waiting(waiting, found.plan, width=out.width) if waiting else nothing)


def _clusters(found: Looked) -> Iterator[RequestCluster]:
    for reading in found.observation.queues.values():
        if isinstance(reading, QueueReading):
            yield from reading.clusters


# --- finding a job ----------------------------------------------------------------------------------------------------


def _record(job: str, found: Looked) -> JobRecord:
    """Ask the batch systems for a job; of a snapshot, look among what it holds."""
    if not found.batch_systems:
        record = _job_of_worker(job, found) or _job_of_cluster(job, found)
        if record is None:
            known = [cluster.example_job for cluster in _clusters(found) if cluster.example_job]
            hint = f"; there are {', '.join(known[:5])}" if known else ""
            raise fail(f"the snapshot does not hold job {job}: it keeps one job of each request cluster{hint}", Exit.PROBLEM)
        return record
    silent: list[SourceError] = []
    for batch_system in found.batch_systems.values():
        try:
            answered = batch_system.job(job)
        except SourceError as error:
            silent.append(error)
            continue
        if answered is not None:
            return answered
    if silent:
        raise fail(f"whether there is a job {job} cannot be told: {silent[0]}", Exit.UNANSWERED)
    raise fail(f"no batch system knows a job {job} (asked: {', '.join(found.batch_systems)})", Exit.PROBLEM)


def _job_of_worker(job: str, found: Looked) -> JobRecord | None:
    for worker in found.observation.workers:
        for one in worker.jobs:
            if one.job == job:
                asked = (one.cpus, one.memory_mib)
                return JobRecord(job, worker.batch_system, one.vo, one.user, "running", "", "", *asked, worker=worker.name)
    return None


def _job_of_cluster(job: str, found: Looked) -> JobRecord | None:
    for cluster in _clusters(found):
        if job in (cluster.example_job, cluster.key):
            asked = cluster.requirements
            status = "idle" if cluster.idle else "running" if cluster.running else "held"
            place = (cluster.batch_system, cluster.vo, "", status, cluster.key)
            return JobRecord(job, *place, asked.wanted, asked.cpus, asked.memory_mib, cluster.oldest_idle_at)
    return None
