"""What the daemon does again and again, and the clock that it goes by."""

import threading
import time

import pytest

from scheduler.daemon.rhythm import Rhythm
from scheduler.model.clock import WallClock


class Hand:
    """A clock that goes on when somebody moves it."""

    def __init__(self):
        self.elapsed = 0.0
        self.wall = 1_000_000.0

    def now(self):
        return self.wall

    def monotonic(self):
        return self.elapsed

    def sleep(self, seconds):
        self.elapsed += seconds


@pytest.fixture
def done():
    return []


def until(holds, seconds=60.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def begun():
    made = []

    def begin(work, seconds, clock, **more):
        made.append(Rhythm("test", work, seconds, clock, **more))
        made[-1].start()
        return made[-1]

    yield begin
    for rhythm in made:
        rhythm.stop()


def test_it_goes_by_the_monotonic_clock_whatever_the_wall_clock_is_set_to(begun, done):
    clock = Hand()
    rhythm = begun(lambda: done.append(clock.elapsed), 30, clock)
    until(lambda: done == [0.0])
    clock.wall -= 3600
    rhythm.bring_forward(40)
    time.sleep(0.1)
    assert done == [0.0], "it is not due, and was not brought forward either"
    clock.elapsed = 30.0
    until(lambda: done == [0.0, 30.0])


def test_it_is_brought_forward_and_counts_anew_from_there(begun, done):
    clock = Hand()
    rhythm = begun(lambda: done.append(clock.elapsed), 30, clock, first=30)
    clock.elapsed = 5.0
    rhythm.bring_forward(0)
    until(lambda: done == [5.0])
    clock.elapsed = 34.0
    rhythm.bring_forward(60)
    time.sleep(0.1)
    assert done == [5.0]
    clock.elapsed = 35.0
    until(lambda: done == [5.0, 35.0])


def test_what_takes_longer_than_its_time_is_never_done_twice_at_once(begun, done):
    together, most, lock = [0], [0], threading.Lock()

    def work():
        with lock:
            together[0] += 1
            most[0] = max(most[0], together[0])
        time.sleep(0.05)
        with lock:
            together[0] -= 1
        done.append(1)

    begun(work, 0.001, WallClock())
    until(lambda: len(done) >= 4)
    assert most == [1]


def test_what_was_stopped_is_done_no_more(begun, done):
    rhythm = begun(lambda: done.append(1), 0.01, WallClock())
    until(lambda: done)
    rhythm.stop()
    time.sleep(0.05)
    seen = len(done)
    time.sleep(0.1)
    assert len(done) == seen
