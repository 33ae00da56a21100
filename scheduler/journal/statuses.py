"""Statuses in the journal: kept as intervals, exact to the event, never sampled.

Rules:
1. A status that is found again prolongs its interval; a row is written when it changes, when the clock was set and when
   nobody had looked. So no interval goes across a jump of the clock or a gap of the watching.
2. Each interval has its line in the event log, whose number is its sequence number.
3. Only the daemon that holds the lease writes. One change rewrites one row: the newest of its object.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from environments.identity import Signature
from scheduler.availability.history import Status
from scheduler.availability.instants import write_instant
from scheduler.journal import tables as t
from scheduler.journal.corrections import accepted_in, hold, mark_applied, named
from scheduler.journal.records import Note, micro
from scheduler.journal.segments import CAUSES, MOST, NONE, RECORD, Kept, Shelf, Watch, packed, spliced, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.engine import Connection

    from scheduler.journal.records import Declared, Look, Push, Said
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
    shelves = shelves_of(journal, connection)
    before = journal.watch or _last_watch(connection)
    began = look.began or ("start" if journal.watch is None else "")
    changes = sorted(look.changes, key=lambda said: look.at if said.at is None else said.at)
    retired = set(look.retired)
    if began:
        named = {said.object for said in changes}
        retired |= {name for name, one in shelves.items() if one.feed == FARM and one.exists and name not in named}
    confirmed = before.seen_at if before is not None else None
    notes = [_note(said, shelves.get(said.object), look.at) for said in changes]
    numbers = journal.numbered(connection, now, notes)
    rows = _Rows()
    known = {name for said in changes if (one := shelves.get(name := said.object)) and one.exists and one.feed == FARM}
    new = [said for said in changes if said.object not in known]
    _exist(connection, shelves, [(said.object, (said.kind, FARM), micro(min(look.at, said.at or look.at))) for said in new])
    for said, number in zip(changes, numbers, strict=True):
        at = look.at if said.at is None else said.at
        shelf = shelves[said.object]
        # What was slow to answer, and then did not, is silent from before the last look.
        _fold(shelf, min(confirmed, micro(at)) if said.object in known and confirmed is not None else None)
        stamp = (micro(at), micro(at), micro(now), number, micro(look.monotonic - (look.at - at)), journal.epoch)
        rows.append(shelf, [Kept(*stamp, said.status, _cause(said.cause))])
    for name in sorted(name for name in retired if name in shelves and shelves[name].exists):
        _retire(connection, rows, shelves[name], (micro(look.at), confirmed))
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
    journal.watch = Watch(int(connection.execute(added).scalar_one()), journal.epoch, at, monotonic)
    journal.note(connection, look.at, [Note("watch", "ambienti", began, detail={"owner": owner, "boot": journal.epoch})])


def _last_watch(connection: Connection) -> Watch | None:
    row = connection.execute(sa.select(t.watches).order_by(t.watches.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else Watch(row.id, row.boot, row.seen_at, row.seen_monotonic)


def _note(said: Said, shelf: Shelf | None, at: float) -> Note:
    last = shelf.last if shelf is not None and shelf.exists else None
    detail = {
        "status": Status(said.status).name,
        "from": Status(last.status).name if last else "",
        "text": said.text[:MOST_TEXT],
    }
    return Note("status", said.object, said.cause, detail=detail, at=at if said.at is None else said.at)


def _fold(shelf: Shelf, confirmed: int | None) -> None:
    """Write into the newest record until when it was confirmed, before another follows it."""
    last = shelf.last
    if last is not None and confirmed is not None and confirmed > last.confirmed:
        shelf.records = shelf.records[: -RECORD.size] + packed([last._replace(confirmed=confirmed)])


# --- pushed statuses --------------------------------------------------------------------------------------------------


def declare(journal: JournalWriter, owner: str, now: float, declared: Iterable[Declared]) -> None:
    """Say which objects others report on; those that were declared before and are no longer cease to exist."""
    wanted = {one.name: one for one in declared}
    with journal.write("declare") as connection:
        journal.fence(connection, owner)
        shelves, rows = shelves_of(journal, connection), _Rows()
        for name, one in wanted.items():
            shelf = shelves.get(name)
            if shelf is None or not shelf.exists or shelf.feed != PUSHED:
                _exist(connection, shelves, [(name, (one.kind, PUSHED), micro(now))])
                journal.note(connection, now, [Note("object", name, "declared", detail={"kind": one.kind})])
            if (shelves[name].kind, shelves[name].freshness) != (one.kind, one.freshness):
                if shelf is not None:
                    journal.note(connection, now, [Note("object", name, "changed", detail={"kind": one.kind})])
                shelves[name].kind, shelves[name].freshness = one.kind, one.freshness
                changed = {"kind": one.kind, "freshness": one.freshness}
                connection.execute(t.objects.update().where(t.objects.c.id == shelves[name].id).values(changed))
        for name in sorted(name for name, one in shelves.items() if one.feed == PUSHED and one.exists and name not in wanted):
            _retire(connection, rows, shelves[name], (micro(now), shelves[name].confirmed))
            journal.note(connection, now, [Note("object", name, "retired")])
        rows.write(connection)


def push(journal: JournalWriter, owner: str, now: float, monotonic: float, pushed: Push) -> str:
    """Keep a pushed status: `kept`, `repeated` (it prolongs the one before) or `duplicate` (its id is known).

    Where its id said something else before, the first stands: `contradicts`, with what that was.
    What lies before what is told of its object already is `held as c1`, a correction: it counts once somebody accepts it.
    """
    with journal.write("push") as connection:
        journal.fence(connection, owner)
        shelves = shelves_of(journal, connection)
        shelf = shelves.get(pushed.object)
        if shelf is not None and _is_pushed(shelf):
            return _keep_push(journal, connection, now, monotonic, pushed)
        known = [name for name, one in shelves.items() if _is_pushed(one)]
    raise UnknownObjectError(pushed.object, known)


def _is_pushed(shelf: Shelf) -> bool:
    return shelf.feed == PUSHED and shelf.exists


def _keep_push(journal: JournalWriter, connection: Connection, now: float, monotonic: float, pushed: Push) -> str:
    shelf = shelves_of(journal, connection)[pushed.object]
    if pushed.id and (before := _said_before(connection, shelf, pushed, micro(now))):
        if before != DUPLICATE:
            detail = {"status": Status(pushed.status).name, "text": pushed.text[:MOST_TEXT], "by": pushed.by, "id": pushed.id}
            journal.note(connection, now, [Note("contradiction", pushed.object, "same-id", detail=detail | {"told": before})])
        return before
    at = micro(now if pushed.at is None else min(pushed.at, now))
    if pushed.at is not None and _was_told(shelf, pushed, at):
        text = pushed.text[:MOST_TEXT]
        return f"{HELD}{hold(journal, connection, replace(pushed, text=text), at, micro(now))}"
    watch = journal.watch.id if journal.watch else None
    same, shelf.watch = watch is not None and shelf.watch == watch, watch
    if same and _repeats(shelf, pushed, at) and not (pushed.at is not None and _is_published(connection, at)):
        _confirm(connection, shelf, at)
        return "repeated"
    said = Status(pushed.status).name
    detail = {"status": said, "text": pushed.text[:MOST_TEXT], "by": pushed.by, "id": pushed.id}
    note = Note("status", pushed.object, pushed.cause, detail=detail, at=at / 1_000_000)
    (number,) = journal.numbered(connection, now, [note])
    # A result that comes later than it was observed has no place in the order of our own clock.
    order = (number, micro(monotonic), journal.epoch) if pushed.at is None else (NONE, NONE, 0)
    record = Kept(at, at, micro(now), *order, pushed.status, _cause(pushed.cause))
    _place(connection, shelf, record)
    return "kept"


def _was_told(shelf: Shelf, pushed: Push, at: int) -> bool:
    """Whether something was told already of an object at an instant, or later: that is not changed without a second person."""
    last = shelf.last
    if last is None:
        return False
    told = max(last.at, last.confirmed, shelf.confirmed or 0)
    return at < told or (at == told == last.at and (last.status, last.cause) != (pushed.status, _cause(pushed.cause)))


def correct(journal: JournalWriter, owner: str, now: float) -> int:
    """Put accepted corrections where they belong; return how many there were."""
    with journal.read("corrections") as connection:
        if not accepted_in(connection):
            return 0
    with journal.write("correct") as connection:
        journal.fence(connection, owner)
        rows, shelves = accepted_in(connection), shelves_of(journal, connection)
        for row in rows:
            shelf = shelves.get(row.object)
            if shelf is None or shelf.feed != PUSHED:
                continue
            accepted = str(Signature(row.decided_by, row.decided_login))
            detail = {"status": Status(row.status).name, "text": row.text, "by": row.by, "id": row.push}
            detail |= {"correction": named(row.id), "accepted_by": accepted}
            note = Note("status", row.object, row.cause, named(row.id), detail, at=row.at / 1_000_000)
            journal.numbered(connection, now, [note])
            _place(connection, shelf, Kept(row.at, row.at, micro(now), NONE, NONE, 0, row.status, _cause(row.cause)))
        mark_applied(connection, [row.id for row in rows], micro(now))
    return len(rows)


def _said_before(connection: Connection, shelf: Shelf, pushed: Push, received: int) -> str:
    """Say that an id was sent before, and what it said if that was something else; "" the first time."""
    known = sa.select(t.pushes).where(t.pushes.c.object == shelf.id, t.pushes.c.push == pushed.id)
    first = connection.execute(known).one_or_none()
    at = None if pushed.at is None else micro(pushed.at)
    if first is None:
        row = {"object": shelf.id, "push": pushed.id, "received": received, "at": at, "status": int(pushed.status)}
        connection.execute(t.pushes.insert().values(row))
        return ""
    elsewhen = None not in {first.at, at} and first.at != at
    if first.status is None or (first.status == pushed.status and not elsewhen):
        return DUPLICATE
    said = Status(first.status).name + ("" if first.at is None else f" at {write_instant(first.at)}")
    return f"{CONTRADICTS}what id {pushed.id} said first, {said}"


def _repeats(shelf: Shelf, pushed: Push, at: int) -> bool:
    last = shelf.last
    if last is None or (last.status, last.cause) != (pushed.status, _cause(pushed.cause)):
        return False
    until = max(last.confirmed, shelf.confirmed or last.confirmed)
    return at >= last.at and (shelf.freshness is None or at - until <= shelf.freshness)


def _is_published(connection: Connection, at: int) -> bool:
    """Whether figures of an instant were published: what is told of it afterwards has a line of its own in the log."""
    later = sa.select(t.publications.c.id).where(t.publications.c.end > at).limit(1)
    return connection.execute(later).first() is not None


def _confirm(connection: Connection, shelf: Shelf, at: int) -> None:
    if at > (shelf.confirmed or 0):
        shelf.confirmed = at
        connection.execute(t.objects.update().where(t.objects.c.id == shelf.id).values(confirmed=at))


def _place(connection: Connection, shelf: Shelf, record: Kept) -> None:
    """Put a pushed record where it belongs: behind the newest, else among the older ones."""
    _fold(shelf, shelf.confirmed)
    last = shelf.last
    if shelf.confirmed is not None:
        shelf.confirmed = None
        connection.execute(t.objects.update().where(t.objects.c.id == shelf.id).values(confirmed=None))
    rows = _Rows()
    if last is None or record.sequence != NONE or record.at >= last.confirmed:
        rows.append(shelf, [record])
        rows.write(connection)
        return
    first = unpacked(shelf.records[: RECORD.size])[0]
    if record.at >= first.at:
        shelf.records = packed(spliced(unpacked(shelf.records), record))
        rows.append(shelf, [])
        rows.write(connection)
        return
    earlier = sa.select(t.statuses).where(t.statuses.c.object == shelf.id).order_by(t.statuses.c.id)
    older = connection.execute(earlier).all()
    row = next((one for one in reversed(older) if one.first <= record.at), older[0])
    rows.changed[row.id] = packed(spliced(unpacked(row.records), record))
    rows.write(connection)


# --- objects and rows -------------------------------------------------------------------------------------------------


def shelves_of(journal: JournalWriter, connection: Connection) -> dict[str, Shelf]:
    """Return all objects with their newest row of records; they are read once and kept."""
    if journal.shelves is None:
        existing = set(connection.execute(sa.select(t.existences.c.object).where(t.existences.c.end.is_(None))).scalars())
        shelves = {
            row.name: Shelf(row.id, row.kind, row.feed, row.freshness, row.confirmed, row.id in existing)
            for row in connection.execute(sa.select(t.objects))
        }
        newest = sa.select(sa.func.max(t.statuses.c.id)).group_by(t.statuses.c.object)
        of_object = {shelf.id: shelf for shelf in shelves.values()}
        for row in connection.execute(sa.select(t.statuses).where(t.statuses.c.id.in_(newest))):
            of_object[row.object].row, of_object[row.object].records = row.id, bytes(row.records)
        journal.shelves = shelves
    return journal.shelves


def _exist(connection: Connection, shelves: dict[str, Shelf], begun: Sequence[tuple[str, tuple[str, str], int]]) -> None:
    """Begin an existence of each object: name, its kind and feed, and from when on."""
    unknown = {name: sort for name, sort, _ in begun if name not in shelves}
    if unknown:
        added = t.objects.insert().returning(t.objects.c.id, sort_by_parameter_order=True)
        made = [{"name": name, "kind": kind, "feed": feed} for name, (kind, feed) in unknown.items()]
        numbers = connection.execute(added, made).scalars()
        for (name, (kind, feed)), number in zip(unknown.items(), numbers, strict=True):
            shelves[name] = Shelf(int(number), kind, feed, None, None, exists=False)
    starts = []
    for name, (kind, feed), at in begun:
        shelf = shelves[name]
        if shelf.feed != feed:
            shelf.feed, shelf.kind, shelf.freshness = feed, kind, None
            changed = {"feed": feed, "kind": kind, "freshness": None}
            connection.execute(t.objects.update().where(t.objects.c.id == shelf.id).values(changed))
        if not shelf.exists:
            starts.append({"object": shelf.id, "start": at})
            shelf.exists = True
    if starts:
        connection.execute(t.existences.insert(), starts)


def _retire(connection: Connection, rows: _Rows, shelf: Shelf, end: tuple[int, int | None]) -> None:
    """End the existence of an object: when, and until when its last status was confirmed."""
    ours = sa.and_(t.existences.c.object == shelf.id, t.existences.c.end.is_(None))
    connection.execute(t.existences.update().where(ours).values(end=end[0]))
    shelf.exists = False
    _fold(shelf, end[1])
    rows.append(shelf, [])


@dataclass(slots=True)
class _Rows:
    """Rows of statuses that are to be written, all together."""

    changed: dict[int, bytes] = field(default_factory=dict)
    new: list[Shelf] = field(default_factory=list)

    def append(self, shelf: Shelf, records: list[Kept]) -> None:
        """Add records to an object's newest row, which is written anew; a full one is followed by a new one."""
        full = len(shelf.records) >= MOST * RECORD.size
        if shelf.row is not None:
            content = shelf.records if full else shelf.records + packed(records)
            self.changed[shelf.row] = shelf.records = content
        if records and (shelf.row is None or full):
            shelf.row, shelf.records = None, packed(records)
            self.new.append(shelf)

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
            for shelf, number in zip(self.new, numbers, strict=True):
                shelf.row = int(number)


def _row(content: bytes) -> dict[str, Any]:
    records = unpacked(content)
    last = max(record.confirmed for record in records)
    return {"first": records[0].at, "last": last, "count": len(records), "records": content}


def _cause(cause: str) -> int:
    return CAUSES.index(cause) if cause in CAUSES else CAUSES.index("unknown")
