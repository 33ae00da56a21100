"""The weighted figure of a group: which part of its members' capacity was there, of all that should have been.

Rules:
1. Instant by instant the capacity that is up is the sum of the weights of the members that are; over a window it is
   weight x time. The figure is that of what was up over that of what counts, as an exact fraction: no ratio is averaged.
2. Each member counts as a group of that member alone would: its own status, and the downtimes and exclusions of the group. One
   on the member alone does not excuse the group. What is unknown of a member is left out with its weight, as by every profile.
3. Members count while they are members. Two that stand in a group twice count twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from scheduler.availability.history import Operator, Span, Window
from scheduler.availability.measuring.accounting import stretches
from scheduler.availability.measuring.profiles import PAIRS, masks
from scheduler.availability.timelines import windows
from scheduler.availability.timelines.groups import Part, of_members
from scheduler.availability.timelines.prepared import Prepared, timeline_of
from scheduler.availability.timelines.strips import strips, sums
from scheduler.availability.timelines.timeline import overlaid


@dataclass(frozen=True, slots=True)
class Capacity:
    """Parts of a group's capacity in a window, exactly; None: nothing counts."""

    figure: Fraction | None
    """By the profile."""
    availability: Fraction | None
    """A of `argo`."""
    reliability: Fraction | None
    """R of `argo`."""
    lowest: Fraction | None
    """If all that is unknown had been bad."""
    highest: Fraction | None
    """If all that is unknown had been up."""


def capacity(
    prepared: Prepared, name: str, window: Window, profile: str, within: Iterable[Span] | None = None
) -> Capacity | None:
    """Return the weighted figure of a group whose members have weights; None: it is no group that counts capacity."""
    row = prepared.rows[prepared.places[name]]
    group = row.group
    if group is None or group.operator is not Operator.CAPACITY:
        return None
    lines, weights = [], []
    for (place, stretched), member in zip(row.members, group.members, strict=True):
        if place < 0 or not member.weight:
            continue
        alone = replace(group, operator=Operator.OR, members=(member,))
        part = Part(timeline_of(prepared, member.name), stretched, member.weight)
        lines.append(overlaid(of_members(alone, [part]), row.overlay))
        weights.append(member.weight)
    if not lines:
        return Capacity(None, None, None, None, None)
    clipped = windows.between(window.start, window.end, prepared.history.now, window.name)
    found = sums(strips(lines), stretches(prepared, clipped, within))
    counted = masks(profile, found.kinds, is_host=False)
    common = math.lcm(*(weight.denominator for weight in weights))
    whole = [int(weight * common) for weight in weights]
    pairs = []
    for pair in PAIRS:
        above, below = (
            sum(weight * int(length) for weight, length in zip(whole, found.lengths @ counted[f"{pair} {side}"], strict=True))
            for side in ("above", "below")
        )
        pairs.append(Fraction(above, below) if below else None)
    return Capacity(*pairs)
