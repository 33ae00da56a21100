"""Jobs on hold in the event log: where each had run, and since when its batch system tells of holds.

A hold is a line of its own (kind `job`, cause `held`, correlation the worker). Of jobs that were never seen in a worker of ours
none is written, and none twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from scheduler.journal import tables as t
from scheduler.journal.records import Note
from scheduler.model.instants import Instant, micro

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from scheduler.journal.reading import JournalReader
    from scheduler.journal.writing import JournalWriter
    from scheduler.model.queues import HeldJob

KIND = "job"
HELD = "held"
TELLS = {True: "tells-holds", False: "tells-no-holds"}
"""Causes of lines of kind `watch`: whether a batch system tells of jobs on hold from then on."""


@dataclass(frozen=True, slots=True)
class JobHolds:
    """What is known of jobs on hold."""

    since: Mapping[str, Instant]
    """Batch system -> from when on all its holds are known; one that is not named does not tell."""
    held: Mapping[tuple[str, str, str], Instant]
    """Batch system, job and worker -> when it was held last."""


def keep_holds(
    journal: JournalWriter, connection: Connection, now: float, told: Mapping[str, tuple[HeldJob, ...] | None]
) -> None:
    """Write what is new of jobs on hold, and which batch systems tell of them, if that has changed."""
    notes = [
        Note("watch", name, TELLS[jobs is not None])
        for name, jobs in sorted(told.items())
        if journal.tells.get(name) is not (jobs is not None)
    ]
    for name, jobs in sorted(told.items()):
        if jobs:
            notes += _new(connection, name, jobs)
    journal.note(connection, now, notes)


def _new(connection: Connection, batch_system: str, jobs: tuple[HeldJob, ...]) -> list[Note]:
    names = sorted({one.job for one in jobs})
    ran = sa.select(t.sightings.c.job, t.sightings.c.worker).where(t.sightings.c.batch_system == batch_system)
    ours = {(row.job, row.worker) for row in connection.execute(ran.where(t.sightings.c.job.in_(names)))}
    lines = sa.select(t.events.c.subject, t.events.c.correlation, t.events.c.at)
    lines = lines.where(t.events.c.kind == KIND, t.events.c.cause == HELD, t.events.c.subject.in_(names))
    known = {(row.subject, row.correlation, row.at) for row in connection.execute(lines)}
    return [
        Note(KIND, one.job, HELD, one.worker, {"batch_system": batch_system, "why": one.why[:500]}, at=one.held_at)
        for one in dict.fromkeys(jobs)
        if (one.job, one.worker) in ours and (one.job, one.worker, one.held_at) not in known
    ]


def holds_in(journal: JournalReader) -> JobHolds:
    """Return all that is known of jobs on hold."""
    since: dict[str, Instant] = {}
    for event in journal.events(kind="watch"):
        if event.note.cause == TELLS[True]:
            since.setdefault(event.note.subject, micro(event.at))
        elif event.note.cause == TELLS[False]:
            since.pop(event.note.subject, None)
    lines = (event for event in journal.events(kind=KIND) if event.note.cause == HELD)
    return JobHolds(
        since,
        {
            (str(event.note.detail.get("batch_system", "")), event.note.subject, event.note.correlation): micro(event.at)
            for event in lines
        },
    )
