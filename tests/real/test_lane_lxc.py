"""The fast lane: jobs of a real HTCondor pool in containers of a real libvirt, booted and retired by the daemon."""

import os
import signal
import time
from collections import Counter

import pytest

from tests.lab.lanes import VOS, container
from tests.real.lane import GONE, lane

pytestmark = [pytest.mark.real, pytest.mark.lane, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def lxc(tmp_path_factory):
    environments = {vo: {f"{vo}-box": container(vo)} for vo in VOS}
    with lane("lxc", tmp_path_factory.mktemp("lxc"), environments) as lxc:
        yield lxc


def test_a_job_of_each_vo_runs_in_a_container_of_its_environment_that_is_retired_after(lxc, record_property):
    began = time.monotonic()
    jobs = {vo: lxc.submit(f"{vo}-box", 0, vo=vo) for vo in VOS}  # over before any poll can see them run
    for vo, (cluster, _) in jobs.items():
        lxc.farm.until(lambda cluster=cluster: lxc.status(cluster) == GONE, 240, f"the job of {vo} ends")
    done = time.monotonic()
    for vo, (cluster, out) in jobs.items():
        worker = out.read_text().split()[1]
        assert worker.startswith(f"{vo}-box-")
        (job,) = lxc.pool.history(cluster)
        assert (job["ExitCode"], job["NumJobStarts"]) == (0, 1)
        assert worker in job["LastRemoteHost"]
        with lxc.farm.journal() as journal:
            assert (journal.entry(worker).vo, journal.entry(worker).environment) == (vo, f"{vo}-box")
            seen = lxc.farm.until(lambda: journal.sightings(worker=worker), 240, "the next poll finds the job in the history")  # noqa: B023
        assert [(one.job, one.environment) for one in seen] == [(f"{cluster}.0", f"{vo}-box")]
    retired = lxc.wait_until_nothing_is_left()
    record_property("three_jobs_done_seconds", round(done - began, 1))
    record_property("done_to_nothing_left_seconds", round(retired, 1))
    print(f"three jobs of three VOs done {done - began:.1f} s after the first submit, nothing left {retired:.1f} s later")


def test_a_killed_worker_and_a_killed_libvirtd_cost_no_job(lxc, record_property):
    before = lxc.starts()
    lost, first, _ = lxc.running_job("atlas-box")
    spared, worker, out = lxc.running_job("theory-box", 8)
    lxc.daemon.kill_guest(first, "lxc")
    killed = time.monotonic()
    lxc.farm.until(lambda: not lxc.ads(first), 240, "its ads are invalidated")
    record_property("ads_invalidated_seconds", round(time.monotonic() - killed, 2))
    print(f"ads invalidated {time.monotonic() - killed:.2f} s after the kill")
    uuid = lxc.domains()[worker]
    lxc.daemon.crash()
    time.sleep(2)  # two polls see nothing of the host
    lxc.daemon.recover()
    assert lxc.domains() == {worker: uuid}
    job = lxc.farm.until(lambda: lxc.record(spared), 240, "the other job ends")
    assert (job["ExitCode"], job["NumJobStarts"], job["NumShadowStarts"]) == (0, 1, 1)
    assert out.read_text().split()[-1] == "done"
    second = lxc.wait_until_it_runs(lost, elsewhere_than=first)
    assert second.startswith("atlas-box-")
    assert second in lxc.domains()
    lxc.remove(lost)
    lxc.wait_until_nothing_is_left()
    assert started_since(lxc, before) == sorted([first, worker, second]), (
        "one worker for each start of a job, each started once"
    )


def test_a_killed_schedd_costs_no_job_and_no_worker(lxc):
    before = lxc.starts()
    cluster, worker, out = lxc.running_job("cms-box", 8)
    lxc.pool.kill_schedd()
    job = lxc.farm.until(lambda: lxc.record(cluster), 240, "the job ends")
    assert (job["ExitCode"], job["NumJobReconnects"]) == (0, 1)
    assert out.read_text().split()[1] == worker
    lxc.wait_until_nothing_is_left()
    assert started_since(lxc, before) == [worker]


def test_a_daemon_killed_at_the_boot_and_while_the_job_runs_boots_nothing_twice_and_leaves_nothing_behind(lxc):
    before = lxc.starts()
    cluster, out = lxc.submit("theory-box", 6, vo="theory")
    lxc.farm.until(lxc.domains, 240, "a worker boots")
    kill_the_daemon(lxc)
    worker = lxc.wait_until_it_runs(cluster)
    kill_the_daemon(lxc)
    job = lxc.farm.until(lambda: lxc.record(cluster), 240, "the job ends")
    assert (job["ExitCode"], job["NumJobStarts"]) == (0, 1)
    assert out.read_text().split()[1] == worker
    with lxc.farm.journal() as journal:
        seen = lxc.farm.until(lambda: journal.sightings(job=f"{cluster}.0"), 240, "the job stands in the journal")
        assert {one.worker for one in seen} == {worker}
    lxc.wait_until_nothing_is_left()
    assert started_since(lxc, before) == [worker]


def started_since(lxc, before):
    """Return the workers started since, once per start."""
    return sorted((Counter(lxc.starts()) - Counter(before)).elements())


def kill_the_daemon(lxc):
    os.kill(lxc.farm.process.pid, signal.SIGKILL)
    lxc.farm.process.wait(120)
    lxc.farm.start()
