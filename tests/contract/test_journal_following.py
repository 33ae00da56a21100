"""A history that is followed in the journal is what reading everything anew gives, whatever comes late, twice or out of order."""

import random
from dataclasses import replace

import pytest

from environments.identity import Signature
from scheduler.availability.history import Exclusion, Group, Member, Operator, Revision, Status
from scheduler.availability.measuring.accounting import measure, tabulate
from scheduler.availability.timelines.prepared import prepare, timeline_of
from scheduler.availability.timelines.windows import between
from scheduler.journal.agreements import accept_exclusion, add_downtime, add_exclusion
from scheduler.journal.corrections import decide
from scheduler.journal.following import Followed
from scheduler.journal.histories import load_columns, load_history
from scheduler.journal.records import Declared, Look, Memo, Push, Said
from scheduler.journal.segments import MOST
from scheduler.journal.statuses import HELD, correct, declare, push
from tests.pure.growing import touched

SECOND = 1_000_000

GROUPS = (
    Group("pair", Operator.OR, (Member("a"), Member("b"))),
    Group("most", Operator.AT_LEAST, (Member("a"), Member("b"), Member("pool")), k=2),
    Group("all", Operator.AND, (Member("pair"), Member("most"), Member("c"))),
)
PUSHED = ("a", "b", "c")


class Farm:
    """A journal with three pushed objects and one of its own; counts how often everything was read."""

    def __init__(self, journal):
        self.journal, self.now, self.read = journal, 101.0, 0
        journal.monotonic = lambda: self.now
        self.look([Said("pool", Status.OK)], began="start")
        declare(
            journal, "a", self.now, [Declared("a", freshness=50 * SECOND), Declared("b"), Declared("c", freshness=900 * SECOND)]
        )
        self.followed, self.stamp = Followed(journal, self.counted), 0

    def look(self, changes=(), began=""):
        assert self.journal.hold_lease("a", self.now, 10_000)
        self.journal.remember("a", self.now, Memo(look=Look(self.now, self.now - 50, tuple(changes), (), began)))

    def push(self, name, status, **more):
        return push(self.journal, "a", self.now, self.now - 50, Push(name, status, **more))

    def late(self, name, status, at):
        """Report what is late; where it needs somebody else's word, that is given."""
        told = self.push(name, status, at=at, by="nagios")
        if told.startswith(HELD):
            decide(self.journal, told.removeprefix(HELD), Signature("board"), round(self.now * SECOND), accept=True)
            assert correct(self.journal, "a", self.now) == 1

    def whole(self, now):
        history = replace(load_history(self.journal, now, with_results=False), groups=GROUPS)
        return prepare(history, load_columns(self.journal, history))

    def counted(self, now):
        self.read += 1
        return self.whole(now)

    def check(self):
        grown, whole = self.followed.at(self.now, self.stamp), self.whole(self.now)
        assert lines(grown) == lines(whole)
        assert grown.axis == whole.axis
        week = between(0, round(self.now * SECOND), grown.history.now)
        figures = measure(whole, week, "excuse")
        assert measure(grown, week, "excuse") == figures
        names = touched(grown, "a")
        assert tabulate(grown, week, "excuse", names=names).all() == {name: figures[name] for name in names}


def lines(prepared):
    return {
        name: (line.starts.tolist(), line.states.tolist())
        for name in prepared.places
        for line in (timeline_of(prepared, name),)
    }


@pytest.fixture
def farm(journal):
    return Farm(journal)


def one_more(farm, chance):
    """Let something happen: mostly what usually happens, now and then what is late, twice, or out of order."""
    name, status = chance.choice(PUSHED), chance.choice(list(Status)[:4])
    what = chance.randrange(24)
    if what < 10:
        farm.push(name, status)
    elif what < 12:
        farm.push(name, status, id=chance.choice(["one", "two", "three"]))
    elif what < 15:
        farm.late(name, status, farm.now - chance.choice([0.5, 3, 30, 200]))
    elif what < 18:
        farm.look([Said("pool", status)])
    elif what == 18:
        farm.look([Said("pool", status, at=farm.now - 5)])
    elif what == 19:
        farm.now += chance.choice([60, -20, 1000])
        farm.look([Said("pool", status)], began=chance.choice(["gap", "clock"]))
    elif what == 20:
        start = round(farm.now * SECOND) + chance.randrange(-50, 50) * SECOND
        add_downtime(
            farm.journal, [name], Revision(start - SECOND, start, start + 40 * SECOND), reason="", author="", now=start
        )
    else:
        farm.look()


@pytest.mark.parametrize("seed", range(6))
def test_what_is_followed_is_what_reading_everything_gives(farm, seed):
    chance = random.Random(seed)
    for _ in range(25):
        farm.now += chance.choice([0, 1, 7, 40])
        one_more(farm, chance)
        if chance.random() < 0.7:
            farm.check()
    farm.check()


def test_newer_statuses_are_added_without_reading_everything(farm):
    farm.check()
    for number in range(2 * MOST):
        farm.now += 1
        assert farm.push("a", Status.CRITICAL if number % 2 else Status.OK) == "kept"
        if number % 40 == 0:
            farm.check()
    for status in (Status.WARNING, Status.WARNING, Status.OK):
        farm.now += 20
        farm.push("b", status)
        farm.look()
        farm.check()
    farm.look([Said("pool", Status.CRITICAL)])
    farm.check()
    assert farm.read == 1


@pytest.mark.parametrize("kind", ["late", "downtime", "accepted", "declared", "retired", "watch", "lease", "files", "a day"])
def test_whatever_is_more_than_a_newer_status_makes_everything_be_read_anew(farm, kind):
    for number in range(3):
        farm.now += 10
        farm.push("a", Status(number))
    instant = round(farm.now * SECOND)
    excluded = farm.whole(farm.now).history.exclusions
    assert not excluded
    add_exclusion(farm.journal, exclusion(instant), instant)
    farm.check()
    assert farm.read == 1
    farm.now += 5
    if kind == "late":
        farm.late("a", Status.WARNING, farm.now - 12)
    elif kind == "downtime":
        add_downtime(farm.journal, ["a"], Revision(instant, instant, instant + SECOND), reason="", author="", now=instant)
    elif kind == "accepted":
        accept_exclusion(farm.journal, "x1", Signature("board"), instant)
    elif kind in {"declared", "retired"}:
        kept = [Declared("b"), Declared("c", freshness=900 * SECOND)]
        first = [Declared("a", freshness=3 * SECOND)] if kind == "declared" else []
        declare(farm.journal, "a", farm.now, [*first, *kept])
    elif kind == "watch":
        farm.look([Said("pool", Status.OK)], began="gap")
    elif kind == "lease":
        farm.now += 20_000
    elif kind == "files":
        farm.stamp = 1
    else:
        farm.now += 90_000
        farm.look()
    farm.check()
    assert farm.read == 2


def exclusion(instant):
    return Exclusion("", ("*",), instant - 8 * SECOND, instant - 3 * SECOND, "building", "ann", "power")


def test_what_came_between_the_marks_and_the_reading_is_not_added_twice(farm):
    def load(now):
        if farm.read == 0:
            farm.push("a", Status.CRITICAL)
            farm.push("b", Status.WARNING)
        return farm.counted(now)

    farm.followed = Followed(farm.journal, load)
    farm.push("a", Status.OK)
    farm.now += 10
    farm.check()
    farm.now += 10
    farm.push("a", Status.OK)
    farm.check()
    assert farm.read == 1
