"""Why two profiles differ: the parts add up to the difference, and say what a person would say."""

from dataclasses import replace
from fractions import Fraction
from itertools import permutations

import pytest

from scheduler.availability.history import (
    Downtime,
    Exclusion,
    Group,
    History,
    Member,
    Monitored,
    ObjectKind,
    Operator,
    Result,
    Revision,
    Span,
    Status,
    Window,
)
from scheduler.availability.measuring.explaining import explain, sentence, write_points
from scheduler.availability.measuring.profiles import PROFILES
from scheduler.availability.timelines.prepared import prepare
from scheduler.model.instants import SECOND

HOUR = 3600 * SECOND
DAY = Window("", 0, 24 * HOUR)


def history(**changed):
    """A day: OK, CRITICAL 2-4, WARNING 4-6, UNKNOWN 6-8, OK, MISSING 20-24; downtimes 1-3 and 6-7, an exclusion 3-9."""
    statuses = ((0, Status.OK), (2, Status.CRITICAL), (4, Status.WARNING), (6, Status.UNKNOWN), (8, Status.OK))
    whole = History(
        now=24 * HOUR,
        objects=(Monitored("s"), Monitored("h", ObjectKind.HOST)),
        results=tuple(Result(at * HOUR, name, status) for name in "sh" for at, status in statuses),
        groups=(Group("g", Operator.AND, (Member("s"), Member("h"))),),
        downtimes=(
            Downtime("d", ("s",), (Revision(-48 * HOUR, HOUR, 3 * HOUR),)),
            Downtime("e", ("s",), (Revision(5 * HOUR, 6 * HOUR, 7 * HOUR),)),
        ),
        exclusions=(Exclusion("x", ("s", "g"), 3 * HOUR, 9 * HOUR, "network", "me", "router", "board"),),
        gaps=(Span(20 * HOUR, 24 * HOUR),),
    )
    return replace(whole, **changed)


@pytest.mark.parametrize("pair", list(permutations(PROFILES, 2)), ids="-".join)
@pytest.mark.parametrize("name", ["s", "h", "g"])
def test_points_of_all_stretches_add_up_to_the_difference(name, pair):
    found = explain(prepare(history()), name, DAY, *pair)
    assert found.difference == found.other.figure - found.one.figure
    assert sum(one.points for one in found.stretches) == found.difference
    assert sum(one.points for one in found.contributions) == found.difference
    assert all(one.reason and one.one is not one.other for one in found.stretches)


def test_a_downtime_that_overrides_is_named_with_its_points():
    """Seven of eighteen known hours are agreed downtime although the service was up."""
    up = history(
        results=(Result(0, "s", Status.OK), Result(18 * HOUR, "s", Status.UNKNOWN)),
        downtimes=(Downtime("d", ("s",), (Revision(-48 * HOUR, HOUR, 8 * HOUR),)),),
        exclusions=(),
        gaps=(),
    )
    found = explain(prepare(up), "s", DAY, "excuse", "argo")
    assert [sentence(one) for one in found.contributions] == ["downtime overrides: -38.9 points"]
    assert found.difference == Fraction(-7, 18)
    (stretch,) = found.stretches
    assert (stretch.start, stretch.end, stretch.status, stretch.downtime) == (HOUR, 8 * HOUR, "OK", "scheduled")


def test_profiles_that_count_alike_have_nothing_to_explain():
    calm = history(downtimes=(), exclusions=(), results=(Result(0, "s", Status.OK), Result(9 * HOUR, "s", Status.CRITICAL)))
    found = explain(prepare(calm), "s", DAY, "excuse", "argo")
    assert (found.difference, found.stretches, found.contributions) == (0, (), ())


def test_what_is_undefined_has_stretches_and_no_points():
    down = history(downtimes=(Downtime("d", ("s",), (Revision(-48 * HOUR, 0, 24 * HOUR),)),))
    found = explain(prepare(down), "s", DAY, "excuse", "skip")
    assert found.difference is None
    assert {one.points for one in found.stretches} == {None}
    assert "undefined" in sentence(found.contributions[0])


def test_small_differences_keep_a_digit_that_shows_them():
    assert write_points(Fraction(-1, 3)) == "-33.3 points"
    assert write_points(Fraction(1, 5_000)) == "+0.02 points"
    assert write_points(Fraction(0)) == "0.0 points"
