"""Where a promise stands: budget of the whole window, measured recovery, alerts, on real timelines."""

from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduler.availability.history import (
    Downtime,
    Exclusion,
    History,
    Monitored,
    Objective,
    ObjectiveVerdict,
    ObjectKind,
    Result,
    Revision,
    Span,
    Status,
)
from scheduler.availability.promises.burn_rate import Alert, Burning
from scheduler.availability.promises.standing import ahead, outages, stand
from scheduler.availability.timelines import windows
from scheduler.availability.timelines.prepared import prepare
from scheduler.model.instants import SECOND

ROME = "Europe/Rome"
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
TARGET = Fraction(999, 1000)


def at(*parts):
    return int(datetime(*parts, tzinfo=ZoneInfo(ROME)).timestamp()) * SECOND


MONDAY = at(2026, 3, 23)
"""Of the week in which the clocks go forward: it has 167 hours."""
NOW = MONDAY + 2 * DAY
EVENTS = (
    (MONDAY - 90 * DAY, Status.OK),
    (MONDAY + HOUR, Status.CRITICAL),
    (MONDAY + HOUR + 90 * SECOND, Status.OK),
    (MONDAY + DAY, Status.CRITICAL),
    (MONDAY + DAY + 30 * SECOND, Status.WARNING),
    (NOW - 20 * SECOND, Status.CRITICAL),
)


def story(*events, now=NOW, **more):
    results = tuple(Result(when, "ce", status) for when, status in events)
    return prepare(History(now, ROME, (Monitored("ce"),), results, **more))


def test_the_budget_of_a_running_week_is_that_of_the_whole_week():
    """167 h x 3600 s x 0.001 = 601.2 s; 90 + 30 + 20 s were bad; the mean of the two that ended is 60 s, the longest 90 s."""
    found = stand(story(*EVENTS), Objective("week", "ce", TARGET, "this-week"))
    assert found.ahead == 167 * HOUR - 48 * HOUR
    assert found.budget.spent == 140 * SECOND
    assert found.budget.left == Fraction(6012 - 1400, 10) * SECOND
    assert (found.recovery.outages, found.recovery.mean, found.recovery.longest) == (2, 60 * SECOND, 90 * SECOND)
    assert (found.budget.failovers, found.budget.failovers_at_least) == (7, 5)
    assert found.verdict is ObjectiveVerdict.PASS


def test_an_outage_that_goes_on_or_ends_in_the_unknown_has_no_recovery_time():
    window = windows.named("90d", NOW, ROME)
    assert outages(story((MONDAY, Status.OK), (MONDAY + HOUR, Status.CRITICAL)), "ce", window) == []
    lost = story(
        (MONDAY, Status.OK),
        (MONDAY + HOUR, Status.CRITICAL),
        (MONDAY + 2 * HOUR, Status.UNKNOWN),
        (MONDAY + 3 * HOUR, Status.OK),
    )
    assert outages(lost, "ce", window) == []
    assert stand(lost, Objective("w", "ce", TARGET, "this-week")).budget.failovers is None


def test_an_outage_is_one_however_a_downtime_cuts_it():
    cut = Exclusion("x", ("ce",), MONDAY + HOUR + 10 * SECOND, MONDAY + HOUR + 20 * SECOND, "power", "a", "b", "c")
    assert outages(story(*EVENTS, exclusions=(cut,)), "ce", windows.named("90d", NOW, ROME)) == [90 * SECOND, 30 * SECOND]


@pytest.mark.parametrize(
    ("window", "hours"),
    [
        ("today", 24),
        ("this-week", 167 - 48),
        ("month", (31 - 24) * 24 - 1),
        ("quarter", 7 * 24 - 1),
        ("past-week", 0),
        ("30d", 0),
    ],
)
def test_what_is_still_to_come_is_counted_in_elapsed_time(window, hours):
    """On Wednesday, 25 March 2026, 00:00; on the 29th the clocks go forward."""
    objective = Objective("w", "ce", TARGET, window)
    assert ahead(objective, windows.named(window, NOW, ROME), ROME) == hours * HOUR


def test_the_end_of_the_year_is_found_in_leap_years_too():
    now = at(2028, 12, 31, 12)
    assert ahead(Objective("y", "ce", TARGET, "year"), windows.named("year", now, ROME), ROME) == 12 * HOUR
    start = at(2028, 1, 1)
    assert ahead(Objective("y", "ce", TARGET, "year"), windows.named("year", start + 1, ROME), ROME) == 366 * DAY - 1


def test_of_what_is_to_come_only_the_periods_in_which_it_applies_count_and_no_hour_twice():
    periods = (Span(MONDAY, NOW + HOUR), Span(NOW + 30 * MINUTE, NOW + 2 * HOUR), Span(NOW + 6 * DAY, None))
    objective = Objective("w", "ce", TARGET, "this-week", applies=periods)
    assert ahead(objective, windows.named("this-week", NOW, ROME), ROME) == 2 * HOUR


def test_alerts_are_evaluated_on_the_timeline():
    """Down for the last 20 s: 20/3600/0.001 = 5.6 over an hour, 20/300/0.001 = 66.7 over five minutes."""
    alerts = (
        Alert("fast", Fraction(144, 10), HOUR, 5 * MINUTE),
        Alert("slow", Fraction(5), HOUR, 5 * MINUTE),
    )
    fast, slow = stand(story(*EVENTS), Objective("week", "ce", TARGET, "this-week"), alerts).burns
    assert (fast.state, slow.state) == (Burning.QUIET, Burning.FIRING)
    assert fast.long.least == Fraction(20, 3600) * 1000
    assert fast.short.least == Fraction(20, 300) * 1000


def test_alerts_count_only_the_periods_in_which_the_promise_applies():
    objective = Objective("week", "ce", TARGET, "this-week", applies=(Span(MONDAY, NOW - MINUTE),))
    (burn,) = stand(story(*EVENTS), objective, (Alert("slow", Fraction(5), HOUR, 5 * MINUTE),)).burns
    assert (burn.state, burn.long.least) == (Burning.QUIET, 0)


def test_a_promise_that_does_not_apply_has_no_budget_to_speak_of():
    objective = replace(Objective("w", "ce", TARGET, "past-week"), applies=(Span(0, 1),))
    found = stand(story(*EVENTS), objective)
    assert (found.verdict, found.budget.allowed, found.budget.left) == (ObjectiveVerdict.NOT_APPLICABLE, 0, 0)


# --- the budget and the verdict say the same --------------------------------------------------------------------------

marks = st.integers(0, 200).map(lambda minutes: minutes * MINUTE)
stories = st.builds(
    lambda told, down, out, gap, host: History(
        200 * MINUTE,
        "UTC",
        (Monitored("ce", ObjectKind.HOST if host else ObjectKind.SERVICE, freshness=50 * MINUTE),),
        tuple(Result(at_, "ce", status) for at_, status in sorted(told)),
        downtimes=(Downtime("d", ("ce",), (Revision(down[2] - 24 * HOUR, min(down[:2]), max(down[:2])),)),),
        exclusions=(Exclusion("x", ("ce",), min(out), max(out) + MINUTE, "power", "a", "b", "c"),),
        gaps=(Span(min(gap), max(gap)),) if gap[0] != gap[1] else (),
    ),
    st.lists(st.tuples(marks, st.sampled_from(list(Status))), min_size=1, max_size=8),
    st.tuples(marks, marks, marks),
    st.tuples(marks, marks),
    st.tuples(marks, marks),
    st.booleans(),
)


@given(stories, st.sampled_from(["excuse", "argo", "icinga", "nagios", "skip"]), st.fractions(0, 1, max_denominator=50))
@settings(max_examples=120, deadline=None)
def test_a_promise_is_kept_exactly_when_its_budget_is_not_overdrawn_whatever_is_unknown(history, profile, target):
    assume(target < 1)
    objective = Objective("o", "ce", target, "1d", profile=profile)
    found = stand(prepare(history), objective, (Alert("a", Fraction(1), 2 * HOUR, HOUR),))
    budget = found.budget
    assert budget.left_at_least <= budget.left <= budget.left_at_most
    if found.verdict is ObjectiveVerdict.NOT_APPLICABLE:
        assert budget.left_at_least == budget.left_at_most == 0
        return
    if found.measure.lowest is not None:  # else all that is unknown would have been excused
        assert (found.verdict is ObjectiveVerdict.PASS) == (budget.left_at_least >= 0)
    if found.measure.highest is not None:
        assert (found.verdict is ObjectiveVerdict.FAIL) == (budget.left_at_most < 0)
    (burn,) = found.burns
    for one in (burn.long, burn.short):
        assert one.least is None or one.most is None or one.least <= one.most
