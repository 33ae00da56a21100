"""The lanes of the simulated farm: a call may be answered later than it is made, at an instant that the agenda knows.

What a call does it does at once; only its answer may take time, and its lane is taken until then. The order is the same every
time: where nobody is slow, one call after the other.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from scheduler.loop.runner import Answered, Call, Errand, Erred, NotBegunError, advance
from scheduler.model.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scheduler.loop.runner import End
    from simulations.clock import Agenda

T = TypeVar("T")


@dataclass(slots=True)
class _SimulatedLane:
    current: Call | None = None
    since: float = 0.0
    waiting: deque[tuple[Errand, Call, float]] = field(default_factory=deque)
    """Errands, their next call, and since when it waits."""


class AgendaRunner:
    """Runs calls at once and lets slow answers come when their time has come."""

    def __init__(
        self,
        agenda: Agenda,
        *,
        slow_by: Callable[[], float] = lambda: 0.0,
        alive: Callable[[Callable[[], None]], None] = lambda goes_on: goes_on(),
    ) -> None:
        """`slow_by` tells how long the answer to the call just made takes; `alive` lets a daemon die of what comes late."""
        self._agenda = agenda
        self._slow_by = slow_by
        self._alive = alive
        self._lanes: defaultdict[str, _SimulatedLane] = defaultdict(_SimulatedLane)
        self._closed = False

    def run(self, calls: Sequence[Call], seconds: float) -> list[End]:  # noqa: ARG002 - nobody waits for a slow answer
        """Run the calls in order; a lane that is taken is not asked."""
        self._give_up_expired()
        ends: list[End] = []
        for call in calls:
            lane = self._lanes[call.lane]
            try:
                if lane.current is not None:
                    waits = f"{lane.current.asked}), asked {self._now() - lane.since:.0f} s ago"
                    answer = f"still waiting for the answer to an earlier call ({waits}"
                    ends.append(Erred(SourceError(call.lane, call.asked, answer), begun=False, hangs=True, acting=True))
                else:
                    ends.append(Answered(call.function()))
            except SourceError as error:
                ends.append(Erred(error))
        return ends

    def call(self, lane: str, asked: str, function: Callable[[], T], seconds: float) -> T:  # noqa: ARG002 - see above
        """Run the call."""
        if self._lanes[lane].current is not None:
            raise SourceError(lane, asked, "still waiting for the answer to an earlier call")
        return function()

    def start(self, errands: Iterable[Errand], seconds: float) -> None:  # noqa: ARG002 - see above
        """Set errands going, one after the other, each as far as it comes at once."""
        self._give_up_expired()
        for errand in errands:
            self._go_on(errand)

    def close(self) -> None:
        """Begin nothing any more."""
        self._closed = True

    def _now(self) -> float:
        return self._agenda.monotonic()

    def _go_on(self, errand: Errand, answer: object = None, error: BaseException | None = None) -> None:
        self._make(errand, advance(errand, answer, error=error))

    def _make(self, errand: Errand, call: Call | None) -> None:
        """Make an errand's calls, until one has to wait for its lane or for its answer."""
        while call is not None and not self._closed:
            lane = self._lanes[call.lane]
            if lane.current is not None:
                lane.waiting.append((errand, call, self._now()))
                return
            answer, error = _made(call)
            if takes := self._slow_by():
                lane.current, lane.since = call, self._now()
                self._agenda.after(takes, partial(self._alive, partial(self._answered, errand, lane, answer, error)))
                return
            call = advance(errand, answer, error=error)

    def _answered(self, errand: Errand, lane: _SimulatedLane, answer: object, error: BaseException | None) -> None:
        """Go on with a slow answer; whoever waits behind it has its turn."""
        lane.current = None
        self._go_on(errand, answer, error)
        while lane.waiting and lane.current is None:
            self._begin(*lane.waiting.popleft())

    def _begin(self, errand: Errand, call: Call, since: float) -> None:
        """Let an errand whose turn has come make its call, or tell it that it is too late."""
        if _expired(call, since, self._now()):
            answer = f"did not come to its turn within {call.begin_within_seconds:g} s"
            self._go_on(errand, error=NotBegunError(call.lane, call.asked, answer))
        else:
            self._make(errand, call)

    def _give_up_expired(self) -> None:
        for lane in list(self._lanes.values()):
            for _ in range(len(lane.waiting)):
                errand, call, since = lane.waiting.popleft()
                if _expired(call, since, self._now()):
                    self._begin(errand, call, since)
                else:
                    lane.waiting.append((errand, call, since))


def _made(call: Call) -> tuple[Any, SourceError | None]:
    try:
        return call.function(), None
    except SourceError as error:
        return None, error


def _expired(call: Call, since: float, now: float) -> bool:
    return call.begin_within_seconds is not None and now - since >= call.begin_within_seconds
