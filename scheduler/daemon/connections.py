"""The connections of the door: how many there may be, of one address and in all, and how long a request may take.

Rules:
1. A request that is not there as a whole in time is answered 408, however its bytes trickle in; so is silence.
2. Where there are too many connections, the one goes that has waited longest for its request: who is slow makes room, who asks
   is heard. When all are being answered, the new one is let go.
3. Whoever does not read his answer is let go too.
"""

from __future__ import annotations

import resource
import socket
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from scheduler.daemon.limits import counted_as

if TYPE_CHECKING:
    import asyncio

REQUEST_SECONDS = 10.0
"""From the connection, or the last answer, to the last byte of a request."""
ANSWER_SECONDS = 60.0
"""From there to the last byte of the answer."""
LAST_WORDS_SECONDS = 1.0
"""So long a connection that is closed has for what was written to it last."""
MOST = 512
"""Connections over the network; never more than a quarter of the files that this process may open."""
MOST_OF_ONE = 64
"""Connections of one address."""
LOCAL = ""
"""As which connections through the socket in the state directory are counted."""
_SHORT = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def most_connections() -> int:
    """Return how many connections there may be."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(8, min(MOST, soft // 4))


class Connections:
    """Knows every open connection, and makes room. Used by one event loop."""

    def __init__(self, most: int, most_of_one: int = MOST_OF_ONE) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._open: dict[str, OrderedDict[Guarded, bool]] = {}
        """Address -> its connections, those that have waited longest first, and whether they wait for a request."""
        self._count = 0

    def admit(self, new: Guarded) -> bool:
        """Let a connection in, if need be in place of one that waits."""
        theirs: OrderedDict[Guarded, bool] = self._open.get(new.address, OrderedDict())
        if len(theirs) >= self._most_of_one and not _make_room(theirs):
            return False
        crowded = new.address != LOCAL and self._count >= self._most
        if crowded and not any(_make_room(self._open[name]) for name in self._fullest()):
            return False
        self._open.setdefault(new.address, OrderedDict())[new] = True
        self._count += new.address != LOCAL
        return True

    def waits(self, one: Guarded, waiting: bool) -> None:
        """Take note that a connection waits for a request, or that its request is there."""
        theirs: dict[Guarded, bool] = self._open.get(one.address, OrderedDict())
        if theirs.get(one, waiting) is not waiting:  # a byte more of the same request is no new wait
            del theirs[one]
            theirs[one] = waiting

    def leave(self, one: Guarded) -> None:
        """Forget a connection that has ended."""
        theirs: dict[Guarded, bool] = self._open.get(one.address, OrderedDict())
        if theirs.pop(one, None) is not None:
            self._count -= one.address != LOCAL
        if not theirs:
            self._open.pop(one.address, None)

    def _fullest(self) -> list[str]:
        return sorted(filter(None, self._open), key=lambda name: -len(self._open[name]))


def _make_room(theirs: OrderedDict[Guarded, bool]) -> bool:
    for one, waiting in theirs.items():
        if waiting:
            one.let_go()
            return True
    return False


class DoorConfig(Config):
    """uvicorn's settings, with the connections of this server."""

    connections: Connections


class Guarded(H11Protocol):
    """One connection: uvicorn's protocol, under the rules above."""

    config: DoorConfig

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.address = LOCAL
        self._timer: asyncio.TimerHandle | None = None
        self._answer_until = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to count and to wait."""
        super().connection_made(transport)
        local = transport.get_extra_info("socket").family == socket.AF_UNIX
        self.app_state = {**self.app_state, "local": local}
        self.address = LOCAL if local else counted_as(self.client[0] if self.client else "?")
        if self.config.connections.admit(self):
            self._begin_waiting()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting."""
        self._stop_timer()
        self._unset_keepalive_if_required()
        self.config.connections.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; what makes no sense at this point of the conversation ends it."""
        try:
            super().data_received(data)
        except h11.LocalProtocolError:
            self.let_go()
        self._see_whether_it_waits()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Answer who has said all he wants to say; a request that ends in its middle is none."""
        if not self._waits:
            self.cycle.keep_alive = False
            return True
        if self.cycle is not None and not self.cycle.response_complete and not self._has_begun_to_answer:
            self._give_up(_SHORT)
        return None

    def on_response_complete(self) -> None:
        """Wait for the next request, or begin the one that is there already."""
        self._begin_waiting()
        try:
            super().on_response_complete()
        except h11.LocalProtocolError:
            self.let_go()
        self._see_whether_it_waits()

    def send_400_response(self, msg: str) -> None:
        """Say that a request is none, unless something else is being said already."""
        self._end_cycle()
        if self.conn.our_state is h11.IDLE or (self.conn.our_state is h11.SEND_RESPONSE and not self._has_begun_to_answer):
            super().send_400_response(msg)
        else:
            self.let_go()

    def let_go(self) -> None:
        """End the connection at once."""
        self._end_cycle()
        self.config.connections.leave(self)
        self.transport.abort()

    @property
    def _has_begun_to_answer(self) -> bool:
        return self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete

    @property
    def _waits(self) -> bool:
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def _see_whether_it_waits(self) -> None:
        waits = self._waits
        self.config.connections.waits(self, waits)
        if not waits and not self._answer_until:
            self._answer_until = self.loop.time() + ANSWER_SECONDS

    def _begin_waiting(self) -> None:
        self._answer_until = 0.0
        self._stop_timer()
        self._timer = self.loop.call_later(REQUEST_SECONDS, self._late)

    def _late(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            self.let_go()
        elif self._waits and not self._has_begun_to_answer:
            self._give_up(_LATE)
            self._timer = self.loop.call_later(LAST_WORDS_SECONDS, self._late)
        elif (left := self._answer_until - self.loop.time()) > 0:
            self._timer = self.loop.call_later(left, self._late)
        else:
            self.let_go()

    def _give_up(self, last_words: bytes) -> None:
        self.transport.write(last_words)
        self._end_cycle()
        self.transport.close()

    def _end_cycle(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
