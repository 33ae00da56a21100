"""Announcing: batch systems whose submit hooks learn of environments by themselves are told which there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from environments.matching import Catalogue
from scheduler.loop.errands import batch_lane
from scheduler.loop.runner import Call
from scheduler.model.ports import Announcing, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scheduler.loop.runner import Errand
    from scheduler.model.ports import BatchSystem

REPEAT_SECONDS = 60.0
"""Whoever listens forgets what it was told when it is started anew."""


@dataclass(slots=True)
class Announcer:
    """Remembers what was told to whom, and when."""

    problems: dict[str, str] = field(default_factory=dict)
    """By batch system: why it could not be told the last time."""
    _told: dict[str, tuple[object, Catalogue, float]] = field(default_factory=dict)

    def due(self, batch_systems: Mapping[str, BatchSystem], catalogue: Catalogue, monotonic: float) -> Iterator[Errand]:
        """Yield what is to be done now: nothing while all were told of this catalogue a moment ago."""
        for name, system in batch_systems.items():
            if isinstance(system, Announcing):
                known, what, at = self._told.get(name, (None, None, 0.0))
                if known is not system or what is not catalogue or monotonic - at >= REPEAT_SECONDS:
                    self._told[name] = (system, catalogue, monotonic)
                    yield self._tell(name, system, catalogue)

    def _tell(self, name: str, system: Announcing, catalogue: Catalogue) -> Errand:
        environments, vos = tuple(catalogue.environments.values()), tuple(catalogue.vos)
        asked = "announce the environments"
        try:
            yield Call(batch_lane(name), asked, lambda: system.announce(environments, vos), begin_within_seconds=REPEAT_SECONDS)
        except SourceError as error:
            self.problems[name] = error.answer
        else:
            self.problems.pop(name, None)
