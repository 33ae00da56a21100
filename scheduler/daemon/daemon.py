"""The daemon: its rhythms, signals, events of the hosts, and the page it shows.

Rules:
1. One cycle at a time. A host's event starts one at once, many events start one together.
2. SIGTERM begins nothing more, lets what runs end within a deadline, and gives the lease back. SIGHUP reads the files again.
3. Whatever one cycle fails of, the next one is tried; /healthz and the log tell.
4. The lease is renewed only while cycles end: a daemon whose loop stands says where, and lets another one act.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from scheduler.daemon.calendar import CalendarJobs
from scheduler.daemon.changes import Changes
from scheduler.daemon.listening import Web
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.notify import notify
from scheduler.daemon.promised import Promised
from scheduler.daemon.receiver import ReportReceiver
from scheduler.daemon.rhythm import Rhythm
from scheduler.daemon.signals import signals_to_read
from scheduler.daemon.stuck import Stuck, longest_cycle_seconds, where
from scheduler.daemon.telling import Teller, in_a_line
from scheduler.daemon.web import Shown
from scheduler.journal.journal import JournalError, LeaseLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from environments.problems import Problem
    from scheduler.availability.timelines.prepared import Prepared
    from scheduler.loop.engine import Engine
    from scheduler.model.policy import Policy
    from scheduler.model.ports import DomainEvent

GATHER_SECONDS = 0.3
"""Events that come within this time start one cycle together."""
GAP_SECONDS = 2.0
"""Between the end of a cycle and one that an event starts: a storm of events must not become a storm of queries."""
PAGER_SECONDS = 5
"""Between two looks at incidents and the outbox."""
REPORTER_SECONDS = 15
"""Between two looks at what is to be published."""
LOOKS_IN_A_LEASE = 12
"""So often in its time does a standby look at the lease: so much later than it could it takes over at most."""
_FAILURES = ("lease lost", "journal", "cycle")
"""What a round fails of."""


def owner_name() -> str:
    """Name this process, for the lease."""
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(slots=True)
class _Turn:
    """Who has the next cycle, and when."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    running: bool = False
    wanted: bool = False
    thread: int | None = None
    """Who runs it."""
    told: bool = False
    """That it does not end."""
    begun_at: float = float("-inf")
    ended_at: float = float("-inf")


class Daemon:
    """Goes round until it is told to stop."""

    def __init__(
        self,
        engine: Engine,
        *,
        refresh: Callable[[bool], Policy | None] = lambda _: None,
        listen: str = "",
        local: Path | None = None,
        names: tuple[str, ...] = (),
        pager: Callable[[], object] | None = None,
        reporter: Callable[[], object] | None = None,
        availability: Callable[[], Prepared] | None = None,
        refused: Callable[[], Sequence[Problem]] = tuple,
    ) -> None:
        """Prepare. It listens at `listen`, where it goes by `names` too, and at the socket `local` for whoever may read that.

        `pager` and `reporter` are called every few seconds beside the cycles, `availability` for metrics.

        `refresh(forced)` is called before each cycle, with True after SIGHUP: it returns the new policy when files have changed
        and are valid, else None, and tells its errors itself. It may call `engine.connect` for a changed site. `refused` says
        what is wrong in the files as they stand.
        """
        self.engine = engine
        self.metrics = Metrics()
        if availability is not None:
            self.metrics.registry.register(Promised(availability, engine.clock.monotonic))
        self.address = ""
        """Where it listens, once it does."""
        self._refresh = refresh
        self._listen = listen
        self._local = local
        self._called = names
        self._log = structlog.get_logger("ambienti")
        self._changes = Changes(self._log)
        self._teller = Teller(self._log, engine.owner)
        self._shown = Shown(engine.policy.limits.poll_seconds, engine.clock.monotonic, refused=refused)
        clock, lease = engine.clock, engine.lease.seconds
        look = lease / LOOKS_IN_A_LEASE
        self._cycles = Rhythm("cycle", self._tick, engine.policy.limits.poll_seconds, clock)
        self._rhythms: list[Rhythm | CalendarJobs] = [
            self._cycles,
            Rhythm("lease", self._safely("lease", self._renew), lease / 3, clock, first=lease / 3),
            Rhythm("watch", self._safely("watch", self._look_at_lease), look, clock, first=look),
        ]
        if pager is not None:
            self._rhythms.append(Rhythm("pager", self._safely("pager", pager), PAGER_SECONDS, clock))
        if reporter is not None:
            self._rhythms.append(CalendarJobs(self._safely("reporter", reporter), REPORTER_SECONDS))
        self._turn = _Turn()
        self._stop = threading.Event()
        self._reload = threading.Event()
        self._news = threading.Event()

    # --- life ---------------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Go round until SIGTERM or SIGINT; to be called in the main thread. Returns the exit code."""
        with signals_to_read() as signals:
            try:
                door = ReportReceiver(self.engine, wake=self._want_cycle)
                web = Web(*(self._listen, self._shown, self.metrics, door), local=self._local, names=self._called)
            except OSError as error:
                where = error.filename or self._listen or str(self._local)
                self._log.error("cannot listen", address=where, problem=error.strerror or str(error))
                return 1
            self.address = web.address
            self._log.info("started", owner=self.engine.owner, listens=self.address or "nowhere", pid=os.getpid())
            self.start()
            notify("READY=1", "STATUS=going round")
            try:
                self._obey(signals)
            finally:
                self.stop()
                web.close()
        return 0

    def _obey(self, signals: int) -> None:
        """Wait for signals until one says stop."""
        while True:
            ready, _, _ = select.select([signals], [], [], 1.0)
            self._watch()
            for number in os.read(signals, 64) if ready else b"":
                if number != signal.SIGHUP:
                    return
                self._reload.set()
                self._want_cycle()

    def start(self) -> None:
        """Begin, and listen to the hosts; returns at once."""
        self.engine.watch(self._on_event)
        self._turn.begun_at = self.engine.clock.monotonic()
        for rhythm in self._rhythms:
            rhythm.start()
        threading.Thread(target=self._follow_events, name="ambienti-events", daemon=True).start()

    def stop(self) -> None:
        """Begin nothing more, let what runs end within a deadline, give the lease back."""
        self._stop.set()
        self._news.set()
        notify("STOPPING=1")
        seconds = self.engine.policy.limits.reading_deadline_seconds + 5
        self._log.info("stopping", under_way=self.engine.under_way, at_most_seconds=seconds)
        self.engine.begin_nothing_more()
        for rhythm in self._rhythms:
            rhythm.stop()
        until = self.engine.clock.monotonic() + seconds
        while (self._turn.running or self.engine.under_way) and self.engine.clock.monotonic() < until:
            self.engine.clock.sleep(0.02)
        try:
            self.engine.close()
        except JournalError as error:
            self._log.error("stop", problem=str(error))
        self._log.info("stopped", left_under_way=self.engine.under_way)

    # --- events of the hosts ------------------------------------------------------------------------------------------

    def _on_event(self, event: DomainEvent) -> None:
        """Take note of an event, in the thread of whoever tells it."""
        if event.what.wakes:
            self._news.set()

    def _follow_events(self) -> None:
        """Attend to events the instant they come, also while a cycle runs; then start a cycle."""
        while not self._stop.is_set():
            self._news.wait()
            self.engine.clock.sleep(0.01)
            self._news.clear()
            if self._stop.is_set():
                return
            try:
                ended = self.engine.attend()
            except JournalError as error:
                self._changes.wrong("event", str(error))
                continue
            except Exception as error:  # noqa: BLE001 - the next event is attended to whatever went wrong with this one
                self._log.error("event", problem=f"{type(error).__name__}: {error}", exc_info=True)
                continue
            self._changes.right("event")
            for worker in ended:
                if self.engine.is_leaving(worker):
                    self._log.info("domain ended, after its drain", worker=worker)
                else:
                    self._log.warning("domain ended by itself", worker=worker)
                    self.metrics.count_ended(1)
            self._want_cycle()

    def _want_cycle(self) -> None:
        """Start a cycle soon, or directly after the one that runs."""
        turn = self._turn
        with turn.lock:
            turn.wanted = True
            if turn.running or self._stop.is_set():
                return
            since = self.engine.clock.monotonic() - turn.ended_at
            self._cycles.bring_forward(max(GATHER_SECONDS, GAP_SECONDS - since))

    # --- cycles -------------------------------------------------------------------------------------------------------

    def _stands(self) -> Stuck | None:
        """Look whether the cycle that runs has not ended in its time, and where it stands then."""
        turn = self._turn
        with turn.lock:
            seconds, thread, running = self.engine.clock.monotonic() - turn.begun_at, turn.thread, turn.running
        if not running or seconds <= longest_cycle_seconds(self.engine.policy.limits):
            return None
        return Stuck(seconds, where(thread))

    def _watch(self) -> None:
        """Tell once of a cycle that does not end, and keep shown where it stands."""
        stuck = self._shown.stuck = self._stands()
        if stuck is None:
            self._turn.told = False
        elif not self._turn.told:
            self._turn.told = True
            self._log.error("the loop stands", problem=stuck.sentence(), lease="no longer renewed: a standby takes over")
            notify(f"STATUS={stuck.sentence()}")

    def _renew(self) -> None:
        """Keep the lease while a cycle takes long; not for one that does not end: another daemon may do better."""
        if self._stands() is None and self.engine.leading and not self.engine.lease.renew():
            self._log.warning("lease lost", owner=self.engine.owner)

    def _look_at_lease(self) -> None:
        """Watch the lease of the daemon that leads, and go round as soon as it may be taken."""
        if self.engine.lease.can_be_taken():
            self._want_cycle()

    def _safely(self, name: str, work: Callable[[], object]) -> Callable[[], None]:
        """Make something that is done beside the cycles; what goes wrong is told, and tried again."""

        def once() -> None:
            if self._stop.is_set():
                return
            try:
                work()
            except JournalError as error:
                self._changes.wrong(name, str(error))
            except Exception as error:  # noqa: BLE001 - the loop outlives its own bugs, loudly
                self._changes.wrong(name, f"{type(error).__name__}: {error}", exc_info=True)
            else:
                self._changes.right(name)

        return once

    def _tick(self) -> None:
        turn = self._turn
        with turn.lock:
            if self._stop.is_set():
                return
            turn.running, turn.wanted, turn.begun_at = True, False, self.engine.clock.monotonic()
            turn.thread = threading.get_ident()
        try:
            self._round()
        finally:
            with turn.lock:
                turn.running = False
                turn.ended_at = self.engine.clock.monotonic()
                if turn.wanted and not self._stop.is_set():
                    self._cycles.bring_forward(GAP_SECONDS)

    def _round(self) -> None:
        """Go round once; whatever goes wrong is told, and the next round is tried."""
        try:
            self._take_up_files()
            cycle = self.engine.cycle()
        except LeaseLostError as error:
            self._failed("lease lost", str(error))
        except JournalError as error:
            self._failed("journal", str(error))
        except Exception as error:  # noqa: BLE001 - the loop outlives its own bugs, loudly
            self._failed("cycle", f"{type(error).__name__}: {error}", exc_info=True)
        else:
            self._shown.cycle, self._shown.policy = cycle, self.engine.policy
            self._shown.problem, self._shown.failing_since = "", None
            for what in _FAILURES:
                self._changes.right(what)
            self._shown.ended_at = self.engine.clock.monotonic()
            self.metrics.count(cycle)
            self._teller.tell(cycle)
            notify("WATCHDOG=1", f"STATUS={in_a_line(cycle)}")

    def _failed(self, what: str, problem: str, **further: Any) -> None:
        self._shown.problem = f"{what}: {problem}"
        if self._shown.failing_since is None:
            self._shown.failing_since = self.engine.clock.now()
        self.metrics.count_failed()
        self._changes.wrong(what, problem, **further)

    def _take_up_files(self) -> None:
        forced = self._reload.is_set()
        self._reload.clear()
        were_wrong = bool(self._shown.refused())
        policy = self._refresh(forced)
        if were_wrong and not self._shown.refused():
            self._log.info("files: all is well again")
        if policy is None:
            if forced:
                self._log.info("reload", result="nothing changed, or refused: the last good definition stays in force")
            return
        before, self.engine.policy = self.engine.policy.limits.poll_seconds, policy
        self._log.info("reload", result="new definitions are in force", environments=len(policy.catalogue.environments))
        if policy.limits.poll_seconds != before:
            self._shown.poll_seconds = policy.limits.poll_seconds
            self._cycles.seconds = policy.limits.poll_seconds
            self._cycles.bring_forward(policy.limits.poll_seconds)
