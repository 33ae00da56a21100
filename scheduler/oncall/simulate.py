"""A whole story of incidents from what happened: the events in their order, and the clock between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scheduler.model.instants import Instant
from scheduler.oncall.follow import follow, next_due
from scheduler.oncall.incident import Book, Incident, IncidentEvent, OncallDecision, Rules, What

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Story:
    """All incidents and every decision, up to `now`."""

    now: Instant
    incidents: tuple[Incident, ...]
    decisions: tuple[OncallDecision, ...]


def simulate(changes: Iterable[IncidentEvent], rules: Rules, now: Instant) -> Story:
    """Follow all changes up to `now`, as a daemon would have that never slept.

    At one instant, what happened comes before what the clock does: an acknowledgement at the very instant of an escalation
    stops it, a recovery at the end of a downtime pages nobody. Events of one instant keep their order.
    """
    told = sorted((change for change in changes if change.at <= now), key=lambda change: change.at)
    book = Book(at=told[0].at if told else now)
    incidents: dict[int, Incident] = {}
    decisions: list[OncallDecision] = []

    def take(change: IncidentEvent) -> None:
        nonlocal book
        outcome = follow(book, change, rules)
        assert change.what is not What.TICK or outcome.changed or change in told, "what was due changed nothing"
        book = outcome.book
        incidents.update((incident.number, incident) for incident in outcome.changed)
        decisions.extend(outcome.decisions)

    for change in told:
        while (due := next_due(book, rules)) is not None and due < change.at:
            take(IncidentEvent(due, What.TICK))
        take(change)
    while (due := next_due(book, rules)) is not None and due <= now:
        take(IncidentEvent(due, What.TICK))
    return Story(now, tuple(incidents.values()), tuple(decisions))
