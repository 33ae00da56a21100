"""Reading the journal: what an observation needs, and what `why`, reports and the snapshot look up."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from scheduler.journal import tables as t
from scheduler.journal.machines import ENTRIES, entries_in, entry_of, placements_in
from scheduler.journal.opening import BROKEN, DAMAGED, JournalError, connect, explain, told
from scheduler.journal.records import Entry, Event, Lease, Ledger, Note, OpenIntent, Sighting
from scheduler.journal.upgrading import check_form
from scheduler.model.failures import FailureCause
from scheduler.model.host_states import HostState, HostWord
from scheduler.model.workers import BootOutcome, telling

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from scheduler.model.machines import Placement


class JournalReader:
    """An open journal as far as it can be read; calls may come from several threads."""

    def __init__(self, url: str, *, now: float, durable: bool = True, busy_seconds: float = 5) -> None:
        """Open the journal, make a missing one.

        `durable=False` leaves out SQLite's fsync (simulations). Raises JournalError for one written by an older or a newer
        Ambienti: `upgrading.upgrade` brings it up to date.
        """
        self._engine, self._file = connect(url, durable=durable, busy_seconds=busy_seconds)
        self._where = told(self._engine.url)
        self._turn = threading.RLock()
        self._cache: Ledger | None = None
        self._epoch = 0
        try:
            check_form(self._engine, self._where, now)
        except JournalError:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def read(self, what: str) -> Iterator[Connection]:
        """One connection for reading; whatever the database answers becomes a JournalError."""
        try:
            # In turns: a journal in memory is one connection, whichever thread asks.
            with self._turn, self._engine.connect().execution_options(reading=True) as connection:
                yield connection
        except SQLAlchemyError as error:
            raise JournalError(f"journal {self._where}: cannot read ({what}): {explain(error)}") from error
        except BROKEN as error:
            raise JournalError(f"journal {self._where}: cannot read ({what}): {error}: {DAMAGED}") from error

    def lease(self) -> Lease:
        """Return who may act."""
        with self.read("lease") as connection:
            return lease_of(connection)

    def ledger(self, history_since: float = 0.0) -> Ledger:
        """Read open workers, open intents, past boots that still tell something, proven versions and what is said of hosts.

        While this daemon holds the lease nobody else writes workers, so those are read once and kept.
        """
        with self._turn, self.read("ledger") as connection:
            cache = self._cache or self._load(connection, history_since)
            self._cache = cache if self._epoch else None
            words = host_words_in(connection)
            columns = [t.intents.c[name] for name in ("id", "kind", "machine", "cause", "epoch", "begun_at")]
            rows = connection.execute(sa.select(*columns).where(t.intents.c.ended_at.is_(None)).order_by(t.intents.c.id))
            intents = tuple(OpenIntent(*row) for row in rows)
        recent = tuple(boot for boot in cache.boots if boot.at >= history_since)
        entries = dict(cache.entries)
        return replace(cache, entries=entries, intents=intents, boots=recent, host_words=words)

    def _load(self, connection: Connection, history_since: float) -> Ledger:
        one = connection.execute(sa.select(t.journal)).one()
        opened = connection.execute(ENTRIES.where(t.machines.c.closed_at.is_(None)).order_by(t.machines.c.id))
        recent = sa.select(*_BOOT).where(t.boots.c.at >= history_since).order_by(t.boots.c.at, t.boots.c.worker)
        proven = sa.select(t.boots.c.environment, t.boots.c.version).where(t.boots.c.registered).distinct()
        return Ledger(
            made_at=one.made_at,
            next_serial=one.next_serial,
            entries={entry.name: entry for entry in map(entry_of, opened)},
            epoch=self._epoch,
            boots=telling(map(_outcome, connection.execute(recent))),
            proven=frozenset((row.environment, row.version) for row in connection.execute(proven)),
            heard={(row.kind, row.name): row.heard for row in connection.execute(sa.select(t.sources_heard))},
        )

    def entry(self, worker: str) -> Entry | None:
        """Return one worker, closed ones included."""
        return self.entries_of([worker]).get(worker)

    def entries_of(self, workers: Collection[str]) -> dict[str, Entry]:
        """Return those of these workers that the journal knows, closed ones included."""
        with self.read("workers") as connection:
            return entries_in(connection, workers)

    def placements(self, machine: str) -> list[Placement]:
        """Return where a machine was, the first place first."""
        with self.read("placements") as connection:
            return placements_in(connection, machine)

    def sightings(self, *, worker: str = "", job: str = "", opened: bool = False, limit: int | None = None) -> list[Sighting]:
        """Return which job ran in which worker, the oldest first; `opened`: only those still seen."""
        asked = sa.select(*_SIGHTING).order_by(t.sightings.c.id).limit(limit)
        asked = asked.where(t.sightings.c.worker == worker) if worker else asked
        asked = asked.where(t.sightings.c.job == job) if job else asked
        asked = asked.where(sa.not_(t.sightings.c.ended)) if opened else asked
        with self.read("sightings") as connection:
            return [Sighting(*row) for row in connection.execute(asked)]

    def events(
        self,
        *,
        subject: str = "",
        since: float = 0.0,
        after: int = 0,
        limit: int | None = None,
        kind: str = "",
        correlation: str = "",
    ) -> list[Event]:
        """Return lines of the event log, the oldest first; with `limit` the newest that many."""
        asked = sa.select(t.events).where(t.events.c.at >= since, t.events.c.id > after)
        for column, wanted in ((t.events.c.subject, subject), (t.events.c.kind, kind), (t.events.c.correlation, correlation)):
            asked = asked.where(column == wanted) if wanted else asked
        asked = asked.order_by(t.events.c.id.desc()).limit(limit) if limit else asked.order_by(t.events.c.id)
        with self.read("events") as connection:
            rows = connection.execute(asked).all()
        found = [
            Event(r.id, r.at, Note(r.kind, r.subject, r.cause, r.correlation, r.detail), r.monotonic, r.boot, r.received)
            for r in rows
        ]
        return found[::-1] if limit else found

    def event_names(self, of: Literal["subject", "kind", "correlation"]) -> list[str]:
        """Return all the subjects, kinds or correlations that the event log knows: it reads the whole log."""
        with self.read("events") as connection:
            return list(connection.scalars(sa.select(t.events.c[of]).distinct()))


def lease_of(connection: Connection) -> Lease:
    """Read the row of the lease."""
    return Lease(*connection.execute(sa.select(t.lease.c.owner, t.lease.c.epoch, t.lease.c.renewals, t.lease.c.lock)).one())


def host_words_in(connection: Connection) -> tuple[HostWord, ...]:
    """Return what is said of hosts, by host and state."""
    c = t.host_words.c
    rows = connection.execute(sa.select(c.host, c.state, c.since, c.by, c.why).order_by(c.host, c.state))
    return tuple(HostWord(row.host, HostState(row.state), row.since, row.by, row.why) for row in rows)


_BOOT = [t.boots.c[name] for name in BootOutcome.__dataclass_fields__]
_SIGHTING = [t.sightings.c[name] for name in Sighting.__dataclass_fields__]


def _outcome(row: Any) -> BootOutcome:
    values = dict(row._mapping)  # noqa: SLF001 - public in all but name
    return BootOutcome(**values | {"failure": FailureCause(values["failure"])})
