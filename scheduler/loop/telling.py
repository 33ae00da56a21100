"""Telling of statuses: what every object is at a look, what others report on and report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scheduler.journal.statuses import correct, declare, push
from scheduler.loop.errands import Tools
from scheduler.observe.statuses import LastLook, look, looked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scheduler.journal.records import Declared, Memo, Push, Said
    from scheduler.loop.events import HostDomain
    from scheduler.model.actions import Plan
    from scheduler.model.observation import Observation
    from scheduler.model.policy import Policy
    from scheduler.model.ports import DomainEvent


@dataclass(slots=True)
class StatusTeller:
    """Remembers the last look, and what the journal was told of others."""

    tools: Tools
    last: LastLook | None = None
    _declared: object = None

    @property
    def said(self) -> Mapping[str, Said]:
        """What the last look said of every object."""
        return self.last.said if self.last else {}

    @property
    def looked_at(self) -> float | None:
        """When the last look was."""
        return self.last.at if self.last else None

    def take_up(self, declared: tuple[Declared, ...] | None) -> None:
        """Tell the journal what others report on, when that changed or another daemon may have told otherwise; correct it."""
        tools, told = self.tools, (self.tools.journal.epoch, declared)
        if declared is not None and told != self._declared:
            declare(tools.journal, tools.lease.owner, tools.clock.now(), declared)
            self._declared = told
        correct(tools.journal, tools.lease.owner, tools.clock.now())

    def report(self, pushed: Push) -> str:
        """Keep a status that somebody outside reports."""
        clock = self.tools.clock
        return push(self.tools.journal, self.tools.lease.owner, clock.now(), clock.monotonic(), pushed)

    def look_at(self, observation: Observation, policy: Policy, plan: Plan, told: Mapping[HostDomain, DomainEvent]) -> LastLook:
        """Say what everything is at this look, with the look's instant on both clocks; `told` by events of the hosts."""
        clock = self.tools.clock
        monotonic = clock.monotonic() - (clock.now() - observation.now)
        return looked(observation, policy, plan, self.last, monotonic=monotonic, told=told)

    def added(self, memo: Memo, now: LastLook, stale_seconds: float) -> Memo:
        """Return what is to be remembered with the look added."""
        watched = self.tools.journal.watch is not None
        return replace(memo, look=look(self.last, now, stale_seconds=stale_seconds, watched=watched))
