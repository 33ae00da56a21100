"""The journal: intents before acts, workers, lease, sightings and events, in SQLite or PostgreSQL.

Rules:
1. `begin` commits before the first side effect, and only for the daemon that holds the lease (checked in the same transaction).
2. Names of workers are unique for ever, so the same boot cannot be ordered twice, not even by two daemons.
3. Every commit is told to `on_commit` by the name of the write: the simulations cut there.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import SQLAlchemyError

from scheduler.actions import Adopt, Boot, CancelDrain, CleanUp, Drain, PowerOff
from scheduler.journal import tables as t
from scheduler.journal.opening import JournalError, explain
from scheduler.journal.reading import JournalReader
from scheduler.journal.records import Entry, Note, Outcome, Sighting
from scheduler.model import BootOutcome, WorkerState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from scheduler.actions import Action
    from scheduler.journal.records import Intent, Memo, Value

__all__ = ["Journal", "JournalError", "LeaseLostError"]


class LeaseLostError(JournalError):
    """Another daemon acts now: this one must not."""


class Journal(JournalReader):
    """An open journal. Calls may come from several threads; its own writes take turns."""

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
        self._held_file: weakref.finalize[..., Journal] | None = None

    def close(self) -> None:
        """Give the connections back; the lease stays until it ends or is released."""
        self._let_go_of_file()
        super().close()

    @contextmanager
    def _write(self, what: str) -> Iterator[Connection]:
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
        with self._write("lease") as connection:
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
                self._note(connection, now, [Note("lease", owner, "taken", detail={"from": row.owner, "epoch": epoch})])
        return True

    def renew_lease(self, owner: str, now: float, seconds: float) -> bool:
        """Prolong a lease that is still ours, never take one: for the time in which a round takes long."""
        with self._write("renew") as connection:
            ours = sa.and_(t.lease.c.owner == owner, t.lease.c.epoch == self._epoch)
            return bool(connection.execute(t.lease.update().where(ours).values(until=now + seconds)).rowcount)

    @property
    def epoch(self) -> int:
        """The lease under which this daemon acts; 0 while it has none."""
        return self._epoch

    def release_lease(self, owner: str, now: float) -> None:
        """Let the next daemon act at once."""
        with self._write("release") as connection:
            ours = sa.and_(t.lease.c.owner == owner, t.lease.c.epoch == self._epoch)
            if connection.execute(t.lease.update().where(ours).values(owner="", until=0.0, locked=False)).rowcount:
                self._note(connection, now, [Note("lease", owner, "released")])
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

    def _fence(self, connection: Connection, owner: str) -> None:
        row = connection.execute(sa.select(t.lease).with_for_update()).one()
        if row.owner != owner or row.epoch != self._epoch:
            raise LeaseLostError(
                f"journal {self._where}: the lease is held by {row.owner or 'nobody'}, not by {owner}: nothing is done"
            )

    # --- acts ---------------------------------------------------------------------------------------------------------

    def begin(self, owner: str, now: float, intents: Sequence[Intent]) -> list[int | str]:
        """Write what is about to be done, in one commit; per intent its number, or why it must not be done.

        Raises LeaseLostError when another daemon may act now.
        """
        with self._write("begin") as connection:
            self._fence(connection, owner)
            opening = [intent.entry for intent in intents if intent.entry is not None]
            answers = iter(self._open_rows(connection, opening))
            refusals = [next(answers) if intent.entry is not None else "" for intent in intents]
            begun = [intent for intent, refusal in zip(intents, refusals, strict=True) if not refusal]
            numbers = iter(self._insert_intents(connection, now, begun))
            return [refusal or next(numbers) for refusal in refusals]

    def _insert_intents(self, connection: Connection, now: float, intents: Sequence[Intent]) -> list[int]:
        if not intents:
            return []
        rows = [_intent_row(intent.action) | {"epoch": self._epoch, "begun_at": now} for intent in intents]
        numbers = connection.execute(t.intents.insert().returning(t.intents.c.id, sort_by_parameter_order=True), rows).scalars()
        begun = [int(number) for number in numbers]
        notes = [_begun_note(intent.action, number) for intent, number in zip(intents, begun, strict=True)]
        self._note(connection, now, notes)
        return begun

    def _open_rows(self, connection: Connection, entries: Sequence[Entry]) -> list[str]:
        """Insert rows, or open closed ones again for adoption; for each why not, or ""."""
        refusals: list[str] = []
        closed_at = self._known(connection, [entry.name for entry in entries])
        new: list[Entry] = []
        again: list[Entry] = []
        for entry in entries:
            known = entry.name in closed_at
            if known and (entry.origin == "booted" or closed_at[entry.name] is None):
                refusals.append(f"worker {entry.name} stands in the journal already")
                continue
            refusals.append("")
            (again if known else new).append(entry)
            closed_at[entry.name] = None
        if new:
            connection.execute(t.workers.insert(), [_row(entry) for entry in new])
        for entry in again:
            connection.execute(t.workers.update().where(t.workers.c.name == entry.name).values(_row(entry)))
        opened = [*new, *again]
        highest = max((entry.serial for entry in opened), default=0)
        connection.execute(t.journal.update().where(t.journal.c.next_serial <= highest).values(next_serial=highest + 1))
        if self._cache is not None:
            self._cache.entries.update((entry.name, entry) for entry in opened)
            self._cache = replace(self._cache, next_serial=max(self._cache.next_serial, highest + 1))
        return refusals

    def _known(self, connection: Connection, names: Sequence[str]) -> dict[str, float | None]:
        """Return the workers among `names` that the journal knows, with when they were closed."""
        found: dict[str, float | None] = {}
        for start in range(0, len(names), _NAMES_PER_QUERY):
            some = t.workers.c.name.in_(names[start : start + _NAMES_PER_QUERY])
            found |= {
                row.name: row.closed_at
                for row in connection.execute(sa.select(t.workers.c.name, t.workers.c.closed_at).where(some))
            }
        return found

    def end(
        self,
        now: float,
        number: int,
        outcome: Outcome,
        detail: str = "",
        *,
        changes: Mapping[str, Value] | None = None,
        notes: Sequence[Note] = (),
    ) -> None:
        """Write how an intent ended, with what it changed of its worker's row.

        Not fenced: what happened, happened, whoever may act now.
        """
        with self._write("end") as connection:
            intent = connection.execute(sa.select(t.intents).where(t.intents.c.id == number)).one()
            ended = {"ended_at": now, "outcome": outcome.value, "detail": detail}
            connection.execute(t.intents.update().where(t.intents.c.id == number).values(ended))
            if changes:
                self._change(connection, {intent.worker: changes})
            told: dict[str, Any] = {"outcome": outcome.value} | ({"detail": detail} if detail else {})
            note = Note(f"{intent.kind}-ended", intent.worker, intent.cause, f"intent-{number}", told)
            self._note(connection, now, [note, *notes])

    def remember(self, owner: str, now: float, memo: Memo) -> None:
        """Write what an observation added: changed workers, ends of boots, jobs seen, notes."""
        if not memo:
            return
        with self._write("remember") as connection:
            self._fence(connection, owner)
            self._change(connection, memo.changes)
            self._keep_outcomes(connection, memo.outcomes)
            self._keep_sightings(connection, memo.appeared, ended=False)
            self._keep_sightings(connection, memo.ended, ended=True)
            if memo.settled:
                cut = {"ended_at": now, "outcome": Outcome.CUT_OFF.value}
                connection.execute(t.intents.update().where(t.intents.c.id.in_(memo.settled)).values(cut))
            self._note(connection, now, memo.notes)

    def shift(self, owner: str, now: float, seconds: float) -> None:
        """Move the times of all open workers and intents: the clock was set, and what has passed stays what it was."""
        with self._write("shift") as connection:
            self._fence(connection, owner)
            moved = {c.name: c + seconds for c in t.workers.c if c.name in _TIMES_OF_WORKER}
            connection.execute(t.workers.update().where(t.workers.c.closed_at.is_(None)).values(moved))
            opened = t.intents.c.ended_at.is_(None)
            connection.execute(t.intents.update().where(opened).values(begun_at=t.intents.c.begun_at + seconds))
            self._note(connection, now, [Note("clock", "clock", "stepped", detail={"seconds": round(seconds, 3)})])
            self._cache = None

    def _change(self, connection: Connection, changes: Mapping[str, Mapping[str, Value]]) -> None:
        by_columns: dict[tuple[str, ...], list[dict[str, Value]]] = {}
        for name, change in changes.items():
            by_columns.setdefault(tuple(sorted(change)), []).append({f"to_{k}": v for k, v in change.items()} | {"of": name})
        for columns, rows in by_columns.items():
            values: dict[str, Any] = {column: sa.bindparam(f"to_{column}") for column in columns}
            connection.execute(t.workers.update().where(t.workers.c.name == sa.bindparam("of")).values(values), rows)
        if self._cache is not None and changes:
            _change_kept(self._cache.entries, changes)

    def _keep_outcomes(self, connection: Connection, outcomes: Sequence[BootOutcome]) -> None:
        if not outcomes:
            return
        self._upsert(connection, t.boots, ["worker"], [asdict(outcome) for outcome in outcomes])
        if self._cache is not None:
            told = {outcome.worker for outcome in outcomes}
            boots = tuple(boot for boot in self._cache.boots if boot.worker not in told) + tuple(outcomes)
            proven = self._cache.proven | {(o.environment, o.version) for o in outcomes if o.registered}
            self._cache = replace(self._cache, boots=boots, proven=proven)

    def _keep_sightings(self, connection: Connection, sightings: Sequence[Sighting], *, ended: bool) -> None:
        rows = [asdict(sighting) | {"ended": ended} for sighting in sightings]
        self._upsert(connection, t.sightings, ["batch_system", "job", "worker"], rows, keep=("first_seen",))

    def _upsert(
        self, connection: Connection, table: sa.Table, key: Sequence[str], rows: list[dict[str, Any]], keep: Sequence[str] = ()
    ) -> None:
        if rows:
            insert = _INSERT[connection.dialect.name](table)
            new = {name: insert.excluded[name] for name in rows[0] if name not in key and name not in keep}
            connection.execute(insert.on_conflict_do_update(index_elements=key, set_=new), rows)

    def _note(self, connection: Connection, now: float, notes: Sequence[Note]) -> None:
        if notes:
            rows = [asdict(note) | {"at": now, "detail": dict(note.detail)} for note in notes]
            connection.execute(t.events.insert(), rows)

    def forget(self, owner: str, now: float, before: float, most: int = 500) -> bool:
        """Remove what ended before an instant, at most so many rows of each table; True if more may be left.

        Names of workers stay used for ever all the same: the next serial number only grows.
        """
        with self._read("old rows") as connection:
            old = [(key, _old_rows(connection, key, ended_at, before, most)) for key, ended_at in _FORGETTABLE]
        if any(values for _, values in old):
            with self._write("forget") as connection:
                self._fence(connection, owner)
                for key, values in old:
                    if values:
                        connection.execute(key.table.delete().where(key.in_(values)))
                numbers = {f"{key.table.name}_rows": len(values) for key, values in old}
                self._note(connection, now, [Note("journal", "journal", "forgotten", detail=numbers)])
        return any(len(values) == most for _, values in old)

    # --- hosts that an administrator drains ---------------------------------------------------------------------------

    def drain_host(self, host: str, why: str, now: float) -> None:
        """Drain a host from now on, across restarts, until `undrain_host`."""
        with self._write("drain-host") as connection:
            self._upsert(connection, t.drained_hosts, ["host"], [{"host": host, "since": now, "why": why}])
            self._note(connection, now, [Note("host-drain", host, "by-hand", detail={"why": why})])

    def undrain_host(self, host: str, now: float) -> bool:
        """Take a drain back; False if the host was not drained."""
        with self._write("undrain-host") as connection:
            found = connection.execute(t.drained_hosts.delete().where(t.drained_hosts.c.host == host)).rowcount
            if found:
                self._note(connection, now, [Note("host-undrain", host, "by-hand")])
            return bool(found)


_NAMES_PER_QUERY = 500
_FORGETTABLE: list[tuple[sa.Column[Any], sa.Column[Any]]] = [
    (t.events.c.id, t.events.c.at),
    (t.intents.c.id, t.intents.c.ended_at),
    (t.boots.c.worker, t.boots.c.at),
    (t.sightings.c.id, t.sightings.c.last_seen),
    (t.workers.c.id, t.workers.c.closed_at),
]
"""Key of each table that grows, and when its rows ended; rows that have not are kept."""
_TIMES_OF_WORKER = ("since", "requested_at", "booted_at", "registered_at", "drained_at", "cancelled_at")
_INSERT: dict[str, Any] = {"sqlite": sqlite_insert, "postgresql": postgresql_insert}


def _old_rows(connection: Connection, key: sa.Column[Any], ended_at: sa.Column[Any], before: float, most: int) -> list[Any]:
    old = sa.select(key).where(ended_at < before).order_by(ended_at).limit(most)
    if key.table is t.sightings:
        old = old.where(t.sightings.c.ended)
    return list(connection.execute(old).scalars())


def kind_of(action: Action) -> str:
    """Return the journal's word for an action: boot, drain, cancel-drain, power-off, clean-up, adopt."""
    return _KINDS[type(action)]


_KINDS: dict[type, str] = {
    Boot: "boot",
    Drain: "drain",
    CancelDrain: "cancel-drain",
    PowerOff: "power-off",
    CleanUp: "clean-up",
    Adopt: "adopt",
}


def _intent_row(action: Action) -> dict[str, Any]:
    return {
        "kind": kind_of(action),
        "worker": action.worker,
        "host": getattr(action, "host", ""),
        "cause": action.reason.code,
        "sentence": action.reason.sentence,
        "outcome": "",
        "detail": "",
    }


def _begun_note(action: Action, number: int) -> Note:
    detail = {**action.reason.numbers, "sentence": action.reason.sentence, "host": getattr(action, "host", "")}
    return Note(f"{kind_of(action)}-begun", action.worker, action.reason.code, f"intent-{number}", detail)


def _row(entry: Entry) -> dict[str, Any]:
    return asdict(entry) | {"state": entry.state.value}


def _change_kept(entries: dict[str, Entry], changes: Mapping[str, Mapping[str, Value]]) -> None:
    for name, change in changes.items():
        if name not in entries:
            continue
        values: dict[str, Any] = dict(change)
        if "state" in values:
            values["state"] = WorkerState(values["state"])
        entries[name] = replace(entries[name], **values)
        if entries[name].closed_at is not None:
            del entries[name]
