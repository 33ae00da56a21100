"""The line to one host's libvirt: opened when first needed, opened again when it broke; every call has a deadline.

A call runs in a thread that nobody joins: libvirt calls cannot be interrupted, so one that hangs is left behind and
its connection given up. It finds itself cancelled before its next step, should it ever wake.

No connection carries two calls at once, and only its last user closes it: in libvirt's older clients (CVE-2024-4418, Debian 12
has one) a second call on a connection that breaks takes the whole process down. For the same reason libvirt's own keepalive,
which is such a second call, runs only on connections that are given up already, to end what hangs on them (decision 16).
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import libvirt

from connectors.libvirt.causes import cause_of
from connectors.libvirt.threads import in_a_thread
from environments.domain import Driver
from scheduler.model.failures import FailureCause
from scheduler.model.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
MOST_HANGING = 3
"""So many calls may hang on one host before no more are made."""
MOST_IDLE = 3
"""So many connections are kept for the next calls that run side by side."""
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


def as_source_error(error: Exception, host: str, asked: str) -> SourceError:
    """Return an error as one of the source: a null character or a lone surrogate in a text, XML that is none, a full disk."""
    if isinstance(error, SourceError):
        return error
    words = error.get_error_message() if isinstance(error, libvirt.libvirtError) else ""
    words = words or f"{type(error).__name__}: {error}"
    made = SourceError(host, asked, words, cause_of(error, words))
    made.__cause__ = error
    return made


@dataclass(slots=True, eq=False)
class Talk:
    """One operation's hold of a connection; its steps say what is asked, for the error's sake."""

    host: str
    connection: Any
    driver: Driver
    cancelled: threading.Event
    life: object = None
    """The same as long as the host was not lost."""

    @contextlib.contextmanager
    def asking(self, asked: str) -> Iterator[None]:
        """Turn what libvirt refuses within into a SourceError; begin nothing once the caller has given up."""
        if self.cancelled.is_set():
            raise SourceError(self.host, asked, "not begun: the caller has given up")
        try:
            yield
        except libvirt.libvirtError as error:
            words = error.get_error_message() or str(error)
            raise SourceError(self.host, asked, words, cause_of(error, words)) from error


@dataclass(slots=True, eq=False)
class LineTask:
    """One call on its way."""

    asked: str
    began: float
    life: object
    cancelled: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    value: Any = None
    error: SourceError | None = None


@dataclass(slots=True, eq=False)
class _Wire:
    """One connection; `users` and `given_up` change under the line's lock, `ending` under its own."""

    connection: Any
    driver: Driver
    life: object
    users: int = 1
    is_subscribed: bool = False
    subscription: int | None = None
    given_up: bool = False
    ending: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    subscribing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def has_room(self) -> bool:
        """Whether one more call may use it; libvirt's test driver lives in this process and has no wire to share."""
        return self.users == 0 or self.driver is Driver.TEST


class HostConnection:
    """Holds the connections to one host; the first one also brings its events."""

    def __init__(self, host: str, uri: str, *, deadline_seconds: float, keepalive_seconds: int) -> None:
        self.host = host
        self.keepalive_seconds = keepalive_seconds
        self._uri = uri
        self.deadline_seconds = deadline_seconds
        self._wires: list[_Wire] = []
        self._life = object()
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._hanging: list[LineTask] = []
        self._answered = time.monotonic()
        self._on_event: Callable[[str, str, int, int], None] | None = None
        self._on_line: Callable[[bool, str], None] | None = None
        self._closed = False

    def run(self, asked: str, operation: Callable[[Talk], T], seconds: float | None = None) -> T:
        """Run an operation within its deadline; one that finds the line broken is repeated once on a new one."""
        seconds = seconds or self.deadline_seconds
        task = self.ask(asked)
        in_a_thread(partial(self.carry_out, task, operation))
        if not task.done.wait(seconds):
            raise self.leave(task, seconds)
        if task.error is not None:
            raise task.error
        value: T = task.value
        return value

    def ask(self, asked: str) -> LineTask:
        """Prepare a call. Raises SourceError when too many hang already."""
        self._hanging = [task for task in self._hanging if not task.done.is_set()]
        if len(self._hanging) >= MOST_HANGING:
            oldest = self._hanging[0]
            waits = f"{len(self._hanging)} earlier calls hang, the oldest ({oldest.asked})"
            waits += f" for {time.monotonic() - oldest.began:.0f} s"
            raise SourceError(self.host, asked, f"not asked: {waits}", FailureCause.NO_ANSWER)
        return LineTask(asked, time.monotonic(), self._life)

    def carry_out(self, task: LineTask, operation: Callable[[Talk], Any]) -> None:
        """Make a call in this thread, which it may hold for ever."""
        used: list[_Wire] = []
        try:
            task.value = self._attempt(task, operation, used)
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            task.error = as_source_error(error, self.host, task.asked)
        ended = [wire for wire in used if self._given_back(wire)]  # before the caller goes on: its next call wants them
        task.done.set()
        for wire in ended:
            self._end(wire)

    def leave(self, task: LineTask, seconds: float) -> SourceError:
        """Leave a call behind that has not ended within so long, with the connection that it may hang on."""
        task.cancelled.set()
        self._hanging.append(task)
        self._give_up(task.life, f"no answer within {seconds:g} s")
        return SourceError(self.host, task.asked, f"no answer within {seconds:g} s", FailureCause.NO_ANSWER)

    def watch(self, on_event: Callable[[str, str, int, int], None], on_line: Callable[[bool, str], None]) -> None:
        """From the next call on, tell `on_event(name, uuid, event, detail)` and `on_line(open, why)`; both return at once."""
        self._on_event = on_event
        self._on_line = on_line

    @property
    def is_open(self) -> bool:
        """Whether it was not seen to break since it was opened."""
        return bool(self._wires)

    @property
    def silent_seconds(self) -> float:
        """How long ago the host last answered a call."""
        return time.monotonic() - self._answered

    def close(self) -> None:
        """Give the connections back."""
        self._closed = True
        self._on_line = None
        self._give_up(self._life, "")

    def _attempt(self, task: LineTask, operation: Callable[[Talk], Any], used: list[_Wire]) -> Any:
        wire, is_new = self._taken(task, used)
        task.life = wire.life
        try:
            value = _done(operation, Talk(self.host, wire.connection, wire.driver, task.cancelled, wire.life), task.asked)
        except SourceError as error:
            if self._is_alive(wire):
                self._answered = time.monotonic()
                raise
            self._give_up(wire.life, error.answer)
            if is_new or len(used) > 1 or task.cancelled.is_set():
                raise
            return self._attempt(task, operation, used)
        self._answered = time.monotonic()
        return value

    def _is_alive(self, wire: _Wire) -> bool:
        try:
            return not wire.given_up and bool(wire.connection.isAlive())
        except libvirt.libvirtError:
            return False

    def _taken(self, task: LineTask, used: list[_Wire]) -> tuple[_Wire, bool]:
        """Return a connection that nobody else uses, and whether it is a new one."""
        wire = self._idle(used)
        if wire is None:
            with self._opening:
                if self._closed or task.cancelled.is_set():
                    raise SourceError(self.host, task.asked, "not begun: the connection was closed")
                wire = self._idle(used)
                if wire is None:
                    return self._open(used), True
        self._subscribe(wire)
        return wire, False

    def _idle(self, used: list[_Wire]) -> _Wire | None:
        with self._lock:
            wire = next((wire for wire in self._wires if wire.has_room), None)
            if wire is not None:
                wire.users += 1
                used.append(wire)
            return wire

    def _given_back(self, wire: _Wire) -> bool:
        """Take note that a call is done with it; returns whether nobody else will use it, so that it must be ended."""
        with self._lock:
            wire.users -= 1
            more = self._wires[1:]
            if wire in more and sum(one.users == 0 for one in more) > MOST_IDLE:
                self._wires.remove(wire)
                wire.given_up = True
            return wire.given_up and wire.users == 0

    def _open(self, used: list[_Wire]) -> _Wire:
        start_event_loop()
        life = self._life
        try:
            connection = libvirt.open(self._uri)
            kind = connection.getType()
            if kind not in _DRIVERS:
                connection.close()
                raise SourceError(self.host, f"connect to {self._uri}", f"libvirt's {kind} driver runs no workers")
            wire = _Wire(connection, _DRIVERS[kind], life)
            connection.registerCloseCallback(self._broken, wire)
        except libvirt.libvirtError as error:
            words = error.get_error_message() or str(error)
            raise SourceError(self.host, f"connect to {self._uri}", words, FailureCause.UNREACHABLE) from error
        used.append(wire)
        with self._lock:
            wire.given_up = self._closed or life is not self._life
            is_first = not self._wires and not wire.given_up
            if not wire.given_up:
                self._wires.append(wire)
            if is_first and self._on_line is not None:
                self._on_line(True, "")
        self._subscribe(wire)
        return wire

    def _subscribe(self, wire: _Wire) -> None:
        """Have the host's events told by its first connection; the caller uses it, and goes on when they are."""
        with wire.subscribing:
            with self._lock:
                if self._on_event is None or wire.is_subscribed or self._wires[:1] != [wire]:
                    return
            try:
                lifecycle = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
                wire.subscription = wire.connection.domainEventRegisterAny(None, lifecycle, self._event, wire)
            except libvirt.libvirtError as error:
                raise SourceError(self.host, "watch its domains", error.get_error_message() or str(error)) from error
            wire.is_subscribed = True

    def _broken(self, _connection: Any, reason: int, wire: _Wire) -> None:
        """Take note, quickly: the event loop waits."""
        words = ("the connection failed", "the host closed the connection", "the host stopped answering", "closed by us")
        if not wire.given_up:
            self._give_up(wire.life, words[reason] if reason < len(words) else f"closed ({reason})")

    def _event(self, _connection: Any, domain: Any, event: int, detail: int, wire: _Wire) -> None:
        if not wire.given_up and self._on_event is not None:
            self._on_event(domain.name(), domain.UUIDString(), event, detail)

    def _give_up(self, life: object, why: str) -> None:
        """Take the host for lost, once in its life: no call begins on these connections any more."""
        with self._lock:
            if life is not self._life or not self._wires:
                return
            wires, self._wires, self._life = self._wires, [], object()
            for wire in wires:
                wire.given_up = True
            ways = [(wire, self._end if wire.users == 0 else self._keep_alive) for wire in wires]
            if self._on_line is not None:
                self._on_line(False, why)
        for wire, way in ways:  # which asks the host too, and may hang with it
            in_a_thread(partial(way, wire))

    def _keep_alive(self, wire: _Wire) -> None:
        """Let libvirt itself break a connection on which a call may hang: that alone makes the call return."""
        with wire.lock:
            if not wire.ending:  # else its last user has done so, and it may be closed by now
                _start_keepalive(wire, self.keepalive_seconds)

    def _end(self, wire: _Wire) -> None:
        """Close it; the caller is its last user."""
        with wire.lock:
            wire.ending = True
        _start_keepalive(wire, self.keepalive_seconds)
        if wire.subscription is not None:  # else the connection would live on for its sake
            with contextlib.suppress(libvirt.libvirtError):
                wire.connection.domainEventDeregisterAny(wire.subscription)
        with contextlib.suppress(libvirt.libvirtError):
            wire.connection.unregisterCloseCallback()
        with contextlib.suppress(libvirt.libvirtError):
            wire.connection.close()


def _done(operation: Callable[[Talk], T], talk: Talk, asked: str) -> T:
    """Carry an operation out; whatever it raises is an error of the source."""
    try:
        return operation(talk)
    except Exception as error:
        raise as_source_error(error, talk.host, asked) from error


def _start_keepalive(wire: _Wire, seconds: int) -> None:
    with contextlib.suppress(libvirt.libvirtError):  # a driver within this process has no wire to keep alive
        wire.connection.setKeepAlive(seconds, 3)
