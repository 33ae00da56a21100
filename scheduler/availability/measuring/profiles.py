"""Accounting profiles: which states each counts, as what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scheduler.availability.history import Cause, Status
from scheduler.availability.timelines.algebra import DOWNTIME
from scheduler.availability.timelines.timeline import (
    ARGO,
    CAUSE,
    CAUSES,
    CODE,
    EXCLUDED,
    NOTICED,
    PENDING,
    SCHEDULED,
    UNSCHEDULED,
    States,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]

PROFILES = ("excuse", "argo", "icinga", "nagios", "skip")
DURATIONS = (
    "total", "up", "ok", "bad", "unknown", "missing", "pending", "scheduled_downtime", "unscheduled_downtime", "excused",
    "observed",
)  # fmt: skip
MEASURED = (*DURATIONS, "excusable")
"""All durations of a `Measure`: those that a report shows, and what budgets need beside them."""
PAIRS = ("figure", "availability", "reliability", "lowest", "highest")
"""Figures, each a numerator and a denominator."""


@dataclass(frozen=True, slots=True)
class StateParts:
    """States taken apart."""

    code: States
    argo: States
    down: Mask
    excluded: Mask
    is_host: bool


def seen(kinds: States, *, is_host: bool) -> StateParts:
    """Take packed states apart."""
    down = (kinds & (SCHEDULED | UNSCHEDULED)) != 0
    return StateParts(kinds & CODE, kinds >> ARGO & CODE, down, (kinds & EXCLUDED) != 0, is_host)


def counted(profile: str, states: StateParts) -> tuple[Mask, Mask]:
    """Return which states are the numerator and which the denominator of a profile's figure."""
    code, argo = states.code, states.argo
    there, up = code < PENDING, code <= Status.WARNING
    if profile == "excuse":
        return up, (code <= Status.CRITICAL) & ~((code == Status.CRITICAL) & states.excluded)
    if profile == "argo":
        return argo <= Status.WARNING, (argo <= Status.CRITICAL) | (argo == DOWNTIME)
    if profile == "icinga":
        unknown = (code == Status.UNKNOWN) | (code == Status.MISSING)
        problem = ~states.down & ((code == Status.CRITICAL) | (unknown & (not states.is_host)))
        return there & ~problem, there
    if profile == "nagios":
        return code == Status.OK, there & (code != Status.MISSING)
    if profile == "skip":
        return up & ~states.down, (code <= Status.CRITICAL) & ~states.down
    raise ValueError(f"there is no profile {profile!r}: one of {', '.join(PROFILES)}")


def supposed(states: StateParts, status: Status) -> StateParts:
    """Return states as if all that is unknown had been of this status."""

    def changed(codes: States) -> States:
        return np.where((codes == Status.UNKNOWN) | (codes == Status.MISSING), np.int16(status), codes)

    return StateParts(changed(states.code), changed(states.argo), states.down, states.excluded, states.is_host)


def masks(profile: str, kinds: States, *, is_host: bool) -> dict[str, Mask]:
    """Return by name which states a duration of `Measure`, a part of a figure or a cause sums up."""
    states = seen(kinds, is_host=is_host)
    made = _durations(profile, kinds, states)
    pairs = {
        "figure": counted(profile, states),
        "availability": counted("argo", states),
        "reliability": _reliability(kinds, states),
        "lowest": counted(profile, supposed(states, Status.CRITICAL)),
        "highest": counted(profile, supposed(states, Status.OK)),
    }
    for name, (above, below) in pairs.items():
        made[f"{name} above"], made[f"{name} below"] = above, below
    causes = kinds >> CAUSE
    for number, cause in enumerate(CAUSES):
        made[lost(cause)] = made["bad"] & ~made["excused"] & (causes == number)
    made[lost(Cause.EXCLUDED)] |= made["excused"]
    return made


def lost(cause: Cause) -> str:
    """Return the name of the bad time of a cause."""
    return f"lost: {cause}"


def _reliability(kinds: States, states: StateParts) -> tuple[Mask, Mask]:
    above, below = counted("argo", states)
    return above, below & ~((states.argo == DOWNTIME) & ((kinds & NOTICED) != 0))


def _durations(profile: str, kinds: States, states: StateParts) -> dict[str, Mask]:
    """Return a profile's own view: up, bad, unknown and what it leaves to downtimes make T."""
    code, there = states.code, states.code < PENDING
    scheduled, unscheduled = there & ((kinds & SCHEDULED) != 0), there & ((kinds & UNSCHEDULED) != 0)
    above, below = counted(profile, states)
    bad = below & ~above
    if profile == "argo":
        code, down, noticed = states.argo, states.argo == DOWNTIME, (kinds & NOTICED) != 0
        scheduled, unscheduled, bad = down & noticed, down & ~noticed, code == Status.CRITICAL
    elif profile == "skip":
        code = np.where(states.down, np.int16(PENDING), code)
    elif profile == "excuse":
        bad = code == Status.CRITICAL
    missing = (code == Status.MISSING) & ~below
    excusing = states.excluded & (profile == "excuse")
    return {
        "total": there,
        "up": above,
        "ok": code == Status.OK,
        "bad": bad,
        "unknown": missing | ((code == Status.UNKNOWN) & ~below),
        "missing": missing,
        "pending": states.code == PENDING,
        "scheduled_downtime": scheduled,
        "unscheduled_downtime": unscheduled,
        "excused": bad & excusing,
        "observed": states.code <= Status.CRITICAL,
        "excusable": ((code == Status.UNKNOWN) | missing) & excusing,
    }
