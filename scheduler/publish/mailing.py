"""A published report goes into the outbox: one letter for each address of each person, with what was published, in one commit.

A report whose line stands in the event log will be sent, whoever is killed in between;
one whose line is missing was not posted, and is made and posted anew under the same keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scheduler.availability.reports.publication import Version
from scheduler.journal import outbox, publications
from scheduler.journal.outbox import Letter
from scheduler.journal.records import Note
from scheduler.model.instants import Instant, in_seconds, write_instant

if TYPE_CHECKING:
    from environments.reason import Number
    from scheduler.journal.publications import Published
    from scheduler.journal.reading import JournalReader
    from scheduler.journal.writing import JournalWriter

KIND = "report"


@dataclass(frozen=True, slots=True)
class Publication:
    """A report as it was made."""

    name: str
    site: str
    at: Instant
    """The instant of the schedule that it was made for; by it later rounds know what was published."""
    issue: str
    """Names this one among all of its name: the local date of that instant."""
    skipped: int
    window: str
    subject: str
    text: str
    attachments: tuple[str, ...]
    version: Version | None = None
    """What its period gets published with it; None: its figures stand as they were published."""
    groups: str = ""
    """Fingerprint of the groups behind that version."""
    known: int = 0
    """The last publication of any period that it tells of."""


def last_published(journal: JournalReader, name: str) -> Instant | None:
    """Return for which instant a report was last published; None: it was never heard of."""
    found = journal.events(kind=KIND, subject=name, limit=1)
    return int(str(found[0].note.detail["for"])) if found else None


def corrections(journal: JournalReader, name: str) -> list[Published]:
    """Return the versions that replaced published figures since a report was last published: it tells of them."""
    found = journal.events(kind=KIND, subject=name, limit=1)
    if not found:
        return []
    after = found[0].note.detail.get("publications")
    if after is not None:
        return [one for one in publications.listed(journal, after=int(after)) if one.number > 1]
    since = found[0].received or 0
    return [one for one in publications.listed(journal) if one.number > 1 and one.published_at > since]


def begin(journal: JournalWriter, owner: str, name: str, now: Instant) -> None:
    """Write that a report is new: its first publication is the next of its schedule, not one of the past."""
    with journal.write("report") as connection:
        journal.fence(connection, owner)
        journal.note(connection, in_seconds(now), [Note(KIND, name, "scheduled", "", {"for": now})])


def post(journal: JournalWriter, owner: str, made: Publication, to: Mapping[str, Sequence[str]], now: Instant) -> int:
    """Put a publication into the outbox; `to`: person -> where each address is found. Returns the number of letters.

    The version of its period, the letters and the line of the event log are one commit: all of it is there, or nothing.

    Raises LeaseLostError when another daemon acts by now: it publishes.
    """
    about = f"report-{made.name}-{made.issue}"
    body = f"{made.text}\n\nNotice {about}@{made.site}; the same notice may reach you twice."
    letters = [
        Letter(
            key=f"{about}.{person}.{index}@{made.site}",
            incident=0,
            person=person,
            address=place,
            subject=made.subject,
            body=body,
            made_at=now,
            attachments=made.attachments,
        )
        for person, places in to.items()
        for index, place in enumerate(places)
    ]
    detail: dict[str, Number | None] = {
        "for": made.at,
        "scheduled": write_instant(made.at),
        "window": made.window,
        "skipped": made.skipped,
        "letters": len(letters),
        "files": ", ".join(made.attachments),
        "publications": made.known,
    }
    with journal.write("report") as connection:
        journal.fence(connection, owner)
        if made.version is not None:
            publications.keep(journal, connection, made.version, made.groups, now, by=f"report {made.name}")
        outbox.post(connection, letters)
        unreached = [Note("notice", person, "no-address", about) for person, places in to.items() if not places]
        journal.note(connection, in_seconds(now), [Note(KIND, made.name, "published", about, detail), *unreached])
    return len(letters)
