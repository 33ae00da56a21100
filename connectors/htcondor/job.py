"""Single jobs and their ended runs, from queue and history. Used by companions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.htcondor.asking import text_of
from connectors.htcondor.bindings import classad2
from connectors.htcondor.messages import EndedRun
from scheduler.model.ports import JobRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.htcondor.bindings import htcondor2
    from connectors.htcondor.matching import Judge

MAXIMUM_RUNS = 1000
_STATUS = {1: "idle", 2: "running", 3: "removed", 4: "completed", 5: "held", 6: "running", 7: "held"}
_ENDED = ("LastRemoteHost", "ExitCode", "ExitBySignal", "CompletionDate", "JobCurrentStartDate", "EnteredCurrentStatus")


def job_record(schedd: htcondor2.Schedd, judge: Judge, name: str, cluster: int, process: int) -> JobRecord | None:
    """Return one job, from the queue if it is there, else from the history."""
    constraint = f"ClusterId == {cluster} && ProcId == {process}"
    queued = schedd.query(constraint, limit=1)
    if queued:
        return _record(queued[0], judge, name, queued=True)
    past = schedd.history(constraint, [], 1)
    return _record(past[0], judge, name, queued=False) if past else None


def _record(ad: classad2.ClassAd, judge: Judge, name: str, *, queued: bool) -> JobRecord:
    judged = judge.judge(judge.ask(ad))
    asked = judged.requirements
    host = text_of(ad, "RemoteHost") or text_of(ad, "LastRemoteHost")
    queued_at = ad.get("QDate")
    return JobRecord(
        job=f"{ad['ClusterId']}.{ad['ProcId']}",
        batch_system=name,
        vo=judged.vo,
        user=text_of(ad, "AcctGroupUser") or text_of(ad, "Owner"),
        status=_STATUS.get(ad.get("JobStatus"), "unknown"),
        cluster_key=judged.key if queued else "",
        wanted=asked.wanted,
        cpus=asked.cpus,
        memory_mib=asked.memory_mib,
        queued_at=float(queued_at) if isinstance(queued_at, int) else None,
        hold_reason=text_of(ad, "HoldReason") or judged.problem,
        worker=host.partition("@")[2] or host,
        starts=starts if isinstance(starts := ad.get("NumJobStarts"), int) else 0 if queued else None,
    )


def runs_of(schedd: htcondor2.Schedd, machines: Sequence[str], since: float) -> tuple[EndedRun, ...]:
    """Return runs that ended on these machines since then: completed ones, and jobs held because they could not run."""
    wanted = set(machines)
    before = classad2.ExprTree(f"CompletionDate < {int(since)}")
    ended = schedd.history("CompletionDate > 0", list(_ENDED), MAXIMUM_RUNS, before)
    # A job held by its user did not fail.
    held = f"JobStatus == 5 && HoldReasonCode =!= 1 && LastRemoteHost =!= undefined && EnteredCurrentStatus >= {int(since)}"
    ended += schedd.query(held, list(_ENDED), limit=MAXIMUM_RUNS)
    runs = []
    for ad in ended:
        machine = text_of(ad, "LastRemoteHost").partition("@")[2]
        begun, over = ad.get("JobCurrentStartDate"), ad.get("CompletionDate") or ad.get("EnteredCurrentStatus")
        if machine not in wanted or not isinstance(begun, int) or not isinstance(over, int):
            continue
        completed = bool(ad.get("CompletionDate"))
        failed = not completed or ad.get("ExitCode") != 0 or ad.get("ExitBySignal") is True
        runs.append(EndedRun(machine, float(over), float(max(0, over - begun)), failed))
    return tuple(runs)
