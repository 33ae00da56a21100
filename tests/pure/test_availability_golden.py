"""Golden cases of availability: what the rules say, worked out by hand, and what comes out."""

from fractions import Fraction

import pytest
from golden_availability import cases, differences, others, window_of

from environments.problems import ConfigurationError
from scheduler.availability import figures
from scheduler.availability.files.reading import history_of_node
from scheduler.availability.history import Window
from scheduler.availability.measuring import accounting, explaining
from scheduler.availability.reports import publication
from scheduler.availability.timelines import windows
from scheduler.availability.timelines.prepared import prepare
from scheduler.model.instants import SECOND, read_instant

CASES = list(cases())


def test_there_are_at_least_150_cases_each_with_its_rule_and_derivation():
    assert len(CASES) >= 150
    assert len({case.title for case in CASES}) == len(CASES)
    assert all(case.rule and case.derivation and (case.asks or case.refused) for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_history_comes_out_as_derived_by_hand(case):
    if case.refused:
        with pytest.raises(ConfigurationError) as refused:
            history_of_node(case.history)
        assert case.refused in str(refused.value)
        return
    history = history_of_node(case.history)
    for ask in case.asks:
        window = window_of(ask, history, windows.named)
        measure = accounting.measure(history, window, ask.profile)[ask.object]
        assert not differences(measure, ask.expect), ask
        if "shown" in ask.expect:
            assert figures.percent(measure.figure) == ask.expect["shown"]
        assert said(history, ask.expect.get("verdicts", {})) == ask.expect.get("verdicts", {})
        assert undecided(history, ask.expect.get("undecided", {})) == ask.expect.get("undecided", {})


def said(history, names):
    return {one.name: str(accounting.judge(history, one)[1]) for one in history.objectives if one.name in names}


def undecided(history, names):
    """Return by objective the unknown seconds that its verdict is printed with."""
    found = {one.name: accounting.judge(history, one)[0] for one in history.objectives if one.name in names}
    return {name: str(one.undecided // SECOND) for name, one in found.items()}


@pytest.mark.parametrize(
    ("title", "case", "histories"), list(others("publication")), ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_was_published_changes_only_aloud(title, case, histories):
    before = None
    for step, node in zip(case["published"], histories[1:], strict=True):
        history = history_of_node(node)
        period = windows.named("past-week", read_instant("2026-03-10", "UTC"), "UTC")
        measures = accounting.measure(history, period, "excuse")
        version = publication.publish(period, measures.values(), history, read_instant(step["at"], "UTC"), before)
        if step["number"] is None:
            assert version is None
            continue
        assert version.number == step["number"]
        assert all(word in version.note for word in step.get("note", ())), version.note
        assert dict(version.figures[0].figures)["figure"] == Fraction(step["figure"])
        before = version


@pytest.mark.parametrize(
    ("title", "case", "histories"), list(others("explanations")), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_difference_between_profiles_is_explained(title, case, histories):
    history = history_of_node(histories[0])
    window = Window("", read_instant("2026-03-02", "UTC"), history.now)
    why = explaining.explain(prepare(history), "s", window, *case["profiles"])
    assert why.difference == Fraction(case["difference"]) == sum(one.points for one in why.stretches)
    assert sorted(map(explaining.sentence, why.contributions)) == sorted(case["sentences"])
