"""The form of a journal's tables: made in a new one, compared when one is opened, changed by an upgrade alone.

Rules:
1. Opening never changes the form: a newer command line must not migrate under a running daemon.
2. An upgrade waits until nobody leads: the lease was given back, its holder is proven dead, or its row stood still for as long
   as a lease lasts.
3. The lease is looked at again in the transaction that migrates.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from scheduler.journal.opening import BESIDE, JournalError, SideFile, connect, explain, told

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine, RowMapping

    from scheduler.model.clock import Clock

UPGRADE_LOCK = 0x616D62
"""Number of PostgreSQL's advisory lock under which one process at a time migrates."""
LOOK_SECONDS = 1.0
"""Between two looks at a lease that must end first."""
_LEASE = sa.text("SELECT * FROM lease")
"""Whatever the columns are in the form of that journal: who holds it changes its row each time he renews it."""


Waits = Callable[[str], None]
"""Told whose lease is watched, for it must end first."""


class StillLedError(JournalError):
    """Another daemon works with the journal in its older form."""


def check_form(engine: Engine, where: str, now: float) -> None:
    """Make the tables of a new journal; refuse one of an older or a newer Ambienti."""
    with _explained(where):
        found = _form(engine)
        if found is None:
            _migrate(engine, where, now, None)
        else:
            _refuse_other(found, where)


def check_form_of(connection: Connection, where: str) -> None:
    """Refuse a journal that a newer Ambienti has upgraded since it was opened: a standby of before must not take over."""
    _refuse_other(_form_of(connection), where)


def _refuse_other(found: str | None, where: str) -> None:
    if found != newest_form():
        _refuse_newer(found, where)
        raise JournalError(
            f"journal {where} was written by an older Ambienti (its form is {found}, this one needs {newest_form()}): "
            "stop the daemon that still runs with it and start the new one, or run `ambienti journal upgrade`"
        )


def upgrade(
    url: str, clock: Clock, lease_seconds: float, *, side_file: Path | None = None, waits: Waits = lambda _: None
) -> tuple[str, str]:
    """Bring a journal to the newest form, or make it; return its form before ("" of a new one), and now.

    Raises StillLedError while a daemon works with it.
    """
    engine, file = connect(url, durable=True, busy_seconds=5)
    where, side = told(engine.url), SideFile(file.lock_path if file else None, side_file)
    try:
        with _explained(where):
            found = _form(engine)
            if found != newest_form():
                _refuse_newer(found, where)
                led = None if found is None else _await_nobody(engine, clock, lease_seconds, side, waits)
                _migrate(engine, where, clock.now(), led)
        return found or "", newest_form()
    finally:
        side.let_go()
        engine.dispose()


@contextmanager
def _explained(where: str) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise JournalError(f"journal {where}: cannot open: {explain(error)}") from error


def newest_form() -> str:
    """Return the number of the newest migration: their files are named by it."""
    return max(_forms())


def _forms() -> set[str]:
    versions = resources.files("scheduler.journal.migrations.versions")
    return {file.name[:4] for file in versions.iterdir() if file.name[:4].isdigit()}


def _form(engine: Engine) -> str | None:
    """Return the number of the last migration that a journal has seen; None for a new one."""
    with engine.connect().execution_options(reading=True) as connection:
        return _form_of(connection)


def _form_of(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _refuse_newer(found: str | None, where: str) -> None:
    if found is not None and found not in _forms():
        raise JournalError(
            f"journal {where} was written by a newer Ambienti (its form is {found}, this one knows up to {newest_form()}): "
            "upgrade Ambienti, or name another journal in daemon.journal"
        )


def _await_nobody(engine: Engine, clock: Clock, lease_seconds: float, side: SideFile, waits: Waits) -> RowMapping:
    """Return the row of the lease of which it is sure that nobody acts by it."""
    where, first, since = told(engine.url), _lease(engine), clock.monotonic()
    if not first["owner"]:
        return first
    lock = first.get("lock", BESIDE if first.get("locked") else "")
    if lock and lock == side.name():
        if side.take():
            return first
        raise _still_led(first, where)
    waits(first["owner"])
    while (rest := since + lease_seconds - clock.monotonic()) > 0:
        clock.sleep(min(LOOK_SECONDS, rest))
        _refuse_led(first, _lease(engine), where)
    return first


def _lease(engine: Engine) -> RowMapping:
    with engine.connect().execution_options(reading=True) as connection:
        return connection.execute(_LEASE).mappings().one()


def _refuse_led(seen: RowMapping, now: RowMapping, where: str) -> None:
    if now["owner"] and now != seen:
        raise _still_led(now, where)


def _still_led(lease: RowMapping, where: str) -> StillLedError:
    return StillLedError(
        f"another daemon, {lease['owner']}, holds the lease of journal {where} and works with its older form: stop it first"
    )


def _migrate(engine: Engine, where: str, now: float, led: RowMapping | None) -> None:
    """Run the migrations; `led` is the row of the lease by which nobody may act any more."""
    # Late: it takes a third of a second to load, and most journals are as new as this program.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(resources.files("scheduler.journal.migrations")))
    config.attributes["now"] = now
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")  # a migration may think for long
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(UPGRADE_LOCK)))
        found = _form_of(connection)
        if found is None and engine.dialect.name == "sqlite" and sa.inspect(connection).get_table_names():
            raise JournalError(f"journal {where} is a database of something else: is daemon.journal right?")
        if found == newest_form():  # somebody else was quicker
            return
        if led is not None:
            _refuse_led(led, _locked_lease(connection), where)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _locked_lease(connection: Connection) -> Any:
    """Read the row of the lease so that nobody takes or renews it until this transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE lease IN SHARE ROW EXCLUSIVE MODE")
    return connection.execute(_LEASE).mappings().one()
