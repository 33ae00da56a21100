"""Calls whose answers take time, on a simulated clock."""

import pytest

from scheduler.loop.runner import Answered, Call, NotBegunError
from scheduler.model.ports import SourceError
from simulations.clock import Agenda, SimulatedClock
from simulations.lanes import AgendaRunner


class Hill:
    """A runner, and a host that answers as late as it is told."""

    def __init__(self):
        self.clock = SimulatedClock()
        self.agenda = Agenda(self.clock)
        self.late = 0.0
        self.done, self.told = [], []
        self.runner = AgendaRunner(self.agenda, slow_by=self.slow_by)

    def slow_by(self):
        late, self.late = self.late, 0.0
        return late

    def boot(self, name, late=0.0):
        self.late = late
        self.done.append((self.clock.monotonic(), name))
        return name

    def errand(self, name, late=0.0, lane="h1"):
        try:
            self.told.append((yield Call(lane, f"boot {name}", lambda: self.boot(name, late), begin_within_seconds=20)))
        except SourceError as error:
            self.told.append(type(error))

    def wait(self, seconds):
        until = self.clock.monotonic() + seconds
        while (at := self.agenda.next_at()) is not None and at <= until:
            self.clock.sleep(at - self.clock.monotonic())
            self.agenda.catch_up()
        self.clock.sleep(until - self.clock.monotonic())

    def read(self, lane="h1"):
        (end,) = self.runner.run([Call(lane, "read", lambda: "read")], 5)
        return end


@pytest.fixture
def hill():
    return Hill()


def test_a_slow_answer_holds_its_lane_and_no_other(hill):
    hill.runner.start([hill.errand("a", late=10), hill.errand("b"), hill.errand("c", lane="h2")], 0)
    assert hill.told == ["c"]
    assert hill.read().hangs
    assert "an earlier call (boot a), asked 0 s ago" in str(hill.read().error)
    assert hill.read("h2") == Answered("read")
    hill.wait(10)
    assert hill.told == ["c", "a", "b"]
    assert hill.done == [(0.0, "a"), (0.0, "c"), (10.0, "b")]
    assert hill.read() == Answered("read")


def test_whoever_waits_too_long_is_told_so_and_nothing_is_done(hill):
    hill.runner.start([hill.errand("a", late=60), hill.errand("b")], 0)
    hill.wait(30)
    hill.runner.start([], 0)
    assert hill.told == [NotBegunError]
    hill.wait(30)
    assert hill.told == [NotBegunError, "a"]
    assert [name for _, name in hill.done] == ["a"]


def test_whose_turn_comes_too_late_is_told_so_too(hill):
    hill.runner.start([hill.errand("a", late=30), hill.errand("b")], 0)
    hill.wait(30)
    assert hill.told == ["a", NotBegunError]


def test_a_call_in_a_lane_that_is_taken_is_refused(hill):
    hill.runner.start([hill.errand("a", late=30)], 0)
    with pytest.raises(SourceError):
        hill.runner.call("h1", "look", lambda: 1, 5)
    assert hill.runner.call("h2", "look", lambda: 1, 5) == 1


def test_after_closing_nothing_begins(hill):
    hill.runner.start([hill.errand("a", late=30), hill.errand("b")], 0)
    hill.runner.close()
    hill.wait(60)
    assert [name for _, name in hill.done] == ["a"]
