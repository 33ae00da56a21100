"""What became of the promise to answer: the verdict of each incident, and the response report by week or month."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from statistics import median

from scheduler.model.instants import Duration, Instant, as_time, instant_of
from scheduler.oncall.follow import clock_began
from scheduler.oncall.incident import CallEnd, Incident, ResponseDue


class Response(StrEnum):
    """The verdict of an incident."""

    MET = "met"
    """Acknowledged (or resolved by a person) at or before the deadline."""
    BREACHED = "breached"
    """The deadline passed with no answer, whatever came later."""
    SELF_HEALED = "self-healed"
    """Over at or before the deadline without an answer: neither met nor breached."""
    PENDING = "pending"
    """Not answered yet, and the deadline has not passed."""
    NONE = "none"
    """Nobody was called: it was quiet in a downtime."""


def of_call(call: ResponseDue, now: Instant) -> Response:
    """Judge one call as of `now`."""
    if call.end is None or call.ended_at is None:
        return Response.PENDING if now <= call.deadline else Response.BREACHED
    if call.ended_at > call.deadline:
        return Response.BREACHED
    return Response.SELF_HEALED if call.end is CallEnd.SELF_HEALED else Response.MET


def of_incident(incident: Incident, now: Instant) -> Response:
    """Judge an incident as of `now`: one breached call breaches it; self-healed only when nobody ever had to answer."""
    verdicts = {of_call(call, now) for call in incident.calls}
    order = (Response.BREACHED, Response.PENDING, Response.MET, Response.SELF_HEALED)
    return next((verdict for verdict in order if verdict in verdicts), Response.NONE)


def answers(incident: Incident) -> list[tuple[str, Duration]]:
    """Return who answered each call, and how long after its clock began."""
    found: list[tuple[str, Duration]] = []
    for index, call in enumerate(incident.calls):
        if call.ended_at is not None and call.end in {CallEnd.ACKNOWLEDGED, CallEnd.RESOLVED}:
            found.append((call.by, call.ended_at - clock_began(incident.calls[: index + 1])))
    return found


@dataclass(frozen=True, slots=True)
class Period:
    """One week, month or the whole of a response report. An incident belongs where it opened."""

    name: str
    start: Instant
    end: Instant
    incidents: int
    met: int
    breached: int
    self_healed: int
    pending: int
    reopened: int
    """Incidents that came back at least once."""
    pages: int
    acknowledged: int
    """Calls that a person answered, in time or not."""
    median: Fraction | None
    """Median time to acknowledge, in microseconds; None: nothing was acknowledged."""
    longest: Duration | None
    by_person: Mapping[str, int]
    """Who answered how many calls."""

    @property
    def share_met(self) -> Fraction | None:
        """Met of all that were met or breached; self-healed and pending ones are left out. None: there were none."""
        judged = self.met + self.breached
        return Fraction(self.met, judged) if judged else None


class Cut(StrEnum):
    """How a response report is cut."""

    WEEK = "week"
    """From Monday 00:00 local."""
    MONTH = "month"
    ALL = "all"


def report(incidents: Iterable[Incident], cut: Cut, zone: str, now: Instant) -> tuple[Period, ...]:
    """Return the periods in which incidents opened, the oldest first; empty periods between them are shown too."""
    opened = sorted((one for one in incidents if one.opened_at is not None), key=lambda one: (one.opened_at, one.number))
    if not opened or opened[0].opened_at is None:
        return ()
    if cut is Cut.ALL:
        return (_period("all", opened[0].opened_at, now, opened, now),)
    periods: list[Period] = []
    local, last = _begin(as_time(opened[0].opened_at, zone), cut), opened[-1].opened_at or 0
    while (start := instant_of(local, zone)) <= last:
        try:
            following = _next(local, cut)
            end = instant_of(following, zone)
        except OverflowError:  # the last period of the calendar
            following, end = local, last + 1
        within = [one for one in opened if one.opened_at is not None and start <= one.opened_at < end]
        name = f"{local:%Y-%m}" if cut is Cut.MONTH else f"{local:%G-W%V}"
        periods.append(_period(name, start, min(end, now), within, now))
        if following == local:
            break
        local = following
    return tuple(periods)


def _begin(local: datetime, cut: Cut) -> datetime:
    day = datetime(local.year, local.month, local.day)  # noqa: DTZ001 - wall-clock time; the zone is applied by instant_of
    return day.replace(day=1) if cut is Cut.MONTH else day - timedelta(days=day.weekday())


def _next(local: datetime, cut: Cut) -> datetime:
    return (local + timedelta(days=32)).replace(day=1) if cut is Cut.MONTH else local + timedelta(days=7)


def _period(name: str, start: Instant, end: Instant, incidents: list[Incident], now: Instant) -> Period:
    verdicts = Counter(of_incident(one, now) for one in incidents)
    answered = [answer for one in incidents for answer in answers(one)]
    times = sorted(duration for _, duration in answered)
    return Period(
        name=name,
        start=start,
        end=end,
        incidents=len(incidents),
        met=verdicts[Response.MET],
        breached=verdicts[Response.BREACHED],
        self_healed=verdicts[Response.SELF_HEALED],
        pending=verdicts[Response.PENDING],
        reopened=sum(len(one.calls) > 1 for one in incidents),
        pages=sum(len(one.pages) for one in incidents),
        acknowledged=len(answered),
        median=median(map(Fraction, times)) if times else None,
        longest=times[-1] if times else None,
        by_person=dict(sorted(Counter(person for person, _ in answered).items())),
    )
