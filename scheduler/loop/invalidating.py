"""Invalidating: what a batch system still shows of workers that were given up with their host is taken out of it.

A claimed ad of a dead worker counts as usage, and stalls the whole accounting group until it expires.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scheduler.journal import hosts
from scheduler.loop.errands import batch_lane
from scheduler.loop.runner import Call
from scheduler.model.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from scheduler.journal.reading import JournalReader
    from scheduler.journal.records import Entry
    from scheduler.loop.runner import Errand
    from scheduler.model.ports import BatchSystem

WITHIN_SECONDS = 60.0
LASTS_SECONDS = 3600.0
"""After that no batch system shows anything of a worker that is off: there is nothing left to be taken out."""


@dataclass(slots=True)
class Invalidator:
    """Remembers of which workers something may be shown still; asks again in each cycle until the batch system has done it.

    The line of the log by which a worker was given up is the intent: it is written before the first question.
    """

    problems: dict[str, str] = field(default_factory=dict)
    """By worker: why it could not be done the last time."""
    _waiting: dict[str, tuple[str, float]] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    def recall(self, journal: JournalReader, now: float, monotonic: float) -> None:
        """Take up what the journal tells of workers that were given up lately: whoever acted then may not have come to them.

        What was done already is done once more: it may be repeated.
        """
        for entry, at in hosts.given_up(journal, now - LASTS_SECONDS):
            self._waiting.setdefault(entry.name, (entry.batch_system, monotonic - max(0.0, now - at)))

    def due(
        self,
        batch_systems: Mapping[str, BatchSystem],
        given_up: Iterable[Entry],
        alive: AbstractSet[str],
        monotonic: float,
    ) -> Iterator[Errand]:
        """Yield what is to be done now. Of workers that are `alive` after all nothing is taken out."""
        self._waiting |= {entry.name: (entry.batch_system, monotonic) for entry in given_up}
        for name, (source, since) in list(self._waiting.items()):
            if name in alive or source not in batch_systems or monotonic - since > LASTS_SECONDS:
                self._settle(name)
            elif name not in self._asked:
                self._asked.add(name)
                yield self._invalidate(name, source, batch_systems[source])

    def _invalidate(self, name: str, source: str, system: BatchSystem) -> Errand:
        def forget() -> str:
            return system.forget(name)

        try:
            came_back = yield Call(batch_lane(source), f"forget {name}", forget, begin_within_seconds=WITHIN_SECONDS)
        except SourceError as error:
            self.problems[name] = error.answer
        else:
            if came_back:
                self.problems[name] = str(came_back)
            else:
                self._settle(name)
        finally:
            self._asked.discard(name)

    def _settle(self, name: str) -> None:
        self._waiting.pop(name, None)
        self.problems.pop(name, None)
