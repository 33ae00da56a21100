"""Golden cases of availability: what the rules say, worked out by hand, and what comes out."""

import pytest
from golden_availability import cases, differences, window_of

from environments.reader import ConfigurationError
from scheduler.availability import accounting, figures, windows
from scheduler.availability.reading import history_of_node

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


def said(history, names):
    return {one.name: str(accounting.judge(history, one)[1]) for one in history.objectives if one.name in names}
