"""From burn-rate alerts to incidents: what the book must be told, given which alerts fire now. Pure.

Only alerts of severity `page` open incidents; all alerts of one objective are one cause. An undecided alert neither opens nor
ends one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from scheduler.availability.promises.burn_rate import PAGES, Burn, Burning
from scheduler.model.instants import Instant, write_duration
from scheduler.oncall.incident import Book, IncidentEvent, What

if TYPE_CHECKING:
    from scheduler.availability.promises.standing import ObjectiveStanding

PREFIX = "error budget of "


def told(book: Book, standings: Iterable[ObjectiveStanding], at: Instant) -> Iterator[IncidentEvent]:
    """Yield what has changed since the book was written: alerts that fire, alerts that are over, and those that are no more."""
    known = {name: incident.cause for incident in book.incidents for name in incident.bad if name.startswith(PREFIX)}
    seen: set[str] = set()
    for standing in standings:
        for burn in standing.burns:
            if burn.alert.severity.casefold() != PAGES:
                continue
            name = f"{beginning(standing.objective.name)}{burn.alert.name}"
            seen.add(name)
            if burn.state is Burning.FIRING and name not in known:
                yield IncidentEvent(at, What.BAD, name, cause(standing), text=_words(standing, burn))
            elif burn.state is Burning.QUIET and name in known:
                yield IncidentEvent(at, What.RECOVERED, name, known[name])
    yield from (IncidentEvent(at, What.RECOVERED, name, known[name], text="retired") for name in known if name not in seen)


def beginning(objective: str) -> str:
    """Return how the names of an objective's alerts begin."""
    return f"{PREFIX}{objective}: "


def cause(standing: ObjectiveStanding) -> str:
    """Name the cause of all alerts of one objective."""
    return f"objective:{standing.objective.name}"


def _words(standing: ObjectiveStanding, burn: Burn) -> str:
    """Say what burns how fast, over which time, and what is left."""
    left, over = standing.budget.left, write_duration(burn.alert.long)
    rest = "nothing is left of it" if left <= 0 else f"{write_duration(int(left))} of it are left"
    rate = round(burn.long.least or 0, 1)
    return f"{standing.objective.object} burns its error budget {float(rate):g} times too fast over {over}; {rest}"
