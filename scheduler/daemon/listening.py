"""The server of the door, in a thread with an event loop of its own: the daemon's loop knows nothing of it."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn

from scheduler.daemon.connections import Connections, DoorConfig, Guarded, most_connections
from scheduler.daemon.web import MOST_HEADER_BYTES, application, own_names
from scheduler.site.settings import split_address

if TYPE_CHECKING:
    from pathlib import Path

    from scheduler.daemon.metrics import Metrics
    from scheduler.daemon.receiver import ReportReceiver
    from scheduler.daemon.web import Shown

BACKLOG = 64
"""Connections that are taken at a time, before any of them is counted."""
STOP_SECONDS = 2
TOLD_SECONDS = 60.0
"""What the event loop complains of (no file is left for a connection...) is told so often."""


class Web:
    """Listens on the network, and on a socket in the state directory for those who may read it."""

    def __init__(
        self,
        listen: str,
        shown: Shown,
        metrics: Metrics,
        door: ReportReceiver | None = None,
        *,
        local: Path | None = None,
        names: tuple[str, ...] = (),
    ) -> None:
        """Listen on `host:port` (port 0 takes any free one) and on `local`, either of which may be left out.

        Raises OSError when one of them is taken.
        """
        sockets = _on_network(listen)
        self.address = _written(sockets[0]) if sockets else ""
        self._local = None
        if local is not None and (on_file := _on_file(local)) is not None:
            sockets.append(on_file)
            self._local = local
        self._names = own_names(_host_of(listen), names)
        self._now = shown.now
        self._told_at = float("-inf")
        config = DoorConfig(
            application(shown, metrics, door, lambda: self._names),
            http=Guarded,
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",  # whoever asks wrongly is not news
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            h11_max_incomplete_event_size=MOST_HEADER_BYTES,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        config.connections = Connections(most_connections())
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, args=(sockets,), name="ambienti-web", daemon=True)
        if sockets:
            self._thread.start()
            # Asking for the machine's whole name may wait for a name server.
            threading.Thread(target=self._learn_name, name="ambienti-name", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS + 3)
        if self._local is not None:
            self._local.unlink(missing_ok=True)

    def _run(self, sockets: list[socket.socket]) -> None:
        try:
            asyncio.run(self._serve(sockets))
        finally:
            for one in sockets:
                one.close()

    async def _serve(self, sockets: list[socket.socket]) -> None:
        asyncio.get_running_loop().set_exception_handler(self._complain)
        await self._server.serve(sockets=sockets)

    def _complain(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        now, error = self._now(), context.get("exception")
        if now - self._told_at >= TOLD_SECONDS and not isinstance(error, ConnectionError):
            self._told_at = now
            structlog.get_logger("ambienti").error("door", problem=f"{context.get('message')}: {error}")

    def _learn_name(self) -> None:
        self._names |= own_names(socket.getfqdn())


def _host_of(listen: str) -> str:
    split = split_address(listen)
    return split[0] if split else ""


def _on_network(listen: str) -> list[socket.socket]:
    split = split_address(listen)
    if split is None:
        return []
    host, port = split
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    problem: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            made.append(_bound(socket.socket(family, kind, protocol), address))
        except OSError as error:  # a name may stand for an address of IPv6 on a machine without
            problem = error
    if problem is not None and (not made or len(found) == 1):
        raise problem
    return made


def _bound(one: socket.socket, address: Any) -> socket.socket:
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if one.family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        one.bind(address)
        one.listen(BACKLOG)
    except OSError:
        one.close()
        raise
    return one


def _on_file(path: Path) -> socket.socket | None:
    """Listen on a socket in a directory; None when another daemon does so there already."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        place = f"/proc/self/fd/{directory}/{path.name}"  # a path of any length: an address of a socket has 107 bytes
        with socket.socket(socket.AF_UNIX) as other, suppress(OSError):
            other.settimeout(1)
            other.connect(place)
            return None
        path.unlink(missing_ok=True)
        one = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            one.bind(place)
        finally:
            os.umask(before)
        one.listen(BACKLOG)
        return one
    finally:
        os.close(directory)


def _written(one: socket.socket) -> str:
    host, port = one.getsockname()[:2]
    return f"[{host}]:{port}" if one.family == socket.AF_INET6 else f"{host}:{port}"
