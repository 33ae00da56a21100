"""Workers' slots as the collector knows them. Used by companions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.htcondor.asking import evaluated, is_amount, text_of
from connectors.htcondor.expressions import WORKER
from connectors.htcondor.messages import Slot

if TYPE_CHECKING:
    from connectors.htcondor.bindings import classad2
    from connectors.htcondor.matching import Judge

_CLOCKS_DIFFER_SECONDS = 120.0
"""Only when they are so far apart is a worker's clock corrected by the collector's: an update may have been under way."""
OURS = f"{WORKER} =!= undefined"
ATTRIBUTES = (
    WORKER, "Name", "Machine", "SlotType", "DynamicSlot", "State", "Cpus", "Memory", "TotalSlotCpus", "TotalSlotMemory",
    "Draining", "NumDynamicSlots", "JobStarts", "RecentJobStarts", "DaemonStartTime", "MyCurrentTime", "JobId", "GlobalJobId",
    "RemoteOwner", "RemoteUser", "JobStart", "Disk", "GPUs",
    "RemoteOwner", "RemoteUser", "JobStart", "Activity", "EnteredCurrentState", "EnteredCurrentActivity", "LastHeardFrom",
    "MachineMaxVacateTime", "JobMaxVacateTime",
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
        disk_mib=-(-(_integer(ad, "Disk") or 0) // 1024),
        gpus=_integer(ad, "GPUs") or 0,
        activity=text_of(ad, "Activity"),
        entered_at=_entered(ad),
        vacate_seconds=_vacate_seconds(ad),
    )


def _entered(ad: classad2.ClassAd) -> float | None:
    """Return when a slot entered its state (its activity, where it is claimed), by the collector's clock if they differ."""
    at = _time(ad, "EnteredCurrentActivity" if text_of(ad, "State") == "Claimed" else "EnteredCurrentState")
    told, heard = _time(ad, "MyCurrentTime"), _time(ad, "LastHeardFrom")
    if at is None or told is None or heard is None or abs(heard - told) < _CLOCKS_DIFFER_SECONDS:
        return at
    return at + heard - told


def _vacate_seconds(ad: classad2.ClassAd) -> int | None:
    """Return how long a job that is taken back may take: what the machine allows, or more where the job asks for it."""
    allowed = evaluated(ad, "MachineMaxVacateTime")
    told = [round(one) for one in (allowed, ad.get("JobMaxVacateTime")) if is_amount(one)]
    return max(told, default=None)


def _integer(ad: classad2.ClassAd, name: str) -> int | None:
    value = ad.get(name)
    return round(value) if is_amount(value) else None


def _time(ad: classad2.ClassAd, name: str) -> float | None:
    value = ad.get(name)
    return float(value) if is_amount(value) and value > 0 else None
