"""A story of `oncall simulate` and the daemon's looks at the same statuses come to the same incidents, pages and deadlines."""

from dataclasses import replace
from datetime import UTC, date, datetime

from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler.availability.history import Status
from scheduler.model.instants import SECOND, as_micro
from scheduler.oncall.follow import follow, remembered
from scheduler.oncall.hours import ResponseTimes
from scheduler.oncall.incident import Book, DecisionKind, IncidentEvent, Level, Quiet, Rules, What
from scheduler.oncall.rotation import Layer, Roster
from scheduler.oncall.standing import ObjectStanding
from scheduler.oncall.states import State
from scheduler.oncall.story import story
from scheduler.oncall.watch import Watching, told

BEGIN = as_micro(datetime(2026, 3, 2, 3, tzinfo=UTC))
END = 40
ROSTER = Roster({"primary": (Layer(("anna", "bruno"), date(2026, 3, 2), "Europe/Rome"),)})
RULES = Rules(ResponseTimes("Europe/Rome"), ROSTER, (Level("primary", 7 * SECOND), Level("dora", 11 * SECOND)), 1, 9 * SECOND)
WATCHING = Watching(gather=6 * SECOND)
NAMES = ("a", "b", "c", "d", "x")
BAD, WELL, ANSWER, DONE = What.BAD, What.RECOVERED, What.ACKNOWLEDGED, What.RESOLVED


def event(second, what, name):
    by = "anna" if what in {ANSWER, DONE} else ""
    return IncidentEvent(BEGIN + second * SECOND, what, name, by=by)


@st.composite
def stories(draw):
    """Statuses at even seconds, several at once and often; answers of people at odd ones."""
    made = []
    for second in sorted(draw(st.sets(st.integers(0, END // 2 - 1), max_size=10))):
        what = draw(st.sampled_from([BAD, BAD, WELL]))
        names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
        made += [event(2 * second, what, name) for name in names]
        if draw(st.integers(0, 3)) == 0:
            made.append(event(2 * second + 1, draw(st.sampled_from([ANSWER, DONE])), draw(st.sampled_from(NAMES))))
    return made


watchings = st.builds(
    Watching,
    st.sampled_from([("*",), ("[a-d]",)]),
    st.sampled_from([0, 0, 1, 3]).map(lambda n: n * SECOND),
    st.sampled_from([0, 2, 3]),
    st.sampled_from([0, 2, 6]).map(lambda n: n * SECOND),
)
quiets = st.lists(
    st.builds(
        lambda names, start, length: Quiet(names, BEGIN + start * SECOND, BEGIN + (start + length) * SECOND),
        st.frozensets(st.sampled_from([*NAMES, "*"]), min_size=1, max_size=2),
        st.integers(0, END),
        st.integers(1, 20),
    ),
    max_size=1,
).map(tuple)


def by_looks(changes, rules, watching, end):
    """Do what the daemon does at its looks, of which there is one each half second, and one just after."""
    book, standing, incidents = Book(at=BEGIN), {}, {}
    for half in range(2 * end + 1):
        for at in (BEGIN + half * SECOND // 2, BEGIN + half * SECOND // 2 + 1):
            now = [one for one in changes if one.at == at]
            for one in now:
                status = Status.CRITICAL if one.what is BAD else Status.OK
                if one.what in {BAD, WELL} and (one.object not in standing or standing[one.object].status is not status):
                    standing[one.object] = ObjectStanding(status, at)
            seen = told(remembered(book, at, rules), standing, at, watching)
            said = [one for one in now if one.what in {ANSWER, DONE}]
            for change in [*said, *seen, IncidentEvent(at, What.TICK)]:
                outcome = follow(book, change, rules)
                book = outcome.book
                incidents |= {one.number: one for one in outcome.changed}
    return list(incidents.values())


def of(first, *others):
    return [event(*first[:2], name) for name in first[2]] + [event(*one[:2], name) for one in others for name in one[2]]


OVER_AND_MORE = of((0, BAD, "abc"), (2, WELL, "abc"), (4, BAD, "d"))
TOLD_AGAIN = of((0, BAD, "a"), (20, BAD, "abc"))
RESOLVED_AND_STILL_BAD = of((0, BAD, "a"), (1, DONE, "a"))


@settings(max_examples=200, deadline=None)
@given(stories(), watchings, st.sampled_from([0, 5, 9]), quiets)
@example(OVER_AND_MORE, WATCHING, 9, ())
@example(TOLD_AGAIN, WATCHING, 9, ())
@example(RESOLVED_AND_STILL_BAD, WATCHING, 9, ())
def test_a_story_and_the_looks_of_the_daemon_come_to_the_same(changes, watching, reopen, quiet):
    rules = replace(RULES, reopen=reopen * SECOND, quiet=quiet)
    assert list(story(changes, rules, watching, BEGIN + END * SECOND + 1).incidents) == by_looks(changes, rules, watching, END)


def told_of(changes):
    found = story(changes, RULES, WATCHING, BEGIN + END * SECOND)
    return [(one.cause, "".join(one.objects), len(one.calls)) for one in found.incidents], found


def test_what_goes_bad_within_a_minute_of_a_common_cause_that_is_over_brings_it_back():
    found, _ = told_of(OVER_AND_MORE)
    assert found == [("common:2026-03-02T03:00:00Z", "abcd", 2)]


def test_what_is_told_to_be_bad_once_more_does_not_make_two_others_a_common_cause():
    found, whole = told_of(TOLD_AGAIN)
    assert found == [("object:a", "a", 1), ("object:b", "b", 1), ("object:c", "c", 1)]
    [ignored] = [line for line in whole.decisions if line.kind is DecisionKind.IGNORED]
    assert ignored.sentence == "a is bad already: one cause, one page"


def test_what_was_resolved_and_never_recovered_opens_anew_once_it_can_no_longer_be_reopened():
    found, whole = told_of(RESOLVED_AND_STILL_BAD)
    assert found == [("object:a", "a", 1), ("object:a", "a", 1)]
    assert whole.incidents[1].opened_at == BEGIN + 10 * SECOND + 1


def test_a_cause_that_the_story_names_stays_whatever_else_is_told():
    named = [replace(one, cause="san") for one in of((10, BAD, "a"), (20, WELL, "a"))]
    found, whole = told_of(of((0, BAD, "a"), (2, WELL, "a"), (12, BAD, "b")) + named)
    assert found == [("object:a", "a", 1), ("san", "a", 1), ("object:b", "b", 1)]
    assert whole.incidents[1].closed_at == BEGIN + 20 * SECOND


def test_an_answer_may_name_an_object_of_the_incident_that_is_well_again():
    for answer, state in ((ANSWER, State.ACKNOWLEDGED), (DONE, State.RESOLVED)):
        _, whole = told_of(of((0, BAD, "abc"), (2, WELL, "c"), (3, answer, "c")))
        found = whole.incidents[0]
        assert (found.state, found.calls[0].ended_at) == (state, BEGIN + 3 * SECOND)


def test_what_opens_nothing_says_why():
    watching = replace(WATCHING, objects=("[a-c]",), confirm=3 * SECOND)
    short = of((0, BAD, "a"), (2, WELL, "a"), (5, WELL, "b"), (6, BAD, "x"))
    named = [replace(one, cause="san") for one in of((10, BAD, "c"), (12, WELL, "c"))]
    found = story(short + named, RULES, watching, BEGIN + END * SECOND)
    assert found.incidents == ()
    assert [((line.at - BEGIN) // SECOND, line.sentence) for line in found.decisions] == [
        (2, "a was bad for less than 3 s (`confirm_seconds`): it opens no incident"),
        (5, "nothing is known of b: nothing recovers"),
        (6, "x is not watched (`objects`): it opens no incident"),
        (10, "c was bad for less than 3 s (`confirm_seconds`): it opens no incident"),
        (12, "nothing is known of san: nothing recovers"),
    ]


def test_what_flaps_and_nobody_answers_escalates():
    """Level 1 has 7 s to answer: a cause that is bad for 4 s and well for 1 s never gives it so many at a time."""
    flaps = [one for second in range(0, 20, 5) for one in of((second, BAD, "a"), (second + 4, WELL, "a"))]
    [incident] = story(flaps, RULES, WATCHING, BEGIN + END * SECOND).incidents
    assert [((page.at - BEGIN) // SECOND, page.level, page.round) for page in incident.pages] == [
        (0, 1, 1),
        (5, 1, 1),  # it came back
        (7, 2, 1),  # as if it had not been well
        (10, 2, 1),
        (15, 2, 1),
        (18, 1, 2),  # 11 s after the second level
    ]
