"""Machines in the journal: a row for each, what only workers have beside it, and a row for each place where it was."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from environments.domain_identity import Role
from scheduler.journal import tables as t
from scheduler.journal.records import TIMES_OF_WORKER, Entry
from scheduler.model.failures import FailureCause
from scheduler.model.machines import Placement, PlacementEnd
from scheduler.model.workers import WorkerState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from scheduler.journal.records import Value

    Each = Callable[[Connection, sa.Executable, list[dict[str, Any]]], None]

NAMES_PER_QUERY = 500
_KEYS = ((t.machines, t.machines.c.name), (t.workers, t.workers.c.machine))
_ENTRY = [(t.machines if name in t.machines.c else t.workers).c[name] for name in Entry.__dataclass_fields__]
ENTRIES = sa.select(*_ENTRY).join_from(t.machines, t.workers, t.workers.c.machine == t.machines.c.name)
"""All workers; `entry_of` makes an entry of a row."""
_WORDS: dict[str, Callable[[str], object]] = {"state": WorkerState, "boot_failure": FailureCause}
_PLACED = t.placements.c.ended.is_(None)


def entry_of(row: Any) -> Entry:
    """Return a row of `ENTRIES` as an entry."""
    values = dict(row._mapping)  # noqa: SLF001 - public in all but name
    return Entry(**values | as_words(values))


def as_words(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a worker's values that are words of the model, as such."""
    return {name: kind(values[name]) for name, kind in _WORDS.items() if name in values}


def entries_in(connection: Connection, machines: Collection[str]) -> dict[str, Entry]:
    """Return those of these workers that the journal knows, closed ones included."""
    some = (ENTRIES.where(t.machines.c.name.in_(part)) for part in _parts(sorted(machines)))
    return {entry.name: entry for asked in some for entry in map(entry_of, connection.execute(asked))}


def placements_in(connection: Connection, machine: str) -> list[Placement]:
    """Return where a machine was, the first place first."""
    columns = [t.placements.c[name] for name in Placement.__dataclass_fields__]
    asked = sa.select(*columns).where(t.placements.c.machine == machine).order_by(t.placements.c.id)
    return [Placement(*row) for row in connection.execute(asked)]


def closed_at(connection: Connection, names: Sequence[str]) -> dict[str, float | None]:
    """Return those of these machines that the journal knows, with when they were closed."""
    asked = sa.select(t.machines.c.name, t.machines.c.closed_at)
    some = (connection.execute(asked.where(t.machines.c.name.in_(part))) for part in _parts(names))
    return {row.name: row.closed_at for rows in some for row in rows}


def open_new(connection: Connection, entries: Sequence[Entry]) -> None:
    """Insert workers that the journal does not know, each in its first place."""
    rows = [_row(entry) for entry in entries]
    for table, key in _KEYS if rows else ():
        connection.execute(table.insert(), [_of(table, row) | {key.name: row["name"]} for row in rows])
    _place(connection, rows)


def open_again(connection: Connection, entry: Entry) -> None:
    """Open a closed worker that lives after all: it has another place from now on."""
    row = _row(entry)
    for table, key in _KEYS:
        connection.execute(table.update().where(key == entry.name).values(_of(table, row)))
    _place(connection, [row])


def change(connection: Connection, changes: Mapping[str, Mapping[str, Value]], at: float, each: Each) -> None:
    """Change workers. `closed_at`, with `ended_by`, ends a placement; another `host` ends one and begins the next at `at`.

    `each` executes a statement for many rows, of which the database may refuse some.
    """
    for table, key in _KEYS:
        by_columns: dict[tuple[str, ...], list[dict[str, Value]]] = {}
        for name, changed in changes.items():
            if mine := _of(table, changed):
                by_columns.setdefault(tuple(sorted(mine)), []).append({f"to_{k}": v for k, v in mine.items()} | {"of": name})
        for columns, rows in by_columns.items():
            values: dict[str, Any] = {column: sa.bindparam(f"to_{column}") for column in columns}
            each(connection, table.update().where(key == sa.bindparam("of")).values(values), rows)
    for name, one in changes.items():
        if one.get("host") and _leave(connection, name, at, PlacementEnd.MOVED):
            _place(connection, [{"name": name, "host": one["host"], "since": at}], started=False)
        if one.get("closed_at") is not None:
            _leave(connection, name, float(one["closed_at"] or 0), PlacementEnd(str(one["ended_by"])))


def shift(connection: Connection, seconds: float) -> None:
    """Move the times of open workers."""
    is_open = sa.select(t.machines.c.name).where(t.machines.c.closed_at.is_(None))
    for table, key in _KEYS:
        moved = {column.name: column + seconds for column in table.c if column.name in TIMES_OF_WORKER}
        connection.execute(table.update().where(key.in_(is_open)).values(moved))
    connection.execute(t.placements.update().where(_PLACED).values(begun=t.placements.c.begun + seconds))


def forget(connection: Connection, names: Sequence[str]) -> None:
    """Remove what stands beside machines that are forgotten."""
    for column in (t.workers.c.machine, t.placements.c.machine):
        connection.execute(column.table.delete().where(column.in_(names)))


def _leave(connection: Connection, machine: str, at: float, by: PlacementEnd) -> bool:
    """End the open placement of a machine, if it has one."""
    is_open = sa.and_(t.placements.c.machine == machine, _PLACED)
    return bool(connection.execute(t.placements.update().where(is_open).values(ended=at, ended_by=by.value)).rowcount)


def _place(connection: Connection, rows: Sequence[Mapping[str, Any]], *, started: bool = True) -> None:
    """Begin another placement of each of these machines: a start has the next generation, a move keeps the one that runs."""
    if not rows:
        return
    of = sa.bindparam("of", type_=sa.String)
    before = sa.select(sa.func.coalesce(sa.func.max(t.placements.c.generation), 0)).where(t.placements.c.machine == of)
    insert = t.placements.insert().values(
        machine=of,
        host=sa.bindparam("on"),
        begun=sa.bindparam("at"),
        ended_by="",
        generation=before.scalar_subquery() + int(started),
    )
    connection.execute(insert, [{"of": one["name"], "on": one["host"], "at": one["since"]} for one in rows])


def _row(entry: Entry) -> dict[str, Any]:
    words = {"state": entry.state.value, "boot_failure": entry.boot_failure.value}
    return asdict(entry) | words | {"role": Role.WORKER.value}


def _of(table: sa.Table, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in table.c}


def _parts(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[start : start + NAMES_PER_QUERY] for start in range(0, len(names), NAMES_PER_QUERY)]
