"""One cause is one page: a group that goes bad of a member is that member's incident, and quiet where its causes are agreed."""

from dataclasses import replace
from fnmatch import fnmatchcase
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scheduler.availability.history import Group, Member, Operator, Revision, Status
from scheduler.journal.agreements import add_downtime
from scheduler.journal.incidents import all_incidents
from scheduler.journal.journal import Journal
from scheduler.journal.records import Declared, Look, Push
from scheduler.journal.statuses import declare, keep_look, push
from scheduler.model.instants import SECOND
from scheduler.oncall.follow import follow
from scheduler.oncall.hours import ResponseTimes
from scheduler.oncall.incident import Book, DecisionKind, IncidentEvent, Level, Quiet, Rules, What
from scheduler.oncall.rotation import Roster
from scheduler.oncall.standing import ObjectStanding, Structure, culprits, root, spread, with_groups
from scheduler.oncall.states import OVER, State
from scheduler.oncall.watch import Watching, told
from scheduler.publish.paging import PagingRules, happened

MINUTE = 60 * SECOND
NOW = 1_772_438_400 * SECOND
"""Monday 2026-03-02 09:00 in Rome."""
OK, WARNING, CRITICAL, UNKNOWN = Status.OK, Status.WARNING, Status.CRITICAL, Status.UNKNOWN


def group(name, operator, *members, **more):
    return Group(name, operator, tuple(one if isinstance(one, Member) else Member(one) for one in members), **more)


GATE = group("gate", Operator.OR, "a", "b")
GRID = group("grid", Operator.AND, "gate", "san")


def standing(at=1000, groups=(GATE, GRID), **told):
    """Of each object its status and since when."""
    return with_groups({name: ObjectStanding(*one) for name, one in told.items()}, groups, at)


# --- how groups stand -------------------------------------------------------------------------------------------------


def test_a_group_stands_as_its_table_says_of_its_members_of_now():
    found = standing(a=(CRITICAL, 10), b=(OK, 20), san=(WARNING, 30))
    assert (found["gate"].status, found["grid"].status) == (OK, WARNING)
    found = standing(a=(CRITICAL, 10), b=(UNKNOWN, 20), san=(OK, 30))
    assert (found["gate"].status, found["grid"].status) == (UNKNOWN, UNKNOWN)
    retired = group("gate", Operator.OR, "a", Member("b", end=500))
    found = standing(groups=(retired,), a=(CRITICAL, 10), b=(OK, 20))
    assert found["gate"] == ObjectStanding(CRITICAL, 10)
    found = standing(groups=(group("gate", Operator.OR, Member("a", start=2000)),), a=(CRITICAL, 10))
    assert not found["gate"].exists


def test_since_when_a_group_is_bad_is_what_its_members_prove():
    """OR: since the last of them. AND: since the first. The other member may come and go as it likes."""
    assert standing(a=(CRITICAL, 10), b=(CRITICAL, 20))["gate"] == ObjectStanding(CRITICAL, 20)
    assert standing(a=(OK, 10), b=(OK, 20), san=(CRITICAL, 30))["grid"] == ObjectStanding(CRITICAL, 30)
    both = group("both", Operator.AND, "a", "b")
    assert standing(groups=(both,), a=(CRITICAL, 10), b=(CRITICAL, 20))["both"] == ObjectStanding(CRITICAL, 10)
    assert standing(groups=(both,), a=(CRITICAL, 10), b=(OK, 20))["both"] == ObjectStanding(CRITICAL, 10)
    assert standing(groups=(both,), a=(OK, 10), b=(OK, 20))["both"] == ObjectStanding(OK, 20)
    half = group("half", Operator.CAPACITY, "a", "b", "c", need=Fraction(1, 2))
    assert standing(groups=(half,), a=(CRITICAL, 10), b=(CRITICAL, 40), c=(OK, 50))["half"] == ObjectStanding(CRITICAL, 40)


def test_the_root_of_a_group_is_the_member_that_brought_it_down():
    groups = {"gate": GATE, "grid": GRID}
    found = standing(a=(CRITICAL, 10), b=(CRITICAL, 20), san=(CRITICAL, 30))
    assert root("grid", groups, found, 1000) == "b", "it was bad before the san was"
    assert sorted(culprits(GRID, groups, found, 1000)) == ["a", "b", "san"]
    found = standing(a=(CRITICAL, 10), b=(OK, 20), san=(CRITICAL, 30))
    assert root("grid", groups, found, 1000) == "san"
    assert list(culprits(GRID, groups, found, 1000)) == ["san"], "what its own group bears is no culprit"
    few = group("few", Operator.AT_LEAST, "a", k=2)
    assert root("few", {"few": few}, standing(groups=(few,), a=(OK, 10)), 1000) == "few"


# --- one cause, one page ----------------------------------------------------------------------------------------------

RULES = Rules(ResponseTimes("Europe/Rome"), Roster({}), (Level("anna", 2 * 60 * MINUTE),), 0, 15 * MINUTE)


class Site:
    """A journal in which the objects a, b and san are reported, and a paging_rules."""

    def __init__(self, *objects, groups=(GATE, GRID), promised=None):
        self.journal = Journal("sqlite://", now=NOW / SECOND)
        self.journal.hold_lease("me", NOW / SECOND, 1e6)
        self.paging_rules = PagingRules(
            "hill", "Europe/Rome", RULES, {"anna": ()}, Watching(objects or ("*",)), Structure(groups, promised or {})
        )
        declare(self.journal, "me", NOW / SECOND, [Declared(name, freshness=60 * MINUTE) for name in ("a", "b", "san")])
        self.at = NOW
        self.tell(a=OK, b=OK, san=OK)

    def tell(self, minutes=1, watching=True, **told):
        """Let time pass, report statuses, look; return the kinds of what was decided by incident."""
        self.at += minutes * MINUTE
        for name, status in told.items():
            push(self.journal, "me", self.at / SECOND, self.at / SECOND, Push(name, status))
        decided = happened(self.journal, (), self.paging_rules, self.at, watching=watching)
        return [(one.kind, one.incident) for one in decided]

    def down(self, objects, minutes=30):
        span = Revision(self.at, self.at, self.at + minutes * MINUTE, "anna")
        add_downtime(self.journal, objects, span, reason="new disks", author="anna", now=self.at)

    def incidents(self):
        return [(one.cause, one.state, one.bad) for one in all_incidents(self.journal)]

    def pages(self):
        return sum(len(one.pages) for one in all_incidents(self.journal))


@pytest.fixture
def site():
    made = []

    def make(*objects, **more):
        made.append(Site(*objects, **more))
        return made[-1]

    yield make
    for one in made:
        one.journal.close()


def test_a_member_and_its_groups_are_one_incident_and_one_page(site):
    farm = site()
    farm.tell(san=CRITICAL)
    assert farm.incidents() == [("object:san", State.OPEN, ("grid", "san"))]
    assert farm.pages() == 1
    farm.tell(san=OK)
    assert farm.incidents() == [("object:san", State.SELF_HEALED, ())]


def test_a_group_whose_members_nobody_is_paged_for_opens_the_incident_of_its_cause(site):
    farm = site("gate", "grid")
    assert farm.tell(a=CRITICAL) == []
    farm.tell(b=CRITICAL)
    assert farm.incidents() == [("object:b", State.OPEN, ("gate", "grid"))], "two groups of one cause"
    assert farm.pages() == 1
    assert all_incidents(farm.journal)[0].text == "because of b"
    farm.tell(b=UNKNOWN)
    assert farm.incidents() == [("object:b", State.OPEN, ("gate", "grid"))], "unknown ends nothing"
    farm.tell(a=OK)
    assert farm.incidents() == [("object:b", State.SELF_HEALED, ())]


def test_the_last_bit_of_redundancy_pages_though_the_first_loss_is_in_hand(site):
    farm = site("a", "gate")
    farm.tell(a=CRITICAL)
    assert farm.tell(b=CRITICAL) == [(DecisionKind.OPENED, 2), (DecisionKind.PAGED, 2)]
    assert farm.incidents() == [("object:a", State.OPEN, ("a",)), ("object:b", State.OPEN, ("gate",))]


def test_a_group_goes_over_to_the_incident_of_the_cause_that_is_left(site):
    farm = site()
    farm.tell(san=CRITICAL)
    farm.tell(a=CRITICAL)
    farm.tell(b=CRITICAL)
    assert farm.incidents()[0] == ("object:san", State.OPEN, ("grid", "san"))
    farm.tell(san=OK)
    first, *rest = farm.incidents()
    assert first == ("object:san", State.SELF_HEALED, ())
    assert [one for one in rest if "grid" in one[2]] == [("object:b", State.OPEN, ("b", "gate", "grid"))]
    assert farm.pages() == 3, "of the san, of a and of b"
    assert farm.tell() == [], "nothing is told twice"


def test_a_group_that_is_bad_of_an_object_resolved_by_hand_is_left_in_peace(site):
    farm = site("san")
    farm.tell(san=CRITICAL)
    happened(farm.journal, [IncidentEvent(farm.at, What.RESOLVED, incident=1, by="anna")], farm.paging_rules, farm.at)
    farm.paging_rules = PagingRules("hill", "Europe/Rome", RULES, {"anna": ()}, Watching(("*",)), farm.paging_rules.structure)
    assert farm.tell() == []
    assert farm.incidents() == [("object:san", State.RESOLVED, ("san",))]


def test_groups_that_go_bad_do_not_make_of_one_cause_a_common_one(site):
    """san, grid and two more groups are four names and one cause."""
    more = tuple(group(name, Operator.AND, "san") for name in ("g1", "g2"))
    farm = site(groups=(GATE, GRID, *more))
    farm.tell(san=CRITICAL)
    assert farm.incidents() == [("object:san", State.OPEN, ("g1", "g2", "grid", "san"))]
    farm = site()
    farm.tell(a=CRITICAL, b=CRITICAL, san=CRITICAL)
    [(cause, _, bad)] = farm.incidents()
    assert cause.startswith("common:")
    assert bad == ("a", "b", "gate", "grid", "san")
    assert farm.pages() == 1


def test_a_status_that_is_too_old_holds_no_group_up(site):
    farm = site("gate")
    farm.tell(a=CRITICAL)
    farm.tell(minutes=50, a=CRITICAL)
    assert farm.tell(minutes=20, a=CRITICAL) == [], "b is MISSING: the gate is UNKNOWN or MISSING, not bad"
    assert farm.tell(b=CRITICAL)[0][0] is DecisionKind.OPENED


def test_a_gap_in_our_looking_leaves_nothing_known_of_what_others_report(site):
    farm = site("gate")
    farm.tell(a=CRITICAL)
    farm.at += 30 * MINUTE
    with farm.journal.write("look") as connection:
        keep_look(farm.journal, connection, farm.at / SECOND, Look(farm.at / SECOND, farm.at / SECOND, began="gap"))
    assert farm.tell(a=CRITICAL) == []
    assert farm.tell(b=CRITICAL)[0][0] is DecisionKind.OPENED


# --- whose downtime keeps whom quiet ----------------------------------------------------------------------------------


def test_a_downtime_of_a_group_keeps_its_members_quiet_and_pages_afterwards(site):
    farm = site()
    farm.down(("gate",))
    farm.tell(a=CRITICAL, b=CRITICAL)
    assert {state for _, state, _ in farm.incidents()} == {State.QUIET}
    assert farm.pages() == 0
    farm.tell(minutes=29)
    assert {state for _, state, _ in farm.incidents()} == {State.OPEN}
    assert farm.pages() == 2, "of a and of b; the groups belong to one of them"


def test_a_downtime_of_a_member_keeps_the_group_quiet_that_is_bad_of_nothing_else(site):
    farm = site("grid", "san")
    farm.down(("san",))
    farm.tell(san=CRITICAL)
    assert farm.incidents() == [("object:san", State.QUIET, ("grid", "san"))]
    farm.tell(a=CRITICAL, b=CRITICAL)
    assert farm.pages() == 1, "the grid is bad of something that nobody agreed to"
    farm = site("grid", "san")
    farm.down(("san",), 5)
    farm.tell(san=CRITICAL)
    farm.tell(minutes=4)
    assert farm.incidents() == [("object:san", State.OPEN, ("grid", "san"))]
    assert farm.pages() == 1


def test_a_member_of_two_groups_is_quiet_while_both_are_down(site):
    other = group("other", Operator.AND, "a")
    farm = site("a", groups=(GATE, other))
    farm.down(("gate",))
    farm.tell(a=CRITICAL)
    assert farm.pages() == 1
    farm = site("a", groups=(GATE, other))
    farm.down(("gate",))
    farm.down(("other",), 5)
    farm.tell(a=CRITICAL)
    assert farm.pages() == 0
    farm.tell(minutes=4)
    assert farm.pages() == 1


def test_a_downtime_of_everything_around_a_group_is_one_of_what_is_in_it(site):
    farm = site("a", "gate")
    farm.down(("grid",))
    farm.tell(a=CRITICAL, b=CRITICAL)
    assert {state for _, state, _ in farm.incidents()} == {State.QUIET}


def test_an_answer_from_the_command_line_wakes_nobody_for_a_quiet_group(site):
    farm = site()
    farm.down(("san",))
    farm.tell(san=CRITICAL)
    assert farm.tell(watching=False) == []


BURNS = {"error budget of storage: ": "grid", "error budget of host: ": "a"}


def quiet_of(name, *agreed, structure=None, **told):
    standing_now = standing(**told)
    found = spread(agreed, structure or Structure((GATE, GRID), BURNS), standing_now, [name], 1000)
    return [(one.start, one.end) for one in found]


def test_an_alert_on_an_error_budget_is_quiet_while_what_it_is_about_is():
    burn = "error budget of storage: fast"
    well = {"a": (OK, 10), "b": (OK, 10), "san": (OK, 10)}
    bad = well | {"san": (CRITICAL, 100)}
    assert quiet_of("error budget of host: fast", Quiet(frozenset({"a"}), 50, 2000), **well) == [(50, 2000)]
    assert quiet_of("error budget of host: fast", Quiet(frozenset({"b"}), 50, 2000), **well) == []
    assert quiet_of(burn, Quiet(frozenset({"grid"}), 50, 2000, declared_at=70), **bad) == [(70, 2000)]
    assert quiet_of(burn, Quiet(frozenset({"san"}), 50, 2000), **bad) == [(50, 2000)]
    assert quiet_of(burn, Quiet(frozenset({"a"}), 50, 2000), **bad) == [], "it is bad of the san"
    assert quiet_of(burn, Quiet(frozenset({"san"}), 50, 2000), **well) == [(50, 2000)], "it burnt while the san was down"
    assert quiet_of("error budget of nobody: fast", Quiet(frozenset({"san"}), 50, 2000), **bad) == []
    assert quiet_of(burn, **bad) == []


def test_a_burn_rate_incident_is_quiet_in_the_downtime_of_its_object_and_pages_afterwards(site):
    farm = site("nothing", promised=BURNS)
    farm.down(("san",), 5)
    farm.tell(san=CRITICAL)
    burning = IncidentEvent(farm.at, What.BAD, "error budget of storage: fast", "objective:storage", text="burns")
    assert [one.kind for one in happened(farm.journal, [burning], farm.paging_rules, farm.at)] == [DecisionKind.QUIET]
    assert farm.tell(minutes=4) == [(DecisionKind.OPENED, 1), (DecisionKind.PAGED, 1)]


# --- whatever happens -------------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c", "d")
member = st.sampled_from(NAMES)


@st.composite
def farms(draw):
    """Up to four groups, some of them in others, some with dated members."""
    made = []
    for number in range(draw(st.integers(1, 4))):
        names = draw(st.lists(st.sampled_from([*NAMES, *(one.name for one in made)]), min_size=1, max_size=4, unique=True))
        end = st.none() | st.integers(1, 40)
        members = tuple(Member(name, None, draw(end)) if draw(st.booleans()) else Member(name) for name in names)
        operator = draw(st.sampled_from(list(Operator)))
        made.append(
            Group(f"g{number}", operator, members, k=draw(st.integers(1, 3)), need=Fraction(draw(st.integers(1, 3)), 3))
        )
    return tuple(made)


happenings = st.lists(
    st.tuples(
        st.integers(0, 5), st.dictionaries(member, st.sampled_from([OK, WARNING, CRITICAL, CRITICAL, UNKNOWN])), st.booleans()
    ),
    max_size=12,
)
watchings = st.builds(
    Watching,
    st.sampled_from([("*",), ("g*",), ("a", "g1"), ("g0", "b", "c")]),
    st.integers(0, 3),
    st.sampled_from([0, 2, 3]),
    st.integers(0, 6),
)
SHORT = replace(RULES, reopen=6)


A_AND_B = Group("g0", Operator.AND, (Member("a"), Member("b")))
WITHIN_A_SECOND = [
    (0, {"a": CRITICAL, "b": CRITICAL}, False),
    (1, {"a": OK}, False),
    (0, {"a": CRITICAL, "c": CRITICAL, "b": OK}, False),
]


TOO_FEW = (
    Group("g0", Operator.AT_LEAST, (Member("a"),), k=2),  # bad by itself, beside a member that is not up
    Group("g1", Operator.AND, (Member("g0"),)),
)


@example(TOO_FEW, [(0, {"a": UNKNOWN}, False)], Watching(("*",), 0, 0, 0))
@example((A_AND_B,), WITHIN_A_SECOND, Watching(together=2, gather=0))  # two common causes, not one
@given(farms(), happenings, watchings)
def test_a_look_tells_nothing_twice_and_leaves_no_watched_outage_out(groups, story, watching):
    by_name, at, book = {one.name: one for one in groups}, 0, Book()
    objects = {name: ObjectStanding(OK, 0) for name in NAMES}
    for passed, told_now, answers in story:
        at += passed
        for name, status in told_now.items():
            objects[name] = ObjectStanding(status, at) if objects[name].status is not status else objects[name]
        found, book = with_groups(objects, groups, at), followed(book, (), at)
        book = followed(book, told(book, found, at, watching, by_name), at)
        if answers and book.incidents:
            book = followed(book, [IncidentEvent(at, What.RESOLVED, incident=book.incidents[-1].number, by="anna")], at)
        assert list(told(book, found, at, watching, by_name)) == []
        bad = {name for incident in book.incidents for name in incident.bad}
        for name, one in found.items():
            watched = any(fnmatchcase(name, pattern) for pattern in watching.objects)
            confirmed = one.exists and one.status is CRITICAL and at - one.since >= watching.confirm
            if watched and confirmed and name not in bad:
                origin = root(name, by_name, found, at)
                held = [incident for incident in book.incidents if origin in incident.bad and incident.state in OVER]
                assert held, f"{name} is bad and nobody was told"


def followed(book, changes, at):
    for change in [*changes, IncidentEvent(at, What.TICK)]:
        book = follow(book, change, SHORT).book
    return book
