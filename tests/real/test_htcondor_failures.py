"""What the connector says when parts of a real HTCondor pool are dead, slow or gone."""

import os
import signal
import time

import pytest

from scheduler.model.ports import SourceError
from tests.lab.pool import free_port
from tests.lab.pool import test_pool as started_pool
from tests.real.htcondor_pool import ATLAS, ENVIRONMENTS, connected, only, status, wait_until, worker_of

pytestmark = pytest.mark.real
DEADLINE_SECONDS = 4.0


@pytest.fixture(scope="module")
def system(session_pool):
    with connected(session_pool, deadline_seconds=DEADLINE_SECONDS) as system:
        wait_until(lambda: readable(system), "the pool answers in time")
        yield system


@pytest.fixture(scope="module")
def patient(session_pool):
    """For calls that shall be answered, however busy the machine is."""
    with connected(session_pool) as patient:
        yield patient


@pytest.fixture
def timed():
    """The call ends long before whom it asks would answer, which is never."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < DEADLINE_SECONDS + 120


# --- one schedd -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.getuid() != 0, reason="starts a worker in namespaces: needs root")
def test_a_schedd_that_is_killed_loses_no_job(pool, patient):
    with worker_of(patient, ATLAS) as worker:
        running = pool.sleep(6, environment="atlas-el9", job_lease_duration=120)
        pool.sleep(environment="nothing", count=50, requirements="TARGET.Never")
        wait_until(lambda: status(pool, running) == 2, "one job runs", told=worker.console)
        before = {one.key: (one.idle, one.running) for one in patient.read(ENVIRONMENTS, cheap=False).clusters}
        pool.kill_schedd()

        def counts():
            try:
                reading = patient.read(ENVIRONMENTS, cheap=True)
            except SourceError:
                return {}
            assert reading.clusters, "no answer was read as an empty queue"
            return {one.key: (one.idle, one.running) for one in reading.clusters}

        wait_until(lambda: counts() == before, "the queue is back as it was")
        wait_until(lambda: status(pool, running) == 4, "the running job ended", told=worker.console)
        (ended,) = pool.history(running)
        # The same run was found again. (Its start may not be counted: the schedd writes that down a moment later.)
        assert (ended["ExitCode"], ended["NumJobReconnects"]) == (0, 1)


def test_a_schedd_that_does_not_answer_is_an_error_within_the_deadline(pool, system, timed):
    pool.sleep()
    with pool.stopped("schedd"), pytest.raises(SourceError) as raised:
        system.read(ENVIRONMENTS, cheap=True)
    assert raised.value.source == "pool"
    assert raised.value.asked == "read the queue of schedd schedd@"
    assert raised.value.answer


def test_after_the_silence_the_queue_is_read_again(pool, system):
    pool.sleep(count=3)
    with pool.stopped("schedd"), pytest.raises(SourceError):
        system.read(ENVIRONMENTS, cheap=False)
    assert only(wait_until(lambda: readable(system), "the schedd answers again")).idle == 3


def readable(system):
    try:
        return system.read(ENVIRONMENTS, cheap=False)
    except SourceError:
        return None


# --- the collector ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "call"),
    [
        ("read schedds and workers", lambda system: system.read(ENVIRONMENTS, cheap=True)),
        ("look at worker atlas-el9-1", lambda system: system.node("atlas-el9-1")),
        ("invalidate the ads of atlas-el9-1", lambda system: system.forget("atlas-el9-1")),
        ("drain atlas-el9-1", lambda system: system.drain("atlas-el9-1", "idle")),
        ("read schedds", lambda system: system.job("1.0", ENVIRONMENTS)),
    ],
    ids=["read", "node", "forget", "drain", "job"],
)
def test_a_collector_that_does_not_answer_is_an_error_within_the_deadline(pool, system, timed, asked, call):
    with pool.stopped("collector"), pytest.raises(SourceError) as raised:
        call(system)
    assert raised.value.asked == asked


def test_a_schedd_that_keeps_its_history_to_itself_is_read_all_the_same_and_it_is_said(pool, system):
    pool.configure("50-history.conf", "HISTORY_HELPER_MAX_CONCURRENCY = 0\n")
    told = "schedd schedd@: the history cannot be read, jobs shorter than a poll are not recorded"

    def warned():
        with connected(pool, name="fresh") as fresh:
            readings = [fresh.read(ENVIRONMENTS, cheap=True) for _ in range(2)]
        return [(one.complete, one.exact, any(told in warning for warning in one.warnings)) for one in readings]

    # The second reading is a quiet one as soon as the schedd's summary has stopped changing after the tests before.
    wait_until(lambda: warned() == [(True, True, True), (True, False, True)], "the schedd refuses, and each reading says so")


def test_a_worker_is_enrolled_even_while_the_pool_is_silent(pool, patient):
    from environments.domain_identity import WorkerIdentity

    order = WorkerIdentity("test", "atlas-el9-9", "atlas-el9", "1", "atlas", "pool", 9, time.time())
    patient.enrol(order, ATLAS)
    with pool.stopped("collector"), pool.stopped("schedd"):
        assert patient.enrol(order, ATLAS).files["token"]


def test_a_pool_that_is_not_there_is_an_error_at_once(session_pool):
    with connected(session_pool, collector=f"127.0.0.2:{free_port()}") as system:
        begun = time.monotonic()
        with pytest.raises(
            SourceError, match=r"read schedds and workers: .*is 127\.0\.0\.2:\d+ up, and does it accept our token"
        ):
            system.read(ENVIRONMENTS, cheap=False)
        assert time.monotonic() - begun < DEADLINE_SECONDS + 30


def test_a_configuration_that_is_not_there_is_an_error_at_once(session_pool):
    sentence = r"there is no HTCondor configuration /no/such/condor_config \(options: config\)"
    with connected(session_pool, config="/no/such/condor_config") as system, pytest.raises(SourceError, match=sentence):
        system.read(ENVIRONMENTS, cheap=False)


@pytest.mark.skipif(os.getuid() != 0, reason="starts a worker in namespaces: needs root")
def test_what_we_are_not_allowed_is_an_error_that_names_the_right_that_is_missing(pool, patient):
    with connected(pool, config=str(pool.client("reader"))) as reader, worker_of(patient, ATLAS) as worker:
        assert reader.read(ENVIRONMENTS, cheap=False).complete
        with pytest.raises(SourceError, match="allow us ADMINISTRATOR"):
            reader.drain(worker.name, "idle")
        with pytest.raises(SourceError, match="allow us ADVERTISE_STARTD"):
            reader.forget(worker.name)
        assert patient.node(worker.name) is not None


def test_signing_that_fails_is_an_error_that_says_how(pool, tmp_path):
    from environments.domain_identity import WorkerIdentity

    order = WorkerIdentity("test", "atlas-el9-9", "atlas-el9", "1", "atlas", "pool", 9, time.time())
    with connected(pool, signing_key="NOSUCHKEY") as system, pytest.raises(SourceError, match="make a token for atlas-el9-9"):
        system.enrol(order, ATLAS)
    with connected(pool, token_create="/no/such/program") as system, pytest.raises(SourceError, match="cannot be run"):
        system.enrol(order, ATLAS)


# --- several schedds --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two():
    """A pool with two schedds."""
    with started_pool("two", schedds=("schedd", "second")) as pool:
        yield pool


def submit_to(pool, schedd, **words):
    description = {"executable": "/bin/sleep", "transfer_executable": "false", "arguments": "0", "initialdir": pool.jobs,
                   "should_transfer_files": "yes", "request_memory": 32, "request_disk": 1000, "accounting_group": "group_atlas",
                   "accounting_group_user": "alice", **words}  # fmt: skip
    text = "".join(f"{key} = {value}\n" for key, value in description.items()) + "queue 2\n"
    pool.tool("condor_submit", "-name", schedd, "-terse", "-", user="alice", given=text)


def test_equal_jobs_of_several_schedds_are_one_row(two):
    submit_to(two, "schedd@")
    submit_to(two, "second@")
    submit_to(two, "second@", request_cpus=2)
    with connected(two) as system:
        reading = system.read(ENVIRONMENTS, cheap=False)
        assert sorted(one.idle for one in reading.clusters) == [2, 4]
        assert reading.complete
        with pytest.raises(SourceError, match=r"1\.0@schedd@, 1\.0@second@"):
            system.job("1.0", ENVIRONMENTS)
        assert system.job("1.0@second@", ENVIRONMENTS).status == "idle"
        assert not system.read(ENVIRONMENTS, cheap=True).exact


def test_one_silent_schedd_makes_the_reading_incomplete_and_nothing_else(two):
    submit_to(two, "schedd@")
    submit_to(two, "second@")
    with connected(two, deadline_seconds=5 * DEADLINE_SECONDS) as system:
        whole = system.read(ENVIRONMENTS, cheap=False)
        with two.stopped("second"):
            part = system.read(ENVIRONMENTS, cheap=False)
        assert not part.complete
        assert len(part.warnings) == 1
        assert "second@" in part.warnings[0]
        assert 0 < sum(one.idle for one in part.clusters) < sum(one.idle for one in whole.clusters)


def test_a_schedd_that_left_the_collector_is_missed_even_after_a_restart(two):
    with connected(two) as system:
        system.read(ENVIRONMENTS, cheap=False)
    os.kill(two.daemon("second"), signal.SIGSTOP)  # it is there, but its ad will be gone
    try:
        two.tool("condor_advertise", "INVALIDATE_SCHEDD_ADS", "-", user=two.user, given='MyType = "Query"\nTargetType = "Scheduler"\nRequirements = Name == "second@"\n')  # fmt: skip
        with connected(two) as system:
            reading = system.read(ENVIRONMENTS, cheap=False)
            assert not reading.complete
            assert reading.warnings == ("schedd second@ is not in the collector: its jobs are not seen",)
        with connected(two, schedds=["schedd@"]) as system:
            assert system.read(ENVIRONMENTS, cheap=False).complete
        with connected(two, schedds=["third@"]) as system, pytest.raises(SourceError, match="third@"):
            system.read(ENVIRONMENTS, cheap=False)
    finally:
        os.kill(two.daemon("second"), signal.SIGCONT)


def test_right_after_the_collector_s_start_what_it_does_not_show_means_nothing(two):
    with connected(two, schedds=["schedd@"], settle_seconds=3600) as system:
        reading = system.read(ENVIRONMENTS, cheap=False)
    assert not reading.complete
    assert "the collector was started" in reading.warnings[0]
