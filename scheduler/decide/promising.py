"""Shares against the farm: what is promised to VOs and cannot be kept, or allowed and cannot be had. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from environments.environment import Share


def over_promised(shares: Mapping[str, Share], there: int) -> dict[str, tuple[str, str]]:
    """Return, for each VO whose share is larger than a farm of so many cores, which key of it, and a sentence."""
    guaranteed = {name: share.guarantee_cpus for name, share in shares.items() if share.guarantee_cpus}
    together = sum(guaranteed.values())
    found = {
        name: ("ceiling_cpus", f"may have {share.ceiling_cpus} cores, the farm has {there}")
        for name, share in shares.items()
        if share.ceiling_cpus is not None and share.ceiling_cpus > there
    }
    if together > there:
        all_of = f"all guarantees together are {together} cores, the farm has {there}"
        found |= dict.fromkeys(guaranteed, ("guarantee_cpus", all_of))
    alone = {name: cpus for name, cpus in guaranteed.items() if cpus > there}
    return found | {name: ("guarantee_cpus", f"guarantees {cpus} cores, the farm has {there}") for name, cpus in alone.items()}
