"""The real `ambienti run` as a process: what it shows, how it ends, who leads, and what it does when parts of the farm fail.

Hosts are a real libvirtd (LXC); the batch system is the simulated queue in a process of its own.
"""

import json
import os
import signal
import socket
import sqlite3
import time
import urllib.error
import urllib.request

import pytest

from scheduler.commands.daemon import ask
from tests.lab.crashes import CrashFarm
from tests.lab.libvirtd import Libvirtd
from tests.lab.ports import free_port
from tests.lab.postgresql import PostgreSQL

pytestmark = [pytest.mark.real, pytest.mark.lane]


@pytest.fixture(scope="module")
def libvirtd():
    running = Libvirtd(f"daemon-{os.getpid()}", dies_with_parent=True)
    running.start()
    yield running
    running.remove()


class Running:
    """A farm with its daemons."""

    def __init__(self, directory, libvirtd, **options):
        self.port = free_port()
        self.farm = CrashFarm(directory, libvirtd, listen=f"127.0.0.1:{self.port}", **options)
        self.daemons = []

    def start(self, *words):
        self.daemons.append(self.farm.start(*words))
        return self.daemons[-1]

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def health(self):
        status, text = self.get("/healthz")
        return (status, json.loads(text)) if text else (0, {})

    def until(self, holds, seconds=120.0):
        until = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < until, f"not within {seconds} s\n{self.farm.log()}"
            time.sleep(0.03)
        return found

    def boot_workers(self, jobs):
        self.farm.queue.submit(jobs)
        self.until(lambda: len(self.farm.queue.running()) == jobs, 240)

    def close(self):
        for daemon in self.daemons:
            if daemon.poll() is None:
                daemon.kill()
            daemon.wait(120)
        self.farm.close()


@pytest.fixture
def make(tmp_path, libvirtd):
    made = []

    def one(**options):
        made.append(Running(tmp_path, libvirtd, **options))
        return made[-1]

    yield one
    for running in made:
        running.close()


@pytest.fixture
def running(make):
    return make()


def test_jobs_get_workers_and_without_jobs_no_worker_is_left(running):
    running.start()
    running.boot_workers(3)
    assert len(running.farm.domains()) == 3
    with running.farm.journal() as journal:
        running.until(lambda: len(journal.sightings(opened=True)) == 3)
        running.farm.queue.complete_all()
        running.until(lambda: not running.farm.domains(), 240)
        running.until(lambda: not journal.ledger().entries)
        assert {(s.job, s.environment) for s in journal.sightings()} == {(f"1.{n}", "el9") for n in range(3)}
        kinds = {event.note.kind for event in journal.events()}
    assert {"boot-begun", "boot-ended", "state", "drain-begun", "drain-ended", "power-off-begun", "power-off-ended"} <= kinds
    assert running.farm.leftovers() == set()


def test_it_shows_its_health_its_metrics_and_its_last_observation(running):
    running.start()
    running.boot_workers(2)
    running.until(lambda: 'ambienti_workers{environment="el9",state="busy"} 2.0' in running.get("/metrics")[1])
    status, health = running.health()
    assert (status, health["status"], health["leading"], health["workers"]) == (200, "ok", True, 2)
    assert health["sources"] == {"pool": {"answers": True}, "lxc1": {"answers": True}}
    assert running.get("/snapshot")[0] == 401
    local = ask(running.farm.directory / "state/daemon.sock", "/snapshot", seconds=60)
    assert (local.code, len(json.loads(local.content)["observation"]["workers"])) == (200, 2)
    metrics = running.get("/metrics")[1]
    assert 'ambienti_actions_total{action="boot",outcome="done"} 2.0' in metrics
    assert 'ambienti_source_up{kind="batch",source="pool"} 1.0' in metrics
    assert 'ambienti_incidents{class="business hours",state="open"} 0.0' in metrics
    assert 'ambienti_notices{state="failing"} 0.0' in metrics
    assert running.get("/nothing")[0] == 404


def test_sigterm_ends_it_cleanly_and_gives_the_lease_back(running):
    daemon = running.start()
    running.boot_workers(1)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(60) == 0
    with running.farm.journal() as journal:
        assert journal.lease().owner == ""
        assert journal.ledger().intents == ()
    assert len(running.farm.domains()) == 1, "workers run on"


def test_a_second_daemon_waits_and_takes_over_when_the_first_is_killed(running):
    first = running.start()
    running.boot_workers(1)
    with running.farm.journal() as journal:
        owner = journal.lease().owner
    running.farm.write_site(listen="")
    running.start()
    running.until(lambda: "waits: another daemon holds the lease" in running.farm.log())
    running.farm.queue.submit(2)
    running.until(lambda: len(running.farm.queue.running()) == 3, 240)
    with running.farm.journal() as journal:
        assert journal.lease().owner == owner, "the second has not acted"
    first.kill()
    first.wait(120)
    with running.farm.journal() as journal:
        running.until(lambda: journal.lease().owner not in {"", owner})
    running.farm.queue.complete_all()
    running.until(lambda: not running.farm.domains(), 240)


def test_sighup_and_changed_files_come_into_force_and_wrong_ones_do_not(running):
    daemon = running.start()
    running.until(lambda: running.health()[0] == 200)
    vo = running.farm.directory / "vos/atlas.yaml"
    good = json.loads(vo.read_text())
    good["environments"]["el9"]["minimum_workers"] = 2
    vo.write_text(json.dumps(good))
    running.until(lambda: len(running.farm.domains()) == 2, 240)
    vo.write_text(vo.read_text().replace("minimum_workers", "minimum_wrkers"))
    daemon.send_signal(signal.SIGHUP)
    running.until(lambda: "minimum_wrkers" in running.farm.log())
    assert "minimum_workers" in running.farm.log(), "the nearest key is named"
    time.sleep(2.5)
    assert daemon.poll() is None
    assert len(running.farm.domains()) == 2, "the last good definition stays in force"


def test_the_ads_of_a_worker_that_dies_are_invalidated_long_before_the_next_poll(make):
    running = make(limits={"poll_seconds": 60})
    running.start()
    running.boot_workers(2)
    victim = running.farm.domains()[0]
    begun = time.monotonic()
    running.farm.destroy(victim)
    running.until(lambda: any(call[1:] == ("forget", (victim,)) for call in running.farm.queue.calls), 300)
    told = next(at for at, what, first in running.farm.queue.calls if (what, first) == ("forget", (victim,)))
    assert told - begun < 30
    running.until(lambda: len(set(running.farm.domains())) == 2, 300)
    assert victim not in running.farm.domains(), "its job waits again and gets a new worker long before the next poll"


def test_a_host_that_hangs_costs_one_deadline_and_then_nothing(make):
    running = make(limits={"reading_deadline_seconds": 2})
    running.start()
    running.boot_workers(1)
    running.farm.libvirtd.freeze()
    try:
        running.until(lambda: not running.health()[1]["sources"]["lxc1"]["answers"], 120)
        status, health = running.health()
        assert (status, health["sources"]["pool"]) == (200, {"answers": True})
        running.until(lambda: running.health()[1]["last_cycle_seconds"] < 1.5, 120)
        with running.farm.journal() as journal:
            running.until(lambda: [e.state.value for e in journal.ledger().entries.values()] == ["unseen"])
    finally:
        running.farm.libvirtd.thaw()
    running.until(lambda: running.health()[1]["sources"]["lxc1"]["answers"], 240)
    with running.farm.journal() as journal:
        running.until(lambda: [e.state.value for e in journal.ledger().entries.values()] == ["busy"], 240)
    assert len(running.farm.domains()) == 1


def test_a_journal_that_cannot_be_written_stops_acting_not_the_daemon(running):
    daemon = running.start()
    running.until(lambda: running.health()[0] == 200)
    locker = sqlite3.connect(running.farm.directory / "ambienti.db", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    try:
        running.farm.queue.submit(2)
        running.until(lambda: running.health()[0] == 503, 240)
        assert running.health()[1]["problem"] == "journal", "the network is told no more"
        assert "another process keeps it locked" in running.farm.log()
        assert running.farm.domains() == []
        assert daemon.poll() is None
    finally:
        locker.execute("ROLLBACK")
        locker.close()
    running.until(lambda: len(running.farm.queue.running()) == 2, 240)
    assert running.health()[0] == 200


def test_a_lost_journal_is_made_anew_and_the_farm_adopted(running):
    daemon = running.start()
    running.boot_workers(2)
    domains = running.farm.uuids()
    daemon.kill()
    daemon.wait(120)
    for path in running.farm.directory.glob("ambienti.db*"):
        path.unlink()
    running.start()
    running.until(lambda: running.health()[0] == 200)
    with running.farm.journal() as journal:
        running.until(lambda: set(journal.ledger().entries) == set(domains))
        assert {e.origin for e in journal.ledger().entries.values()} == {"adopted"}
    assert running.farm.uuids() == domains, "nothing was booted or ended"
    running.farm.queue.complete_all()
    running.until(lambda: not running.farm.domains(), 240)


def test_with_its_journal_in_postgresql_a_killed_daemon_is_followed_at_once_on_its_machine_and_later_elsewhere(make):
    server = PostgreSQL()
    try:
        running = make(journal=server.url("daemon"))
        first = running.start()
        running.boot_workers(2)
        domains = running.farm.uuids()

        def kill_and_start(daemon, **site):
            daemon.kill()
            daemon.wait(120)
            running.farm.write_site(listen=f"127.0.0.1:{running.port}", **site)
            started = running.start()
            running.until(lambda: running.health()[1].get("leading"), 240)
            return started, running.farm.log().count("waits: another daemon holds the lease")

        second, waits = kill_and_start(first)
        assert waits == 0, "the lock on the side file of this machine proves the first one dead"
        _, waits = kill_and_start(second, state="elsewhere")
        assert waits == 1, "nothing proves the second one dead there: its lease is watched"
        assert running.farm.uuids() == domains
        running.farm.queue.complete_all()
        running.until(lambda: not running.farm.domains(), 240)
        with running.farm.journal() as journal:
            running.until(lambda: not journal.ledger().entries)
    finally:
        server.close()


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(running, monkeypatch, tmp_path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.settimeout(120)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    daemon = running.start()
    assert listener.recv(1000).startswith((b"READY=1", b"WATCHDOG=1"))
    daemon.terminate()
    told = b""
    while b"STOPPING=1" not in told:
        told = listener.recv(1000)
    daemon.wait(120)
    listener.close()


def test_the_port_being_taken_is_said_in_one_line(running):
    with socket.create_server(("127.0.0.1", running.port)):
        daemon = running.start()
        assert daemon.wait(120) != 0
    assert f"127.0.0.1:{running.port}" in running.farm.log()
    assert "Traceback" not in running.farm.log()
