"""The table of a worker's life is whole, and observation keeps to it."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.lifecycle import ALIVE, IN_FLIGHT, MEANING, SERVING, TRANSITIONS, allowed
from scheduler.model.workers import WorkerState as S


def test_every_state_has_a_meaning_and_a_row():
    assert set(MEANING) == set(TRANSITIONS) == set(S)


def test_every_step_says_why():
    assert all(why for steps in TRANSITIONS.values() for why in steps.values())


def test_every_state_but_the_first_can_be_reached_and_every_worker_can_end():
    reached, frontier = {S.REQUESTED}, [S.REQUESTED]
    while frontier:
        new = TRANSITIONS[frontier.pop()].keys() - reached
        reached |= new
        frontier += new
    assert reached == set(S)
    for state in S:
        seen, frontier = {state}, [state]
        while frontier:
            new = TRANSITIONS[frontier.pop()].keys() - seen
            seen |= new
            frontier += new
        assert S.GONE in seen


def test_what_is_gone_stays_gone():
    assert TRANSITIONS[S.GONE] == {}
    assert allowed(S.GONE, S.GONE)


def test_a_silent_host_can_interrupt_every_life_and_end_none():
    assert all(S.UNSEEN in TRANSITIONS[state] for state in S if state not in {S.GONE, S.UNSEEN})


def test_workers_that_serve_or_are_coming_are_alive():
    assert SERVING < ALIVE
    assert IN_FLIGHT < ALIVE
    assert S.FAILED not in ALIVE


@given(st.sampled_from(S), st.sampled_from(S))
def test_a_step_is_allowed_exactly_when_the_table_holds_it(before, after):
    assert allowed(before, after) == (before is after or after in TRANSITIONS[before])
