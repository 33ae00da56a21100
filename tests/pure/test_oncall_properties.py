"""What holds for every rotation and every story of incidents, whatever the zone does to its clocks."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from dateutil import tz
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.instants import SECOND, as_micro, as_time
from scheduler.oncall.follow import follow, next_due
from scheduler.oncall.hours import ResponseClass, ResponseTimes, Weekly
from scheduler.oncall.incident import Book, CallEnd, DecisionKind, IncidentEvent, Level, Quiet, Rules, What
from scheduler.oncall.response import Cut, Response, of_incident, report
from scheduler.oncall.rotation import Layer, Override, Roster, Swap, schedule
from scheduler.oncall.states import MEANING, OVER, TRANSITIONS, State
from tests.pure.oncall_oracle import Oracle, simulate

ZONES = (
    "Europe/Rome",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/St_Johns",
    "Africa/Casablanca",
    "UTC",
)
PEOPLE = ("anna", "bruno", "carla", "dora")
MINUTE = 60 * SECOND
START, END = as_micro(datetime(2005, 1, 1, tzinfo=UTC)), as_micro(datetime(2035, 1, 1, tzinfo=UTC))
zones = st.sampled_from(ZONES)
anywhen = st.integers(START, END)
days = st.dates(date(2005, 1, 1), date(2034, 12, 31))
people = st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=4).map(tuple)
weekly = st.builds(
    Weekly,
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, 95).map(lambda q: q * 900),
    st.integers(0, 96).map(lambda q: q * 900),
)


@st.composite
def near_a_change(draw, zone):
    """An instant, often within two hours of a DST change of the zone, if it has any in that year."""
    instant = draw(anywhen)
    before = as_time(instant, zone).utcoffset()
    for _ in range(40):
        if as_time(instant, zone).utcoffset() != before:
            break
        instant += 10 * 86400 * SECOND
    else:
        return instant
    low, high = instant - 10 * 86400 * SECOND, instant
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if as_time(middle, zone).utcoffset() != before else (middle, high)
    return high + draw(st.integers(-7200, 7200)) * SECOND + draw(st.integers(-1, 1))


@st.composite
def layers(draw, zone, *, lowest):
    begun = draw(days)
    end = None if lowest else draw(st.none() | st.integers(1, 900).map(lambda n: begun + timedelta(days=n)))
    during = None if lowest else draw(st.none() | weekly)
    return Layer(draw(people), begun, zone, draw(st.integers(0, 86399)), draw(st.integers(1, 10)), during, end)


@st.composite
def rosters(draw):
    zone = draw(zones)
    stack = [draw(layers(zone, lowest=True)), *draw(st.lists(layers(zone, lowest=False), max_size=2))]
    at = draw(near_a_change(zone))
    edges = sorted(
        draw(st.lists(st.integers(-30, 30).map(lambda d: at + d * 86400 * SECOND), min_size=4, max_size=4, unique=True))
    )
    overrides = (
        Override("primary", draw(st.sampled_from(PEOPLE)), edges[0], edges[1]),
        Override("primary", "eva", edges[2], edges[3]),
    )
    first, second = draw(st.lists(st.sampled_from(PEOPLE), min_size=2, max_size=2, unique=True))
    swaps = (Swap("primary", first, second, edges[0], edges[3]),)
    return Roster({"primary": tuple(stack)}, overrides, swaps), at


def handover_by_dateutil(layer, shift):
    """The same hand-over by another library: a time that is skipped is moved on, of two the first is taken."""
    seconds = timedelta(seconds=layer.handover_seconds)
    local = datetime.combine(layer.start + timedelta(days=shift * layer.shift_days), datetime.min.time()) + seconds
    return as_micro(tz.resolve_imaginary(local.replace(tzinfo=ZoneInfo(layer.zone))).astimezone(UTC))


@settings(max_examples=200, deadline=None)
@given(st.data(), zones)
def test_every_instant_lies_in_exactly_one_shift(data, zone):
    layer = data.draw(layers(zone, lowest=True))
    instant = data.draw(near_a_change(zone))
    shift = layer.shift(instant)
    assert layer.handover(shift) <= instant < layer.handover(shift + 1)
    around = [handover_by_dateutil(layer, shift + step) for step in range(-2, 4)]
    assert around == sorted(around)
    holders = [shift - 2 + i for i in range(5) if around[i] <= instant < around[i + 1]]
    assert holders == [shift]
    assert layer.person(instant) == layer.people[shift % len(layer.people)]


@settings(max_examples=150, deadline=None)
@given(rosters())
def test_exactly_one_person_is_on_call_at_every_instant(drawn):
    roster, at = drawn
    for instant in (at, at - 1, at + 1, at + 3600 * SECOND, at - 3600 * SECOND):
        duty = roster.on_call("primary", instant)
        overriding = [one for one in roster.overrides if one.start <= instant < one.end]
        taking = [layer for layer in roster.rotations["primary"][1:] if layer.takes(instant)]
        turn = (taking[-1] if taking else roster.rotations["primary"][0]).person(instant)
        swap = roster.swaps[0]
        if swap.start <= instant < swap.end:
            turn = swap.second if turn == swap.first else swap.first if turn == swap.second else turn
        assert duty.person == (overriding[0].person if overriding else turn)
        assert duty.person in (*PEOPLE, "eva")


@settings(max_examples=100, deadline=None)
@given(rosters(), st.integers(1, 40), st.lists(st.integers(0, 10**9), min_size=10, max_size=10))
def test_a_schedule_says_of_every_instant_what_the_roster_says(drawn, length, looks):
    roster, at = drawn
    start, end = at - length * 43200 * SECOND, at + length * 43200 * SECOND
    turns = schedule(roster, "primary", start, end)
    assert (turns[0].start, turns[-1].end) == (start, end)
    assert all(before.end == after.start for before, after in pairwise(turns)), "no gap and no double"
    assert all((a.person, a.because) != (b.person, b.because) for a, b in pairwise(turns))
    edges = [instant for turn in turns for instant in (turn.start, turn.end - 1)]
    for instant in [*edges, *(start + look * (end - start) // (10**9 + 1) for look in looks)]:
        duty = roster.on_call("primary", instant)
        [turn] = [one for one in turns if one.start <= instant < one.end]
        assert (turn.person, turn.because) == (duty.person, duty.because)


@settings(max_examples=200, deadline=None)
@given(st.data(), zones, st.frozensets(days, max_size=3))
def test_the_class_of_an_incident_is_what_the_wall_clock_says_when_it_opens(data, zone, holidays):
    instant = data.draw(near_a_change(zone) | anywhen)
    if data.draw(st.booleans()):
        holidays |= {as_time(instant, zone).date()}
    promise = ResponseTimes(zone=zone, holidays=holidays)
    shown = as_time(instant, zone)
    office = shown.isoweekday() <= 5 and "08:00" <= shown.strftime("%H:%M") < "17:00" and shown.date() not in holidays
    assert (promise.response_class(instant) is ResponseClass.BUSINESS) == office
    assert promise.limit(promise.response_class(instant)) == (15 if office else 60) * MINUTE


def test_a_schedule_leaves_out_no_day_whose_clocks_were_set():
    """29 March 2026 has 23 hours: a look that steps by 24 h from 23:30 of the 28th would go from it to the 30th."""
    night = Layer(("dora",), date(2026, 1, 1), "Europe/Rome", during=Weekly(frozenset({6}), 10 * 3600, 11 * 3600))
    roster = Roster({"primary": (Layer(("anna",), date(2026, 1, 1), "Europe/Rome"), night)})
    start, end = (as_micro(datetime(2026, 3, *day, tzinfo=ZoneInfo("Europe/Rome"))) for day in ((28, 23, 30), (31, 0, 0)))
    found = [(turn.person, as_time(turn.start, "Europe/Rome").hour) for turn in schedule(roster, "primary", start, end)]
    assert found == [("anna", 23), ("dora", 10), ("anna", 11)]


# --- stories ----------------------------------------------------------------------------------------------------------

OBJECTS = ("ce1", "ce2", "se1")
BEGIN = as_micro(datetime(2026, 3, 2, 7, tzinfo=UTC))
NOW = BEGIN + 12 * 60 * MINUTE
minutes = st.integers(0, 12 * 60).map(lambda n: BEGIN + n * MINUTE)
changes = st.builds(
    IncidentEvent,
    minutes,
    st.sampled_from([What.BAD, What.BAD, What.RECOVERED, What.ACKNOWLEDGED, What.RESOLVED]),
    st.sampled_from(OBJECTS),
    st.sampled_from(["", "", "san"]),
    by=st.sampled_from(PEOPLE),
)
quiets = st.builds(
    lambda objects, start, length: Quiet(objects, start, start + length * MINUTE),
    st.frozensets(st.sampled_from([*OBJECTS, "*"]), min_size=1),
    minutes,
    st.integers(1, 200),
)
ROSTER = Roster({"primary": (Layer(PEOPLE, date(2026, 3, 2), "Europe/Rome"),)})
RULES = Rules(ResponseTimes("Europe/Rome"), ROSTER, (Level("primary", 7 * MINUTE), Level("dora", 11 * MINUTE)), 2, 15 * MINUTE)
stories = st.tuples(st.lists(changes, max_size=25), st.lists(quiets, max_size=3).map(tuple))


@settings(max_examples=200, deadline=None)
@given(stories)
def test_one_cause_is_one_incident_and_nobody_is_paged_in_a_downtime(drawn):
    told, quiet = drawn
    rules = replace(RULES, quiet=quiet)
    book = Book(at=BEGIN)
    for change in sorted(told, key=lambda one: one.at):
        while (due := next_due(book, rules)) is not None and due < change.at:
            book = look(book, IncidentEvent(due, What.TICK), rules)
        book = look(book, change, rules)


def look(book, change, rules):
    outcome = follow(book, change, rules)
    going_on = [one.cause for one in outcome.book.incidents if one.state not in OVER]
    assert len(going_on) == len(set(going_on)), "two incidents of one cause"
    after = {one.number: one for one in outcome.book.incidents}
    for line in outcome.decisions:
        if line.page:
            bad = after[line.incident].bad
            assert not all(any(one.covers(name, line.at) for one in rules.quiet) for name in bad), line
            assert line.page.person == rules.roster.on_call(rules.levels[line.page.level - 1].target, line.at).person
    keys = [page.key for one in outcome.book.incidents for page in one.pages]
    assert len(keys) == len(set(keys))
    for one in outcome.book.incidents:
        assert (one.state in {State.QUIET, State.DISMISSED}) == (one.opened_at is None) == (not one.calls)
        assert one.bad or one.state in OVER
        for before, call in pairwise((None, *one.calls)):
            again = before is not None and before.end is CallEnd.SELF_HEALED
            assert call.deadline == before.deadline if again else call.at < call.deadline, "one clock until somebody answers"
        assert all(call.ended_at is None or call.at <= call.ended_at for call in one.calls)
    due = next_due(outcome.book, rules)
    assert due is None or due >= outcome.book.at
    return outcome.book


@settings(max_examples=300, deadline=None)
@given(stories, st.frozensets(st.just(date(2026, 3, 2))), st.sampled_from([0, 5, 15, 40]))
def test_a_simple_account_minute_by_minute_tells_the_same_story(drawn, holidays, reopen):
    told, quiet = drawn
    promise = ResponseTimes("Europe/Rome", holidays=holidays)
    rules = replace(RULES, promise=promise, quiet=quiet, reopen=reopen * MINUTE)
    found = [
        {
            "cause": one.cause,
            "state": one.state.value,
            "bad": sorted(one.bad),
            "objects": set(one.objects),
            "opened": one.opened_at,
            "closed": one.closed_at,
            "calls": [(c.at, c.deadline, c.ended_at, c.end.value if c.end else None, c.by) for c in one.calls],
            "pages": [(page.at, page.person, page.level) for page in one.pages],
        }
        for one in simulate(told, rules, NOW).incidents
    ]
    expected = [
        {
            "cause": one["cause"],
            "state": one["state"],
            "bad": sorted(one["bad"]),
            "objects": set(one["objects"]),
            "opened": one["opened"],
            "closed": one["closed"],
            "calls": [tuple(c.values()) for c in one["calls"]],
            "pages": one["pages"],
        }
        for one in Oracle(rules, BEGIN, NOW).run(told)
    ]
    assert found == expected


@settings(max_examples=120, deadline=None)
@given(stories, st.lists(st.integers(0, 12 * 3600 - 1).map(lambda n: BEGIN + n * SECOND + 1), max_size=30))
def test_looking_more_often_changes_nothing(drawn, looks):
    told, quiet = drawn
    rules = replace(RULES, quiet=quiet)
    idle = [IncidentEvent(at, What.TICK) for at in looks]
    assert simulate([*told, *idle], rules, NOW).incidents == simulate(told, rules, NOW).incidents


@settings(max_examples=100, deadline=None)
@given(stories)
def test_the_response_report_counts_every_opened_incident_once(drawn):
    told, quiet = drawn
    story = simulate(told, replace(RULES, quiet=quiet), NOW)
    opened = [one for one in story.incidents if one.opened_at is not None]
    for cut in Cut:
        periods = report(story.incidents, cut, "Europe/Rome", NOW)
        assert sum(one.incidents for one in periods) == len(opened)
        assert sum(one.met + one.breached + one.self_healed + one.pending for one in periods) == len(opened)
        assert sum(one.pages for one in periods) == sum(line.kind is DecisionKind.PAGED for line in story.decisions)
    assert all((of_incident(one, NOW) is Response.NONE) == (one.opened_at is None) for one in story.incidents)


@settings(max_examples=100, deadline=None)
@given(stories, st.permutations(range(25)))
def test_what_was_true_before_does_not_depend_on_what_comes_later(drawn, order):
    told, quiet = drawn
    rules = replace(RULES, quiet=quiet)
    whole = simulate(told, rules, NOW).decisions
    cut = BEGIN + order[0] * 30 * MINUTE
    assert simulate(told, rules, cut).decisions == tuple(line for line in whole if line.at <= cut)


def test_every_state_of_an_incident_has_a_meaning_and_its_steps_are_known():
    assert set(MEANING) == set(TRANSITIONS) == set(State)
    assert all(after in TRANSITIONS for steps in TRANSITIONS.values() for after in steps)
    reached = {State.QUIET, State.OPEN}.union(*(steps for steps in TRANSITIONS.values()))
    assert reached == set(State)


def test_a_change_older_than_the_last_look_runs_nothing_backwards():
    late = follow(Book(at=NOW), IncidentEvent(BEGIN, What.BAD, "ce1"), RULES)
    assert late.book.at == NOW
    assert late.changed[0].opened_at == NOW
