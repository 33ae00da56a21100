"""A history that is followed in the journal: made ready once; after that only what the journal adds is read.

Rules:
1. What is handed out is what reading everything anew would give: whatever is not simply a newer status makes it read anew.
2. Marks are read before the history that they belong to: what comes between is seen again, and known by its number.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from scheduler.availability.timelines.appending import confirmed, extended, moved
from scheduler.availability.timelines.prepared import Prepared
from scheduler.journal import tables as t
from scheduler.journal.histories import result_of
from scheduler.journal.segments import NONE, RECORD, Kept, unpacked
from scheduler.journal.statuses import PUSHED
from scheduler.model.instants import SECOND, Instant, micro

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from scheduler.availability.history import Result
    from scheduler.journal.reading import JournalReader

KEEP: Instant = 24 * 3600 * SECOND
"""It is read anew after so long: recurring downtimes are known ahead for a limited time."""


@dataclass(slots=True)
class _Object:
    """What was read of an object."""

    id: int
    row: int
    records: bytes
    """Its newest row."""

    @property
    def number(self) -> int:
        """The highest number of a status in it."""
        return max((record.sequence for record in unpacked(self.records)), default=0)


@dataclass(slots=True)
class _Held:
    """A history as it was read, and the marks by which is told what came after."""

    prepared: Prepared
    read_at: Instant
    outline: tuple[Any, ...]
    """What changes with anything but statuses."""
    told: str | None
    """Until when pushed statuses were found again, in one text."""
    objects: Sequence[Any]
    """Their rows."""
    line: int
    """The last line of the log that tells of a status."""
    known: dict[str, _Object]


class Followed:
    """The history of a journal, as of now; calls may come from several threads."""

    def __init__(self, journal: JournalReader, load: Callable[[float], Prepared]) -> None:
        """Prepare: `load` reads the whole history."""
        self._journal = journal
        self._load = load
        self._turn = threading.Lock()
        self._held: _Held | None = None

    def at(self, now: float, stamp: object = None) -> Prepared:
        """Return the history up to now; `stamp` is another when that has changed which is read beside the journal."""
        with self._turn:
            held, instant = self._held, micro(now)
            grown = None if held is None or not 0 <= instant - held.read_at < KEEP else self._grown(held, now, stamp)
            if grown is not None:
                return grown
            self._held = None
            return self._anew(now, stamp)

    def _anew(self, now: float, stamp: object) -> Prepared:
        with self._journal.read("marks") as connection:
            row, outline = _outline(connection)
            told, objects = row.told, connection.execute(_OBJECTS).all()
            known = _known(connection, objects)
            numbered = max((one.number for one in known.values()), default=0)
            line = max((line.id for line in connection.execute(_LINES, {"after": numbered})), default=numbered)
        prepared = self._load(now)
        if _is_looked_at(row, now):
            self._held = _Held(prepared, micro(now), (stamp, *outline), told, objects, line, known)
        return prepared

    def _grown(self, held: _Held, now: float, stamp: object) -> Prepared | None:
        """Read what the journal has added; None: everything must be read anew."""
        with self._journal.read("news") as connection:
            row, outline = _outline(connection)
            if (stamp, *outline) != held.outline or not _is_looked_at(row, now):
                return None
            objects = held.objects if row.told == held.told else connection.execute(_OBJECTS).all()
            lines = connection.execute(_LINES, {"after": held.line}).all()
            told = Counter(line.subject for line in lines)
            if told.keys() - held.known.keys():
                return None
            news = [_News(held.known[name], name, count, _rows(connection, held.known[name])) for name, count in told.items()]
        prepared = _with_news(held.prepared, news, micro(now))
        if prepared is not None and objects != held.objects:
            prepared = _with_repetitions(prepared, held, objects)
        prepared = None if prepared is None else moved(prepared, micro(now))
        if prepared is not None:
            held.prepared, held.told, held.objects = prepared, row.told, objects
            held.line = max((line.id for line in lines), default=held.line)
        return prepared


@dataclass(frozen=True, slots=True)
class _News:
    """What was read of an object that has newer statuses."""

    before: _Object
    name: str
    lines: int
    """How many lines of the log tell of it."""
    rows: tuple[tuple[int, bytes], ...]
    """Its newest row as it is now, and those after it."""


_OBJECTS = sa.select(*(t.objects.c[name] for name in ("id", "name", "kind", "feed", "freshness", "confirmed"))).order_by(
    t.objects.c.id
)
_PLACE_OF_CONFIRMED = 5
# Computed, the kind hides from the database the index on it: a million lines are of this kind, few are after the last.
_LINES = sa.select(t.events.c.id, t.events.c.subject).where(
    t.events.c.id > sa.bindparam("after"), t.events.c.kind + "" == "status"
)
_NEWEST = sa.select(t.statuses.c.id, t.statuses.c.object, t.statuses.c.records).where(
    t.statuses.c.id.in_(sa.select(sa.func.max(t.statuses.c.id)).group_by(t.statuses.c.object))
)
_ROWS = (
    sa.select(t.statuses.c.id, t.statuses.c.records)
    .where(t.statuses.c.object == sa.bindparam("of"), t.statuses.c.id >= sa.bindparam("since"))
    .order_by(t.statuses.c.id)
)
_AGREED = sa.select(sa.func.count()).where(t.events.c.kind.in_(("downtime", "exclusion", "object")))
_MARKS = (
    sa.select(sa.func.max(t.watches.c.id)),
    sa.select(sa.func.max(t.existences.c.id)),
    sa.select(sa.func.count(t.existences.c.end)),
    _AGREED,
)
# One text is compared sooner than a thousand rows are fetched.
_TOLD = sa.select(
    sa.func.aggregate_strings(sa.cast(t.objects.c.id, sa.String) + " " + sa.cast(t.objects.c.confirmed, sa.String), ";")
).where(t.objects.c.confirmed.is_not(None))
_OUTLINE = sa.select(
    t.lease.c.owner, t.lease.c.until, _TOLD.scalar_subquery().label("told"), *(one.scalar_subquery() for one in _MARKS)
)


def _outline(connection: Connection) -> tuple[Any, tuple[Any, ...]]:
    """Return the lease, and what changes with gaps, existences and agreements: each of them writes a row or a line."""
    row = connection.execute(_OUTLINE).one()
    return row, tuple(row)[3:]


def _is_looked_at(lease: Any, now: float) -> bool:
    """Tell whether a daemon looks; where none does a gap is open."""
    return bool(lease.owner) and lease.until >= now


def _known(connection: Connection, objects: Sequence[Any]) -> dict[str, _Object]:
    """Return the objects with their newest rows."""
    rows = {row.object: row for row in connection.execute(_NEWEST)}
    made = {}
    for one in objects:
        newest = rows.get(one.id)
        number, content = (0, b"") if newest is None else (newest.id, bytes(newest.records))
        made[one.name] = _Object(one.id, number, content)
    return made


def _rows(connection: Connection, known: _Object) -> tuple[tuple[int, bytes], ...]:
    rows = connection.execute(_ROWS, {"of": known.id, "since": known.row})
    return tuple((row.id, bytes(row.records)) for row in rows)


def _with_news(prepared: Prepared, news: Iterable[_News], now: Instant) -> Prepared | None:
    """Add newer statuses in their order; None where one is more than that."""
    added: list[tuple[int, Result]] = []
    grown: Prepared | None = prepared
    for one in news:
        found = _newer(one)
        if found is None or len(found[1]) != one.lines:
            return None
        last, following = found
        if last is not None and grown is not None:
            grown = confirmed(grown, result_of(one.name, last), last.confirmed)
        added += [(record.sequence, result_of(one.name, record)) for record in following]
        number, content = one.rows[-1]
        one.before.row, one.before.records = number, content
    reached = -1 if prepared.last is None or prepared.last.number is None else prepared.last.number
    for number, result in sorted(added, key=lambda each: each[0]):
        if grown is not None and (number == NONE or number > reached):
            grown = extended(grown, result, max(now, grown.history.now))
    return grown


def _newer(one: _News) -> tuple[Kept | None, list[Kept]] | None:
    """Return the last known record if it was found again, and those after it; None: something older has changed."""
    old, number = one.before.records, one.before.row
    content = b"".join(records for _, records in one.rows)
    kept = max(0, len(old) - RECORD.size)
    if content[:kept] != old[:kept] or len(content) < len(old) or (old and one.rows[0][0] != number):
        return None
    records = unpacked(content[kept:])
    if not old:
        return None, records
    (before,) = unpacked(old[kept:])
    if before._replace(confirmed=records[0].confirmed) != records[0]:
        return None
    return (records[0] if records[0] != before else None), records[1:]


def _with_repetitions(prepared: Prepared, held: _Held, objects: Sequence[Any]) -> Prepared | None:
    """Let pushed statuses be found again; None where anything else of an object has changed."""
    if len(objects) != len(held.objects):
        return None
    grown: Prepared | None = prepared
    for before, after in zip(held.objects, objects, strict=True):
        if before == after:
            continue
        if tuple(before)[:_PLACE_OF_CONFIRMED] != tuple(after)[:_PLACE_OF_CONFIRMED]:
            return None
        if after.confirmed is None or grown is None:
            continue
        newest = unpacked(held.known[after.name].records[-RECORD.size :])
        if after.feed == PUSHED and newest and after.confirmed > newest[0].confirmed:
            grown = confirmed(grown, result_of(after.name, newest[0]), after.confirmed)
    return grown
