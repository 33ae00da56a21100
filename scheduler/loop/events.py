"""Events of the hosts: queued from the threads that tell them, followed at once, and kept until a look has dated by them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scheduler.journal.records import Memo, Note
from scheduler.loop.errands import Tools, batch_lane, host_lane
from scheduler.loop.runner import unexpected
from scheduler.model.ports import DomainEvent, EventKind, Hypervisor, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENT_SECONDS = 2.0
"""So long may the look at one domain take that an event tells of; the next cycle looks at it anyway."""
MIGRATED_SECONDS = 120.0
"""For so long after a migration another host may still answer with what it was asked before."""
Wake = Callable[[DomainEvent], None]
HostDomain = tuple[str, str]
"""A host and a domain of it; "" for the host itself."""


@dataclass(slots=True)
class HostEvents:
    """Holds what the hosts have told; `attend` may be called from any thread."""

    tools: Tools
    _queued: deque[DomainEvent] = field(default_factory=deque)
    _newest: dict[HostDomain, DomainEvent] = field(default_factory=dict)
    """What was told last of each host, and the ends that were found true."""
    _watched: dict[str, Hypervisor] = field(default_factory=dict)
    _wake: Wake | None = None
    _departed: dict[str, float] = field(default_factory=dict)
    """Worker -> when, on the monotonic clock, its host told that it migrated."""

    def watch(self, wake: Wake) -> None:
        """Listen to all hosts; `wake` is called from their threads, after the event was queued."""
        self._wake = wake
        self.connect()

    def connect(self) -> None:
        """Listen to the hosts that are connected now, once somebody wants to be woken."""
        hosts, wake = self.tools.hypervisors, self._wake
        self._watched = {name: one for name, one in self._watched.items() if name in hosts}
        if wake is None:
            return

        def tell(event: DomainEvent) -> None:
            self._queued.append(event)
            wake(event)

        for name, hypervisor in hosts.items():
            if self._watched.get(name) is not hypervisor:
                self._watched[name] = hypervisor
                try:
                    hypervisor.watch(tell)
                except Exception as error:  # noqa: BLE001 - its events are missed; every cycle looks at it all the same
                    unexpected(name, "listen to its events", error)

    def attend(self, looked_at: float | None, *, leading: bool) -> list[str]:
        """Follow what has come; return the workers that ended by themselves.

        An event alone proves nothing: the domain is read again first. `looked_at`: when the last look was, before which no
        event is dated.
        """
        ended = []
        while self._queued:
            event = self._queued.popleft()
            if not event.domain:
                self._newest[event.host, ""] = event
            elif event.what is EventKind.MIGRATED:
                self._departed[event.domain] = self.tools.clock.monotonic()
            elif event.what.is_end and leading and self._attend_end(event, looked_at):
                self._newest[event.host, event.domain] = event
                ended.append(event.domain)
        return ended

    def since(self, looked_at: float | None) -> Mapping[HostDomain, DomainEvent]:
        """Return what dates a look: the newest word of each host, and the ends since the look before."""
        for key, event in list(self._newest.items()):
            if event.domain and looked_at is not None and event.at <= looked_at:
                del self._newest[key]
        return dict(self._newest)

    def departed(self) -> frozenset[str]:
        """Return the workers that migrated so lately that the host where they are may have been asked before."""
        now = self.tools.clock.monotonic()
        self._departed = {name: at for name, at in self._departed.items() if now - at < MIGRATED_SECONDS}
        return frozenset(self._departed)

    def _attend_end(self, event: DomainEvent, looked_at: float | None) -> bool:
        """Invalidate the ads of a worker whose domain really ended."""
        tools = self.tools
        entry = tools.journal.ledger().entries.get(event.domain)
        hypervisor = tools.hypervisors.get(event.host)
        if entry is None or hypervisor is None or entry.host != event.host:
            return False
        lane, name = host_lane(event.host), entry.name
        try:
            found = tools.runner.call(lane, f"look at {name}", lambda: hypervisor.domain(name), EVENT_SECONDS)
            if (found is not None and found.state.alive) or tools.under_way.explained([name]):
                return False
            now = tools.clock.now()
            at = min(now, event.at if looked_at is None else max(event.at, looked_at))
            detail = {"host": event.host, "detail": event.detail}
            note = Note("domain", name, event.what.value, detail=detail, at=at)
            tools.journal.remember(tools.lease.owner, now, Memo(notes=(note,)))
            tools.under_way.explain(name)
            batch_system = tools.batch_systems.get(entry.batch_system)
            if batch_system is not None:
                lane = batch_lane(batch_system.name)
                tools.runner.call(lane, f"forget {name}", lambda: batch_system.forget(name), EVENT_SECONDS)
        except SourceError:
            # The next cycle reads the host again and orders the clean-up, which forgets the worker too.
            return False
        return True
