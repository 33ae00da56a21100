"""Writing the journal: the lease, transactions, and the lines of the event log."""

from __future__ import annotations

import fcntl
import os
import weakref
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import SQLAlchemyError

from scheduler.journal import tables as t
from scheduler.journal.opening import JournalError, explain
from scheduler.journal.reading import JournalReader
from scheduler.journal.records import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy.engine import Connection


class LeaseLostError(JournalError):
    """Another daemon acts now: this one must not."""


class JournalWriter(JournalReader):
    """An open journal as far as lease and event log go; calls may come from several threads, writes take turns."""

    def __init__(
        self,
        url: str,
        *,
        now: float,
        on_commit: Callable[[str], None] | None = None,
        durable: bool = True,
        busy_seconds: float = 5,
    ) -> None:
        """Open the journal as `JournalReader` does; `on_commit` is called with the name of each write after its commit."""
        super().__init__(url, now=now, durable=durable, busy_seconds=busy_seconds)
        self._on_commit = on_commit or (lambda _: None)
        self._held_file: weakref.finalize[..., JournalWriter] | None = None

    def close(self) -> None:
        """Give the connections back; the lease stays until it ends or is released."""
        self._let_go_of_file()
        super().close()

    @contextmanager
    def write(self, what: str) -> Iterator[Connection]:
        """One transaction; whatever the database answers becomes a JournalError, and nothing is half-written."""
        with self._turn:
            try:
                with self._engine.begin() as connection:
                    yield connection
            except SQLAlchemyError as error:
                self._cache = None
                raise JournalError(f"journal {self._where}: cannot write ({what}): {explain(error)}") from error
            except BaseException:
                self._cache = None
                raise
            self._on_commit(what)

    # --- the lease ----------------------------------------------------------------------------------------------------

    def hold_lease(self, owner: str, now: float, seconds: float) -> bool:
        """Take or renew the right to act; False while another daemon has it.

        A lease that has not ended is taken over only when the kernel proves its holder dead: it held the lock on SQLite's side
        file when it wrote the row, and now we hold it.
        """
        with self.write("lease") as connection:
            row = connection.execute(sa.select(t.lease).with_for_update()).one()
            takes_over = row.owner != owner
            locked = self._take_file()
            if takes_over and row.owner and row.until > now and not (row.locked and locked):
                self._let_go_of_file()
                return False
            epoch = row.epoch + 1 if takes_over or self._epoch != row.epoch else row.epoch
            connection.execute(t.lease.update().values(owner=owner, until=now + seconds, epoch=epoch, locked=locked))
            if epoch != self._epoch:
                self._cache = None
                self._epoch = epoch
                self.note(connection, now, [Note("lease", owner, "taken", detail={"from": row.owner, "epoch": epoch})])
        return True

    def renew_lease(self, owner: str, now: float, seconds: float) -> bool:
        """Prolong a lease that is still ours, never take one: for the time in which a round takes long."""
        with self.write("renew") as connection:
            ours = sa.and_(t.lease.c.owner == owner, t.lease.c.epoch == self._epoch)
            return bool(connection.execute(t.lease.update().where(ours).values(until=now + seconds)).rowcount)

    @property
    def epoch(self) -> int:
        """The lease under which this daemon acts; 0 while it has none."""
        return self._epoch

    def release_lease(self, owner: str, now: float) -> None:
        """Let the next daemon act at once."""
        with self.write("release") as connection:
            ours = sa.and_(t.lease.c.owner == owner, t.lease.c.epoch == self._epoch)
            if connection.execute(t.lease.update().where(ours).values(owner="", until=0.0, locked=False)).rowcount:
                self.note(connection, now, [Note("lease", owner, "released")])
        self._let_go_of_file()

    def _take_file(self) -> bool:
        """Lock the side file: the kernel gives it back the instant its holder dies."""
        if self._lock_path is None:
            return False
        if self._held_file is None:
            file = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
                return False
            self._held_file = weakref.finalize(self, os.close, file)
        return True

    def _let_go_of_file(self) -> None:
        if self._held_file is not None:
            self._held_file()
            self._held_file = None

    def fence(self, connection: Connection, owner: str) -> None:
        """Raise LeaseLostError unless `owner` holds the lease, in the transaction of a write."""
        row = connection.execute(sa.select(t.lease).with_for_update()).one()
        if row.owner != owner or row.epoch != self._epoch:
            raise LeaseLostError(
                f"journal {self._where}: the lease is held by {row.owner or 'nobody'}, not by {owner}: nothing is done"
            )

    # --- what all writes share ----------------------------------------------------------------------------------------

    def upsert(
        self, connection: Connection, table: sa.Table, key: Sequence[str], rows: list[dict[str, Any]], keep: Sequence[str] = ()
    ) -> None:
        """Insert rows, or replace those of the same key except for the columns to `keep`."""
        if rows:
            insert = _INSERT[connection.dialect.name](table)
            new = {name: insert.excluded[name] for name in rows[0] if name not in key and name not in keep}
            connection.execute(insert.on_conflict_do_update(index_elements=key, set_=new), rows)

    def note(self, connection: Connection, now: float, notes: Sequence[Note]) -> None:
        """Append lines to the event log, in the transaction of what they tell."""
        if notes:
            rows = [asdict(note) | {"at": now, "detail": dict(note.detail)} for note in notes]
            connection.execute(t.events.insert(), rows)


_INSERT: dict[str, Any] = {"sqlite": sqlite_insert, "postgresql": postgresql_insert}
