"""What the daemon shows over HTTP: /healthz, /metrics, /snapshot; and where others report statuses: POST /status.

It listens on loopback by default.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from scheduler.engine import Cycle
from scheduler.model import Unanswered
from scheduler.policy import Policy
from scheduler.snapshot import dump

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from scheduler.daemon.door import Door
    from scheduler.daemon.metrics import Metrics

JSON = (("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "no-store"))
"""Given to `start` as a new list each time: the server adds Content-Length to the very list it is given."""
INDEX = b"Ambienti: /healthz /metrics /snapshot\n"


@dataclass(slots=True)
class Shown:
    """What the daemon has to show, renewed by it after each cycle."""

    poll_seconds: float
    now: Callable[[], float]
    """Monotonic time."""
    cycle: Cycle | None = None
    policy: Policy | None = None
    ended_at: float | None = None
    """Monotonic time at which the last cycle ended well."""
    problem: str = ""
    """What the last cycle failed of; "" when it ended well."""
    sources: dict[str, Any] = field(default_factory=dict)

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Say whether the loop goes round in time, and what it saw. A silent source does not make the daemon ill."""
        age = None if self.ended_at is None else round(self.now() - self.ended_at, 1)
        well = not self.problem and age is not None and age <= 3 * self.poll_seconds + 60
        cycle = self.cycle
        told: dict[str, Any] = {
            "status": "ok" if well else "starting" if age is None and not self.problem else "failing",
            "problem": self.problem,
            "leading": cycle is not None and cycle.leading,
            "last_cycle_age_seconds": age,
            "last_cycle_seconds": None if cycle is None else round(cycle.seconds, 3),
            "workers": len(cycle.observation.workers) if cycle is not None and cycle.leading else None,
        }
        sources: dict[str, Any] = {}
        for name, reading in () if cycle is None else [*cycle.observation.queues.items(), *cycle.observation.hosts.items()]:
            answers = not isinstance(reading, Unanswered) or reading.pending
            sources[name] = {"answers": answers} if answers else {"answers": False, "reason": getattr(reading, "reason", "")}
        for name, found in () if cycle is None else cycle.observation.discoveries.items():
            sources[name] = {"answers": False, "reason": found.problem} if found.problem else {"answers": True}
        return well, told | {"sources": sources}


def application(
    shown: Shown, metrics: Metrics, door: Door | None = None
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """Make the WSGI application; without a door nobody can report anything."""
    serve_metrics = make_wsgi_app(metrics.registry)

    def serve(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/status" and environ.get("REQUEST_METHOD") == "POST" and door is not None:
            status, told = door.receive(environ)
            start(status, list(JSON))
            return [json.dumps(told).encode()]
        if environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}:
            start("405 Method Not Allowed", [("Allow", "GET, HEAD")])
            return [b""]
        if path == "/metrics":
            body: Iterable[bytes] = serve_metrics(environ, start)
            return body
        if path == "/healthz":
            well, told = shown.health()
            start("200 OK" if well else "503 Service Unavailable", list(JSON))
            return [json.dumps(told).encode()]
        if path == "/snapshot":
            return _snapshot(shown, start)
        start("200 OK" if path == "/" else "404 Not Found", [("Content-Type", "text/plain")])
        return [INDEX]

    return serve


def _snapshot(shown: Shown, start: StartResponse) -> Iterable[bytes]:
    cycle, policy = shown.cycle, shown.policy
    if cycle is None or policy is None or not cycle.leading:
        start("503 Service Unavailable", list(JSON))
        why = "another daemon acts: ask that one" if cycle is not None and not cycle.leading else "no cycle has ended yet"
        return [json.dumps({"problem": why}).encode()]
    start("200 OK", list(JSON))
    return [dump(cycle.observation, policy, cycle.plan)]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 10
    """A client that says nothing is let go after this many seconds."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: who scrapes is not news."""


class Web:
    """The server, in a thread of its own."""

    def __init__(self, listen: str, shown: Shown, metrics: Metrics, door: Door | None = None) -> None:
        """Listen on `host:port`; port 0 takes any free one. Raises OSError when that is taken."""
        host, _, port = listen.rpartition(":")
        self._server = _Server((host.strip("[]") or "127.0.0.1", int(port)), _Quiet)
        self._server.set_app(application(shown, metrics, door))
        self.address = "{}:{}".format(*self._server.server_address[:2])
        self._thread = Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="ambienti-web", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
