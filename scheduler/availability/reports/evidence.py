"""The results that published figures rest on, and which of them the publication before could not know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scheduler.availability.files.plain import event
from scheduler.availability.timelines.columns import columns, joined
from scheduler.model.instants import Instant, write_instant

if TYPE_CHECKING:
    from scheduler.availability.history import Result, Window
    from scheduler.availability.timelines.prepared import Prepared


@dataclass(frozen=True, slots=True)
class Evidence:
    """The results that figures were computed from, and what of them the version before could not know."""

    events: int
    """How many, repeated ones included."""
    fingerprint: str
    late: tuple[str, ...] = ()
    """Named: those that came after the version before."""
    repeated: tuple[str, ...] = ()
    """Named: those that came again after it."""
    touches: bool = False
    """One of these lies in the period itself, not before it."""
    known: tuple[str, ...] = ()
    """Marks of all results, by which the next version knows what is new; empty: they are too many, or kept elsewhere."""
    missing: int = 0
    """So many that the version before knew are not there any more."""


MOST_MARKS = 50_000
"""Of more results no marks are kept with a version: a late one is named by when it was received, or not at all."""


def evidence_of(whole: Iterable[Result], period: Window, published_at: Instant | None, known: Collection[str] = ()) -> Evidence:
    """Return the evidence that a history's results are; `published_at` and `known`: of the version before, if there is one.

    Late is what was received after that version, and what it did not know whenever that was received.
    """
    results = [one for one in whole if one.at < period.end]
    marks = [_mark(one, period.end) for one in results]
    before = frozenset(known)
    late, identities = [], set()
    for one, mark in zip(results, marks, strict=True):
        came_late = published_at is not None and one.received is not None and one.received > published_at
        if came_late or (before and mark not in before):
            late.append(one)
        else:
            identities.add(_identity(one))
    return Evidence(
        len(results),
        fingerprint(sorted(json.dumps(event(_until(one, period.end)), sort_keys=True) for one in results)),
        tuple(_named(one) for one in late if _identity(one) not in identities),
        tuple(_named(one) for one in late if _identity(one) in identities),
        any(one.at >= period.start for one in late),
        tuple(sorted(set(marks))) if len(results) <= MOST_MARKS else (),
        len(before.difference(marks)),
    )


def _mark(one: Result, end: Instant) -> str:
    """Return by what a result is known again; when it was received is not of it."""
    return fingerprint(event(replace(_until(one, end), received=None)))[:12]


def marked(prepared: Prepared, period: Window) -> tuple[int, str]:
    """Return how many results a period rests on, and their fingerprint; the order in which they stand does not matter."""
    found = prepared.results
    if prepared.added:
        found = joined(found, columns(prepared.added, {one.name: n for n, one in enumerate(prepared.history.objects)}))
    within = np.flatnonzero(found.at < period.end)
    order = within[np.lexsort((found.status[within], found.at[within], found.object[within]))]
    objects = found.object[order]
    lines = np.zeros((len(order), 4), np.int64)
    lines[:, 0], lines[:, 1] = found.at[order], found.status[order]
    if found.cause is not None:
        lines[:, 2] = found.cause[order]
    if found.confirmed is not None:
        lines[:, 3] = np.minimum(found.confirmed[order], period.end)
    cuts = np.flatnonzero(np.diff(objects)) + 1
    places = objects[np.concatenate((np.zeros(1, np.int64), cuts))] if len(order) else objects
    parts = zip(places.tolist(), np.split(lines, cuts), strict=False)
    names = prepared.history.objects
    return len(order), fingerprint({names[place].name: hashlib.sha256(part.tobytes()).hexdigest() for place, part in parts})


def fingerprint(value: object) -> str:
    """Return the SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _until(one: Result, end: Instant) -> Result:
    """Leave out what a result says of the time after an instant."""
    return one if one.confirmed is None or one.confirmed <= end else replace(one, confirmed=end)


def _identity(one: Result) -> object:
    return one.id or (one.at, one.object, one.status, one.sequence, one.monotonic, one.boot, one.cause, one.text)


def _named(one: Result) -> str:
    name = f"event {one.id}" if one.id else "an event"
    received = "not said when it was received" if one.received is None else f"received {write_instant(one.received)}"
    return f"{name} ({one.object} {one.status.name} at {write_instant(one.at)}, {received})"
