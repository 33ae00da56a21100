"""The life of an incident, as a table. The diagram in the documentation is drawn from it.

Rule 1: whatever decides which state may follow which stands in this file, as data.
Rule 2: one cause is one incident; what happens to its objects moves it, and `follow.py` alone does the moving.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where an incident stands."""

    QUIET = "quiet"
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    SELF_HEALED = "self-healed"
    REOPENED = "reopened"
    DISMISSED = "dismissed"


S = State

MEANING: dict[State, str] = {
    S.QUIET: "bad, but every bad object is in an agreed downtime: nobody is paged and no deadline runs",
    S.OPEN: "paged, nobody has acknowledged it",
    S.ACKNOWLEDGED: "somebody has it in hand",
    S.RESOLVED: "over, after somebody had acknowledged or resolved it",
    S.SELF_HEALED: "over before anybody acknowledged it",
    S.REOPENED: "the same cause came back soon after its end: paged again, nobody has acknowledged it",
    S.DISMISSED: "recovered inside its downtime: nobody was paged, it counts nowhere",
}

TRANSITIONS: dict[State, dict[State, str]] = {
    S.QUIET: {
        S.OPEN: "the downtime ended and it is still bad, or an object outside any downtime went bad too",
        S.DISMISSED: "all its objects recovered inside the downtime",
    },
    S.OPEN: {
        S.ACKNOWLEDGED: "somebody acknowledged it",
        S.SELF_HEALED: "all its objects recovered before anybody acknowledged it",
        S.RESOLVED: "somebody resolved it at once",
    },
    S.ACKNOWLEDGED: {
        S.RESOLVED: "all its objects recovered, or somebody resolved it",
    },
    S.RESOLVED: {
        S.REOPENED: "the same cause came back within the reopening time",
    },
    S.SELF_HEALED: {
        S.REOPENED: "the same cause came back within the reopening time",
    },
    S.REOPENED: {
        S.ACKNOWLEDGED: "somebody acknowledged it",
        S.SELF_HEALED: "all its objects recovered before anybody acknowledged it again",
        S.RESOLVED: "somebody resolved it at once",
    },
    S.DISMISSED: {},
}

WAITING = frozenset({S.OPEN, S.REOPENED})
"""A person is being waited for: pages go out, the deadline runs."""
OVER = frozenset({S.RESOLVED, S.SELF_HEALED, S.DISMISSED})


def allowed(before: State, after: State) -> bool:
    """Whether the table holds this step."""
    return after in TRANSITIONS[before]
