"""What HTCondor means by its few words, and what to look at. Pure."""

from __future__ import annotations

_HINTS = {
    "Failed communication with collector": "is {collector} up, and does it accept our token?",
    "Failed to advertise": "does the collector at {collector} allow us ADVERTISE_STARTD and ADVERTISE_MASTER?",
    "DRAIN_JOBS": "does the collector at {collector} allow us ADMINISTRATOR?",
    "Can't find address for startd": "the collector does not know this worker",
    "(null)": "is the collector {collector} up?",
}


def with_hint(answer: str, collector: str) -> str:
    """Return what HTCondor answered with what to look at; its own words often are few."""
    return next((f"{answer} ({hint.format(collector=collector)})" for words, hint in _HINTS.items() if words in answer), answer)
