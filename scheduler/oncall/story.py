"""A story told as the daemon would have followed it that looks at every instant: its statuses go through the watch. Pure.

Rules:
1. `bad` and `recovered` of an object are statuses: how everything stands at an instant is compared with the book by
   `watch.told`, as at a look of the daemon. So which objects open incidents, when, and of which cause is decided in one place.
2. What names its cause, and what a person says, reaches the book as it is: a cause that the story names stays.
3. What happens at one instant keeps the order of the file; statuses that follow each other there are seen at one look.
4. What comes to nothing says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from scheduler.availability.history import Status
from scheduler.availability.timelines.axis import BEGINNING
from scheduler.model.instants import Instant, in_seconds
from scheduler.oncall.follow import follow, next_due, remembered
from scheduler.oncall.incident import Book, DecisionKind, Incident, IncidentEvent, OncallDecision, Rules, What
from scheduler.oncall.standing import ObjectStanding
from scheduler.oncall.states import OVER
from scheduler.oncall.watch import Watching, told


@dataclass(frozen=True, slots=True)
class Story:
    """All incidents and every decision, up to `now`."""

    now: Instant
    incidents: tuple[Incident, ...]
    decisions: tuple[OncallDecision, ...]


@dataclass(slots=True)
class StoryTold:
    """A story that is being told: the book, and what came of it so far."""

    rules: Rules
    book: Book
    incidents: dict[int, Incident] = field(default_factory=dict)
    decisions: list[OncallDecision] = field(default_factory=list)

    def take(self, change: IncidentEvent) -> bool:
        """Take one change into the book; return whether it changed an incident."""
        outcome = follow(self.book, change, self.rules)
        self.book = outcome.book
        self.incidents.update((incident.number, incident) for incident in outcome.changed)
        self.decisions.extend(outcome.decisions)
        return bool(outcome.changed)

    def wait(self, until: Instant) -> None:
        """Let the clock do all that is due before an instant."""
        while (due := next_due(self.book, self.rules)) is not None and due < until:
            changed = self.take(IncidentEvent(due, What.TICK))
            assert changed, "what was due changed nothing"

    def until(self, now: Instant) -> Story:
        """Let the clock go on to `now`, and return the story."""
        self.wait(now + 1)
        return Story(now, tuple(self.incidents.values()), tuple(self.decisions))


@dataclass(slots=True)
class _Watched:
    """What the watch has before it."""

    telling: StoryTold
    watching: Watching
    standing: dict[str, ObjectStanding] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """What was said of each object when it went bad."""
    at: Instant = BEGINNING
    """When it looked last."""


def story(changes: Iterable[IncidentEvent], rules: Rules, watching: Watching, now: Instant) -> Story:
    """Follow what happened up to `now`."""
    needless: list[OncallDecision] = []
    events = sorted(_direct(list(changes), watching, now, needless), key=lambda one: one.at)
    watched = _Watched(StoryTold(rules, Book(at=events[0].at if events else now)), watching)
    while (at := min([*(one.at for one in events[:1]), *_looks(watched)], default=now + 1)) <= now:
        watched.telling.wait(at)
        seen: list[IncidentEvent] = []
        while events and events[0].at == at:
            one = events.pop(0)
            if _is_status(one) and one.object not in {other.object for other in seen}:
                seen.append(one)
                continue
            if seen:
                _look(watched, seen, at)
            seen = [one] if _is_status(one) else []
            if not seen:
                _say(watched, one)
        _look(watched, seen, at)
    found = watched.telling.until(now)
    return replace(found, decisions=tuple(sorted((*needless, *found.decisions), key=lambda line: line.at)))


def _is_status(change: IncidentEvent) -> bool:
    return change.what in {What.BAD, What.RECOVERED} and bool(change.object) and not (change.cause or change.by)


def _direct(
    changes: list[IncidentEvent], watching: Watching, now: Instant, needless: list[OncallDecision]
) -> Iterator[IncidentEvent]:
    """Yield what happened up to `now`; what is bad of a named cause once it is confirmed, and if it is watched."""
    for one in (one for one in changes if one.at <= now):
        at = one.at if one.by else one.at + watching.confirm
        after = (other for other in changes if one.at <= other.at <= at and other.what is What.RECOVERED)
        if one.what is What.BAD and not watching.watches(one.object):
            needless.append(_nothing(one.at, f"{one.object} is not watched (`objects`)"))
        elif _is_status(one) or one.what is not What.BAD:
            yield one
        elif at == one.at or not any(other.object == one.object or other.cause == one.cause for other in after):
            yield replace(one, at=at)
        else:
            needless.append(_nothing(one.at, _too_short(one.object, watching)))


def _nothing(at: Instant, sentence: str) -> OncallDecision:
    return OncallDecision(at, DecisionKind.IGNORED, 0, f"{sentence}: it opens no incident")


def _too_short(name: str, watching: Watching) -> str:
    return f"{name} was bad for less than {in_seconds(watching.confirm):g} s (`confirm_seconds`)"


def _looks(watched: _Watched) -> Iterator[Instant]:
    """Yield when statuses that stay as they are may open an incident: once confirmed, or once one can no longer be reopened."""
    book, rules = watched.telling.book, watched.telling.rules
    bad = {name for incident in book.incidents for name in incident.bad}
    critical = {name: one.since for name, one in watched.standing.items() if one.status is Status.CRITICAL}
    due = [since + watched.watching.confirm for name, since in critical.items() if name not in bad]
    due += [
        one.closed_at + rules.reopen + 1
        for one in book.incidents
        if one.state in OVER and one.closed_at is not None and critical.keys() & set(one.bad)
    ]
    yield from (at for at in due if at > watched.at)


def _say(watched: _Watched, change: IncidentEvent) -> None:
    """Let a change reach the book as it is."""
    found = watched.standing.get(change.object)
    if change.what is What.BAD and found is not None and found.status is not Status.CRITICAL:
        del watched.standing[change.object]  # that it was well before says nothing against it
    watched.telling.take(change)


def _look(watched: _Watched, seen: list[IncidentEvent], at: Instant) -> None:
    """Take statuses in, and tell the book what the watch finds; a status that told nothing says why."""
    telling, watched.at = watched.telling, at
    telling.book = remembered(telling.book, at, telling.rules)
    unconfirmed = {
        name
        for name, one in watched.standing.items()
        if one.status is Status.CRITICAL and at - one.since < watched.watching.confirm
    }
    for one in seen:
        status = Status.CRITICAL if one.what is What.BAD else Status.OK
        before = watched.standing.get(one.object)
        if before is None or before.status is not status:
            watched.standing[one.object] = ObjectStanding(status, at)
            watched.texts[one.object] = one.text
    found = list(told(telling.book, watched.standing, at, watched.watching))
    for change in found:
        telling.take(replace(change, text=change.text or watched.texts.get(change.object, "")))
    known = {name: one for one in telling.book.incidents for name in one.bad}
    for one in (one for one in seen if one.object not in {change.object for change in found}):
        incident = known.get(one.object)
        if one.what is What.BAD and incident is not None and incident.state in OVER:
            sentence = f"{one.object} is bad still, and somebody resolved it: it is left in peace for a while"
            telling.decisions.append(OncallDecision(at, DecisionKind.IGNORED, incident.number, sentence))
        elif incident is None and one.object in unconfirmed and one.what is What.RECOVERED:
            telling.decisions.append(_nothing(at, _too_short(one.object, watched.watching)))
        elif one.what is What.RECOVERED or incident is not None:
            telling.take(replace(one, cause=incident.cause if incident else ""))
