"""The answer of `ambienti oncall simulate` as plain data: its form is published as a JSON Schema."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from typing import TYPE_CHECKING

from environments.environment import Frozen
from scheduler.model.instants import Instant, in_seconds, write_instant
from scheduler.oncall import response

if TYPE_CHECKING:
    from scheduler.oncall.incident import Incident, OncallDecision, Page, ResponseDue
    from scheduler.oncall.story import Story

Number = int | float
"""Seconds, exact to the microsecond."""


class CallView(Frozen):
    """A person was called for."""

    at: str
    """The opening, or a reopening."""
    deadline: str
    """Acknowledged at or before this instant: met."""
    ended: str | None
    """When it was acknowledged, resolved or over by itself."""
    how: str | None
    """acknowledged, resolved, self-healed; null: it still waits."""
    by: str
    """Who answered."""
    after_seconds: Number | None
    """Elapsed time from `at` to `ended`."""
    verdict: response.Response
    """met, breached, self-healed, pending."""


class PageView(Frozen):
    """One person was told."""

    at: str
    person: str
    level: int
    """Level of the escalation, from 1."""
    round: int
    """How often the escalation began anew, from 1."""
    because: str
    """Why this person: shift, swap, override, named."""
    key: str
    """The same on every retry of its delivery."""


class IncidentView(Frozen):
    """One cause that made objects bad."""

    number: int
    cause: str
    objects: tuple[str, ...]
    """All that were bad of it."""
    still_bad: tuple[str, ...]
    opened_by: str
    """The person who said that it is bad; "": a status did."""
    state: str
    """quiet, open, acknowledged, resolved, self-healed, reopened, dismissed."""
    verdict: response.Response
    response_class: str | None
    """business hours or other hours: fixed at opening. null: it never opened."""
    bad_since: str
    opened: str | None
    """Later than `bad_since` when a downtime kept it quiet."""
    closed: str | None
    calls: tuple[CallView, ...]
    pages: tuple[PageView, ...]


class DecisionView(Frozen):
    """One line of the story."""

    at: str
    incident: int
    """0: none."""
    kind: str
    """opened, paged, held, joined... (`ignored`: it changed nothing)."""
    person: str
    sentence: str
    """What was decided, and why."""


class PeriodView(Frozen):
    """A line of the response report; an incident belongs where it opened."""

    name: str
    """2026-W10, 2026-03 or all."""
    start: str
    end: str
    incidents: int
    met: int
    breached: int
    self_healed: int
    pending: int
    met_share: str | None
    """Met of met and breached, as an exact fraction; null: there were none."""
    reopened: int
    pages: int
    acknowledged: int
    """Calls that a person answered, in time or not."""
    median_seconds: Number | None
    """Median time to acknowledge."""
    longest_seconds: Number | None
    by_person: dict[str, int]
    """Who answered how many calls."""


class StoryView(Frozen):
    """The answer of `ambienti oncall simulate --json`."""

    now: str
    zone: str
    incidents: tuple[IncidentView, ...]
    decisions: tuple[DecisionView, ...]
    """Everything that was decided, in order: who was paged when and why, and why not."""
    response: tuple[PeriodView, ...]
    """The whole, then each month, then each week."""


def story_view(story: Story, zone: str) -> StoryView:
    """Return a story as it is printed."""
    return StoryView(
        now=write_instant(story.now, zone),
        zone=zone,
        incidents=tuple(incident_view(incident, zone, story.now) for incident in story.incidents),
        decisions=tuple(_decision(decision, zone) for decision in story.decisions),
        response=tuple(
            period_view(period, zone) for cut in _CUTS for period in response.report(story.incidents, cut, zone, story.now)
        ),
    )


_CUTS = (response.Cut.ALL, response.Cut.MONTH, response.Cut.WEEK)


def incident_view(incident: Incident, zone: str, now: Instant) -> IncidentView:
    """Return one incident as it is printed."""
    return IncidentView(
        number=incident.number,
        cause=incident.cause,
        objects=incident.objects,
        still_bad=incident.bad,
        opened_by=incident.opened_by,
        state=incident.state.value,
        verdict=response.of_incident(incident, now),
        response_class=incident.response_class.value if incident.response_class else None,
        bad_since=write_instant(incident.bad_since, zone),
        opened=_written(incident.opened_at, zone),
        closed=_written(incident.closed_at, zone),
        calls=tuple(_call(call, zone, now) for call in incident.calls),
        pages=tuple(_page(page, zone) for page in incident.pages),
    )


def _call(call: ResponseDue, zone: str, now: Instant) -> CallView:
    return CallView(
        at=write_instant(call.at, zone),
        deadline=write_instant(call.deadline, zone),
        ended=_written(call.ended_at, zone),
        how=call.end.value if call.end else None,
        by=call.by,
        after_seconds=None if call.ended_at is None else _seconds(call.ended_at - call.at),
        verdict=response.of_call(call, now),
    )


def _page(page: Page, zone: str) -> PageView:
    return PageView(**asdict(page) | {"at": write_instant(page.at, zone)})


def _decision(decision: OncallDecision, zone: str) -> DecisionView:
    return DecisionView(
        at=write_instant(decision.at, zone),
        incident=decision.incident,
        kind=decision.kind.value,
        person=decision.person,
        sentence=decision.sentence,
    )


def period_view(period: response.Period, zone: str) -> PeriodView:
    """Return a line of the response report as it is printed."""
    same = {key: value for key, value in asdict(period).items() if key in PeriodView.model_fields}
    return PeriodView(
        **same | {"start": write_instant(period.start, zone), "end": write_instant(period.end, zone)},
        met_share=None if period.share_met is None else str(period.share_met),
        median_seconds=None if period.median is None else _seconds(period.median),
        longest_seconds=None if period.longest is None else _seconds(period.longest),
    )


def _written(instant: Instant | None, zone: str) -> str | None:
    return None if instant is None else write_instant(instant, zone)


def _seconds(microseconds: int | Fraction) -> Number:
    exact = in_seconds(microseconds)
    return int(exact) if exact == int(exact) else exact
