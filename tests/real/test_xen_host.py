"""The lab's Xen host itself, with nothing of ours between: what the tests of the Xen lane stand on."""

import socket
import time

import libvirt
import pytest

from tests.lab.xen.host import POOL, host_of_the_tests

pytestmark = [pytest.mark.real, pytest.mark.xen]


@pytest.fixture(scope="module")
def host():
    return host_of_the_tests()


@pytest.fixture
def connection(host):
    connection = libvirt.open(host.uri)
    yield connection
    connection.close()


def eventually(holds, seconds):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


def names(connection):
    return {domain.name() for domain in connection.listAllDomains()}


def test_its_libvirt_says_that_it_drives_xen(connection):
    assert connection.getType() == "Xen"
    assert connection.getVersion() // 1000 == 4017
    assert names(connection) == {"Domain-0"}
    assert connection.storagePoolLookupByName(POOL).isActive()


def test_a_silent_host_still_accepts_connections_and_is_not_taken_for_ready(host):
    host.freeze()
    try:
        with socket.create_connection(("127.0.0.1", host.ports.libvirt), timeout=5):
            assert not host.answers(1.5)
    finally:
        host.thaw()
    eventually(lambda: host.answers(5), 120)


def test_a_crashed_host_is_gone_at_once_and_returns_with_nothing_of_its_past(host):
    host.ssh("touch /srv/workers/of-the-past; sync")
    host.crash()
    assert host.pid is None
    assert not host.answers(5)
    assert host.start() < 120
    assert host.ssh("ls /srv/workers") == ""
