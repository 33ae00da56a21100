"""Published figures: a period that was published changes only by a new version, with a note that names the cause.

A version holds the figures, the events and the definitions they were computed from (as fingerprints), so that the next one
can say what is different.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from scheduler.availability.files.plain import definitions
from scheduler.availability.history import Group, History, Measure, Member, Monitored, Span, Window
from scheduler.availability.measuring.accounting import measure
from scheduler.availability.measuring.profiles import PROFILES
from scheduler.availability.reports.evidence import Evidence, evidence_of, fingerprint
from scheduler.model.instants import Duration, Instant, write_instant

if TYPE_CHECKING:
    from scheduler.availability.timelines.prepared import Prepared

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
    """`downtime 17` -> fingerprint, of what touches the period: objects, groups, downtimes, exclusions, gaps, objectives."""
    known: tuple[str, ...] = ()
    """Marks of the results that it was computed from, where they stand in a file; by them what is new is known."""


@dataclass(frozen=True, slots=True)
class ChangedFigure:
    """One number that is another in a later version."""

    object: str
    profile: str
    what: str
    before: Duration | Fraction | None
    after: Duration | Fraction | None


class NotOverError(ValueError):
    """A period that is still going on cannot be published."""


def measured(prepared: Prepared, period: Window) -> list[Measure]:
    """Return what is published of a period: all objects and groups, under all profiles."""
    return [one for profile in PROFILES for one in measure(prepared, period, profile).values()]


def observed(measures: Iterable[Measure]) -> bool:
    """Whether anybody looked at anything: figures of a period in which nobody did are undefined."""
    return any(one.observed for one in measures)


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
    period: Window,
    measures: Iterable[Measure],
    history: History,
    at: Instant,
    before: Version | None,
    *,
    evidence: Evidence | None = None,
) -> Version | None:
    """Return the next version of a period that is over, or None if nothing is new since `before`.

    A late or repeated event of the period makes a version even where no number changed: nothing happens in silence.
    `evidence` stands in for the history's results where these are kept elsewhere.
    """
    measures = tuple(measures)
    if period.end > at:
        raise NotOverError(f"{period.name} ends at {write_instant(period.end)} and cannot be published before")
    figures, seen = (
        published(measures),
        evidence
        or evidence_of(history.results, period, before.published_at if before else None, before.known if before else ()),
    )
    defined = tuple(sorted((name, fingerprint(value)) for name, value in definitions(_touching(history, period))))
    if before is None:
        note = "first publication" if observed(measures) else "first publication; nothing was observed in the period"
        return Version(1, period, at, note, figures, seen.events, seen.fingerprint, defined, seen.known)
    moved = list(changes(before.figures, figures))
    if not moved and not seen.touches and not seen.missing:
        return None
    causes = [*_new_events(seen, before), *(_new_definitions(before.definitions, defined) if moved else ())]
    told = "; ".join(causes) or "computed again by another version of Ambienti"
    ended = f"{len(moved)} numbers changed" if moved else "no number changed"
    note = f"{told}: {ended}"
    return Version(before.number + 1, period, at, note, figures, seen.events, seen.fingerprint, defined, seen.known)


def _touching(history: History, period: Window) -> History:
    """Leave out what does not touch a period: next month's downtime is no news about last month."""
    return replace(
        history,
        objects=tuple(kept for one in history.objects if (kept := _existing(one, period)) is not None),
        groups=groups_in(history.groups, period),
        downtimes=tuple(
            one
            for one in history.downtimes
            if one.recurrence is not None or any(said.start < period.end and said.end > period.start for said in one.revisions)
        ),
        exclusions=tuple(one for one in history.exclusions if one.start < period.end and one.end > period.start),
        gaps=_clipped(history.gaps, period),
    )


def _clipped(spans: Iterable[Span], period: Window) -> tuple[Span, ...]:
    """Return the spans that touch a period; one that ends after it has no end yet."""
    return tuple(
        Span(one.start, None if one.end is None or one.end > period.end else one.end)
        for one in spans
        if one.start < period.end and (one.end is None or one.end > period.start)
    )


def _existing(one: Monitored, period: Window) -> Monitored | None:
    if not one.existence:
        return one
    spans = _clipped(one.existence, period)
    return replace(one, existence=spans) if spans else None


def groups_in(groups: Iterable[Group], period: Window) -> tuple[Group, ...]:
    """Return groups with those members that belong to them in a period."""

    def kept(one: Member) -> bool:
        return (one.start is None or one.start < period.end) and (one.end is None or one.end > period.start)

    def so_far(one: Member) -> Member:
        return one if one.end is None or one.end <= period.end else replace(one, end=None)

    return tuple(replace(group, members=tuple(so_far(one) for one in group.members if kept(one))) for group in groups)


def changes(before: Iterable[Figures], after: Iterable[Figures]) -> Iterator[ChangedFigure]:
    """Yield every number that differs; what is in one of them only is None in the other."""
    old, new = ({(one.object, one.profile): dict((*one.lengths, *one.figures)) for one in side} for side in (before, after))
    for key in sorted({*old, *new}):
        for name in (*LENGTHS, *FIGURES):
            values = (old.get(key, {}).get(name), new.get(key, {}).get(name))
            if values[0] != values[1]:
                yield ChangedFigure(*key, name, *values)


def _new_events(seen: Evidence, before: Version) -> Iterator[str]:
    """Name what reached the log after the publication: late events, and repeated ones."""
    for kind, chosen in (("repeated", seen.repeated), ("late", seen.late)):
        if chosen:
            yield f"{kind}: {_some(chosen)}"
    if seen.missing:
        counts = f"{before.events} before, {seen.events} now"
        yield f"not there any more: {seen.missing} of the events that version {before.number} knew ({counts})"
    if not seen.late and not seen.repeated and not seen.missing and seen.fingerprint != before.fingerprint:
        yield f"the log holds other events of the period: {before.events} before, {seen.events} now"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def _new_definitions(before: Iterable[tuple[str, str]], after: Iterable[tuple[str, str]]) -> Iterator[str]:
    old, new = dict(before), dict(after)
    for word, names in (
        ("added", [name for name in new if name not in old]),
        ("changed", [name for name in new if name in old and new[name] != old[name]]),
        ("removed", [name for name in old if name not in new]),
    ):
        if names:
            yield f"{word}: {_some(names)}"


# --- as plain data ----------------------------------------------------------------------------------------------------


def version_data(version: Version) -> dict[str, Any]:
    """Return a version as plain data without floating-point numbers."""
    data = {one.name: getattr(version, one.name) for one in fields(version)}
    data["period"] = {"name": version.period.name, "start": version.period.start, "end": version.period.end}
    data["definitions"] = dict(version.definitions)
    if not data.pop("known"):
        return data | {"figures": _figures(version)}
    return data | {"figures": _figures(version), "known": list(version.known)}


def _figures(version: Version) -> list[dict[str, Any]]:
    return [
        {
            "object": one.object,
            "profile": one.profile,
            **dict(one.lengths),
            **{name: None if value is None else str(value) for name, value in one.figures},
        }
        for one in version.figures
    ]


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
        period=Window(**data["period"]),
        figures=figures,
        definitions=tuple(sorted(data["definitions"].items())),
        known=tuple(data.get("known", ())),
        **rest,
    )
