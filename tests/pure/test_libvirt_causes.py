"""What libvirt's errors are about, as its connector tells it."""

import errno
import os

import libvirt
import pytest

from connectors.libvirt import connect
from connectors.libvirt.causes import cause_of
from connectors.libvirt.line import HostConnection, as_source_error
from scheduler.model.failures import FailureCause as F
from scheduler.model.ports import SourceError
from tests.contract.hypervisors import SITE, TestDriver, order


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("Network not found: no network with matching name 'farm'", F.NETWORK),
        ("Cannot get interface MTU on 'br9': No such device", F.NETWORK),
        ("unable to create tap device vnet0", F.NETWORK),
        ("Cannot access storage file '/srv/el9.qcow2': No such file or directory", F.IMAGE),
        ("internal error: cannot allocate memory", F.STOCK_OUT),
        ("libxenlight failed: not enough free memory", F.STOCK_OUT),
        ("unable to connect to server: Connection refused", F.UNREACHABLE),
        ("Reconnected to the hypervisor", F.UNKNOWN),
        ("operation failed", F.UNKNOWN),
    ],
)
def test_where_many_things_share_one_code_the_words_say_which_it_is(words, cause):
    assert cause_of(libvirt.libvirtError(words), words) is cause


def test_an_error_of_ours_on_a_full_disk_is_a_stock_out():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert as_source_error(full, "h1", "boot el9-1").cause is F.STOCK_OUT


def refused(operation):
    with pytest.raises(SourceError) as caught:
        operation()
    return caught.value.cause


def test_what_libvirt_knows_by_a_code_needs_no_words():
    line = HostConnection("h1", "test:///default", deadline_seconds=60.0, keepalive_seconds=5)

    def asked(function):
        def operation(talk):
            with talk.asking("look"):
                function(talk.connection)

        return refused(lambda: line.run("look", operation))

    assert asked(lambda one: one.networkLookupByName("nowhere")) is F.NETWORK
    assert asked(lambda one: one.storagePoolLookupByName("nowhere")) is F.STORAGE
    assert asked(lambda one: one.storagePoolLookupByName("default-pool").storageVolLookupByName("gone")) is F.IMAGE
    line.close()


def test_a_boot_says_whether_its_image_or_its_pool_is_missing():
    lane = TestDriver()
    try:
        assert refused(lambda: lane.host.boot(order(lane.broken))) is F.IMAGE
        nowhere = lane.environment.image.model_copy(update={"pool": "nowhere"})
        assert refused(lambda: lane.host.boot(order(lane.environment.model_copy(update={"image": nowhere})))) in {
            F.IMAGE,
            F.STORAGE,
        }
    finally:
        lane.close()


def test_a_host_that_cannot_be_connected_is_unreachable():
    host = connect("h1", "qemu+unix:///system?socket=/nowhere/at-all", {}, site=SITE, deadline_seconds=60.0)
    try:
        assert refused(host.read) is F.UNREACHABLE
    finally:
        host.close()
