"""Statuses in the journal: kept as intervals, exact to the event, never sampled.

Rules:
1. A status that is found again prolongs its interval; a row is written when it changes, when the clock was set and when
   nobody had looked. So no interval goes across a jump of the clock or a gap of the watching.
2. Each interval has its line in the event log, whose number is its sequence number.
3. Only the daemon that holds the lease writes. One change rewrites one row: the newest of its object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from environments.identity import Signature
from scheduler.availability.history import Status
from scheduler.journal import tables as t
from scheduler.journal.corrections import accepted_in, hold, mark_applied, named
from scheduler.journal.records import Declared, Look, Note, Push, Said
from scheduler.journal.segments import CAUSES, MOST, NONE, RECORD, Kept, ObjectRecords, WatchPeriod, packed, spliced, unpacked
from scheduler.model.instants import in_seconds, micro, write_instant

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from scheduler.journal.writing import JournalWriter

FARM = "farm"
PUSHED = "pushed"
HELD = "held as "
DUPLICATE = "duplicate"
CONTRADICTS = "contradicts "
MOST_TEXT = 500
"""Characters of what a check said that are kept."""


class UnknownObjectError(Exception):
    """A status for an object that is not declared."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(name)
        self.name = name
        self.known = known


# --- looks of the daemon ----------------------------------------------------------------------------------------------


def keep_look(journal: JournalWriter, connection: Connection, now: float, look: Look) -> None:
    """Write what a look adds, in the transaction of all else that an observation adds."""
    stored_objects = objects_stored(journal, connection)
    before = journal.watch or _last_watch(connection)
    began = look.began or ("start" if journal.watch is None else "")
    changes = sorted(look.changes, key=lambda said: look.at if said.at is None else said.at)
    retired = set(look.retired)
    if began:
        named = {said.object for said in changes}
        retired |= {name for name, one in stored_objects.items() if one.feed == FARM and one.exists and name not in named}
    confirmed = before.seen_at if before is not None else None
    notes = [_note(said, stored_objects.get(said.object), look.at) for said in changes]
    numbers = journal.numbered(connection, now, notes)
    rows = _StatusRows()
    known = {name for said in changes if (one := stored_objects.get(name := said.object)) and one.exists and one.feed == FARM}
    new = [said for said in changes if said.object not in known]
    _exist(
        connection, stored_objects, [(said.object, (said.kind, FARM), micro(min(look.at, said.at or look.at))) for said in new]
    )
    for said, number in zip(changes, numbers, strict=True):
        at = look.at if said.at is None else said.at
        stored = stored_objects[said.object]
        # What was slow to answer, and then did not, is silent from before the last look.
        _fold(stored, min(confirmed, micro(at)) if said.object in known and confirmed is not None else None)
        stamp = (micro(at), micro(at), micro(now), number, micro(look.monotonic - (look.at - at)), journal.epoch)
        rows.append(stored, [Kept(*stamp, said.status, _cause(said.cause))])
    for name in sorted(name for name in retired if name in stored_objects and stored_objects[name].exists):
        _retire(connection, rows, stored_objects[name], (micro(look.at), confirmed))
    rows.write(connection)
    _seen(journal, connection, look, began)


def _seen(journal: JournalWriter, connection: Connection, look: Look, began: str) -> None:
    if not began:
        journal.looked = look
        journal.sign_of_life(connection)
        return
    at, monotonic = micro(look.at), micro(look.monotonic)
    owner = connection.execute(sa.select(t.lease.c.owner)).scalar_one()
    row = {"boot": journal.epoch, "owner": owner, "began": began, "began_at": at, "began_monotonic": monotonic}
    added = t.watches.insert().values(row | {"seen_at": at, "seen_monotonic": monotonic}).returning(t.watches.c.id)
    journal.watch = WatchPeriod(int(connection.execute(added).scalar_one()), journal.epoch, at, monotonic)
    journal.note(connection, look.at, [Note("watch", "ambienti", began, detail={"owner": owner, "boot": journal.epoch})])


def _last_watch(connection: Connection) -> WatchPeriod | None:
    row = connection.execute(sa.select(t.watches).order_by(t.watches.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else WatchPeriod(row.id, row.boot, row.seen_at, row.seen_monotonic)


def _note(said: Said, stored: ObjectRecords | None, at: float) -> Note:
    last = stored.last if stored is not None and stored.exists else None
    detail = {
        "status": Status(said.status).name,
        "from": Status(last.status).name if last else "",
        "text": said.text[:MOST_TEXT],
    }
    return Note("status", said.object, said.cause, detail=detail, at=at if said.at is None else said.at)


def _fold(stored: ObjectRecords, confirmed: int | None) -> None:
    """Write into the newest record until when it was confirmed, before another follows it."""
    last = stored.last
    if last is not None and confirmed is not None and confirmed > last.confirmed:
        stored.records = stored.records[: -RECORD.size] + packed([last._replace(confirmed=confirmed)])


# --- pushed statuses --------------------------------------------------------------------------------------------------


def declare(journal: JournalWriter, owner: str, now: float, declared: Iterable[Declared]) -> None:
    """Say which objects others report on; those that were declared before and are no longer cease to exist."""
    wanted = {one.name: one for one in declared}
    with journal.write("declare") as connection:
        journal.fence(connection, owner)
        stored_objects, rows = objects_stored(journal, connection), _StatusRows()
        for name, one in wanted.items():
            stored = stored_objects.get(name)
            if stored is None or not stored.exists or stored.feed != PUSHED:
                _exist(connection, stored_objects, [(name, (one.kind, PUSHED), micro(now))])
                journal.note(connection, now, [Note("object", name, "declared", detail={"kind": one.kind})])
            if (stored_objects[name].kind, stored_objects[name].freshness) != (one.kind, one.freshness):
                if stored is not None:
                    journal.note(connection, now, [Note("object", name, "changed", detail={"kind": one.kind})])
                stored_objects[name].kind, stored_objects[name].freshness = one.kind, one.freshness
                changed = {"kind": one.kind, "freshness": one.freshness}
                connection.execute(t.objects.update().where(t.objects.c.id == stored_objects[name].id).values(changed))
        for name in sorted(
            name for name, one in stored_objects.items() if one.feed == PUSHED and one.exists and name not in wanted
        ):
            _retire(connection, rows, stored_objects[name], (micro(now), stored_objects[name].confirmed))
            journal.note(connection, now, [Note("object", name, "retired")])
        rows.write(connection)


def push(journal: JournalWriter, owner: str, now: float, monotonic: float, pushed: Push) -> str:
    """Keep a pushed status: `kept`, `repeated` (it prolongs the one before) or `duplicate` (its id is known).

    Where its id said something else before, the first stands: `contradicts`, with what that was.
    What lies before what is told of its object already is `held as c1`, a correction: it counts once somebody accepts it.
    """
    with journal.write("push") as connection:
        journal.fence(connection, owner)
        stored_objects = objects_stored(journal, connection)
        stored = stored_objects.get(pushed.object)
        if stored is not None and _is_pushed(stored):
            return _keep_push(journal, connection, now, monotonic, pushed)
        known = [name for name, one in stored_objects.items() if _is_pushed(one)]
    raise UnknownObjectError(pushed.object, known)


def _is_pushed(stored: ObjectRecords) -> bool:
    return stored.feed == PUSHED and stored.exists


def _keep_push(journal: JournalWriter, connection: Connection, now: float, monotonic: float, pushed: Push) -> str:
    stored = objects_stored(journal, connection)[pushed.object]
    if pushed.id and (before := _said_before(connection, stored, pushed, micro(now))):
        if before != DUPLICATE:
            detail = {"status": Status(pushed.status).name, "text": pushed.text[:MOST_TEXT], "by": pushed.by, "id": pushed.id}
            journal.note(connection, now, [Note("contradiction", pushed.object, "same-id", detail=detail | {"told": before})])
        return before
    at = micro(now if pushed.at is None else min(pushed.at, now))
    if pushed.at is not None and _was_told(stored, pushed, at):
        text = pushed.text[:MOST_TEXT]
        return f"{HELD}{hold(journal, connection, replace(pushed, text=text), at, micro(now))}"
    watch = journal.watch.id if journal.watch else None
    same, stored.watch = watch is not None and stored.watch == watch, watch
    if same and _repeats(stored, pushed, at) and not (pushed.at is not None and _is_published(connection, at)):
        _confirm(connection, stored, at)
        return "repeated"
    said = Status(pushed.status).name
    detail = {"status": said, "text": pushed.text[:MOST_TEXT], "by": pushed.by, "id": pushed.id}
    note = Note("status", pushed.object, pushed.cause, detail=detail, at=in_seconds(at))
    (number,) = journal.numbered(connection, now, [note])
    # A result that comes later than it was observed has no place in the order of our own clock.
    order = (number, micro(monotonic), journal.epoch) if pushed.at is None else (NONE, NONE, 0)
    record = Kept(at, at, micro(now), *order, pushed.status, _cause(pushed.cause))
    _place(connection, stored, record)
    return "kept"


def _was_told(stored: ObjectRecords, pushed: Push, at: int) -> bool:
    """Whether something was told already of an object at an instant, or later: that is not changed without a second person."""
    last = stored.last
    if last is None:
        return False
    told = max(last.at, last.confirmed, stored.confirmed or 0)
    return at < told or (at == told == last.at and (last.status, last.cause) != (pushed.status, _cause(pushed.cause)))


def correct(journal: JournalWriter, owner: str, now: float) -> int:
    """Put accepted corrections where they belong; return how many there were."""
    with journal.read("corrections") as connection:
        if not accepted_in(connection):
            return 0
    with journal.write("correct") as connection:
        journal.fence(connection, owner)
        rows, stored_objects = accepted_in(connection), objects_stored(journal, connection)
        for row in rows:
            stored = stored_objects.get(row.object)
            if stored is None or stored.feed != PUSHED:
                continue
            accepted = str(Signature(row.decided_by, row.decided_login))
            detail = {"status": Status(row.status).name, "text": row.text, "by": row.by, "id": row.push}
            detail |= {"correction": named(row.id), "accepted_by": accepted}
            note = Note("status", row.object, row.cause, named(row.id), detail, at=in_seconds(row.at))
            journal.numbered(connection, now, [note])
            _place(connection, stored, Kept(row.at, row.at, micro(now), NONE, NONE, 0, row.status, _cause(row.cause)))
        mark_applied(connection, [row.id for row in rows], micro(now))
    return len(rows)


def _said_before(connection: Connection, stored: ObjectRecords, pushed: Push, received: int) -> str:
    """Say that an id was sent before, and what it said if that was something else; "" the first time."""
    known = sa.select(t.pushes).where(t.pushes.c.object == stored.id, t.pushes.c.push == pushed.id)
    first = connection.execute(known).one_or_none()
    at = None if pushed.at is None else micro(pushed.at)
    if first is None:
        row = {"object": stored.id, "push": pushed.id, "received": received, "at": at, "status": int(pushed.status)}
        connection.execute(t.pushes.insert().values(row))
        return ""
    elsewhen = None not in {first.at, at} and first.at != at
    if first.status is None or (first.status == pushed.status and not elsewhen):
        return DUPLICATE
    said = Status(first.status).name + ("" if first.at is None else f" at {write_instant(first.at)}")
    return f"{CONTRADICTS}what id {pushed.id} said first, {said}"


def _repeats(stored: ObjectRecords, pushed: Push, at: int) -> bool:
    last = stored.last
    if last is None or (last.status, last.cause) != (pushed.status, _cause(pushed.cause)):
        return False
    until = max(last.confirmed, stored.confirmed or last.confirmed)
    return at >= last.at and (stored.freshness is None or at - until <= stored.freshness)


def _is_published(connection: Connection, at: int) -> bool:
    """Whether figures of an instant were published: what is told of it afterwards has a line of its own in the log."""
    later = sa.select(t.publications.c.id).where(t.publications.c.end > at).limit(1)
    return connection.execute(later).first() is not None


def _confirm(connection: Connection, stored: ObjectRecords, at: int) -> None:
    if at > (stored.confirmed or 0):
        stored.confirmed = at
        connection.execute(t.objects.update().where(t.objects.c.id == stored.id).values(confirmed=at))


def _place(connection: Connection, stored: ObjectRecords, record: Kept) -> None:
    """Put a pushed record where it belongs: behind the newest, else among the older ones."""
    _fold(stored, stored.confirmed)
    last = stored.last
    if stored.confirmed is not None:
        stored.confirmed = None
        connection.execute(t.objects.update().where(t.objects.c.id == stored.id).values(confirmed=None))
    rows = _StatusRows()
    if last is None or record.sequence != NONE or record.at >= last.confirmed:
        rows.append(stored, [record])
        rows.write(connection)
        return
    first = unpacked(stored.records[: RECORD.size])[0]
    if record.at >= first.at:
        stored.records = packed(spliced(unpacked(stored.records), record))
        rows.append(stored, [])
        rows.write(connection)
        return
    earlier = sa.select(t.statuses).where(t.statuses.c.object == stored.id).order_by(t.statuses.c.id)
    older = connection.execute(earlier).all()
    row = next((one for one in reversed(older) if one.first <= record.at), older[0])
    rows.changed[row.id] = packed(spliced(unpacked(row.records), record))
    rows.write(connection)


# --- objects and rows -------------------------------------------------------------------------------------------------


def objects_stored(journal: JournalWriter, connection: Connection) -> dict[str, ObjectRecords]:
    """Return all objects with their newest row of records; they are read once and kept."""
    if journal.stored_objects is None:
        existing = set(connection.execute(sa.select(t.existences.c.object).where(t.existences.c.end.is_(None))).scalars())
        stored_objects = {
            row.name: ObjectRecords(row.id, row.kind, row.feed, row.freshness, row.confirmed, row.id in existing)
            for row in connection.execute(sa.select(t.objects))
        }
        newest = sa.select(sa.func.max(t.statuses.c.id)).group_by(t.statuses.c.object)
        of_object = {stored.id: stored for stored in stored_objects.values()}
        for row in connection.execute(sa.select(t.statuses).where(t.statuses.c.id.in_(newest))):
            of_object[row.object].row, of_object[row.object].records = row.id, bytes(row.records)
        journal.stored_objects = stored_objects
    return journal.stored_objects


def _exist(
    connection: Connection, stored_objects: dict[str, ObjectRecords], begun: Sequence[tuple[str, tuple[str, str], int]]
) -> None:
    """Begin an existence of each object: name, its kind and feed, and from when on."""
    unknown = {name: sort for name, sort, _ in begun if name not in stored_objects}
    if unknown:
        added = t.objects.insert().returning(t.objects.c.id, sort_by_parameter_order=True)
        made = [{"name": name, "kind": kind, "feed": feed} for name, (kind, feed) in unknown.items()]
        numbers = connection.execute(added, made).scalars()
        for (name, (kind, feed)), number in zip(unknown.items(), numbers, strict=True):
            stored_objects[name] = ObjectRecords(int(number), kind, feed, None, None, exists=False)
    starts = []
    for name, (kind, feed), at in begun:
        stored = stored_objects[name]
        if stored.feed != feed:
            stored.feed, stored.kind, stored.freshness = feed, kind, None
            changed = {"feed": feed, "kind": kind, "freshness": None}
            connection.execute(t.objects.update().where(t.objects.c.id == stored.id).values(changed))
        if not stored.exists:
            starts.append({"object": stored.id, "start": at})
            stored.exists = True
    if starts:
        connection.execute(t.existences.insert(), starts)


def _retire(connection: Connection, rows: _StatusRows, stored: ObjectRecords, end: tuple[int, int | None]) -> None:
    """End the existence of an object: when, and until when its last status was confirmed."""
    ours = sa.and_(t.existences.c.object == stored.id, t.existences.c.end.is_(None))
    connection.execute(t.existences.update().where(ours).values(end=end[0]))
    stored.exists = False
    _fold(stored, end[1])
    rows.append(stored, [])


@dataclass(slots=True)
class _StatusRows:
    """Rows of statuses that are to be written, all together."""

    changed: dict[int, bytes] = field(default_factory=dict)
    new: list[ObjectRecords] = field(default_factory=list)

    def append(self, stored: ObjectRecords, records: list[Kept]) -> None:
        """Add records to an object's newest row, which is written anew; a full one is followed by a new one."""
        full = len(stored.records) >= MOST * RECORD.size
        if stored.row is not None:
            content = stored.records if full else stored.records + packed(records)
            self.changed[stored.row] = stored.records = content
        if records and (stored.row is None or full):
            stored.row, stored.records = None, packed(records)
            self.new.append(stored)

    def write(self, connection: Connection) -> None:
        """Write them."""
        if self.changed:
            values: dict[str, Any] = {key: sa.bindparam(f"to_{key}") for key in ("first", "last", "count", "records")}
            update = t.statuses.update().where(t.statuses.c.id == sa.bindparam("row")).values(values)
            rows = [{"row": row, **{f"to_{k}": v for k, v in _row(content).items()}} for row, content in self.changed.items()]
            connection.execute(update, rows)
        if self.new:
            added = t.statuses.insert().returning(t.statuses.c.id, sort_by_parameter_order=True)
            numbers = connection.execute(added, [{"object": one.id, **_row(one.records)} for one in self.new]).scalars()
            for stored, number in zip(self.new, numbers, strict=True):
                stored.row = int(number)


def _row(content: bytes) -> dict[str, Any]:
    records = unpacked(content)
    last = max(record.confirmed for record in records)
    return {"first": records[0].at, "last": last, "count": len(records), "records": content}


def _cause(cause: str) -> int:
    return CAUSES.index(cause) if cause in CAUSES else CAUSES.index("unknown")
