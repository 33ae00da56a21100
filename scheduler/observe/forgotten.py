"""Hosts that are off for good, on somebody's word: their workers are given up. Pure.

Rules:
1. A host that answers is not off, whatever was said: the word is void.
2. Nothing is given up that was seen on another host, or while an act of ours on it is under way.
3. Who said so, and why, stands beside every worker that is given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.journal.hosts import BY_WORD
from scheduler.journal.records import Note
from scheduler.model.host_states import HostState
from scheduler.model.hosts import HostReading
from scheduler.model.machines import PlacementEnd
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from scheduler.journal.records import Entry, Ledger
    from scheduler.model.host_states import HostWord
    from scheduler.model.readings import Unanswered
    from scheduler.observe.remember import Additions


def give_up(
    ledger: Ledger,
    hosts: Mapping[str, HostReading | Unanswered],
    seen: AbstractSet[str],
    busy: AbstractSet[str],
    news: Additions,
    *,
    now: float,
) -> set[str]:
    """Return the workers that are given up; `seen`: those whose domain some host shows, `busy`: those with an act under way."""
    given_up: set[str] = set()
    for word in ledger.host_words:
        if word.state is not HostState.OFF:
            continue
        host = word.host
        reading = hosts.get(host)
        if isinstance(reading, HostReading):
            news.void.append(host)
            news.notes.append(Note("host-forget", host, "refused", detail={"by": word.by, "reason": "the host answers"}))
            continue
        if reading is not None and reading.pending:
            continue
        theirs = [entry for entry in ledger.entries.values() if entry.host == host and entry.name not in seen]
        for entry in theirs:
            if entry.name not in busy:
                given_up.add(entry.name)
                _tell(entry, word, now, news)
        if not any(entry.name in busy for entry in theirs):
            news.words.append(host)
            news.notes.append(
                Note("host-forget", host, "done", detail={"by": word.by, "why": word.why, "workers": len(theirs)})
            )
    return given_up


def _tell(entry: Entry, word: HostWord, now: float, news: Additions) -> None:
    gone = WorkerState.GONE.value
    news.changes[entry.name] = {"state": gone, "since": now, "closed_at": now, "ended_by": PlacementEnd.GIVEN_UP.value}
    detail = {"from": entry.state.value, "host": entry.host, "environment": entry.environment, "vo": entry.vo}
    news.notes.append(Note("state", entry.name, gone, detail=detail | {BY_WORD: word.by}))
