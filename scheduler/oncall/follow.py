"""Following a change: what it makes of the incidents, who is paged and who is not, and why. Pure.

One cause is one incident and one page. The class of its deadline is fixed at opening, and its clock runs until somebody
answers: what heals unanswered and comes back has the same deadline, and its escalation goes on. Inside an agreed downtime
nobody is paged; what is still bad when the downtime ends opens then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scheduler.model.instants import SECOND, Duration, Instant, as_time
from scheduler.oncall.incident import (
    Book,
    CallEnd,
    DecisionKind,
    Incident,
    IncidentEvent,
    OncallDecision,
    Page,
    ResponseDue,
    Rules,
    What,
)
from scheduler.oncall.states import OVER, WAITING, State, allowed


@dataclass(frozen=True, slots=True)
class FollowResult:
    """What came of one change."""

    book: Book
    changed: tuple[Incident, ...] = ()
    """Incidents as they stand now, in the order of their numbers; to be kept."""
    decisions: tuple[OncallDecision, ...] = ()


Told = tuple[Incident, list[OncallDecision]]


def follow(book: Book, change: IncidentEvent, rules: Rules) -> FollowResult:
    """Take one change into the book. Nothing runs backwards: a change older than the last look counts as of then."""
    at = max(change.at, book.at)
    change = replace(change, at=at)
    # What is over for too long is left out first: the story must not depend on when the clock was looked at before.
    book = remembered(book, at, rules)
    told: list[Told] = []
    decisions: list[OncallDecision] = []
    if change.what is What.BAD:
        told.append(_bad(book, change, rules))
    elif change.what is What.TICK:
        told += [_tick(incident, at, rules) for incident in book.incidents]
    else:
        told, decisions = _answered(book, change, rules)
    before = {incident.number: incident for incident in book.incidents}
    changed = tuple(incident for incident, _ in told if incident != before.get(incident.number))
    decisions += [decision for _, lines in told for decision in lines]
    for incident in changed:
        _assert_step(before.get(incident.number), incident)
    kept = before | {incident.number: incident for incident in changed}
    number = max([book.next_number, *(number + 1 for number in kept)])
    return FollowResult(Book(tuple(kept.values()), number, at), changed, tuple(decisions))


def remembered(book: Book, at: Instant, rules: Rules) -> Book:
    """Leave out what is over and can no longer be reopened at an instant."""
    return replace(book, incidents=tuple(one for one in book.incidents if not _forgotten(one, at, rules)))


def next_due(book: Book, rules: Rules) -> Instant | None:
    """Return when the book must be looked at again though nothing happens: a page is due or a downtime ends."""
    due: list[Instant] = []
    for incident in book.incidents:
        if incident.state is State.QUIET:
            due.append(_quiet_until(incident, book.at, rules))
        elif incident.state in WAITING and incident.page_at is not None:
            at = max(incident.page_at, book.at)
            due.append(_quiet_until(incident, at, rules) if incident.held else at)
    return min(due, default=None)


def clock_began(calls: tuple[ResponseDue, ...]) -> Instant:
    """Return when the clock of the last call began: with the first call since somebody last answered.

    What heals without an answer and comes back goes on by the same clock, which nothing stops.
    """
    first = calls[-1]
    for call in reversed(calls[:-1]):
        if call.end is not CallEnd.SELF_HEALED:
            break
        first = call
    return first.at


# --- what goes bad ----------------------------------------------------------------------------------------------------


def _bad(book: Book, change: IncidentEvent, rules: Rules) -> Told:
    cause = change.cause or f"object:{change.object}"
    known = [incident for incident in book.incidents if incident.cause == cause]
    going_on = next((incident for incident in known if incident.state not in OVER), None)
    if going_on is not None:
        return _join(going_on, change, rules)
    quiet = _covered((change.object,), change.at, rules)
    ended = [one for one in known if allowed(one.state, State.REOPENED)]
    if ended and not quiet:
        return _reopen(ended[-1], change, rules)
    new = Incident(
        number=book.next_number,
        cause=cause,
        state=State.QUIET,
        bad_since=change.at,
        bad=(change.object,),
        objects=(change.object,),
        text=change.text,
        opened_by=change.by,
    )
    if not quiet:
        return _open(new, change.at, rules)
    sentence = f"{change.object} is bad inside an agreed downtime: nobody is paged"
    return new, [OncallDecision(change.at, DecisionKind.QUIET, new.number, sentence)]


def _join(incident: Incident, change: IncidentEvent, rules: Rules) -> Told:
    if change.object in incident.bad:
        sentence = f"{change.object} is bad already: one cause, one page"
        return incident, [OncallDecision(change.at, DecisionKind.IGNORED, incident.number, sentence)]
    joined = _with(incident, change.object)
    if joined.state is State.QUIET and not _covered(joined.bad, change.at, rules):
        return _open(joined, change.at, rules)
    why = "inside a downtime as well" if joined.state is State.QUIET else "nobody is paged again"
    sentence = f"{change.object} is bad of the same cause: {why}"
    return joined, [OncallDecision(change.at, DecisionKind.JOINED, incident.number, sentence)]


def _with(incident: Incident, name: str) -> Incident:
    bad = incident.bad if name in incident.bad else (*incident.bad, name)
    return replace(incident, bad=bad, objects=tuple(dict.fromkeys((*incident.objects, name))))


def _open(incident: Incident, at: Instant, rules: Rules) -> Told:
    fixed = rules.promise.response_class(at)
    call = ResponseDue(at, at + rules.promise.limit(fixed))
    opened = replace(incident, state=State.OPEN, opened_at=at, response_class=fixed, calls=(call,), page_at=at)
    begun = "" if incident.bad_since == at else f", bad since {_clock(incident.bad_since, rules)}"
    sentence = f"{_names(opened.bad)} bad{begun}; {fixed}: acknowledge by {_clock(call.deadline, rules)}"
    paged, lines = _page(opened, at, rules)
    return paged, [OncallDecision(at, DecisionKind.OPENED, opened.number, sentence), *lines]


def _reopen(incident: Incident, change: IncidentEvent, rules: Rules) -> Told:
    assert incident.response_class is not None
    unanswered = incident.call.end is CallEnd.SELF_HEALED
    deadline = incident.call.deadline if unanswered else change.at + rules.promise.limit(incident.response_class)
    call = ResponseDue(change.at, deadline)
    calls = (*incident.calls, call)
    again = replace(_with(incident, change.object), state=State.REOPENED, calls=calls, closed_at=None, held=False)
    passed = "; nobody had answered, and the deadline has passed: it was" if call.deadline < change.at else ": acknowledge by"
    sentence = f"{change.object} is bad of the same cause again{passed} {_clock(call.deadline, rules)}"
    paged, lines = _page_again(again, rules) if unanswered else _page(_from_the_start(again), change.at, rules)
    return paged, [OncallDecision(change.at, DecisionKind.REOPENED, incident.number, sentence), *lines]


def _from_the_start(incident: Incident) -> Incident:
    return replace(incident, page_at=incident.call.at, level=1, round=1)


def _page_again(incident: Incident, rules: Rules) -> Told:
    """Page at once who is due by now, else who was paged last; the next level stays due when it was: nobody has answered."""
    at, due, last = incident.call.at, incident.page_at, incident.pages[-1]
    if due is None or (due <= at and incident.round > rules.repeat + 1):  # nobody was left to page
        return _page(_from_the_start(incident), at, rules)
    if due <= at:
        return _page(replace(incident, page_at=at), at, rules)
    paged, lines = _page(replace(incident, page_at=at, level=last.level, round=last.round), at, rules)
    return replace(paged, page_at=due, level=incident.level, round=incident.round), lines


# --- what time does ---------------------------------------------------------------------------------------------------


def _tick(incident: Incident, at: Instant, rules: Rules) -> Told:
    if incident.state is State.QUIET:
        return (incident, []) if _covered(incident.bad, at, rules) else _open(incident, at, rules)
    if incident.state not in WAITING or incident.page_at is None or incident.page_at > at:
        return incident, []
    if not _covered(incident.bad, at, rules):
        return _page(incident, at, rules)
    if incident.held:
        return incident, []
    sentence = f"level {incident.level} is not paged: {_names(incident.bad)} in a downtime now"
    return replace(incident, held=True), [OncallDecision(at, DecisionKind.HELD, incident.number, sentence)]


def _page(incident: Incident, at: Instant, rules: Rules) -> Told:
    """Page the person of the level that is due, and say when the next one is."""
    if incident.level > len(rules.levels):  # the escalation has become shorter since: its next round begins
        incident = replace(incident, level=1, round=incident.round + 1)
    if incident.round > rules.repeat + 1:
        times = "once" if rules.repeat == 0 else f"{rules.repeat + 1} times"
        sentence = f"all levels were paged {times} and nobody answered: nobody is left to page"
        return replace(incident, page_at=None, held=False), [
            OncallDecision(at, DecisionKind.EXHAUSTED, incident.number, sentence)
        ]
    level = rules.levels[incident.level - 1]
    duty = rules.roster.on_call(level.target, at)
    key = f"incident-{incident.number}-page-{len(incident.pages) + 1}"
    page = Page(at, duty.person, incident.level, incident.round, duty.because, key)
    last = incident.level == len(rules.levels)
    told = replace(
        incident,
        pages=(*incident.pages, page),
        page_at=at + level.wait,
        level=1 if last else incident.level + 1,
        round=incident.round + 1 if last else incident.round,
        held=False,
    )
    sentence = f"{duty.person} is paged: {level.target} of level {page.level} ({duty.because}), {_why(incident)}"
    return told, [OncallDecision(at, DecisionKind.PAGED, incident.number, sentence, duty.person, page)]


def _why(incident: Incident) -> str:
    if len(incident.calls) > 1 and incident.call.at == incident.page_at:
        return "it came back" if incident.level == incident.round == 1 else "it came back, and nobody has acknowledged it"
    after_downtime = not incident.pages and incident.opened_at is not None and incident.bad_since < incident.opened_at
    if incident.held or after_downtime:
        return "the downtime no longer covers it and it is still bad"
    return "nobody has acknowledged it" if incident.pages else "it opened"


# --- what people and recoveries do ------------------------------------------------------------------------------------


def _answered(book: Book, change: IncidentEvent, rules: Rules) -> tuple[list[Told], list[OncallDecision]]:
    """Let a recovery, an acknowledgement or a resolution reach the incidents it is about."""
    meant = [incident for incident in book.incidents if _meant(incident, change)]
    if change.what is What.RECOVERED:
        told = [_recovered(incident, change) for incident in meant if incident.bad]
    else:
        acknowledged = change.what is What.ACKNOWLEDGED
        answerable = WAITING if acknowledged else WAITING | {State.ACKNOWLEDGED}
        answer = _acknowledged if acknowledged else _resolved
        told = [answer(incident, change) for incident in meant if incident.state in answerable]
        if not told and not (change.incident or change.cause):  # an object of it that is well again names it too
            named = [one for one in book.incidents if change.object in one.objects and one.state in answerable]
            told = [answer(incident, change) for incident in named]
    if told:
        return told, []
    number = meant[-1].number if meant else 0
    return [], [OncallDecision(change.at, DecisionKind.IGNORED, number, _needless(change, meant, rules), change.by)]


def _meant(incident: Incident, change: IncidentEvent) -> bool:
    if change.incident:
        return incident.number == change.incident
    if change.cause:
        return incident.cause == change.cause and (not change.object or change.object in incident.bad)
    return change.object in (incident.bad or incident.objects)


def _recovered(incident: Incident, change: IncidentEvent) -> Told:
    left = tuple(name for name in incident.bad if change.object and name != change.object)
    if incident.state in OVER:  # somebody resolved it while this was still bad
        return replace(incident, bad=left), []
    if left:
        sentence = f"{change.object} recovered, {_names(left)} still bad"
        return replace(incident, bad=left), [OncallDecision(change.at, DecisionKind.LEFT, incident.number, sentence)]
    if incident.state is State.QUIET:
        sentence = f"{_names(incident.bad)} well again inside the downtime: nobody was paged"
        over = replace(incident, state=State.DISMISSED, bad=(), closed_at=change.at)
        return over, [OncallDecision(change.at, DecisionKind.DISMISSED, incident.number, sentence)]
    if incident.state is State.ACKNOWLEDGED:
        sentence = f"{_names(incident.bad)} well again; {incident.call.by} had it in hand"
        over = replace(incident, state=State.RESOLVED, bad=(), closed_at=change.at)
        return over, [OncallDecision(change.at, DecisionKind.RESOLVED, incident.number, sentence)]
    late = "" if change.at <= incident.call.deadline else ", after the deadline had passed"
    sentence = f"{_names(incident.bad)} well again before anybody acknowledged it{late}"
    healed = _ended(incident, change, State.SELF_HEALED, CallEnd.SELF_HEALED)
    return replace(healed, bad=(), closed_at=change.at), [
        OncallDecision(change.at, DecisionKind.SELF_HEALED, incident.number, sentence)
    ]


def _acknowledged(incident: Incident, change: IncidentEvent) -> Told:
    began = clock_began(incident.calls)
    call = "call" if began == incident.call.at else "first call"
    waited = _elapsed(change.at - began)
    sentence = f"{change.signed} acknowledges {waited} after the {call}, {_judged(incident, change)}"
    answered = _ended(incident, change, State.ACKNOWLEDGED, CallEnd.ACKNOWLEDGED)
    return answered, [OncallDecision(change.at, DecisionKind.ACKNOWLEDGED, incident.number, sentence, change.by)]


def _resolved(incident: Incident, change: IncidentEvent) -> Told:
    still = f" while {_names(incident.bad)} still bad" if incident.bad else ""
    if incident.state is State.ACKNOWLEDGED:
        over = replace(incident, state=State.RESOLVED)
        sentence = f"{change.signed} resolves it{still}"
    else:
        over = _ended(incident, change, State.RESOLVED, CallEnd.RESOLVED)
        sentence = f"{change.signed} resolves it without acknowledging it first{still}, {_judged(incident, change)}"
    return replace(over, closed_at=change.at), [
        OncallDecision(change.at, DecisionKind.RESOLVED, incident.number, sentence, change.by)
    ]


def _ended(incident: Incident, change: IncidentEvent, state: State, end: CallEnd) -> Incident:
    call = replace(incident.call, end=end, ended_at=change.at, by=change.by)
    # What heals unanswered keeps when its next level is due: if it comes back, the escalation goes on.
    page_at = incident.page_at if end is CallEnd.SELF_HEALED else None
    return replace(incident, state=state, calls=(*incident.calls[:-1], call), page_at=page_at, held=False)


def _judged(incident: Incident, change: IncidentEvent) -> str:
    return "in time" if change.at <= incident.call.deadline else "after the deadline"


def _needless(change: IncidentEvent, meant: list[Incident], rules: Rules) -> str:
    about = "it" if change.incident else change.cause or change.object
    if not meant:
        unknown = f"incident {change.incident}" if change.incident else about
        return f"nothing is known of {unknown}: nothing {'recovers' if change.what is What.RECOVERED else 'to answer'}"
    last = meant[-1]
    if last.state is State.ACKNOWLEDGED and change.what is What.ACKNOWLEDGED:
        return f"{last.call.by} has acknowledged it already, at {_clock(last.call.ended_at or 0, rules)}"
    if last.state is State.QUIET:
        return f"{about} is quiet in its downtime: there is nothing to answer"
    return f"{about} is {last.state} already"


# --- small words ------------------------------------------------------------------------------------------------------


def _covered(names: tuple[str, ...], at: Instant, rules: Rules) -> bool:
    return all(any(one.covers(name, at) for one in rules.quiet) for name in names)


def _quiet_until(incident: Incident, at: Instant, rules: Rules) -> Instant:
    """Return the first instant from `at` on at which some bad object is in no downtime."""
    ends: list[Instant] = []
    for name in incident.bad:
        end = at
        while covering := [one.end for one in rules.quiet if one.covers(name, end)]:
            end = max(covering)
        ends.append(end)
    return min(ends, default=at)


def _forgotten(incident: Incident, at: Instant, rules: Rules) -> bool:
    """Whether an incident is over and can no longer be reopened."""
    return incident.state in OVER and incident.closed_at is not None and at > incident.closed_at + rules.reopen


def _assert_step(before: Incident | None, after: Incident) -> None:
    if before is None:
        assert after.state in {State.QUIET, State.OPEN}, after.state
    else:
        assert before.state is after.state or allowed(before.state, after.state), (before.state, after.state)


def _clock(instant: Instant, rules: Rules) -> str:
    return as_time(instant, rules.promise.zone).isoformat(sep=" ")


def _names(names: tuple[str, ...]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more are"
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _elapsed(duration: Duration) -> str:
    seconds, rest = divmod(duration, SECOND)
    minutes, seconds = divmod(seconds, 60)
    part = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{minutes} min {seconds}{part} s" if minutes else f"{seconds}{part} s"
