"""Full machines in emulation: jobs of a real HTCondor pool in diskless workers and in workers with a disk of their own."""

import time

import pytest

from tests.lab.lanes import diskless, with_disk
from tests.real.lane import GONE, lane

pytestmark = [pytest.mark.real, pytest.mark.lane, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def qemu(tmp_path_factory):
    environments = {
        "atlas": {"atlas-machine": diskless()},
        "cms": {"cms-machine": with_disk()},
        "theory": {"theory-machine": diskless(provides={"OpSysAndVer": "Lab1"})},
    }
    with lane("qemu", tmp_path_factory.mktemp("qemu"), environments) as qemu:
        yield qemu


def served(qemu, vo, cluster, out):
    """Assert that a job of a VO ran in a worker of its environment; return the worker."""
    worker = out.read_text().split()[1]
    assert worker.startswith(f"{vo}-machine-")
    (job,) = qemu.pool.history(cluster)
    assert (job["ExitCode"], job["NumJobStarts"]) == (0, 1)
    with qemu.farm.journal() as journal:
        assert journal.entry(worker).vo == vo
        seen = qemu.farm.until(lambda: journal.sightings(worker=worker), 240, "the next poll finds the job in the history")
    assert {one.job for one in seen} == {f"{cluster}.0"}
    return worker


def test_a_job_runs_in_a_diskless_machine_booted_for_it_that_is_retired_after(qemu, record_property):
    began = time.monotonic()
    cluster, out = qemu.submit("atlas-machine")
    (worker,) = qemu.farm.until(qemu.domains, 240, "a worker boots")
    booted = time.monotonic()
    qemu.farm.until(lambda: qemu.ads(worker), 240, "it registers")
    registered = time.monotonic()
    qemu.farm.until(lambda: qemu.status(cluster) == GONE, 240, "the job ends")
    done = time.monotonic()
    assert served(qemu, "atlas", cluster, out) == worker
    assert "rootfs" in out.read_text()
    retired = qemu.wait_until_nothing_is_left()
    for name, seconds in {
        "submit_to_domain": booted - began,
        "domain_to_registered": registered - booted,
        "submit_to_done": done - began,
        "done_to_nothing_left": retired,
    }.items():
        print(f"{name}: {seconds:.1f} s")
        record_property(name, round(seconds, 1))


def test_jobs_of_other_vos_run_in_a_machine_with_a_disk_and_in_one_of_another_environment(qemu):
    disk, other = qemu.submit("cms-machine", vo="cms"), qemu.submit("theory-machine", vo="theory")
    qemu.farm.until(lambda: any(name.endswith(".disk") for name in qemu.storage()), 240, "a disk is made")
    for cluster, _ in (disk, other):
        qemu.farm.until(lambda cluster=cluster: qemu.status(cluster) == GONE, 240, "the job ends")
    served(qemu, "cms", *disk)
    served(qemu, "theory", *other)
    assert "ext4" in disk[1].read_text()
    qemu.wait_until_nothing_is_left()


def test_a_killed_machine_is_known_at_once(qemu, record_property):
    cluster, first, _ = qemu.running_job("atlas-machine")
    qemu.daemon.kill_guest(first, "qemu")
    killed = time.monotonic()
    qemu.farm.until(lambda: not qemu.ads(first), 240, "its ads are invalidated")
    record_property("ads_invalidated_seconds", round(time.monotonic() - killed, 2))
    assert first not in qemu.domains()
    qemu.remove(cluster)
    qemu.wait_until_nothing_is_left()


def test_a_killed_libvirtd_costs_no_job_and_no_machine(qemu):
    cluster, worker, out = qemu.running_job("theory-machine", 8)
    uuid = qemu.domains()[worker]
    qemu.daemon.crash()
    time.sleep(2)
    qemu.daemon.recover()
    assert qemu.domains() == {worker: uuid}
    qemu.farm.until(lambda: qemu.status(cluster) == GONE, 240, "the job ends")
    assert out.read_text().split()[-1] == "done"
    qemu.wait_until_nothing_is_left()
