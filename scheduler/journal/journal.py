"""The journal: intents before acts, workers, lease, sightings and events, in SQLite or PostgreSQL.

Rules:
1. `begin` commits before the first side effect, and only for the daemon that holds the lease (checked in the same transaction).
2. Names of workers are unique for ever, so the same boot cannot be ordered twice, not even by two daemons.
3. Every commit is told to `on_commit` by the name of the write: the simulations cut there.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from scheduler.journal import hosts, machines
from scheduler.journal import tables as t
from scheduler.journal.holds import keep_holds
from scheduler.journal.opening import JournalError, RefusedError
from scheduler.journal.records import ADOPTION_GAP, Entry, IntentEnd, Note, Outcome, Sighting
from scheduler.journal.statuses import keep_look
from scheduler.journal.writing import JournalWriter, LeaseLostError
from scheduler.model.actions import host_of
from scheduler.model.instants import SECOND
from scheduler.model.workers import telling

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Connection

    from scheduler.journal.records import Intent, Memo, Source, Value
    from scheduler.model.actions import Action
    from scheduler.model.workers import BootOutcome

__all__ = ["Journal", "JournalError", "LeaseLostError"]


class Journal(JournalWriter):
    """An open journal. Calls may come from several threads; its own writes take turns."""

    # --- acts ---------------------------------------------------------------------------------------------------------

    def begin(self, owner: str, now: float, intents: Sequence[Intent]) -> list[int | str]:
        """Write what is about to be done, in one commit; per intent its number, or why it must not be done.

        An intent that the database refuses is that intent's failure: then each is written by itself. Raises LeaseLostError
        when another daemon may act now.
        """
        try:
            return self._begin(owner, now, intents)
        except RefusedError as error:
            if len(intents) == 1:
                return [str(error)]
            return [answer for intent in intents for answer in self.begin(owner, now, [intent])]

    def _begin(self, owner: str, now: float, intents: Sequence[Intent]) -> list[int | str]:
        with self.write("begin") as connection:
            self.fence(connection, owner)
            opening = [intent.entry for intent in intents if intent.entry is not None]
            answers = iter(self._open_rows(connection, opening))
            judged = [(intent, next(answers) if intent.entry is not None else "") for intent in intents]
            begun = [intent for intent, refusal in judged if not refusal]
            numbers = iter(self._insert_intents(connection, owner, now, begun))
            return [refusal or next(numbers) for _, refusal in judged]

    def _insert_intents(self, connection: Connection, owner: str, now: float, intents: Sequence[Intent]) -> list[int]:
        if not intents:
            return []
        rows = [_intent_row(intent.action) | {"begun_at": now} for intent in intents]
        # The token is read from the lease by the very statement that writes: of one that is not ours there is none.
        token = sa.select(t.lease.c.epoch).where(self.ours(owner)).scalar_subquery()
        insert = t.intents.insert().values(epoch=token).returning(t.intents.c.id, sort_by_parameter_order=True)
        numbers = connection.execute(insert, rows).scalars()
        begun = [int(number) for number in numbers]
        notes = [_begun_note(intent.action, number) for intent, number in zip(intents, begun, strict=True)]
        self.note(connection, now, notes)
        return begun

    def _open_rows(self, connection: Connection, entries: Sequence[Entry]) -> list[str]:
        """Insert rows, or open closed ones again for adoption; for each why not, or ""."""
        refusals: list[str] = []
        closed_at = machines.closed_at(connection, [entry.name for entry in entries])
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
        machines.open_new(connection, new)
        for entry in again:
            machines.open_again(connection, entry)
        opened = [*new, *again]
        # From the next look on the journal knows those adopted: only here can it keep that it has lost names.
        lost = [entry.serial + ADOPTION_GAP - 1 for entry in new if entry.origin == "adopted"]
        highest = max([*lost, *(entry.serial for entry in opened)], default=0)
        connection.execute(t.journal.update().where(t.journal.c.next_serial <= highest).values(next_serial=highest + 1))
        if self._cache is not None:
            self._cache.entries.update((entry.name, entry) for entry in opened)
            self._cache = replace(self._cache, next_serial=max(self._cache.next_serial, highest + 1))
        return refusals

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
        """Write how one intent ended."""
        self.end_all([IntentEnd(number, now, outcome, detail, changes or {}, notes)])

    def end_all(self, ends: Sequence[IntentEnd]) -> None:
        """Write how intents ended, in one commit.

        Not fenced: what happened, happened, whoever may act now.
        """
        if not ends:
            return
        with self.write("end") as connection:
            numbers = [end.number for end in ends]
            begun = {row.id: row for row in connection.execute(sa.select(t.intents).where(t.intents.c.id.in_(numbers)))}
            to: dict[str, Any] = {name: sa.bindparam(f"to_{name}") for name in ("ended_at", "outcome", "detail")}
            rows = [
                {"of": end.number, "to_ended_at": end.at, "to_outcome": end.outcome.value, "to_detail": end.detail}
                for end in ends
            ]
            connection.execute(t.intents.update().where(t.intents.c.id == sa.bindparam("of")).values(to), rows)
            self._change(connection, {begun[end.number].machine: end.changes for end in ends if end.changes}, ends[-1].at)
            for end in ends:
                intent = begun[end.number]
                told: dict[str, Any] = {"outcome": end.outcome.value} | ({"detail": end.detail} if end.detail else {})
                note = Note(f"{intent.kind}-ended", intent.machine, intent.cause, f"intent-{end.number}", told)
                self.note(connection, end.at, [note, *end.notes])

    def remember(self, owner: str, now: float, memo: Memo) -> None:
        """Write what an observation added: changed workers, ends of boots, jobs seen, notes."""
        tells = self.tells | {name: jobs is not None for name, jobs in memo.holds.items()}
        if not memo and tells == self.tells:
            self.looked = memo.look or self.looked
            return
        with self.write("remember") as connection:
            self.fence(connection, owner)
            self._change(connection, memo.changes, now)
            self._keep_outcomes(connection, memo.outcomes)
            self._keep_sightings(connection, memo.appeared, ended=False)
            self._keep_sightings(connection, memo.ended, ended=True)
            if memo.settled:
                cut = {"ended_at": now, "outcome": Outcome.CUT_OFF.value}
                connection.execute(t.intents.update().where(t.intents.c.id.in_(memo.settled)).values(cut))
            if memo.words or memo.void:
                hosts.settle(connection, memo.words, memo.void)
            self._keep_heard(connection, memo.heard)
            self.note(connection, now, memo.notes)
            keep_holds(self, connection, now, memo.holds)
            if memo.look is not None:
                keep_look(self, connection, now, memo.look)
        self.looked, self.tells = memo.look or self.looked, tells

    def shift(self, owner: str, now: float, seconds: float) -> None:
        """Move the times of open workers and intents and of ended boots: the clock was set, and what has passed stays so.

        Else a breaker would stay open for as long as the clock was set back, and a boot that registers since would stand before
        the failures that it ends.
        """
        with self.write("shift") as connection:
            self.fence(connection, owner)
            machines.shift(connection, seconds)
            opened = t.intents.c.ended_at.is_(None)
            connection.execute(t.intents.update().where(opened).values(begun_at=t.intents.c.begun_at + seconds))
            connection.execute(t.boots.update().values(at=t.boots.c.at + seconds))
            self.note(connection, now, [Note("clock", "clock", "stepped", detail={"seconds": round(seconds, 3)})])
            self._cache = None

    def _change(self, connection: Connection, changes: Mapping[str, Mapping[str, Value]], at: float) -> None:
        machines.change(connection, changes, at, self.each)
        if self._cache is not None and changes:
            _change_kept(self._cache.entries, changes)

    def _keep_heard(self, connection: Connection, heard: Mapping[Source, bool]) -> None:
        rows = [{"kind": kind, "name": name, "heard": known} for (kind, name), known in heard.items()]
        self.upsert(connection, t.sources_heard, ["kind", "name"], rows, each=True)
        if self._cache is not None and heard:
            self._cache = replace(self._cache, heard={**self._cache.heard, **heard})

    def _keep_outcomes(self, connection: Connection, outcomes: Sequence[BootOutcome]) -> None:
        if not outcomes:
            return
        rows = [asdict(outcome) | {"failure": outcome.failure.value} for outcome in outcomes]
        self.upsert(connection, t.boots, ["worker"], rows, each=True)
        if self._cache is not None:
            told = {outcome.worker for outcome in outcomes}
            others = (boot for boot in self._cache.boots if boot.worker not in told)
            boots = telling(sorted((*others, *outcomes), key=lambda boot: (boot.at, boot.worker)))
            proven = self._cache.proven | {(o.environment, o.version) for o in outcomes if o.registered}
            self._cache = replace(self._cache, boots=boots, proven=proven)

    def _keep_sightings(self, connection: Connection, sightings: Sequence[Sighting], *, ended: bool) -> None:
        rows = [asdict(sighting) | {"ended": ended} for sighting in sightings]
        self.upsert(connection, t.sightings, ["batch_system", "job", "worker"], rows, keep=("first_seen",), each=True)

    def forget(self, owner: str, now: float, before: float, most: int = 500) -> bool:
        """Remove what ended before an instant, at most so many rows of each table; True if more may be left.

        What a published year is computed from stays, and so do the lines of the log that tell why.
        Names of workers stay used for ever all the same: the next serial number only grows.
        """
        with self.read("old rows") as connection:
            old = [(key, _old_rows(connection, key, ended_at, before, most)) for key, ended_at in _FORGETTABLE]
        if any(values for _, values in old):
            with self.write("forget") as connection:
                self.fence(connection, owner)
                for key, values in old:
                    if values:
                        connection.execute(key.table.delete().where(key.in_(values)))
                    if key.table is t.machines:
                        machines.forget(connection, values)
                numbers = {f"{key.table.name}_rows": len(values) for key, values in old}
                self.note(connection, now, [Note("journal", "journal", "forgotten", detail=numbers)])
        return any(len(values) == most for _, values in old)


KEPT_KINDS = (
    *("status", "object", "watch", "clock", "downtime", "exclusion", "correction", "contradiction", "token"),
    *("incident", "notice", "report", "publication"),
)
"""Kinds of lines that are never forgotten."""
_FORGETTABLE: list[tuple[sa.Column[Any], sa.ColumnElement[Any]]] = [
    (t.events.c.id, t.events.c.at),
    (t.intents.c.id, t.intents.c.ended_at),
    (t.boots.c.worker, t.boots.c.at),
    (t.sightings.c.id, t.sightings.c.last_seen),
    (t.machines.c.name, t.machines.c.closed_at),
    (t.pushes.c.id, t.pushes.c.received / SECOND),
]
"""Key of each table that grows, and when its rows ended; rows that have not are kept."""


def _old_rows(
    connection: Connection, key: sa.Column[Any], ended_at: sa.ColumnElement[Any], before: float, most: int
) -> list[Any]:
    old = sa.select(key).where(ended_at < before).order_by(ended_at).limit(most)
    if key.table is t.sightings:
        old = old.where(t.sightings.c.ended)
    if key.table is t.events:
        old = old.where(t.events.c.kind.not_in(KEPT_KINDS))
    return list(connection.execute(old).scalars())


def _intent_row(action: Action) -> dict[str, Any]:
    return {
        "kind": action.kind.code,
        "machine": action.machine,
        "host": host_of(action),
        "cause": action.reason.code,
        "sentence": action.reason.sentence,
        "outcome": "",
        "detail": "",
    }


def _begun_note(action: Action, number: int) -> Note:
    detail = {**action.reason.numbers, "sentence": action.reason.sentence, "host": host_of(action)}
    return Note(f"{action.kind.code}-begun", action.machine, action.reason.code, f"intent-{number}", detail)


def _change_kept(entries: dict[str, Entry], changes: Mapping[str, Mapping[str, Value]]) -> None:
    for name, change in changes.items():
        if name not in entries:
            continue
        known = {column: value for column, value in change.items() if column != "ended_by"}
        entries[name] = replace(entries[name], **{**known, **machines.as_words(known)})
        if entries[name].closed_at is not None:
            del entries[name]
