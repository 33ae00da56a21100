"""Who leads: a counter that grows, watched by each on his own clock; on SQLite and on a real PostgreSQL alike."""

import threading

import pytest
import sqlalchemy as sa

from environments.reason import Reason
from scheduler.journal.journal import Journal, JournalError, LeaseLostError
from scheduler.journal.opening import SideFile
from scheduler.journal.records import Intent
from scheduler.loop.leading import ACTS_SHARE, Holder, Leadership
from scheduler.model.actions import Drain
from simulations.clock import START, SimulatedClock
from tests.lab.old_journal import to_form

HOURS = 3600
INTENT = Intent(Drain("el9-1", "idle", Reason("idle", "it is idle")))


class Daemons:
    """Daemons on one journal, each on a machine with a clock of its own."""

    def __init__(self, opened):
        self.opened = opened
        self.clocks = []
        self.journals = []

    def one(self, name, *, behind=0.0, watched=lambda clock: clock):
        clock = SimulatedClock(START - behind)
        clock.sleep(behind)  # its machine has been up for longer or shorter
        self.clocks.append(clock)
        self.journals.append(self.opened(clock.now()))
        return Leadership(self.journals[-1], watched(clock), name, 60)

    def wait(self, seconds):
        for clock in self.clocks:
            clock.sleep(seconds)


@pytest.fixture
def daemons(opened):
    return Daemons(opened)


@pytest.mark.parametrize("behind", [0, 5 * HOURS])
def test_a_standby_takes_over_when_the_counter_stood_still_on_its_own_clock(daemons, behind):
    first, second = daemons.one("a"), daemons.one("b", behind=behind)
    assert first.hold()
    for _ in range(20):
        daemons.wait(20)
        assert first.renew()
        assert not second.hold()
    for unmoved in (20, 40):
        daemons.wait(20)
        assert not second.can_be_taken()
        assert not second.hold()
        assert second.holder() == Holder("a", unmoved)
    daemons.wait(19)
    assert not second.hold()
    daemons.wait(1)
    assert second.can_be_taken()
    assert second.hold()
    assert not first.renew()
    with pytest.raises(LeaseLostError):
        daemons.journals[0].begin("a", START, [INTENT])
    assert not first.hold()
    assert first.holder().owner == "b"


@pytest.mark.parametrize("step", [-9 * HOURS, 9 * HOURS])
def test_a_set_wall_clock_of_either_gives_the_lease_to_nobody_and_keeps_it_from_nobody(daemons, step):
    first, second = daemons.one("a"), daemons.one("b")
    assert first.hold()
    for clock in daemons.clocks:
        clock.jump(step)
        for _ in range(8):
            daemons.wait(20)
            assert first.hold()
            assert not second.hold()
        step = -step
    for _ in range(2):
        daemons.wait(20)
        assert not second.hold()
    daemons.wait(20)
    assert second.hold()


def test_who_looks_for_the_first_time_watches_for_the_whole_time_of_a_lease(daemons):
    first = daemons.one("a")
    assert first.hold()
    daemons.wait(100 * HOURS)
    late = daemons.one("b")
    for _ in range(3):
        assert not late.hold()
        daemons.wait(20)
    assert late.hold()


def test_who_did_not_look_for_long_watches_anew(daemons):
    first, second = daemons.one("a"), daemons.one("b")
    assert first.hold()
    assert not second.hold()
    daemons.wait(61)  # all machines stood still: whoever wakes first must not throw the other out
    assert not second.hold()
    assert first.hold()


def test_a_lease_that_was_given_back_is_taken_at_once(daemons):
    first, second = daemons.one("a"), daemons.one("b")
    assert first.hold()
    assert not second.hold()
    first.release()
    assert second.can_be_taken()
    assert second.hold()
    assert second.holder() == Holder()


def test_two_processes_of_one_name_are_two_daemons(daemons):
    first, second = daemons.one("farm1:1"), daemons.one("farm1:1")
    assert first.hold()
    assert not second.hold()
    assert first.hold()
    with pytest.raises(LeaseLostError):
        daemons.journals[1].begin("farm1:1", START, [INTENT])


def test_a_daemon_acts_for_less_than_the_time_that_others_wait(daemons):
    first = daemons.one("a")
    begun = daemons.clocks[0].monotonic()
    assert first.hold()
    assert first.acts_until == begun + 60 * ACTS_SHARE < begun + 60


def test_a_command_that_needs_the_lease_watches_whoever_has_not_given_it_back(daemons):
    first, told = daemons.one("a"), []
    assert first.hold()
    daemons.journals[0].close()  # killed, with nothing that proves it
    second = daemons.one("once")
    begun = daemons.clocks[1].monotonic()
    with_file = daemons.journals[1].holder_lives
    assert with_file() is False
    if second.hold():
        return  # SQLite: its side file has proven the first one dead
    assert second.wait(told.append)
    assert (told, 60 <= daemons.clocks[1].monotonic() - begun < 62) == (["a"], True)


def test_a_command_that_needs_the_lease_gives_up_when_its_holder_renews_it(daemons):
    first, told = daemons.one("a"), []
    assert first.hold()

    class Passing:
        def __init__(self, clock):
            self.now, self.monotonic = clock.now, clock.monotonic
            self.clock = clock

        def sleep(self, seconds):
            self.clock.sleep(seconds)
            first.renew()

    second = daemons.one("once", watched=Passing)
    assert not second.wait(told.append)
    assert second.holder().owner == "a"


def test_of_two_standbys_that_see_the_same_one_takes_over(daemons):
    first, *standbys = (daemons.one(name) for name in "abc")
    assert first.hold()
    for _ in range(3):
        assert not any(one.hold() for one in standbys)
        daemons.wait(20)
    unmoved = daemons.journals[0].lease()
    takes = [
        journal.hold_lease(name, START, 60, unmoved=unmoved) for name, journal in zip("bc", daemons.journals[1:], strict=True)
    ]
    assert takes == [True, False]


def test_a_takeover_and_an_intent_wait_for_each_other(opened):
    first, second = opened(), opened(busy_seconds=120)
    assert first.hold_lease("a", 100, 60)
    unmoved, order = first.lease(), []

    def take():
        assert second.hold_lease("b", 200, 60, unmoved=unmoved)
        order.append("taken")

    thread = threading.Thread(target=take)
    with first.write("begin") as connection:
        first.fence(connection, "a")
        thread.start()
        thread.join(0.5)
        order.append("written")
    thread.join(120)
    assert order == ["written", "taken"]


def test_an_intent_without_the_lease_is_refused_by_the_very_statement_that_writes_it(opened):
    first = opened()
    assert first.hold_lease("a", 100, 60)
    first.fence = lambda *_: None
    assert opened().hold_lease("b", 200, 60, unmoved=first.lease())
    [answer] = first.begin("a", 201, [INTENT])
    assert "cannot write (begin)" in answer
    assert first.ledger().intents == ()


@pytest.mark.real
def test_a_daemon_that_stands_still_within_a_write_keeps_no_standby_waiting(server):
    url = server.url("stands")
    first, second = Journal(url, now=1, busy_seconds=0.5), Journal(url, now=1, busy_seconds=5)
    assert first.hold_lease("a", 100, 60)
    with pytest.raises(JournalError), first.write("begin") as connection:  # noqa: PT012 - frozen here, until the server ends it
        first.fence(connection, "a")
        assert second.hold_lease("b", 200, 60, unmoved=second.lease())
        first.fence(connection, "a")
    for one in (first, second):
        one.close()


@pytest.mark.real
def test_with_postgresql_the_next_daemon_of_the_machine_knows_at_once_that_the_last_one_died(server, tmp_path):
    url = server.url("machine")
    first = Journal(url, now=1, side_file=tmp_path / "lease")
    elsewhere = Journal(url, now=1, side_file=tmp_path / "other")
    second = Journal(url, now=1, side_file=tmp_path / "lease")
    assert first.hold_lease("a", 100, 60)
    assert not second.hold_lease("b", 101, 60)
    assert second.holder_lives()
    first.close()  # the kernel takes the lock back
    assert not elsewhere.hold_lease("c", 102, 60), "another machine knows nothing of that lock"
    assert not second.holder_lives()
    assert second.hold_lease("b", 102, 60)
    for one in (elsewhere, second):
        one.close()


def test_the_side_file_of_a_machine_is_named_by_its_boot(tmp_path):
    one, other = SideFile(None, tmp_path / "lease"), SideFile(None, tmp_path / "lease")
    name = one.take()
    assert name == other.name()
    assert name.count(":") == 2
    assert other.take() == ""
    one.let_go()
    assert other.take() == name
    assert SideFile(None, tmp_path / "nowhere/lease").take() == ""
    assert SideFile(None).take() == SideFile(None).name() == ""


def test_a_standby_of_an_older_version_does_not_take_over_a_journal_that_was_upgraded_meanwhile(opened, url):
    first, second = opened(), opened()
    assert first.hold_lease("a", 100, 60)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(JournalError, match="was written by a newer Ambienti"):
        second.hold_lease("b", 200, 60, unmoved=second.lease())
    assert first.hold_lease("a", 201, 60)


def test_the_lease_of_an_older_form_is_read(url, opened):
    from scheduler.journal.upgrading import upgrade

    engine = to_form(url, "0011")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE lease SET owner = 'old', epoch = 7, until = 1.0, locked = :yes"), {"yes": True})
    engine.dispose()
    upgrade(url, SimulatedClock(), 60)
    lease = opened().lease()
    assert (lease.owner, lease.epoch, lease.renewals, lease.lock) == ("old", 7, 0, "beside")
