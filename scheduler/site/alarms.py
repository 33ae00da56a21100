"""The site's burn-rate alerts: evaluated on the journal, told to the book of incidents."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scheduler.availability.promises.standing import stand
from scheduler.journal import incidents as kept
from scheduler.model.instants import Instant, in_seconds
from scheduler.oncall import alarms
from scheduler.site import promises, services

if TYPE_CHECKING:
    from scheduler.availability.timelines.prepared import Prepared
    from scheduler.journal.journal import Journal
    from scheduler.oncall.incident import IncidentEvent
    from scheduler.site.definitions import Definitions


def changes(
    definitions: Definitions, journal: Journal, now: Instant, prepared: Callable[[float], Prepared] | None = None
) -> tuple[IncidentEvent, ...]:
    """Return what burn-rate alerts have to tell the book now; nothing is measured where no objective has alerts.

    `prepared` gives the history up to an instant where somebody follows it; else it is read.
    """
    with journal.read("incidents") as connection:
        book = kept.open_book(connection)
    known = services.load(definitions)
    alerting = [one for one in promises.load(definitions, known.names, now).promises if one.alerts]
    if not alerting:
        return tuple(alarms.told(book, (), now))
    at = in_seconds(now)
    ready = services.live_prepared(definitions, journal, at) if prepared is None else prepared(at)
    return tuple(alarms.told(book, [stand(ready, one.objective, one.alerts) for one in alerting], now))
