"""Asking all batch systems and hosts, side by side: one that is slow keeps the others waiting for a moment only.

Rules:
1. A source that has never answered is given its whole deadline: without it little can be decided.
2. One that has is waited for a little longer than it takes as a rule. If it has not answered by then, or could not be asked
   because of an act on it, it is *pending*: nothing is decided about it, what was known stands, its answer counts next time.
3. Only when its deadline has passed does it count as silent, from when it was first asked. One that could not be asked
   because an act of ours takes longer than that has not been silent: nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from scheduler.loop.errands import Tools, batch_lane, host_lane
from scheduler.loop.runner import Answered, Call
from scheduler.model.actions import Boot
from scheduler.model.hosts import HostReading
from scheduler.model.queues import QueueReading
from scheduler.model.readings import Unanswered
from scheduler.observe.merge import Readings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from scheduler.model.hosts import DiscoveryReading
    from scheduler.model.policy import Policy
    from scheduler.model.ports import BatchSystem

R = TypeVar("R", QueueReading, HostReading)
T = TypeVar("T")
SILENT_PATIENCE_SECONDS = 1.0
"""For a source that has never answered, and did not at the last look either."""
SHORTEST_PATIENCE_SECONDS = 0.5
LONGEST_PATIENCE_SECONDS = 2.0
TIMES_USUAL = 3.0
"""So many times as long as it took last is a source waited for, within these bounds."""


@dataclass(slots=True)
class Asking:
    """Asks, and remembers how long each source takes and since when it owes an answer."""

    tools: Tools
    usual: dict[str, float] = field(default_factory=dict)
    """By lane: seconds of its last answer. Who is not in it has never answered."""
    owing: dict[str, float] = field(default_factory=dict)
    """By lane: monotonic time since which it has been asked without an answer."""

    def all(self, policy: Policy, discoveries: Mapping[str, DiscoveryReading], *, cheap: bool) -> Readings:
        """Ask all batch systems and hosts."""
        tools, hosts = self.tools, self.tools.hypervisors
        busy = tools.under_way.busy()
        calls = self._queue_calls(policy, tools.batch_systems, cheap=cheap)
        calls |= {host_lane(name): self._call(host_lane(name), "read", host.read, len(hosts)) for name, host in hosts.items()}
        told = self._ask(calls, policy)
        now = tools.clock.now()
        return Readings(
            now=now,
            monotonic=tools.clock.monotonic(),
            queues={name: _reading(QueueReading, name, told[batch_lane(name)], now) for name in tools.batch_systems},
            discoveries=discoveries,
            hosts={name: _reading(HostReading, name, told[host_lane(name)], now) for name in hosts},
            acted_on=frozenset(busy),
            being_booted=frozenset(worker for worker, action in busy.items() if isinstance(action, Boot)),
        )

    def exactly(self, readings: Readings, policy: Policy, systems: AbstractSet[str]) -> Readings:
        """Ask some batch systems again: nothing of theirs is drained or ended on carried-over counts."""
        asked = {name: system for name, system in self.tools.batch_systems.items() if name in systems}
        told = self._ask(self._queue_calls(policy, asked, cheap=False), policy)
        now, queues = self.tools.clock.now(), dict(readings.queues)
        for name in asked:
            queues[name] = _with_ended(queues[name], _reading(QueueReading, name, told[batch_lane(name)], now))
        return replace(readings, now=now, queues=queues)

    def _queue_calls(self, policy: Policy, systems: Mapping[str, BatchSystem], *, cheap: bool) -> dict[str, Call]:
        environments = tuple(policy.catalogue.environments.values())
        asked, alike = ("read", len(self.tools.batch_systems)) if cheap else ("read exactly", 1)
        return {
            batch_lane(name): self._call(batch_lane(name), asked, partial(system.read, environments, cheap=cheap), alike)
            for name, system in systems.items()
        }

    def _call(self, lane: str, asked: str, function: Callable[[], T], alike: int) -> Call:
        return Call(lane, asked, partial(self._timed, lane, function), self._patience(lane, alike))

    def _timed(self, lane: str, function: Callable[[], T]) -> T:
        begun_at = self.tools.clock.monotonic()
        answer = function()
        self.usual[lane] = self.tools.clock.monotonic() - begun_at
        return answer

    def _patience(self, lane: str, alike: int) -> float | None:
        """Say how long a source is waited for; the only one of its kind keeps nobody waiting who could be served without it."""
        if lane not in self.usual:
            return SILENT_PATIENCE_SECONDS if lane in self.owing else None
        if alike == 1 and lane not in self.owing:
            return None
        return min(LONGEST_PATIENCE_SECONDS, max(SHORTEST_PATIENCE_SECONDS, TIMES_USUAL * self.usual[lane]))

    def _ask(self, calls: Mapping[str, Call], policy: Policy) -> dict[str, object]:
        """Return what each lane's source answered, or that it did not: the one place where an error becomes a value."""
        clock, seconds = self.tools.clock, policy.limits.reading_deadline_seconds
        asked_at = clock.monotonic()
        told: dict[str, object] = {}
        for lane, end in zip(calls, self.tools.runner.run(list(calls.values()), seconds), strict=True):
            if isinstance(end, Answered):
                self.owing.pop(lane, None)
                told[lane] = end.value
                continue
            owes = clock.monotonic() - self.owing.setdefault(lane, asked_at)
            told[lane] = Unanswered(
                lane,
                f"{end.error.asked}: {end.error.answer}",
                clock.now() - owes,
                asked=end.begun or (end.hangs and not end.acting),
                pending=(end.under_way or not end.begun) and lane in self.usual and owes < seconds,
            )
        return told


def _reading(kind: type[R], name: str, told: object, now: float) -> R | Unanswered:
    if isinstance(told, Unanswered):
        return replace(told, source=name)
    if not isinstance(told, kind):
        return Unanswered(name, f"read: answered with {type(told).__name__} instead of {kind.__name__}", now)
    return told


def _with_ended(first: QueueReading | Unanswered, second: QueueReading | Unanswered) -> QueueReading | Unanswered:
    """Return the second reading with the ended and held jobs of the first one too: each may be told once."""
    if isinstance(first, QueueReading) and isinstance(second, QueueReading):
        holds = None if first.holds is None or second.holds is None else tuple(dict.fromkeys((*first.holds, *second.holds)))
        return replace(second, ended=(*first.ended, *second.ended), holds=holds)
    return second
