"""From statuses to changes: what the book of incidents must be told, given how every object stands now. Pure.

Rules:
1. CRITICAL is bad, OK and WARNING are not. UNKNOWN and MISSING say nothing: they neither open nor end an incident.
2. The comparison is of states, so it misses nothing that happened while nobody looked, and tells nothing twice.
3. An incident that a person opened on an object that never was CRITICAL is not ended by that object's being OK.
4. Many objects that go bad at once have one cause, whatever it is: one incident, one page.
5. A group has no cause of its own: its cause is that of the member that brought it down. When that is over and the group is
   bad of another member still, it goes over to that one's incident.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from scheduler.availability.history import Group, Status
from scheduler.model.instants import SECOND, Duration, Instant, write_instant
from scheduler.oncall.incident import Book, Incident, IncidentEvent, What
from scheduler.oncall.standing import UP, ObjectStanding, ill, root
from scheduler.oncall.states import OVER

COMMON = "common:"
OBJECT = "object:"


@dataclass(frozen=True, slots=True)
class Watching:
    """Which statuses open incidents, and how."""

    objects: tuple[str, ...] = ("*",)
    """Names or patterns, of objects and groups."""
    confirm: Duration = 0
    """How long an object has been CRITICAL before it is bad."""
    together: int = 3
    """So many objects that go bad in one look have a common cause; 0: never."""
    gather: Duration = 60 * SECOND
    """What goes bad so soon after the first of them belongs to it too."""

    def watches(self, name: str) -> bool:
        """Whether an object or group opens incidents."""
        return any(fnmatchcase(name, pattern) for pattern in self.objects)


def told(
    book: Book,
    standing: Mapping[str, ObjectStanding],
    at: Instant,
    watching: Watching,
    groups: Mapping[str, Group] | None = None,
) -> Iterator[IncidentEvent]:
    """Yield what has changed since the book was written; `standing` tells of the groups too.

    An object that is bad in an incident that a person resolved is left in peace until that can no longer be reopened; if it is
    bad even then, it opens a new one.
    """
    groups = groups or {}
    over = list(_over(book, standing, at, watching, groups))
    ended = {(change.object, change.cause) for change in over}
    bad_in = {name: incident for incident in book.incidents for name in incident.bad if (name, incident.cause) not in ended}
    new = [
        name
        for name, one in sorted(standing.items())
        if one.exists and one.status is Status.CRITICAL and at - one.since >= watching.confirm
        if name not in bad_in and watching.watches(name)
    ]
    roots = {name: root(name, groups, standing, at) for name in new}
    common = _common(book, {one for one in roots.values() if one not in bad_in}, at, watching)
    for name, origin in roots.items():
        known = bad_in.get(origin)
        if known is None:
            cause = common or (f"{OBJECT}{origin}" if origin != name else "")
        elif known.state in OVER and standing[name].since <= (known.closed_at or 0):
            continue
        else:
            cause = known.cause
        yield IncidentEvent(at, What.BAD, name, cause, text=f"because of {origin}" if origin != name else "")
    yield from over


def _over(
    book: Book, standing: Mapping[str, ObjectStanding], at: Instant, watching: Watching, groups: Mapping[str, Group]
) -> Iterator[IncidentEvent]:
    """Yield what recovered; of groups also what goes on, but not of the cause that an incident is about."""
    for incident in book.incidents:
        for name in (name for name in incident.bad if name in standing):
            found = standing[name]
            if found.status in UP and (not incident.opened_by or found.since > incident.bad_since):
                yield IncidentEvent(at, What.RECOVERED, name, incident.cause)
            elif not found.exists:
                yield IncidentEvent(at, What.RECOVERED, name, incident.cause, text="retired")
            elif name in groups and not incident.opened_by and name != _object(incident):
                origin = root(name, groups, standing, at) if found.status is Status.CRITICAL else ""
                sick = ill(groups[name], groups, standing, at)
                if origin != name and not _carries(incident, sick, standing, watching):
                    yield IncidentEvent(at, What.RECOVERED, name, incident.cause, text="of another cause now")


def _carries(incident: Incident, sick: Collection[str], standing: Mapping[str, ObjectStanding], watching: Watching) -> bool:
    """Whether some member that went bad of an incident's cause is not up again."""
    if {*incident.bad, _object(incident)} & {*sick}:
        return True
    return incident.cause.startswith(COMMON) and any(
        standing[name].since <= incident.bad_since + watching.gather for name in sick
    )


def _object(incident: Incident) -> str:
    return incident.cause.removeprefix(OBJECT) if incident.cause.startswith(OBJECT) else ""


def _common(book: Book, new: Collection[str], at: Instant, watching: Watching) -> str:
    """Return the common cause of what goes bad in this look; "": each has its own.

    It takes in what goes bad within `gather` of its first also when all of it has recovered in between: then it comes back.
    """
    fresh = [one.cause for one in book.incidents if one.cause.startswith(COMMON) and at - one.bad_since <= watching.gather]
    if fresh:
        return fresh[-1]
    many = watching.together and len(new) >= watching.together
    return f"{COMMON}{write_instant(at)}" if many else ""
