"""Whose a domain is: what every domain of ours carries in its `<metadata>`, enough to know it when the journal is lost."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class Role(StrEnum):
    """What a machine of ours is for."""

    WORKER = "worker"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """A worker node: its name and UUID are used once."""

    role: ClassVar = Role.WORKER
    site: str
    machine: str
    environment: str
    version: str
    vo: str
    batch_system: str
    serial: int
    requested_at: float
    address: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceIdentity:
    """A machine of a service: it keeps its name and its UUID wherever it is started."""

    role: ClassVar = Role.SERVICE
    site: str
    machine: str
    generation: int
    """Of its placement: the same machine found on two hosts belongs to the newer one."""
    requested_at: float


Identity = WorkerIdentity | ServiceIdentity
"""What a domain of ours carries."""
