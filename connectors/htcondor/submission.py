"""The jobs of one submission (a cluster), counted by the schedd: a row for each state, however many. Used by companions."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from connectors.htcondor.bindings import htcondor2
from connectors.htcondor.queue import first_job
from scheduler.model.ports import Submission

if TYPE_CHECKING:
    from connectors.htcondor.bindings import classad2

_STATES = {1: "idle", 2: "running", 5: "held", 6: "running", 7: "running"}
"""By JobStatus; removed and completed jobs that are still in the queue count as done."""
_SUBMITTED = "TotalSubmitProcs"


def submission(schedd: htcondor2.Schedd, name: str, cluster: int) -> Submission | None:
    """Return how the jobs of a cluster stand, from the queue, and when none is left there from the history."""
    constraint = f"ClusterId == {cluster}"
    # Groups are made before the constraint is looked at: what it asks for has to be in the projection.
    groups = schedd.query(constraint, ["ClusterId", "JobStatus", _SUBMITTED], opts=htcondor2.QueryOpt.GroupBy)
    if not groups:
        past = schedd.history(constraint, [_SUBMITTED], 1)
        return Submission(str(cluster), name, 0, 0, 0, _submitted(past) or None, "") if past else None
    counts: defaultdict[str, int] = defaultdict(int)
    first: dict[str, tuple[int, int]] = {}
    for ad in groups:
        state = _STATES.get(ad.get("JobStatus"), "done")
        counts[state] += ad["JobCount"]
        job = first_job(str(ad.get("JobIds", "")))
        first[state] = min(first.get(state, job), job)
    told = next((first[state] for state in ("idle", "held", "running") if state in first), None)
    left = sum(counts[state] for state in ("idle", "running", "held"))
    submitted = _submitted(groups)
    return Submission(
        name=str(cluster),
        batch_system=name,
        idle=counts["idle"],
        running=counts["running"],
        held=counts["held"],
        done=submitted - left if submitted >= left else None,
        first=f"{told[0]}.{told[1]}" if told else "",
    )


def _submitted(ads: list[classad2.ClassAd]) -> int:
    told = (ad.get(_SUBMITTED) for ad in ads)
    return max((count for count in told if isinstance(count, int)), default=0)
