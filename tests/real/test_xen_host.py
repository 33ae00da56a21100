"""The lab's Xen host itself, with nothing of ours between: what the tests of the Xen lane stand on."""

import re
import socket
import time

import libvirt
import pytest

from tests.lab.xen.host import BRIDGE, IMAGES, POOL, host_of_the_tests

pytestmark = [pytest.mark.real, pytest.mark.xen]

GUEST = f"""
<domain type='xen'><name>probe</name><memory unit='MiB'>96</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='xenpv'>linux</type><kernel>{IMAGES}/vmlinux</kernel><initrd>{IMAGES}/probe-initrd.img</initrd>
    <cmdline>console=hvc0 quiet</cmdline></os>
  <on_poweroff>destroy</on_poweroff><on_reboot>destroy</on_reboot><on_crash>destroy</on_crash>
  <devices>
    <disk type='file' device='disk'><driver name='phy' type='raw'/><source file='%s'/><target dev='xvda' bus='xen'/><readonly/></disk>
    <interface type='bridge'><source bridge='{BRIDGE}'/></interface>
    <console type='pty'><target type='xen' port='0'/></console>
  </devices></domain>"""


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


def test_a_paravirtualised_guest_boots_from_shared_files_reads_its_disk_and_stops_when_told(host, connection):
    written = b"a-disk-of-its-own" + bytes(65536 - 17)
    pool = connection.storagePoolLookupByName(POOL)
    volume = pool.createXML(
        "<volume><name>probe</name><capacity>65536</capacity><target><format type='raw'/></target></volume>", 0
    )
    stream = connection.newStream(0)
    volume.upload(stream, 0, len(written), 0)
    stream.send(written)
    stream.finish()
    domain = connection.createXML(GUEST % volume.path(), 0)
    said = host.guest_console("probe", awaited="guest: ready")
    assert re.search(rf"guest: hypervisor xen PV uuid {domain.UUIDString()}", said)
    assert "guest: disk /dev/xvda a-disk-of-its-own" in said
    domain.shutdown()
    eventually(lambda: names(connection) == {"Domain-0"}, 30)
    volume.delete(0)


def test_a_silent_host_still_accepts_connections_and_is_not_taken_for_ready(host):
    host.freeze()
    try:
        with socket.create_connection(("127.0.0.1", host.ports.libvirt), timeout=5):
            assert not host.answers(1.5)
    finally:
        host.thaw()
    eventually(lambda: host.answers(5), 30)


def test_a_crashed_host_is_gone_at_once_and_returns_with_nothing_of_its_past(host):
    host.ssh("touch /srv/workers/of-the-past; sync")
    host.crash()
    assert host.pid is None
    assert not host.answers(5)
    assert host.start() < 120
    assert host.ssh("ls /srv/workers") == ""
