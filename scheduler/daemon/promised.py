"""Availability and objectives as gauges. They are measured when somebody asks, at most once a minute."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from environments.problems import ConfigurationError
from scheduler.availability.history import ObjectiveVerdict
from scheduler.availability.measuring.accounting import measure
from scheduler.availability.promises.standing import stand
from scheduler.availability.reports.report_data import table_windows
from scheduler.daemon.metrics import METRICS
from scheduler.journal.journal import JournalError
from scheduler.model.instants import in_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from scheduler.availability.timelines.prepared import Prepared

KEEP_SECONDS = 60.0
PROFILE = "excuse"
_BY_NAME = {metric.name: metric for metric in METRICS}


class Promised(Collector):
    """Gauges of groups and of what something is promised of: labels stay few, whatever the number of hosts."""

    def __init__(self, load: Callable[[], Prepared], monotonic: Callable[[], float]) -> None:
        """Prepare; `load` reads the journal and may be called from the server's threads."""
        self._load = load
        self._monotonic = monotonic
        self._turn = threading.Lock()
        self._made: list[GaugeMetricFamily] = []
        self._made_at = float("-inf")

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name the gauges without measuring anything."""
        return [_family(name) for name in _BY_NAME if name.startswith(("ambienti_availability", "ambienti_objective"))]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the gauges, measured within the last minute; none while the journal or a file cannot be read."""
        with self._turn:
            if self._monotonic() - self._made_at >= KEEP_SECONDS:
                try:
                    self._made = list(gauges(self._load()))
                except (JournalError, ConfigurationError) as error:
                    structlog.get_logger("ambienti").error("availability", problem=str(error))
                    self._made = []
                self._made_at = self._monotonic()
            return self._made


def gauges(prepared: Prepared) -> Iterator[GaugeMetricFamily]:
    """Measure the table's windows of groups and promised objects, and where each objective stands."""
    history = prepared.history
    shown = dict.fromkeys([*(group.name for group in history.groups), *(one.object for one in history.objectives)])
    ratio = _family("ambienti_availability_ratio")
    for window in table_windows(history):
        measures = measure(prepared, window, PROFILE)
        for name in shown:
            if (figure := measures[name].figure) is not None:
                ratio.add_metric((name, window.name), float(figure))
    yield ratio
    verdict, left = _family("ambienti_objective_verdict"), _family("ambienti_objective_budget_left_seconds")
    for one in (stand(prepared, objective) for objective in history.objectives):
        for said in ObjectiveVerdict:
            verdict.add_metric((one.objective.name, said.value), float(one.verdict is said))
        if one.verdict is not ObjectiveVerdict.NOT_APPLICABLE:
            left.add_metric((one.objective.name,), in_seconds(one.budget.left))
    yield verdict
    yield left


def _family(name: str) -> GaugeMetricFamily:
    described = _BY_NAME[name]
    return GaugeMetricFamily(name, described.meaning, labels=described.labels)
