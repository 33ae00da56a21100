"""What contradicts itself in a history: two lines that mean one event and say different things, corrections, keys of a group.

Which of them holds would be decided by their order in the file, and so would the figures: such a file is refused. What says the
same twice is a repetition and counts once; when it was received, and the words that came with it, decide no figure.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING

from scheduler.availability.files.strategies import Strategy, operator_of
from scheduler.availability.history import History, Operator
from scheduler.availability.timelines.columns import columns
from scheduler.availability.timelines.prepared import left_out
from scheduler.model.instants import Instant, write_instant

if TYPE_CHECKING:
    from environments.nodes import YamlNode
    from environments.problems import KeyPath, Problem
    from scheduler.availability.files.written import WrittenCorrection, WrittenEvent, WrittenGroup, WrittenHistory


def contradictions(written: WrittenHistory, node: YamlNode) -> Iterator[Problem]:
    """Yield the events that contradict an earlier line of the file."""
    ids: dict[str, int] = {}
    instants: dict[Hashable, int] = {}
    for index, event in enumerate(written.events):
        if event.id:
            first = ids.setdefault(event.id, index)
            if first != index:
                if _whole(written.events[first]) != _whole(event):
                    yield _problem(written, node, (first, index), f"two events are called {event.id!r} and are not the same")
                continue
        # With numbers the order is theirs; without, nothing but the file would say which of two at one instant came last.
        place = (event.object, event.at, event.sequence)
        first = instants.setdefault(place, index)
        if first != index and _said(written.events[first]) != _said(event):
            number = "" if event.sequence is None else f" with the number {event.sequence}"
            message = f"two results of {event.object} at {write_instant(event.at)}{number} contradict each other"
            yield _problem(written, node, (first, index), message)


def unheeded(written: WrittenHistory, node: YamlNode) -> Iterator[Problem]:
    """Yield the accepted corrections that no event bears out: the report would tell of a change that its figures do not know.

    Of several of one instant the one that was accepted last is meant; one that only waits changes nothing.
    """
    in_order = sorted(written.corrections, key=lambda one: one.received if one.accepted_at is None else one.accepted_at)
    accepted = {(one.object, one.at): one for one in in_order if one.accepted_by}
    events: dict[str, list[WrittenEvent]] = {name: [] for name, _ in accepted}
    for event in written.events:
        events.get(event.object, []).append(event)
    for index, one in enumerate(written.corrections):
        of_object = events.get(one.object, [])
        if accepted.get((one.object, one.at)) is not one or _is_borne_out(one, of_object):
            continue
        near = min(
            of_object,
            key=lambda event: (abs(event.at - one.at), event.sequence is not None, -(event.sequence or 0)),
            default=None,
        )
        told = f"no event says that {one.object} was {one.status.name} at {write_instant(one.at)}"
        nearest = f"; the nearest says {near.status.name} at {write_instant(near.at)}" if near else ""
        expected = "what is accepted stands among the events too; or no accepted_by, while it waits"
        yield node.problem(("corrections", index), f"{told}: this correction would change nothing{nearest}", expected)


def _is_borne_out(correction: WrittenCorrection, events: list[WrittenEvent]) -> bool:
    """Whether the figures know of a correction: where events of its very instant are several, the last of them holds."""
    there = [event for event in events if event.at == correction.at]
    last = max(there, key=lambda event: (event.sequence is None, event.sequence or 0), default=None)
    return any(_bears_out(event, correction) for event in (events if last is None else [last]))


def _bears_out(event: WrittenEvent, correction: WrittenCorrection) -> bool:
    """Whether an event, or its last repetition, says what a correction says."""
    until = event.at if event.confirmed is None else event.confirmed
    return event.status == correction.status and event.at <= correction.at <= until


def _said(event: WrittenEvent) -> Hashable:
    """Return what decides figures, of events of one object and instant."""
    return (event.status, event.cause, event.confirmed, event.monotonic, event.boot)


def _whole(event: WrittenEvent) -> Hashable:
    return (event.object, event.at, event.sequence, _said(event))


def _problem(written: WrittenHistory, node: YamlNode, pair: tuple[int, int], message: str) -> Problem:
    first, second = (written.events[index] for index in pair)
    place, _, left = node.walk(("events", pair[0]))
    line = f" in line {place.mark.line}" if not left and place.mark.line else ""
    told = f"{message}: first{line} {_told(first, second)}, here {_told(second, first)}"
    expected = "one of them; or sequence numbers, where both came" if not second.id or first.id != second.id else "one of them"
    return node.problem(("events", pair[1]), told, expected)


def _told(event: WrittenEvent, other: WrittenEvent) -> str:
    """Say of an event what is not the same of the other one."""
    names = ("object", "at", "status", "cause", "sequence", "confirmed", "monotonic", "boot")
    values = {name: getattr(event, name) for name in names if getattr(event, name) != getattr(other, name)}
    written = {
        name: value.name
        if name == "status"
        else write_instant(value)
        if name in {"at", "confirmed"} and value is not None
        else value
        for name, value in values.items()
    }
    return " ".join(f"{name} {'none' if value in {None, ''} else value}" for name, value in written.items())


# --- keys of a group that its operator does not use: passed over, another rule would be measured than the one written -

_OF_WEIGHTS = f"operator: {Operator.CAPACITY}, or strategy: {Strategy.SEGMENTED_POOLS}"


def unused(group: WrittenGroup, node: YamlNode, path: KeyPath) -> Iterator[Problem]:
    """Yield the keys of a group that say nothing beside its operator or strategy, and what contradicts it."""
    operator = _meant(group)
    if operator is None:
        return
    named = f"operator {group.operator}" if group.operator is not None else f"strategy {group.strategy}"
    given = group.model_fields_set
    # Ambienti itself writes both `k` and `need` of each group: the one that is not used is 1, and says nothing else.
    as_we_write = {"k", "need"} <= given
    if group.operator is not Operator.AT_LEAST and "k" in given and not (as_we_write and group.k == 1):
        yield node.problem((*path, "k"), f"is not used by {named}", f"operator: {Operator.AT_LEAST}; or no k", key=True)
    if operator is not Operator.CAPACITY:
        if "need" in given and not (as_we_write and group.need == 1):
            yield node.problem((*path, "need"), f"is not used by {named}", f"{_OF_WEIGHTS}; or no need", key=True)
        for number, member in enumerate(group.members):
            if member.weight != 1:  # all alike they weigh nothing more than without
                place = (*path, "members", number, "weight")
                yield node.problem(place, f"is not used by {named}", f"{_OF_WEIGHTS}; or no weight", key=True)
    yield from _never(group, node, path)
    yield from _contradicts(group, node, path)


def _meant(group: WrittenGroup) -> Operator | None:
    if group.operator is not None or not group.strategy:
        return group.operator
    return operator_of(Strategy(group.strategy), len(group.members))


def _names(group: WrittenGroup) -> int:
    """Count the members; one that comes back is one."""
    return len({member.name for member in group.members})


def _never(group: WrittenGroup, node: YamlNode, path: KeyPath) -> Iterator[Problem]:
    count = _names(group)
    if group.operator is Operator.AT_LEAST and group.k > max(count, 1):
        there = f"there {'is' if count == 1 else 'are'} {count or 'none'}"
        yield node.problem((*path, "k"), f"{group.k} members can never be up: {there}", f"at most {max(count, 1)}")


def _contradicts(group: WrittenGroup, node: YamlNode, path: KeyPath) -> Iterator[Problem]:
    """Find an operator beside a strategy that means another one. Of a single member all of them say the same."""
    count = _names(group)
    if group.operator is None or not group.strategy or count < 2:
        return
    wanted = operator_of(Strategy(group.strategy), count)
    same = {wanted} | ({Operator.AT_LEAST} if wanted is Operator.CAPACITY else set())
    if wanted is Operator.OR:
        same |= {Operator.AT_LEAST} if group.k == 1 else set()
        same |= {Operator.QUORUM} if group.strategy == Strategy.REPLICATED_DATABASE else set()
    if group.operator not in same:
        message = f"{group.strategy} means operator {wanted}, and the operator here is {group.operator}"
        yield node.problem((*path, "strategy"), message, "one of them")


# --- what is told of the time after `now` -----------------------------------------------------------------------------


def after_now(written: WrittenHistory, history: History, node: YamlNode) -> Iterator[Problem]:
    """Yield what was seen, declared or accepted after `now`, when nobody can have done so yet; `history`: what the file says.

    Left out silently, a wrong year would make a FAIL a PASS. What is planned may lie ahead: downtimes, exclusions, memberships.
    """
    for path, instant in (*_after(written, history), *_declared(written)):
        if instant is not None and instant > history.now:
            shown, now = write_instant(instant, history.zone), write_instant(history.now, history.zone)
            expected = "an instant that has passed, or a later `now`; an earlier window of time is asked for by --from and --to"
            yield node.problem(path, f"{shown} lies after `now` ({now}), for which the report is made", expected)


def _after(written: WrittenHistory, history: History) -> Iterator[tuple[KeyPath, Instant | None]]:
    late = [index for index, event in enumerate(written.events) if event.at > history.now]
    if late:
        # A clock that was set back leaves events behind that are past all the same: they count.
        places = {one.name: place for place, one in enumerate(history.objects)}
        found = left_out(columns(history.results, places), history)
        missed = set(zip(found.object.tolist(), found.at.tolist(), strict=True))
        for index in late:
            if (places[written.events[index].object], written.events[index].at) in missed:
                yield ("events", index, "at"), written.events[index].at
    newest = max((event.sequence or 0 for event in written.events if event.at <= history.now), default=0)
    for index, event in enumerate(written.events):
        if event.at <= history.now and (event.sequence is None or event.sequence >= newest):  # else a later one proves it past
            yield ("events", index, "confirmed"), event.confirmed
    for index, gap in enumerate(written.gaps):
        edge, instant = ("start", gap.start) if gap.start > history.now else ("end", gap.end)
        yield ("gaps", index, edge), instant


def _declared(written: WrittenHistory) -> Iterator[tuple[KeyPath, Instant | None]]:
    for index, downtime in enumerate(written.downtimes):
        yield ("downtimes", index, "declared"), downtime.declared
        for number, revision in enumerate(downtime.revisions):
            yield ("downtimes", index, "revisions", number, "declared"), revision.declared
    for index, exclusion in enumerate(written.exclusions):
        yield ("exclusions", index, "accepted_at"), exclusion.accepted_at
    for index, one in enumerate(written.corrections):
        yield ("corrections", index, "at"), one.at
        yield ("corrections", index, "received"), one.received
        yield ("corrections", index, "accepted_at"), one.accepted_at
