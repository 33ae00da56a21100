"""Jobs that were put on hold and where they had run: what an outage leaves behind beside the lost ones. Used by companions.

The queue is asked only when an exact reading shows jobs on hold and the schedd's counters have moved, only for holds since
shortly before the last time, and never for more than `MOST`. Whoever keeps them knows those that are told again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connectors.htcondor.messages import Held

if TYPE_CHECKING:
    from connectors.htcondor.bindings import classad2, htcondor2

MOST = 1000
FIRST_SECONDS = 86400
"""So far back goes the first look."""
OVERLAP_SECONDS = 600
"""So far before the last look begins the next: an answer that came too late is not lost, and clocks may differ."""
_ATTRIBUTES = ["ClusterId", "ProcId", "RemoteHost", "LastRemoteHost", "EnteredCurrentStatus", "HoldReason"]
_RAN = "(RemoteHost =!= undefined || LastRemoteHost =!= undefined)"
"""The first while its shadow still tries to reach a worker that is dead."""


@dataclass(slots=True)
class HoldsMemory:
    """What is remembered of one schedd's holds between two looks."""

    looked_at: float | None = None

    def since(self, schedd: htcondor2.Schedd) -> tuple[Held, ...] | None:
        """Return the jobs on hold that had run and were held since the last look; None: they are too many to tell."""
        now = time.time()
        first = now - FIRST_SECONDS if self.looked_at is None else self.looked_at - OVERLAP_SECONDS
        asked = f"JobStatus == 5 && EnteredCurrentStatus >= {int(first)} && {_RAN}"
        ads = schedd.query(asked, _ATTRIBUTES, limit=MOST)
        self.looked_at = now
        return None if len(ads) >= MOST else tuple(held for ad in ads if (held := _held(ad)) is not None)


def _held(ad: classad2.ClassAd) -> Held | None:
    host, at, why = ad.get("RemoteHost") or ad.get("LastRemoteHost"), ad.get("EnteredCurrentStatus"), ad.get("HoldReason")
    if not isinstance(host, str) or not isinstance(at, int):
        return None
    job = f"{ad['ClusterId']}.{ad['ProcId']}"
    return Held(job, host.partition("@")[2] or host, float(at), why if isinstance(why, str) else "")
