"""What the daemon shows over HTTP: /healthz, /metrics, /snapshot; and where others report statuses: POST /status.

Rules:
1. Whatever costs time to write down - a snapshot, the metrics - is written once and served to all.
2. Over the network nobody is told names of users, reasons or addresses of the inside without a token. Whoever comes through
   the socket in the state directory may read that directory, so he is told everything.
3. A page of somebody else's, opened in a browser on this machine, must not read this door: its `Host` is another.
"""

from __future__ import annotations

import gzip
import ipaddress
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import structlog
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from environments.problems import Problem
from scheduler.daemon.limits import Allowance, counted_as
from scheduler.daemon.receiver import Refusal, ReportReceiver
from scheduler.daemon.stuck import Stuck
from scheduler.loop.engine import Cycle
from scheduler.model.policy import Policy
from scheduler.model.readings import is_silent
from scheduler.model.snapshot import DaemonStanding, dump

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from scheduler.daemon.metrics import Metrics
    from scheduler.journal.agreements import Token

INDEX = "Ambienti: /healthz /metrics /snapshot\n"
PER_SECOND = 200.0
"""Requests of one address, in the long run; the rest is asked to try again later."""
BURST = 2000.0
AT_A_TIME = 4
"""Requests of a kind that are worked on at a time: they are short, and share the processor with the cycle."""
MOST_WAITING = 64
"""Requests of a kind that wait for their turn; the rest is asked to try again later."""
MOST_HEADER_BYTES = 16_384
"""Of one request; a line that is longer is not even read to its end."""
MOST_HEADERS = 100
PIECE = 65_536
"""Bytes that are handed to a slow reader at a time."""
OPEN_METRICS = "application/openmetrics-text"
METRICS_SECONDS = 1.0
"""So long metrics that were written down are served again."""
TOLD_SECONDS = 60.0
"""A fault of this program itself is told in the log so often."""
T = TypeVar("T")


@dataclass(slots=True)
class Written:
    """Something that was written down, served to all who ask for it."""

    of: object
    """What it was made of."""
    media_type: str
    content: bytes
    _packed: bytes | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def packed(self) -> bytes:
        """Return it compressed, once for all."""
        with self._lock:
            if self._packed is None:
                self._packed = gzip.compress(self.content, compresslevel=1, mtime=0)
            return self._packed


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
    failing_since: float | None = None
    """Wall time of the first cycle that failed since one ended well."""
    refused: Callable[[], Sequence[Problem]] = tuple
    """What is wrong in the files as they stand now."""
    stuck: Stuck | None = None
    """A cycle that does not end."""
    _snapshot: Written | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def trouble(self) -> str:
        """What the last cycle failed of, or where one stands that does not end; "" when all is well."""
        return self.stuck.sentence() if self.stuck is not None else self.problem

    def health(self, *, whole: bool = True) -> tuple[bool, dict[str, Any]]:
        """Say whether the loop goes round in time, and what it saw. A silent source does not make the daemon ill.

        `whole`: with reasons, which name addresses and whatever else an error told.
        """
        age = None if self.ended_at is None else round(self.now() - self.ended_at, 1)
        well = not self.problem and age is not None and age <= 3 * self.poll_seconds + 60 and self.stuck is None
        problem = self.trouble
        cycle = self.cycle
        told: dict[str, Any] = {
            "status": "ok" if well else "starting" if age is None and not problem else "failing",
            "problem": problem if whole else problem.partition(":")[0],
            "failing_since": self.failing_since,
            "problems_in_files": len(self.refused()),
            **({"files_refused": [str(problem) for problem in self.refused()]} if whole else {}),
            "leading": cycle is not None and cycle.leading,
            "last_cycle_age_seconds": age,
            "last_cycle_seconds": None if cycle is None else round(cycle.seconds, 3),
            "workers": len(cycle.observation.workers) if cycle is not None and cycle.leading else None,
        }
        sources: dict[str, Any] = {}
        for name, reading in () if cycle is None else [*cycle.observation.queues.items(), *cycle.observation.hosts.items()]:
            answers = not is_silent(reading)
            sources[name] = _source(getattr(reading, "reason", "") if whole else "", answers=answers)
        for name, found in () if cycle is None else cycle.observation.discoveries.items():
            sources[name] = _source(found.problem if whole else "", answers=not found.problem)
        return well, told | {"sources": sources}

    def snapshot(self) -> Written | str:
        """Return the snapshot of the last cycle, written down once however many ask; or say why there is none."""
        cycle, policy = self.cycle, self.policy
        if cycle is None or policy is None:
            return f"no cycle has ended yet: {self.problem}" if self.problem else "no cycle has ended yet"
        if not cycle.leading:
            return f"{cycle.holder.sentence}: ask that one"
        of = cycle, self.standing()
        with self._lock:
            if self._snapshot is None or self._snapshot.of != of:
                self._snapshot = None  # the old one makes room for the new one
                content = dump(cycle.observation, policy, cycle.plan, of[1])
                self._snapshot = Written(of, "application/json", content)
            return self._snapshot

    def standing(self) -> DaemonStanding:
        """Say how the daemon fares, for whoever reads what it saw last."""
        return DaemonStanding(tuple(map(str, self.refused())), self.trouble, self.failing_since)


def _source(reason: str, *, answers: bool) -> dict[str, Any]:
    return {"answers": answers, **({"reason": reason} if reason and not answers else {})}


class Pages:
    """The answers to requests."""

    def __init__(self, shown: Shown, metrics: Metrics, door: ReportReceiver | None) -> None:
        """Without a door nobody can report anything, and no token opens anything."""
        self._shown = shown
        self._metrics = metrics
        self._door = door
        self._written: dict[str, Written] = {}
        self._lock = threading.Lock()
        self._turns: dict[str, anyio.CapacityLimiter] = {}
        """Of each kind of work: a journal that is slow to answer keeps nobody from a snapshot."""

    @property
    def routes(self) -> list[Route]:
        """Every page there is."""
        return [
            Route("/", self.index),
            Route("/healthz", self.health),
            Route("/metrics", self.metrics),
            Route("/snapshot", self.snapshot),
            *([Route("/status", self.status, methods=["POST"])] if self._door else []),
            *([Route("/try", self.try_out, methods=["POST"])] if self._door else []),
        ]

    async def index(self, _request: Request) -> Response:
        """Name the pages."""
        return PlainTextResponse(INDEX)

    async def health(self, request: Request) -> Response:
        """Say how the loop is; reasons only to who may see them."""
        whole = request.state.local or (bool(_token(request)) and not isinstance(await self._reader(request), Response))
        well, told = self._shown.health(whole=whole)
        return _json(200 if well else 503, told)

    async def metrics(self, request: Request) -> Response:
        """Show the metrics in the form that is asked for."""
        encode, media_type = choose_encoder(_form_of_metrics(request.headers.get("accept", "")))

        def write() -> Written:
            with self._lock:
                now, kept = self._shown.now(), self._written.get(media_type)
                if kept is None or not 0 <= now - float(str(kept.of)) < METRICS_SECONDS:
                    self._written[media_type] = kept = Written(now, media_type, encode(self._metrics.registry))
                return kept

        written = await self._in_turn("metrics", write)
        return written if isinstance(written, Response) else await self._served(request, written)

    async def snapshot(self, request: Request) -> Response:
        """Show the last cycle to who may see it: it names users."""
        allowed = None if request.state.local else await self._reader(request)
        if isinstance(allowed, Response):
            return allowed
        written = await self._in_turn("snapshot", self._shown.snapshot)
        if isinstance(written, str):
            return _json(503, {"problem": written})
        return written if isinstance(written, Response) else await self._served(request, written)

    async def status(self, request: Request) -> Response:
        """Take a report."""
        door = self._door
        assert door is not None
        try:
            content = await _content(request, door.most_bytes)
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody: the connection has ended
        if content is None:
            return _json(413, {"problem": f"a report has at most {door.most_bytes} bytes"}, close=True)
        if (stuck := door.stuck()) is not None:
            return _json(*stuck)
        address, token = _address(request), _token(request)
        answer = await self._in_turn("journal", lambda: door.receive(address, token, content))
        return answer if isinstance(answer, Response) else _json(*answer)

    async def try_out(self, request: Request) -> Response:
        """Boot a worker for a trial, or say how it stands; through the socket only: whoever may use it may do that anyway."""
        door = self._door
        assert door is not None
        if not request.state.local:
            return _json(403, {"problem": "trials are asked for through the socket in the state directory only"}, close=True)
        content = await _content(request, door.most_bytes)
        if content is None:
            return _json(413, {"problem": f"a question has at most {door.most_bytes} bytes"}, close=True)
        answer = await self._in_turn("trial", lambda: door.try_out(content))
        return answer if isinstance(answer, Response) else _json(*answer)

    async def _reader(self, request: Request) -> Response | Token:
        """Return the token that may read; else the refusal."""
        door, address, token = self._door, _address(request), _token(request)
        if door is None:
            return _json(401, {"problem": "this is told through the socket in the state directory only"})
        found = await self._in_turn("journal", lambda: door.reader(address, token))
        return _json(*found.answer) if isinstance(found, Refusal) else found

    async def _served(self, request: Request, written: Written) -> Response:
        packs = "gzip" in request.headers.get("accept-encoding", "")
        content = await self._in_turn("snapshot", written.packed) if packs else written.content
        if isinstance(content, Response):
            return content
        headers = {"Cache-Control": "no-store", "Vary": "Accept-Encoding", "Content-Length": str(len(content))}
        if packs:
            headers["Content-Encoding"] = "gzip"
        return StreamingResponse(_pieces(content), media_type=written.media_type, headers=headers)

    async def _in_turn(self, kind: str, work: Callable[[], T]) -> T | Response:
        """Do something that takes time or waits, beside the event loop, a few of a kind at a time."""
        if kind not in self._turns:
            self._turns[kind] = anyio.CapacityLimiter(AT_A_TIME)
        turns = self._turns[kind]
        if turns.statistics().tasks_waiting >= MOST_WAITING:
            return _json(503, {"problem": "too much is asked at a time: try again later"}, close=True)
        return await anyio.to_thread.run_sync(work, limiter=turns)


class Entrance:
    """What comes before every page: who may come in by which name, how often; and that nothing of the inside gets out."""

    def __init__(self, inside: ASGIApp, now: Callable[[], float], names: Callable[[], frozenset[str]]) -> None:
        self._inside = inside
        self._now = now
        self._names = names
        self._allowance = Allowance(PER_SECOND, BURST)
        self._told_at = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = False

        async def sending(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        refusal = self._refusal(Request(scope))
        try:
            await (refusal or self._inside)(scope, receive, sending)
        except Exception as error:  # noqa: BLE001 - told here, in one place, and to nobody outside
            self._tell(error)
            if not begun:
                await _json(500, {"problem": "the daemon erred: its log says how"}, close=True)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        if request.scope["state"]["local"]:
            return None
        if not self._allowance.take(counted_as(_address(request)), self._now()):
            told = {"problem": "too many requests from this address: try again later"}
            return _json(429, told, close=True, further={"Retry-After": "1"})
        headers = request.scope["headers"]
        if len(headers) > MOST_HEADERS or sum(len(name) + len(value) for name, value in headers) > MOST_HEADER_BYTES:
            return _json(431, {"problem": "too many header fields, or too long ones"}, close=True)
        if "content-length" in request.headers and "transfer-encoding" in request.headers:  # a proxy may see two requests in it
            return _json(400, {"problem": "a request has a Content-Length or a Transfer-Encoding"}, close=True)
        host = request.headers.get("host", "")
        if host and not is_called(host, self._names()):
            return _json(
                421, {"problem": "this daemon is not called that: `daemon.names` in its site file says what it is called"}
            )
        return None

    def _tell(self, error: Exception) -> None:
        now = self._now()
        if now - self._told_at >= TOLD_SECONDS:
            self._told_at = now
            structlog.get_logger("ambienti").error("door", problem=f"{type(error).__name__}: {error}", exc_info=error)


def application(
    shown: Shown, metrics: Metrics, door: ReportReceiver | None = None, names: Callable[[], frozenset[str]] = frozenset
) -> Entrance:
    """Make the ASGI application."""
    inside = Starlette(routes=Pages(shown, metrics, door).routes)
    return Entrance(inside, shown.now, names)


def is_called(host: str, names: frozenset[str]) -> bool:
    """Whether a `Host` is one of this daemon: an address, localhost, or one of its names. An address cannot be rebound."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.strip("[]").rstrip(".").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name in names
    return True


def own_names(listen: str, further: tuple[str, ...] = ()) -> frozenset[str]:
    """Return by which names this machine may be asked."""
    return frozenset(name.rstrip(".").lower() for name in (listen, socket.gethostname(), *further) if name)


def _form_of_metrics(accept: str) -> str:
    """Return which of the two forms is asked for. Versions are no matter: each would be kept as a form of its own."""
    return OPEN_METRICS if OPEN_METRICS in accept.lower() else ""


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(content), PIECE):
        yield content[begin : begin + PIECE]


async def _content(request: Request, most: int) -> bytes | None:
    """Return a request's body; None when it is too long."""
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or len(length) > 9 or int(length) > most:
        return None
    content = b""
    async for piece in request.stream():
        content += piece
        if len(content) > most:
            return None
    return content


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _json(status: int, told: Any, *, close: bool = False, further: dict[str, str] | None = None) -> Response:
    headers = {"Cache-Control": "no-store", **(further or {}), **({"Connection": "close"} if close else {})}
    return Response(json.dumps(told), status, headers, "application/json; charset=utf-8")
