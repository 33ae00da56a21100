"""What is said of hosts: that one is drained, or off for good on somebody's word."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import sqlalchemy as sa

from scheduler.journal import tables as t
from scheduler.journal.reading import host_words_in
from scheduler.journal.records import Note
from scheduler.model.host_states import HostState, HostWord
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from scheduler.journal.reading import JournalReader
    from scheduler.journal.records import Entry
    from scheduler.journal.writing import JournalWriter


def drained_hosts(journal: JournalReader) -> dict[str, HostWord]:
    """Return the hosts that somebody drains."""
    with journal.read("drained hosts") as connection:
        return {word.host: word for word in host_words_in(connection) if word.state is HostState.DRAINING}


def drain(journal: JournalWriter, host: str, why: str, now: float, by: str = "") -> None:
    """Drain a host from now on, across restarts, until `undrain`; one that is drained gets another `why` only."""
    with journal.write("drain-host") as connection:
        _keep(journal, connection, HostWord(host, HostState.DRAINING, now, by, why), keep=("since",))
        journal.note(connection, now, [Note("host-drain", host, "by-hand", detail={"why": why, "by": by})])


def undrain(journal: JournalWriter, host: str, now: float, by: str = "") -> bool:
    """Take a drain back; False if the host was not drained."""
    with journal.write("undrain-host") as connection:
        found = _take_away(connection, [host], HostState.DRAINING)
        if found:
            journal.note(connection, now, [Note("host-undrain", host, "by-hand", detail={"by": by})])
        return bool(found)


def say_off(journal: JournalWriter, host: str, why: str, now: float, by: str) -> None:
    """Keep somebody's word that a host is off for good; the daemon gives its workers up, unless the host answers."""
    with journal.write("host-off") as connection:
        _keep(journal, connection, HostWord(host, HostState.OFF, now, by, why))
        journal.note(connection, now, [Note("host-forget", host, "asked", detail={"by": by, "why": why})])


def settle(connection: Connection, hosts: Sequence[str], void: Sequence[str]) -> None:
    """Take away words that hosts are off: acted upon, with their drains; or void, and their hosts stay as they are."""
    _take_away(connection, (*hosts, *void), HostState.OFF)
    _take_away(connection, hosts, HostState.DRAINING)


def _keep(journal: JournalWriter, connection: Connection, word: HostWord, keep: Sequence[str] = ()) -> None:
    row = asdict(word) | {"state": word.state.value}
    journal.upsert(connection, t.host_words, ["host", "state"], [row], keep=keep)


def _take_away(connection: Connection, hosts: Sequence[str], state: HostState) -> int:
    c = t.host_words.c
    return connection.execute(t.host_words.delete().where(c.host.in_(hosts), c.state == state.value)).rowcount


def given_up(journal: JournalReader, since: float) -> list[tuple[Entry, float]]:
    """Return the workers that were given up with their host since then, each with when."""
    c = t.events.c
    asked = sa.select(c.subject, c.at, c.detail).where(c.kind == "state", c.cause == WorkerState.GONE.value, c.at >= since)
    with journal.read("workers that were given up") as connection:
        at = {row.subject: row.at for row in connection.execute(asked) if BY_WORD in row.detail}
    return [(entry, at[name]) for name, entry in journal.entries_of(at).items()]


BY_WORD = "off_by_word_of"
"""The detail of a line of the log by which a worker was given up: who said that its host is off."""
