"""Published versions of periods in the journal, and what the event log holds that could change them.

Rules:
1. A version is never overwritten or removed. The next number of a period is given in the transaction that keeps it.
2. Each version is a line of the event log: `publication`, published or changed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from scheduler.availability.files.plain import definitions
from scheduler.availability.history import History, Window
from scheduler.availability.reports.bundle import canonical
from scheduler.availability.reports.evidence import Evidence, fingerprint, marked
from scheduler.availability.reports.publication import Version, groups_in, version_data, version_of
from scheduler.availability.timelines.downtimes import agreed
from scheduler.journal import tables as t
from scheduler.journal.agreements import downtimes_in, exclusions_in
from scheduler.journal.opening import JournalError
from scheduler.journal.records import Note
from scheduler.model.instants import SECOND, Duration, Instant, in_seconds, micro, write_instant

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from scheduler.availability.timelines.prepared import Prepared
    from scheduler.journal.reading import JournalReader
    from scheduler.journal.writing import JournalWriter

KIND = "publication"
AHEAD: Duration = 400 * 24 * 3600 * SECOND
"""How far beyond now recurring downtimes are laid out."""
SETTLED: Duration = 30 * SECOND
"""A line of the log is looked at when it is so old: what comes together makes one version, and no line is overtaken."""


class PublishedMeanwhileError(JournalError):
    """Somebody else published a version of the same period in the meantime."""


@dataclass(frozen=True, slots=True)
class Published:
    """A version as it is listed, without its figures."""

    id: int
    """Grows with each version of any period."""
    period: Window
    number: int
    published_at: Instant
    note: str
    groups: str
    """Fingerprint of the groups that it was computed with."""
    checked: int
    """The line of the event log up to which nothing is new for it."""


_LISTED = [
    t.publications.c[name] for name in ("id", "name", "start", "end", "number", "published_at", "note", "groups", "checked")
]


def listed(journal: JournalReader, *, after: int = 0) -> list[Published]:
    """Return all versions in the order in which they were published, or those after one of them."""
    asked = sa.select(*_LISTED).where(t.publications.c.id > after).order_by(t.publications.c.id)
    with journal.read("publications") as connection:
        return [_listed(row) for row in connection.execute(asked)]


def newest(journal: JournalReader) -> list[Published]:
    """Return the newest version of each period, in the order of the periods' ends."""
    found = {(one.period.start, one.period.end): one for one in sorted(listed(journal), key=lambda one: one.number)}
    return sorted(found.values(), key=lambda one: (one.period.end, one.period.start))


def versions(journal: JournalReader, periods: Iterable[Window] | None = None) -> list[Version]:
    """Return whole versions, the oldest first; of some periods, or of all."""
    asked = sa.select(t.publications.c.data).order_by(t.publications.c.id)
    if periods is not None:
        asked = asked.where(sa.or_(sa.false(), *(_of(one) for one in periods)))
    with journal.read("publications") as connection:
        return [_unpacked(data) for data in connection.execute(asked).scalars()]


def last(journal: JournalReader, period: Window) -> Version | None:
    """Return the newest version of a period; None: it was never published."""
    asked = sa.select(t.publications.c.data).where(_of(period)).order_by(t.publications.c.number.desc()).limit(1)
    with journal.read("publications") as connection:
        data = connection.execute(asked).scalar_one_or_none()
    return None if data is None else _unpacked(data)


def keep(journal: JournalWriter, connection: Connection, version: Version, groups: str, now: Instant, *, by: str) -> None:
    """Keep the next version of a period and tell it in the event log, in the transaction of a write."""
    connection.execute(sa.select(t.journal.c.id).with_for_update())
    before = connection.execute(sa.select(sa.func.max(t.publications.c.number)).where(_of(version.period))).scalar() or 0
    if before != version.number - 1:
        raise PublishedMeanwhileError(
            f"version {before} of {named(version.period)} was published in the meantime: nothing was published; try again"
        )
    # What came while the figures were computed has not been looked at; of the very first publication nothing has.
    checked = connection.execute(sa.select(sa.func.max(t.publications.c.checked))).scalar() or 0
    _insert(connection, version, groups, int(checked))
    journal.note(connection, in_seconds(now), [_told(version, by)])


def take_over(journal: JournalWriter, given: Iterable[Version], source: str, now: Instant) -> tuple[int, list[str]]:
    """Keep versions that were published into a file; return how many were new, and what contradicts the journal."""
    taken, doubts = 0, []
    with journal.write("publications") as connection:
        connection.execute(sa.select(t.journal.c.id).with_for_update())
        for version in sorted(given, key=lambda one: (one.published_at, one.number)):
            ours = sa.select(t.publications.c.data).where(_of(version.period), t.publications.c.number == version.number)
            known = connection.execute(ours).scalar_one_or_none()
            if known is None:
                _insert(connection, version, "", 0)
                journal.note(connection, in_seconds(now), [_told(version, source)])
                taken += 1
            elif _unpacked(known) != version:
                doubts.append(f"version {version.number} of {named(version.period)} in {source} is not that of the journal")
    return taken, doubts


def mark_checked(connection: Connection, checked: int, groups: dict[int, str] | None = None) -> None:
    """Write up to which line of the log nothing is new, and with which groups of which version."""
    connection.execute(t.publications.update().where(t.publications.c.checked < checked).values(checked=checked))
    for number, mark in (groups or {}).items():
        connection.execute(t.publications.update().where(t.publications.c.id == number).values(groups=mark))


# --- what could change a published figure -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewLines:
    """Lines of the log that came after it was last looked through."""

    until: int
    """The last line that was looked at."""
    since: Instant | None
    """Figures of periods that end after this instant may have changed; None: of none."""


def news(journal: JournalReader, after: int, before: Instant, now: Instant) -> NewLines:
    """Look through the log from a line on, for what tells of the time before an instant."""
    e = t.events.c
    with journal.read("news") as connection:
        fresh = sa.select(sa.func.max(e.id)).where(e.id > after, e.received <= now - SETTLED)
        until = connection.execute(fresh).scalar()
        if until is None:
            return NewLines(after, None)
        within = (e.id > after, e.id <= until)
        late = sa.select(sa.func.min(e.at)).where(*within, e.kind == "status", e.at < in_seconds(before))
        first = connection.execute(late).scalar()
        agreements = sa.select(e.kind, e.subject).distinct().where(*within, e.kind.in_(("downtime", "exclusion")))
        touched = {(row.kind, row.subject) for row in connection.execute(agreements)}
        # Another freshness holds for the past as well.
        defined = sa.select(e.id).where(*within, e.kind == "object", e.cause == "changed").limit(1)
        starts = [0] if connection.execute(defined).first() is not None else []
        starts += [micro(first)] if first is not None else []
        if touched:
            starts += _starts(connection, touched, now)
    return NewLines(int(until), min(starts, default=None))


def _starts(connection: Connection, touched: set[tuple[str, str]], now: Instant) -> list[Instant]:
    """Return from when on downtimes and exclusions may change figures."""
    found = [one.start for one in exclusions_in(connection) if ("exclusion", one.id) in touched and one.accepted_by]
    for one in downtimes_in(connection):
        if ("downtime", one.id) in touched:
            found += [said.start for said in one.revisions]
            found += [start for start, _ in agreed(one, now + AHEAD).whole] if one.recurrence is not None else []
    return found


def evidence(journal: JournalReader, prepared: Prepared, period: Window, before: Version | None) -> Evidence:
    """Return the evidence that the journal holds for a period's figures; late statuses are named by their lines of the log."""
    count, mark = marked(prepared, period)
    if before is None:
        return Evidence(count, mark)
    e = t.events.c
    late = sa.select(e.id, e.at, e.subject, e.detail, e.received)
    late = late.where(e.kind == "status", e.received > before.published_at, e.at < in_seconds(period.end)).order_by(e.id)
    known = {one.name for one in prepared.history.objects}
    with journal.read("late statuses") as connection:
        rows = [row for row in connection.execute(late) if row.subject in known]
    names = tuple(
        f"event {row.id} ({row.subject} {row.detail.get('status', '?')} at {write_instant(micro(row.at))}, "
        f"received {write_instant(row.received)}{_corrects(row.detail)})"
        for row in rows
    )
    return Evidence(count, mark, names, (), any(micro(row.at) >= period.start for row in rows))


def _corrects(detail: dict[str, Any]) -> str:
    if "correction" not in detail:
        return ""
    return f", correction {detail['correction']} of {detail.get('by')}, accepted by {detail.get('accepted_by')}"


def groups_mark(history: History, period: Window) -> str:
    """Return the fingerprint of the groups of a period: by it a definition that was changed afterwards is noticed."""
    touching = replace(history, groups=groups_in(history.groups, period))
    return fingerprint([list(one) for one in definitions(touching) if one[0].startswith("group ")])


# --- rows -------------------------------------------------------------------------------------------------------------


def named(period: Window) -> str:
    """Name a period, for people and for the log."""
    return f"{period.name or 'the period'} {write_instant(period.start)}/{write_instant(period.end)}"


def _told(version: Version, by: str) -> Note:
    period = version.period
    detail: dict[str, Any] = {"version": version.number, "note": version.note, "by": by}
    detail |= {"window": period.name, "start": write_instant(period.start), "end": write_instant(period.end)}
    about = f"publication-{period.start // SECOND}-{period.end // SECOND}"
    return Note(KIND, named(period), "published" if version.number == 1 else "changed", about, detail)


def _insert(connection: Connection, version: Version, groups: str, checked: int) -> None:
    period = version.period
    row = {"name": period.name, "start": period.start, "end": period.end, "number": version.number}
    row |= {"published_at": version.published_at, "note": version.note, "groups": groups, "checked": checked}
    data = zlib.compress(canonical(version_data(version)), 6)
    connection.execute(t.publications.insert().values(**row, data=data))


def _of(period: Window) -> sa.ColumnElement[bool]:
    return sa.and_(t.publications.c.start == period.start, t.publications.c.end == period.end)


def _listed(row: Any) -> Published:
    period = Window(row.name, row.start, row.end)
    return Published(row.id, period, row.number, row.published_at, row.note, row.groups, row.checked)


def _unpacked(data: bytes) -> Version:
    return version_of(json.loads(zlib.decompress(bytes(data))))
