"""The weighted figure of groups: derived by hand, and computed once more instant by instant."""

from fractions import Fraction

import pytest
from availability_oracle import PENDING, Timelines, holds, is_excluded
from hypothesis import HealthCheck, given, settings
from test_availability_oracle import histories

from scheduler.availability.files.reading import history_of_text
from scheduler.availability.history import Operator, Window
from scheduler.availability.measuring.accounting import capacity
from scheduler.availability.measuring.profiles import PROFILES
from scheduler.availability.reports import report_data
from scheduler.availability.timelines.prepared import prepare
from scheduler.model.instants import read_instant
from scheduler.publish import sheet
from scheduler.publish.page import page

POOLS = """\
now: 2026-03-05T00:00:00Z
objects: [a, b, c]
events:
  - {at: 2026-03-01T00:00:00Z, object: a, status: OK}
  - {at: 2026-03-01T00:00:00Z, object: b, status: OK}
  - {at: 2026-03-01T00:00:00Z, object: c, status: OK}
  - {at: 2026-03-02T10:00:00Z, object: b, status: CRITICAL}
  - {at: 2026-03-02T12:00:00Z, object: b, status: OK}
"""
GROUP = """\
groups:
  - {name: pools, operator: capacity, need: 60%, members: [{name: a, weight: 100}, {name: b, weight: 200}, {name: c, weight: 300}]}
"""
DAY = Window("", read_instant("2026-03-02", "UTC"), read_instant("2026-03-03", "UTC"))


def of(text, profile="excuse", name="pools", window=DAY):
    return capacity(prepare(history_of_text(text, "farm.yaml")), name, window, profile)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_pool_of_200_of_600_that_is_down_for_2_of_24_hours_costs_a_thirty_sixth(profile):
    """(600 x 24 - 200 x 2) / (600 x 24) = 14000/14400 = 35/36 = 97.222222 %."""
    found = of(POOLS + GROUP, profile)
    assert found.figure == found.availability == found.reliability == Fraction(35, 36)
    assert (found.lowest, found.highest) == (Fraction(35, 36), Fraction(35, 36))


def test_what_is_unknown_leaves_both_sums_and_is_supposed_both_ways():
    """b (200) unknown for 2 h: (14400 - 400) / (14400 - 400) = 1; all bad 35/36, all up 1."""
    found = of(POOLS.replace("CRITICAL", "UNKNOWN") + GROUP)
    assert (found.figure, found.lowest, found.highest) == (1, Fraction(35, 36), 1)


def test_a_member_counts_while_it_is_one():
    """b was a member until 11:00: of 100 + 300 all day and 200 for 11 h, 200 x 1 h was missing: (9600 + 2200 - 200) / 11800."""
    text = (POOLS + GROUP).replace("{name: b, weight: 200}", "{name: b, weight: 200, end: 2026-03-02T11:00:00Z}")
    assert of(text).figure == Fraction(9600 + 2200 - 200, 9600 + 2200)


def test_downtimes_and_exclusions_of_the_group_count_and_those_of_a_member_do_not():
    """The group is excused from 10:00 to 11:00: 200 x 1 h leave the denominator: (14400 - 400) / (14400 - 200)."""
    excuse = "exclusions: [{objects: [%s], from: 2026-03-02T10:00:00Z, to: 2026-03-02T11:00:00Z, cause: power, author: x, reason: y, accepted_by: z}]\n"
    assert of(POOLS + GROUP + excuse % "pools").figure == Fraction(14000, 14200)
    assert of(POOLS + GROUP + excuse % "b").figure == Fraction(35, 36)
    down = "downtimes: [{objects: [pools], from: 2026-03-02T00:00:00Z, to: 2026-03-02T12:00:00Z, declared: 2026-02-01T00:00:00Z}]\n"
    found = of(POOLS + GROUP + down, "argo")
    assert (found.figure, found.reliability) == (Fraction(1, 2), 1), "half of the day in an agreed downtime"


def test_a_group_in_a_group_counts_with_its_own_status_and_without_members_there_is_none():
    nested = (
        POOLS + GROUP + "  - {name: site, operator: capacity, members: [{name: pools, weight: 1/3}, {name: a, weight: 2/3}]}\n"
    )
    assert of(nested, name="site").figure == 1, "400 of 600 are 60 % and more: pools was up"
    assert of(POOLS + GROUP, name="a") is None
    early = Window("", read_instant("2026-02-01", "UTC"), read_instant("2026-02-02", "UTC"))
    assert of(POOLS + GROUP, window=early).figure is None


def test_the_report_tells_it_exactly():
    report = report_data.make(history_of_text(POOLS + GROUP, "farm.yaml"), [DAY], ["excuse"])
    rows = {row["object"]: row for row in report_data.data(report)["rows"]}
    assert (rows["pools"]["figure"], rows["pools"]["capacity"]) == ("1/1", "35/36")
    assert rows["pools"]["capacity_decimal"].startswith("0.97222222222")
    assert rows["b"]["capacity"] is None


def test_the_page_shows_it_below_the_figure():
    made = sheet.make(prepare(history_of_text(POOLS + GROUP, "farm.yaml")), [DAY], "excuse", site="hill")
    assert page(made).count("97.22 % of the capacity") == 1


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories())
def test_a_sum_over_instants_says_the_same(drawn):
    """Under `excuse`: weight by weight and tick by tick, with dated members, members that are groups, and exclusions."""
    history, window, step = drawn
    window = Window("", min(window.start, history.now), min(window.end, history.now))
    ready, lines = prepare(history), Timelines(history, window, step)
    for group in history.groups:
        if group.operator is not Operator.CAPACITY:
            continue
        up = counted = Fraction(0)
        for member in group.members:
            for (_, wall), state in zip(lines.axis.ticks, lines.plain(member.name), strict=True):
                if state in {None, PENDING} or not holds(member, wall) or not window.start <= wall < window.end:
                    continue
                good, bad = state[0] in {"OK", "WARNING"}, state[0] == "CRITICAL"
                up += member.weight * good
                counted += member.weight * (good or (bad and not is_excluded(history, group.name, wall)))
        found = capacity(ready, group.name, window, "excuse")
        assert found.figure == (up / counted if counted else None)
