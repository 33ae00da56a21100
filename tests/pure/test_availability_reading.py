"""The history file: natural spellings, exact numbers, and every problem at its line."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.problems import ConfigurationError
from scheduler.availability.files import plain
from scheduler.availability.files.reading import history_of_text
from scheduler.availability.history import Member, ObjectKind, Operator, Span, Status
from scheduler.model.instants import (
    in_seconds,
    micro,
    read_duration,
    read_instant,
    read_ratio,
    seconds,
    write_duration,
    write_instant,
)

SECOND = 1_000_000
HISTORY = """\
now: 2026-03-10 12:00
zone: Europe/Rome
objects:
  - ce01
  - {name: ce02, kind: host, freshness: 10m, exists: {from: 2026-03-01, to: 2026-03-09}}
  - {name: ce03, exists: [{to: 2026-03-09}, {from: 2026-03-10}]}
events:
  - {at: 2026-03-01T11:00:00Z, object: ce01, status: ok}
  - {time: 1772362800.000001, object: ce02, status: 2, sequence: 7, monotonic: 12.5, boot: b, id: x, cause: fencing}
  - {at: 2026-03-01 12:00:00, object: ce03, status: Warning}
groups:
  ces: {operator: ANY, members: [ce01, {name: ce02, from: 2026-03-02}], algebra: argo-2}
  all: {operator: at least, k: 2, members: {ce01: , ce02: {to: 2026-03-09}, ces: }}
  part: {operator: capacity, need: 60%, members: {ce01: , ce02: {weight: 1/3}}}
downtimes:
  - {object: ce01, from: 2026-03-03, to: 2026-03-04, declared: 2026-03-01, by: anna}
  - {objects: ["*"], declared: 2026-03-01, recurring: {rule: FREQ=WEEKLY;BYDAY=TU, start: 2026-03-03 09:00, length: 2h}}
exclusions:
  - {object: ces, from: 2026-03-03, to: 2026-03-04, cause: network, author: mario, reason: router, accepted_by: board}
gaps: {from: 2026-03-05, to: 2026-03-06}
objectives:
  slo: {object: ces, target: 99.9%, window: past-week, applies: {from: 2026-03-01}}
"""


def problems(text):
    with pytest.raises(ConfigurationError) as refused:
        history_of_text(text, "h.yaml")
    return [str(one) for one in refused.value.problems]


def test_what_people_write_naturally_is_understood():
    history = history_of_text(HISTORY, "h.yaml")
    midnight = read_instant("2026-03-01", "Europe/Rome")
    assert write_instant(history.now) == "2026-03-10T11:00:00Z"
    assert [one.name for one in history.objects] == ["ce01", "ce02", "ce03"]
    assert history.objects[1].kind is ObjectKind.HOST
    assert history.objects[1].freshness == 600 * SECOND
    assert history.objects[1].existence == (Span(midnight, midnight + 8 * 86400 * SECOND),)
    assert history.objects[2].existence[0].start == history.results[2].at
    assert [one.status for one in history.results] == [Status.OK, Status.CRITICAL, Status.WARNING]
    second = history.results[1]
    assert (second.at, second.monotonic, second.sequence) == (1772362800000001, 12_500_000, 7)
    assert history.results[2].at == history.results[0].at == 1772362800000000
    assert history.groups[0].operator is Operator.OR
    assert history.groups[0].members[1] == Member("ce02", midnight + 86400 * SECOND)
    assert [member.name for member in history.groups[1].members] == ["ce01", "ce02", "ces"]
    assert history.groups[2].members == (Member("ce01"), Member("ce02", weight=Fraction(1, 3)))
    assert history.downtimes[0].revisions[0].declared_at == midnight
    assert history.downtimes[1].recurrence.start == "2026-03-03T09:00:00"
    assert history.downtimes[1].recurrence.zone == "Europe/Rome"
    assert history.exclusions[0].accepted_by == "board"
    assert history.gaps == (Span(midnight + 4 * 86400 * SECOND, midnight + 5 * 86400 * SECOND),)
    assert history.objectives[0].target == Fraction(999, 1000)
    assert history.objectives[0].applies == (Span(midnight),)


def test_json_is_the_same_as_yaml_and_what_was_read_can_be_written_and_read_again():
    history = history_of_text(HISTORY, "h.yaml")
    written = plain.history(history)
    assert history_of_text(json.dumps(written), "h.json") == history
    assert history_of_text(json.dumps(written, indent="\t").encode(), "h.json") == history


def test_problems_of_json_are_told_with_their_line():
    text = '{"now": 1772445600,\n "objects": ["ce01"],\n "events": [{"at": 0.1234567, "object": "ce1", "status": "OK"}]}'
    (problem,) = problems(text)
    assert problem.startswith("h.yaml:3:20 events[0].at: '0.1234567' is finer than a microsecond")
    twice = '{"now": 0, "objects": [],\n "objects": []}'
    assert problems(twice) == ["h.yaml:2:2 objects: stands here twice: first in line 1; expected each key once"]


def test_a_strategy_says_how_a_group_is_measured_and_an_address_where():
    text = """\
now: 0
objects: [vip, a, b, c]
groups:
  db: {strategy: replicated database, members: [a, b, c]}
  web: {strategy: active/standby, members: [a, b], address: vip}
  pool: {strategy: segmented pools, need: 80%, members: [{name: a, weight: 3}, b]}
"""
    db, web, instances, pool = history_of_text(text, "h.yaml").groups
    assert db.operator is Operator.QUORUM
    assert ([one.name for one in web.members], web.strategy) == (["vip"], "active/standby")
    assert (instances.name, instances.operator, len(instances.members)) == ("web instances", Operator.OR, 2)
    assert (pool.operator, pool.need) == (Operator.CAPACITY, Fraction(4, 5))


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("{operator: or, k: 2, members: [a, b]}", "groups[0].k: is not used by operator or; expected operator: at-least; or no k"),
        ("{operator: capacity, k: 1, members: [a, b]}", "groups[0].k: is not used by operator capacity"),
        ("{strategy: native, k: 2, members: [a, b]}", "groups[0].k: is not used by strategy native"),
        ("{operator: or, need: 80%, members: [a, b]}", "groups[0].need: is not used by operator or; expected operator: capacity, or strategy: segmented pools; or no need"),
        ("{strategy: active/active, need: 80%, members: [a, b]}", "groups[0].need: is not used by strategy active/active"),
        ("{operator: or, k: 1, need: 80%, members: [a, b]}", "groups[0].need: is not used"),
        ("{operator: and, members: [a, {name: b, weight: 2}]}", "groups[0].members[1].weight: is not used by operator and"),
        ("{operator: at-least, k: 5, members: [a, b]}", "groups[0].k: 5 members can never be up: there are 2; expected at most 2"),
        ("{operator: at-least, k: 2, members: [{name: a, to: 5}, {name: a, from: 6}]}", "groups[0].k: 2 members can never be up: there is 1"),
        ("{operator: and, strategy: active/standby, members: [a, b]}", "groups[0].strategy: active/standby means operator or, and the operator here is and; expected one of them"),
        ("{operator: or, strategy: replicated database, members: [a, b, c]}", "replicated database means operator quorum"),
        ("{operator: at-least, k: 2, strategy: independent, members: [a, b, c]}", "independent means operator or"),
    ],
)  # fmt: skip
def test_a_key_that_the_groups_operator_does_not_use_is_refused(group, said):
    text = f"now: 9\nobjects: [a, b, c]\ngroups:\n  g: {group}\n"
    (told,) = problems(text)
    assert told.startswith("h.yaml:4:")
    assert said in told


@pytest.mark.parametrize(
    "group",
    [
        "{operator: at-least, k: 2, members: [a, b]}",
        "{operator: or, k: 1, need: 1, members: [{name: a, weight: 1}, b]}",  # as Ambienti writes it
        "{operator: and, strategy: active/standby, members: [a]}",
        "{operator: quorum, strategy: replicated database, members: [a, b]}",
        "{operator: at-least, k: 1, strategy: independent, members: [a, b]}",
        "{operator: at-least, k: 2, strategy: segmented pools, members: [a, b, c]}",
        "{operator: at-least}",
    ],
)
def test_what_agrees_with_the_groups_operator_may_stand_beside_it(group):
    history = history_of_text(f"now: 9\nobjects: [a, b, c]\ngroups:\n  g: {group}\n", "h.yaml")
    assert history_of_text(json.dumps(plain.history(history)), "h.json") == history


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("objects: [a]", "h.yaml:1:1 now: is missing; expected The instant the report is made for: nothing after it counts"),
        ("now: 0\nzone: Europe/Rom\n", "2:7 zone: no time zone is called 'Europe/Rom'; expected an IANA zone, e.g. Europe/Rome; did you mean Europe/Rome?"),
        ("now: 0\nevent: []\n", "2:1 event: is not a known key; did you mean events?"),
        ("now: yesterday", "1:6 now: 'yesterday' is not an instant; expected ISO 8601"),
        ("now: 2026-02-30", "1:6 now: '2026-02-30' is not an instant: day is out of range"),
        ("now: 0\nobjects: [{name: a, freshness: soon}]", "2:32 objects[0].freshness: 'soon' is not a duration"),
        ("now: 0\nobjects: [{name: a, freshness: -5}]", "objects[0].freshness: '-5' is negative"),
        ("now: 0\nobjects: [a, a]", "2:14 objects[1].name: 'a' is the name of two things: first in line 2"),
        ("now: 0\nobjects: [a]\ngroups: {a: {operator: or}}", "groups[0].name: 'a' is the name of two things"),
        ("now: 0\nobjects: [abc]\nevents: [{at: 0, object: abd, status: OK}]", "3:26 events[0].object: no object or group is called 'abd'; expected one of: abc; did you mean abc?"),
        ("now: 0\ngroups: {g: {operator: or}}\nevents: [{at: 0, object: g, status: OK}]", "'g' is a group: its status follows from its members"),
        ("now: 0\nobjects: [a]\nevents: [{at: 0, object: a, status: CRITICL}]", "'CRITICL' is not a status; expected OK, WARNING"),
        ("now: 0\nobjects: [a]\nevents: [{at: 0, object: a, status: 4}]", "'4' is not a status"),
        ("now: 0\nobjects: [a]\nevents: [{at: 0, object: a, status: OK, cause: fencin}]", "'fencin' is not a cause of lost time; expected one of: detection, "),
        ("now: 9\nobjects: [a]\nevents: [{at: 7, object: a, status: OK, confirmed: 5}]", "3:52 events[0].confirmed: 1970-01-01T00:00:05Z lies before `at` (1970-01-01T00:00:07Z); expected the last of its repetitions"),
        ("now: 0\nobjects: [{name: a, exists: {from: 10, to: 10}}]", "exists[0].end: ends before it begins"),
        ("now: 0\nobjects: [{name: a, exists: {to: 5}}]\nevents: [{at: 7, object: a, status: OK}]", "ends before its first event"),
        ("now: 0\ngroups: {g: {members: []}}", "groups[0].operator: is missing; expected one of: and, or, at-least, quorum, capacity; or a strategy"),
        ("now: 0\nobjects: [a]\ngroups: {g: {operator: capacity, need: 0, members: [a]}}", "'0' needs nothing"),
        ("now: 0\nobjects: [a]\ngroups: {g: {operator: capacity, members: [{name: a, weight: 0}]}}", "weigh nothing together"),
        ("now: 0\nobjects: [a]\ngroups: {g: {operator: or, members: [a], algebra: argos}}", "there is no truth table argos; expected one of"),
        ("now: 0\nobjects: [a]\ngroups: {g: {operator: or, members: [a], address: a}}", "address: needs a strategy, and no operator"),
        ("now: 0\nobjects: [a]\ndowntimes: [{object: a, from: 2, to: 1, declared: 0}]", "downtimes[0].end: ends before it begins"),
        ("now: 0\nobjects: [a]\ndowntimes: [{object: a}]", "downtimes[0]: has no time; expected start, end and declared; or revisions; or recurring"),
        ("now: 0\nobjects: [a]\ndowntimes: [{object: a, revisions: [{declared: 5, start: 6, end: 7}, {declared: 4, start: 6, end: 8}]}]", "was declared before the one above"),
        ("now: 0\nobjects: [a]\ndowntimes: [{object: a, declared: 0, recurring: {rule: FREQ=FORTNIGHTLY, start: 2026-03-03 09:00, length: 1h}}]", "recurring.rule:"),
        ("now: 0\nobjects: [a]\ndowntimes: [{object: a, declared: 0, recurring: {rule: INTERVAL=2, start: 2026-03-03 09:00, length: 1h}}]", "recurring.rule: does not say how often it comes (FREQ); expected an RRULE like FREQ=WEEKLY;BYDAY=TU"),
        ("now: 0\nobjects: [a]\ndowntimes: [{object: b, from: 1, to: 2, declared: 0}]", "objects[0]: no object or group is called 'b'"),
        ("now: 0\nobjects: [a]\nobjectives: [{name: o, object: a, target: 101%, window: month}]", "'101%' is not between 0 and 1"),
        ("now: 0\nobjects: [a]\nobjectives: [{name: o, object: a, target: 99%, window: last-week}]", "no window is called 'last-week'"),
        ("now: 0\nobjects: [a]\nobjectives: [{name: o, object: a, target: 99%, window: month, profile: icinca}]", "'icinca' is not a profile; expected one of: excuse, argo, icinga, nagios, skip; did you mean icinga?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_where_it_stands(text, said):
    assert any(said in problem for problem in problems(text)), problems(text)


def test_all_problems_are_told_at_once():
    text = "now: 0\nobjects: [{name: a, freshnes: 1}]\nevents: [{at: x, object: a, status: bad}]\ngaps: [{from: 2}, {to: 3}]\n"
    assert len(problems(text)) == 4


@pytest.mark.parametrize(
    ("text", "length"),
    [("600", 600), ("10m", 600), ("1h30m", 5400), ("1 h 30 min", 5400), ("PT1H30M", 5400), ("P1DT1S", 86401), ("0.5s", 0.5), ("1.5h", 5400), ("2 weeks", 1209600)],
)  # fmt: skip
def test_durations(text, length):
    assert read_duration(text) == length * SECOND


@pytest.mark.parametrize(("text", "ratio"), [("99.9%", Fraction(999, 1000)), ("0.999", Fraction(999, 1000)), ("1/3", Fraction(1, 3)), ("80 %", Fraction(4, 5))])  # fmt: skip
def test_ratios(text, ratio):
    assert read_ratio(text) == ratio


@given(
    st.integers(-2_000_000_000_000_000, 250_000_000_000_000_000),
    st.sampled_from(["UTC", "Europe/Rome", "America/Chicago"]),
)
def test_an_instant_that_is_written_is_read_again_exactly(instant, zone):
    assert read_instant(write_instant(instant, zone), "America/Chicago") == instant
    assert read_instant(f"{seconds(instant):f}" if instant % SECOND else str(instant // SECOND), "UTC") == instant


def test_an_instant_beyond_the_calendar_is_written_as_the_end_of_it():
    assert write_instant(2**63 - 1, "Asia/Tokyo").startswith("9999-12-3")
    assert write_instant(-(2**63), "America/Chicago").startswith("0001-01-0")
    assert write_instant(read_instant("9999-12-31T23:59:59Z", "UTC"), "Asia/Tokyo").startswith("9999-12-3")


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "0 s"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (90061, "1 d 1 h"),
        (40.004341, "40 s"),
        (59.96, "1 min"),
        (0.004, "0.004 s"),
    ],
)
def test_durations_for_people(length, text):
    assert write_duration(int(length * SECOND)) == text


LINES = """\
now: 2026-03-02T12:00:00Z
objects: [a, b]
events:
  - {at: 2026-03-02T10:00:00Z, object: a, status: OK, id: e1}
  - {at: 2026-03-02T10:30:00Z, object: a, status: CRITICAL}
  - {at: 2026-03-02T11:00:00Z, object: b, status: OK}
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("at: 2026-03-02T10:00:00Z, object: a, status: CRITICAL, id: e1", "7:5 events[3]: two events are called 'e1' and are not the same: first in line 4 status OK, here status CRITICAL"),
        ("at: 2026-03-02T10:01:00Z, object: a, status: OK, id: e1", "first in line 4 at 2026-03-02T10:00:00Z, here at 2026-03-02T10:01:00Z"),
        ("at: 2026-03-02T10:00:00Z, object: b, status: OK, id: e1", "first in line 4 object a, here object b"),
        ("at: 2026-03-02T10:30:00Z, object: a, status: WARNING", "7:5 events[3]: two results of a at 2026-03-02T10:30:00Z contradict each other: first in line 5 status CRITICAL, here status WARNING; expected one of them; or sequence numbers, where both came"),
        ("at: 2026-03-02T11:30:00+01:00, object: a, status: 0", "two results of a at 2026-03-02T10:30:00Z contradict each other: first in line 5"),
        ("at: 2026-03-02T10:30:00Z, object: a, status: CRITICAL, cause: fencing", "first in line 5 cause none, here cause fencing"),
    ],
)  # fmt: skip
def test_lines_that_contradict_each_other_are_refused_and_both_are_named(line, said):
    assert any(said in problem for problem in problems(f"{LINES}  - {{{line}}}\n")), problems(f"{LINES}  - {{{line}}}\n")


@pytest.mark.parametrize(
    "line",
    [
        "at: 2026-03-02T10:00:00Z, object: a, status: OK, id: e1, received: 2026-03-05, text: again",
        "at: 2026-03-02T10:30:00Z, object: a, status: CRITICAL",
        "at: 2026-03-02T10:30:00Z, object: b, status: WARNING",
        "at: 2026-03-02T10:30:00Z, object: a, status: OK, sequence: 7",
    ],
)
def test_what_says_the_same_twice_or_has_a_number_is_no_contradiction(line):
    assert len(history_of_text(f"{LINES}  - {{{line}}}\n", "h.yaml").results) == 4


ACCEPTED = "received: 2026-03-02T11:30:00Z, by: nagios, accepted_by: anna"


def corrected(*lines):
    return f"{LINES}corrections:\n" + "".join(f"  - {{{line}}}\n" for line in lines)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"at: 2026-03-02T10:30:00Z, object: a, status: OK, {ACCEPTED}", "8:5 corrections[0]: no event says that a was OK at 2026-03-02T10:30:00Z: this correction would change nothing; the nearest says CRITICAL at 2026-03-02T10:30:00Z; expected what is accepted stands among the events too"),
        (f"at: 2026-03-02T10:20:00Z, object: a, status: CRITICAL, {ACCEPTED}", "no event says that a was CRITICAL at 2026-03-02T10:20:00Z"),
        (f"at: 2026-03-02T10:00:00Z, object: aa, status: OK, {ACCEPTED}", "8:40 corrections[0].object: no object or group is called 'aa'"),
        ("at: 2026-03-02T10:00:00Z, object: x, status: OK, received: 2026-03-02T11:30:00Z, by: nagios", "no object or group is called 'x'"),
    ],
)  # fmt: skip
def test_a_correction_that_no_event_bears_out_is_refused_with_what_was_looked_for(line, said):
    assert any(said in problem for problem in problems(corrected(line))), problems(corrected(line))


def test_such_a_correction_is_refused_in_json_too():
    correction = {"object": "a", "at": 0, "status": "OK", "received": 60, "by": "nagios", "accepted_by": "anna"}
    with pytest.raises(ConfigurationError, match="no event says that a was OK at 1970"):
        history_of_text(json.dumps({"now": 90, "objects": ["a"], "corrections": [correction]}), "h.json")


def test_a_correction_that_stands_among_the_events_or_waits_or_is_itself_corrected_is_taken():
    wrong = "at: 2026-03-02T10:30:00Z, object: a, status: OK, received: 2026-03-02T11:00:00Z, by: nagios"
    right = f"at: 2026-03-02T10:30:00Z, object: a, status: CRITICAL, {ACCEPTED}"
    text = corrected(f"{wrong}, accepted_by: anna", right, wrong)
    assert len(history_of_text(text, "h.yaml").corrections) == 3
    again = corrected(f"at: 2026-03-02T10:20:00Z, object: a, status: OK, {ACCEPTED}")
    assert history_of_text(again.replace("id: e1", "confirmed: 2026-03-02T10:25:00Z"), "h.yaml").corrections


def test_of_several_corrections_of_one_instant_the_one_accepted_last_is_meant_wherever_it_stands():
    told = "at: 2026-03-02T10:30:00Z, object: a, received: 2026-03-02T11:00:00Z, by: nagios, accepted_by: anna"
    lines = (
        f"{told}, status: CRITICAL, accepted_at: 2026-03-02T11:50:00Z",
        f"{told}, status: OK, accepted_at: 2026-03-02T11:40:00Z",
    )
    for order in (lines, lines[::-1]):
        assert len(history_of_text(corrected(*order), "h.yaml").corrections) == 2


def test_a_correction_that_an_event_of_its_instant_overrules_is_refused():
    """Of several results at one instant the last in order holds: by its number the one that says something else."""
    at = "2026-03-02T10:40:00Z"
    event = f"  - {{at: {at}, object: a, status: %s, sequence: %s}}\n"
    correction = f"corrections:\n  - {{at: {at}, object: a, status: WARNING, {ACCEPTED}}}\n"
    assert history_of_text(LINES + event % ("WARNING", 2) + event % ("CRITICAL", 1) + correction, "h.yaml").corrections
    [problem] = problems(LINES + event % ("WARNING", 1) + event % ("CRITICAL", 2) + correction)
    assert f"this correction would change nothing; the nearest says CRITICAL at {at}" in problem


def test_two_spans_of_a_downtime_that_were_declared_at_one_instant_are_refused():
    revisions = [
        f"{{declared: 2026-02-20, start: 2026-03-02T01:00:00Z, end: 2026-03-02T{hour}:00:00Z}}" for hour in ("02", "11")
    ]
    above = f"{LINES}downtimes:\n  - objects: [a]\n    revisions:\n      - {revisions[0]}\n      - "
    said = "11:20 downtimes[0].revisions[1].declared: was declared at the instant of the one above, and says another span"
    assert any(said in problem for problem in problems(above + revisions[1])), problems(above + revisions[1])
    assert history_of_text(above + revisions[0], "h.yaml").downtimes


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("id: e1", "sequence: 9223372036854775808", "events[0].sequence: "),
        ("id: e1", "sequence: -9223372036854775809", "events[0].sequence: "),
        (
            "events:",
            "groups:\n  - {name: g, operator: at-least, k: 9223372036854775808, members: [a]}\nevents:",
            "groups[0].k: ",
        ),
    ],
)
def test_a_number_without_measure_is_refused_with_its_place(old, new, said):
    assert any(said in problem for problem in problems(LINES.replace(old, new)))


@given(st.integers(-8_000_000_000 * SECOND, 8_000_000_000 * SECOND))
def test_an_instant_in_the_clocks_unit_and_back_is_the_same_to_the_microsecond(instant):
    assert micro(in_seconds(instant)) == instant
    assert micro(seconds(instant)) == instant


AS_OF_NOON = """\
now: 2026-03-10T12:00:00Z
objects: [a, b]
events:
  - {at: 2026-03-10T12:00:00Z, object: a, status: OK}
"""


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("  - {at: 2027-03-04T08:00:00Z, object: a, status: CRITICAL}", "5:10 events[1].at"),
        ("  - {at: 2026-03-10T12:00:00.000001Z, object: b, status: OK, sequence: 1}", "5:10 events[1].at"),
        ("  - {at: 2026-03-04, object: b, status: OK, confirmed: 2027-03-04}", "events[1].confirmed"),
        ("gaps: [{start: 2027-03-04, end: 2027-03-05}]", "gaps[0].start"),
        ("gaps: [{start: 2026-03-04, end: 2027-03-05}]", "gaps[0].end"),
        ("downtimes: [{object: a, start: 2027-03-04, end: 2027-03-05, declared: 2026-12-01}]", "downtimes[0].declared"),
        (
            "downtimes: [{object: a, revisions: [{start: 2026-03-04, end: 2026-03-05, declared: 2027-03-01}]}]",
            "downtimes[0].revisions[0].declared",
        ),
        (
            "exclusions: [{object: a, start: 2026-03-04, end: 2026-03-05, cause: c, author: x, reason: r, accepted_at: 2027-03-06}]",
            "exclusions[0].accepted_at",
        ),
        (
            "corrections: [{object: a, at: 2026-03-04, status: OK, received: 2027-03-04, by: x}]",
            "corrections[0].received",
        ),
    ],
)
def test_what_was_seen_or_said_after_now_is_refused_with_its_line_and_the_instant(line, place):
    [problem] = problems(AS_OF_NOON + line)
    assert place in problem
    assert (
        "lies after `now` (2026-03-10T12:00:00Z), for which the report is made; expected an instant that has passed" in problem
    )


@pytest.mark.parametrize(
    "line",
    [
        "downtimes: [{object: a, start: 2027-03-04, end: 2027-03-05, declared: 2026-03-10T12:00:00Z}]",
        "exclusions: [{object: a, start: 2027-03-04, end: 2027-03-05, cause: c, author: x, reason: r, accepted_by: y}]",
        "groups: {g: {operator: or, members: [a, {name: b, start: 2027-01-01}]}}",
        # The clock was set back by a minute: the monitor's own clock, or a later number, says that the event is past.
        "  - {at: 2026-03-10T12:00:40Z, object: b, status: OK, monotonic: 100, boot: x}\nmonotonic_now: 120\nboot: x",
        """\
  - {at: 2026-03-10T11:55:00Z, object: b, status: OK, sequence: 1, confirmed: 2026-03-10T12:20:00Z}
  - {at: 2026-03-10T11:40:00Z, object: b, status: OK, sequence: 2}
""",
        """\
  - {at: 2026-03-10T12:00:40Z, object: b, status: OK, sequence: 1}
  - {at: 2026-03-10T11:59:50Z, object: b, status: OK, sequence: 2}
""",
    ],
)
def test_what_is_planned_and_what_was_lived_before_a_clock_was_set_back_may_lie_after_now(line):
    assert history_of_text(AS_OF_NOON + line, "h.yaml").now
