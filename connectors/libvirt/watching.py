"""Tells of domains that change and of hosts that are lost or come back, within a second, not at the next poll."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import TYPE_CHECKING

import libvirt

from scheduler.model.ports import DomainEvent, EventKind, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectors.libvirt.line import HostConnection, Talk

_LOOK_SECONDS = 2.0
_FIRST_RETRY_SECONDS = 0.5
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
    """Holds a thread that turns libvirt's events of one host into ours, and seeks a lost host again."""

    def __init__(self, line: HostConnection, tell: Callable[[DomainEvent], None], retry_seconds: float) -> None:
        self._line = line
        self._tell = tell
        self._retry_seconds = retry_seconds
        self._news: queue.SimpleQueue[DomainEvent | None] = queue.SimpleQueue()
        line.watch(self._event, self._line_changed)
        threading.Thread(target=self._work, name=f"libvirt-watch-{line.host}", daemon=True).start()

    def close(self) -> None:
        """Tell nothing any more."""
        self._tell = lambda _event: None  # a call under way may yet find the line closed
        self._news.put(None)

    def _event(self, name: str, _uuid: str, event: int, detail: int) -> None:
        told = translated(event, detail)
        if told is not None:
            self._news.put(self._heard(name, *told))

    def _line_changed(self, is_open: bool, why: str) -> None:
        self._news.put(self._heard("", EventKind.HOST_BACK if is_open else EventKind.HOST_LOST, why))

    def _heard(self, domain: str, what: EventKind, words: str) -> DomainEvent:
        """Date an event as it comes: what is done before it is told on may take seconds."""
        return DomainEvent(self._line.host, domain, what, time.time(), words)

    def _work(self) -> None:
        """Tell one thing after the other; ask an idle host whether it lives, and seek a lost one at growing intervals."""
        pause, lost = 0.0, False
        while True:
            try:
                news = self._news.get(timeout=self._silence_left() if self._line.is_open else pause)
            except queue.Empty:
                if self._line.is_open:
                    lost = self._keep_alive(lost)
                    continue
                lost = self._seek(lost)
                pause = min(max(_FIRST_RETRY_SECONDS, 2 * pause), self._retry_seconds)
                continue
            if news is None:
                return
            if news.what is EventKind.HOST_BACK:
                pause = 0.0
                if not lost:  # opened for the first time
                    continue
                lost = False
            elif news.what is EventKind.HOST_LOST:
                if lost:
                    continue
                lost = True
            self._tell(self._seen_again(news))

    def _silence_left(self) -> float:
        """Return how long the host may say nothing yet before it is asked, in seconds."""
        return max(_FIRST_RETRY_SECONDS, self._line.keepalive_seconds - self._line.silent_seconds)

    def _keep_alive(self, lost: bool) -> bool:
        """Ask a host that has answered nothing for a while; with the answer's deadline it is lost after three times as long."""
        seconds = self._line.keepalive_seconds
        return lost if self._line.silent_seconds < seconds else self._seek(lost, 2.0 * seconds)

    def _seek(self, lost: bool, seconds: float | None = None) -> bool:
        try:
            self._line.run("reach the host", _greet, seconds)
        except SourceError as error:
            if not lost:
                self._tell(self._heard("", EventKind.HOST_LOST, error.answer))
            return True
        return lost

    def _seen_again(self, news: DomainEvent) -> DomainEvent:
        """Look again before an end is told: a reboot under Xen reads as an end for seconds, and its start came before."""
        if not news.what.is_end:
            return news
        with contextlib.suppress(SourceError):
            if self._line.run(f"look at {news.domain} again", lambda talk: _is_active(talk, news.domain), _LOOK_SECONDS):
                return self._heard(news.domain, EventKind.STARTED, f"it runs again after: {news.detail}")
        return news


def _greet(talk: Talk) -> None:
    """Have the host answer anything: an error is an answer, a broken connection tells of itself."""
    with contextlib.suppress(libvirt.libvirtError):
        talk.connection.getLibVersion()


def _is_active(talk: Talk, name: str) -> bool:
    with talk.asking(f"look at {name} again"), contextlib.suppress(libvirt.libvirtError):
        return bool(talk.connection.lookupByName(name).isActive())
    return False
