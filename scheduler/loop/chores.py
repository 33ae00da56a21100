"""Chores of the loop: finding out that the clock was set, forgetting what is old, asking what lies on the hosts' storage."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from zlib import crc32

from scheduler.loop.errands import Tools, host_lane
from scheduler.loop.runner import Call
from scheduler.model.ports import Hypervisor, SourceError

if TYPE_CHECKING:
    from scheduler.loop.runner import Errand
    from scheduler.model.policy import Limits
    from scheduler.observe.merge import Readings

CLOCK_STEP_SECONDS = 5.0
"""A wall clock that has moved by so much more or less than time has passed was set by somebody."""
DAY_SECONDS = 86400.0


@dataclass(slots=True)
class ClockSteps:
    """Finds steps of the wall clock, and moves what the journal measures by it along."""

    tools: Tools
    _looked: tuple[float, float] | None = None
    """The last look, on the wall clock and on the monotonic one."""

    def take(self) -> float:
        """Return by how many seconds the clock was set since the last look; 0 if it was not.

        Before the first look it was set back if the journal holds times of what is under way that are still to come.
        """
        now, monotonic = self.tools.clock.now(), self.tools.clock.monotonic()
        before = self._looked or (max(now, self.tools.journal.ledger().newest), monotonic)
        step = (now - before[0]) - (monotonic - before[1])
        if abs(step) <= CLOCK_STEP_SECONDS:
            step = 0.0
        else:
            self.tools.journal.shift(self.tools.lease.owner, now, step)
        self._looked = (now, monotonic)
        return step


@dataclass(slots=True)
class Forgetting:
    """Once a day removes what is old from the journal, a little in each cycle."""

    tools: Tools
    _due_at: float = float("-inf")

    def go_on(self, limits: Limits, *, clock_was_set: bool) -> None:
        """Remove a little, if there is something to be removed."""
        now, monotonic = self.tools.clock.now(), self.tools.clock.monotonic()
        if clock_was_set:  # a clock set wrongly makes everything old: somebody may set it right again
            self._due_at = monotonic + DAY_SECONDS
        elif monotonic >= self._due_at:
            before = now - limits.journal_days * DAY_SECONDS
            if not self.tools.journal.forget(self.tools.lease.owner, now, before):
                self._due_at = monotonic + DAY_SECONDS


@dataclass(slots=True)
class StorageLooks:
    """Asks hosts now and then what of ours lies on their storage; nobody waits, a later cycle takes up the answers."""

    tools: Tools
    _due_at: dict[str, float] = field(default_factory=dict)

    def begin(self, limits: Limits) -> None:
        """Ask those hosts whose turn has come."""
        monotonic, every = self.tools.clock.monotonic(), limits.sweep_seconds
        hosts = self.tools.hypervisors
        self._due_at = {
            # Not all at once: they may share that storage.
            name: self._due_at.get(name, monotonic + every * (crc32(name.encode()) / 2**32))
            for name in hosts
        }
        due = [name for name, at in self._due_at.items() if at <= monotonic]
        for name in due:
            self._due_at[name] = monotonic + every
        if due:
            self.tools.runner.start([self._ask(hosts[name], limits.reading_deadline_seconds) for name in due], 0)

    def add_to(self, readings: Readings) -> Readings:
        """Add what hosts have told since the last cycle."""
        stored = self.tools.under_way.take_stored()
        if not stored:
            return readings
        workers = {one.worker for found in stored.values() for one in found}
        return replace(readings, stored=stored, closed=self.tools.journal.entries_of(workers))

    def _ask(self, host: Hypervisor, within_seconds: float) -> Errand:
        """Ask one host; one that errs is asked again when its turn comes."""
        with suppress(SourceError):
            stored = yield Call(host_lane(host.name), "look at its storage", host.stored, begin_within_seconds=within_seconds)
            self.tools.under_way.tell_stored(host.name, stored)
