"""A history as plain data in the documented format of the history file: `ambienti report --history` reads it back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from environments.text import printable, unprintable
from scheduler.availability.timelines import algebra
from scheduler.model.instants import SECOND, Duration, Instant, write_instant

if TYPE_CHECKING:
    from scheduler.availability.history import (
        Correction,
        Downtime,
        Exclusion,
        Group,
        History,
        Monitored,
        Objective,
        Result,
        Span,
    )

Data = dict[str, Any]
MOST_SAID = 10_000
"""Characters of what somebody said."""
MOST_OF_A_NAME = 200


def history(whole: History) -> Data:
    """Return a history as data: events in the order of the log, everything else in the order defined."""
    data = {
        "now": write_instant(whole.now),
        "zone": whole.zone,
        "objects": [_object(one) for one in whole.objects],
        "events": [event(one) for one in whole.results],
        "groups": [_group(one) for one in whole.groups],
        "downtimes": [_downtime(one) for one in whole.downtimes],
        "exclusions": [_exclusion(one) for one in whole.exclusions],
        "gaps": [_span(one) for one in whole.gaps],
        "objectives": [_objective(one) for one in whole.objectives],
    }
    own = [algebra.plain(one) for one in whole.algebras]
    corrections = [_correction(one) for one in whole.corrections]
    return _present(data, corrections=corrections, monotonic_now=_length(whole.monotonic_now), boot=whole.boot, algebras=own)


def definitions(whole: History) -> Iterator[tuple[str, Data]]:
    """Yield what figures depend on beside the events, each with a name of its own."""
    yield from ((f"object {one.name}", _object(one)) for one in whole.objects)
    yield from ((f"group {one.name}", _group(one)) for one in whole.groups)
    yield from ((f"downtime {one.id}", _downtime(one)) for one in whole.downtimes)
    yield from ((f"exclusion {one.id}", _exclusion(one)) for one in whole.exclusions)
    yield from ((f"gap of the monitor at {write_instant(one.start)}", _span(one)) for one in whole.gaps)
    yield from ((f"objective {one.name}", _objective(one)) for one in whole.objectives)
    yield from ((f"truth table {one.name}", algebra.plain(one)) for one in whole.algebras)
    yield "zone", {"zone": whole.zone}


def event(one: Result) -> Data:
    """Return a result as data."""
    data = {"at": write_instant(one.at), "object": one.object, "status": one.status.name}
    return _present(
        data,
        sequence=one.sequence,
        monotonic=_length(one.monotonic),
        boot=one.boot,
        id=one.id,
        received=_instant(one.received),
        cause=one.cause,
        text=_said(one.text),
        confirmed=_instant(one.confirmed),
    )


def _present(data: Data, **more: Any) -> Data:
    """Add what has a value: an absent key and an empty one mean the same in the format."""
    return data | {key: value for key, value in more.items() if value is not None and value not in ("", [])}


def _said(text: str) -> str:
    """Return what somebody said as the format holds it: an old journal may hold longer texts, and worse ones."""
    if len(text) <= MOST_SAID and not unprintable(text, lines=True):
        return text
    return "\n".join(printable(line, MOST_SAID) for line in text[:MOST_SAID].split("\n"))[:MOST_SAID]


def _named(text: str, most: int = MOST_SAID) -> str:
    return printable(text, most)[:most]


def _instant(instant: Instant | None) -> str | None:
    return None if instant is None else write_instant(instant)


def _length(length: Duration | None) -> str | None:
    """Write a duration in seconds, exactly."""
    return None if length is None else f"{Decimal(length) / SECOND:f}"


def _span(span: Span) -> Data:
    return _present({"start": write_instant(span.start)}, end=_instant(span.end))


def _object(one: Monitored) -> Data:
    data = {"name": one.name, "kind": str(one.kind)}
    return _present(data, exists=[_span(span) for span in one.existence], freshness=_length(one.freshness))


def _group(one: Group) -> Data:
    members = [
        _present({"name": member.name, "weight": str(member.weight)}, start=_instant(member.start), end=_instant(member.end))
        for member in one.members
    ]
    data = {"name": one.name, "operator": str(one.operator), "members": members, "algebra": one.algebra}
    return _present(data | {"k": one.k, "need": str(one.need)}, strategy=one.strategy)


def _downtime(one: Downtime) -> Data:
    data: Data = {"id": one.id, "objects": list(one.objects)}
    revisions = [
        _present(
            {"declared": write_instant(said.declared_at), "start": write_instant(said.start), "end": write_instant(said.end)},
            by=_named(said.by),
        )
        for said in one.revisions
    ]
    again = one.recurrence
    recurring = None
    if again is not None:
        recurring = {"rule": again.rule, "zone": again.zone, "start": again.start, "length": _length(again.length)}
        recurring = _present(recurring, until=_instant(again.until), ended=_instant(again.ended))
    declared = _instant(one.declared_at)
    return _present(
        data, revisions=revisions, recurring=recurring, declared=declared, reason=_said(one.reason), by=_named(one.by)
    )


def _exclusion(one: Exclusion) -> Data:
    data = {"id": one.id, "objects": list(one.objects), "start": write_instant(one.start), "end": write_instant(one.end)}
    data |= {
        "cause": _named(one.cause, MOST_OF_A_NAME),
        "author": _named(one.author, MOST_OF_A_NAME),
        "reason": _said(one.reason),
    }
    return _present(data, accepted_by=_named(one.accepted_by), accepted_at=_instant(one.accepted_at))


def _correction(one: Correction) -> Data:
    data = {"id": one.id, "object": one.object, "at": write_instant(one.at), "status": one.status.name}
    data |= {"received": write_instant(one.received), "by": _named(one.by)}
    return _present(data, text=_said(one.text), accepted_by=_named(one.accepted_by), accepted_at=_instant(one.accepted_at))


def _objective(one: Objective) -> Data:
    data: Data = {"name": one.name, "object": one.object, "target": str(one.target), "window": one.window}
    if one.applies is not None:
        data["applies"] = [_span(span) for span in one.applies]
    return _present(data | {"profile": one.profile}, zone=one.zone)
