"""Writing the journal: the lease, transactions, and the lines of the event log."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from environments.text import printable
from scheduler.journal import tables as t
from scheduler.journal.opening import BROKEN, DAMAGED, REFUSALS, JournalError, RefusedError, SideFile, explain
from scheduler.journal.reading import JournalReader, lease_of
from scheduler.journal.records import Note
from scheduler.journal.upgrading import check_form_of
from scheduler.model.instants import micro

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from scheduler.journal.records import Lease, Look
    from scheduler.journal.segments import ObjectRecords, WatchPeriod


_log = logging.getLogger("ambienti")


class LeaseLostError(JournalError):
    """Another daemon acts now: this one must not."""


WAITS_SECONDS = 0.5
"""A write that waits longer for its turn in the database is stuck."""
LOCKED_SECONDS = 5.0
"""After a write that could not begin the journal counts as stuck so long, or until one can."""


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
        side_file: Path | None = None,
    ) -> None:
        """Open the journal as `JournalReader` does; `on_commit` is called with the name of each write after its commit.

        `side_file` is one of this machine, by which the next daemon here knows at once that this one died; SQLite has its own.
        """
        super().__init__(url, now=now, durable=durable, busy_seconds=busy_seconds)
        self._on_commit = on_commit or (lambda _: None)
        self._side_file = SideFile(self._file.lock_path if self._file else None, side_file)
        self.monotonic: Callable[[], float] | None = None
        """The clock that stamps lines of the event log beside the wall clock."""
        self.stored_objects: dict[str, ObjectRecords] | None = None
        """Objects with the end of their statuses, as far as they were read; None: not read, or not to be trusted."""
        self.watch: WatchPeriod | None = None
        """The present stretch of looking; None: this daemon has not looked yet."""
        self.looked: Look | None = None
        """The last look: that all was as before is written with the lease, not by a commit of its own."""
        self._waits_since: float | None = None
        """Monotonic time since which a write waits to begin."""
        self._locked_at: float | None = None
        """Monotonic time at which the last write could not begin."""
        self.tells: dict[str, bool] = {}
        """Batch system -> whether it tells of jobs on hold, as it was written last."""

    def close(self) -> None:
        """Give the connections back; the lease stays until it ends or is released."""
        self._side_file.let_go()
        super().close()

    @contextmanager
    def write(self, what: str) -> Iterator[Connection]:
        """One transaction; whatever the database answers becomes a JournalError, and nothing is half-written."""
        with self._turn:
            try:
                self._waits_since = self._time()
                with self._engine.begin() as connection:
                    self._waits_since = self._locked_at = None
                    if self._file is not None:
                        self._file.check()
                    yield connection
            except (SQLAlchemyError, *REFUSALS) as error:
                self._trust_nothing()
                self._locked_at = self._time() if self._waits_since is not None else None
                self._waits_since = None
                kind = RefusedError if isinstance(error, REFUSALS) else JournalError
                raise kind(f"journal {self._where}: cannot write ({what}): {explain(error)}") from error
            except BROKEN as error:
                self._trust_nothing()
                raise JournalError(f"journal {self._where}: cannot write ({what}): {error}: {DAMAGED}") from error
            except BaseException:
                self._trust_nothing()
                self._waits_since = None
                raise
            self._on_commit(what)

    @property
    def stuck(self) -> bool:
        """Whether a write waits to begin, or could not a moment ago: whoever can come again is told so, not kept waiting."""
        now, waits, locked = self._time(), self._waits_since, self._locked_at
        if now is None:
            return False
        return (waits is not None and now - waits > WAITS_SECONDS) or (locked is not None and now - locked < LOCKED_SECONDS)

    def _time(self) -> float | None:
        return self.monotonic() if self.monotonic else None

    def reload(self) -> None:
        """Read afresh what is kept in memory of the workers: the journal's row has changed."""
        with self._turn:
            self._cache = None

    def _trust_nothing(self) -> None:
        self._cache = self.stored_objects = self.watch = None

    # --- the lease ----------------------------------------------------------------------------------------------------

    def hold_lease(self, owner: str, now: float, seconds: float, *, unmoved: Lease | None = None) -> bool:
        """Take or renew the right to act; False while another daemon has it.

        Taken is a lease that was given back; one whose holder the kernel proves dead: it had the lock on a side file when it
        wrote the row, and now we have it; and one that is still `unmoved`, as the caller has watched it for the whole time of
        a lease. `seconds` are for reports: for so long from `now` on the farm counts as looked at.
        """
        with self.write("lease") as connection:
            renewed = self._epoch and self._renew(connection, owner, now + seconds)
            if not renewed and not self._take(connection, owner, now, now + seconds, unmoved):
                self._side_file.let_go()
                return False
            self.sign_of_life(connection)
        return True

    def renew_lease(self, owner: str, now: float, seconds: float) -> bool:
        """Prolong a lease that is still ours, never take one: for the time in which a round takes long."""
        with self.write("renew") as connection:
            return self._renew(connection, owner, now + seconds)

    def _renew(self, connection: Connection, owner: str, until: float) -> bool:
        moved = {"renewals": t.lease.c.renewals + 1, "until": until, "lock": self._side_file.take()}
        return bool(connection.execute(t.lease.update().where(self.ours(owner)).values(moved)).rowcount)

    def _take(self, connection: Connection, owner: str, now: float, until: float, unmoved: Lease | None) -> bool:
        found, lock = lease_of(connection), self._side_file.take()
        proven_dead = bool(lock) and lock == found.lock
        if found.owner and not proven_dead and found != unmoved:
            return False
        check_form_of(connection, self._where)
        as_seen = sa.and_(t.lease.c.epoch == found.epoch, t.lease.c.renewals == found.renewals, t.lease.c.owner == found.owner)
        epoch = found.epoch + 1
        taken = {"owner": owner, "epoch": epoch, "renewals": found.renewals + 1, "until": until, "lock": lock}
        if not connection.execute(t.lease.update().where(as_seen).values(taken)).rowcount:
            return False
        self._trust_nothing()
        self._epoch, self.looked = epoch, None
        self.note(connection, now, [Note("lease", owner, "taken", detail={"from": found.owner, "epoch": epoch})])
        return True

    def ours(self, owner: str) -> sa.ColumnElement[bool]:
        """Say which lease this very journal took: two processes of one name are two holders."""
        return sa.and_(t.lease.c.owner == owner, t.lease.c.epoch == self._epoch)

    def holder_lives(self) -> bool:
        """Whether the kernel proves that the daemon which holds the lease lives, on this machine."""
        name = self._side_file.name()
        return bool(name) and self.lease().lock == name and not self._side_file.take()

    @property
    def epoch(self) -> int:
        """The lease under which this daemon acts; 0 while it has none."""
        return self._epoch

    def release_lease(self, owner: str, now: float) -> None:
        """Let the next daemon act at once."""
        with self.write("release") as connection:
            free = t.lease.update().where(self.ours(owner)).values(owner="", until=0.0, lock="")
            if connection.execute(free).rowcount:
                self.sign_of_life(connection)
                self.note(connection, now, [Note("lease", owner, "released")])
        self._side_file.let_go()

    def sign_of_life(self, connection: Connection) -> None:
        """Write when this daemon last looked: all that it looks at was as it was until then."""
        if self.watch is not None and self.looked is not None and micro(self.looked.at) > self.watch.seen_at:
            self.watch.seen_at, self.watch.seen_monotonic = micro(self.looked.at), micro(self.looked.monotonic)
            seen = {"seen_at": self.watch.seen_at, "seen_monotonic": self.watch.seen_monotonic}
            connection.execute(t.watches.update().where(t.watches.c.id == self.watch.id).values(seen))

    def fence(self, connection: Connection, owner: str) -> None:
        """Raise LeaseLostError unless `owner` holds the lease, in the transaction of a write."""
        row = connection.execute(sa.select(t.lease).with_for_update()).one()
        if row.owner != owner or row.epoch != self._epoch:
            raise LeaseLostError(
                f"journal {self._where}: the lease is held by {row.owner or 'nobody'}, not by {owner}: nothing is done"
            )

    # --- what all writes share ----------------------------------------------------------------------------------------

    def upsert(
        self,
        connection: Connection,
        table: sa.Table,
        key: Sequence[str],
        rows: list[dict[str, Any]],
        *,
        keep: Sequence[str] = (),
        each: bool = False,
    ) -> None:
        """Insert rows, or replace those of the same key except for the columns to `keep`; `each`: see `each`."""
        if rows:
            insert = _insert(connection.dialect.name)(table)
            new = {name: insert.excluded[name] for name in rows[0] if name not in key and name not in keep}
            statement = insert.on_conflict_do_update(index_elements=key, set_=new) if new else insert.on_conflict_do_nothing()
            if each:
                self.each(connection, statement, rows)
            else:
                connection.execute(statement, rows)

    def each(self, connection: Connection, statement: sa.Executable, rows: list[dict[str, Any]]) -> None:
        """Execute a statement for many rows; one that the database refuses is told and left out, never the others."""
        try:
            with connection.begin_nested():
                connection.execute(statement, rows)
        except REFUSALS as error:
            if len(rows) > 1:
                self.each(connection, statement, rows[: len(rows) // 2])
                self.each(connection, statement, rows[len(rows) // 2 :])
            else:
                problem, row = explain(error), printable(repr(rows[0]))
                _log.error("the journal refuses a row", extra={"problem": problem, "row": row})

    def note(self, connection: Connection, now: float, notes: Sequence[Note]) -> None:
        """Append lines to the event log, in the transaction of what they tell."""
        if notes:
            self.each(connection, t.events.insert(), self._lines(now, notes))

    def numbered(self, connection: Connection, now: float, notes: Sequence[Note]) -> list[int]:
        """Append lines as `note` does; return their sequence numbers."""
        if not notes:
            return []
        added = t.events.insert().returning(t.events.c.id, sort_by_parameter_order=True)
        return [int(number) for number in connection.execute(added, self._lines(now, notes)).scalars()]

    def _lines(self, now: float, notes: Sequence[Note]) -> list[dict[str, Any]]:
        stamp = {
            "received": micro(now),
            "monotonic": micro(self.monotonic()) if self.monotonic and self._epoch else None,
            "boot": self._epoch or None,
        }
        return [
            {
                "at": now if note.at is None else note.at,
                "kind": note.kind,
                "subject": note.subject,
                "cause": note.cause,
                "correlation": note.correlation,
                "detail": dict(note.detail),
                **stamp,
            }
            for note in notes
        ]


def _insert(dialect: str) -> Any:
    """Return the INSERT of a dialect that can also replace; the other dialect is not loaded."""
    return import_module(f"sqlalchemy.dialects.{dialect}").insert
