"""Machines: whatever is a domain of ours, worker or service, and the places where it was.

Times are seconds since the epoch (UTC) as floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PlacementEnd(StrEnum):
    """What ended a placement; the values stand in the journal."""

    POWER_OFF = "power-off"
    """It was powered off by an order of ours."""
    DIED = "died"
    """Its domain ended without an order of ours."""
    GIVEN_UP = "given-up"
    """Somebody said that its host is off."""
    BOOT_FAILED = "boot-failed"
    """It did not come up."""
    NOT_BEGUN = "not-begun"
    """It was ordered, and the host was never asked."""
    MOVED = "moved"
    """It runs on another host now."""
    UNKNOWN = "unknown"
    """It ended before ends were written down."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One stay of a machine on a host. The generation counts the starts of a machine: of two copies the newer is right."""

    machine: str
    host: str
    generation: int
    begun: float
    ended: float | None = None
    ended_by: str = ""
    """A `PlacementEnd`; "" while it lasts."""
