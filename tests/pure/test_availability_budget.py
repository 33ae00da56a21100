"""Error budgets, failovers that they still afford, burn-rate alerts and strategies: worked examples."""

from fractions import Fraction

import pytest

from scheduler.availability.files.strategies import Strategy, groups_of
from scheduler.availability.history import (
    NOTICE,
    Downtime,
    Exclusion,
    History,
    Measure,
    Member,
    Monitored,
    Operator,
    Result,
    Revision,
    Span,
    Status,
    Window,
)
from scheduler.availability.measuring.accounting import measure
from scheduler.availability.promises.burn_rate import Alert, Burning, Rate, burns, faults, rate
from scheduler.availability.promises.standing import budget, parts, recovery
from scheduler.availability.timelines.algebra import shipped
from scheduler.model.instants import SECOND

HOUR, DAY = 3600 * SECOND, 86400 * SECOND
TARGET = Fraction(999, 1000)


def measured(up, bad=0, unknown=0, *, excused=0, window=None):
    """A measure of `excuse`; `excused` is bad time beside `bad`."""
    total = up + bad + unknown + excused

    def ratio(good, whole):
        return Fraction(good, whole) if whole else None

    return Measure(
        "ce", window or Window("week", 0, total), "excuse", total, up, up, bad + excused, unknown, 0, 0, 0, 0, excused,
        ratio(up, up + bad), None, None, {}, ratio(up, up + bad + unknown), ratio(up + unknown, up + bad + unknown),
    )  # fmt: skip


# --- budgets ----------------------------------------------------------------------------------------------------------


def test_a_week_of_three_nines_allows_604_point_8_seconds():
    """604,800 s x 0.001 = 604.8 s; 94 s were bad, 510.8 s are left: five failovers of 94 s (470 s), not six (564 s)."""
    found = budget(measured(7 * DAY - 94 * SECOND, 94 * SECOND), TARGET, recovery=recovery([94 * SECOND]))
    assert found.allowed == Fraction(6048, 10) * SECOND
    assert found.left == Fraction(5108, 10) * SECOND == found.left_at_least == found.left_at_most
    assert found.failovers == 5


def test_what_is_still_to_come_of_a_window_adds_to_its_budget():
    """One day in, six to come: 86,400 x 0.001 + 518,400 x 0.001 = 604.8 s."""
    found = budget(measured(DAY), TARGET, ahead=6 * DAY)
    assert found.left == Fraction(6048, 10) * SECOND


def test_unknown_time_leaves_the_budget_between_two_bounds():
    """6 d up, 1 d unknown: the figure's budget is 518.4 s; if the day was bad 604.8 - 86,400 s, if it was up 604.8 s."""
    found = budget(measured(6 * DAY, 0, DAY), TARGET, recovery=recovery([60 * SECOND, 120 * SECOND]))
    assert found.left == Fraction(5184, 10) * SECOND
    assert found.left_at_least == Fraction(6048 - 864000, 10) * SECOND
    assert found.left_at_most == Fraction(6048, 10) * SECOND
    assert (found.failovers, found.failovers_at_least) == (5, 0)


def test_excused_time_neither_spends_nor_adds_budget():
    found = budget(measured(6 * DAY, 0, excused=DAY), TARGET)
    assert (found.spent, found.allowed) == (0, Fraction(5184, 10) * SECOND)


def test_an_overdrawn_budget_is_negative_and_affords_nothing():
    found = budget(measured(DAY, HOUR), TARGET, recovery=recovery([10 * SECOND]))
    assert found.left == Fraction(DAY + HOUR, 1000) - HOUR < 0
    assert found.failovers == found.failovers_at_least == 0


def test_without_a_measured_recovery_no_number_of_failovers_is_claimed():
    assert recovery([]) is None
    assert budget(measured(DAY), TARGET, recovery=None).failovers is None


def test_nothing_measured_is_no_budget_spent():
    found = budget(measured(0, 0, DAY), TARGET)
    assert (found.allowed, found.spent, found.left) == (0, 0, 0)


def at(seconds):
    return seconds * SECOND


STORY = History(
    now=at(100),
    objects=(Monitored("ce", existence=(Span(0),)),),
    results=tuple(
        Result(at(when), "ce", status)
        for when, status in ((0, Status.OK), (40, Status.WARNING), (50, Status.CRITICAL), (70, Status.UNKNOWN), (85, Status.OK))
    ),
    gaps=(Span(at(95), at(98)),),
    exclusions=(Exclusion("x", ("ce",), at(65), at(75), "power", "ann", "cut", "bob"),),
    downtimes=(Downtime("d", ("ce",), (Revision(-NOTICE, at(55), at(60)),)),),
)
"""OK 0-40, WARNING 40-50, CRITICAL 50-70, UNKNOWN 70-85, OK 85-95, MISSING 95-100; excluded 65-75, downtime 55-60."""


@pytest.mark.parametrize(
    ("profile", "known", "worst", "best"),
    [
        # 60 up, 20 bad of which 5 excused, 20 unknown of which 5 would be excused if they were bad
        ("excuse", (75, 15), (90, 30), (95, 15)),
        # of the bad time 5 s are DOWNTIME: T - U = 80, of which 60 are up
        ("argo", (80, 20), (100, 40), (100, 20)),
        # 15 bad outside the downtime; UNKNOWN and MISSING are problems of a service
        ("icinga", (100, 35), (100, 35), (100, 15)),
        # 50 OK; MISSING (5) is undetermined
        ("nagios", (95, 45), (100, 50), (100, 30)),
        ("skip", (75, 15), (95, 35), (95, 15)),
    ],
)
def test_each_profile_counts_its_own_way(profile, known, worst, best):
    found = parts(measure(STORY, Window("all", 0, at(100)), profile)["ce"])
    assert [(side.counted // SECOND, side.bad // SECOND) for side in (found.known, found.worst, found.best)] == [
        known,
        worst,
        best,
    ]


def test_what_would_have_been_excused_spends_nothing_where_nothing_was_up():
    """Bad 0-50, UNKNOWN 50-100, all of that excluded: of 50 s that count at worst, half may be bad, so 25 s are overdrawn."""
    story = History(
        at(100),
        objects=(Monitored("ce"),),
        results=(Result(0, "ce", Status.CRITICAL), Result(at(50), "ce", Status.UNKNOWN)),
        exclusions=(Exclusion("x", ("ce",), at(50), at(100), "power", "ann", "cut", "bob"),),
    )
    found = budget(measure(story, Window("all", 0, at(100)), "excuse")["ce"], Fraction(1, 2))
    assert (found.left, found.left_at_least, found.left_at_most) == (-25 * SECOND, -25 * SECOND, 0)


# --- burn rates -------------------------------------------------------------------------------------------------------

FAST = Alert("fast", Fraction(144, 10), HOUR, 300 * SECOND)


def usual(window):
    """The alerts of the Site Reliability Workbook for a window: 2 % of it in 1 h, 5 % in 6 h, 10 % in 3 d."""
    hour = 3600 * SECOND
    chosen = (("fast", 2, hour, "page"), ("slow", 5, 6 * hour, "page"), ("creeping", 10, 72 * hour, "ticket"))
    made = (
        Alert(name, Fraction(percent * window, 100 * long), long, long // 12, severity)
        for name, percent, long, severity in chosen
    )
    return tuple(alert for alert in made if alert.factor >= 1 and alert.long < window)


def test_the_usual_alerts_of_thirty_days_are_those_of_the_workbook():
    assert [(one.factor, one.long, one.short) for one in usual(30 * DAY)] == [
        (Fraction(72, 5), HOUR, 300 * SECOND),
        (Fraction(6), 6 * HOUR, 1800 * SECOND),
        (Fraction(1), 72 * HOUR, 6 * HOUR),
    ]


def test_every_usual_alert_can_fire_and_means_something():
    for days in (1, 7, 30, 90, 365):
        for alert in usual(days * DAY):
            assert not list(faults(alert, Fraction(9, 10))) or alert.factor > 10
            assert not list(faults(alert, Fraction(9999, 10000)))


@pytest.mark.parametrize(
    ("factor", "target", "said"),
    [
        (Fraction(99, 100), TARGET, "fires while the promise is being kept"),
        (Fraction(101), Fraction(99, 100), "can never fire: with everything down an objective of 99 % burns at 100"),
        (Fraction(2), Fraction(1), "no error budget"),
    ],
)
def test_factors_that_mean_nothing_are_refused_with_a_sentence(factor, target, said):
    ((message, right),) = faults(Alert("x", factor, HOUR, 300 * SECOND), target)
    assert said in message
    assert right


def test_the_highest_factor_that_can_be_reached_is_accepted_unless_it_must_be_exceeded():
    assert not list(faults(Alert("x", Fraction(100), HOUR, SECOND), Fraction(99, 100)))
    assert list(faults(Alert("x", Fraction(100), HOUR, SECOND, strictly=True), Fraction(99, 100)))
    assert not list(faults(Alert("x", Fraction(1), HOUR, SECOND), TARGET))


def burn(long, short, alert=FAST):
    """Evaluate one alert at t = 1 d with given (bad, unknown) seconds in its long and short window."""
    given = {alert.long: long, alert.short: short}

    def measuring(window):
        length = window.end - window.start
        bad, unknown = (seconds * SECOND for seconds in given[length])
        return measured(length - bad - unknown, bad, unknown, window=window)

    (found,) = burns([alert], TARGET, DAY, measuring)
    return found


def test_an_alert_fires_when_both_windows_reach_the_factor():
    """14.4 x 0.001 of an hour is 51.84 s, of five minutes 4.32 s."""
    assert burn((52, 0), (5, 0)).state is Burning.FIRING
    assert burn((51, 0), (5, 0)).state is Burning.QUIET, "over an hour it does not matter yet"
    assert burn((52, 0), (4, 0)).state is Burning.QUIET, "it is over"
    assert burn((52, 0), (5, 0)).long == Rate(Fraction(52, 3600) * 1000, Fraction(52, 3600) * 1000)


def test_reaching_the_factor_exactly_fires_unless_it_must_be_exceeded():
    exact = Alert("x", Fraction(10), HOUR, 100 * SECOND)
    assert burn((36, 0), (1, 0), exact).state is Burning.FIRING
    assert burn((36, 0), (1, 0), Alert("x", Fraction(10), HOUR, 100 * SECOND, strictly=True)).state is Burning.QUIET


def test_unknown_seconds_leave_an_alert_undecided_and_never_silent():
    assert burn((0, 60), (0, 60)).state is Burning.UNDECIDED
    assert burn((52, 60), (5, 60)).state is Burning.FIRING
    assert burn((0, 0), (0, 60)).state is Burning.QUIET


def test_nothing_measured_has_no_rate():
    assert rate(measured(0), TARGET) == Rate(None, None)


# --- strategies -------------------------------------------------------------------------------------------------------

NODES = tuple(Member(f"node{i}") for i in range(3))


@pytest.mark.parametrize(
    ("strategy", "members", "operator", "k"),
    [
        (Strategy.INDEPENDENT, NODES, Operator.OR, 1),
        (Strategy.NATIVE, NODES, Operator.OR, 1),
        (Strategy.REPLICATED_DATABASE, NODES, Operator.QUORUM, 1),
        (Strategy.REPLICATED_DATABASE, NODES[:2], Operator.OR, 1),
        (Strategy.SEGMENTED_POOLS, NODES, Operator.CAPACITY, 1),
    ],
)
def test_a_strategy_says_how_its_instances_carry_the_service(strategy, members, operator, k):
    (group,) = groups_of(strategy, "db", members, need=Fraction(3, 4))
    assert (group.operator, group.k, group.members, group.strategy) == (operator, k, members, strategy)
    assert group.need == (Fraction(3, 4) if strategy is Strategy.SEGMENTED_POOLS else 1)
    assert group.algebra == "kleene"
    assert "kleene-1" in shipped()


def test_a_service_behind_an_address_is_measured_at_the_address():
    service, instances = groups_of(Strategy.ACTIVE_STANDBY, "myproxy", NODES[:2], address="myproxy.example.org")
    assert (service.name, service.members) == ("myproxy", (Member("myproxy.example.org"),))
    assert (instances.name, instances.operator, instances.members) == ("myproxy instances", Operator.OR, NODES[:2])
