"""Adding results one by one comes out as making all ready at once; and no second history is made ready for the usual one."""

from dataclasses import replace

import pytest
from growing import append
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_availability_oracle import histories

from scheduler.availability.history import Group, History, Member, Monitored, Operator, Result, Status, Window
from scheduler.availability.measuring.accounting import measure
from scheduler.availability.timelines.columns import columns, joined
from scheduler.availability.timelines.prepared import prepare, timeline_of
from scheduler.model.instants import SECOND

HOUR = 3600 * SECOND


def once(results):
    """Drop what is there twice, as the log does before it hands results over."""
    kept = {}
    for result in results:
        kept.setdefault(result.id or result, result)
    return tuple(kept.values())


def lines(prepared):
    return {
        name: (line.starts.tolist(), line.states.tolist())
        for name in prepared.places
        for line in (timeline_of(prepared, name),)
    }


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories(), st.integers(0, 14))
def test_one_by_one_is_as_all_at_once(drawn, first):
    history, window, _ = drawn
    results = once(history.results)
    whole = prepare(replace(history, results=results))
    grown = prepare(replace(history, results=results[:first]))
    for result in results[first:]:
        grown = append(grown, result, history.now, history.monotonic_now, history.boot)
    assert lines(grown) == lines(whole)
    for profile in ("excuse", "argo"):
        assert measure(grown, window, profile) == measure(whole, window, profile)


def farm(**changed):
    stamped = [
        Result(n * HOUR, f"s{n % 3}", Status.OK, sequence=n, monotonic=7 * HOUR + n * HOUR, boot="one") for n in range(9)
    ]
    pair = Group("pair", Operator.OR, (Member("s0"), Member("s1")))
    top = Group("top", Operator.AND, (Member("pair"), Member("s2")))
    whole = History(
        now=9 * HOUR, objects=tuple(Monitored(f"s{n}") for n in range(3)), results=tuple(stamped), groups=(top, pair),
        monotonic_now=16 * HOUR, boot="one",
    )  # fmt: skip
    return prepare(replace(whole, **changed))


def after(hours, **changed):
    usual = Result(hours * HOUR, "s0", Status.CRITICAL, sequence=99, monotonic=7 * HOUR + hours * HOUR, boot="one")
    return replace(usual, **changed)


def is_quick(grown):
    """Tell whether only ends were changed: what was made ready anew holds all results as columns."""
    return bool(grown.added)


@pytest.mark.parametrize(
    ("result", "quick"),
    [
        (after(9), True),
        (after(10, boot="two", monotonic=5), True),
        (after(10, monotonic=None, boot=""), True),
        (after(8, object="s1"), True),
        (after(12, monotonic=17 * HOUR), False),
        (after(10, sequence=3), False),
    ],
    ids=[
        "in order",
        "of a new boot",
        "without a stamp",
        "observed a while ago",
        "after a jump of the clock",
        "of a number that was missing",
    ],
)
def test_what_changes_the_axis_makes_all_ready_anew(result, quick):
    grown = append(farm(), result)
    assert is_quick(grown) is quick
    assert grown.history.now == max(9 * HOUR, result.at)


def test_results_with_and_without_stamps_take_turns_without_making_all_ready_anew():
    grown = farm()
    for number in range(10, 20):
        pushed = number % 2 == 0
        changed = {"sequence": None, "monotonic": None, "boot": ""} if pushed else {"sequence": 100 + number}
        grown = append(grown, after(number, **changed))
    assert len(grown.added) == 10
    assert lines(grown) == lines(prepare(grown.history, joined(grown.results, columns(grown.added, grown.places))))


def test_a_late_result_without_number_changes_only_its_object_and_its_groups():
    plain = farm(results=tuple(Result(n * HOUR, f"s{n % 3}", Status.OK) for n in range(9)), monotonic_now=None, boot="")
    grown = append(plain, Result(4 * HOUR, "s2", Status.CRITICAL))
    assert is_quick(grown)
    found = measure(grown, Window("", 0, 9 * HOUR), "excuse")
    assert {name: one.bad for name, one in found.items()} == {"s0": 0, "s1": 0, "s2": HOUR, "pair": 0, "top": HOUR}


def test_many_results_are_merged_and_stay_exact():
    grown = farm(results=())
    for number in range(400):
        status = Status.CRITICAL if number % 4 == 0 else Status.OK
        grown = append(grown, Result(number * SECOND, f"s{number % 3}", status))
    assert len(grown.added) == 399
    assert lines(grown) == lines(prepare(grown.history, joined(grown.results, columns(grown.added, grown.places))))
    found = measure(grown, Window("", 0, 390 * SECOND), "excuse")
    assert found["s1"].total == 389 * SECOND


def test_a_result_of_an_object_that_nobody_listed_is_refused():
    with pytest.raises(ValueError, match="does not list: nobody"):
        farm(results=(Result(0, "nobody", Status.OK),))
