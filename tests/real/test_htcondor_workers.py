"""Workers of a real HTCondor pool: enrolment, jobs, drains, death, black holes, and what a worker's token is good for."""

import contextlib
import os
import subprocess
import sys
import time

import pytest

from connectors.htcondor.bindings import classad2
from connectors.htcondor.expressions import requirement_quoted
from scheduler.model.ports import SourceError
from tests.lab.bare_worker import BareWorker
from tests.real.htcondor_pool import ATLAS, ATLAS_OLD, CMS, ENVIRONMENTS, connected, status, wait_until, worker_of

pytestmark = [pytest.mark.real, pytest.mark.skipif(os.getuid() != 0, reason="starts workers in namespaces: needs root")]
IDLE, RUNNING, GONE, HELD = 1, 2, 4, 5


@pytest.fixture(scope="module")
def system(session_pool):
    with connected(session_pool) as system:
        yield system


def runs(pool, cluster):
    return lambda: status(pool, cluster) == RUNNING


def gone(pool, cluster):
    return lambda: status(pool, cluster) == GONE


# --- joining and working ----------------------------------------------------------------------------------------------


def test_a_worker_joins_and_tells_its_size(pool, system):
    with worker_of(system, ATLAS) as worker:
        reading = system.read(ENVIRONMENTS, cheap=False)
        node = next(node for node in reading.nodes if node.worker == worker.name)
    assert (node.cpus, node.memory_mib) == (ATLAS.vcpus, ATLAS.slot_memory_mib)
    assert (node.free_cpus, node.free_memory_mib) == (node.cpus, node.memory_mib)
    assert (node.claimed, node.draining, node.jobs, node.quick_failures) == (False, False, (), 0)
    assert node.idle_since == node.registered_at
    assert abs(node.registered_at - time.time()) < 60


def test_a_job_runs_in_a_worker_of_its_environment_and_is_seen_there(pool, system):
    with worker_of(system, CMS), worker_of(system, ATLAS) as worker:
        cluster = pool.sleep(600, environment="atlas-el9", requirements="TARGET.AmbientiEnvironment =?= MY.WantEnvironment",
                             **{"+MaxRuntime": 3600})  # fmt: skip
        node = wait_until(lambda: (node := system.node(worker.name)).jobs and node, "the job runs", told=worker.console)
        (job,) = node.jobs
        assert (job.job, job.vo, job.cpus) == (f"{cluster}.0", "atlas", 1)
        assert job.user.startswith("alice")
        assert job.ends_by == job.since + 3600
        assert (node.claimed, node.free_cpus, node.idle_since) == (True, 1, None)
        assert 0 < node.free_memory_mib < node.memory_mib
        assert system.job(f"{cluster}.0", ENVIRONMENTS).worker == worker.name
        pool.tool("condor_rm", str(cluster), user="alice")
        node = wait_until(lambda: not (node := system.node(worker.name)).claimed and node, "the slot is free again")
        before = time.time()
        (read,) = (one for one in system.read(ENVIRONMENTS, cheap=False).nodes if one.worker == worker.name)
        assert before - 1 <= read.idle_since <= time.time()
        assert system.read(ENVIRONMENTS, cheap=False).nodes[0].idle_since is not None


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"vo": "cms"}, "another VO's job"),
        ({"+MaxRuntime": 3 * ATLAS.lifetime_seconds}, "a job longer than the lifetime that is left"),
        ({"environment": "atlas-slc6"}, "a job that names another environment"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_worker_takes_no_job_that_is_not_for_it(pool, system, words, why):
    with worker_of(system, ATLAS) as worker:
        refused = pool.sleep(**words)
        taken = pool.sleep(requirements=f'TARGET.AmbientiWorker == "{worker.name}"', vo="theory", user="dora")
        wait_until(gone(pool, taken), "a job that is for it runs", told=worker.console)
        assert status(pool, refused) == IDLE, why


def test_a_worker_past_its_lifetime_takes_nothing(pool, system):
    with worker_of(system, ATLAS, requested_at=time.time() - ATLAS.lifetime_seconds) as worker:
        late = pool.sleep(environment="atlas-el9")
        wait_until(lambda: pool.queue(str(late))[0].get("LastRejMatchTime"), "the negotiator looked", told=worker.console)
        assert status(pool, late) == IDLE


HOSTILE = (
    "$(X)", "$ENV(HOME)", "$RANDOM_INTEGER(1,9)", "$$(Name)", "$$([1+1])", "$", "$$", "$$$(", "$(DOLLAR)", "$F(X)", "a$b", "$(X:y)",
    "\\", "a\\", "a\\b", "\\\\", '"', '\\"', 'a"b\\', "#x", " lead", "trail ", "@=end", "%x", "é$(x)", "$(X)\\", "'", "{[", "a;b", "",
    '" || true || "', "strcat(", "x" * 300,
)  # fmt: skip


def test_what_a_worker_provides_arrives_as_it_was_written_whatever_its_configuration_makes_of_such_texts(pool, system):
    """Read back by HTCondor itself: as the start daemon advertises it, and as a job's requirements see it."""
    told = {f"Hostile{number}": text for number, text in enumerate(HOSTILE)}
    environment = ATLAS_OLD.model_copy(update={"provides": {**told, "OpSysAndVer": "SL6"}})
    with worker_of(system, environment) as worker:
        text = pool.tool("condor_status", "-long:new", "-constraint", f'AmbientiWorker == "{worker.name}"')
        seen = classad2.ClassAd(text.strip().removeprefix("{").removesuffix("}"))
        assert {name: seen.eval(name) for name in told} == told
        assert seen.eval("OpSysAndVer") == "SL6"
        clauses = " && ".join(f"TARGET.{name} == {requirement_quoted(text)}" for name, text in list(told.items())[:4])
        asks = pool.sleep(environment="atlas-slc6", requirements=clauses)
        wait_until(gone(pool, asks), "a job that asks for such texts runs there", told=worker.console)


# --- drains -----------------------------------------------------------------------------------------------------------


def test_a_drained_worker_finishes_its_job_takes_no_other_and_ends(pool, system):
    with worker_of(system, ATLAS) as worker:
        first = pool.sleep(4, environment="atlas-el9")
        wait_until(lambda: system.node(worker.name).jobs, "the first job runs", told=worker.console)
        system.drain(worker.name, "idle")
        system.drain(worker.name, "idle")  # orders may be repeated
        second = pool.sleep(environment="atlas-el9")
        wait_until(lambda: system.node(worker.name).draining, "the drain is seen")
        assert system.node(worker.name).jobs
        assert worker.wait(120), worker.console()
        assert pool.history(first)[0]["ExitCode"] == 0
        assert pool.history(first)[0]["NumJobStarts"] == 1
        assert status(pool, second) == IDLE
        wait_until(lambda: system.node(worker.name) is None, "its ads are gone")


def test_a_claim_that_the_collector_does_not_know_yet_refuses_a_drain_for_idleness(pool, system):
    with worker_of(system, ATLAS) as worker:
        pool.configure("lag", 'COLLECTOR_REQUIREMENTS = MyType =!= "Machine"\n')  # the ads that it has stay as they are
        cluster = pool.sleep(4, environment="atlas-el9")
        wait_until(runs(pool, cluster), "the job runs", told=worker.console)
        assert not system.node(worker.name).claimed, "the collector still shows it idle"
        assert system.drain(worker.name, "idle", idle_only=True) == "a claim on slot1_1"
        wait_until(gone(pool, cluster), "the job ends")
        (job,) = pool.history(cluster)
        assert (job["ExitCode"], job["NumJobStarts"]) == (0, 1)
        wait_until(lambda: system.drain(worker.name, "idle", idle_only=True) == "", "it is idle, and drained")
        assert worker.wait(120), worker.console()


def test_a_cancelled_drain_leaves_a_worker_that_takes_jobs(pool, system):
    with worker_of(system, ATLAS_OLD) as worker:
        first = pool.sleep(3, environment="atlas-slc6")
        wait_until(lambda: system.node(worker.name).jobs, "the first job runs", told=worker.console)
        system.drain(worker.name, "idle")
        wait_until(lambda: system.node(worker.name).draining, "the drain is seen")
        system.cancel_drain(worker.name)
        wait_until(lambda: not system.node(worker.name).draining, "the drain is taken back")
        second = pool.sleep(environment="atlas-slc6")
        wait_until(gone(pool, second), "the next job ran", told=worker.console)
        assert pool.history(first)[0]["NumJobStarts"] == 1
        assert worker.running()


def test_draining_a_worker_that_the_pool_does_not_know_is_an_error_in_words(pool, system):
    with pytest.raises(SourceError, match="atlas-el9-77"):
        system.drain("atlas-el9-77", "idle")


# --- jobs that end badly ----------------------------------------------------------------------------------------------


def unwritable(pool):
    """Return a place to which no output can be written."""
    place = pool.jobs / "closed"
    place.mkdir(mode=0o555, exist_ok=True)
    return place / "out"


def test_a_job_whose_output_cannot_be_written_no_longer_runs_and_its_slot_is_soon_free_again(pool):
    with connected(pool, vacate_seconds=6) as system, worker_of(system, ATLAS) as worker:
        cluster = pool.sleep(environment="atlas-el9", executable="/bin/echo", arguments="x", output=unwritable(pool))
        wait_until(lambda: status(pool, cluster) == HELD, "its output could not be taken", told=worker.console)
        node = wait_until(lambda: (node := system.node(worker.name)).lingering and node, "its slot lingers")
        assert (node.jobs, node.claimed) == ((), True)
        (left,) = node.lingering
        assert (left.slot, left.state, left.job) == ("slot1_1", "Preempting/Vacating", f"{cluster}.0")
        assert left.until - left.since == 6 + 30
        wait_until(lambda: not system.node(worker.name).claimed, "HTCondor itself lets it go", 120, told=worker.console)
        after = pool.sleep(environment="atlas-el9")
        wait_until(gone(pool, after), "the worker takes the next job", told=worker.console)


def test_a_removed_job_that_does_not_heed_the_signal_is_killed_in_time_and_one_that_asked_for_more_is_given_it(pool):
    deaf = {
        "executable": "/bin/sh",
        "arguments": "\"-c 'trap : TERM; echo deaf; while :; do sleep 1; done'\"",
        "output": "deaf.$(Cluster)",
        "stream_output": "true",
    }
    with connected(pool, vacate_seconds=4) as system, worker_of(system, ATLAS) as worker:
        cluster = pool.sleep(environment="atlas-el9", **deaf)
        patient = pool.sleep(environment="atlas-el9", **deaf, job_max_vacate_time=600)
        said = [pool.jobs / f"deaf.{one}" for one in (cluster, patient)]
        # A job that runs by its slot may be a shell that has not come to its trap yet: the signal would end it at once.
        wait_until(lambda: all(one.exists() and one.read_text() for one in said), "both are deaf", told=worker.console)
        wait_until(lambda: len(system.node(worker.name).jobs) == 2, "the jobs run", told=worker.console)
        began = time.monotonic()
        for one in (cluster, patient):
            pool.tool("condor_rm", str(one), user="alice")
        wait_until(lambda: len(system.node(worker.name).jobs) == 1, "the one is killed", 120, told=worker.console)
        assert time.monotonic() - began > 3, "it was asked first"
        node = system.node(worker.name)
        assert ([job.job for job in node.jobs], node.lingering) == ([f"{patient}.0"], ())


def test_a_job_that_somebody_suspended_runs_by_right(pool, system):
    with worker_of(system, ATLAS) as worker:
        cluster = pool.sleep(600, environment="atlas-el9")
        wait_until(lambda: system.node(worker.name).jobs, "the job runs", told=worker.console)
        pool.tool("condor_suspend", str(cluster), user="alice")
        node = wait_until(lambda: (n := system.node(worker.name)).jobs[0].suspended and n, "it is suspended")
        assert node.lingering == ()


# --- death ------------------------------------------------------------------------------------------------------------


def test_a_dead_worker_is_forgotten_and_its_accounting_group_is_served_again(pool, system):
    """Without it the dead worker's claimed ad counts as usage of its group, which then gets nothing until the ad expires."""
    with worker_of(system, CMS) as dead:
        lost = pool.sleep(600, vo="cms", environment="cms-el8", user="dora")
        wait_until(lambda: system.node(dead.name).jobs, "the job runs", told=dead.console)
        dead.kill()
        assert system.node(dead.name).claimed
        system.forget(dead.name)
        assert system.node(dead.name) is None
        assert not [ad for ad in pool.ads("-any", "-attributes", "Name,Machine,AmbientiWorker") if dead.name in str(ad)]
        system.forget(dead.name)  # orders may be repeated
        pool.tool("condor_rm", "-constraint", f"ClusterId == {lost}", user="root")
        pool.tool("condor_rm", "-forcex", "-constraint", f"ClusterId == {lost}", user="root", check=False)
        with worker_of(system, CMS) as alive:
            begun = time.monotonic()
            cluster = pool.sleep(vo="cms", environment="cms-el8", user="dora")
            wait_until(gone(pool, cluster), "the group's next job ran", 40, told=alive.console)
            assert time.monotonic() - begun < 40, "long before the ad's lifetime of 60 s ends"


_UPDATES = """
import sys, time, classad2, htcondor2
collector, worker, seconds = htcondor2.Collector(sys.argv[1]), sys.argv[2], float(sys.argv[3])
began, number = time.monotonic(), 0
while time.monotonic() < began + seconds:
    ads = []
    for slot in range(1, 500):
        ads.append(classad2.ClassAd())
        number += 1
        ads[-1].update({"MyType": "Machine", "Name": f"slot{slot}@{worker}", "Machine": worker, "AmbientiWorker": worker,
                        "MyAddress": "<127.0.0.1:1>", "State": "Unclaimed", "Cpus": 1, "Memory": 9,
                        "UpdateSequenceNumber": number})
    collector.advertise(ads, "UPDATE_STARTD_AD")
    if number < 500:
        print("sent", flush=True)
"""


@contextlib.contextmanager
def updates(pool, worker, seconds):
    """Let updates of a worker's slots follow each other without a gap for so long: some always come between two calls."""
    environment = {**os.environ, "CONDOR_CONFIG": str(pool.client("ambienti"))}
    command = [sys.executable, "-c", _UPDATES, pool.collector, worker, str(seconds)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdout.readline() == "sent\n"
        yield sender
        sender.kill()


def test_an_update_that_crosses_the_invalidation_is_invalidated_too_and_no_right_is_accused(pool, system):
    told = []
    with updates(pool, "dying-1", 0.4):
        wait_until(lambda: told.append(system.forget("dying-1")) or told[-1] == "", "it is forgotten")
    assert not [one for one in told if one and "an update crossed the invalidation" not in one]
    assert system.node("dying-1") is None


def test_updates_that_do_not_end_are_told_and_invalidated_at_a_later_look(pool, system):
    with updates(pool, "dying-2", 60):
        assert "of it came back to the collector: an update crossed the invalidation" in system.forget("dying-2")
    wait_until(lambda: system.forget("dying-2") == "", "what was under way has come, and is invalidated", 60)
    assert system.node("dying-2") is None


def test_a_job_that_its_worker_s_death_puts_on_hold_is_told_with_that_worker_and_others_are_not(pool, system):
    """While its shadow still tries to reach the dead worker. A job that never ran is held of another cause."""
    never = pool.sleep(environment="atlas-slc6")
    pool.tool("condor_hold", str(never), user="alice")
    assert system.read(ENVIRONMENTS, cheap=False).holds == ()
    with worker_of(system, ATLAS) as dead:
        cluster = pool.sleep(600, environment="atlas-el9")
        wait_until(lambda: system.node(dead.name).jobs, "the job runs", told=dead.console)
        dead.kill()
        begun = time.time()
        pool.tool("condor_hold", str(cluster), "-reason", "its worker is dead", user="alice")
        wait_until(lambda: status(pool, cluster) == HELD, "the job is on hold")
        told = wait_until(lambda: system.read(ENVIRONMENTS, cheap=True).holds, "the hold is told")
        [held] = told
        assert (held.job, held.worker) == (f"{cluster}.0", dead.name)
        assert held.why.startswith("its worker is dead")
        assert begun - 1 <= held.held_at <= time.time() + 1
        assert system.read(ENVIRONMENTS, cheap=True).holds == (), "nothing has moved: nothing is asked"
        pool.tool("condor_release", str(cluster), user="alice")
        assert system.read(ENVIRONMENTS, cheap=True).holds == (), "on hold no more"


# --- black holes ------------------------------------------------------------------------------------------------------


def test_jobs_that_fail_at_once_one_after_the_other_mark_a_black_hole(pool, system):
    with worker_of(system, ATLAS_OLD) as worker:
        pool.sleep(environment="atlas-slc6", executable="/bin/false", count=5)

        def failures():
            return next(n.quick_failures for n in system.read(ENVIRONMENTS, cheap=True).nodes if n.worker == worker.name)

        wait_until(lambda: failures() >= 4, "the failures are counted", told=worker.console)
        good = pool.sleep(environment="atlas-slc6")
        wait_until(gone(pool, good), "a sound job ran")
        wait_until(lambda: failures() == 0, "the sound job ends the series")


def test_jobs_that_cannot_even_start_count_as_failures(pool, system):
    with worker_of(system, ATLAS_OLD) as worker:
        clusters = [pool.sleep(environment="atlas-slc6", executable="/bin/gone") for _ in range(4)]
        wait_until(lambda: all(status(pool, one) == 5 for one in clusters), "all are held", told=worker.console)

        def failures():
            return next(n.quick_failures for n in system.read(ENVIRONMENTS, cheap=False).nodes if n.worker == worker.name)

        wait_until(lambda: failures() == 4, "the collector knows of their starts, and the failures are counted")


def test_jobs_that_are_short_and_succeed_mark_nothing(pool, system):
    with worker_of(system, ATLAS_OLD) as worker:
        cluster = pool.sleep(environment="atlas-slc6", count=5)
        wait_until(lambda: len(pool.history(cluster)) == 5, "all have run", told=worker.console)
        wait_until(lambda: pool.ads("-constraint", "RecentJobStarts >= 5"), "the collector knows")
        reading = system.read(ENVIRONMENTS, cheap=False)
        assert [node.quick_failures for node in reading.nodes] == [0]


# --- what a worker's token is good for --------------------------------------------------------------------------------


@pytest.fixture
def thief(pool, system, tmp_path):
    """Whoever has read a worker's token, with HTCondor's own programs."""
    with worker_of(system, CMS, register=False) as worker:
        tokens = tmp_path / "tokens"
        tokens.mkdir(mode=0o700)
        (tokens / "stolen").write_bytes(worker.files["token"])
        (tokens / "stolen").chmod(0o600)
        config = tmp_path / "condor_config"
        config.write_text(
            pool.client("alice").read_text() + f"SEC_TOKEN_DIRECTORY = {tokens}\nSEC_TOKEN_SYSTEM_DIRECTORY = {tokens}\n"
        )

        def steal(program, *arguments, given=""):
            environment = {"CONDOR_CONFIG": str(config), "PATH": os.environ["PATH"]}
            return subprocess.run(
                [str(pool.program(program)), *arguments],
                input=given,
                env=environment,
                capture_output=True,
                text=True,
                timeout=180,
            )

        yield steal


@pytest.mark.parametrize(
    "arguments",
    [
        ("condor_submit", "-terse", "-"),
        ("condor_rm", "-all"),
        ("condor_reconfig", "-schedd"),
        ("condor_off", "-fast", "-schedd"),
        ("condor_userprio", "-setfactor", "group_cms.thief", "1"),
        ("condor_advertise", "UPDATE_SCHEDD_AD", "-"),
        ("condor_advertise", "UPDATE_NEGOTIATOR_AD", "-"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_worker_s_token_neither_submits_nor_administers(pool, thief, arguments):
    given = {
        "condor_submit": "executable = /bin/true\nqueue\n",
        "condor_advertise": 'MyType = "Scheduler"\nName = "false@"\nMyAddress = "<127.0.0.2:1>"\n',
    }
    mine = pool.sleep()
    done = thief(*arguments, given=given.get(arguments[0], ""))
    assert done.returncode != 0 or "no jobs" in done.stderr, done.stdout
    assert status(pool, mine) == IDLE
    assert len(pool.queue("-attributes", "ProcId")) == 1
    assert not [ad for ad in pool.ads("-any", "-attributes", "Name") if "false@" in str(ad)]


def test_a_worker_s_token_is_good_for_being_a_worker(pool, thief):
    done = thief(
        "condor_ping",
        "-type",
        "collector",
        "-table",
        "READ",
        "ADVERTISE_STARTD",
        "ADVERTISE_MASTER",
        "WRITE",
        "ADMINISTRATOR",
        "DAEMON",
    )
    allowed = {line.split()[0]: line.split()[-2] for line in done.stdout.splitlines() if line.split()[0].isupper()}
    assert "READ" in done.stdout, done.stderr
    granted = {name for name, answer in allowed.items() if "ALLOW" in answer or "ALLOW" in str(answer)}
    assert granted == {"READ", "ADVERTISE_STARTD", "ADVERTISE_MASTER"}, done.stdout


def test_a_worker_s_token_ends_soon_after_its_lifetime(pool, system):
    import base64
    import json

    with worker_of(system, CMS, register=False) as worker:
        part = worker.files["token"].decode().split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert claims["sub"] == f"{worker.name}.worker@lab.test"
    assert claims["exp"] - claims["iat"] == CMS.lifetime_seconds + 86400
    assert set(claims["scope"].split()) == {"condor:/ADVERTISE_STARTD", "condor:/ADVERTISE_MASTER", "condor:/READ"}


def test_a_worker_without_its_token_does_not_join(pool, system):
    with worker_of(system, CMS, register=False) as worker:
        pass
    orphan = BareWorker(f"{worker.name}-x", worker.parameters, {**worker.files, "token": b""})
    orphan.start()
    try:
        time.sleep(3)
        assert orphan.running()
        assert not pool.ads("-attributes", "Name")
    finally:
        orphan.close()


def test_secrets_stay_out_of_parameters_and_representations(system):
    with worker_of(system, CMS, register=False) as worker:
        token = worker.files["token"].decode().strip()
        assert token not in str(worker.parameters)
        assert token not in worker.files["condor_config"].decode()
