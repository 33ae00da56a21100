"""Incidents in the journal: the book of those that may still change, and all there ever were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from scheduler.availability.history import Downtime, Status
from scheduler.availability.timelines.downtimes import agreed
from scheduler.journal import tables as t
from scheduler.journal.agreements import downtimes_in
from scheduler.journal.records import Note
from scheduler.journal.statuses import PUSHED, objects_stored
from scheduler.model.instants import SECOND, Duration, Instant, in_seconds
from scheduler.oncall.hours import ResponseClass
from scheduler.oncall.incident import Book, CallEnd, Incident, IncidentEvent, OncallDecision, Page, Quiet, ResponseDue, What
from scheduler.oncall.standing import ObjectStanding
from scheduler.oncall.states import State

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from scheduler.journal.reading import JournalReader
    from scheduler.journal.segments import Kept, ObjectRecords
    from scheduler.journal.writing import JournalWriter
    from scheduler.oncall.follow import FollowResult

AHEAD: Duration = 8 * 24 * 3600 * SECOND
"""How far beyond now recurring downtimes are laid out."""


def open_book(connection: Connection) -> Book:
    """Read the incidents that may still change; until the transaction ends nobody else can change them."""
    connection.execute(sa.select(t.journal.c.id).with_for_update())
    rows = connection.execute(
        sa.select(t.incidents.c.data).where(sa.not_(t.incidents.c.forgotten)).order_by(t.incidents.c.number)
    )
    incidents = tuple(incident_of(data) for data in rows.scalars())
    last = connection.execute(sa.select(sa.func.max(t.incidents.c.number))).scalar()
    return Book(incidents, (last or 0) + 1, max((_latest(one) for one in incidents), default=0))


def save(journal: JournalWriter, connection: Connection, before: Book, outcome: FollowResult, now: Instant) -> None:
    """Keep the changed incidents and tell every decision in the event log."""
    kept = {one.number for one in outcome.book.incidents}
    gone = [one.number for one in before.incidents if one.number not in kept]
    if gone:
        connection.execute(t.incidents.update().where(t.incidents.c.number.in_(gone)).values(forgotten=True))
    journal.upsert(connection, t.incidents, ["number"], [_row(one, kept) for one in outcome.changed])
    journal.note(connection, in_seconds(now), [_told(decision) for decision in outcome.decisions])


def all_incidents(journal: JournalReader, *, standing: bool = False) -> list[Incident]:
    """Return incidents, the oldest first; `standing`: only those that are not over."""
    asked = sa.select(t.incidents.c.data).order_by(t.incidents.c.number)
    asked = asked.where(t.incidents.c.closed_at.is_(None)) if standing else asked
    with journal.read("incidents") as connection:
        return [incident_of(data) for data in connection.execute(asked).scalars()]


def incident(journal: JournalReader, number: int) -> Incident | None:
    """Return one incident."""
    with journal.read("incident") as connection:
        data = connection.execute(sa.select(t.incidents.c.data).where(t.incidents.c.number == number)).scalar_one_or_none()
    return None if data is None else incident_of(data)


def quiet_in(connection: Connection, now: Instant) -> tuple[Quiet, ...]:
    """Return the agreed downtimes as paging sees them: at each instant, what was declared by then."""
    return tuple(quiet for downtime in downtimes_in(connection) for quiet in quiets(downtime, now))


def quiets(downtime: Downtime, now: Instant) -> Iterator[Quiet]:
    """Yield the spans in which one downtime keeps its objects quiet: each declaration until the next one is made."""
    objects = frozenset(downtime.objects)
    if downtime.recurrence is not None:
        for start, end in agreed(downtime, now + AHEAD).whole:
            yield Quiet(objects, start, end, downtime.declared_at, downtime.id)
        return
    revisions = sorted(downtime.revisions, key=lambda one: one.declared_at)
    for one, following in zip_longest(revisions, revisions[1:]):
        end = one.end if following is None else min(one.end, following.declared_at)
        if max(one.start, one.declared_at) < end:
            yield Quiet(objects, one.start, end, one.declared_at, downtime.id)


def standing(journal: JournalWriter, connection: Connection, now: Instant) -> dict[str, ObjectStanding]:
    """Return how every object with a status stands, in the transaction of a write.

    What others report is MISSING when its freshness has run out, and from a gap in our looking until the next report.
    """
    gaps = sa.select(sa.func.max(t.watches.c.began_at)).where(t.watches.c.began != "clock")
    looked_since = connection.execute(gaps).scalar() or 0
    found: dict[str, ObjectStanding] = {}
    for name, stored in objects_stored(journal, connection).items():
        last = stored.last
        if last is not None:
            missing = _missing_since(stored, last, looked_since, now)
            status, since = (Status(last.status), last.at) if missing is None else (Status.MISSING, missing)
            found[name] = ObjectStanding(status, since, stored.exists)
    return found


def _missing_since(stored: ObjectRecords, last: Kept, looked_since: Instant, now: Instant) -> Instant | None:
    if stored.feed != PUSHED:
        return None
    heard = max(last.confirmed, stored.confirmed or 0)
    if heard < looked_since:
        return looked_since
    stale = None if stored.freshness is None else heard + stored.freshness
    return stale if stale is not None and stale <= now else None


def with_text(connection: Connection, change: IncidentEvent) -> IncidentEvent:
    """Add to an object's going bad what was said with its last status."""
    if change.what is not What.BAD or change.text:
        return change
    ours = sa.select(t.events.c.detail).where(t.events.c.kind == "status", t.events.c.subject == change.object)
    detail = connection.execute(ours.order_by(t.events.c.id.desc()).limit(1)).scalar_one_or_none()
    return replace(change, text=str((detail or {}).get("text", "")))


def incident_of(data: dict[str, Any]) -> Incident:
    """Make an incident of what the journal keeps of it."""
    calls = tuple(ResponseDue(**call | {"end": CallEnd(call["end"]) if call["end"] else None}) for call in data["calls"])
    fixed = data["response_class"]
    return Incident(
        **data
        | {
            "state": State(data["state"]),
            "bad": tuple(data["bad"]),
            "objects": tuple(data["objects"]),
            "response_class": ResponseClass(fixed) if fixed else None,
            "calls": calls,
            "pages": tuple(Page(**page) for page in data["pages"]),
        }
    )


def _row(one: Incident, kept: Iterable[int]) -> dict[str, Any]:
    columns = {"number": one.number, "cause": one.cause, "state": one.state.value, "forgotten": one.number not in kept}
    return columns | {"opened_at": one.opened_at, "closed_at": one.closed_at, "data": asdict(one)}


def _told(decision: OncallDecision) -> Note:
    name = f"incident-{decision.incident}"
    detail = {"sentence": decision.sentence} | ({"person": decision.person} if decision.person else {})
    return Note("incident", name, decision.kind.value, name, detail, at=in_seconds(decision.at))


def _latest(one: Incident) -> Instant:
    """Return the last instant an incident tells of."""
    calls = [call.ended_at or call.at for call in one.calls]
    return max([one.bad_since, *calls, *(page.at for page in one.pages), one.closed_at or 0])
