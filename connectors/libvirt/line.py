"""The line to one host's libvirt: opened when first needed, kept alive, opened again when it broke; every call has a deadline.

A call runs in a thread of its own that nobody joins: libvirt calls cannot be interrupted, so one that hangs is left behind and
its connection given up. It finds itself cancelled before its next step, should it ever wake.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import libvirt

from environments.domain import Driver
from scheduler.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
MOST_HANGING = 3
"""So many calls may hang on one host before no more are made."""
_DRIVERS = {"Xen": Driver.XEN, "QEMU": Driver.QEMU, "LXC": Driver.LXC, "TEST": Driver.TEST}
_loop_lock = threading.Lock()
_loop: list[threading.Thread] = []


def start_event_loop() -> None:
    """Start the process's one libvirt event loop, before any connection is opened."""
    with _loop_lock:
        if _loop:
            return
        libvirt.registerErrorHandler(_quiet, None)
        libvirt.virEventRegisterDefaultImpl()
        _loop.append(threading.Thread(target=_run_events, name="libvirt-events", daemon=True))
        _loop[0].start()


def _quiet(_context: object, _error: object) -> None:
    """Errors come back as exceptions; libvirt would print them too."""


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def no_such(error: libvirt.libvirtError) -> bool:
    """Whether libvirt says that the thing asked for is not there."""
    return error.get_error_code() in {
        libvirt.VIR_ERR_NO_DOMAIN,
        libvirt.VIR_ERR_NO_STORAGE_POOL,
        libvirt.VIR_ERR_NO_STORAGE_VOL,
        libvirt.VIR_ERR_NO_NETWORK,
        libvirt.VIR_ERR_NO_DOMAIN_METADATA,
    }


def unsupported(error: libvirt.libvirtError) -> bool:
    """Whether libvirt's driver does not know this call."""
    return error.get_error_code() in {libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_CONFIG_UNSUPPORTED}


@dataclass(slots=True, eq=False)
class Talk:
    """One operation's hold of the connection; its steps say what is asked, for the error's sake."""

    host: str
    connection: Any
    driver: Driver
    cancelled: threading.Event

    @contextlib.contextmanager
    def asking(self, asked: str) -> Iterator[None]:
        """Turn what libvirt refuses within into a SourceError; begin nothing once the caller has given up."""
        if self.cancelled.is_set():
            raise SourceError(self.host, asked, "not begun: the caller has given up")
        try:
            yield
        except libvirt.libvirtError as error:
            raise SourceError(self.host, asked, error.get_error_message() or str(error)) from error


@dataclass(slots=True, eq=False)
class _Task:
    asked: str
    began: float
    cancelled: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    connection: Any = None
    value: Any = None
    error: BaseException | None = None


class Line:
    """Holds the connection to one host."""

    def __init__(self, host: str, uri: str, *, deadline_seconds: float, keepalive_seconds: int) -> None:
        self.host = host
        self._uri = uri
        self._deadline_seconds = deadline_seconds
        self._keepalive_seconds = keepalive_seconds
        self._connection: Any = None
        self._subscribed: Any = None
        self._subscription = 0
        self._driver = Driver.QEMU
        self._opening = threading.Lock()
        self._hanging: list[_Task] = []
        self._on_event: Callable[[str, str, int, int], None] | None = None
        self._on_line: Callable[[bool, str], None] | None = None
        self._closed = False

    def run(self, asked: str, operation: Callable[[Talk], T], seconds: float | None = None) -> T:
        """Run an operation within its deadline; one that finds the line broken is repeated once on a new one."""
        seconds = seconds or self._deadline_seconds
        self._hanging = [task for task in self._hanging if not task.done.is_set()]
        if len(self._hanging) >= MOST_HANGING:
            oldest = self._hanging[0]
            waits = f"{len(self._hanging)} earlier calls hang, the oldest ({oldest.asked})"
            raise SourceError(self.host, asked, f"not asked: {waits} for {time.monotonic() - oldest.began:.0f} s")
        task = _Task(asked, time.monotonic())
        threading.Thread(target=self._work, args=(task, operation), name=f"libvirt-{self.host}", daemon=True).start()
        if not task.done.wait(seconds):
            task.cancelled.set()
            self._hanging.append(task)
            self._give_up(task.connection, f"no answer within {seconds:g} s")
            raise SourceError(self.host, asked, f"no answer within {seconds:g} s")
        if task.error is not None:
            raise task.error
        value: T = task.value
        return value

    def watch(self, on_event: Callable[[str, str, int, int], None], on_line: Callable[[bool, str], None]) -> None:
        """From the next call on, tell `on_event(name, uuid, event, detail)` and `on_line(open, why)`; both return at once."""
        self._on_event = on_event
        self._on_line = on_line

    @property
    def is_open(self) -> bool:
        """Whether it was not seen to break since it was opened."""
        return self._connection is not None

    def close(self) -> None:
        """Give the connection back."""
        self._closed = True
        self._give_up(self._connection, "", quietly=True)

    def _work(self, task: _Task, operation: Callable[[Talk], Any]) -> None:
        try:
            before = self._connection
            task.value = self._attempt(task, operation, again=before is not None)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            task.error = error
        finally:
            task.done.set()

    def _attempt(self, task: _Task, operation: Callable[[Talk], Any], *, again: bool) -> Any:
        task.connection = connection = self._opened(task)
        try:
            return operation(Talk(self.host, connection, self._driver, task.cancelled))
        except SourceError as error:
            if self._alive(connection):
                raise
            self._give_up(connection, error.answer)
            if not again or task.cancelled.is_set():
                raise
        return self._attempt(task, operation, again=False)

    def _alive(self, connection: Any) -> bool:
        try:
            return self._connection is connection and bool(connection.isAlive())
        except libvirt.libvirtError:
            return False

    def _opened(self, task: _Task) -> Any:
        with self._opening:
            if self._closed or task.cancelled.is_set():
                raise SourceError(self.host, task.asked, "not begun: the connection was closed")
            connection = self._connection
            if connection is None:
                try:
                    connection = self._connection = self._open()
                except libvirt.libvirtError as error:
                    raise SourceError(self.host, f"connect to {self._uri}", error.get_error_message() or str(error)) from error
                if self._on_line is not None:
                    self._on_line(True, "")
            if self._on_event is not None and self._subscribed is not connection:
                try:
                    lifecycle = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
                    self._subscription = connection.domainEventRegisterAny(None, lifecycle, self._event, None)
                except libvirt.libvirtError as error:
                    raise SourceError(self.host, "watch its domains", error.get_error_message() or str(error)) from error
                self._subscribed = connection
            return connection

    def _open(self) -> Any:
        start_event_loop()
        connection = libvirt.open(self._uri)
        driver = connection.getType()
        if driver not in _DRIVERS:
            connection.close()
            raise SourceError(self.host, f"connect to {self._uri}", f"libvirt's {driver} driver runs no workers")
        self._driver = _DRIVERS[driver]
        connection.registerCloseCallback(self._broken, None)
        with contextlib.suppress(libvirt.libvirtError):  # a driver within this process has no wire to keep alive
            connection.setKeepAlive(self._keepalive_seconds, 3)
        return connection

    def _broken(self, connection: Any, reason: int, _opaque: object) -> None:
        """Take note, quickly: the event loop waits."""
        words = ("the connection failed", "the host closed the connection", "the host stopped answering", "closed by us")
        self._give_up(connection, words[reason] if reason < len(words) else f"closed ({reason})")

    def _event(self, connection: Any, domain: Any, event: int, detail: int, _opaque: object) -> None:
        if connection is self._connection and self._on_event is not None:
            self._on_event(domain.name(), domain.UUIDString(), event, detail)

    def _give_up(self, connection: Any, why: str, *, quietly: bool = False) -> None:
        if connection is None or connection is not self._connection:
            return
        self._connection = None
        subscription = self._subscription if self._subscribed is connection else None
        self._subscribed = None
        # closing asks the host too, and may hang with it
        threading.Thread(target=_close, args=(connection, subscription), name=f"libvirt-close-{self.host}", daemon=True).start()
        if self._on_line is not None and not quietly:
            self._on_line(False, why)


def _close(connection: Any, subscription: int | None) -> None:
    if subscription is not None:  # else the connection would live on for its sake
        with contextlib.suppress(libvirt.libvirtError):
            connection.domainEventDeregisterAny(subscription)
    with contextlib.suppress(libvirt.libvirtError):
        connection.unregisterCloseCallback()
    with contextlib.suppress(libvirt.libvirtError):
        connection.close()
