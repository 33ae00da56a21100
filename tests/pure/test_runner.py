"""Calls to the outside: one lane per source, deadlines, and what a hanging source costs the others."""

import re
import threading
import time

import pytest

from scheduler.loop.lanes import ThreadRunner
from scheduler.loop.runner import Answered, Call, Erred, NotBegunError
from scheduler.model.clock import WallClock
from scheduler.model.ports import SourceError
from simulations.clock import Agenda
from simulations.lanes import AgendaRunner


@pytest.fixture
def runner():
    made = ThreadRunner(WallClock(), threads=4, idle_seconds=1)
    yield made
    made.close()


def fails():
    raise SourceError("h1", "read", "no route to host")


@pytest.mark.parametrize("make", [lambda: AgendaRunner(Agenda(WallClock())), lambda: ThreadRunner(WallClock())])
def test_one_failing_source_does_not_stop_the_others(make):
    runner = make()
    ends = runner.run([Call("h1", "read", fails), Call("h2", "read", lambda: 2)], 120)
    assert ends[1] == Answered(2)
    assert isinstance(ends[0], Erred)
    assert str(ends[0].error) == "h1: read: no route to host"
    runner.close()


def test_calls_of_one_lane_come_one_at_a_time_and_in_order(runner):
    inside, seen, most = threading.Lock(), [], []

    def one(number):
        assert inside.acquire(blocking=False), "two calls in one lane at a time"
        seen.append(number)
        most.append(threading.active_count())
        inside.release()

    runner.run([Call("h1", str(n), lambda n=n: one(n)) for n in range(200)], 10)
    assert seen == list(range(200))


def test_lanes_run_side_by_side(runner):
    together = threading.Barrier(4, timeout=120)
    ends = runner.run([Call(f"h{n}", "read", together.wait) for n in range(4)], 120)
    assert all(isinstance(end, Answered) for end in ends)


def test_a_source_that_hangs_costs_the_deadline_once_and_is_not_asked_again(runner):
    wake, asked = threading.Event(), []

    def hang():
        asked.append(1)
        wake.wait(600)

    begun = time.monotonic()
    ends = runner.run([Call("h1", "read", hang), Call("h2", "read", lambda: 2)], 3)
    assert 2.9 < time.monotonic() - begun < 120, "it hangs for 600 s"
    assert ends[1] == Answered(2)
    assert str(ends[0].error) == "h1: read: no answer within 3 s"
    assert ends[0].under_way

    begun = time.monotonic()
    ends = runner.run([Call("h1", "read", hang), Call("h2", "read", lambda: 3)], 300)
    assert time.monotonic() - begun < 120, "the second round waits for nothing, not for its 300 s"
    assert re.search(r"still waiting for the answer to an earlier call \(read\), asked \d+ s ago", str(ends[0].error))
    assert (ends[0].begun, ends[0].acting) == (False, False)
    assert asked == [1]

    wake.set()
    end = None
    for _ in range(12_000):
        (end,) = runner.run([Call("h1", "read", lambda: 4)], 120)
        if isinstance(end, Answered):
            break
        time.sleep(0.01)
    assert end == Answered(4), "once it has answered it is asked again"


def answered(runner, call):
    """Ask until the lane is free again, and return the answer."""
    for _ in range(12_000):
        (end,) = runner.run([call], 30)
        if isinstance(end, Answered):
            return end
        time.sleep(0.01)
    return end


def test_a_source_that_was_silent_is_waited_for_briefly_and_its_late_answer_counts(runner):
    wake = threading.Event()

    def slow():
        wake.wait(600)
        return "late"

    begun = time.monotonic()
    ends = runner.run([Call("h1", "read", slow, 0.2), Call("h2", "read", lambda: 2)], 300)
    assert time.monotonic() - begun < 120
    assert (str(ends[0].error), ends[1]) == ("h1: read: no answer within 0.2 s", Answered(2))
    wake.set()
    assert answered(runner, Call("h1", "read", slow, 0.2)) == Answered("late")
    assert runner.run([Call("h1", "read", lambda: "fresh", 0.2)], 30) == [Answered("fresh")], "it counts once"


def test_a_late_answer_to_another_question_is_thrown_away(runner):
    wake = threading.Event()
    runner.run([Call("h1", "boot a", lambda: wake.wait(600), 0.1)], 30)
    wake.set()
    assert answered(runner, Call("h1", "read", lambda: "fresh", 0.2)) == Answered("fresh")


def test_more_hanging_sources_than_threads_leave_threads_for_the_others(runner):
    wake = threading.Event()
    runner.run([Call(f"dead{n}", "read", lambda: wake.wait(600)) for n in range(4)], 0.2)
    ends = runner.run([Call(f"h{n}", "read", lambda n=n: n) for n in range(20)], 120)
    assert ends == [Answered(n) for n in range(20)]
    wake.set()


def test_what_has_not_begun_by_the_deadline_is_never_begun(runner):
    wake, done = threading.Event(), []
    ends = runner.run([Call("h1", "boot a", lambda: wake.wait(600)), Call("h1", "boot b", lambda: done.append("b"))], 0.2)
    assert [end.begun for end in ends] == [True, False]
    wake.set()
    for _ in range(12_000):
        if isinstance(runner.run([Call("h1", "read", lambda: 1)], 120)[0], Answered):
            break
        time.sleep(0.01)
    assert done == []


def broken():
    raise ZeroDivisionError("a bug\x1b")


def test_whatever_a_call_raises_is_the_failure_of_that_call_and_the_log_tells_where_once(runner, caplog):
    for _ in range(2):
        ends = runner.run([Call("h1", "read", broken), Call("h2", "read", lambda: 2)], 120)
        assert ends[1] == Answered(2)
        assert isinstance(ends[0].error, SourceError)
        assert str(ends[0].error) == r"h1: read: ZeroDivisionError: a bug\x1b (not foreseen; the log tells where)"
    assert caplog.text.count("Traceback") == 1


def test_after_closing_nothing_begins(runner):
    runner.close()
    (end,) = runner.run([Call("h1", "read", lambda: 1)], 120)
    assert isinstance(end, Erred)
    assert "shutting down" in str(end.error)


# --- errands ----------------------------------------------------------------------------------------------------------


def errand(told, *calls):
    """Make calls one after the other, and tell how each ended."""
    for call in calls:
        try:
            told.append((yield call))
        except SourceError as error:
            told.append(type(error))
    told.append("end")


@pytest.mark.parametrize("make", [lambda: AgendaRunner(Agenda(WallClock())), lambda: ThreadRunner(WallClock())])
def test_an_errand_makes_its_calls_one_after_the_other_whatever_one_of_them_answers(make):
    runner, told = make(), []
    runner.start(
        [errand(told, Call("batch", "enrol", lambda: 1), Call("h1", "boot", fails), Call("h1", "look", lambda: 3))], 120
    )
    assert told == [1, SourceError, 3, "end"]
    runner.close()


def test_an_errand_that_takes_long_goes_on_by_itself_and_only_its_lane_waits(runner):
    wake, slow, quick = threading.Event(), [], []
    begun = time.monotonic()
    long_one = errand(slow, Call("h1", "boot", lambda: wake.wait(600)), Call("batch", "note", lambda: 2))
    runner.start([long_one, errand(quick, Call("h2", "boot", lambda: 1))], 0.2)
    assert time.monotonic() - begun < 8
    assert (slow, quick) == ([], [1, "end"])
    ends = runner.run([Call("h1", "read", lambda: 1), Call("h2", "read", lambda: 2), Call("batch", "read", lambda: 3)], 120)
    assert (ends[0].hangs, ends[0].acting) == (True, True)
    assert ends[1:] == [Answered(2), Answered(3)]
    assert time.monotonic() - begun < 8
    wake.set()
    wait_until(lambda: slow == [True, 2, "end"])


def test_more_errands_that_hang_than_threads_leave_threads_for_the_others(runner):
    wake, told = threading.Event(), []
    runner.start([errand([], Call(f"dead{n}", "boot", lambda: wake.wait(600))) for n in range(12)], 0.2)
    runner.start([errand(told, Call(f"h{n}", "boot", lambda n=n: n)) for n in range(4)], 120)
    assert sorted(one for one in told if one != "end") == [0, 1, 2, 3]
    wake.set()


def test_a_step_whose_turn_does_not_come_in_time_is_never_made(runner):
    wake, done, told = threading.Event(), [], []
    first = errand([], Call("h1", "boot a", lambda: wake.wait(600)))
    behind = errand(told, Call("h1", "boot b", lambda: done.append("b"), begin_within_seconds=0.1))
    runner.start([first, behind], 0.2)
    assert told == [NotBegunError, "end"]
    wake.set()
    wait_until(lambda: isinstance(runner.run([Call("h1", "read", lambda: 1)], 120)[0], Answered))
    assert done == []


def test_a_late_answer_from_before_an_act_is_worth_nothing_after_it(runner):
    wake = threading.Event()

    def read():
        wake.wait(600)
        return "before the boot"

    runner.run([Call("h1", "read", read, 0.1)], 30)
    told = []
    runner.start([errand(told, Call("h1", "boot", lambda: 1))], 0.1)
    wake.set()
    wait_until(lambda: told == [1, "end"])
    assert runner.run([Call("h1", "read", lambda: "after it", 0.5)], 30) == [Answered("after it")]


def test_closing_tells_the_errands_that_wait_and_lets_what_runs_end(runner):
    wake, first, behind = threading.Event(), [], []
    calls = [Call("h1", "boot", lambda: wake.wait(600)), Call("h1", "look", lambda: 2)]
    runner.start([errand(first, *calls), errand(behind, Call("h1", "boot b", lambda: 3))], 0.1)
    runner.close()
    assert behind == [NotBegunError, "end"]
    wake.set()
    wait_until(lambda: first == [True, NotBegunError, "end"])


def test_whatever_a_step_of_an_errand_raises_the_errand_is_told_as_a_failure(runner):
    told = []
    runner.start([errand(told, Call("h1", "boot", broken))], 120)
    assert told == [SourceError, "end"]


def test_an_error_of_an_errand_s_own_is_raised(runner):
    def faulty():
        yield Call("h1", "boot", lambda: 1)
        broken()

    with pytest.raises(ZeroDivisionError):
        runner.start([faulty()], 120)


def wait_until(holds):
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, "it did not come to it"
        time.sleep(0.01)
