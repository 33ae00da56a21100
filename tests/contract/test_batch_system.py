"""What every batch system must do: the simulated one, the demo's, and a real HTCondor pool."""

import os

import pytest

from environments.environment import VO
from environments.matching import Catalogue, match
from environments.requirements import Chooser
from scheduler.model.ports import SourceError
from tests.contract.batch_systems import HTCondor, Live, Simulated, identity

ROOT_ONLY = pytest.mark.skipif(os.getuid() != 0, reason="starts workers in namespaces: needs root")
IMPLEMENTATIONS = [
    pytest.param(Simulated, id="simulated"),
    pytest.param(Live, id="live"),
    pytest.param(HTCondor, id="htcondor", marks=[*HTCondor.marks, ROOT_ONLY]),
]


@pytest.fixture(params=IMPLEMENTATIONS)
def site(request):
    site = request.param(request.getfixturevalue("pool")) if request.param is HTCondor else request.param()
    yield site
    site.close()


def rows(site, *, cheap=False):
    return {(row.vo, row.requirements.wanted): row for row in site.system.read(site.environments, cheap=cheap).clusters}


def catalogue(site):
    return Catalogue({one.name: one for one in site.environments}, {name: VO(name=name) for name in ("atlas", "cms", "theory")})


def node(site, worker):
    return site.system.node(worker)


def running(site, worker):
    return {one.job for one in node(site, worker).jobs}


# --- demand -----------------------------------------------------------------------------------------------------------


def test_an_empty_queue_is_a_complete_and_exact_answer(site):
    reading = site.system.read(site.environments, cheap=False)
    assert (reading.source, reading.clusters, reading.complete, reading.exact) == (site.system.name, (), True, True)


def test_equal_jobs_are_one_row_with_their_count_and_different_ones_are_two(site):
    job = site.submit(environment="atlas-el9", count=3)
    site.submit(vo="cms", environment="cms-el8", count=2)
    found = rows(site)
    assert {key: (row.idle, row.running, row.held) for key, row in found.items()} == {
        ("atlas", "atlas-el9"): (3, 0, 0),
        ("cms", "cms-el8"): (2, 0, 0),
    }
    atlas = found["atlas", "atlas-el9"]
    assert (atlas.requirements.cpus, atlas.requirements.memory_mib, atlas.problem) == (1, 32, "")
    assert atlas.batch_system == site.system.name
    assert atlas.oldest_idle_at is not None
    assert site.system.job(atlas.example_job, site.environments).cluster_key == atlas.key
    assert site.system.job(job, site.environments).cluster_key == atlas.key


def test_the_key_of_a_row_stays_the_same_while_its_count_changes(site):
    site.submit(environment="atlas-el9")
    (first,) = rows(site).values()
    site.submit(environment="atlas-el9", count=2)
    (second,) = rows(site).values()
    assert (first.key, second.idle) == (second.key, 3)


def test_requirements_are_evaluated_against_every_prototype(site):
    site.submit(requires={"OpSysAndVer": "AlmaLinux9"})
    (row,) = rows(site).values()
    assert "atlas-el9" in row.requirements.accepts
    assert "atlas-slc6" not in row.requirements.accepts
    assert "OpSysAndVer" in row.requirements.refusals["atlas-slc6"]


def test_amounts_that_depend_on_the_worker_are_told_of_each_environment(site):
    job = site.submit(whole=True, count=3)
    (row,) = rows(site).values()
    assert row.idle == 3
    assert {one.name: row.requirements.of(one.name).cpus for one in (site.atlas, site.old)} == {"atlas-el9": 2, "atlas-slc6": 1}
    assert site.system.job(job, site.environments).cluster_key == row.key
    assert match(row.requirements, "atlas", catalogue(site)).environments == ("atlas-el9", "atlas-slc6")


def test_disk_and_gpus_are_amounts_and_jobs_that_differ_in_them_are_other_rows(site):
    for amounts in ({"disk_mib": 200}, {"disk_mib": 900}, {"disk_mib": 200, "gpus": 1}):
        site.submit(**amounts)
    found = [row.requirements for row in site.system.read(site.environments, cheap=False).clusters]
    assert sorted((one.disk_mib, one.gpus) for one in found) == [(200, 0), (200, 1), (900, 0)]
    fitting = {(one.disk_mib, one.gpus): match(one, "atlas", catalogue(site)) for one in found}
    assert fitting[200, 0].environments == ("atlas-el9", "atlas-slc6")
    assert "900 MiB of disk" in fitting[900, 0].problem.sentence
    assert fitting[200, 1].problem.sentence == "asks for 1 GPU, no worker of VO atlas has one"


def test_where_one_is_named_every_environment_of_the_vo_has_its_verdict(site):
    site.submit(environment="atlas-slc6")
    (row,) = rows(site).values()
    found = match(row.requirements, "atlas", catalogue(site))
    assert (found.environments, found.chosen_by) == (("atlas-slc6",), Chooser.JOB)
    assert "atlas-el9 would fit as well" in found.refused["atlas-el9"].sentence


def test_a_worker_tells_what_its_jobs_use_of_its_disk(site):
    with site.worker(site.atlas) as worker:
        site.submit(disk_mib=200, environment="atlas-el9")
        told = site.wait_until(lambda: (one := node(site, worker)) and one.jobs and one, "the job runs")
        assert 200 <= told.used_disk_mib <= 210, "a start daemon gives disk out in parts of the whole"
        assert told.used_gpus == 0


def test_a_cheap_reading_after_no_change_counts_the_same_and_an_exact_one_is_exact(site):
    site.submit(environment="atlas-el9", count=4)
    exact = site.system.read(site.environments, cheap=False)
    cheap = site.system.read(site.environments, cheap=True)
    assert exact.exact
    assert [(row.key, row.idle) for row in cheap.clusters] == [(row.key, row.idle) for row in exact.clusters]
    site.submit(environment="atlas-el9", count=1)
    assert sum(row.idle for row in site.system.read(site.environments, cheap=False).clusters) == 5


def test_a_job_or_a_worker_that_nobody_knows_is_none(site):
    assert site.system.job("987654.0", site.environments) is None
    assert site.system.node("atlas-el9-77") is None


def test_jobs_submitted_together_are_counted_together_with_the_first_that_waits(site):
    first = site.submit(environment="atlas-el9", count=3)
    site.submit(environment="atlas-el9", count=2)
    name = first.partition(".")[0]
    told = site.system.submission(name)
    assert (told.name, told.batch_system, told.first) == (name, site.system.name, first)
    assert (told.idle, told.running, told.held, told.done) == (3, 0, 0, 0)
    assert site.system.submission("987654") is None
    assert site.system.submission(first) is None, "that is one job"


def test_of_jobs_that_have_run_the_submission_says_that_they_are_done(site):
    with site.worker(site.atlas):
        name = site.submit(0, environment="atlas-el9").partition(".")[0]
        site.wait_until(lambda: site.system.submission(name).done == 1, "the job is done")
        told = site.system.submission(name)
        assert (told.idle, told.running, told.held, told.first) == (0, 0, 0, "")


# --- workers ----------------------------------------------------------------------------------------------------------


def test_an_enrolment_has_a_secret_of_its_own_that_is_not_shown(site):
    enrolments = [site.system.enrol(identity(f"atlas-el9-90{i}", site.atlas, 900 + i), site.atlas) for i in (1, 2)]
    secrets = [max(one.files.values(), key=len) for one in enrolments]
    assert secrets[0] != secrets[1]
    assert all(len(secret) >= 16 for secret in secrets)
    assert not any(repr(secret)[2:-1] in repr(one) for secret, one in zip(secrets, enrolments, strict=True))


def test_the_life_of_a_worker_joins_works_drains_and_serves_again(site):
    with site.worker(site.atlas) as worker:
        idle = node(site, worker)
        assert (idle.worker, idle.cpus, idle.memory_mib) == (worker, site.atlas.vcpus, site.atlas.slot_memory_mib)
        assert (idle.free_cpus, idle.free_memory_mib) == (idle.cpus, idle.memory_mib)
        assert (idle.claimed, idle.draining, idle.jobs, idle.quick_failures) == (False, False, (), 0)
        assert idle.idle_since is not None
        assert idle.registered_at is not None
        seen = [one for one in site.system.read(site.environments, cheap=True).nodes if one.worker == worker]
        assert [(one.cpus, one.claimed) for one in seen] == [(site.atlas.vcpus, False)]

        job = site.submit(600, environment="atlas-el9")
        busy = site.wait_until(lambda: (one := node(site, worker)).jobs and one, "the job runs")
        assert (busy.claimed, busy.idle_since, busy.free_cpus) == (True, None, site.atlas.vcpus - 1)
        (seen_job,) = busy.jobs
        assert (seen_job.job, seen_job.vo, seen_job.cpus) == (job, "atlas", 1)
        record = site.system.job(job, site.environments)
        assert (record.status, record.worker, record.vo) == ("running", worker, "atlas")
        assert [(row.idle, row.running) for row in rows(site).values()] == [(0, 1)]

        assert site.system.drain(worker, "not while it works", idle_only=True)
        assert not node(site, worker).draining
        site.system.drain(worker, "for the contract")
        assert site.system.drain(worker, "it drains already", idle_only=True) == ""
        site.system.drain(worker, "orders may be repeated")
        draining = site.wait_until(lambda: (one := node(site, worker)).draining and one, "the drain is seen")
        assert [one.job for one in draining.jobs] == [job], "a drain lets the running job finish"
        later = site.submit(600, environment="atlas-el9")
        site.system.cancel_drain(worker)
        site.wait_until(lambda: not node(site, worker).draining, "the drain is taken back")
        site.wait_until(lambda: running(site, worker) == {job, later}, "the next job runs beside it")


def test_a_worker_takes_no_job_of_a_vo_or_for_an_environment_that_is_not_its_own(site):
    with site.worker(site.atlas) as worker:
        foreign = site.submit(600, vo="cms")
        elsewhere = site.submit(600, environment="atlas-slc6")
        ours = site.submit(600, environment="atlas-el9")
        site.wait_until(lambda: running(site, worker), "the job that is for it runs")
        assert running(site, worker) == {ours}
        assert {site.system.job(job, site.environments).status for job in (foreign, elsewhere)} == {"idle"}


def test_a_job_that_begins_and_ends_between_two_readings_is_told_once(site):
    with site.worker(site.atlas) as worker:
        site.system.read(site.environments, cheap=False)
        job = site.submit(0, environment="atlas-el9")
        site.wait_until(lambda: site.system.job(job, site.environments).status == "completed", "the job has run")
        told = []

        def seen():
            told.extend(site.system.read(site.environments, cheap=True).ended)
            return told

        site.wait_until(seen, "it is told")
        for cheap in (True, False):
            told += site.system.read(site.environments, cheap=cheap).ended
        (one,) = told
        assert (one.job, one.worker, one.vo) == (job, worker, "atlas")
        assert one.began_at <= one.ended_at


def test_a_dead_worker_is_believed_until_it_is_forgotten_and_forgetting_may_be_repeated(site):
    with site.worker(site.cms) as worker:
        job = site.submit(600, vo="cms", environment="cms-el8")
        site.wait_until(lambda: node(site, worker).jobs, "the job runs")
        site.kill(worker)
        assert node(site, worker).claimed, "its ads outlive it"
        site.system.forget(worker)
        site.system.forget(worker)
        assert node(site, worker) is None
        assert worker not in {one.worker for one in site.system.read(site.environments, cheap=False).nodes}
        assert site.system.job(job, site.environments) is not None, "the job is not lost"


def test_orders_for_a_worker_that_nobody_knows_are_errors_in_words(site):
    for order in (lambda: site.system.drain("atlas-el9-77", "idle"), lambda: site.system.cancel_drain("atlas-el9-77")):
        with pytest.raises(SourceError, match="atlas-el9-77") as caught:
            order()
        assert caught.value.source == site.system.name
    site.system.forget("atlas-el9-77")


@pytest.mark.parametrize("site", [param for param in IMPLEMENTATIONS if param.id != "htcondor"], indirect=True)
def test_a_silent_batch_system_is_an_error_and_never_an_empty_answer(site):
    job = site.submit(environment="atlas-el9")
    site.silence()
    for call in (
        lambda: site.system.read(site.environments, cheap=True),
        lambda: site.system.node("atlas-el9-1"),
        lambda: site.system.enrol(identity("atlas-el9-1", site.atlas, 1), site.atlas),
        lambda: site.system.drain("atlas-el9-1", "idle"),
        lambda: site.system.forget("atlas-el9-1"),
        lambda: site.system.job(job, site.environments),
        lambda: site.system.submission(job.partition(".")[0]),
    ):
        with pytest.raises(SourceError) as caught:
            call()
        assert caught.value.source == site.system.name
    site.answer_again()
    assert site.system.job(job, site.environments).status == "idle"
