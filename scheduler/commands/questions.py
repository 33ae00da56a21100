"""Questions about the farm as it stands, and to the journal about its past: `status`, `why`, `why-worker`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from scheduler.commands.common import Exit, JsonOption, SiteOption, SnapshotOption, console, fail, leave, meant, print_json, say
from scheduler.commands.jobs import ask, asked_for, clusters
from scheduler.commands.source import FarmView, looked, tell_standing
from scheduler.model.clock import WallClock, clock_time
from scheduler.model.queues import QueueReading

if TYPE_CHECKING:
    from scheduler.decide.explanation import Explanation, PastRun, PastWorker
    from scheduler.journal.journal import Journal
    from scheduler.model.ports import JobRecord


JobArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[JOB]", show_default=False, help="As the batch system writes it: 1234.0, or 1234 for all of a submission."
    ),
]
DetailsOption = Annotated[
    bool, typer.Option("--details", help="Everything that the decision used: what matched, numbers, what would change it.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Every host and every worker, however many.")]
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
            told = {"source": found.origin, "daemon": asdict(found.standing)}
            print_json({**told, **rows.status_data(found.observation, found.policy, found.plan)})
        else:
            say(f"{found.policy.site}, seen by {found.origin}.", style="dim")
            tell_standing(found)
            out = console()
            out.print(view.status(found.observation, found.policy, found.plan, everything=everything, width=out.width))
        leave(found.silent, quietly=as_json)


def why(
    job: JobArgument = None,
    site: SiteOption = None,
    snapshot: SnapshotOption = None,
    details: DetailsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say why a job waits and what to change in its submit file; for a submission (22), how its jobs stand, then the first.

    Without a job: all that waits. Ends with 1 if nobody knows the job, with 3 if a batch system does not answer.
    """
    from scheduler.decide.explain import explain_job

    with looked(site, snapshot, beside=None if job is None else partial(ask, job)) as found:
        if job is None:
            _all_that_waits(found, as_json=as_json)
            return
        record, submission = asked_for(job, found)
        before = None
        if may_have_run_before(record):
            with journal_of(found) as journal:
                before = run_before(journal, record)
        told = explain_job(record, found.observation, found.policy, found.plan, submission=submission, before=before)
        _tell(told, found, details=details, as_json=as_json)


def why_worker(
    worker: WorkerArgument, site: SiteOption = None, snapshot: SnapshotOption = None, as_json: JsonOption = False
) -> None:
    """Say why a worker was started, why it is kept, what would retire it; for one that has ended: when, why and by whom."""
    from scheduler.decide.worker_story import explain_worker

    with looked(site, snapshot) as found:
        known = {one.name for one in found.observation.workers}
        ended = None
        if worker not in known:
            with journal_of(found) as journal:
                ended = ended_worker(journal, worker, known)
        _tell(explain_worker(worker, found.observation, found.policy, found.plan, ended), found, details=True, as_json=as_json)


def _tell(explanation: Explanation, found: FarmView, *, details: bool, as_json: bool) -> None:
    from scheduler.show import view

    if as_json:
        print_json({"source": found.origin, **asdict(explanation)})
        return
    tell_standing(found)
    clock = partial(clock_time, now=found.observation.now, zone=found.policy.zone)
    console().print(view.explanation(explanation, details=details, clock=clock), soft_wrap=True)
    more = "" if details else " --details shows everything that the decision used."
    say(f"Seen by {found.origin}.{more}", style="dim")


def _all_that_waits(found: FarmView, *, as_json: bool) -> None:
    from scheduler.observe.counting import untold
    from scheduler.show import sources_view, view

    unheard_queues = tuple(name for name, queue in found.observation.queues.items() if not isinstance(queue, QueueReading))
    waiting = sorted((one for one in clusters(found) if one.idle), key=lambda c: (c.vo, -c.idle))
    if as_json:
        verdicts = {key: [asdict(reason) for reason in verdict.reasons] for key, verdict in found.plan.clusters.items()}
        rows = [
            {"cluster": c.key, "vo": c.vo, "idle": c.idle, "job": c.example_job, "reasons": verdicts.get(c.key, [])}
            for c in waiting
        ]
        print_json({"source": found.origin, "silent": list(found.silent), "clusters": rows})
        leave(unheard_queues, quietly=True)
        return
    say(f"Seen by {found.origin}.", style="dim")
    tell_standing(found)
    out = console()
    for line in sources_view.unheard(found.observation):
        out.print(line, style="yellow", soft_wrap=True)
    nothing = "whether jobs wait is not known" if untold(found.observation) else "no job waits"
    out.print(view.waiting(waiting, found.plan, width=out.width) if waiting else nothing)
    leave(unheard_queues)


# --- what the journal adds: workers that have ended, and where a job ran before ---------------------------------------


@contextmanager
def journal_of(found: FarmView) -> Iterator[Journal | str]:
    """Open the journal of the site that was looked at; a sentence says why it cannot be read from here."""
    if found.definitions is None:
        yield "a snapshot holds no workers that have ended"
        return
    from scheduler.journal.opening import JournalError
    from scheduler.site import compose

    if not compose.has_journal(found.definitions):
        yield "those that have ended stand in the journal, which is not on this machine"
        return
    try:
        journal = compose.open_journal(found.definitions, WallClock().now())
    except JournalError as error:
        yield f"those that have ended stand in the journal, which cannot be read from here: {error}"
        return
    try:
        yield journal
    finally:
        journal.close()


_SEE_STATUS = "see `ambienti status --all`"


def ended_worker(journal: Journal | str, name: str, known: set[str]) -> PastWorker:
    """Return what became of a worker that is no longer there; ends the command when nobody knows one of this name."""
    if isinstance(journal, str):
        raise fail(f"no worker is called {name!r} now; {meant(name, known, _SEE_STATUS)} ({journal})", Exit.PROBLEM)
    from scheduler.journal.ended import names_like, past_worker

    found = past_worker(journal, name)
    if found is not None:
        return found
    hint = meant(name, known | set(names_like(journal, name.rpartition("-")[0])), _SEE_STATUS)
    raise fail(f"no worker is, or was lately, called {name!r}; {hint}", Exit.PROBLEM)


def may_have_run_before(job: JobRecord) -> bool:
    """Whether it is worth while to look for earlier runs of a job: the journal takes its time to open."""
    return job.starts is None or job.starts > (1 if job.status == "running" else 0)


def run_before(journal: Journal | str, job: JobRecord) -> tuple[PastRun, PastWorker | None] | None:
    """Return the last run of a job in another worker than that of now, and what became of that worker."""
    if isinstance(journal, str):
        return None
    from scheduler.journal.ended import past_worker, runs_of_job

    now_in = job.worker if job.status == "running" else ""
    earlier = [(run, name) for run, name in runs_of_job(journal, job.job.partition("@")[0], job.batch_system) if name != now_in]
    if not earlier:
        return None
    run, name = earlier[-1]
    return run, past_worker(journal, name)
