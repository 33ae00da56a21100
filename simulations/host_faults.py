"""What may be wrong with a simulated host."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.model.failures import FailureCause


@dataclass(slots=True)
class HostFaults:
    """What is wrong with a host now."""

    silent: bool = False
    """Its libvirt daemon answers nothing; its domains run on."""
    dead: bool = False
    """No power: nothing runs, nothing answers."""
    slow_seconds: float = 0.0
    """Takes this long for an answer; longer than the deadline is no answer, but what was asked is done."""
    boots_slow: bool = False
    """Boots what it is asked to, but the answer comes too late."""
    boots_seconds: float = 0.0
    """Boots what it is asked to at once, but answers only so much later; until then it is asked nothing else."""
    boots_fail: str = ""
    """What it answers to every boot."""
    boots_fail_of: FailureCause = FailureCause.STOCK_OUT
    black_hole: bool = False
    """Domains start and never register."""
    partial: bool = False
    """Readings lack every second domain, and say so."""
    mute: bool = False
    """Sends no events."""
