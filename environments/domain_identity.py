"""Whose a domain is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """What a domain carries in its `<metadata>`: enough to adopt it when the journal is lost."""

    site: str
    worker: str
    environment: str
    version: str
    vo: str
    batch_system: str
    serial: int
    requested_at: float
    address: str | None = None
