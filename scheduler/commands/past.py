"""What the journal adds to `why` and `why-worker`: workers that have ended, and where a job ran before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from environments.names import nearest
from scheduler.commands.common import Exit, fail
from scheduler.model.clock import WallClock

if TYPE_CHECKING:
    from scheduler.commands.source import FarmView
    from scheduler.decide.explanation import PastRun, PastWorker
    from scheduler.journal.journal import Journal
    from scheduler.model.ports import JobRecord


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


def worker(journal: Journal | str, name: str, known: set[str]) -> PastWorker:
    """Return what became of a worker that is no longer there; ends the command when nobody knows one of this name."""
    if isinstance(journal, str):
        near = nearest(name, known)
        hint = f"; did you mean {near}?" if near else "; see `ambienti status --all`"
        raise fail(f"no worker is called {name!r} now{hint} ({journal})", Exit.PROBLEM)
    from scheduler.journal.ended import names_like, past_worker

    found = past_worker(journal, name)
    if found is not None:
        return found
    near = nearest(name, known | set(names_like(journal, name.rpartition("-")[0])))
    hint = f"; did you mean {near}?" if near else "; see `ambienti status --all`"
    raise fail(f"no worker is, or was lately, called {name!r}{hint}", Exit.PROBLEM)


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
