"""Tells of domains that change and of hosts that are lost or come back, within a second, not at the next poll."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import libvirt

from connectors.libvirt.threads import in_a_thread
from scheduler.model.ports import DomainEvent, EventKind, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectors.libvirt.line import HostConnection, LineTask, Talk

_LOOK_SECONDS = 2.0
_FIRST_RETRY_SECONDS = 0.5
_PATIENCE_SECONDS = 1.0
"""So long one thread asks one host after the other; those that are left are then asked side by side."""
_STOPPED = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: (EventKind.STOPPED, "it shut down"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: (EventKind.STOPPED, "it was destroyed"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: (EventKind.CRASHED, "the guest crashed"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED: (EventKind.MIGRATED, "it migrated"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED: (EventKind.STOPPED, "it was saved"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: (EventKind.FAILED, "its process ended or could not start"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT: (EventKind.STOPPED, "a snapshot was restored"),
}


def translated(event: int, detail: int) -> tuple[EventKind, str] | None:
    """Return what libvirt's lifecycle event and its detail mean to the loop, and in words; None if nothing."""
    if event == libvirt.VIR_DOMAIN_EVENT_STARTED:
        return EventKind.STARTED, ""
    if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
        return _STOPPED.get(detail, (EventKind.STOPPED, f"libvirt's detail {detail}"))
    if event == libvirt.VIR_DOMAIN_EVENT_CRASHED:
        return EventKind.CRASHED, "the guest crashed"
    return None


class Watcher:
    """Turns libvirt's events of one host into ours, one after the other; says when the host is to be asked whether it lives."""

    def __init__(self, line: HostConnection, tell: Callable[[DomainEvent], None], retry_seconds: float) -> None:
        self._line = line
        self._tell = tell
        self._retry_seconds = retry_seconds
        self._lock = threading.Lock()
        self._news: deque[DomainEvent] = deque()
        self._telling = False
        self._lost = False
        self._pause = 0.0
        self._not_before = float("-inf")
        self._asked: LineTask | None = None
        line.watch(self._event, self._line_changed)
        _keepalive.add(self)

    def close(self) -> None:
        """Tell nothing any more."""
        self._tell = lambda _event: None  # a call under way may yet find the line closed
        _keepalive.remove(self)

    def is_due(self, now: float) -> bool:
        """Whether to ask it now: an idle host whether it lives, a lost one at growing intervals."""
        if self._asked is not None or self._telling or now < self._not_before:
            return False
        return not self._line.is_open or self._line.silent_seconds >= self._line.keepalive_seconds

    def ask(self) -> None:
        """Ask the host for anything, in this thread, which a host that hangs holds for ever."""
        is_open = self._line.is_open
        try:
            self._asked = task = self._line.ask("reach the host")
        except SourceError as error:
            self._failed(error, was_open=is_open)
            return
        self._line.carry_out(task, _greet)
        if not task.cancelled.is_set():
            self._asked = None
            if task.error is not None:
                self._failed(task.error, was_open=is_open)

    def look(self, now: float) -> None:
        """Leave a question behind that had no answer in time: an idle host is lost after three times its keepalive."""
        task, is_open = self._asked, self._line.is_open
        seconds = 2.0 * self._line.keepalive_seconds if is_open else self._line.deadline_seconds
        if task is not None and now - task.began >= seconds and not task.done.is_set():
            error = self._line.leave(task, seconds)
            self._asked = None
            self._failed(error, was_open=is_open)

    def _failed(self, error: SourceError, *, was_open: bool) -> None:
        if not was_open:
            self._pause = min(max(_FIRST_RETRY_SECONDS, 2 * self._pause), self._retry_seconds)
        self._not_before = time.monotonic() + self._pause
        self._put(self._heard("", EventKind.HOST_LOST, error.answer))

    def _event(self, name: str, _uuid: str, event: int, detail: int) -> None:
        told = translated(event, detail)
        if told is not None:
            self._put(self._heard(name, *told))

    def _line_changed(self, is_open: bool, why: str) -> None:
        self._put(self._heard("", EventKind.HOST_BACK if is_open else EventKind.HOST_LOST, why))

    def _heard(self, domain: str, what: EventKind, words: str) -> DomainEvent:
        """Date an event as it comes: what is done before it is told on may take seconds."""
        return DomainEvent(self._line.host, domain, what, time.time(), words)

    def _put(self, news: DomainEvent) -> None:
        with self._lock:
            self._news.append(news)
            begins, self._telling = not self._telling, True
        if begins:
            in_a_thread(self._tell_all)

    def _tell_all(self) -> None:
        while True:
            with self._lock:
                if not self._news:
                    self._telling = False
                    return
                news = self._news.popleft()
            if news.what is EventKind.HOST_BACK:
                self._pause, was_lost, self._lost = 0.0, self._lost, False
                if not was_lost:  # opened for the first time
                    continue
            elif news.what is EventKind.HOST_LOST:
                was_lost, self._lost = self._lost, True
                if was_lost:
                    continue
            self._tell(self._seen_again(news))

    def _seen_again(self, news: DomainEvent) -> DomainEvent:
        """Look again before an end is told: a reboot under Xen reads as an end for seconds, and its start came before."""
        if not news.what.is_end:
            return news
        with contextlib.suppress(SourceError):
            if self._line.run(f"look at {news.domain} again", lambda talk: _is_active(talk, news.domain), _LOOK_SECONDS):
                return self._heard(news.domain, EventKind.STARTED, f"it runs again after: {news.detail}")
        return news


class _Batch:
    """Hosts that one thread asks one after the other, as long as each answers."""

    def __init__(self, hosts: deque[Watcher]) -> None:
        self.hosts = hosts
        self.done = threading.Event()

    def work(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self.hosts.popleft().ask()
        self.done.set()


class _KeepAlive:
    """The one thread that sees to all hosts: in quiet times a second one asks them all, in a round a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: list[Watcher] = []
        self._begun = False

    def add(self, watcher: Watcher) -> None:
        """See to a host from now on."""
        with self._lock:
            self._watchers.append(watcher)
            begins, self._begun = not self._begun, True
        if begins:
            threading.Thread(target=self._work, name="libvirt-keepalive", daemon=True).start()

    def remove(self, watcher: Watcher) -> None:
        """See to it no more."""
        with self._lock:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

    def _work(self) -> None:
        while True:
            with self._lock:
                watchers = tuple(self._watchers)
            now = time.monotonic()
            for watcher in watchers:
                watcher.look(now)
            due = deque(watcher for watcher in watchers if watcher.is_due(now))
            if due:
                batch = _Batch(due)
                in_a_thread(batch.work)
                if not batch.done.wait(_PATIENCE_SECONDS):
                    # One hangs, or all are far away: none of the others waits for it.
                    with contextlib.suppress(IndexError):
                        while True:
                            in_a_thread(due.popleft().ask)
            time.sleep(_FIRST_RETRY_SECONDS)


_keepalive = _KeepAlive()


def _greet(talk: Talk) -> None:
    """Have the host answer anything: an error is an answer, a broken connection tells of itself."""
    with contextlib.suppress(libvirt.libvirtError):
        talk.connection.getLibVersion()


def _is_active(talk: Talk, name: str) -> bool:
    with talk.asking(f"look at {name} again"), contextlib.suppress(libvirt.libvirtError):
        return bool(talk.connection.lookupByName(name).isActive())
    return False
