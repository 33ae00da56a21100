"""From statuses to changes: what the book of incidents must be told, given how every object stands now. Pure.

Rules:
1. CRITICAL is bad, OK and WARNING are not. UNKNOWN and MISSING say nothing: they neither open nor end an incident.
2. The comparison is of states, so it misses nothing that happened while nobody looked, and tells nothing twice.
3. An incident that a person opened on an object that never was CRITICAL is not ended by that object's being OK.
4. Many objects that go bad at once have one cause, whatever it is: one incident, one page.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from scheduler.availability.history import SECOND, Duration, Instant, Status
from scheduler.availability.incidents.incident import Change, What
from scheduler.availability.incidents.states import OVER
from scheduler.availability.instants import write_instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scheduler.availability.incidents.incident import Book

COMMON = "common:"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one object stands."""

    status: Status
    since: Instant
    exists: bool = True
    """False: it was retired."""


@dataclass(frozen=True, slots=True)
class Watching:
    """Which statuses open incidents, and how."""

    objects: tuple[str, ...] = ("*",)
    """Names or patterns."""
    confirm: Duration = 0
    """How long an object has been CRITICAL before it is bad."""
    together: int = 3
    """So many objects that go bad in one look have a common cause; 0: never."""
    gather: Duration = 60 * SECOND
    """What goes bad so soon after the first of them belongs to it too."""


def told(book: Book, standing: Mapping[str, Standing], at: Instant, watching: Watching) -> Iterator[Change]:
    """Yield what has changed since the book was written.

    An object that is bad in an incident that a person resolved is left in peace until that can no longer be reopened; if it is
    bad even then, it opens a new one.
    """
    known_bad = {name for incident in book.incidents for name in incident.bad}
    new = [
        name
        for name, one in sorted(standing.items())
        if one.exists and one.status is Status.CRITICAL and at - one.since >= watching.confirm
        if name not in known_bad and any(fnmatchcase(name, pattern) for pattern in watching.objects)
    ]
    cause = _common(book, new, at, watching)
    yield from (Change(at, What.BAD, name, cause) for name in new)
    for incident in book.incidents:
        for name in incident.bad:
            found = standing.get(name)
            if found is None:
                continue
            well = found.status in {Status.OK, Status.WARNING} and (not incident.opened_by or found.since > incident.bad_since)
            if well or not found.exists:
                yield Change(at, What.RECOVERED, name, incident.cause, text="" if well else "retired")


def _common(book: Book, new: list[str], at: Instant, watching: Watching) -> str:
    """Return the common cause of what goes bad in this look; "": each has its own."""
    going_on = [one for one in book.incidents if one.cause.startswith(COMMON) and one.state not in OVER]
    fresh = [one.cause for one in going_on if at - one.bad_since <= watching.gather]
    if fresh:
        return fresh[-1]
    many = watching.together and len(new) >= watching.together
    return f"{COMMON}{write_instant(at - at % SECOND)}" if many else ""
