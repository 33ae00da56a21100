"""The elapsed axis: jumps are recorded, nothing is negative, and a boot's clock holds across what stands between."""

import numpy as np
import pytest

from scheduler.availability.history import History, Monitored, Result, Span, Status, Window
from scheduler.availability.measuring.accounting import measure
from scheduler.availability.timelines.axis import ABSENT, Axis, build, chain, common, lived, order, reached, united, wall_at
from scheduler.availability.timelines.prepared import prepare
from scheduler.model.instants import SECOND


def whole(*values):
    return np.array([ABSENT if value is None else value * SECOND for value in values], np.int64)


def axis_of(walls, stamps=None, boots=None):
    at = whole(*walls)
    elapsed = chain(at, None if stamps is None else whole(*stamps), None if boots is None else np.array(boots, np.int32))
    return build(at, elapsed), (elapsed // SECOND).tolist()


def in_seconds(stretches):
    return [(start // SECOND, end // SECOND) for start, end in stretches]


def test_without_jumps_the_axis_is_the_wall_clock():
    axis, elapsed = axis_of([10, 20, 35], [110, 120, 135], [0, 0, 0])
    assert (axis.jumps, elapsed, axis.now) == ((), [10, 20, 35], 35 * SECOND)
    assert in_seconds(lived(axis, 12 * SECOND, 30 * SECOND)) == [(12, 30)]


def test_a_jump_is_recorded_with_what_the_clock_would_have_shown():
    axis, elapsed = axis_of([0, 100, 3700], [0, 100, 110], [0, 0, 0])
    (jump,) = axis.jumps
    assert elapsed == [0, 100, 110]
    assert (jump.elapsed, jump.before, jump.after) == (110 * SECOND, 110 * SECOND, 3700 * SECOND)
    assert in_seconds(lived(axis, 105 * SECOND, 3800 * SECOND)) == [(105, 210)]
    assert reached(axis, 1000 * SECOND) == 110 * SECOND
    assert wall_at(axis, 120 * SECOND) == 3710 * SECOND


def test_an_hour_that_came_twice_is_lived_twice():
    axis, _ = axis_of([0, 100, 50, 150], [0, 100, 110, 210], [0, 0, 0, 0])
    assert in_seconds(lived(axis, 60 * SECOND, 90 * SECOND)) == [(60, 90), (120, 150)]


def test_less_than_a_second_is_no_jump_and_does_not_add_up():
    walls, stamps = range(0, 1000, 10), [n + (0.3 if n % 20 else 0) for n in range(0, 1000, 10)]
    axis = build(whole(*walls), chain(whole(*walls), np.array([int(s * SECOND) for s in stamps]), np.zeros(100, np.int32)))
    assert axis.jumps == ()
    drifting = np.array([n * 10_001_000 for n in range(3000)], np.int64)
    axis = build(whole(*range(0, 30_000, 10)), chain(whole(*range(0, 30_000, 10)), drifting, np.zeros(3000, np.int32)))
    assert len(axis.jumps) == 2, "3 s of drift are two jumps of a little more than a second, and less than a third"


def test_a_clock_that_goes_back_without_stamps_takes_no_time():
    axis, elapsed = axis_of([100, 40, 50])
    assert elapsed == [100, 100, 110]
    assert [jump.after for jump in axis.jumps] == [40 * SECOND]


@pytest.mark.parametrize(
    ("walls", "stamps", "boots", "elapsed"),
    [
        ([0, 3650, 3700], [0, None, 100], [0, 0, 0], [0, 100, 100]),
        ([0, 50, 100], [0, None, 100], [0, 0, 0], [0, 50, 100]),
        ([0, 30, 40, 200], [0, 5, 15, 100], [0, 1, 1, 0], [0, 30, 40, 100]),
        ([0, 30, 40, 50], [0, 5, 15, 100], [0, 1, 1, 0], [0, 30, 40, 100]),
    ],
    ids=["pressed between", "agreeing", "another boot between, then set forward", "then set back"],
)
def test_two_stamps_of_a_boot_say_how_long_it_was_whatever_stands_between(walls, stamps, boots, elapsed):
    assert axis_of(walls, stamps, boots)[1] == elapsed


def test_what_both_clocks_say_was_earlier_was_earlier_and_adds_no_time():
    """A reading of 12:00:03 is written after a status that was pushed at 12:00:04: no clock was set, nothing is lived twice."""
    axis, elapsed = axis_of([0, 4, 3, 30, 34, 33, 60], [100, 104, 103, 130, 134, 133, 160], [0] * 7)
    assert elapsed == [0, 4, 3, 30, 34, 33, 60]
    assert (axis.jumps, axis.now) == ((), 60 * SECOND)


def test_of_one_object_the_later_number_holds_whatever_the_clocks_say():
    results = (Result(4 * SECOND, "s", Status.OK, 1, 104 * SECOND, "b"), Result(0, "s", Status.CRITICAL, 2, 100 * SECOND, "b"))
    found = measure(History(20 * SECOND, objects=(Monitored("s"),), results=results), Window("", 0, 20 * SECOND), "excuse")["s"]
    assert (found.total, found.bad) == (16 * SECOND, 16 * SECOND)


def test_results_are_ordered_by_number_and_those_without_find_their_place():
    at, numbers = np.array([100, 50, 60, 55, 200]), np.array([1, 3, 2, ABSENT, ABSENT])
    assert order(at, numbers).tolist() == [0, 2, 1, 3, 4]
    assert order(np.array([3, 1, 2, 1]), None).tolist() == [1, 3, 2, 0]


def test_a_result_that_the_set_clock_dates_after_now_was_lived_if_the_monitor_knows_it():
    results = (Result(0, "s", Status.OK, 1, 0, "b"), Result(7200 * SECOND, "s", Status.CRITICAL, 2, 60 * SECOND, "b"))
    known = History(100 * SECOND, objects=(Monitored("s"),), results=results, monotonic_now=100 * SECOND, boot="b")
    unknown = History(100 * SECOND, objects=(Monitored("s"),), results=results)
    day = Window("", 0, 86400 * SECOND)
    assert [jump.after // SECOND for jump in prepare(known).axis.jumps] == [7200, 100]
    assert (measure(known, day, "excuse")["s"].up, measure(known, day, "excuse")["s"].total) == (60 * SECOND, 60 * SECOND)
    assert measure(unknown, day, "excuse")["s"].up == 100 * SECOND


def test_an_object_does_not_vanish_because_the_clock_was_set_back():
    stamps = [(0, 0), (1000, 1000), (400, 1010), (1200, 1810)]
    results = tuple(Result(at * SECOND, "s", Status.OK, n, mono * SECOND, "b") for n, (at, mono) in enumerate(stamps))
    history = History(1200 * SECOND, objects=(Monitored("s", existence=(Span(500 * SECOND),)),), results=results)
    found = measure(history, Window("", 0, 1200 * SECOND), "excuse")["s"]
    assert (found.pending, found.total) == (500 * SECOND, 810 * SECOND)


def test_stretches_unite_and_intersect():
    assert united([(5, 7), (1, 3), (3, 4), (6, 9), (2, 2)]) == [(1, 4), (5, 9)]
    assert common([(0, 10), (20, 30)], [(5, 25), (28, 40)]) == [(5, 10), (20, 25), (28, 30)]
    assert isinstance(axis_of([])[0], Axis)
