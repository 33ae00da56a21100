"""Published figures: a period that was published changes only by a new version, with a note that names the cause.

A version holds the figures, the events and the definitions they were computed from (as fingerprints), so that the next one
can say what is different.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from scheduler.availability.files.plain import definitions, event
from scheduler.availability.history import Duration, Instant, Window
from scheduler.availability.instants import write_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from scheduler.availability.history import History, Measure, Result

SHOWN = 5
"""How many causes of one kind a note names; the rest is counted."""
LENGTHS = "total up ok bad unknown missing pending scheduled_downtime unscheduled_downtime excused".split()
FIGURES = ("figure", "availability", "reliability")


@dataclass(frozen=True, slots=True)
class Figures:
    """What was published of one object under one profile."""

    object: str
    profile: str
    lengths: tuple[tuple[str, Duration], ...]
    figures: tuple[tuple[str, Fraction | None], ...]


@dataclass(frozen=True, slots=True)
class Version:
    """One publication of a period."""

    number: int
    period: Window
    published_at: Instant
    note: str
    figures: tuple[Figures, ...]
    events: int
    """How many results it was computed from, repeated ones included."""
    fingerprint: str
    """Of these results."""
    definitions: tuple[tuple[str, str], ...]
    """`downtime 17` -> fingerprint: objects, groups, downtimes, exclusions, gaps, objectives."""


@dataclass(frozen=True, slots=True)
class Change:
    """One number that is another in a later version."""

    object: str
    profile: str
    what: str
    before: Duration | Fraction | None
    after: Duration | Fraction | None


class NotOverError(ValueError):
    """A period that is still going on cannot be published."""


def published(measures: Iterable[Measure]) -> tuple[Figures, ...]:
    """Return the figures of measures as they are published, in order of object and profile."""
    made = (
        Figures(
            one.object,
            one.profile,
            tuple((name, getattr(one, name)) for name in LENGTHS),
            tuple((name, getattr(one, name)) for name in FIGURES),
        )
        for one in measures
    )
    return tuple(sorted(made, key=lambda one: (one.object, one.profile)))


def publish(
    period: Window, measures: Iterable[Measure], history: History, at: Instant, before: Version | None
) -> Version | None:
    """Return the next version of a period that is over, or None if nothing is new since `before`.

    A late or repeated event of the period makes a version even where no number changed: nothing happens in silence.
    """
    if period.end > at:
        raise NotOverError(f"{period.name} ends at {write_instant(period.end)} and cannot be published before")
    figures = published(measures)
    results = [one for one in history.results if one.at < period.end]
    defined = tuple(sorted((name, _fingerprint(value)) for name, value in definitions(history)))
    mark = _fingerprint(sorted(json.dumps(event(one), sort_keys=True) for one in results))
    if before is None:
        return Version(1, period, at, "first publication", figures, len(results), mark, defined)
    moved = list(changes(before.figures, figures))
    if not moved and not any(_is_late(one, before) and one.at >= period.start for one in results):
        return None
    causes = [*_new_events(results, before, mark), *(_new_definitions(before.definitions, defined) if moved else ())]
    told = "; ".join(causes) or "computed anew by another version of Ambienti"
    ended = f"{len(moved)} numbers changed" if moved else "no number changed"
    return Version(before.number + 1, period, at, f"{told}: {ended}", figures, len(results), mark, defined)


def changes(before: Iterable[Figures], after: Iterable[Figures]) -> Iterator[Change]:
    """Yield every number that differs; what is in one of them only is None in the other."""
    old, new = ({(one.object, one.profile): dict((*one.lengths, *one.figures)) for one in side} for side in (before, after))
    for key in sorted({*old, *new}):
        for name in (*LENGTHS, *FIGURES):
            values = (old.get(key, {}).get(name), new.get(key, {}).get(name))
            if values[0] != values[1]:
                yield Change(*key, name, *values)


def _new_events(results: list[Result], before: Version, mark: str) -> Iterator[str]:
    """Name what reached the log after the publication: late events, and repeated ones."""
    late = [one for one in results if _is_late(one, before)]
    known = {_identity(one) for one in results if not _is_late(one, before)}
    for kind, chosen in (
        ("repeated", [one for one in late if _identity(one) in known]),
        ("late", [one for one in late if _identity(one) not in known]),
    ):
        if chosen:
            more = f" and {len(chosen) - SHOWN} more" if len(chosen) > SHOWN else ""
            yield f"{kind}: {', '.join(_named(one) for one in chosen[:SHOWN])}{more}"
    if not late and mark != before.fingerprint:
        yield f"the log holds other events of the period: {before.events} before, {len(results)} now"


def _is_late(one: Result, before: Version) -> bool:
    return one.received is not None and one.received > before.published_at


def _identity(one: Result) -> object:
    return one.id or (one.at, one.object, one.status, one.sequence, one.monotonic, one.boot, one.cause, one.text)


def _named(one: Result) -> str:
    name = f"event {one.id}" if one.id else "an event"
    return f"{name} ({one.object} {one.status.name} at {write_instant(one.at)}, received {write_instant(one.received or 0)})"


def _new_definitions(before: Iterable[tuple[str, str]], after: Iterable[tuple[str, str]]) -> Iterator[str]:
    old, new = dict(before), dict(after)
    for word, names in (
        ("added", [name for name in new if name not in old]),
        ("changed", [name for name in new if name in old and new[name] != old[name]]),
        ("removed", [name for name in old if name not in new]),
    ):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            yield f"{word}: {', '.join(names[:SHOWN])}{more}"


def _fingerprint(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


# --- as plain data ----------------------------------------------------------------------------------------------------


def version_data(version: Version) -> dict[str, Any]:
    """Return a version as plain data without floating-point numbers."""
    data = {one.name: getattr(version, one.name) for one in fields(version)}
    data["period"] = {"name": version.period.name, "start": version.period.start, "end": version.period.end}
    data["definitions"] = dict(version.definitions)
    data["figures"] = [
        {
            "object": one.object,
            "profile": one.profile,
            **dict(one.lengths),
            **{name: None if value is None else str(value) for name, value in one.figures},
        }
        for one in version.figures
    ]
    return data


def version_of(data: Mapping[str, Any]) -> Version:
    """Read back what `version_data` wrote."""
    figures = tuple(
        Figures(
            one["object"],
            one["profile"],
            tuple((name, one[name]) for name in LENGTHS),
            tuple((name, None if one[name] is None else Fraction(one[name])) for name in FIGURES),
        )
        for one in data["figures"]
    )
    rest = {key: data[key] for key in ("number", "published_at", "note", "events", "fingerprint")}
    return Version(
        period=Window(**data["period"]), figures=figures, definitions=tuple(sorted(data["definitions"].items())), **rest
    )
