"""What this machine has seen of the journal, in a file of the state directory: an older copy put in its place is known by it.

Whoever leads compares once, before the first decision. An older copy knows neither the names that were given since nor which
tokens were revoked: the names go on behind those, and the tokens are revoked again. Where there is no such file, the names go
on behind all that a farm can have booted since the journal was written last; where it is of another journal, behind
the names of that one as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from environments.whole import written_whole
from scheduler.journal import tables as t
from scheduler.journal.records import Note
from scheduler.model.instants import in_seconds, micro

if TYPE_CHECKING:
    from scheduler.journal.journal import Journal

NAMES_KEPT_FREE = 1000
"""More names than one cycle gives: those of the last one may not have come into the file."""
EVERY_SECONDS = 60.0
"""So often the file is written while nothing but the counter of renewals is new."""
MOST_SECONDS = 366 * 86_400
"""No back-up is older; a clock that stood at 1970 must not use the numbers up."""


@dataclass(frozen=True, slots=True)
class JournalMark:
    """How far a journal had come."""

    made_at: float
    """Which journal it is."""
    renewals: int
    """Of its lease: they only grow."""
    next_serial: int
    revoked: tuple[str, ...]
    """Hashes of the revoked tokens."""

    def is_before(self, other: JournalMark) -> bool:
        """Whether the same journal had come less far: none of this ever becomes less."""
        less = self.renewals < other.renewals or self.next_serial < other.next_serial
        return less or not set(other.revoked) <= set(self.revoked)


class SeenJournal:
    """Follows how far the journal has come; for the loop's own thread."""

    def __init__(self, path: Path, tell: Callable[[str], None] = lambda _: None) -> None:
        """Read nothing yet; `tell` is given what was found of a restored journal, and why the file cannot be kept."""
        self._path = path
        self._tell = tell
        self._mark: JournalMark | None = None
        self._read = self._compared = False
        self._written_at = float("-inf")
        self._problem = ""

    def follow(self, journal: Journal, owner: str, now: float, monotonic: float, *, leading: bool) -> None:
        """Compare the journal with what was seen, when this daemon begins to lead, and write down how far it has come now."""
        if not self._read:
            self._mark, self._read = self._kept(), True
        here = _look(journal)
        known = self._mark if self._mark and self._mark.made_at == here.made_at else None
        if leading and not self._compared:
            if known is not None and here.is_before(known):
                self._restore(journal, owner, now, known)
            elif known is None:
                unseen = _unseen_seconds(journal, now)
                serial = 0 if unseen is None else here.next_serial + NAMES_KEPT_FREE + round(unseen)
                if self._mark is not None:  # of a journal that was lost, or is not used any more
                    serial = max(serial, self._mark.next_serial + NAMES_KEPT_FREE)
                if serial:
                    _go_on(journal, owner, now, serial, another=self._mark is not None)
                if self._mark is not None:
                    self._tell(
                        "another journal was used here before: its declarations, downtimes, exclusions and tokens are not in "
                        "this one. Unless that is meant, stop the daemon and put the last back-up in its place (docs: Restore)"
                    )
            here = _look(journal)
        elif known is not None and here.is_before(known):
            return  # whoever leads next compares it with what is known here
        self._compared = leading
        same = known is not None and (known.next_serial, known.revoked) == (here.next_serial, here.revoked)
        if not same or monotonic - self._written_at >= EVERY_SECONDS:
            self._keep(here, monotonic)

    def _restore(self, journal: Journal, owner: str, now: float, known: JournalMark) -> None:
        again = _go_on(journal, owner, now, known.next_serial + NAMES_KEPT_FREE, known)
        tokens = (
            f"tokens that were revoked since are revoked again: {', '.join(again)}" if again else "no token was revoked since"
        )
        self._tell(f"this journal is older than what this machine has already seen of it: it was restored; {tokens}")

    def _kept(self) -> JournalMark | None:
        try:
            kept = json.loads(self._path.read_text())
            return JournalMark(
                float(kept["made_at"]), int(kept["renewals"]), int(kept["next_serial"]), tuple(map(str, kept["revoked"]))
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._say(f"cannot be read: {error}; whether the journal was restored is not known")
            return None

    def _keep(self, here: JournalMark, monotonic: float) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with written_whole(self._path, 0o600) as file:
                file.write(json.dumps(asdict(here)).encode())
        except OSError as error:
            self._say(f"cannot be written: {error.strerror}; a restored journal would not be known as one")
        else:
            self._mark, self._written_at, self._problem = here, monotonic, ""

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            self._tell(f"{self._path} {problem}")
        self._problem = problem


def _look(journal: Journal) -> JournalMark:
    with journal.read("how far it has come") as connection:
        one = connection.execute(sa.select(t.journal)).one()
        renewals = connection.execute(sa.select(t.lease.c.renewals)).scalar_one()
        revoked = sa.select(t.tokens.c.hash).where(t.tokens.c.revoked_at.is_not(None)).order_by(t.tokens.c.hash)
        return JournalMark(one.made_at, renewals, one.next_serial, tuple(connection.execute(revoked).scalars()))


def _unseen_seconds(journal: Journal, now: float) -> float | None:
    """Return for how long no daemon has looked, None if none ever has: of what was booted since it knows nothing."""
    with journal.read("when a daemon looked last") as connection:
        seen_at = connection.execute(sa.select(sa.func.max(t.watches.c.seen_at))).scalar()
    return None if seen_at is None else min(max(0.0, now - in_seconds(seen_at)), MOST_SECONDS)


def _go_on(
    journal: Journal, owner: str, now: float, serial: int, restored: JournalMark | None = None, *, another: bool = False
) -> list[str]:
    """Let names of workers go on from a serial number on, and what runs on hosts be unknown until each has answered.

    Return which tokens of a restored journal are revoked again.
    """
    with journal.write("go-on") as connection:
        journal.fence(connection, owner)
        connection.execute(t.journal.update().where(t.journal.c.next_serial < serial).values(next_serial=serial))
        connection.execute(t.sources_heard.delete())
        revoked = sa.and_(t.tokens.c.hash.in_(restored.revoked if restored else ()), t.tokens.c.revoked_at.is_(None))
        again = connection.execute(t.tokens.update().where(revoked).values(revoked_at=micro(now)).returning(t.tokens.c.name))
        names = sorted(again.scalars())
        notes = [
            Note("token", name, "revoked", detail={"by": "the daemon: it was revoked before the restore"}) for name in names
        ]
        told = {"next_serial": serial}
        if restored:
            notes.append(Note("journal", "journal", "restored", detail=told))
        else:
            notes.append(Note("journal", "journal", "another" if another else "unseen-here", detail=told))
        journal.note(connection, now, notes)
    journal.reload()
    return names
