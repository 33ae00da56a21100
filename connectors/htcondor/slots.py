"""Workers' slots as the collector knows them. Used by companions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.htcondor.expressions import WORKER
from connectors.htcondor.matching import is_number, text_of
from connectors.htcondor.messages import Slot

if TYPE_CHECKING:
    from connectors.htcondor.bindings import classad2
    from connectors.htcondor.matching import Judge

OURS = f"{WORKER} =!= undefined"
ATTRIBUTES = (
    WORKER, "Name", "Machine", "SlotType", "DynamicSlot", "State", "Cpus", "Memory", "TotalSlotCpus", "TotalSlotMemory",
    "Draining", "NumDynamicSlots", "JobStarts", "RecentJobStarts", "DaemonStartTime", "MyCurrentTime", "JobId", "GlobalJobId",
    "RemoteOwner", "RemoteUser", "JobStart",
)  # fmt: skip


def slot_of(ad: classad2.ClassAd, judge: Judge) -> Slot | None:
    """Return the slot of an ad; None when the ad does not say whose it is or how large."""
    worker, cpus, memory_mib = ad.get(WORKER), _integer(ad, "Cpus"), _integer(ad, "Memory")
    if not isinstance(worker, str) or not worker or cpus is None or memory_mib is None:
        return None
    dynamic = ad.get("DynamicSlot") is True or ad.get("SlotType") == "Dynamic"
    job = text_of(ad, "JobId")
    return Slot(
        worker=worker,
        name=text_of(ad, "Name"),
        machine=text_of(ad, "Machine"),
        dynamic=dynamic,
        state=text_of(ad, "State"),
        cpus=cpus,
        memory_mib=memory_mib,
        total_cpus=_integer(ad, "TotalSlotCpus") or cpus,
        total_memory_mib=_integer(ad, "TotalSlotMemory") or memory_mib,
        draining=ad.get("Draining") is True or text_of(ad, "State") == "Drained",
        dynamic_slots=_integer(ad, "NumDynamicSlots") or 0,
        job_starts=_integer(ad, "JobStarts") or 0,
        recent_job_starts=_integer(ad, "RecentJobStarts") or 0,
        started_at=_time(ad, "DaemonStartTime"),
        told_at=_time(ad, "MyCurrentTime"),
        job=job,
        user=text_of(ad, "RemoteOwner") or text_of(ad, "RemoteUser"),
        vo=judge.vo(ad) if job else "",
        job_started_at=_time(ad, "JobStart"),
        walltime_seconds=judge.walltime(ad) if job else None,
    )


def _integer(ad: classad2.ClassAd, name: str) -> int | None:
    value = ad.get(name)
    return round(value) if is_number(value) else None


def _time(ad: classad2.ClassAd, name: str) -> float | None:
    value = ad.get(name)
    return float(value) if is_number(value) and value > 0 else None
