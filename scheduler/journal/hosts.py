"""What administrators say of hosts: a host that is off for good, on somebody's word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.journal import tables as t
from scheduler.journal.records import Note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from scheduler.journal.records import HostOff
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
