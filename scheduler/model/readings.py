"""No answer is a value of its own, and is never read as "empty"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A source that did not answer, and what was known of it last."""

    source: str
    reason: str
    asked_at: float
    answered_at: float | None = None
    """When it last answered; None if never since this daemon started."""
    asked: bool = True
    """False: this daemon could not ask, so nobody knows whether the source is silent."""
    pending: bool = False
    """It has time left to answer, but nobody waits for it: what was known of it stands."""


def is_silent(reading: object) -> TypeGuard[Unanswered]:
    """Whether a source did not answer; one that has time left to is not silent."""
    return isinstance(reading, Unanswered) and not reading.pending


def is_pending(reading: object) -> TypeGuard[Unanswered]:
    """Whether a source has not answered yet but still may."""
    return isinstance(reading, Unanswered) and reading.pending
