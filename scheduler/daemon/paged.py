"""Incidents and notices as gauges: who watches the watchman is told when nobody answers, or nothing gets through."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import structlog
from prometheus_client.registry import Collector

from scheduler.daemon.metrics import gauge
from scheduler.journal import outbox
from scheduler.journal.incidents import all_incidents
from scheduler.journal.journal import JournalError
from scheduler.model.instants import in_seconds, micro
from scheduler.oncall.hours import ResponseClass
from scheduler.oncall.response import Response, of_incident
from scheduler.oncall.states import OVER, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.core import GaugeMetricFamily

    from scheduler.journal.reading import JournalReader

NAMES = ("ambienti_incidents", "ambienti_incidents_breached", "ambienti_notices", "ambienti_notice_wait_seconds")
NO_CLASS = "none"
"""Of an incident that is quiet: its class is fixed when it opens."""


class Paged(Collector):
    """Gauges of the incidents that are not over and of the outbox, read from the journal when they are asked for."""

    def __init__(self, journal: JournalReader, now: Callable[[], float]) -> None:
        """Prepare; the journal is read from the server's threads."""
        self._journal = journal
        self._now = now

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name the gauges without reading anything."""
        return [gauge(name, ()) for name in NAMES]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the gauges; none while the journal cannot be read."""
        try:
            return list(self._gauges(micro(self._now())))
        except JournalError as error:
            structlog.get_logger("ambienti").error("incidents", problem=str(error))
            return []

    def _gauges(self, now: int) -> Iterator[GaugeMetricFamily]:
        standing = all_incidents(self._journal, standing=True)
        waiting = [state for state in State if state not in OVER and state is not State.QUIET]
        count = Counter({(state.value, kind.value): 0 for state in waiting for kind in ResponseClass})
        count[State.QUIET.value, NO_CLASS] = 0
        count.update((one.state.value, one.response_class.value if one.response_class else NO_CLASS) for one in standing)
        yield gauge("ambienti_incidents", count.items())
        yield gauge("ambienti_incidents_breached", [((), sum(of_incident(one, now) is Response.BREACHED for one in standing))])
        told = outbox.waiting(self._journal, now)
        yield gauge("ambienti_notices", told.count.items())
        yield gauge("ambienti_notice_wait_seconds", [((), in_seconds(told.longest))])
