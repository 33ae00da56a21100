"""What a story's happenings become before they reach the book: which objects open incidents, when, and of which cause. Pure.

It is what the watch does at its looks, for happenings that are told by the instant: an object that is none of the watched ones
opens nothing; one that recovers before it has been bad for `confirm` was not bad; many that go bad at one instant have one
cause. A cause that the story names itself stays.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from scheduler.model.instants import write_instant
from scheduler.oncall.incident import IncidentEvent, What
from scheduler.oncall.watch import COMMON

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scheduler.model.instants import Instant
    from scheduler.oncall.watch import Watching


def watched(changes: Iterable[IncidentEvent], watching: Watching) -> tuple[IncidentEvent, ...]:
    """Return the changes that the book is told, in the order of their instants."""
    ordered = sorted((one for one in changes if _is_watched(one, watching)), key=lambda one: one.at)
    confirmed = [late for place, one in enumerate(ordered) if (late := _confirmed(one, ordered[place + 1 :], watching))]
    return _together(sorted(confirmed, key=lambda one: one.at), watching)


def _is_watched(change: IncidentEvent, watching: Watching) -> bool:
    return change.what is not What.BAD or any(fnmatchcase(change.object, pattern) for pattern in watching.objects)


def _confirmed(change: IncidentEvent, later: list[IncidentEvent], watching: Watching) -> IncidentEvent | None:
    """Return a change as of when it is believed; None: it was over by then."""
    if change.what is not What.BAD or not watching.confirm:
        return change
    at = change.at + watching.confirm
    same = (one for one in later if one.object == change.object or (not one.object and one.cause == change.cause))
    over = any(one.what is What.RECOVERED and one.at <= at for one in same)
    return None if over else replace(change, at=at)


def _together(changes: list[IncidentEvent], watching: Watching) -> tuple[IncidentEvent, ...]:
    alone = [one for one in changes if one.what is What.BAD and not one.cause]
    many = Counter(at for at, _ in {(one.at, one.object) for one in alone})
    begun: Instant | None = None
    made: list[IncidentEvent] = []
    for one in changes:
        cause = one.cause
        if one.what is What.BAD and not cause and watching.together:
            if begun is None or one.at > begun + watching.gather:
                begun = one.at if many[one.at] >= watching.together else None
            if begun is not None:
                cause = f"{COMMON}{write_instant(begun)}"
        made.append(replace(one, cause=cause))
    return tuple(made)
