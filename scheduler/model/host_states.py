"""The life of a host, as a table, and what is said of hosts. The diagram in the documentation is drawn from it.

Rule 1: whatever decides which state may follow which stands in this file, as data.
Rule 2: states are *derived* at each observation from the host's answer and from what somebody said of it; a step that the table
does not hold is reported, not hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from scheduler.model.hosts import Host, HostReading

if TYPE_CHECKING:
    from scheduler.model.readings import Unanswered


class HostState(StrEnum):
    """Where a host stands; the values stand in the journal."""

    UP = "up"
    LATE = "late"
    SILENT = "silent"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"
    SUSPECTED = "suspected"
    FENCING = "fencing"
    FENCED = "fenced"
    OFF = "off"
    RETURNING = "returning"


_H = HostState
MEANING: dict[HostState, str] = {
    _H.UP: "it answers, and may take machines",
    _H.LATE: "it has not answered yet and still may; what was known of it stands",
    _H.SILENT: "it does not answer: what runs there is not known, nothing is done there",
    _H.DRAINING: "it answers, takes no new machines, and its workers end when their jobs have",
    _H.MAINTENANCE: "somebody works on it: its machines were moved away, and its silence is no failure",
    _H.SUSPECTED: "it has been silent for so many looks that it may have failed",
    _H.FENCING: "it is being switched off, so that what ran there can start elsewhere",
    _H.FENCED: "it is confirmed to be off",
    _H.OFF: "somebody said that it is off for good, and it does not answer",
    _H.RETURNING: "it answers again for the first time",
}
_TRUTH = {
    _H.UP: "it answers",
    _H.LATE: "its answer is not there yet",
    _H.SILENT: "it does not answer",
    _H.DRAINING: "somebody drains it",
    _H.MAINTENANCE: "somebody works on it",
}
_SAID_OFF = {_H.OFF: "somebody says that it is off"}
_WORK = {_H.MAINTENANCE: "somebody works on it"}
_BACK = {_H.RETURNING: "it answers again", _H.LATE: "its answer is not there yet"}


def _answering(state: HostState) -> dict[HostState, str]:
    return {after: why for after, why in (_TRUTH | _SAID_OFF).items() if after is not state}


TRANSITIONS: dict[HostState, dict[HostState, str]] = {
    _H.UP: _answering(_H.UP),
    _H.LATE: _answering(_H.LATE) | {_H.RETURNING: "it answers again"},
    _H.SILENT: _BACK | _SAID_OFF | _WORK | {_H.SUSPECTED: "it has been silent for too long"},
    _H.DRAINING: _answering(_H.DRAINING) | {_H.UP: "the drain was taken back"},
    _H.MAINTENANCE: _answering(_H.MAINTENANCE) | {_H.UP: "the work is over"},
    _H.SUSPECTED: _BACK
    | _SAID_OFF
    | _WORK
    | {
        _H.SILENT: "many hosts are silent together, so that the network is suspected",
        _H.FENCING: "a majority agrees that it is gone",
        _H.FENCED: "its storage lease has ended, or somebody confirms that it is off",
    },
    _H.FENCING: _BACK
    | _SAID_OFF
    | {_H.FENCED: "it is confirmed to be off", _H.SUSPECTED: "no fence device has switched it off, or fencing was disarmed"},
    _H.FENCED: _BACK | _SAID_OFF | _WORK,
    _H.OFF: _BACK | {_H.SILENT: "the word was taken back, or acted upon"},
    _H.RETURNING: _answering(_H.RETURNING),
}
AWAY = frozenset({_H.SILENT, _H.SUSPECTED, _H.FENCING, _H.FENCED, _H.OFF})
"""States of a host that does not answer."""


def allowed(before: HostState, after: HostState) -> bool:
    """Whether the table holds this step (staying is always allowed)."""
    return before is after or after in TRANSITIONS[before]


@dataclass(frozen=True, slots=True)
class HostWord:
    """What somebody said of a host, until it is taken back or acted upon."""

    host: str
    state: HostState
    """DRAINING or OFF."""
    since: float
    by: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class HostStanding:
    """In which state a host is, since when, on whose word, and why."""

    state: HostState
    since: float | None
    """None: it was so already at the first look, and nobody knows since when."""
    by: str = ""
    """Who said so; "" where the host itself tells it."""
    why: str = ""
    away: bool = False
    """It did not answer when it was last known, and has not answered since."""


def said_of(host: str, words: Iterable[HostWord], described: Host | None) -> dict[HostState, HostWord]:
    """Return what is said of a host: by an administrator in `words`, else by the site file, else by its discovery."""
    said = {word.state: word for word in words}
    if described is not None and HostState.DRAINING not in said:
        if described.draining:
            said[HostState.DRAINING] = HostWord(host, HostState.DRAINING, 0.0, "the site file", "drain: true")
        elif described.left:
            by = f"discovery {described.left}"
            said[HostState.DRAINING] = HostWord(host, HostState.DRAINING, 0.0, by, "it names the host no longer")
    return said


def standing(
    reading: HostReading | Unanswered | None, said: Mapping[HostState, HostWord], before: HostStanding | None, now: float
) -> HostStanding:
    """Derive how a host stands from its answer, from what is said of it, and from how it stood at the last look."""
    away = before is not None and before.away
    word: HostWord | None = None
    why = ""
    if isinstance(reading, HostReading):
        away, word = False, said.get(HostState.DRAINING)
        came_back = before is not None and (before.away or before.state in AWAY)
        state = HostState.RETURNING if came_back else HostState.UP if word is None else HostState.DRAINING
    elif reading is None or reading.pending:
        state, why = HostState.LATE, "" if reading is None else reading.reason
    else:
        away, word, why = True, said.get(HostState.OFF), reading.reason
        state = HostState.SILENT if word is None else HostState.OFF
    since = None if before is None else before.since if before.state is state else now
    if word is None or state is HostState.RETURNING:
        return HostStanding(state, since, why=why, away=away)
    return HostStanding(state, word.since or since, word.by, word.why or why, away)
