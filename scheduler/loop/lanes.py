"""The lanes of the real farm: threads, each of which takes one call of one lane at a time."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from scheduler.loop.runner import Answered, Call, End, Errand, Erred, NotBegunError, advance, unexpected
from scheduler.model.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scheduler.model.clock import Clock

T = TypeVar("T")
LATE_SECONDS = 1.0
"""A step of an errand that takes longer holds no thread's place any more."""


@dataclass(slots=True)
class _Waiter:
    """Somebody who waits for the ends of several calls or errands."""

    left: int
    done: threading.Event = field(default_factory=threading.Event)

    def count_down(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.done.set()


@dataclass(slots=True, eq=False)
class _LaneTask:
    call: Call
    waiter: _Waiter
    errand: Errand | None = None
    """What this call is a step of; None: it is a question."""
    expires_at: float | None = None
    abandoned: bool = False
    begun_at: float | None = None
    ended: bool = False
    value: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class _Lane:
    waiting: deque[_LaneTask] = field(default_factory=deque)
    current: _LaneTask | None = None
    late: bool = False
    kept: _LaneTask | None = None
    """A question that was answered well after its asker had given up."""


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
        self._parked = 0  # threads held by late lanes: they take no place from others
        self._stray: list[BaseException] = []
        self._closed = False

    # --- questions ----------------------------------------------------------------------------------------------------

    def run(self, calls: Sequence[Call], seconds: float) -> list[End]:
        """Run the calls and wait at most so long. What an errand raises outside its calls is raised here."""
        self._give_up_expired()
        begun_at = self._clock.monotonic()
        waits = sorted({_waits(call, seconds) for call in calls})
        waiters = {wait: _Waiter(sum(_waits(call, seconds) == wait for call in calls)) for wait in waits}
        with self._lock:
            tasks = [self._ask(call, waiters[_waits(call, seconds)]) for call in calls]
        for wait in waits:
            self._wait(waiters[wait], begun_at + wait)
        ends = self._ends(tasks, seconds)
        self._raise_strays()
        return ends

    def call(self, lane: str, asked: str, function: Callable[[], T], seconds: float) -> T:
        """Run one call in a lane; its error is raised."""
        (end,) = self.run([Call(lane, asked, function)], seconds)
        if isinstance(end, Erred):
            raise end.error
        return cast("T", end.value)

    def _ask(self, call: Call, waiter: _Waiter) -> _LaneTask:
        """Queue one question in its lane (the lock is held); one for a late lane is abandoned at once."""
        lane = self._lanes.setdefault(call.lane, _Lane())
        task = _LaneTask(call, waiter)
        kept, lane.kept = lane.kept, None
        if kept is not None and call.patience_seconds is not None and kept.call.asked == call.asked:
            task.ended, task.value = True, kept.value
            waiter.count_down()
        elif lane.late or self._closed:
            _abandon(task)
        else:
            self._queue(lane, task)
        return task

    def _ends(self, tasks: Sequence[_LaneTask], seconds: float) -> list[End]:
        """Read the ends; what has not ended is given up, what has not begun never will."""
        with self._lock:
            for task in tasks:
                lane = self._lanes[task.call.lane]
                if not task.ended and not task.abandoned:
                    task.abandoned = True
                    if lane.current is task:
                        self._mark_late(lane)
            return [self._end_of(task, _waits(task.call, seconds)) for task in tasks]

    def _end_of(self, task: _LaneTask, seconds: float) -> End:
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
        error = SourceError(call.lane, call.asked, answer)
        return Erred(error, begun=False, hangs=True, acting=current.errand is not None)

    # --- errands ------------------------------------------------------------------------------------------------------

    def start(self, errands: Iterable[Errand], seconds: float) -> None:
        """Set errands going and wait at most so long; an error of an errand that is no SourceError is raised here or later."""
        self._give_up_expired()
        started = list(errands)
        waiter = _Waiter(len(started))
        for errand in started:
            self._go_on(errand, waiter)
        if started:
            self._wait(waiter, self._clock.monotonic() + seconds)
        with self._lock:
            for lane in self._lanes.values():
                if lane.current is not None and lane.current.waiter is waiter:
                    self._mark_late(lane)
        self._raise_strays()

    def _go_on(self, errand: Errand, waiter: _Waiter, answer: object = None, error: BaseException | None = None) -> None:
        """Let an errand make its next step; what is refused at once it is told at once."""
        while True:
            try:
                call = advance(errand, answer, error=error)
            except BaseException as stray:  # noqa: BLE001 - raised in the thread of whoever runs something next
                with self._lock:
                    self._stray.append(stray)
                    waiter.count_down()
                return
            with self._lock:
                if call is None:
                    waiter.count_down()
                    return
                if not self._closed:
                    within = call.begin_within_seconds
                    task = _LaneTask(call, waiter, errand, None if within is None else self._clock.monotonic() + within)
                    self._queue(self._lanes.setdefault(call.lane, _Lane()), task)
                    return
            answer, error = None, NotBegunError(call.lane, call.asked, "not begun: shutting down")

    def _wait(self, waiter: _Waiter, until: float) -> None:
        """Wait for somebody's ends, and see meanwhile to it that steps which hang do not take all threads."""
        while (left := until - self._clock.monotonic()) > 0 and not waiter.done.wait(min(left, LATE_SECONDS)):
            self._give_up_expired()

    def _give_up_expired(self) -> None:
        """Tell the errands whose turn did not come in time; and let steps that take long hold no thread's place."""
        now, expired = self._clock.monotonic(), []
        with self._lock:
            for lane in self._lanes.values():
                current = lane.current
                if current is not None and current.errand is not None and now - (current.begun_at or now) > LATE_SECONDS:
                    self._mark_late(lane)
                if any(_expired(task, now) for task in lane.waiting):
                    expired += [task for task in lane.waiting if _expired(task, now)]
                    lane.waiting = deque(task for task in lane.waiting if not _expired(task, now))
        for task in expired:
            self._refuse(task)

    def _refuse(self, task: _LaneTask) -> None:
        assert task.errand is not None
        call = task.call
        error = NotBegunError(call.lane, call.asked, "not begun: shutting down") if self._closed else _too_late(call)
        self._go_on(task.errand, task.waiter, error=error)

    # --- lanes and threads --------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Begin nothing any more; what runs is left to end."""
        with self._lock:
            self._closed = True
            waiting = [task for lane in self._lanes.values() for task in lane.waiting]
            for lane in self._lanes.values():
                lane.waiting.clear()
            for task in waiting:
                if task.errand is None and not task.abandoned:
                    _abandon(task)
            self._lock.notify_all()
        for task in waiting:
            if task.errand is not None:
                self._refuse(task)

    def _raise_strays(self) -> None:
        with self._lock:
            strays, self._stray = self._stray, []
        if strays:
            raise strays[0]

    def _queue(self, lane: _Lane, task: _LaneTask) -> None:
        """Put a call at the end of its lane (the lock is held)."""
        lane.waiting.append(task)
        if lane.current is None and len(lane.waiting) == 1:
            self._make_ready(lane)

    def _make_ready(self, lane: _Lane) -> None:
        self._ready.append(lane)
        self._staff()
        self._lock.notify()

    def _mark_late(self, lane: _Lane) -> None:
        """Let a lane whose call takes long hold no thread's place (the lock is held); questions behind it are given up."""
        if lane.late:
            return
        lane.late = True
        self._parked += 1
        self._staff()
        for behind in lane.waiting:
            if behind.errand is None and not behind.abandoned:
                _abandon(behind)

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
            try:
                if _expired(task, task.begun_at or 0.0):
                    raise _too_late(task.call)  # noqa: TRY301 - ends as a call that was refused
                task.value = task.call.function()
            except SourceError as error:
                task.error = error
            except Exception as error:  # noqa: BLE001 - a connector's fault is that call's failure, and nobody else's
                task.error = unexpected(task.call.lane, task.call.asked, error)
            except BaseException as error:  # noqa: BLE001 - raised in the thread of whoever runs something next
                task.error = error
            with self._lock:
                self._end(lane, task)
            if task.errand is not None:
                self._go_on(task.errand, task.waiter, task.value, task.error)

    def _take(self) -> tuple[_Lane, _LaneTask] | None:
        with self._lock:
            while True:
                surplus = self._threads - self._parked > self._limit
                if self._ready and not self._closed and not surplus:
                    lane = self._ready.popleft()
                    if lane.current is None and (task := self._begin_next(lane)) is not None:
                        return lane, task
                    continue
                self._idle += 1
                woken = not self._closed and not surplus and self._lock.wait(self._idle_seconds)
                self._idle -= 1
                if not woken and not (self._ready and not self._closed and not surplus):
                    self._threads -= 1
                    return None

    def _begin_next(self, lane: _Lane) -> _LaneTask | None:
        """Take the next call of a lane that is still wanted (the lock is held)."""
        while lane.waiting:
            task = lane.waiting.popleft()
            if not task.abandoned:
                lane.current = task
                task.begun_at = self._clock.monotonic()
                if task.errand is not None:
                    lane.kept = None
                return task
        return None

    def _end(self, lane: _Lane, task: _LaneTask) -> None:
        task.ended = True
        if task.errand is None:
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
        if task.errand is None and not task.abandoned:
            task.waiter.count_down()


def _waits(call: Call, seconds: float) -> float:
    return seconds if call.patience_seconds is None else min(seconds, call.patience_seconds)


def _abandon(task: _LaneTask) -> None:
    task.abandoned = True
    task.waiter.count_down()


def _expired(task: _LaneTask, now: float) -> bool:
    return task.expires_at is not None and task.expires_at <= now


def _too_late(call: Call) -> NotBegunError:
    return NotBegunError(call.lane, call.asked, f"did not come to its turn within {call.begin_within_seconds:g} s")
