"""Opening the journal: connections, the form of its errors, and the side file that proves who is dead."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import stat
import struct
import weakref
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DataError, IntegrityError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from environments.text import printable

DAMAGED = (
    "the journal is damaged. Stop the daemon, move the file and its -wal and -shm away (keep them), and put the last back-up "
    "in its place; without one start with an empty journal: the farm is adopted, what was reported is lost (docs: Operations)"
)
_MAGIC = b"SQLite format 3\0"
"""A file of SQLite begins with it."""


class JournalError(Exception):
    """The journal cannot be read or written: nothing is done until it can."""


class RefusedError(JournalError):
    """The database works, but refuses what was to be written: again and again, and whoever writes it."""


REFUSALS = (DataError, IntegrityError, OverflowError, UnicodeError)
"""What the databases and their drivers raise about a row, not about themselves."""
BROKEN = (json.JSONDecodeError, struct.error)
"""What reading raises of a value that is not as it was written."""


class DatabaseFile:
    """The file of a SQLite journal, as it was opened: by another one in its place a second daemon would act beside this one."""

    def __init__(self, path: str) -> None:
        """Remember which file lies at a path."""
        self._path = Path(path).absolute()
        self._opened = self._found()

    @property
    def lock_path(self) -> str:
        """The side file that proves its holder alive."""
        return f"{self._path}.lease"

    def check(self) -> None:
        """Raise JournalError if another file lies there now, or none."""
        if self._opened is not None and self._found() != self._opened:
            raise JournalError(
                f"journal sqlite:///{printable(str(self._path))}: the file was removed or replaced while it was in use: "
                "nothing is done until Ambienti is started again (docs: Operations)"
            )

    def _found(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def connect(url: str, *, durable: bool, busy_seconds: float) -> tuple[Engine, DatabaseFile | None]:
    """Return an engine for a SQLAlchemy URL and, for SQLite, the file that it was opened on."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        where = told(url)
        raise JournalError(f"journal {where} is not a database URL: write, for example, sqlite:///ambienti.db") from error
    if parsed.get_backend_name() == "sqlite":
        return _connect_sqlite(parsed, durable, busy_seconds)
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    where = told(parsed)
    try:
        # A dead server must not be found out by the first statement of a begin.
        engine = sa.create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": max(2, round(busy_seconds))})
    except (NoSuchModuleError, ImportError) as error:
        raise JournalError(f"journal {where}: {error}; supported are sqlite and postgresql (extra `postgresql`)") from error

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("reading", False):
            # Whoever stands still with the lease's row locked keeps every standby waiting: the server ends his transaction.
            connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {round(2000 * busy_seconds)}")

    return engine, None


def told(url: URL | str) -> str:
    """Return a URL as it may be told: without user, password and options, any of which may be a secret."""
    text = url if isinstance(url, str) else url.render_as_string(hide_password=True)
    scheme, slashes, rest = text.partition("?")[0].partition("://")
    return printable(f"{scheme}{slashes}{rest.rpartition('@')[2]}" if slashes else "(without ://)")


def _connect_sqlite(url: URL, durable: bool, busy_seconds: float) -> tuple[Engine, DatabaseFile | None]:
    path = url.database if url.database and url.database != ":memory:" else None
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False, "timeout": busy_seconds}}
    if path is None:
        options["poolclass"] = StaticPool
    else:
        _keep_private(path)
    file = DatabaseFile(path) if path else None
    try:
        engine = sa.create_engine(url, **options)
    except (NoSuchModuleError, ImportError) as error:
        raise JournalError(f"journal {told(url)}: {error}; supported are sqlite and postgresql (extra `postgresql`)") from error

    @sa.event.listens_for(engine, "do_connect")
    def _check(*_: object) -> None:
        if file is not None:  # a further connection of the pool would open the new file, or make one
            file.check()

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver opens no transactions of its own; we say BEGIN below
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        # A writer takes its lock at once: a late upgrade from reading to writing fails without waiting.
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine, file


def _keep_private(path: str) -> None:
    """Make a new journal for its owner alone, and let no others read an old one: it names users. SQLite's side files follow.

    Whatever is no journal is left as it is: the site file may name anything by mistake.
    """
    with contextlib.suppress(OSError):  # a place that cannot be written is told when it is opened
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with contextlib.suppress(OSError):
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):
            raise JournalError(f"journal sqlite:///{path} is a directory or a device, no file: is daemon.journal right?")
        with Path(path).open("rb") as file:
            begin = file.read(len(_MAGIC))
        if begin not in {b"", _MAGIC}:
            raise JournalError(
                f"journal sqlite:///{path} is no file of SQLite. Unless daemon.journal names a wrong file, {DAMAGED}"
            )
        if begin and _is_foreign(Path(path)):
            raise JournalError(f"journal sqlite:///{path} is a database of something else: is daemon.journal right?")
        if mode & 0o007:
            Path(path).chmod(stat.S_IMODE(mode) & ~0o007)


def _is_foreign(path: Path) -> bool:
    """Look, without changing anything, whether a file of SQLite has tables and they are not ours."""
    log = Path(f"{path}-wal")
    # Without a log the file is whole by itself; opened in the usual way it would get side files even by a reader.
    how = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:  # damaged or in use: whoever opens it says so
        return False
    return bool(names) and not {"alembic_version", "lease"} <= names


def explain(error: Exception) -> str:
    """Say what the database answered, in one line and in words an administrator can act on."""
    original = getattr(error, "orig", None) or error
    text = " ".join(str(original).split())
    if "malformed" in text or "not a database" in text:
        return f"{text}: {DAMAGED}"
    if "unable to open database file" in text:
        return f"{text}: does its directory exist, and may this user write there?"
    if "database is locked" in text:
        return f"{text}: another process keeps it locked"
    if "disk is full" in text or "disk I/O error" in text:
        return f"{text}: is the file system full, or the quota reached?"
    return text or type(original).__name__


BESIDE = "beside"
"""The name of a file that lies beside the database."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class SideFile:
    """Holds the lock on a file: it proves that who held it is dead, for the kernel takes it back that very instant.

    SQLite's lies beside the database: whoever opens that opens it too. For a journal in a server each machine has its own, so
    the name under which it is written into the lease tells of which boot of which machine it was: a copy of that machine,
    started from a snapshot, proves nothing about the original. A journal without such a file proves nothing.
    """

    def __init__(self, beside: str | None, of_machine: Path | None = None) -> None:
        self._beside = beside is not None
        self._path = Path(beside) if beside else of_machine
        self._held: weakref.finalize[..., SideFile] | None = None
        self._name = ""

    def name(self) -> str:
        """Return by which name the lease knows this file; "" if there is none."""
        if self._held is not None:
            return self._name
        try:
            return "" if self._path is None else self._named(self._path.stat())
        except OSError:
            return ""

    def take(self) -> str:
        """Take the lock, or keep it, and return its name; "" where another process has it, or it cannot be had."""
        if self._held is None and self._path is not None:
            try:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                return ""
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
                return ""
            self._name = self._named(os.fstat(file))
            self._held = weakref.finalize(self, os.close, file)
        return self.name() if self._held is not None else ""

    def let_go(self) -> None:
        """Give the lock back."""
        if self._held is not None:
            self._held()
            self._held = None

    def _named(self, found: os.stat_result) -> str:
        return BESIDE if self._beside else f"{_BOOT.read_text().strip()}:{found.st_dev}:{found.st_ino}"
