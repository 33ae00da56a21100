"""Workers that are no longer there, as the journal tells of them: how each ended, by whom, and which jobs ran in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from scheduler.decide.explanation import ITS_HOST, ITSELF, PastRun, PastWorker
from scheduler.journal import tables as t
from scheduler.model.actions import PowerOff
from scheduler.model.ports import EventKind
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from scheduler.journal.reading import JournalReader
    from scheduler.journal.records import Entry, Event

RUNS_SHOWN = 10
AMBIENTI = "Ambienti"
_OVER = frozenset({WorkerState.GONE, WorkerState.FAILED})
_ENDS = frozenset({("state", "gone"), ("state", "failed"), *(("domain", kind.value) for kind in EventKind if kind.is_end)})
_OUTSIDE = {"by-hand": "somebody, past Ambienti"}


def past_worker(journal: JournalReader, name: str) -> PastWorker | None:
    """Return what became of a worker, open ones included; None if the journal never had one of this name, or has it no more."""
    entry = journal.entry(name)
    if entry is None:
        return None
    intents = _intents(journal, name)
    events = journal.events(subject=name)
    since = _last_life(events)
    acts = [row for row in intents if row.begun_at >= since]
    ends = [one for one in events if one.at >= since]
    how, by, code = _end(entry, acts, ends, _boot_failure(journal, name))
    runs = [
        PastRun(one.job, one.vo, one.user, one.first_seen, one.last_seen) for one in reversed(journal.sightings(worker=name))
    ]
    boot = next((row for row in intents if row.kind == "boot"), None)
    return PastWorker(
        name=name,
        environment=entry.environment,
        version=entry.version,
        host=entry.host,
        requested_at=entry.requested_at,
        registered_at=entry.registered_at,
        ended_at=_ended_at(entry, ends),
        booted_for=boot.sentence if boot is not None else "",
        how=how,
        by=by,
        code=code,
        runs=tuple(runs[:RUNS_SHOWN]),
        jobs=len(runs),
        places=tuple(journal.placements(name)),
    )


def runs_of_job(journal: JournalReader, job: str, batch_system: str) -> list[tuple[PastRun, str]]:
    """Return the runs of a job in workers of ours, each with its worker, the oldest first."""
    return [
        (PastRun(one.job, one.vo, one.user, one.first_seen, one.last_seen), one.worker)
        for one in journal.sightings(job=job)
        if one.batch_system == batch_system
    ]


def names_like(journal: JournalReader, environment: str, most: int = 200) -> list[str]:
    """Return the names of the newest workers, of one environment if it is known."""
    asked = sa.select(t.workers.c.machine).order_by(t.workers.c.id.desc()).limit(most)
    asked = asked.where(t.workers.c.environment == environment) if environment else asked
    with journal.read("names of workers") as connection:
        return list(connection.scalars(asked))


def _intents(journal: JournalReader, name: str) -> Sequence[Any]:
    columns = [t.intents.c[column] for column in ("kind", "cause", "sentence", "begun_at", "ended_at", "outcome", "detail")]
    with journal.read("acts on a worker") as connection:
        return connection.execute(sa.select(*columns).where(t.intents.c.machine == name).order_by(t.intents.c.id)).all()


def _boot_failure(journal: JournalReader, name: str) -> str:
    with journal.read("end of a boot") as connection:
        row = connection.execute(sa.select(t.boots.c.registered, t.boots.c.cause).where(t.boots.c.worker == name)).one_or_none()
    return "" if row is None or row.registered else str(row.cause)


def _last_life(events: Sequence[Event]) -> float:
    """Return when a worker was taken in last: one that had been given up and lives after all is told of from there on."""
    return max((one.at for one in events if one.note.kind == "adopted"), default=0.0)


def _ended_at(entry: Entry, events: Sequence[Event]) -> float | None:
    """Return when a worker was first known to be over: what it left is removed some time after."""
    if entry.closed_at is None and entry.state not in _OVER:
        return None
    told = [one.at for one in events if (one.note.kind, one.note.cause) in _ENDS]
    return min([entry.since if entry.closed_at is None else entry.closed_at, *told])


def _end(entry: Entry, intents: Sequence[Any], events: Sequence[Event], boot_failure: str) -> tuple[str, str, str]:
    """Return how a worker ended, by whom, and the code of the reason."""
    forgotten = next((one for one in reversed(events) if one.note.detail.get("off_by_word_of")), None)
    if forgotten is not None:
        return f"its host {entry.host} was given up as off", str(forgotten.note.detail["off_by_word_of"]), "gone"
    if boot_failure or (entry.boot_error and entry.registered_at is None):
        return f"it did not come up: {boot_failure or entry.boot_error}", AMBIENTI, "boot-failed"
    if entry.drain_cause in _OUTSIDE:
        return "it was drained by hand and left when its jobs had ended", _OUTSIDE[entry.drain_cause], "by-hand"
    return _ordered_end(entry, intents) or _own_end(entry, events)


def _ordered_end(entry: Entry, intents: Sequence[Any]) -> tuple[str, str, str] | None:
    """Return the end that was ordered, with the reason; None if none was."""
    drain = next((row for row in reversed(intents) if row.kind == "drain" and row.outcome == "done"), None)
    off = next((row for row in reversed(intents) if row.kind == PowerOff.kind.code and row.outcome == "done"), None)
    if drain is not None and (off is not None or entry.drain_cause):
        return f"it was drained ({drain.cause}): {drain.sentence}", AMBIENTI, str(drain.cause)
    return None if off is None else (f"it was powered off: {off.sentence}", AMBIENTI, str(off.cause))


def _own_end(entry: Entry, events: Sequence[Event]) -> tuple[str, str, str]:
    if entry.closed_at is None and entry.state not in _OVER:
        return "it is still open in the journal", "nobody", "busy"
    told = next((one.note for one in reversed(events) if one.note.kind == "domain"), None)
    if told is not None:
        detail = f" ({told.detail['detail']})" if told.detail.get("detail") else ""
        return f"its domain {told.cause} without an order of ours, as host {entry.host} told{detail}", ITSELF, "gone"
    return f"its domain was found gone on host {entry.host} without an order of ours", ITS_HOST, "gone"
