"""What every hypervisor must do: the simulated one, libvirt's test driver, and real ones."""

import os

import pytest

from scheduler.model.hosts import DomainState, Stored
from scheduler.model.ports import SourceError
from tests.contract.hypervisors import SITE, Listener, Lxc, Qemu, Simulated, TestDriver, order
from tests.contract.xen import Xen
from tests.lab.libvirtd import Libvirtd

REAL = [Lxc, Qemu]
IMPLEMENTATIONS = [Simulated, TestDriver, *REAL, Xen]
WITH_A_DAEMON = [one for one in IMPLEMENTATIONS if hasattr(one, "silence")]
OF_LIBVIRT = [one for one in IMPLEMENTATIONS if one is not Simulated]
WITH_STORAGE = [one for one in IMPLEMENTATIONS if hasattr(one, "put")]
ENDS = {"stopped", "crashed", "failed"}


def marked(implementations):
    return [pytest.param(one, id=one.__name__, marks=getattr(one, "marks", [])) for one in implementations]


def among(implementations):
    return pytest.mark.parametrize("lane", marked(implementations), indirect=True)


@pytest.fixture(scope="session")
def daemon():
    daemon = Libvirtd(f"contract-{os.getpid()}", dies_with_parent=True)
    daemon.start()
    yield daemon
    daemon.remove()


@pytest.fixture(params=marked(IMPLEMENTATIONS))
def lane(request):
    lane = request.param(request.getfixturevalue("daemon")) if request.param in REAL else request.param()
    yield lane
    lane.close()


def ours(lane):
    return {
        domain.name: domain
        for domain in lane.host.read().domains
        if domain.identity is not None and domain.identity.site == SITE
    }


def test_a_booted_worker_is_read_with_its_identity(lane):
    asked = order(lane.environment, address="10.0.2.16/24")
    lane.host.boot(asked)
    (found,) = ours(lane).values()
    assert (found.name, found.uuid, found.state) == (asked.worker, asked.uuid, DomainState.RUNNING)
    assert (found.cpus, found.memory_mib) == (lane.environment.vcpus, lane.environment.memory_mib)
    assert found.identity == asked.identity
    assert lane.host.domain(asked.worker) == found


def test_a_reading_tells_capacity_and_offers(lane):
    reading = lane.host.read()
    assert reading.host == lane.host.name
    assert reading.complete
    assert reading.cpus >= 1
    assert reading.memory_mib >= lane.environment.memory_mib
    assert lane.environment.virtualization in reading.virtualizations


def test_a_second_boot_of_the_same_worker_finds_the_first(lane):
    asked = order(lane.environment)
    lane.host.boot(asked)
    before = lane.uuids()
    lane.host.boot(asked)
    assert lane.uuids() == before
    assert len(ours(lane)) == 1


def test_several_workers_of_one_environment_do_not_disturb_each_other(lane):
    first, second = order(lane.environment, 1), order(lane.environment, 2)
    lane.host.boot(first)
    lane.host.boot(second)
    assert set(ours(lane)) == {first.worker, second.worker}
    lane.host.power_off(first.worker, first.uuid)
    lane.host.clean_up(first.worker, first.uuid)
    assert set(ours(lane)) == {second.worker}


def test_a_worker_powered_off_twice_is_gone_once(lane):
    asked = order(lane.environment)
    lane.host.boot(asked)
    lane.host.power_off(asked.worker, asked.uuid)
    lane.host.power_off(asked.worker, asked.uuid)
    assert ours(lane) == {}
    assert lane.host.domain(asked.worker) is None


def test_a_worker_never_booted_is_powered_off_and_cleaned_up_without_ado(lane):
    asked = order(lane.environment)
    lane.host.power_off(asked.worker, asked.uuid)
    lane.host.clean_up(asked.worker, asked.uuid)
    assert ours(lane) == {}


def test_a_stranger_is_shown_and_counted_but_has_no_identity(lane):
    uuid = lane.add_stranger("somebody-elses")
    found = {domain.name: domain for domain in lane.host.read().domains}["somebody-elses"]
    assert found.uuid == uuid
    assert found.identity is None
    assert found.memory_mib > 0


def test_a_stranger_of_a_workers_name_is_never_touched(lane):
    asked = order(lane.environment)
    uuid = lane.add_stranger(asked.worker)
    with pytest.raises(SourceError, match=asked.worker):
        lane.host.boot(asked)
    lane.host.power_off(asked.worker, asked.uuid)
    lane.host.clean_up(asked.worker, asked.uuid)
    assert lane.uuids()[asked.worker] == uuid
    assert lane.storage() == set()


@among(OF_LIBVIRT)
def test_a_worker_of_another_site_is_not_powered_off(lane):
    foreign = order(lane.environment, site="elsewhere")
    lane.host.boot(foreign)
    with pytest.raises(SourceError, match="left alone"):
        lane.host.power_off(foreign.worker, foreign.uuid)
    assert lane.uuids()[foreign.worker] == foreign.uuid


def test_cleaning_up_leaves_nothing_and_may_be_repeated(lane):
    before = lane.storage()
    asked = order(lane.environment)
    lane.host.boot(asked)
    assert lane.storage() > before
    lane.host.power_off(asked.worker, asked.uuid)
    lane.host.clean_up(asked.worker, asked.uuid)
    lane.host.clean_up(asked.worker, asked.uuid)
    assert lane.storage() == before


def test_what_a_running_worker_uses_is_not_cleaned_up(lane):
    asked = order(lane.environment)
    lane.host.boot(asked)
    before = lane.storage()
    with pytest.raises(SourceError, match=asked.worker):
        lane.host.clean_up(asked.worker, asked.uuid)
    assert lane.storage() == before


@among(WITH_STORAGE)
def test_what_is_ours_on_storage_is_known_by_its_name_and_what_is_not_is_never_told(lane):
    mine, foreign = order(lane.environment, 1), order(lane.environment, 2, site="elsewhere")
    lane.host.boot(mine)
    lane.host.boot(foreign)
    strange = {"base-1.disk", "notes", f"{mine.worker}-00000000.disk", f"{mine.worker}-{mine.uuid[:8]}.bak"}
    for name in strange:
        lane.put(name)
    assert lane.host.stored() == (Stored(mine.worker, mine.uuid),)
    before = lane.storage()
    listener = Listener()
    lane.host.watch(listener.tell)
    lane.host.read()
    lane.kill(mine.worker)  # its host was without power, say: nobody has cleaned up
    listener.wait_for(ENDS, mine.worker)
    assert lane.host.stored() == (Stored(mine.worker, mine.uuid),)
    lane.host.clean_up(mine.worker, mine.uuid)
    assert lane.host.stored() == ()
    assert strange < lane.storage() < before
    assert foreign.uuid in lane.uuids().values()


def test_a_missing_image_is_named_and_leaves_nothing_behind(lane):
    asked = order(lane.broken)
    with pytest.raises(SourceError) as caught:
        lane.host.boot(asked)
    assert lane.missing in str(caught.value)
    assert caught.value.source == lane.host.name
    assert ours(lane) == {}
    lane.host.clean_up(asked.worker, asked.uuid)
    assert lane.storage() == set()


def test_a_check_tells_what_is_missing_and_nothing_where_all_is_there(lane):
    assert list(lane.host.check(lane.environment)) == []
    assert any(lane.missing in line for line in lane.host.check(lane.broken))
    too_large = lane.environment.model_copy(update={"memory_mib": 1 << 30})
    assert any(str(1 << 30) in line for line in lane.host.check(too_large))


def test_a_start_is_told(lane):
    listener = Listener()
    lane.host.watch(listener.tell)
    lane.host.boot(order(lane.environment))
    listener.wait_for({"started"}, order(lane.environment).worker)


def test_a_worker_that_dies_is_told_though_nobody_asks(lane):
    listener = Listener()
    lane.host.watch(listener.tell)
    asked = order(lane.environment)
    lane.host.boot(asked)
    listener.wait_for({"started"}, asked.worker)
    lane.kill(asked.worker)
    listener.wait_for(ENDS, asked.worker)
    assert lane.host.domain(asked.worker) is None


def test_a_power_off_is_told(lane):
    listener = Listener()
    lane.host.watch(listener.tell)
    asked = order(lane.environment)
    lane.host.boot(asked)
    lane.host.power_off(asked.worker, asked.uuid)
    listener.wait_for({"stopped"}, asked.worker)


@among(WITH_A_DAEMON)
def test_a_host_that_does_not_answer_is_an_error_and_never_an_empty_answer(lane):
    asked, later = order(lane.environment, 1), order(lane.environment, 2)
    lane.host.boot(asked)
    lane.silence()
    for call in (
        lane.host.read,
        lambda: lane.host.domain(asked.worker),
        lambda: lane.host.boot(later),
        lambda: lane.host.power_off(asked.worker, asked.uuid),
        lambda: lane.host.clean_up(asked.worker, asked.uuid),
        lambda: lane.host.check(lane.environment),
        lane.host.stored,
    ):
        with pytest.raises(SourceError) as caught:
            call()
        assert caught.value.source == lane.host.name
    lane.answer_again()
    assert set(ours(lane)) == {asked.worker}
    lane.host.boot(later)
    assert set(ours(lane)) == {asked.worker, later.worker}


@among(WITH_A_DAEMON)
def test_a_host_lost_and_back_is_told_and_watched_again(lane):
    listener = Listener()
    lane.host.watch(listener.tell)
    asked = order(lane.environment)
    lane.host.boot(asked)
    listener.wait_for({"started"}, asked.worker)
    lane.silence()
    listener.wait_for({"host-lost"})
    lane.answer_again()
    listener.wait_for({"host-back"})
    assert set(ours(lane)) == {asked.worker}
    lane.kill(asked.worker)
    listener.wait_for(ENDS, asked.worker)
