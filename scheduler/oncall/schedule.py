"""Who is on call from when to when: the rotations laid out over a stretch of time, exact to the instant. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from scheduler.model.instants import SECOND, Instant, as_micro, as_time

if TYPE_CHECKING:
    from scheduler.oncall.rotation import Layer, Roster

LOOK = 24 * 3600 * SECOND
"""In so long a stretch the clocks of a zone change once at most."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One person from `start` until `end`."""

    start: Instant
    end: Instant
    person: str
    because: str


def schedule(roster: Roster, target: str, start: Instant, end: Instant) -> tuple[Turn, ...]:
    """Return the turns of a rotation (or a person) in `[start, end)`, in order: no gap, no double."""
    layers = roster.rotations.get(target, ())
    edges = {start, *(edge for layer in layers for edge in _edges(layer, start, end))}
    edges |= {edge for one in roster.overrides if one.rotation == target for edge in (one.start, one.end)}
    edges |= {edge for one in roster.swaps if one.rotation == target for edge in (one.start, one.end)}
    ordered = [*sorted(edge for edge in edges if start <= edge < end), end]
    turns: list[Turn] = []
    for begin, until in pairwise(ordered):
        duty = roster.on_call(target, begin)
        last = turns[-1] if turns else None
        if last is not None and (last.person, last.because) == (duty.person, duty.because):
            turns[-1] = Turn(last.start, until, last.person, last.because)
        else:
            turns.append(Turn(begin, until, duty.person, duty.because))
    return tuple(turns)


def _edges(layer: Layer, start: Instant, end: Instant) -> Iterator[Instant]:
    """Yield every instant at which what a layer says may change, and some at which it does not."""
    shift = layer.shift(start)
    while (edge := layer.handover(shift)) < end:
        yield edge
        shift += 1
    yield layer.handover(0)
    if layer.end is not None:
        yield layer.end_instant
    if layer.during is None:
        return
    zone = ZoneInfo(layer.zone)
    day, last = (as_time(at, layer.zone).date() for at in (start, end))
    day -= timedelta(days=1)
    while day <= last:
        for seconds in (layer.during.start_seconds, layer.during.end_seconds):
            for fold in (0, 1):
                local = datetime.combine(day, time()) + timedelta(seconds=seconds)
                yield as_micro(local.replace(tzinfo=zone, fold=fold))
        day += timedelta(days=1)
    for low in range(start, end, LOOK):
        yield from _change_of_clocks(layer.zone, low, min(low + LOOK, end))


def _change_of_clocks(zone: str, low: Instant, high: Instant) -> Iterator[Instant]:
    """Yield the instant in `(low, high]` from which the zone has another offset, if there is one."""
    before = as_time(low, zone).utcoffset()
    if as_time(high, zone).utcoffset() == before:
        return
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if as_time(middle, zone).utcoffset() == before else (low, middle)
    yield high
