"""From statuses to changes: what the book of incidents must be told, given how every object stands now. Pure.

Rules:
1. CRITICAL is bad, OK and WARNING are not. UNKNOWN and MISSING say nothing: they neither open nor end an incident.
2. The comparison is of states, so it misses nothing that happened while nobody looked, and tells nothing twice.
3. An incident that a person opened on an object that never was CRITICAL is not ended by that object's being OK.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from scheduler.availability.history import Duration, Instant, Status
from scheduler.availability.incidents.incident import Change, What

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scheduler.availability.incidents.incident import Book


@dataclass(frozen=True, slots=True)
class Standing:
    """How one object stands."""

    status: Status
    since: Instant
    exists: bool = True
    """False: it was retired."""


def told(
    book: Book, standing: Mapping[str, Standing], at: Instant, objects: Sequence[str] = ("*",), confirm: Duration = 0
) -> Iterator[Change]:
    """Yield what has changed since the book was written; only objects whose name fits one of `objects` open incidents.

    An object is bad once it has been CRITICAL for `confirm`. One that is bad in an incident that a person resolved is left in
    peace until that can no longer be reopened; if it is bad even then, it opens a new one.
    """
    known_bad = {name for incident in book.incidents for name in incident.bad}
    for name, one in sorted(standing.items()):
        critical = one.exists and one.status is Status.CRITICAL and at - one.since >= confirm
        if critical and name not in known_bad and any(fnmatchcase(name, pattern) for pattern in objects):
            yield Change(at, What.BAD, name)
    for incident in book.incidents:
        for name in incident.bad:
            found = standing.get(name)
            if found is None:
                continue
            well = found.status in {Status.OK, Status.WARNING} and (not incident.opened_by or found.since > incident.bad_since)
            if well or not found.exists:
                yield Change(at, What.RECOVERED, name, incident.cause, text="" if well else "retired")
