"""A batch system outside of the daemon's process: it lives on, with its jobs and workers, when the daemon is killed.

The queue itself is the simulated one under real time, behind a Unix socket; its workers register when their domains really run.
The daemon reaches it by entry point (`kind: outside`), as any other connector.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from scheduler.model.clock import WallClock
from scheduler.model.ports import SourceError
from simulations.clock import Agenda
from simulations.jobs import JobState, Request
from simulations.queue import Habits, SimulatedQueue

ASKED = frozenset({"read", "node", "enrol", "drain", "cancel_drain", "forget", "job"})
TICK_SECONDS = 0.1


def write_entry_points(directory: Path) -> Path:
    """Make a directory for PYTHONPATH that tells Python of the connector `outside`."""
    information = directory / "ambienti_lab-0.dist-info"
    information.mkdir(parents=True, exist_ok=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: ambienti-lab\nVersion: 0\n")
    (information / "entry_points.txt").write_text("[ambienti.batch_systems]\noutside = tests.lab.outside:connect\n")
    return directory


class OutsideQueue:
    """Serves one simulated queue to whoever connects, and lets real domains register."""

    def __init__(
        self, socket: Path, domains: Callable[[], Iterable[str]], *, name: str = "pool", boot_seconds: float = 0.3
    ) -> None:
        """`domains` returns the names of the domains that run now; one registers so long after it was first seen."""
        self.socket = socket
        self.calls: list[tuple[float, str, tuple]] = []
        """When (monotonic), what and with which first argument: all that was asked but readings."""
        self.started: set[str] = set()
        self._agenda = Agenda(WallClock())
        self.queue = SimulatedQueue(name, self._agenda, habits=Habits(negotiation_seconds=0.2, start_seconds=0.1))
        self.queue.on_enrol = lambda worker, environment: self.enrolled.__setitem__(worker, environment)
        self.enrolled: dict[str, object] = {}
        self._domains = domains
        self._boot_seconds = boot_seconds
        self.seen: dict[str, float] = {}
        self._forgets = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._listener = Listener(str(socket), "AF_UNIX")
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._accept, self._live)]
        for thread in self._threads:
            thread.start()

    def submit(self, count: int, run_seconds: float = 3600.0, **request: object) -> None:
        """Queue jobs."""
        with self._lock:
            self.queue.submit(Request(**{"vo": "atlas", "memory_mib": 16, **request}), count, run_seconds)

    def complete_all(self) -> None:
        """Let every job end now, and none be left."""
        with self._lock:
            for vo in {job.request.vo for job in self.queue.book.jobs.values()}:
                self.queue.book.remove_idle(vo)
            for node in list(self.queue.nodes.values()):
                for job in list(node.jobs.values()):
                    if job.state is JobState.CLAIMED:
                        self.queue.book.start(job, self._agenda.now(), self._agenda.monotonic())
                    self.queue.book.complete(job, self._agenda.monotonic())
                    self.queue.release(node, job)
            self.queue.book.changes += 1

    def running(self) -> dict[str, str]:
        """Return the jobs that run, with their workers."""
        with self._lock:
            return {
                job.id: node.worker
                for node in self.queue.nodes.values()
                for job in node.jobs.values()
                if node.alive and job.state is JobState.RUNNING
            }

    def dead_ads(self) -> set[str]:
        """Return the workers that are believed alive and are not."""
        with self._lock:
            return {name for name, node in self.queue.nodes.items() if not node.alive}

    def close(self) -> None:
        """Hang up."""
        self._over.set()
        with contextlib.suppress(OSError):
            Client(str(self.socket), "AF_UNIX").close()
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError, EOFError):
                connection = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        with contextlib.suppress(OSError, EOFError), connection:
            while not self._over.is_set():
                method, arguments, keywords = connection.recv()
                assert method in ASKED, method
                with self._lock:
                    self._forgets += method == "forget"
                    if method != "read":
                        self.calls.append((time.monotonic(), method, arguments[:1]))
                    try:
                        answer = ("value", getattr(self.queue, method)(*arguments, **keywords))
                    except SourceError as error:
                        answer = ("error", (error.source, error.asked, error.answer))
                connection.send(answer)

    def _live(self) -> None:
        """Let time pass: domains that run register, those that are gone die without a word."""
        while not self._over.wait(TICK_SECONDS):
            forgets = self._forgets
            now, running = time.monotonic(), set(self._domains())
            self.seen = {name: self.seen.get(name, now) for name in running}
            self.started |= running
            with self._lock:
                self._agenda.catch_up()
                for name in [n for n, node in self.queue.nodes.items() if node.alive and n not in running]:
                    self.queue.die(name)
                if forgets != self._forgets:
                    continue  # a look from before somebody forgot a worker would let it register once more
                for name, since in self.seen.items():
                    known = name in self.queue.nodes or name not in self.enrolled
                    if not known and now - since >= self._boot_seconds:
                        self.queue.register(name, self.enrolled[name], self.queue.token(name), "lxc1")


class OutsideClient:
    """The daemon's end: a `BatchSystem` whose every call goes through the socket."""

    def __init__(self, name: str, socket: str, deadline_seconds: float) -> None:
        self.name = name
        self._socket = socket
        self._deadline_seconds = deadline_seconds
        self._connection: Connection | None = None

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __getattr__(self, method: str):
        """Make a port's method that asks through the socket."""
        if method not in ASKED:
            raise AttributeError(method)
        return lambda *arguments, **keywords: self._ask(method, arguments, keywords)

    def _ask(self, method: str, arguments: tuple, keywords: Mapping[str, object]) -> object:
        try:
            if self._connection is None:
                self._connection = Client(self._socket, "AF_UNIX")
            self._connection.send((method, arguments, keywords))
            if not self._connection.poll(self._deadline_seconds):
                raise TimeoutError(f"no answer within {self._deadline_seconds:g} s")
            kind, answer = self._connection.recv()
        except (OSError, EOFError) as error:
            self.close()
            raise SourceError(self.name, method, str(error) or "hung up") from error
        if kind == "error":
            raise SourceError(*answer)
        return answer


def connect(name: str, options: Mapping[str, object], *, site: str, deadline_seconds: float, directory: Path) -> OutsideClient:
    """Connect lazily."""
    del site, directory
    return OutsideClient(name, str(options["socket"]), deadline_seconds)
