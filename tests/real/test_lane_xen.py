"""The mission's own lane: jobs of a real HTCondor pool in workers of a real Xen host, booted and retired by the daemon."""

import itertools
import time

import libvirt
import pytest

from connectors.libvirt import connect
from environments.environment import Environment, Virtualization
from scheduler.model.hosts import DomainState
from scheduler.model.ports import SourceError
from tests.contract.hypervisors import order
from tests.lab import pool as pools
from tests.lab.farm import LabFarm
from tests.lab.xen.host import POOL, host_of_the_tests
from tests.lab.xen.worker import (
    BATCH_OPTIONS,
    GROUP,
    environment,
    host_entry,
    make_volume_group,
    publish_disk,
    publish_worker,
    with_disk,
)

pytestmark = [pytest.mark.real, pytest.mark.xen, pytest.mark.slow, pytest.mark.timeout(3000)]

REPORT = """#!/bin/sh
echo "hypervisor $(cat /sys/hypervisor/type) $(cat /sys/hypervisor/guest_type) uuid $(cat /sys/hypervisor/uuid)"
echo "worker $(hostname)"
echo "root $(grep ' / ' /proc/mounts | tail -1 | cut -d' ' -f1,3)"
sleep "$1"
"""
ROOTS = {"atlas": "rootfs rootfs", "cms": "/dev/xvda ext4", "theory": "rootfs rootfs"}
"""Where a job of each VO must find its root: in memory, or on a volume of dom0's volume group."""


@pytest.fixture(scope="module")
def host():
    return host_of_the_tests()


@pytest.fixture(scope="module")
def pool():
    with pools.test_pool("xen") as pool:
        yield pool


@pytest.fixture(scope="module")
def farm(host, pool, tmp_path_factory):
    make_volume_group(host)
    ramdisk, (finder, image) = publish_worker(host), publish_disk(host)
    environments = {
        "atlas": {"atlas-xen": environment(ramdisk)},
        "cms": {"cms-xen": with_disk(finder, image, vo="cms", memory_mib=256)},
        "theory": {"theory-xen": environment(ramdisk, vo="theory", provides={"OpSysAndVer": "Lab1"})},
    }
    farm = LabFarm(
        tmp_path_factory.mktemp("farm"),
        pool,
        [host_entry(host)],
        environments,
        # Each poll takes the one emulated processor from guests that boot; on a busy machine a boot takes minutes.
        {"minimum_life_seconds": 8, "poll_seconds": 3, "reading_deadline_seconds": 240},
        batch_options=BATCH_OPTIONS,
    )
    pool.configure("60-ambienti.conf", farm.ambienti("hooks", "htcondor"))
    farm.start()
    yield farm
    assert farm.stop() == 0, farm.log()


@pytest.fixture
def hand(host):
    """libvirt beside Ambienti: what an administrator at the console of the host would see and do."""
    connection = libvirt.open(host.uri)
    yield connection
    connection.close()


def workers(hand):
    return {domain.name(): domain for domain in hand.listAllDomains() if domain.name() != "Domain-0"}


def volumes(hand, pool):
    """Return what libvirt has made in a storage pool; a pool in which a volume is being filled would refuse to look anew."""
    return {volume.name() for volume in hand.storagePoolLookupByName(pool).listAllVolumes()}


numbers = itertools.count(1)


def submit(pool, seconds, vo="atlas"):
    """Submit a job that asks for its VO's environment; return its id and where it says what it saw."""
    script, out = pool.jobs / "report.sh", pool.jobs / f"report.{next(numbers)}"
    script.write_text(REPORT)
    script.chmod(0o755)
    words = {"executable": script, "output": out, "error": f"{out}.err", "transfer_executable": "true", "arguments": seconds}
    return pool.sleep(vo=vo, environment=f"{vo}-xen", **words), out


def state(pool, cluster):
    """Return the status of a job (4 once it has left the queue) and the worker it runs in."""
    jobs = pool.queue(str(cluster), "-attributes", "JobStatus,RemoteHost")
    return (jobs[0]["JobStatus"], jobs[0].get("RemoteHost", "")) if jobs else (4, "")


def where_it_runs(pool, cluster):
    """Return the worker that a job runs in, "" while it waits."""
    status, where = state(pool, cluster)
    return where.partition("@")[2].partition(".")[0] if status == 2 else ""


def ads_of(pool, worker):
    return [ad for ad in pool.ads("-attributes", "Name,Machine") if worker in str(ad)]


def nothing_left(hand, pool):
    return not (workers(hand) or volumes(hand, POOL) or volumes(hand, GROUP) or pool.ads("-attributes", "Name"))


def test_the_connector_reads_the_same_host_through_ssh(host):
    through_ssh, plain = (
        connect(host.name, uri, {"config_pool": POOL}, site="ssh", deadline_seconds=240) for uri in (host.ssh_uri, host.uri)
    )
    try:
        reading, other = through_ssh.read(), plain.read()
        assert {Virtualization.XEN_PV, Virtualization.XEN_PVH} <= reading.virtualizations
        assert (reading.cpus, reading.memory_mib, reading.networks) == (other.cpus, other.memory_mib, other.networks)
        assert [(domain.name, domain.identity) for domain in reading.domains] == [("Domain-0", None)]
        assert POOL in {pool.name for pool in reading.pools}
    finally:
        through_ssh.close()
        plain.close()


def test_a_host_that_falls_silent_is_an_error_within_the_deadline_and_is_read_again_after(host):
    connector = connect(host.name, host.uri, {"keepalive_seconds": 1}, site="silent", deadline_seconds=10)
    before = connector.read()
    host.freeze()
    try:
        began = time.monotonic()
        with pytest.raises(SourceError) as caught:
            connector.read()
        assert time.monotonic() - began < 10 + 60
        assert caught.value.source == host.name
    finally:
        host.thaw()
    try:
        assert connector.read().domains == before.domains
    finally:
        connector.close()


def test_a_pvh_worker_starts_and_stops_and_leaves_nothing(host, hand):
    connector = connect(host.name, host.uri, {"config_pool": POOL}, site="pvh", deadline_seconds=240)
    asked = order(
        Environment(name="pvh", vo="atlas", **environment(publish_worker(host), "xen-pvh")), site="pvh", address="10.0.2.40/24"
    )
    try:
        assert connector.check(asked.environment) == ()
        connector.boot(asked)
        assert connector.domain(asked.worker).state is DomainState.RUNNING
        assert "machine='xenpvh'" in hand.lookupByName(asked.worker).XMLDesc()
        host.guest_console(asked.worker, awaited="starts as pvh-1", seconds=900)  # its init runs
        connector.power_off(asked.worker, asked.uuid)
        connector.clean_up(asked.worker, asked.uuid)
        assert not workers(hand)
        assert not volumes(hand, POOL)
    finally:
        connector.close()


def test_a_job_of_each_vo_runs_in_a_worker_of_its_environment_that_is_retired_after(farm, pool, hand, record_property):
    """Three at once on one host: two in memory, one on a volume that is made for it in a volume group and filled from its image.

    A busy machine can be too slow for Xen's own tools, which then say that a domain did not start: such a boot is one that
    failed, its worker is cleaned up and another takes its place.
    """
    began = time.monotonic()
    jobs = {vo: submit(pool, 4, vo) for vo in ROOTS}  # long enough to be seen at a poll
    domains, disks = {}, set()

    def seen():
        now = {name: domain.UUIDString() for name, domain in workers(hand).items()}
        domains.update(now)
        disks.update(volumes(hand, GROUP))
        return {name.partition("-")[0] for name in now} == set(jobs)

    farm.until(seen, 1200, "a worker of each VO boots")
    booted = time.monotonic()
    assert {disk.partition("-")[0] for disk in disks} == {"cms"}
    for vo, (cluster, _) in jobs.items():
        farm.until(lambda cluster=cluster: state(pool, cluster)[0] == 4, 600, f"the job of {vo} ends")
    done = time.monotonic()
    farm.until(lambda: nothing_left(hand, pool), 1200, "the workers are retired and nothing of them stays")
    with farm.journal() as journal:
        for name, uuid in domains.items():
            assert journal.entry(name).uuid == uuid
        for vo, (cluster, out) in jobs.items():
            worker = one_worker_of(journal, farm, vo)
            assert out.read_text().splitlines() == [
                f"hypervisor xen PV uuid {journal.entry(worker).uuid}",
                f"worker {worker}",
                f"root {ROOTS[vo]}",
            ]
            (job,) = pool.history(cluster)
            assert (job["ExitCode"], job["NumJobStarts"]) == (0, 1)
            assert job["LastRemoteHost"] == f"slot1_1@{worker}.{pools.DOMAIN}"
            assert {sighting.job for sighting in journal.sightings(worker=worker)} == {f"{cluster}.0"}
    for name, seconds in {
        "submit_to_three_domains": booted - began,
        "submit_to_three_jobs_done": done - began,
        "done_to_nothing_left": time.monotonic() - done,
    }.items():
        print(f"{name}: {seconds:.1f} s")
        record_property(name, round(seconds, 1))


def one_worker_of(journal, farm, vo):
    """Return the only worker of a VO that came to life: it has registered, served and ended; the host refused all others."""
    booted = [
        event.note.subject
        for event in journal.events()
        if event.note.kind == "boot-begun" and event.note.subject.startswith(f"{vo}-")
    ]
    ends = [event.note for event in journal.events() if event.note.kind == "boot-ended"]
    refused = {note.subject for note in ends if note.detail["outcome"] in {"failed", "late"}}
    (worker,) = set(booted) - refused
    entry = farm.until(lambda: (found := journal.entry(worker)).closed_at and found, 300, "its entry is closed")
    assert (entry.vo, entry.environment, entry.registered_at is not None) == (vo, f"{vo}-xen", True)
    return worker


def test_workers_destroyed_or_rebooted_behind_its_back_are_known_at_once_and_hold_up_nobody(farm, pool, hand, record_property):
    lost, _ = submit(pool, 600)
    first = farm.until(lambda: where_it_runs(pool, lost), 1200, "a worker boots and the job runs")
    hand.lookupByName(first).destroy()
    destroyed = time.monotonic()
    farm.until(lambda: not ads_of(pool, first), 300, "its ads are invalidated")
    print(f"ads invalidated {time.monotonic() - destroyed:.2f} s after the domain was gone")
    record_property("destroyed_to_invalidated", round(time.monotonic() - destroyed, 2))
    # A claimed ad of the dead worker would have stalled the whole accounting group.
    following, _ = submit(pool, 600)
    second = farm.until(lambda: where_it_runs(pool, following), 1200, "another worker boots and the next job of the group runs")
    assert second != first
    # HTCondor gives the lost job up when its lease of 40 minutes ends, or when it looks for the dead worker and finds no ad.
    assert state(pool, lost)[0] in {1, 2}
    # Under Xen a domain that reboots reads as ended for seconds; ours end for good, or they would come back unseen.
    hand.lookupByName(second).reboot(0)
    pool.remove()
    farm.until(lambda: nothing_left(hand, pool), 1200, "both have ended and nothing of them stays")
    time.sleep(8)
    assert nothing_left(hand, pool)
    with farm.journal() as journal:
        assert all(journal.entry(worker).closed_at for worker in (first, second))
