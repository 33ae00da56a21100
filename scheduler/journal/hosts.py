"""What administrators say of hosts: a host that is off for good, on somebody's word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from scheduler.journal import tables as t
from scheduler.journal.records import Note
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from scheduler.journal.reading import JournalReader
    from scheduler.journal.records import Entry, HostOff
    from scheduler.journal.writing import JournalWriter


def say_off(journal: JournalWriter, word: HostOff) -> None:
    """Keep somebody's word that a host is off for good; the daemon gives its workers up, unless the host answers."""
    with journal.write("host-off") as connection:
        row = {"host": word.host, "at": word.at, "by": word.by, "why": word.why}
        journal.upsert(connection, t.hosts_off, ["host"], [row])
        journal.note(connection, word.at, [Note("host-forget", word.host, "asked", detail={"by": word.by, "why": word.why})])


def settle(connection: Connection, hosts: Sequence[str], void: Sequence[str]) -> None:
    """Take away words: acted upon, with the drain marks of their hosts; or void, and their hosts stay as they are."""
    for table, names in ((t.hosts_off, (*hosts, *void)), (t.drained_hosts, hosts)):
        connection.execute(table.delete().where(table.c.host.in_(names)))


def given_up(journal: JournalReader, since: float) -> list[tuple[Entry, float]]:
    """Return the workers that were given up with their host since then, each with when."""
    c = t.events.c
    asked = sa.select(c.subject, c.at, c.detail).where(c.kind == "state", c.cause == WorkerState.GONE.value, c.at >= since)
    with journal.read("workers that were given up") as connection:
        at = {row.subject: row.at for row in connection.execute(asked) if BY_WORD in row.detail}
    return [(entry, at[name]) for name, entry in journal.entries_of(at).items()]


BY_WORD = "off_by_word_of"
"""The detail of a line of the log by which a worker was given up: who said that its host is off."""
