"""The door for statuses that others report: POST /status with a token. It is bounded in rate and size.

What comes in is data of the outside: it is checked whole before anything of it is believed, and every refusal says why.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError

from environments.environment import Frozen
from environments.names import nearest
from scheduler.availability.files.written import Named, WrittenCause, WrittenStatus
from scheduler.availability.history import SECOND, Status
from scheduler.availability.instants import write_instant
from scheduler.engine import Engine
from scheduler.journal.agreements import holder
from scheduler.journal.opening import JournalError
from scheduler.journal.records import Push
from scheduler.journal.statuses import UnknownObjectError

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment


MOST_BYTES = 16_384
"""Of one report."""
PER_SECOND = 200.0
"""Reports taken, and tokens looked at, in the long run; the rest is asked to come again."""
BURST = 2000.0
AHEAD_SECONDS = 60.0
"""A result observed so much later than now comes from a clock that is wrong."""
WRITABLE_SECONDS = 253_402_214_400.0
"""Later instants (from the last day of the year 9999 on) are shown as the number they are."""
Answer = tuple[str, dict[str, Any]]


class Reported(Frozen):
    """One reported status, as it comes in."""

    object: Named
    """As the services file names it."""
    status: WrittenStatus
    """OK, WARNING, CRITICAL, UNKNOWN, or a plug-in's exit code 0-3."""
    text: Annotated[str, Field(max_length=8000)] = ""
    """What the check said."""
    at: float | None = None
    """When it was observed, in seconds since 1970; left out: now."""
    id: Annotated[str, Field(max_length=200)] = ""
    """Reports of one id are one report."""
    cause: WrittenCause = ""
    """Why seconds are lost while it lasts."""


@dataclass(slots=True)
class Door:
    """Takes reports for one engine; may be called from several threads."""

    engine: Engine
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _left: float = BURST
    _filled_at: float | None = None

    def receive(self, environ: WSGIEnvironment) -> Answer:
        """Take one report; the answer is a status line and what is told."""
        if not self._has_room():
            return _refused("429 Too Many Requests", "too many reports at a time: come again")
        if not (environ.get("CONTENT_LENGTH") or "").isdigit() or int(environ["CONTENT_LENGTH"]) > MOST_BYTES:
            return _refused("413 Content Too Large", f"a report has a length, of at most {MOST_BYTES} bytes")
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        try:
            by = holder(self.engine.journal, token.strip()) if scheme.lower() == "bearer" and token.strip() else ""
            if not by:
                return _refused("401 Unauthorized", "no token, or one that is not in force (ambienti token list)")
            return self._take(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])), by)
        except JournalError as error:
            return _refused("503 Service Unavailable", str(error))

    def _take(self, content: bytes, by: str) -> Answer:
        try:
            reported = Reported.model_validate(json.loads(content))
        except ValidationError as error:
            return _refused("400 Bad Request", "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()))
        except (ValueError, RecursionError):
            return _refused("400 Bad Request", "a report is a JSON object")
        if problem := self._impossible(reported, by):
            return _refused("400 Bad Request", problem)
        if not self.engine.leading:
            return _refused("503 Service Unavailable", "another daemon leads: report to that one")
        push = Push(reported.object, reported.status, reported.text, reported.at, reported.id, reported.cause, by)
        try:
            return "200 OK", {"object": reported.object, "status": reported.status.name, "told": self.engine.report(push)}
        except UnknownObjectError as error:
            near = nearest(error.name, error.known)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(sorted(error.known)[:10]) or 'none'}"
            problem = f"nobody may report on {error.name!r}: the services file does not name it; {hint}"
            return _refused("404 Not Found", problem)

    def _impossible(self, reported: Reported, by: str) -> str:
        if reported.status is Status.MISSING:
            return "status: MISSING is what is said of an object when nobody reports"
        if reported.at is not None and not 0 <= reported.at <= self.engine.clock.now() + AHEAD_SECONDS:
            at = write_instant(round(reported.at * SECOND)) if 0 <= reported.at < WRITABLE_SECONDS else f"{reported.at:g}"
            return f"at: {at} does not lie in the past: is the clock of {by} right?"
        return ""

    def _has_room(self) -> bool:
        with self._lock:
            now = self.engine.clock.monotonic()
            self._left = min(BURST, self._left + (now - (now if self._filled_at is None else self._filled_at)) * PER_SECOND)
            self._filled_at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


def _refused(status: str, problem: str) -> Answer:
    return status, {"problem": problem}
