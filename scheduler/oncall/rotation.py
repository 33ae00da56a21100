"""Who is on call: a total function of the instant. Per rotation exactly one person, with no gap and no double.

A rotation is a stack of layers. The lowest covers all time, also before its first shift and across every DST change; a layer
above takes over in its hours. A swap exchanges two people for a while, an override beats everything. `schedule` lays the
rotations out over a stretch of time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from scheduler.model.instants import SECOND, Instant, as_micro, as_time, instant_of
from scheduler.oncall.hours import Weekly

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Layer:
    """People who take turns, handing over at a local time of a zone."""

    people: tuple[str, ...]
    start: date
    """Local date of the hand-over to the first of `people`."""
    zone: str = "UTC"
    handover_seconds: int = 9 * 3600
    """Local time of the hand-over, in seconds of the day."""
    shift_days: int = 7
    during: Weekly | None = None
    """Of a layer above the lowest: the hours it covers; None: all."""
    end: date | None = None
    """Of a layer above the lowest: the local date of its last hand-over, which gives back to the layer below."""

    def handover(self, shift: int) -> Instant:
        """Return when a shift begins; the first is number 0, and there is no first."""
        try:
            return self._at(self.start + timedelta(days=shift * self.shift_days))
        except OverflowError:  # before the first year, or after the last
            return as_micro(_FIRST if shift < 0 else _LAST)

    def shift(self, instant: Instant) -> int:
        """Return the number of the shift an instant lies in: `handover(n) <= instant < handover(n + 1)`."""
        days = (as_time(instant, self.zone).date() - self.start).days
        number = days // self.shift_days + 1
        while self.handover(number) > instant:
            number -= 1
        return number

    def person(self, instant: Instant) -> str:
        """Return whose turn it is."""
        return self.people[self.shift(instant) % len(self.people)]

    def takes(self, instant: Instant) -> bool:
        """Whether this layer, being above the lowest, covers an instant."""
        begun = self.handover(0) <= instant and (self.end is None or instant < self.end_instant)
        return begun and (self.during is None or self.during.covers(as_time(instant, self.zone)))

    @property
    def end_instant(self) -> Instant:
        """When it gives back to the layer below."""
        assert self.end is not None
        return self._at(self.end)

    def _at(self, day: date) -> Instant:
        return instant_of(datetime.combine(day, time()) + timedelta(seconds=self.handover_seconds), self.zone)


@dataclass(frozen=True, slots=True)
class Override:
    """One person for a rotation in `[start, end)`, whoever's turn it is."""

    rotation: str
    person: str
    start: Instant
    end: Instant
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Swap:
    """Two people of a rotation do each other's turns in `[start, end)`."""

    rotation: str
    first: str
    second: str
    start: Instant
    end: Instant

    def other(self, person: str) -> str:
        """Return who does the turn of `person`."""
        return {self.first: self.second, self.second: self.first}.get(person, person)


@dataclass(frozen=True, slots=True)
class Duty:
    """Who is on call, and why this person."""

    person: str
    because: str
    """shift, swap with NAME, override, named."""


@dataclass(frozen=True, slots=True)
class Roster:
    """All rotations with their overrides and swaps. Overrides of one rotation do not overlap; the settings refuse it."""

    rotations: Mapping[str, tuple[Layer, ...]]
    """By name; the lowest layer first, at least one."""
    overrides: tuple[Override, ...] = ()
    swaps: tuple[Swap, ...] = ()

    def on_call(self, target: str, instant: Instant) -> Duty:
        """Return the one person on call; a target that is no rotation is a person."""
        if target not in self.rotations:
            return Duty(target, "named")
        for override in self.overrides:
            if override.rotation == target and override.start <= instant < override.end:
                return Duty(override.person, f"override: {override.reason}" if override.reason else "override")
        person, because = self._turn(self.rotations[target], instant), "shift"
        for swap in self.swaps:
            if swap.rotation == target and swap.start <= instant < swap.end and swap.other(person) != person:
                because = f"swap with {person}"
                person = swap.other(person)
        return Duty(person, because)

    @staticmethod
    def _turn(layers: tuple[Layer, ...], instant: Instant) -> str:
        above = (layer for layer in reversed(layers[1:]) if layer.takes(instant))
        return next(above, layers[0]).person(instant)


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
