"""Where a promise stands: its verdict, its error budget - what it allows, what is left for how many failovers -, its alerts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from scheduler.availability.history import Measure, Objective, ObjectiveVerdict, Status, Window
from scheduler.availability.measuring import accounting
from scheduler.availability.promises.burn_rate import Alert, Burn, burns
from scheduler.availability.timelines import windows
from scheduler.availability.timelines.axis import END, lived
from scheduler.availability.timelines.prepared import Prepared, timeline_of
from scheduler.availability.timelines.timeline import CODE
from scheduler.model.instants import Duration


@dataclass(frozen=True, slots=True)
class Side:
    """The two lengths of a figure: `(counted - bad) / counted`."""

    counted: Duration
    bad: Duration


@dataclass(frozen=True, slots=True)
class Parts:
    """A measure as its profile counts it."""

    known: Side
    """What the figure is of."""
    worst: Side
    """If all unknown time had been bad."""
    best: Side
    """If all unknown time had been up."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long it took to come back, over the outages that ended."""

    outages: int
    mean: Fraction
    """In microseconds."""
    longest: Duration


@dataclass(frozen=True, slots=True)
class Budget:
    """Exact microseconds, as fractions; negative when overdrawn."""

    allowed: Fraction
    """Bad time that the objective allows in its window, what of that is still to come included."""
    spent: Duration
    left: Fraction
    """If what was not measured is left out."""
    left_at_least: Fraction
    """If all unknown time was bad."""
    left_at_most: Fraction
    """If all unknown time was up."""
    failovers: int | None
    """How many more recoveries of mean length fit into what is left; None: none was measured."""
    failovers_at_least: int | None
    """The same if all unknown time was bad and every recovery took as long as the longest."""


def parts(measure: Measure) -> Parts:
    """Return the lengths behind a measure's figure, and behind its lowest and highest one."""
    total, unknown = measure.total, measure.unknown
    if measure.profile == "excuse":
        counted, whole = total - unknown - measure.excused, total - measure.excused
    elif measure.profile == "argo":
        counted, whole = total - unknown, total
    elif measure.profile == "skip":
        counted, whole = measure.up + measure.bad, measure.up + measure.bad + unknown
    elif measure.profile == "nagios":
        counted, whole = total - measure.missing, total
    else:
        counted, whole = total, total
    worst = _side(whole - measure.excusable, measure.lowest)
    return Parts(_side(counted, measure.figure), worst, _side(whole, measure.highest))


def _side(counted: Duration, figure: Fraction | None) -> Side:
    return Side(0, 0) if figure is None else Side(counted, counted - _length(figure * counted))


def _length(exact: Fraction) -> Duration:
    assert exact.denominator == 1, f"{exact} is no length: the figure is of something else"
    return exact.numerator


def budget(measure: Measure, target: Fraction, ahead: Duration = 0, recovery: Recovery | None = None) -> Budget:
    """Return the budget of a window that measured so much, with `ahead` of it still to come."""
    found = parts(measure)
    left, least, most = (_left(side, target, ahead) for side in (found.known, found.worst, found.best))
    return Budget(
        (1 - target) * (found.known.counted + ahead),
        found.known.bad,
        left,
        min(left, least),
        max(left, most),
        _fitting(left, recovery.mean) if recovery else None,
        _fitting(min(left, least), Fraction(recovery.longest)) if recovery else None,
    )


def _left(side: Side, target: Fraction, ahead: Duration) -> Fraction:
    return (1 - target) * (side.counted + ahead) - side.bad


def recovery(outages: Sequence[Duration]) -> Recovery | None:
    """Sum up outages that ended; None: there was none."""
    lengths = [length for length in outages if length > 0]
    return Recovery(len(lengths), Fraction(sum(lengths), len(lengths)), max(lengths)) if lengths else None


def _fitting(left: Fraction, length: Fraction) -> int:
    return max(0, left // length)


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
