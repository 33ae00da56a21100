"""What is under way, and what has ended since the loop last asked: one table, written by the threads of all lanes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scheduler.journal.records import IntentEnd, Outcome
from scheduler.model.actions import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from scheduler.model.hosts import Stored


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What became of one action."""

    action: Action
    outcome: Outcome
    detail: str = ""
    seconds: float = 0.0


class UnderWay:
    """The acts that have not ended, the ends that nobody was told of, and what hosts told meanwhile; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._acts: dict[int, Action] = {}
        self._ended: dict[int, ActionResult] = {}
        self._gathered: list[tuple[IntentEnd, ActionResult]] | None = None
        self._explained: set[str] = set()
        self._stored: dict[str, tuple[Stored, ...]] = {}

    def begin(self, number: int, action: Action) -> None:
        """Take note of an intent that is being performed, also while its source does not answer in time."""
        with self._lock:
            self._acts[number] = action

    def tell(self, number: int, result: ActionResult) -> None:
        """Keep an end until somebody asks for it."""
        with self._lock:
            self._ended[number] = result

    def end(self, number: int) -> None:
        """Strike an intent out."""
        with self._lock:
            self._acts.pop(number, None)

    def gather(self) -> None:
        """Keep the ends that come from now on, to be written together."""
        with self._lock:
            self._gathered = []

    def keep(self, end: IntentEnd, result: ActionResult) -> bool:
        """Keep an end to be written with others; False when it is to be written now. Its act counts as under way till then."""
        with self._lock:
            if self._gathered is not None:
                self._gathered.append((end, result))
            return self._gathered is not None

    def take_gathered(self) -> list[tuple[IntentEnd, ActionResult]]:
        """Return the ends that were kept; those that come from now on are to be written at once."""
        with self._lock:
            gathered, self._gathered = self._gathered or [], None
            return gathered

    def take_ended(self) -> dict[int, ActionResult]:
        """Return the ends since this was last asked, by intent, in their order."""
        with self._lock:
            ended, self._ended = self._ended, {}
            return ended

    def intents(self) -> frozenset[int]:
        """Return the intents under way."""
        with self._lock:
            return frozenset(self._acts)

    def busy(self) -> dict[str, Action]:
        """Return the workers with an act under way, and which."""
        with self._lock:
            return {action.machine: action for action in self._acts.values()}

    def explain(self, worker: str) -> None:
        """Take note that a worker's domain has ended: powered off by us, or told by an event and read again."""
        with self._lock:
            self._explained.add(worker)

    def explained(self, among: Iterable[str]) -> AbstractSet[str]:
        """Return those of these workers whose domain is known to have ended."""
        with self._lock:
            return self._explained.intersection(among)

    def forget_others(self, workers: Iterable[str]) -> frozenset[str]:
        """Return the workers among these whose domain is known to have ended, and forget all others."""
        with self._lock:
            self._explained.intersection_update(workers)
            return frozenset(self._explained)

    def tell_stored(self, host: str, stored: Iterable[Stored]) -> None:
        """Keep what a host tells of its storage until an observation takes it up."""
        with self._lock:
            self._stored[host] = tuple(stored)

    def take_stored(self) -> Mapping[str, tuple[Stored, ...]]:
        """Return what hosts have told of their storage since this was last asked."""
        with self._lock:
            stored, self._stored = self._stored, {}
            return stored
