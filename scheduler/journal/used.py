"""What workers were used for in a window, and what became of the jobs of those that failed, as the journal tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scheduler.availability.history import Status, Window
from scheduler.availability.measuring.accounting import pieces
from scheduler.availability.timelines.axis import united
from scheduler.journal.histories import worker_steps
from scheduler.journal.holds import holds_in
from scheduler.journal.usage import Casualties, Fallen, Hours, JournaledWork, StateEntered, casualties, fallen, worker_hours

if TYPE_CHECKING:
    from scheduler.availability.timelines.prepared import Prepared
    from scheduler.journal.reading import JournalReader
    from scheduler.model.instants import Duration, Instant


@dataclass(frozen=True, slots=True)
class Used:
    """Hours of workers, outages of hosts and failed workers, in the part of a window that the journal remembers."""

    window: Window
    forgotten: bool
    """The window that was asked for begins earlier, and what was then is forgotten."""
    hours: Mapping[tuple[str, str], Hours]
    """By VO and environment."""
    outages: tuple[Casualties, ...]
    fallen: tuple[Fallen, ...]

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.hours or self.outages or self.fallen)


def used(journal: JournalReader, prepared: Prepared, window: Window, kept: Duration) -> Used:
    """Return what is known of a window; `kept`: for how long the journal keeps workers and jobs."""
    known = replace(window, start=max(window.start, prepared.history.now - kept))
    known = replace(known, end=max(known.start, window.end))
    seen = JournaledWork(_owned(journal, worker_steps(journal, known.end)), journal.sightings(), holds_in(journal))
    silences = outages(prepared, known)
    return Used(
        known,
        known.start > window.start,
        worker_hours(seen.steps, known, [(gap.start or 0, gap.end) for gap in prepared.history.gaps]),
        tuple(casualties(silences, seen)),
        tuple(fallen(silences, seen, known)),
    )


def _owned(journal: JournalReader, steps: list[StateEntered]) -> list[StateEntered]:
    """Add whose the workers are of which the log does not tell it yet: a boot was ordered, and nobody has looked since."""
    told = {one.worker for one in steps if one.environment}
    entries = journal.entries_of({one.worker for one in steps} - told)
    return [
        replace(one, vo=entries[one.worker].vo, environment=entries[one.worker].environment) if one.worker in entries else one
        for one in steps
    ]


def of_vo(found: Used, vo: str) -> Used:
    """Keep what is one VO's own: an outage of a host, with the jobs of all who were on it, is not."""
    hours = {pair: one for pair, one in found.hours.items() if pair[0] == vo}
    return replace(found, hours=hours, outages=(), fallen=tuple(one for one in found.fallen if one.vo == vo))


def outages(prepared: Prepared, window: Window) -> list[tuple[str, Instant, Instant]]:
    """Return when each host was CRITICAL in a window: name, start, end. In a gap of our looking nobody knows."""
    found = []
    for row in prepared.rows:
        if row.is_host:
            bad = [(one.start, one.end) for one in pieces(prepared, row.name, window) if one.state == Status.CRITICAL.name]
            found += [(row.name, *stretch) for stretch in united(bad)]
    return sorted(found, key=lambda one: (one[1], one[0]))
