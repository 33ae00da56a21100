"""Measures in the shape of ARGO's web API (v3 results): strings, percentages, and -1 where a figure is undefined.

Source of the shape: github.com/ARGOeu/argo-web-api, website/docs/apiv3/v3results.md. A group of groups is ARGO's supergroup;
uptime, unknown and downtime are parts of the time in which the object existed, availability and reliability per cent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from scheduler.model.instants import as_time

if TYPE_CHECKING:
    from scheduler.availability.history import Group, Measure, Window
    from scheduler.availability.measuring.accounting import Capacity

UNDEFINED = "-1"
PLACES = Decimal(1).scaleb(-14)
"""As many decimals as ARGO's own figures have."""
OURS = "ambienti"
DATES = {"daily": "%Y-%m-%d", "monthly": "%Y-%m"}


@dataclass(frozen=True, slots=True)
class Kinds:
    """What ARGO calls the levels of the tree."""

    supergroup: str = "GROUP"
    group: str = "SITES"
    service: str = "service"


def weighted(found: Iterable[tuple[str, Window, Capacity]], zone: str, granularity: str) -> dict[str, Any]:
    """Return the weighted figures of groups that count capacity; ARGO's shape has no place for them, they stand beside it."""
    made: dict[str, list[dict[str, str]]] = {}
    for name, window, one in found:
        date = as_time(window.start, zone).strftime(DATES[granularity])
        figures = {"availability": _percent(one.availability), "reliability": _percent(one.reliability)}
        made.setdefault(name, []).append({"date": date, **figures})
    return {"capacity": made} if made else {}


def document(
    groups: Iterable[Group],
    measures: Mapping[str, Sequence[Measure]],
    zone: str,
    granularity: str = "daily",
    kinds: Kinds | None = None,
    *,
    rests_on: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the results of groups and endpoints; `measures` holds those of profile `argo`, one for each day or month.

    What the figures rest on is not in ARGO's shape: it stands beside it, under `ambienti`.
    """
    known, kinds = {group.name: group for group in groups}, kinds or Kinds()
    inner = {member.name for group in known.values() for member in group.members}
    results = [
        {
            "name": top.name,
            "type": kinds.supergroup,
            "results": [_short(measure, zone, granularity) for measure in measures.get(top.name, ())],
            "groups": [
                {
                    "name": group.name,
                    "type": kinds.group,
                    "results": [_full(measure, zone, granularity) for measure in measures.get(group.name, ())],
                }
                for group in _below(top, known)
            ],
        }
        for top in known.values()
        if top.name not in inner
    ]
    endpoints = [
        {
            "name": name,
            "service": kinds.service,
            "group": group,
            "results": [_full(measure, zone, granularity) for measure in measures.get(name, ())],
        }
        for group, name in _endpoints(known, measures)
    ]
    return {"results": results, "endpoints": endpoints} | ({} if rests_on is None else {OURS: dict(rests_on)})


def _below(top: Group, known: Mapping[str, Group]) -> Iterator[Group]:
    """Yield all groups below one, in the order they are listed; each once."""
    seen: set[str] = set()
    waiting = [member.name for member in top.members]
    while waiting:
        name = waiting.pop(0)
        if name in known and name not in seen:
            seen.add(name)
            yield known[name]
            waiting = [*(member.name for member in known[name].members), *waiting]


def _endpoints(known: Mapping[str, Group], measures: Mapping[str, Sequence[Measure]]) -> Iterator[tuple[str, str]]:
    """Yield the group and the name of each object, one pair for each group that it is in."""
    grouped: set[str] = set()
    for group in known.values():
        for name in dict.fromkeys(member.name for member in group.members):
            if name not in known:
                grouped.add(name)
                yield group.name, name
    yield from (("", name) for name in measures if name not in grouped and name not in known)


def _short(measure: Measure, zone: str, granularity: str) -> dict[str, str]:
    return {
        "date": as_time(measure.window.start, zone).strftime(DATES[granularity]),
        "availability": _percent(measure.availability),
        "reliability": _percent(measure.reliability),
    }


def _full(measure: Measure, zone: str, granularity: str) -> dict[str, str]:
    def part(length: int) -> str:
        return _written(Fraction(length, measure.total)) if measure.total else UNDEFINED

    lengths = {"unknown": measure.unknown, "uptime": measure.up, "downtime": measure.scheduled_downtime}
    return _short(measure, zone, granularity) | {key: part(length) for key, length in lengths.items()}


def _percent(figure: Fraction | None) -> str:
    return UNDEFINED if figure is None else _written(figure * 100)


def _written(value: Fraction) -> str:
    with localcontext() as context:
        context.prec = 60
        found = (Decimal(value.numerator) / value.denominator).quantize(PLACES, ROUND_HALF_EVEN)
        return f"{found.normalize():f}"
