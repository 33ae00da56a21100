"""The table of a host's life is whole, observation keeps to it, and status tells who, why and since when."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.journal.records import Ledger
from scheduler.model.host_states import MEANING, TRANSITIONS, HostStanding, HostState, HostWord, allowed, said_of, standing
from scheduler.model.hosts import Host
from scheduler.model.readings import Unanswered
from scheduler.observe.memory import Memory
from scheduler.observe.merge import Readings, merge
from scheduler.show.rows import host_rows
from scheduler.show.sources_view import host_table
from tests.pure.builders import DRAINED, NOW, a_host, a_policy, an_observation
from tests.pure.test_view import console, printed

H = HostState
OFF = HostWord("h1", H.OFF, NOW - 30, "otto", "burnt")
ANSWERS = a_host("h1")
SILENT = Unanswered("h1", "connection refused", NOW, NOW - 100)
LATE = Unanswered("h1", "no answer yet", NOW, NOW - 100, pending=True)
READINGS = {"answers": ANSWERS, "silent": SILENT, "late": LATE, "never asked": None}


def test_every_state_has_a_meaning_and_a_row_and_every_step_says_why():
    assert set(MEANING) == set(TRANSITIONS) == set(H)
    assert all(why for steps in TRANSITIONS.values() for why in steps.values())


def test_from_every_state_a_host_can_come_up_be_fenced_and_go_into_maintenance():
    for state in H:
        seen, frontier = {state}, [state]
        while frontier:
            new = TRANSITIONS[frontier.pop()].keys() - seen
            seen |= new
            frontier += new
        assert {H.UP, H.FENCED, H.MAINTENANCE} <= seen, state


@pytest.mark.parametrize(
    ("reading", "words", "state"),
    [
        ("answers", (), H.UP),
        ("answers", (DRAINED,), H.DRAINING),
        ("answers", (OFF,), H.UP),
        ("answers", (DRAINED, OFF), H.DRAINING),
        ("silent", (), H.SILENT),
        ("silent", (DRAINED,), H.SILENT),
        ("silent", (OFF,), H.OFF),
        ("silent", (DRAINED, OFF), H.OFF),
        ("late", (), H.LATE),
        ("late", (DRAINED,), H.LATE),
        ("late", (OFF,), H.LATE),
        ("late", (DRAINED, OFF), H.LATE),
        ("never asked", (), H.LATE),
        ("never asked", (DRAINED, OFF), H.LATE),
    ],
)
def test_each_answer_with_each_word_is_one_state(reading, words, state):
    assert standing(READINGS[reading], said_of("h1", words, None), None, NOW).state is state


def test_a_host_that_answers_again_is_returning_for_one_look_also_when_it_was_late_in_between():
    states, before = [], None
    for at, reading in enumerate([ANSWERS, SILENT, LATE, ANSWERS, ANSWERS]):
        before = standing(reading, {}, before, NOW + at)
        states.append(before.state)
    assert states == [H.UP, H.SILENT, H.LATE, H.RETURNING, H.UP]


def test_a_state_lasts_since_it_began_and_a_word_since_it_was_said():
    unknown = standing(SILENT, {}, None, NOW - 60)
    assert (unknown.since, standing(SILENT, {}, unknown, NOW).since) == (None, None), "silent already at the first look"
    first = standing(SILENT, {}, standing(ANSWERS, {}, None, NOW - 60), NOW)
    assert standing(SILENT, {}, first, NOW + 60).since == NOW
    drained = standing(ANSWERS, said_of("h1", (DRAINED,), None), first, NOW + 60)
    assert drained.state is H.RETURNING
    drained = standing(ANSWERS, said_of("h1", (DRAINED,), None), drained, NOW + 90)
    assert (drained.since, drained.by, drained.why) == (NOW - 60, "anna", "new memory")


def test_a_step_that_the_table_does_not_hold_is_reported(monkeypatch):
    before = Memory(host_states={"h1": HostStanding(H.MAINTENANCE, NOW - 5, "anna", "dust")})
    monkeypatch.setitem(TRANSITIONS, H.MAINTENANCE, {})
    seen = merge(Readings(NOW, 500.0, {}, {"h1": ANSWERS}), Ledger(NOW, 1, {}), before, a_policy())
    assert seen.illegal == (("h1", H.MAINTENANCE, H.UP),)
    assert [(note.kind, note.subject, note.cause) for note in seen.memo.notes if note.kind.startswith("illegal")] == [
        ("illegal-host-step", "h1", "up")
    ]


@pytest.mark.parametrize(
    ("host", "by"), [(Host("h1", draining=True), "the site file"), (Host("h1", left="cloud"), "discovery cloud")]
)
def test_a_drain_without_a_command_tells_who_wants_it(host, by):
    found = standing(ANSWERS, said_of("h1", (), host), None, NOW)
    assert (found.state, found.by, found.since) == (H.DRAINING, by, None)


@given(st.lists(st.tuples(st.sampled_from(sorted(READINGS)), st.sets(st.sampled_from([DRAINED, OFF])))))
def test_whatever_happens_to_a_host_the_table_holds_each_step(history):
    before = None
    for at, (reading, words) in enumerate(history):
        now = standing(READINGS[reading], said_of("h1", words, None), before, NOW + at)
        assert before is None or allowed(before.state, now.state), (before, now)
        before = now


def test_status_tells_of_a_host_that_is_not_simply_up_for_how_long_on_whose_word_and_why():
    states = {
        "h1": standing(ANSWERS, said_of("h1", (DRAINED,), None), None, NOW),
        "h2": standing(SILENT, {}, standing(a_host("h2"), {}, None, NOW - 99), NOW - 90),
        "h3": standing(ANSWERS, {}, None, NOW),
    }
    hosts = {"h1": ANSWERS, "h2": replace(SILENT, source="h2"), "h3": a_host("h3")}
    seen = replace(an_observation(host_words=(DRAINED,)), hosts=hosts, host_states=states)
    rows = {row.host: row for row in host_rows(seen, a_policy(hosts=tuple(hosts)))}
    assert (rows["h1"].state, rows["h1"].state_by, rows["h1"].state_seconds) == ("draining", "anna", 60)
    told = printed(console(200), host_table(rows.values()))
    assert "draining for 60 s by anna: new memory" in told
    assert "silent for 90 s; connection refused" in told
