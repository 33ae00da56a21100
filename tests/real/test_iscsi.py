"""Workers whose image is a LUN of a real iSCSI target: shared and only read, each worker writes to an overlay of its own."""

import os
import time

import libvirt
import pytest

from connectors.libvirt import connect
from environments.environment import Environment
from scheduler.model.ports import SourceError
from tests.contract.hypervisors import SITE, order
from tests.lab.iscsi import PASSWORD, StorageTarget, bootable_disk
from tests.lab.libvirtd import Libvirtd

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def target():
    target = StorageTarget(f"real-{os.getpid()}")
    yield target
    target.remove()


@pytest.fixture(scope="module")
def lun(target):
    return target.add(1, bootable_disk("lun: as made", target.directory))


@pytest.fixture(scope="module")
def daemon(target, lun):
    daemon = Libvirtd(f"iscsi-{os.getpid()}", dies_with_parent=True)
    daemon.start()
    connection = libvirt.open(daemon.uri("qemu"))
    secret = connection.secretDefineXML("<secret><usage type='iscsi'><target>farm</target></usage></secret>")
    secret.setValue(PASSWORD)
    connection.storagePoolDefineXML(target.pool_xml("luns", "farm")).create()
    connection.close()
    yield daemon
    daemon.remove()


@pytest.fixture
def host(daemon):
    host = connect("qemu1", daemon.uri("qemu"), daemon.options(), site=SITE, deadline_seconds=120.0)
    yield host
    connection = libvirt.open(daemon.uri("qemu"))
    for domain in connection.listAllDomains():
        domain.destroy()
    connection.close()
    host.close()


def machine(name="iscsi", volume="unit:0:0:1", disk=None, **fields):
    given = {"virtualization": "qemu", "memory_mib": 64, "job_memory_mib": 16, "network": {"kind": "user"}, **fields}
    image = {"pool": "luns", "volume": volume, "format": "raw"}
    disk = {"mode": "overlay", "pool": "workers", "size_gib": 1, **(disk or {})}
    return Environment.model_validate({"name": name, "vo": "atlas", "image": image, "disk": disk, **given})


def says(daemon, worker, text, seconds=120.0):
    until = time.monotonic() + seconds
    while text not in (said := daemon.console(worker)):
        assert time.monotonic() < until, f"{said!r}\n{daemon.log()}"
        time.sleep(0.05)
    return said


def test_two_workers_share_a_lun_that_neither_writes_to(host, daemon, target, lun):
    before = lun.read_bytes()
    assert host.check(machine()) == ()
    idle = target.initiators()
    asked = [order(machine(f"iscsi{number}")) for number in (1, 2)]
    for one in asked:
        host.boot(one)
        host.boot(one)  # once more is success
    for one in asked:
        said = says(daemon, one.worker, "Xun: as made")
        assert said.index("lun: as made") < said.index("Xun: as made")
    assert target.initiators() == idle + 2, "each QEMU is logged in by itself, as the pool says"
    assert lun.read_bytes() == before
    for one in asked:
        host.power_off(one.worker, one.uuid)
        host.clean_up(one.worker, one.uuid)
    assert list(daemon.volumes.iterdir()) == []
    assert target.initiators() == idle
    again = order(machine("iscsi3"))
    host.boot(again)
    says(daemon, again.worker, "lun: as made")
    host.power_off(again.worker, again.uuid)
    host.clean_up(again.worker, again.uuid)


def test_a_lun_added_later_is_found_and_one_that_is_missing_is_told_with_those_there_are(host, target):
    assert host.check(machine(volume="unit:0:0:7")) == (
        "image: no volume unit:0:0:7 in storage pool luns; there are: unit:0:0:0, unit:0:0:1",
    )
    with pytest.raises(SourceError, match="there is no such volume"):
        host.boot(order(machine(volume="unit:0:0:7")))
    target.add(7, bytes(2**20))
    assert host.check(machine(volume="unit:0:0:7")) == ()


def test_what_libvirt_cannot_do_with_such_a_pool_is_told_in_a_sentence(host, daemon):
    (told,) = host.check(machine(disk={"mode": "copy"}))
    assert told == "disk.mode: copy of a volume in the iscsi-direct pool 'luns': libvirt cannot copy from it, only overlay it"
    with pytest.raises(SourceError, match="libvirt cannot copy from it"):
        host.boot(order(machine(disk={"mode": "copy"})))
    (told,) = host.check(machine(disk={"pool": "luns"}))
    assert told == "disk.pool: libvirt makes no volumes in 'luns', a pool of type iscsi-direct; name a directory or LVM pool"
    with pytest.raises(SourceError, match="does not support volume creation"):
        host.boot(order(machine(disk={"pool": "luns"})))
    assert list(daemon.volumes.iterdir()) == []
