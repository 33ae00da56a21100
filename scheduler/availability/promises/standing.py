"""Where a promise stands: its verdict, what is left of its error budget, and which alerts fire."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.availability.history import Measure, Objective, ObjectiveVerdict, Status, Window
from scheduler.availability.measuring import accounting
from scheduler.availability.promises.budget import Budget, Recovery, budget, recovery
from scheduler.availability.promises.burn_rate import Alert, Burn, burns
from scheduler.availability.timelines import windows
from scheduler.availability.timelines.axis import END, lived
from scheduler.availability.timelines.prepared import Prepared, timeline_of
from scheduler.availability.timelines.timeline import CODE
from scheduler.model.instants import Duration


@dataclass(frozen=True, slots=True)
class ObjectiveStanding:
    """One promise as it stands now."""

    objective: Objective
    window: Window
    measure: Measure
    verdict: ObjectiveVerdict
    budget: Budget
    ahead: Duration
    """What of the window is still to come, in the periods in which it applies."""
    recovery: Recovery | None
    """Over the outages of the last ninety days that ended."""
    burns: tuple[Burn, ...]


def stand(prepared: Prepared, objective: Objective, alerts: tuple[Alert, ...] = ()) -> ObjectiveStanding:
    """Say where a promise stands."""
    history = prepared.history
    zone = objective.zone or history.zone
    window = windows.named(objective.window, history.now, zone)
    found, verdict = accounting.judge(prepared, objective)
    still, recent = ahead(objective, window, zone), windows.named("90d", history.now, zone)
    measured = recovery(outages(prepared, objective.object, recent))

    def measuring(wanted: Window) -> Measure:
        return accounting.tabulate(prepared, wanted, objective.profile, objective.applies).of(objective.object)

    return ObjectiveStanding(
        objective,
        window,
        found,
        verdict,
        budget(found, objective.target, still, measured),
        still,
        measured,
        burns(alerts, objective.target, history.now, measuring),
    )


def ahead(objective: Objective, window: Window, zone: str) -> Duration:
    """Return how long a window of the calendar still goes on, in the periods in which the objective applies."""
    end = windows.period_end(objective.window, window.end, zone)
    if end is None:
        return 0
    if objective.applies is None:
        return end - window.end
    edge, total = window.end, 0
    for span in sorted(objective.applies, key=lambda one: one.start):
        start, stop = max(span.start, edge), end if span.end is None else min(span.end, end)
        if start < stop:
            total, edge = total + stop - start, stop
    return total


def outages(prepared: Prepared, name: str, window: Window) -> list[Duration]:
    """Return how long each outage took that began in a window and was followed by the object being up."""
    timeline = timeline_of(prepared, name)
    codes = timeline.states & CODE
    edges = np.flatnonzero(np.diff(codes, prepend=-1))
    starts, kinds = timeline.starts[edges], codes[edges]
    ends = np.append(starts[1:], END)
    after = np.append(kinds[1:], -1)
    ended = (kinds == Status.CRITICAL) & (after >= Status.OK) & (after <= Status.WARNING) & (ends <= prepared.axis.now)
    begun = np.zeros(len(starts), bool)
    for start, end in lived(prepared.axis, window.start, window.end):
        begun |= (starts >= start) & (starts < end)
    return [int(length) for length in (ends - starts)[ended & begun]]
