"""The outbox: notices written before they are sent, and tried again with the same key until they are taken.

A notice is delivered at least once. `begin` commits before the first byte leaves: when we are killed between sending and
marking, it is due again and goes out once more with the same key, by which its receiver knows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from scheduler.journal import tables as t
from scheduler.journal.records import Note
from scheduler.model.instants import SECOND, Duration, Instant, in_seconds

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from scheduler.journal.reading import JournalReader
    from scheduler.journal.writing import JournalWriter

FIRST_WAIT: Duration = 5 * SECOND
LONGEST_WAIT: Duration = 300 * SECOND
GIVE_UP: Duration = 24 * 3600 * SECOND
"""A page that nobody takes for so long is given up; the escalation went on long before."""
GIVE_UP_REPORT: Duration = 7 * GIVE_UP
"""A report waits out a mail server that is down over a long weekend."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One notice to one address of one person."""

    key: str
    """The same on every try; in the form of a Message-ID."""
    incident: int
    """0: it belongs to none, but brings a report."""
    person: str
    address: str
    """Where the address is found: `file:...` or `environment:...`. Never the address itself."""
    subject: str
    body: str
    made_at: Instant
    attempts: int = 0
    """Tries begun."""
    due_at: Instant = 0
    ended_at: Instant | None = None
    outcome: str = ""
    """sent or given-up; "": it is tried again."""
    error: str = ""
    """What came back last."""
    attachments: tuple[str, ...] = ()
    """Paths of the files that go with it."""


_COLUMNS = [t.notices.c[name] for name in Letter.__dataclass_fields__]


def post(connection: Connection, letters: Sequence[Letter]) -> None:
    """Put letters into the outbox, in the transaction of what they tell; a key that stands there already is left alone."""
    known = set(
        connection.execute(sa.select(t.notices.c.key).where(t.notices.c.key.in_([one.key for one in letters]))).scalars()
    )
    rows = [
        {name: getattr(letter, name) for name in Letter.__dataclass_fields__} | {"due_at": letter.made_at}
        for letter in letters
        if letter.key not in known
    ]
    if rows:
        connection.execute(t.notices.insert(), rows)


def due(journal: JournalReader, now: Instant, most: int = 50) -> list[Letter]:
    """Return the letters to send now, the oldest first."""
    waiting = sa.select(*_COLUMNS).where(t.notices.c.ended_at.is_(None), t.notices.c.due_at <= now)
    with journal.read("notices") as connection:
        return [_letter(row) for row in connection.execute(waiting.order_by(t.notices.c.due_at, t.notices.c.id).limit(most))]


def letters(journal: JournalReader, incident: int | None = None, most: int = 200) -> list[Letter]:
    """Return what stands in the outbox, sent letters included, the newest last."""
    asked = sa.select(*_COLUMNS).order_by(t.notices.c.id.desc()).limit(most)
    asked = asked if incident is None else asked.where(t.notices.c.incident == incident)
    with journal.read("notices") as connection:
        return [_letter(row) for row in connection.execute(asked)][::-1]


@dataclass(frozen=True, slots=True)
class Undelivered:
    """How many notices did not get through."""

    count: dict[str, int]
    """waiting (not tried yet), failing (refused, tried again), given-up (in the last day)."""
    longest: Duration
    """How long the oldest that is not taken has waited."""


def waiting(journal: JournalReader, now: Instant) -> Undelivered:
    """Count the notices that are not taken yet, and those lately given up."""
    left = t.notices.c.ended_at.is_(None)
    untried = sa.select(sa.func.count()).where(left, t.notices.c.error == "")
    failing = sa.select(sa.func.count()).where(left, t.notices.c.error != "")
    given_up = sa.select(sa.func.count()).where(t.notices.c.outcome == "given-up", t.notices.c.ended_at > now - GIVE_UP)
    with journal.read("notices") as connection:
        asked = {"waiting": untried, "failing": failing, "given-up": given_up}
        count = {name: int(connection.execute(one).scalar_one()) for name, one in asked.items()}
        oldest = connection.execute(sa.select(sa.func.min(t.notices.c.made_at)).where(left)).scalar()
    return Undelivered(count, 0 if oldest is None else now - int(oldest))


def begin(journal: JournalWriter, letter: Letter, now: Instant) -> bool:
    """Write that a try begins, before it does; False: somebody else began one, or it has ended."""
    ours = sa.and_(t.notices.c.key == letter.key, t.notices.c.attempts == letter.attempts, t.notices.c.ended_at.is_(None))
    values = {"attempts": letter.attempts + 1, "due_at": now + wait(letter.attempts + 1)}
    with journal.write("notice-begun") as connection:
        return bool(connection.execute(t.notices.update().where(ours).values(values)).rowcount)


def taken(journal: JournalWriter, letter: Letter, now: Instant) -> None:
    """Write that it was taken."""
    _end(journal, letter, now, "sent", "")


def failed(journal: JournalWriter, letter: Letter, now: Instant, error: str) -> None:
    """Write what came back; the next try stands in the row already, unless it has been tried for too long."""
    if now >= letter.made_at + (GIVE_UP if letter.incident else GIVE_UP_REPORT):
        _end(journal, letter, now, "given-up", error)
        return
    with journal.write("notice-failed") as connection:
        connection.execute(t.notices.update().where(t.notices.c.key == letter.key).values(error=error))
        if not letter.error:
            journal.note(connection, in_seconds(now), [_told(letter, "failed", error)])


def wait(attempts: int) -> Duration:
    """Return how long to wait after so many tries: 5 s, doubled each time, at most 5 minutes."""
    return min(FIRST_WAIT << min(attempts - 1, 20), LONGEST_WAIT)


def _end(journal: JournalWriter, letter: Letter, now: Instant, outcome: str, error: str) -> None:
    with journal.write(f"notice-{outcome}") as connection:
        values = {"ended_at": now, "outcome": outcome, "error": error}
        connection.execute(t.notices.update().where(t.notices.c.key == letter.key).values(values))
        journal.note(connection, in_seconds(now), [_told(letter, outcome, error)])


def _told(letter: Letter, cause: str, error: str) -> Note:
    detail = {"person": letter.person, "address": letter.address, "key": letter.key} | ({"error": error} if error else {})
    about = f"incident-{letter.incident}" if letter.incident else letter.key.partition(".")[0]
    return Note("notice", letter.person, cause, about, detail)


def _letter(row: sa.Row[Any]) -> Letter:
    values = dict(row._mapping)  # noqa: SLF001 - public in all but name
    return Letter(**values | {"attachments": tuple(values["attachments"])})
