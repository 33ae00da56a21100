"""Runs the calls to the outside: one lane per source, side by side, each with a deadline.

Rules:
1. Calls of one lane come one at a time and in order; lanes do not wait for each other.
2. A call that does not end is left alone: its lane is *late* and gets no further calls until it answers; others lose no time.
3. A call that has not begun when its asker gives up is never begun: the world has moved on.
4. A source that was silent is waited for only briefly; what it answers later is kept for whoever asks the same next.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from scheduler.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.clock import Clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One question or one act: whom, what (for people), and how."""

    lane: str
    asked: str
    function: Callable[[], Any]
    patience_seconds: float | None = None
    """Wait for this call only so long, and take an answer to the same question that came too late last time."""


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


End = Answered | Erred


class Runner(Protocol):
    """How calls to the outside are run."""

    def run(self, calls: Sequence[Call], seconds: float) -> list[End]:
        """Run the calls and wait at most so long; the ends in the order of the calls."""
        ...

    def call(self, lane: str, asked: str, function: Callable[[], T], seconds: float) -> T:
        """Run one call in a lane, also from within a call of another lane. Raises SourceError when it is late."""
        ...

    def close(self) -> None:
        """Begin nothing any more."""
        ...


class SerialRunner:
    """One call after the other in the caller's thread: the simulations' runner, the same order every time."""

    def run(self, calls: Sequence[Call], seconds: float) -> list[End]:  # noqa: ARG002 - simulated calls take no real time
        """Run the calls in order."""
        ends: list[End] = []
        for call in calls:
            try:
                ends.append(Answered(call.function()))
            except SourceError as error:
                ends.append(Erred(error))
        return ends

    def call(self, lane: str, asked: str, function: Callable[[], T], seconds: float) -> T:  # noqa: ARG002 - see above
        """Run the call."""
        return function()

    def close(self) -> None:
        """Do nothing."""


@dataclass(slots=True, eq=False)
class _Task:
    call: Call
    batch: _Batch
    abandoned: bool = False
    begun_at: float | None = None
    ended: bool = False
    value: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class _Batch:
    left: int
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Lane:
    waiting: deque[_Task] = field(default_factory=deque)
    current: _Task | None = None
    late: bool = False
    kept: _Task | None = None
    """A call that ended well after its asker had given up."""


class ThreadRunner:
    """Lanes over a bounded number of threads; a thread held by a late lane is replaced, not waited for."""

    def __init__(self, clock: Clock, threads: int = 32, idle_seconds: float = 60) -> None:
        self._clock = clock
        self._limit = threads
        self._idle_seconds = idle_seconds
        self._lanes: dict[str, _Lane] = {}
        self._ready: deque[_Lane] = deque()
        self._lock = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._parked = 0  # threads held by late lanes, or waiting for another lane: they take no place from others
        self._stray: list[BaseException] = []
        self._closed = False
        self._here = threading.local()

    def run(self, calls: Sequence[Call], seconds: float) -> list[End]:
        """Run the calls and wait at most so long; an error that is no SourceError (also of an earlier, late call) is raised."""
        begun_at = self._clock.monotonic()
        waits = sorted({self._waits(call, seconds) for call in calls})
        batches = {wait: _Batch(sum(self._waits(call, seconds) == wait for call in calls)) for wait in waits}
        with self._lock:
            tasks = [self._submit(call, batches[self._waits(call, seconds)]) for call in calls]
        for wait in waits:
            batches[wait].done.wait(max(0.0, begun_at + wait - self._clock.monotonic()))
        ends = self._ends(tasks, seconds)
        with self._lock:
            strays, self._stray = self._stray, []
        if strays:
            raise strays[0]
        return ends

    def call(self, lane: str, asked: str, function: Callable[[], T], seconds: float) -> T:
        """Run one call in a lane; directly if this thread is that lane's."""
        if getattr(self._here, "lane", None) == lane:
            return function()
        inside = getattr(self._here, "lane", None) is not None
        with self._lock:
            self._parked += inside
            self._staff()
        try:
            (end,) = self.run([Call(lane, asked, function)], seconds)
        finally:
            with self._lock:
                self._parked -= inside
        if isinstance(end, Erred):
            raise end.error
        return cast("T", end.value)

    def close(self) -> None:
        """Begin nothing any more; what runs is left to end."""
        with self._lock:
            self._closed = True
            for lane in self._lanes.values():
                for task in lane.waiting:
                    self._give_up(task)
            self._lock.notify_all()

    @staticmethod
    def _waits(call: Call, seconds: float) -> float:
        return seconds if call.patience_seconds is None else min(seconds, call.patience_seconds)

    def _submit(self, call: Call, batch: _Batch) -> _Task:
        """Queue one call in its lane (the lock is held); one for a late lane is abandoned at once."""
        lane = self._lanes.setdefault(call.lane, _Lane())
        task = _Task(call, batch)
        kept, lane.kept = lane.kept, None
        if kept is not None and call.patience_seconds is not None and kept.call.asked == call.asked:
            task.ended, task.value = True, kept.value
            self._count_down(batch)
            return task
        if lane.late or self._closed:
            task.abandoned = True
            self._count_down(batch)
            return task
        lane.waiting.append(task)
        if lane.current is None and len(lane.waiting) == 1:
            self._make_ready(lane)
        return task

    def _make_ready(self, lane: _Lane) -> None:
        self._ready.append(lane)
        self._staff()
        self._lock.notify()

    def _staff(self) -> None:
        """Start as many threads as ready lanes can use and the limit allows (the lock is held)."""
        missing = len(self._ready) - self._idle
        for _ in range(min(missing, self._limit - (self._threads - self._parked))):
            self._threads += 1
            threading.Thread(target=self._work, name="ambienti-lane", daemon=True).start()

    def _work(self) -> None:
        """Take ready lanes, one call at a time, until there has been nothing to do for a while."""
        while (taken := self._take()) is not None:
            lane, task = taken
            self._here.lane = task.call.lane
            try:
                task.value = task.call.function()
            except BaseException as error:  # noqa: BLE001 - handed to the asker, who raises what is no SourceError
                task.error = error
            self._here.lane = None
            with self._lock:
                self._end(lane, task)

    def _take(self) -> tuple[_Lane, _Task] | None:
        with self._lock:
            while True:
                surplus = self._threads - self._parked > self._limit
                if self._ready and not self._closed and not surplus:
                    lane = self._ready.popleft()
                    while lane.waiting:
                        task = lane.waiting.popleft()
                        if not task.abandoned:
                            lane.current = task
                            task.begun_at = self._clock.monotonic()
                            return lane, task
                    continue
                self._idle += 1
                woken = not self._closed and not surplus and self._lock.wait(self._idle_seconds)
                self._idle -= 1
                if not woken and not (self._ready and not self._closed and not surplus):
                    self._threads -= 1
                    return None

    def _end(self, lane: _Lane, task: _Task) -> None:
        task.ended = True
        if task.error is not None and not isinstance(task.error, SourceError):
            self._stray.append(task.error)
        if task.abandoned and task.error is None:
            lane.kept = task
        lane.current = None
        if lane.late:
            lane.late = False
            self._parked -= 1
        if lane.waiting:
            self._make_ready(lane)
        if not task.abandoned:
            self._count_down(task.batch)

    def _count_down(self, batch: _Batch) -> None:
        batch.left -= 1
        if batch.left == 0:
            batch.done.set()

    def _ends(self, tasks: Sequence[_Task], seconds: float) -> list[End]:
        """Read the ends; what has not ended is given up, what has not begun never will."""
        with self._lock:
            for task in tasks:
                lane = self._lanes[task.call.lane]
                if not task.ended and not task.abandoned:
                    task.abandoned = True
                    if lane.current is task and not lane.late:
                        lane.late = True
                        self._parked += 1
                        self._staff()
                        for behind in lane.waiting:
                            self._give_up(behind)
            return [self._end_of(task, self._waits(task.call, seconds)) for task in tasks]

    def _give_up(self, task: _Task) -> None:
        if not task.abandoned:
            task.abandoned = True
            self._count_down(task.batch)

    def _end_of(self, task: _Task, seconds: float) -> End:
        call = task.call
        if task.ended:
            if isinstance(task.error, SourceError):
                return Erred(task.error)
            return Answered(task.value)
        if task.begun_at is not None:
            return Erred(SourceError(call.lane, call.asked, f"no answer within {seconds:g} s"), under_way=True)
        if self._closed:
            return Erred(SourceError(call.lane, call.asked, "not begun: shutting down"), begun=False)
        current = self._lanes[call.lane].current
        if current is None or current.begun_at is None:
            return Erred(SourceError(call.lane, call.asked, f"did not come to its turn within {seconds:g} s"), begun=False)
        waits = self._clock.monotonic() - current.begun_at
        answer = f"still waiting for the answer to an earlier call ({current.call.asked}), asked {waits:.0f} s ago"
        return Erred(SourceError(call.lane, call.asked, answer), begun=False, hangs=True)
