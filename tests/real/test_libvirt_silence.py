"""The libvirt connector and a libvirtd that says nothing, or goes away: told in time, and the process lives on."""

import multiprocessing
import os
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from connectors.libvirt import connect
from connectors.libvirt.line import MOST_IDLE, HostConnection
from environments.environment import Environment
from scheduler.model.ports import SourceError
from tests.contract.hypervisors import SITE, Listener, order
from tests.lab.libvirtd import Libvirtd
from tests.lab.tiny import tiny_tree

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def daemon():
    daemon = Libvirtd(f"silent-{os.getpid()}", dies_with_parent=True)
    daemon.start()
    yield daemon
    daemon.remove()


def watched(daemon, deadline_seconds, **options):
    """A host that has answered, and what is told of it from then on."""
    host = connect("lxc1", daemon.uri("lxc"), daemon.options(**options), site=SITE, deadline_seconds=deadline_seconds)
    listener = Listener()
    host.watch(listener.tell)
    assert host.read().complete
    return host, listener


def test_a_host_that_is_not_there_costs_no_time():
    host = connect("gone", "lxc+unix:///system?socket=/nonexistent/libvirt-sock", {}, site=SITE, deadline_seconds=300)
    began = time.monotonic()
    with pytest.raises(SourceError, match="connect to lxc"):
        host.read()
    assert time.monotonic() - began < 120, "not its deadline"
    host.close()


def test_a_frozen_daemon_costs_one_deadline_and_is_told_as_lost_and_back(daemon):
    host, listener = watched(daemon, 2.0, keepalive_seconds=1, retry_seconds=1)
    daemon.freeze()
    try:
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(SourceError, match=r"no answer within 2 s|stopped answering|closed|earlier calls hang"):
                host.read()
            assert time.monotonic() - began < 2 + 60
        listener.wait_for({"host-lost"}, seconds=120)
    finally:
        daemon.thaw()
    listener.wait_for({"host-back"}, seconds=120)
    wait_until_it_answers(host)
    host.close()


def test_a_host_that_hangs_does_not_gather_threads_without_end(daemon):
    host = connect("lxc1", daemon.uri("lxc"), daemon.options(keepalive_seconds=120), site=SITE, deadline_seconds=0.3)
    host.read()
    before = threading.active_count()
    daemon.freeze()
    try:
        said = []
        for _ in range(12):
            with pytest.raises(SourceError) as caught:
                host.read()
            said.append(caught.value.answer)
        assert threading.active_count() - before <= 8
        assert "earlier calls hang" in said[-1]
    finally:
        daemon.thaw()
    wait_until_it_answers(host)
    host.close()


def test_an_idle_host_that_falls_silent_is_told_as_lost_without_being_asked(daemon):
    host, listener = watched(daemon, 20.0, keepalive_seconds=1, retry_seconds=1)
    time.sleep(2.5)  # it answers, so it is not lost
    assert not listener.events
    daemon.freeze()
    try:
        listener.wait_for({"host-lost"}, seconds=120)
    finally:
        daemon.thaw()
    listener.wait_for({"host-back"}, seconds=120)
    host.close()


def test_calls_side_by_side_take_a_connection_each_and_keep_the_first_for_the_events(daemon):
    line = HostConnection("lxc1", daemon.uri("lxc"), deadline_seconds=20, keepalive_seconds=5)
    told = queue.SimpleQueue()
    line.watch(lambda name, *_rest: told.put(name), lambda _open, _why: None)
    line.run("open", lambda _talk: None)
    alone, many = sockets(), 3 * MOST_IDLE
    together = threading.Barrier(many)
    with ThreadPoolExecutor(many) as pool:
        pool.map(lambda _: line.run("wait for the others", lambda _talk: together.wait(60)), range(many))
    assert not together.broken
    until = time.monotonic() + 120
    while sockets() > alone + MOST_IDLE:  # those too many are closed after their calls
        assert time.monotonic() < until
        time.sleep(0.05)
    host = connect("lxc1", daemon.uri("lxc"), daemon.options(), site=SITE, deadline_seconds=20)
    box = order(
        Environment(
            name="box",
            vo="atlas",
            virtualization="lxc",
            memory_mib=64,
            network={"kind": "host"},
            image={"path": str(tiny_tree())},
        )
    )
    host.boot(box)
    assert told.get(timeout=120) == box.worker
    host.power_off(box.worker, box.uuid)
    host.clean_up(box.worker, box.uuid)
    host.close()
    line.close()


def sockets():
    """Return how many sockets this process holds."""
    return sum("socket:" in str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())


def ask_a_frozen_daemon_from_many_sides():
    """Calls hang, others wait beside them, and libvirt breaks the connections under both."""
    daemon = Libvirtd(f"frozen-{os.getpid()}", dies_with_parent=True)
    daemon.start()
    options = daemon.options(keepalive_seconds=1, retry_seconds=1)
    hosts = [connect(f"lxc{n}", daemon.uri("lxc"), options, site=SITE, deadline_seconds=1.0) for n in range(24)]
    for host in hosts:
        host.watch(lambda _event: None)
        host.read()
    daemon.freeze()
    asking = [threading.Thread(target=answers, args=(host,)) for host in hosts for _ in range(2)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    time.sleep(5)
    daemon.thaw()
    for host in hosts:
        wait_until_it_answers(host)
        host.close()
    daemon.remove()


def answers(host):
    try:
        return host.read().complete
    except SourceError:
        return False


def wait_until_it_answers(host):
    """Calls that hung end one after the other, and a host that was told as back may not be asked before."""
    until = time.monotonic() + 120
    while not answers(host):
        assert time.monotonic() < until, "it did not answer again"
        time.sleep(0.1)


def test_connections_that_break_under_hanging_calls_do_not_take_the_process_down():
    """In a process of its own, as libvirt's client would take this one down (decision 16)."""
    process = multiprocessing.get_context("spawn").Process(target=ask_a_frozen_daemon_from_many_sides)
    process.start()
    process.join(600)
    process.kill()
    assert process.exitcode == 0


def test_a_host_lost_again_and_again_gathers_neither_connections_nor_threads(daemon):
    host, listener = watched(daemon, 10.0)
    held = []
    for _ in range(4):
        daemon.crash()
        listener.wait_for({"host-lost"})
        daemon.recover()
        listener.wait_for({"host-back"})
        listener.forget()
        assert host.read().complete
        held.append((len(list(Path("/proc/self/fd").iterdir())), threading.active_count()))
    assert held[-1] <= held[0]
    host.close()
