"""How much bad time each exclusion excuses: who gave which part of X."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from scheduler.availability.history import EVERYTHING, Span, Status, Window
from scheduler.availability.measuring.accounting import stretches
from scheduler.availability.measuring.pieces import packed
from scheduler.availability.timelines.axis import common, lived, united
from scheduler.availability.timelines.downtimes import without
from scheduler.availability.timelines.timeline import CODE, EXCLUDED

if TYPE_CHECKING:
    from scheduler.availability.timelines.prepared import Prepared
    from scheduler.model.instants import Duration


def excused_by(prepared: Prepared, name: str, window: Window, *, within: Iterable[Span] | None = None) -> dict[str, Duration]:
    """Return by the id of each accepted exclusion the bad time that it excuses; together they are the X of `excuse`.

    What several cover is given to the one that was accepted first, and among those to the first listed.
    """
    asked = stretches(prepared, window, within)
    left = united([(start, end) for start, end, state in packed(prepared, name, asked) if _is_excused(state)])
    mine = [one for one in prepared.history.exclusions if one.accepted_by and {name, EVERYTHING} & set(one.objects)]
    mine.sort(key=lambda one: (one.accepted_at is None, one.accepted_at or 0))
    found: dict[str, Duration] = {}
    for one in mine:
        covered = lived(prepared.axis, one.start, one.end)
        length = sum(end - start for start, end in common(left, covered))
        if length:
            found[one.id] = found.get(one.id, 0) + length
        left = without(left, covered)
    return found


def _is_excused(state: int) -> bool:
    return bool(state & EXCLUDED) and state & CODE == Status.CRITICAL
