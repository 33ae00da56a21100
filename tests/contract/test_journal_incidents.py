"""Incidents and the outbox keep their promises on SQLite and on a real PostgreSQL alike."""

import threading
from dataclasses import replace

import pytest

from scheduler.availability.history import Downtime, Group, Member, Operator, Recurrence, Revision
from scheduler.journal import outbox
from scheduler.journal.agreements import add_downtime, revise_downtime
from scheduler.journal.incidents import all_incidents, incident, quiets
from scheduler.journal.records import Declared, Push
from scheduler.journal.statuses import declare, push
from scheduler.model.instants import SECOND
from scheduler.model.ports import SourceError
from scheduler.oncall.hours import ResponseTimes
from scheduler.oncall.incident import DecisionKind, IncidentEvent, Level, Rules, What
from scheduler.oncall.rotation import Roster
from scheduler.oncall.standing import Structure
from scheduler.oncall.states import State
from scheduler.oncall.watch import Watching
from scheduler.publish.paging import PagingRules, deliver, happened
from tests.pure.oncall_oracle import simulate

MINUTE = 60 * SECOND
NOW = 1_772_438_400 * SECOND
"""Monday 2026-03-02 09:00 in Rome."""
RULES = Rules(
    ResponseTimes("Europe/Rome"), Roster({}), (Level("anna", 10 * MINUTE), Level("bruno", 10 * MINUTE)), 1, 15 * MINUTE
)
DESK = PagingRules("perugia", "Europe/Rome", RULES, {"anna": ("file:anna.url", "environment:ANNA"), "bruno": ()})


def bad(at, name="ce1", cause=""):
    return IncidentEvent(at, What.BAD, name, cause, text="no route")


def kinds(decisions):
    return [line.kind for line in decisions]


def test_an_incident_comes_back_from_the_journal_as_it_was(journal, opened):
    happened(journal, [bad(NOW, cause="san")], DESK, NOW)
    happened(journal, [bad(NOW + MINUTE, "ce2", "san")], DESK, NOW + MINUTE)
    happened(journal, [IncidentEvent(NOW + 2 * MINUTE, What.ACKNOWLEDGED, incident=1, by="anna")], DESK, NOW + 2 * MINUTE)
    happened(journal, [IncidentEvent(NOW + 9 * MINUTE, What.RECOVERED, cause="san")], DESK, NOW + 9 * MINUTE)
    changes = [
        bad(NOW, cause="san"),
        bad(NOW + MINUTE, "ce2", "san"),
        IncidentEvent(NOW + 2 * MINUTE, What.ACKNOWLEDGED, incident=1, by="anna"),
        IncidentEvent(NOW + 9 * MINUTE, What.RECOVERED, cause="san"),
    ]
    assert [incident(opened(), 1)] == list(simulate(changes, RULES, NOW + 9 * MINUTE).incidents)
    assert all_incidents(journal, standing=True) == []
    assert incident(journal, 2) is None


def test_every_decision_is_a_line_of_the_event_log(journal):
    happened(journal, [bad(NOW)], DESK, NOW)
    happened(journal, [], DESK, NOW + 10 * MINUTE)
    told = journal.events(subject="incident-1")
    assert [event.note.cause for event in told] == ["opened", "paged", "paged"]
    assert told[1].note.detail["person"] == "anna"
    assert [event.at for event in told] == [NOW / SECOND, NOW / SECOND, NOW / SECOND + 600]
    assert [event.note.cause for event in journal.events(subject="bruno")] == ["no-address"]


def test_nothing_happened_is_nothing_written(journal):
    happened(journal, [], DESK, NOW)
    happened(journal, [bad(NOW)], DESK, NOW)
    before = journal.events()
    assert happened(journal, [], DESK, NOW + MINUTE) == ()
    assert journal.events() == before


def test_an_incident_that_ended_long_ago_is_not_reopened_and_its_number_is_not_used_again(journal):
    happened(journal, [bad(NOW)], DESK, NOW)
    happened(journal, [IncidentEvent(NOW + MINUTE, What.RECOVERED, "ce1")], DESK, NOW + MINUTE)
    assert kinds(happened(journal, [bad(NOW + 16 * MINUTE)], DESK, NOW + 16 * MINUTE))[0] is DecisionKind.REOPENED
    happened(journal, [IncidentEvent(NOW + 17 * MINUTE, What.RECOVERED, "ce1")], DESK, NOW + 17 * MINUTE)
    later = NOW + 17 * MINUTE + RULES.reopen + 1
    happened(journal, [], DESK, later)
    assert kinds(happened(journal, [bad(later)], DESK, later))[0] is DecisionKind.OPENED
    assert [one.number for one in all_incidents(journal)] == [1, 2]
    assert len(incident(journal, 1).calls) == 2


def test_after_a_long_sleep_one_page_is_due_and_not_a_heap_of_them(journal):
    happened(journal, [bad(NOW)], DESK, NOW)
    assert kinds(happened(journal, [], DESK, NOW + 300 * MINUTE)) == [DecisionKind.PAGED]


def test_downtimes_of_the_journal_are_quiet_from_their_declaration_to_their_last_revision(journal):
    hour = 60 * MINUTE
    span = Revision(NOW - hour, NOW, NOW + 2 * hour, "anna")
    name = add_downtime(journal, ["ce1"], span, reason="disks", author="anna", now=NOW - hour)
    assert kinds(happened(journal, [bad(NOW + MINUTE)], DESK, NOW + MINUTE)) == [DecisionKind.QUIET]
    assert outbox.letters(journal) == []
    assert happened(journal, [], DESK, NOW + hour) == ()
    revise_downtime(journal, name, replace(span, declared_at=NOW + hour + 1, end=NOW + hour + 1), "ended")
    found = happened(journal, [], DESK, NOW + hour + MINUTE)
    assert kinds(found) == [DecisionKind.OPENED, DecisionKind.PAGED]
    [one] = all_incidents(journal, standing=True)
    assert (one.state, one.bad_since, one.opened_at) == (State.OPEN, NOW + MINUTE, NOW + hour + MINUTE)
    assert [letter.address for letter in outbox.letters(journal, 1)] == ["file:anna.url", "environment:ANNA"]


def test_each_declaration_of_a_downtime_holds_until_the_next_one():
    first, second = Revision(100, 1000, 2000), Revision(1500, 1000, 1800)
    found = list(quiets(Downtime("d1", ("ce1",), (first, second)), NOW))
    assert [(one.start, one.end, one.declared_at) for one in found] == [(1000, 1500, 100), (1000, 1800, 1500)]
    assert [at for at in (999, 1000, 1499, 1500, 1799, 1800, 1999) if any(one.covers("ce1", at) for one in found)] == [
        1000,
        1499,
        1500,
        1799,
    ]
    late = list(quiets(Downtime("d2", ("*",), (Revision(1500, 1000, 2000),)), NOW))
    assert [at for at in (1000, 1499, 1500) if any(one.covers("ce9", at) for one in late)] == [1500]


def test_a_recurring_downtime_is_quiet_each_time():
    weekly = Recurrence("FREQ=WEEKLY;BYDAY=MO", "Europe/Rome", "2026-03-02T09:00:00", 60 * MINUTE)
    found = list(quiets(Downtime("d1", ("ce1",), recurrence=weekly, declared_at=0), NOW + 1))
    week = 7 * 24 * 60 * MINUTE
    assert [any(one.covers("ce1", NOW + at) for one in found) for at in (0, 59 * MINUTE, 60 * MINUTE, week)] == [
        True,
        True,
        False,
        True,
    ]


def test_two_writers_never_open_two_incidents_of_one_cause(opened):
    journals = [opened() for _ in range(4)]
    start = threading.Barrier(4)

    def tell(journal, number):
        start.wait(120)
        happened(journal, [bad(NOW + number, f"ce{number}", "san")], DESK, NOW + 10)

    threads = [threading.Thread(target=tell, args=(journal, number)) for number, journal in enumerate(journals)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    [one] = all_incidents(journals[0])
    assert sorted(one.objects) == ["ce0", "ce1", "ce2", "ce3"]
    assert len(one.pages) == 1
    assert len(outbox.letters(journals[0])) == 2


class Refuses:
    def __init__(self, times):
        self.times = times
        self.keys = []

    def send(self, notice):
        self.keys.append(notice.key)
        if len(self.keys) <= self.times:
            raise SourceError("mail", "notice", "451 try again")


def test_a_letter_is_tried_with_longer_and_longer_waits_under_one_key(journal):
    happened(journal, [bad(NOW)], replace(DESK, addresses={"anna": ("file:a",)}), NOW)
    server, clock, gaps = Refuses(8), NOW, []
    while not outbox.letters(journal)[0].outcome:
        deliver(journal, lambda *_: server, lambda: clock)  # noqa: B023 - called at once
        [letter] = outbox.letters(journal)
        assert outbox.due(journal, letter.due_at - 1) == []
        gaps.append((letter.due_at - clock) // SECOND)
        clock = letter.due_at
    assert gaps == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert set(server.keys) == {"incident-1-page-1.anna.0@perugia"}
    assert (letter.attempts, letter.outcome, letter.error) == (9, "sent", "")


def test_letters_that_nobody_takes_are_counted(journal):
    happened(journal, [bad(NOW)], DESK, NOW)
    assert outbox.waiting(journal, NOW) == outbox.Undelivered({"waiting": 2, "failing": 0, "given-up": 0}, 0)
    deliver(journal, lambda *_: Refuses(9), lambda: NOW)
    assert outbox.waiting(journal, NOW + MINUTE) == outbox.Undelivered({"waiting": 0, "failing": 2, "given-up": 0}, MINUTE)
    over = NOW + outbox.GIVE_UP
    deliver(journal, lambda *_: Refuses(9), lambda: over)
    assert outbox.waiting(journal, over) == outbox.Undelivered({"waiting": 0, "failing": 0, "given-up": 2}, 0)
    assert outbox.waiting(journal, over + outbox.GIVE_UP).count["given-up"] == 0


def test_a_group_is_quiet_while_what_makes_it_bad_is_in_a_downtime(journal):
    second, core = NOW // SECOND, Group("core", Operator.AND, (Member("dns"), Member("voms")))
    paging_rules = replace(DESK, watching=Watching(("core",)), structure=Structure((core,)))
    declare(journal, "a", second, [Declared("dns"), Declared("voms")])
    add_downtime(journal, ("dns",), Revision(NOW, NOW, NOW + 9 * MINUTE, "ann"), reason="disk", author="ann", now=NOW)
    for name, status in (("dns", 2), ("voms", 0)):
        push(journal, "a", second, second, Push(name, status))
    assert kinds(happened(journal, (), paging_rules, NOW + MINUTE, watching=True)) == [DecisionKind.QUIET]
    assert kinds(happened(journal, (), paging_rules, NOW + 8 * MINUTE)) == []
    assert kinds(happened(journal, (), paging_rules, NOW + 9 * MINUTE, watching=True)) == [
        DecisionKind.OPENED,
        DecisionKind.PAGED,
    ]
    assert incident(journal, 1).cause == "object:dns"


def test_a_letter_is_begun_by_one_sender_only(journal, opened):
    happened(journal, [bad(NOW)], DESK, NOW)
    first, *_ = outbox.due(journal, NOW)
    other = opened()
    assert outbox.begin(journal, first, NOW)
    assert not outbox.begin(other, first, NOW)


@pytest.mark.parametrize("of", ["no address", "broken address"])
def test_an_address_that_cannot_be_had_is_told_and_tried_again(journal, of):
    happened(journal, [bad(NOW)], DESK, NOW)

    def refuse(person, place):
        raise ValueError(f"{of}: {place}")

    assert deliver(journal, refuse, lambda: NOW) == 0
    assert [letter.error for letter in outbox.letters(journal)] == [f"{of}: file:anna.url", f"{of}: environment:ANNA"]
    assert [event.note.cause for event in journal.events(subject="anna")] == ["failed", "failed"]


def test_a_status_that_others_report_opens_and_ends_an_incident(journal):
    second = NOW // SECOND
    declare(journal, "a", second, [Declared("dns")])

    def report(status, at, text=""):
        push(journal, "a", at, at, Push("dns", status, text, at=at))
        return kinds(happened(journal, (), DESK, round(at * SECOND), watching=True))

    assert report(0, second + 1) == []
    assert report(2, second + 2, "no answer on port 53") == [DecisionKind.OPENED, DecisionKind.PAGED]
    assert report(2, second + 3) == []
    assert report(3, second + 4) == []
    assert "no answer on port 53" in outbox.letters(journal)[0].body
    assert report(1, second + 5) == [DecisionKind.SELF_HEALED]
    assert report(2, second + 6) == [DecisionKind.REOPENED, DecisionKind.PAGED]


class Takes:
    """Takes every notice, but fails in an unforeseen way at the first one."""

    def __init__(self):
        self.notices = []

    def send(self, notice):
        self.notices.append(notice)
        if len(self.notices) == 1:
            raise KeyError("a fault of the library")


def test_a_notifier_that_fails_in_an_unforeseen_way_fails_that_notice_alone(journal):
    happened(journal, [bad(NOW)], DESK, NOW)
    server = Takes()
    assert deliver(journal, lambda *_: server, lambda: NOW) == 1
    errors = sorted(letter.error for letter in outbox.letters(journal))
    assert errors[0] == ""
    assert "KeyError" in errors[1]


def test_no_control_character_reaches_a_notice_and_a_subject_is_one_line(journal):
    hostile = "x\x1b[2J\r\nBcc: evil@example.org \u202e"
    happened(journal, [bad(NOW, "ce1", hostile)], DESK, NOW)
    server = Takes()
    deliver(journal, lambda *_: server, lambda: NOW)
    assert server.notices
    for notice in server.notices:
        assert notice.subject.isprintable()
        assert notice.body.replace("\n", "").isprintable()
