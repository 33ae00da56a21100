"""The daemon's own loop, in this process: storms of events, errors, the ticker, files taken up."""

import threading
import time
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from environments.problems import Problem
from scheduler.daemon.daemon import Daemon
from scheduler.daemon.stuck import longest_cycle_seconds
from scheduler.loop.lanes import ThreadRunner
from scheduler.model.actions import Drain
from scheduler.model.clock import WallClock
from scheduler.model.policy import Limits
from scheduler.model.ports import EventKind
from scheduler.model.readings import Unanswered
from tests.pure.test_engine import EL9, WHY, Farm, boot


@pytest.fixture
def farm():
    clock = WallClock()
    made = Farm(clock=clock, runner=ThreadRunner(clock), poll_seconds=60)
    yield made
    made.journal.close()


def until(holds, seconds=120.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def daemon(farm):
    made = Daemon(farm.engine)
    yield made
    made.stop()


def test_a_storm_of_events_starts_one_cycle_not_a_storm_of_them(farm, daemon):
    daemon.start()
    until(lambda: farm.orders.asked == 1)
    for _ in range(300):
        farm.hosts["h1"].notify("el9-1", EventKind.CRASHED)
    until(lambda: farm.orders.asked == 2)
    for _ in range(300):
        farm.hosts["h1"].notify("", EventKind.HOST_BACK)
    time.sleep(1.0)
    assert farm.orders.asked == 2, "the next one waits for its gap"
    until(lambda: farm.orders.asked == 3)
    time.sleep(0.5)
    assert farm.orders.asked == 3


def test_started_domains_wake_nobody(farm, daemon):
    daemon.start()
    until(lambda: farm.orders.asked == 1)
    farm.hosts["h1"].notify("el9-1", EventKind.STARTED)
    time.sleep(0.8)
    assert farm.orders.asked == 1


def test_the_loop_outlives_an_error_of_its_own_and_says_so(farm, daemon):
    real, broken = farm.orders.decide, []

    def decide(observation, policy):
        if not broken:
            broken.append(1)
            raise ZeroDivisionError("a bug")
        return real(observation, policy)

    farm.orders.decide = decide
    daemon.start()
    until(lambda: broken and not daemon._turn.running)
    well, told = daemon._shown.health()
    assert (well, told["problem"]) == (False, "cycle: ZeroDivisionError: a bug")
    daemon._want_cycle()
    until(lambda: daemon._shown.health()[0])


def test_new_definitions_come_into_force_before_the_next_cycle_and_change_its_pace(farm):
    new = replace(farm.policy, limits=Limits(poll_seconds=1))
    offered = [None, new]
    forced = []
    daemon = Daemon(farm.engine, refresh=lambda force: forced.append(force) or (offered.pop(0) if offered else None))
    daemon.start()
    try:
        until(lambda: farm.orders.asked == 1)
        daemon._reload.set()
        daemon._want_cycle()
        until(lambda: farm.engine.policy is new)
        until(lambda: farm.orders.asked >= 4)
        assert forced[:3] == [False, True, False]
    finally:
        daemon.stop()


def test_files_that_are_right_again_are_told_once_though_nothing_changed_in_them(farm):
    wrong = [(), (Problem("site.yaml", 1, 1, "limits", "is not a known key"),), ()]
    now_wrong = [()]

    def refresh(_forced):
        now_wrong[0] = wrong.pop(0) if wrong else ()

    daemon = Daemon(farm.engine, refresh=refresh, refused=lambda: now_wrong[0])
    with capture_logs() as said:
        daemon.start()
        try:
            for asked in (1, 2, 3, 4):
                until(lambda asked=asked: farm.orders.asked >= asked)
                daemon._want_cycle()
        finally:
            daemon.stop()
    assert [line["event"] for line in said].count("files: all is well again") == 1


def test_a_domain_that_ends_before_the_next_look_after_its_drain_is_no_warning(farm, daemon):
    for serial in (1, 2):
        farm.order(boot(serial))
        farm.queue.register(f"el9-{serial}", EL9, farm.queue.token(f"el9-{serial}"), "h1")
        farm.order()
    daemon.start()
    until(lambda: farm.orders.asked == 5)
    farm.order(Drain("el9-1", "idle", WHY))
    with capture_logs() as said:
        for serial in (1, 2):
            farm.hosts["h1"].stop(f"el9-{serial}", EventKind.STOPPED)
            until(lambda n=serial: any(line.get("worker") == f"el9-{n}" and "domain" in line["event"] for line in said))
    ends = {line["worker"]: line["event"] for line in said if "domain" in line["event"]}
    assert ends == {"el9-1": "domain ended, after its drain", "el9-2": "domain ended by itself"}


def test_a_daemon_that_stops_lets_the_act_that_runs_end_and_gives_the_lease_back(farm):
    daemon = Daemon(farm.engine)
    daemon.start()
    until(lambda: farm.orders.asked == 1)
    daemon.stop()
    assert farm.journal.lease().owner == ""
    assert not isinstance(farm.engine.last.observation.hosts["h1"], Unanswered)


def test_a_loop_that_stands_says_where_and_its_lease_is_not_renewed(farm, caplog):
    hangs = threading.Event()

    def look_at_files(_forced):
        hangs.wait(30)

    daemon = Daemon(farm.engine, refresh=look_at_files)
    farm.engine.lease.hold()
    before = farm.journal.lease().renewals
    daemon.start()
    try:
        until(lambda: daemon._turn.running)
        daemon._renew()
        renewed = farm.journal.lease().renewals
        assert renewed > before, "a cycle that takes long keeps its lease"
        daemon._turn.begun_at -= longest_cycle_seconds(farm.policy.limits) + 1
        daemon._watch()
        daemon._watch()
        daemon._renew()
        assert farm.journal.lease().renewals == renewed
        well, told = daemon._shown.health()
        assert not well
        assert "the loop stands: a cycle began 2" in told["problem"]
        assert "test_daemon_loop.py" in told["problem"]
        assert "look_at_files" in told["problem"]
        hangs.set()
        until(lambda: farm.orders.asked >= 1 and not daemon._turn.running)
        daemon._watch()
        assert daemon._shown.health()[0]
    finally:
        hangs.set()
        daemon.stop()
