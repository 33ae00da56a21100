"""What the journal knows, as a history: all that an availability report is computed from."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from scheduler.availability.history import (
    History,
    Monitored,
    ObjectKind,
    Result,
    Span,
    Status,
)
from scheduler.availability.timelines.axis import ABSENT
from scheduler.availability.timelines.columns import Columns
from scheduler.availability.timelines.timeline import CAUSE_CODES
from scheduler.journal import tables as t
from scheduler.journal.agreements import downtimes_in, exclusions_in
from scheduler.journal.corrections import corrections_in
from scheduler.journal.segments import CAUSES, NONE, Kept, unpacked
from scheduler.journal.usage import StateEntered
from scheduler.model.instants import Instant, in_seconds, micro
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from scheduler.journal.reading import JournalReader

_RECORD = np.dtype(
    [
        *((name, "<i8") for name in ("at", "confirmed", "received", "sequence", "monotonic")),
        ("boot", "<i4"),
        ("status", "i1"),
        ("cause", "i1"),
        ("spare", "<i2"),
    ]
)
"""A record of `scheduler.journal.segments`."""
_TOGETHER = 64
"""So many rows of them are fetched at a time where they are read one after the other."""


def load_history(
    journal: JournalReader, now: float, zone: str = "UTC", *, since: Instant | None = None, with_results: bool = True
) -> History:
    """Read objects, statuses, downtimes, exclusions and gaps; groups and objectives stand in the site's files.

    With `since`, rows of statuses that ended before are left out: enough for a window that begins there or later. A year of
    many objects is better read by `load_columns`, beside a history without results.
    """
    with journal.read("history") as connection:
        watches = connection.execute(sa.select(t.watches).order_by(t.watches.c.id)).all()
        lease = connection.execute(sa.select(t.lease)).one()
        objects = _objects(connection)
        results = tuple(_results(connection, since)) if with_results else ()
        return History(
            now=micro(now),
            zone=zone,
            objects=objects,
            results=results,
            downtimes=downtimes_in(connection),
            exclusions=exclusions_in(connection),
            corrections=corrections_in(connection),
            gaps=_gaps(watches, over=not lease.owner or lease.until < now),
        )


def _objects(connection: Connection) -> tuple[Monitored, ...]:
    existences: dict[int, list[Span]] = {}
    for row in connection.execute(sa.select(t.existences).order_by(t.existences.c.id)):
        if row.end is None or row.start < row.end:
            existences.setdefault(row.object, []).append(Span(row.start, row.end))
    rows = connection.execute(sa.select(t.objects).order_by(t.objects.c.name))
    return tuple(Monitored(r.name, ObjectKind(r.kind), tuple(existences.get(r.id, ())), r.freshness) for r in rows)


def load_columns(journal: JournalReader, history: History, *, since: Instant | None = None) -> Columns:
    """Read the results of a history's objects as columns: a million of them in a fraction of a second."""
    places = {one.name: place for place, one in enumerate(history.objects)}
    with journal.read("statuses") as connection:
        known = {row.id: row for row in connection.execute(sa.select(t.objects))}
        rows = list(_rows(connection, since))
        until = _confirmed_until(connection, known)
        if any(len(row.records) % _RECORD.itemsize for row in rows):
            raise struct.error("a result of a status breaks off")
    numbers = [row.object for row in rows]
    counts = np.array([len(row.records) // _RECORD.itemsize for row in rows], np.int64)
    whole = np.frombuffer(b"".join([row.records for row in rows]), _RECORD)
    del rows  # half of the memory: the same bytes again
    confirmed = whole["confirmed"].copy()
    ends = np.cumsum(counts) - 1
    for place, (number, following) in enumerate(pairwise([*numbers, None])):
        if number != following and number in until:
            confirmed[ends[place]] = max(confirmed[ends[place]], until[number])
    confirmed[confirmed <= whole["at"]] = ABSENT
    boots = np.unique(whole["boot"])
    return Columns(
        object=np.repeat(np.array([places[known[number].name] for number in numbers], np.int32), counts),
        at=whole["at"].copy(),
        status=whole["status"].copy(),
        cause=np.array([CAUSE_CODES[cause] for cause in CAUSES], np.int8)[whole["cause"]],
        confirmed=confirmed,
        sequence=np.where(whole["sequence"] == NONE, ABSENT, whole["sequence"]),
        monotonic=np.where(whole["monotonic"] == NONE, ABSENT, whole["monotonic"]),
        boot=np.searchsorted(boots, whole["boot"]).astype(np.int32),
        boots=tuple(str(boot) if boot else "" for boot in boots.tolist()),
    )


def stored(journal: JournalReader, history: History) -> Iterator[Result]:
    """Yield the results of a history's objects as `load_history` has them, one after the other, however many they are."""
    names = {one.name for one in history.objects}
    with journal.read("statuses") as connection:
        connection.execution_options(yield_per=_TOGETHER)
        yield from (result for result in _results(connection, None) if result.object in names)


def _rows(connection: Connection, since: Instant | None) -> Iterable[Any]:
    """Return the rows of statuses by object and age; with `since`, those that reach it and the newest of each object."""
    asked = sa.select(t.statuses.c.object, t.statuses.c.records).order_by(t.statuses.c.object, t.statuses.c.id)
    if since is not None:
        newest = sa.select(sa.func.max(t.statuses.c.id)).group_by(t.statuses.c.object)
        asked = asked.where(sa.or_(t.statuses.c.last >= since, t.statuses.c.id.in_(newest)))
    return connection.execute(asked)


def _confirmed_until(connection: Connection, known: Mapping[int, Any]) -> dict[int, Instant]:
    """Return until when the newest status of each object was found again: by its last repetition, or our last look."""
    seen = connection.execute(sa.select(t.watches.c.seen_at).order_by(t.watches.c.id.desc()).limit(1)).scalar()
    still = set(connection.execute(sa.select(t.existences.c.object).where(t.existences.c.end.is_(None))).scalars())
    pushed = {number: one.confirmed for number, one in known.items() if one.feed == "pushed" and one.confirmed is not None}
    ours = {number: seen for number, one in known.items() if one.feed == "farm" and number in still and seen is not None}
    return pushed | ours


def _results(connection: Connection, since: Instant | None) -> Iterator[Result]:
    known = {row.id: row for row in connection.execute(sa.select(t.objects))}
    until = _confirmed_until(connection, known)
    for number, rows in groupby(_rows(connection, since), key=lambda row: int(row.object)):
        records = [record for row in rows for record in unpacked(bytes(row.records))]
        if until.get(number, 0) > records[-1].confirmed:
            records[-1] = records[-1]._replace(confirmed=until[number])
        yield from (result_of(known[number].name, record) for record in records)


def result_of(name: str, record: Kept) -> Result:
    """Return a record of an object as a result."""
    return Result(
        at=record.at,
        object=name,
        status=Status(record.status),
        sequence=None if record.sequence == NONE else record.sequence,
        monotonic=None if record.monotonic == NONE else record.monotonic,
        boot=str(record.boot) if record.boot else "",
        received=record.received,
        cause=CAUSES[record.cause],
        confirmed=record.confirmed if record.confirmed > record.at else None,
    )


def _gaps(watches: Sequence[Any], *, over: bool) -> tuple[Span, ...]:
    """Return when no daemon looked: between two stretches, and since the last one when nobody holds the lease.

    Between two stretches of one daemon there is a gap only when it says so: they may be cut by a clock that was set.
    """
    pairs = pairwise(watches)
    gaps = [Span(a.seen_at, b.began_at) for a, b in pairs if a.boot != b.boot or b.began == "gap"]
    gaps = [gap for gap in gaps if gap.end is not None and gap.start < gap.end]
    return (*gaps, Span(watches[-1].seen_at)) if watches and over else tuple(gaps)


def worker_steps(journal: JournalReader, until: Instant) -> list[StateEntered]:
    """Return what states workers entered before an instant, from the event log, in its order."""
    columns = [t.events.c[name] for name in ("at", "kind", "subject", "cause", "detail")]
    kinds = t.events.c.kind.in_(("boot-begun", "state", "illegal-step"))
    asked = sa.select(*columns).where(kinds, t.events.c.at < in_seconds(until)).order_by(t.events.c.id)
    with journal.read("steps of workers") as connection:
        return [
            StateEntered(
                *(micro(row.at), row.subject, WorkerState.REQUESTED if row.kind == "boot-begun" else WorkerState(row.cause)),
                *(str(row.detail.get(key, "")) for key in ("vo", "environment", "host")),
            )
            for row in connection.execute(asked)
        ]
