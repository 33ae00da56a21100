"""How the outside is called: questions that are waited for, and errands that go on by themselves; one lane per source.

Rules:
1. Calls of one lane come one at a time and in order; lanes do not wait for each other.
2. A call that does not end is left alone: its lane is *late*, questions are not put to it until it answers, and others lose
   no time.
3. A question whose asker gives up before it has begun is never begun: the world has moved on. So is a step of an errand
   whose turn does not come in time.
4. A source may be waited for only briefly; what it answers later is kept for whoever asks the same next, unless an act came
   in between.
5. Whatever a call raises is the failure of that call: what is no SourceError becomes one, and the log tells where it came from.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from scheduler.model.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One question or one act: whom, what (for people), and how."""

    lane: str
    asked: str
    function: Callable[[], Any]
    patience_seconds: float | None = None
    """Of a question: wait for it only so long, and take an answer to the same one that came too late last time."""
    begin_within_seconds: float | None = None
    """Of a step of an errand: not made any more when its turn has not come by then."""


Errand = Generator[Call, Any, None]
"""Something done in several calls, one after the other, each in the lane of its source: it yields the calls, and is sent their
answers or thrown their SourceErrors."""


class NotBegunError(SourceError):
    """The call was never made, and never will be: nothing has happened."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The call ended well."""

    value: Any


@dataclass(frozen=True, slots=True)
class Erred:
    """The source answered with an error, or not in time; `under_way`: it may answer yet."""

    error: SourceError
    under_way: bool = False
    begun: bool = True
    hangs: bool = False
    """Not begun because the source has not answered an earlier call yet."""
    acting: bool = False
    """That earlier call is a step of an errand of ours, which may take its time."""


End = Answered | Erred


class Runner(Protocol):
    """How calls to the outside are run."""

    def run(self, calls: Sequence[Call], seconds: float) -> list[End]:
        """Run the calls and wait at most so long; the ends in the order of the calls."""
        ...

    def call(self, lane: str, asked: str, function: Callable[[], T], seconds: float) -> T:
        """Run one call in a lane. Raises SourceError when it is late."""
        ...

    def start(self, errands: Iterable[Errand], seconds: float) -> None:
        """Set errands going and wait at most so long for their ends; what has not ended goes on by itself."""
        ...

    def close(self) -> None:
        """Begin nothing any more."""
        ...


_told: set[tuple[str, str]] = set()
_MOST_TOLD = 1000


def unexpected(source: str, asked: str, error: Exception) -> SourceError:
    """Make a SourceError of what nobody was to raise; where it was raised is logged, once for each place and source."""
    name = type(error).__name__
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f"{place[0].filename}:{place[0].lineno} {name}" if place else name
    if (source, where) not in _told and len(_told) < _MOST_TOLD:
        _told.add((source, where))
        told = {"source": source, "asked": asked}
        logging.getLogger("ambienti").error("a connector failed in an unforeseen way", exc_info=error, extra=told)
    return SourceError(source, asked, f"{name}: {error} (not foreseen; the log tells where)")


def advance(errand: Errand, answer: object = None, *, error: BaseException | None = None) -> Call | None:
    """Tell an errand how its last call ended (at first: nothing); return its next one, None at its end."""
    try:
        return errand.throw(error) if error is not None else errand.send(answer)
    except StopIteration:
        return None
