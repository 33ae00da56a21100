"""Burn-rate alerts become incidents: one per objective, told once, ended when they are over."""

from dataclasses import replace
from fractions import Fraction

from scheduler.availability.history import History, Monitored, Objective, Result, Status
from scheduler.availability.promises.burn_rate import Alert
from scheduler.availability.promises.standing import stand
from scheduler.availability.timelines.prepared import prepare
from scheduler.model.instants import SECOND
from scheduler.oncall import alarms
from scheduler.oncall.follow import follow
from scheduler.oncall.hours import ResponseTimes
from scheduler.oncall.incident import Book, Level, Rules, What
from scheduler.oncall.rotation import Roster

RULES = Rules(ResponseTimes("UTC"), Roster({}), (Level("anna", 5 * 60 * SECOND),))
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
START = 100 * 24 * HOUR
FAST = Alert("fast", Fraction(144, 10), HOUR, 5 * MINUTE)
SLOW = Alert("slow", Fraction(6), 6 * HOUR, 30 * MINUTE)
TICKET = Alert("creeping", Fraction(1), HOUR, 5 * MINUTE, severity="ticket")
WEEK = Objective("grid-week", "grid", Fraction(999, 1000), "7d")


def standing(now, *events, alerts=(FAST, SLOW, TICKET)):
    results = tuple(Result(at, "grid", status) for at, status in ((0, Status.OK), *events))
    return stand(prepare(History(now, objects=(Monitored("grid"),), results=results)), WEEK, alerts)


DOWN = (START, Status.CRITICAL)
UP = (START + 20 * MINUTE, Status.OK)


def book_of(rules, *changes):
    book = Book()
    for change in changes:
        book = follow(book, change, rules).book
    return book


def test_an_alert_that_fires_is_told_with_how_fast_it_burns_and_what_is_left():
    """60 s of an hour: 60/3600/0.001 = 16.7; of the week's 604.8 s 544.8 s are left. Over six hours it is 2.8: not slow."""
    (change,) = alarms.told(Book(), [standing(START + MINUTE, DOWN)], START + MINUTE)
    assert (change.what, change.object, change.cause) == (What.BAD, "error budget of grid-week: fast", "objective:grid-week")
    assert change.text == "grid burns its error budget 16.7 times too fast over 1 h; 9 min 5 s of it are left"


def test_only_alerts_that_page_open_incidents_and_all_of_one_objective_are_one_cause():
    found = list(alarms.told(Book(), [standing(START + 10 * MINUTE, DOWN)], START + 10 * MINUTE))
    assert [change.object.rpartition(" ")[2] for change in found] == ["fast", "slow"]
    assert {change.cause for change in found} == {"objective:grid-week"}


def test_the_severity_that_pages_has_no_case():
    loud = replace(FAST, severity="Page")
    (change,) = alarms.told(Book(), [standing(START + MINUTE, DOWN, alerts=(loud,))], START + MINUTE)
    assert change.object.endswith("fast")


def test_nothing_is_told_twice_and_the_end_is_told_when_the_alert_is_over():
    at = START + 10 * MINUTE
    book = book_of(RULES, *alarms.told(Book(), [standing(at, DOWN)], at))
    assert len(book.incidents) == 1
    assert list(alarms.told(book, [standing(at + MINUTE, DOWN)], at + MINUTE)) == []
    later = START + 27 * MINUTE
    (over,) = alarms.told(book, [standing(later, DOWN, UP)], later)
    assert (over.what, over.object) == (What.RECOVERED, "error budget of grid-week: fast"), "the last five minutes are well"
    much_later = START + 60 * MINUTE
    ended = list(alarms.told(book, [standing(much_later, DOWN, UP)], much_later))
    assert [change.what for change in ended] == [What.RECOVERED, What.RECOVERED]
    assert all(not one.bad for one in book_of(RULES, *alarms.told(Book(), [standing(at, DOWN)], at), *ended).incidents)


def test_what_is_not_known_neither_opens_nor_ends_an_incident():
    at = START + 10 * MINUTE
    unknown = (START, Status.UNKNOWN)
    assert list(alarms.told(Book(), [standing(at, unknown)], at)) == []
    book = book_of(RULES, *alarms.told(Book(), [standing(at, DOWN)], at))
    later = START + 40 * MINUTE
    still = standing(later, DOWN, (at, Status.UNKNOWN))
    assert list(alarms.told(book, [still], later)) == []


def test_an_alert_that_was_taken_out_of_the_files_ends():
    at = START + 10 * MINUTE
    book = book_of(RULES, *alarms.told(Book(), [standing(at, DOWN)], at))
    (gone,) = alarms.told(book, [standing(at, DOWN, alerts=(FAST,))], at)
    assert (gone.what, gone.object, gone.text) == (What.RECOVERED, "error budget of grid-week: slow", "retired")
    assert len(list(alarms.told(book, [], at))) == 2
