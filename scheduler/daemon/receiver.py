"""The door for statuses that others report: POST /status with a token, and who may read. It is bounded in rate and size.

What comes in is data of the outside: it is checked whole before anything of it is believed, and every refusal says why.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import structlog
from pydantic import BeforeValidator, Field, ValidationError

from environments.environment import Frozen
from environments.names import nearest
from environments.text import OneLine, printable
from scheduler.availability.files.written import Named, WrittenCause, WrittenStatus
from scheduler.availability.history import Status
from scheduler.daemon.limits import Allowance, counted_as
from scheduler.journal.agreements import Token, holder
from scheduler.journal.corrections import TooManyError
from scheduler.journal.journal import LeaseLostError
from scheduler.journal.opening import JournalError, RefusedError
from scheduler.journal.records import Push
from scheduler.journal.statuses import CONTRADICTS, HELD, UnknownObjectError
from scheduler.loop.engine import Engine
from scheduler.loop.trial import AnotherTrialError
from scheduler.model.instants import in_seconds, micro, write_duration, write_instant

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MOST_BYTES = 16_384
"""Of one report."""
PER_SECOND = 200.0
"""Reports of one token that are taken in the long run; the rest is asked to try again later."""
BURST = 2000.0
WRONG_PER_SECOND = 5.0
"""Wrong tokens of one address that are looked at in the long run."""
WRONG_BURST = 200.0
NO_REPORT = "a report is a JSON object with object and status"
NO_JOURNAL = "the journal does not answer just now: try again later"
REST_SECONDS = 5.0
"""After the journal did not answer, nobody waits for it again for so long."""
TOLD_SECONDS = 60.0
"""That the journal does not answer is told in the log so often."""
AHEAD_SECONDS = 60.0
"""A result observed so much later than now comes from a clock that is wrong."""
WRITABLE_SECONDS = 253_402_214_400.0
"""Later instants (from the last day of the year 9999 on) are shown as the number they are."""
Answer = tuple[int, dict[str, Any]]
"""Code of HTTP, and what is told."""


def _kept(text: object) -> object:
    """Return what a check said without what moves a cursor: a result is not lost for the words that came with it."""
    return "\n".join(printable(line) for line in text.splitlines()) if isinstance(text, str) else text


class Reported(Frozen):
    """One reported status, as it comes in."""

    object: Named
    """As the services file names it."""
    status: WrittenStatus
    """OK, WARNING, CRITICAL, UNKNOWN, or a plug-in's exit code 0-3."""
    text: Annotated[str, Field(max_length=8000), BeforeValidator(_kept)] = ""
    """What the check said."""
    at: float | None = None
    """When it was observed, in seconds since 1970; left out: now."""
    id: Annotated[OneLine, Field(max_length=200)] = ""
    """Reports of one id are one report."""
    cause: WrittenCause = ""
    """Why seconds are lost while it lasts."""


class Tried(Frozen):
    """A trial that is asked for, or asked about, as it comes in."""

    key: Annotated[OneLine, Field(min_length=8, max_length=64)]
    """Of the one who asks: the same whenever he asks again."""
    environment: Annotated[OneLine, Field(max_length=64)]
    keep: bool = False
    give_up: bool = False
    """Its worker is to be taken down now."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody is not let in."""

    answer: Answer


@dataclass(slots=True)
class ReportReceiver:
    """Takes reports for one engine; may be called from several threads."""

    engine: Engine
    most_bytes: int = MOST_BYTES
    wake: Callable[[], None] = lambda: None
    """Has the next cycle come soon."""
    _reports: Allowance = field(default_factory=lambda: Allowance(PER_SECOND, BURST))
    """Of each token."""
    _wrong: Allowance = field(default_factory=lambda: Allowance(WRONG_PER_SECOND, WRONG_BURST))
    """Of each address."""
    _told_at: float = float("-inf")
    _failed_at: float = float("-inf")
    """When the journal did not answer last: who comes soon after is not kept waiting for it."""

    def receive(self, address: str, token: str, content: bytes) -> Answer:
        """Take one report from an address; the answer is a code and what is told."""
        try:
            by = self._holder(address, token)
            return by.answer if isinstance(by, Refusal) else self._take(content, by)
        except JournalError as error:
            return self._journal_fails(error)

    def try_out(self, content: bytes) -> Answer:
        """Begin a trial of an environment, or say how it stands; for whoever may use the socket."""
        try:
            asked = Tried.model_validate(json.loads(content))
        except (ValueError, RecursionError):
            return _refused(400, "a trial is a JSON object with key and environment")
        engine = self.engine
        if not engine.leading:
            last = engine.last
            return _refused(503, "another daemon leads: ask that one" if last else "it has not gone round yet: ask again")
        known = engine.policy.catalogue.environments
        if asked.environment not in known:
            near = nearest(asked.environment, known)
            hint = f"; did you mean {near}?" if near else ""
            return _refused(404, f"the daemon knows no environment {asked.environment!r}{hint}")
        try:
            words = asked.key, asked.environment, engine.clock.now(), engine.clock.monotonic()
            told = engine.trials.ask(*words, keep=asked.keep, give_up=asked.give_up)
        except AnotherTrialError as error:
            return _refused(409, str(error))
        if not told["ended"]:
            self.wake()
        return 200, told

    def stuck(self) -> Answer | None:
        """Refuse at once while the journal is locked: nobody is kept waiting for what he can tell again."""
        return self._come_again(JournalError("the journal is locked by another process")) if self.engine.journal.stuck else None

    def reader(self, address: str, token: str) -> Token | Refusal:
        """Return whose token this is, if it may read what is shown."""
        try:
            found = self._holder(address, token)
        except JournalError as error:
            return Refusal(self._journal_fails(error))
        if isinstance(found, Token) and not found.reads:
            return Refusal(_refused(403, f"the token of {found.name} is not for reading (ambienti token add NAME --reads)"))
        return found

    def _holder(self, address: str, token: str) -> Token | Refusal:
        now, address = self.engine.clock.monotonic(), counted_as(address)
        if now - self._failed_at < REST_SECONDS:
            return Refusal(_refused(503, NO_JOURNAL))
        if not self._wrong.take(address, now, 0.0):
            return Refusal(_refused(429, "too many wrong tokens from this address: try again later"))
        by = holder(self.engine.journal, token) if token else None
        if by is None:
            self._wrong.take(address, now)
            return Refusal(_refused(401, "no token, or one that is not in force (ambienti token list)"))
        if not self._reports.take(by.name, now):
            return Refusal(_refused(429, "too many reports at a time: try again later"))
        return by

    def _journal_fails(self, error: JournalError) -> Answer:
        if isinstance(error, LeaseLostError):
            return _refused(503, "another daemon leads: report to that one")
        if not isinstance(error, RefusedError):
            self._failed_at = self.engine.clock.monotonic()
        return self._come_again(error)

    def _come_again(self, error: JournalError) -> Answer:
        now = self.engine.clock.monotonic()
        if now - self._told_at >= TOLD_SECONDS:
            self._told_at = now
            structlog.get_logger("ambienti").error(
                "door", problem=str(error), consequence="reports are asked to try again later"
            )
        return _refused(503, NO_JOURNAL)

    def _take(self, content: bytes, by: Token) -> Answer:
        try:
            written = json.loads(content)
            reported = Reported.model_validate(written)
        except ValidationError as error:
            wrong = map(_said, error.errors()) if isinstance(written, dict) else [NO_REPORT]
            return _refused(400, "; ".join(wrong))
        except (ValueError, RecursionError):
            return _refused(400, NO_REPORT)
        if refusal := self._impossible(reported, by) or self._forbidden(reported, by):
            return refusal
        if not self.engine.leading:
            return _refused(503, "another daemon leads: report to that one")
        return self._told(
            Push(reported.object, reported.status, reported.text, reported.at, reported.id, reported.cause, by.name)
        )

    def _told(self, push: Push) -> Answer:
        try:
            told = self.engine.report(push)
        except TooManyError as error:
            return _refused(429, str(error))
        except UnknownObjectError as error:
            near = nearest(error.name, error.known)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(sorted(error.known)[:10]) or 'none'}"
            return _refused(404, f"nobody may report on {error.name!r}: the services file does not name it; {hint}")
        answer = {"object": push.object, "status": Status(push.status).name, "told": told}
        if told.startswith(HELD):
            return 202, answer | {"problem": f"something was told of that time already: {told}, until somebody else accepts it"}
        if told.startswith(CONTRADICTS):
            return 409, answer | {"problem": f"{told}: the first stands"}
        return 200, answer

    def _forbidden(self, reported: Reported, by: Token) -> Answer | None:
        """Say what a token does not allow; its patterns name objects, and groups for all that is in them."""
        name = reported.object
        groups = [group for group, inner in self.engine.groups.items() if name in inner]
        if not any(fnmatchcase(one, pattern) for pattern in by.objects for one in (name, *groups)):
            allowed = ", ".join(by.objects) or "no object"
            near = nearest(name, by.objects)
            hint = f"; did you mean {near}?" if near else ""
            return _refused(403, f"{by.name} may not report on {name!r}: the token is for {allowed}{hint}")
        furthest = self.engine.clock.now() - in_seconds(by.back)
        if reported.at is not None and reported.at < furthest:
            bound = f"the {write_duration(by.back)} that {by.name} may report"
            return _refused(403, f"at: {_written(reported.at)} lies further back than {bound}")
        return None

    def _impossible(self, reported: Reported, by: Token) -> Answer | None:
        if reported.status is Status.MISSING:
            return _refused(400, "status: MISSING is what is said of an object when nobody reports")
        if reported.at is not None and not 0 <= reported.at <= self.engine.clock.now() + AHEAD_SECONDS:
            if reported.at < 0:
                return _refused(400, f"at: {_written(reported.at)} lies before 1970")
            problem = f"at: {_written(reported.at)} does not lie in the past: is the clock of {by.name} right?"
            return _refused(400, problem)
        return None


def _said(error: ErrorDetails) -> str:
    """Say what is wrong with one key, and what is expected."""
    expected = error.get("ctx", {}).get("expected", "")
    if error["type"].startswith("float"):
        expected = "seconds since 1970, a number"
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}{f'; expected {expected}' if expected else ''}"


def _written(at: float) -> str:
    return write_instant(micro(at)) if 0 <= at < WRITABLE_SECONDS else f"{at:g}"


def _refused(status: int, problem: str) -> Answer:
    return status, {"problem": problem}
