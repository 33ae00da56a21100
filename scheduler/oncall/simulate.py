"""A whole story of incidents from what happened: the events in their order, and the clock between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from scheduler.model.instants import Instant
from scheduler.oncall.follow import follow, next_due
from scheduler.oncall.incident import Book, Incident, IncidentEvent, OncallDecision, Rules, What


@dataclass(frozen=True, slots=True)
class Story:
    """All incidents and every decision, up to `now`."""

    now: Instant
    incidents: tuple[Incident, ...]
    decisions: tuple[OncallDecision, ...]


@dataclass(slots=True)
class StoryTold:
    """A story that is being told: the book, and what came of it so far."""

    rules: Rules
    book: Book
    incidents: dict[int, Incident] = field(default_factory=dict)
    decisions: list[OncallDecision] = field(default_factory=list)

    def take(self, change: IncidentEvent) -> bool:
        """Take one change into the book; return whether it changed an incident."""
        outcome = follow(self.book, change, self.rules)
        self.book = outcome.book
        self.incidents.update((incident.number, incident) for incident in outcome.changed)
        self.decisions.extend(outcome.decisions)
        return bool(outcome.changed)

    def wait(self, until: Instant) -> None:
        """Let the clock do all that is due before an instant."""
        while (due := next_due(self.book, self.rules)) is not None and due < until:
            changed = self.take(IncidentEvent(due, What.TICK))
            assert changed, "what was due changed nothing"

    def until(self, now: Instant) -> Story:
        """Let the clock go on to `now`, and return the story."""
        self.wait(now + 1)
        return Story(now, tuple(self.incidents.values()), tuple(self.decisions))


def simulate(changes: Iterable[IncidentEvent], rules: Rules, now: Instant) -> Story:
    """Follow all changes up to `now`, as a daemon would have that never slept.

    At one instant, what happened comes before what the clock does: an acknowledgement at the very instant of an escalation
    stops it, a recovery at the end of a downtime pages nobody. Events of one instant keep their order.
    """
    told = sorted((change for change in changes if change.at <= now), key=lambda change: change.at)
    telling = StoryTold(rules, Book(at=told[0].at if told else now))
    for change in told:
        telling.wait(change.at)
        telling.take(change)
    return telling.until(now)
