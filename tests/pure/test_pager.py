"""The daemon's pager: what goes bad opens an incident, whoever is on call is told, what recovers ends it."""

import threading
import time

import pytest
import structlog

from environments.problems import ConfigurationError, Problem
from scheduler.availability.history import Group, Member, Operator, Revision, Status
from scheduler.daemon.daemon import Daemon
from scheduler.daemon.pager import Pager
from scheduler.journal import outbox
from scheduler.journal.agreements import add_downtime
from scheduler.journal.incidents import all_incidents
from scheduler.journal.opening import JournalError
from scheduler.loop.lanes import ThreadRunner
from scheduler.model.clock import WallClock
from scheduler.model.instants import SECOND
from scheduler.oncall.incident import Book, Incident, IncidentEvent, What
from scheduler.oncall.standing import ObjectStanding, Structure
from scheduler.oncall.states import State
from scheduler.oncall.watch import Watching
from scheduler.oncall.watch import told as told_of
from tests.pure.test_engine import Farm

ON_CALL = """\
zone: Europe/Rome
people: {anna: {addresses: [{environment: NOBODY_SET_THIS}]}}
objects: [pool, "h*"]
escalation: {levels: [{notify: anna}]}
"""


@pytest.fixture
def farm():
    made = Farm()
    yield made
    made.journal.close()


@pytest.fixture
def pager(farm, tmp_path):
    (tmp_path / "oncall.yaml").write_text(ON_CALL)
    farm.order()
    return Pager(farm.engine, tmp_path / "oncall.yaml", "hill")


def test_a_host_that_does_not_answer_pages_once_and_is_self_healed_when_it_does(farm, pager):
    pager.round()
    assert all_incidents(farm.journal) == []
    farm.hosts["h2"].faults.silent = True
    for _ in range(3):
        farm.wait(30)
        farm.order()
        pager.round()
    [one] = all_incidents(farm.journal)
    assert "refused" in one.text, "what the host answered"
    assert (one.cause, one.state, one.bad) == ("object:h2", State.OPEN, ("h2",))
    assert [letter.person for letter in outbox.letters(farm.journal)] == ["anna"]
    assert "NOBODY_SET_THIS is not set" in outbox.letters(farm.journal)[0].error
    farm.hosts["h2"].faults.silent = False
    farm.wait(30)
    farm.order()
    pager.round()
    [one] = all_incidents(farm.journal)
    assert one.state is State.SELF_HEALED
    assert len(one.pages) == 1


def test_an_address_that_cannot_be_used_is_told_once_in_the_log_and_once_when_it_can(farm, pager, monkeypatch):
    farm.hosts["h2"].faults.silent = True
    with structlog.testing.capture_logs() as told:
        for _ in range(5):
            farm.wait(60)
            farm.order()
            pager.round()
        assert outbox.letters(farm.journal)[0].attempts > 1
        monkeypatch.setenv("NOBODY_SET_THIS", "json://127.0.0.1:1/")
        farm.wait(600)
        pager.round()
    notices = [line["problem"] for line in told if line["event"] == "notice"]
    assert notices == ["the environment variable NOBODY_SET_THIS is not set", "none any more"]


def test_only_the_daemon_that_acts_pages(farm, pager):
    farm.hosts["h2"].faults.silent = True
    farm.order()
    farm.engine.lease.leading = False
    assert pager.round() == 0
    assert all_incidents(farm.journal) == []


def test_a_wrong_on_call_file_is_told_and_the_last_good_one_stays_in_force(farm, pager, tmp_path, capsys):
    pager.round()
    (tmp_path / "oncall.yaml").write_text(ON_CALL.replace("notify: anna", "notify: ana"))
    farm.queue.faults.silent = True
    farm.wait(30)
    farm.order()
    for _ in range(2):
        pager.round()
    assert [one.cause for one in all_incidents(farm.journal)] == ["object:pool"]
    assert capsys.readouterr().out.count("there is no rotation or person 'ana'") == 1


def test_without_an_on_call_file_nobody_is_paged(farm, tmp_path):
    farm.hosts["h2"].faults.silent = True
    farm.order()
    assert Pager(farm.engine, tmp_path / "oncall.yaml", "hill").round() == 0
    assert all_incidents(farm.journal) == []


# --- from statuses to changes -----------------------------------------------------------------------------------------


def told(book, standing, at, objects=("*",), **more):
    return told_of(book, standing, at, Watching(objects, **more))


def standing(status, since=100 * SECOND, **more):
    return {"ce1": ObjectStanding(status, since, **more)}


def incident(**more):
    values = {
        "number": 1,
        "cause": "object:ce1",
        "state": State.OPEN,
        "bad_since": 200 * SECOND,
        "bad": ("ce1",),
        "objects": ("ce1",),
    }
    return Incident(**values | more)


@pytest.mark.parametrize("status", set(Status) - {Status.CRITICAL})
def test_only_critical_opens_an_incident(status):
    assert list(told(Book(), standing(status), 300 * SECOND)) == []


def test_critical_opens_one_once_it_is_confirmed_and_only_where_objects_are_watched():
    bad = standing(Status.CRITICAL)
    [change] = told(Book(), bad, 160 * SECOND, ("se-*", "ce?"), confirm=60 * SECOND)
    assert (change.what, change.object, change.at) == (What.BAD, "ce1", 160 * SECOND)
    assert list(told(Book(), bad, 160 * SECOND - 1, confirm=60 * SECOND)) == []
    assert list(told(Book(), bad, 160 * SECOND, ("se-*",))) == []
    assert list(told(Book(), standing(Status.CRITICAL, exists=False), 160 * SECOND)) == []


def test_what_is_bad_already_is_not_told_again_and_unknown_ends_nothing():
    book = Book((incident(),), 2)
    for status in (Status.CRITICAL, Status.UNKNOWN, Status.MISSING):
        assert list(told(book, standing(status), 300 * SECOND)) == []
    assert list(told(book, {}, 300 * SECOND)) == []


@pytest.mark.parametrize("status", [Status.OK, Status.WARNING])
def test_up_again_ends_it_and_so_does_retirement(status):
    book = Book((incident(),), 2)
    [change] = told(book, standing(status), 300 * SECOND)
    assert (change.what, change.object, change.cause) == (What.RECOVERED, "ce1", "object:ce1")
    [change] = told(book, standing(Status.CRITICAL, exists=False), 300 * SECOND)
    assert change.what is What.RECOVERED


def test_what_a_person_saw_is_not_ended_by_a_status_that_was_ok_all_along():
    book = Book((incident(opened_by="anna"),), 2)
    assert list(told(book, standing(Status.OK, 100 * SECOND), 300 * SECOND)) == []
    [change] = told(book, standing(Status.OK, 250 * SECOND), 300 * SECOND)
    assert change.what is What.RECOVERED


def test_what_a_person_resolved_while_bad_is_left_in_peace_until_it_can_no_longer_be_reopened():
    resolved = incident(state=State.RESOLVED, closed_at=250 * SECOND)
    assert list(told(Book((resolved,), 2), standing(Status.CRITICAL), 300 * SECOND)) == []
    [change] = told(Book((), 2), standing(Status.CRITICAL), 3000 * SECOND)
    assert change.what is What.BAD


def test_many_that_go_bad_at_once_are_one_incident_and_what_follows_soon_belongs_to_it():
    bad = {name: ObjectStanding(Status.CRITICAL, 100 * SECOND) for name in ("h1", "h2", "h3")}
    changes = list(told(Book(), bad, 120 * SECOND))
    assert {change.cause for change in changes} == {"common:1970-01-01T00:02:00Z"}
    assert [change.object for change in changes] == ["h1", "h2", "h3"]
    assert {change.cause for change in told(Book(), bad, 120 * SECOND, together=4)} == {""}
    assert {change.cause for change in told(Book(), bad, 120 * SECOND, together=0)} == {""}
    common = incident(cause="common:x", bad=("h1", "h2", "h3"), bad_since=120 * SECOND)
    later = bad | {"se1": ObjectStanding(Status.CRITICAL, 150 * SECOND)}
    [change] = told(Book((common,), 2), later, 180 * SECOND)
    assert (change.object, change.cause) == ("se1", "common:x")
    [change] = told(Book((common,), 2), later, 181 * SECOND)
    assert (change.object, change.cause) == ("se1", "")


def test_a_farm_that_falls_silent_pages_once(farm, pager):
    pager.round()
    farm.queue.faults.silent = True
    for host in farm.hosts.values():
        host.faults.silent = True
    farm.wait(30)
    farm.order()
    pager.round()
    [one] = all_incidents(farm.journal)
    assert sorted(one.objects) == ["h1", "h2", "pool"]
    assert len(one.pages) == 1
    farm.queue.faults.silent = False
    for host in farm.hosts.values():
        host.faults.silent = False
    farm.wait(30)
    farm.order()
    pager.round()
    assert [one.state for one in all_incidents(farm.journal)] == [State.SELF_HEALED]


def test_burn_rate_alerts_are_asked_once_a_minute_and_page(farm, tmp_path):
    (tmp_path / "oncall.yaml").write_text(ON_CALL)
    farm.order()
    asked = []

    def alarms(now):
        asked.append(now)
        return (
            [IncidentEvent(now, What.BAD, "error budget of grid: fast", "objective:grid", text="burns")]
            if len(asked) == 2
            else []
        )

    pager = Pager(farm.engine, tmp_path / "oncall.yaml", "hill", alarms)
    for _ in range(5):
        pager.round()
        farm.wait(20)
        farm.order()
    assert len(asked) == 2
    [one] = all_incidents(farm.journal)
    assert (one.cause, one.text) == ("objective:grid", "burns")
    assert [letter.person for letter in outbox.letters(farm.journal)] == ["anna"]


def test_a_group_pages_when_its_last_member_falls_silent_and_its_downtime_keeps_quiet(farm, tmp_path):
    (tmp_path / "oncall.yaml").write_text(ON_CALL.replace('[pool, "h*"]', "[hosts]"))
    hosts = Group("hosts", Operator.OR, (Member("h1"), Member("h2")))
    asked = []
    pager = Pager(farm.engine, tmp_path / "oncall.yaml", "hill", structure=lambda now: asked.append(now) or Structure((hosts,)))

    def silence(*names):
        for name, host in farm.hosts.items():
            host.faults.silent = name in names
        farm.wait(30)
        farm.order()
        pager.round()
        return [(one.cause, one.state, one.bad) for one in all_incidents(farm.journal)]

    assert silence() == silence("h1") == []
    assert silence("h1", "h2") == [("object:h2", State.OPEN, ("hosts",))]
    [letter] = outbox.letters(farm.journal)
    assert "because of h2" in letter.body
    assert silence("h1")[0][1] is State.SELF_HEALED
    now = round(farm.clock.now() * SECOND)
    span = Revision(now, now, now + 45 * SECOND)
    add_downtime(farm.journal, ["hosts"], span, reason="rewiring", author="anna", now=now)
    assert silence("h1", "h2")[1] == ("object:h2", State.QUIET, ("hosts",))
    assert silence("h1", "h2")[1][1] is State.OPEN, "its downtime is over, and it is still bad"
    assert len(asked) == 3, "once a minute"


def test_wrong_objectives_are_told_once_and_change_no_incident(farm, tmp_path):
    (tmp_path / "oncall.yaml").write_text(ON_CALL)
    farm.order()

    def alarms(_):
        raise ConfigurationError([Problem("slo.yaml", 3, 1, "spec", "is wrong")])

    with structlog.testing.capture_logs() as told:
        pager = Pager(farm.engine, tmp_path / "oncall.yaml", "hill", alarms)
        for _ in range(3):
            pager.round()
            farm.wait(70)
            farm.order()
    refused = [(one["file"], one["consequence"]) for one in told if one["event"] == "refused"]
    assert refused == [("slo.yaml", "no burn-rate alert is evaluated, and groups stay as they were")]
    assert all_incidents(farm.journal) == []


def test_a_pager_that_fails_is_told_and_stops_no_cycle(capsys):
    clock = WallClock()
    farm = Farm(clock=clock, runner=ThreadRunner(clock), poll_seconds=60)
    called = threading.Event()

    def fails():
        called.set()
        raise JournalError("the disk is full")

    daemon = Daemon(farm.engine, pager=fails)
    daemon.start()
    try:
        assert called.wait(10)
        end = time.monotonic() + 10
        while farm.orders.asked == 0 and time.monotonic() < end:
            time.sleep(0.02)
        assert farm.orders.asked == 1
    finally:
        daemon.stop()
        farm.journal.close()
    assert "the disk is full" in capsys.readouterr().out


def test_an_escalation_that_becomes_shorter_while_an_incident_stands_goes_on_with_its_next_round(farm, tmp_path):
    two = ON_CALL.replace("people: {", "people: {bruno: {}, ").replace("{notify: anna}", "{notify: anna}, {notify: bruno}")
    (tmp_path / "oncall.yaml").write_text(two)
    farm.order()
    pager = Pager(farm.engine, tmp_path / "oncall.yaml", "hill")
    farm.hosts["h2"].faults.silent = True
    farm.wait(30)
    farm.order()
    pager.round()
    (tmp_path / "oncall.yaml").write_text(ON_CALL)
    farm.wait(600)
    pager.round()
    [one] = all_incidents(farm.journal)
    assert [(page.person, page.level, page.round) for page in one.pages] == [("anna", 1, 1), ("anna", 1, 2)]
